package teephttp_test

import (
	"bytes"
	"crypto/rand"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// The encoder writes nothing that is wrong, so what is wrong is put together here by
// hand, and signed as it stands: a frame has one fault.

// Header parameters of COSE.
const (
	labelAlg  = 1
	labelCrit = 2
	labelKid  = 4
)

const (
	tagSign1 = 0xd2
	tagMAC0  = 0xd1
)

// array encodes an array of up to 23 elements.
func array(items ...any) []byte { return sequence(0x80|byte(len(items)), items) }

// pairs encodes a map of up to 23 keys and values, in the order in which they come.
func pairs(items ...any) []byte { return sequence(0xa0|byte(len(items)/2), items) }

// sequence encodes items behind a head. A RawMessage is one that is encoded already.
func sequence(head byte, items []any) []byte {
	out := []byte{head}
	for _, item := range items {
		if raw, ok := item.(cosekit.RawMessage); ok {
			out = append(out, raw...)
		} else {
			out = append(out, cosekit.MustMarshal(item)...)
		}
	}
	return out
}

// frame is a COSE_Sign1 in all its parts.
type frame struct {
	by          cosekit.Signer
	tag         []byte
	protected   []byte // the content of its byte string
	unprotected []byte
	payload     []byte             // what is signed
	carried     cosekit.RawMessage // the item that stands for the payload; nil for the payload
	context     string
	aad         []byte
	signature   func([]byte) any // what is made of the signature
}

// newFrame is a frame with nothing wrong.
func newFrame(by cosekit.Signer, payload []byte) frame {
	return frame{
		by: by, tag: []byte{tagSign1}, payload: payload, context: "Signature1", aad: []byte{},
		protected:   pairs(labelAlg, by.Algorithm()),
		unprotected: pairs(labelKid, kid(by)),
	}
}

func kid(s cosekit.Signer) []byte {
	t := s.PublicKey().Thumbprint()
	return t[:]
}

// encode signs the Sig_structure of RFC 9052 section 4.4 and returns the message.
func (f frame) encode() []byte {
	parts := []any{f.context, f.protected, f.aad, f.payload}
	if f.context == "Signature" {
		parts = []any{f.context, []byte{}, f.protected, f.aad, f.payload}
	}
	var signature any = must(f.by.Sign(rand.Reader, array(parts...)))
	if f.signature != nil {
		signature = f.signature(signature.([]byte))
	}
	var carried any = f.payload
	if f.carried != nil {
		carried = f.carried
	}
	return append(bytes.Clone(f.tag), array(f.protected, cosekit.RawMessage(f.unprotected), carried, signature)...)
}

// part returns the COSE_Signature for a COSE_Sign.
func (f frame) part() cosekit.RawMessage {
	f.context = "Signature"
	message := must(cosekit.Elements(f.encode()[len(f.tag):]))
	return array(message[0], message[1], message[3])
}

// coseSign returns a COSE_Sign with these signatures.
func coseSign(payload []byte, signatures ...any) []byte {
	return append([]byte{0xd8, 98}, array([]byte{}, cosekit.RawMessage{0xa0}, payload, cosekit.RawMessage(array(signatures...)))...)
}

// withOptions encodes a TEEP message again with another options map, which change
// makes of the pairs in it.
func withOptions(payload []byte, change func(n int, content []byte) []byte) []byte {
	parts := must(cosekit.Elements(payload))
	items := make([]any, len(parts))
	for i, part := range parts {
		items[i] = part
	}
	n := int(parts[1][0] & 0x1f)
	items[1] = cosekit.RawMessage(change(n, parts[1][1:]))
	return array(items...)
}

// withOption adds an option that nobody knows, with this value.
func withOption(payload []byte, value []byte) []byte {
	return withOptions(payload, func(n int, content []byte) []byte {
		return append(append([]byte{0xa0 | byte(n+1)}, content...), append([]byte{0x19, 0x27, 0x0f}, value...)...)
	})
}

// tokenLabel is the number of the option token.
func tokenLabel(n teep.Numbering) int {
	if n == teep.PreIANA {
		return 20
	}
	return 19
}
