package main

import (
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The encoder writes nothing that is wrong, so what is wrong is put together here by
// hand. The signature is made over the very bytes: each refused vector has one fault.

// encode is deterministic encoding, but for what is encoded already.
func encode(v any) []byte {
	if raw, ok := v.(cosekit.RawMessage); ok {
		return raw
	}
	return cosekit.MustMarshal(v)
}

// array encodes an array of up to 23 elements.
func array(items ...any) cosekit.RawMessage {
	return sequence(0x80|byte(len(items)), items)
}

// mapOf encodes a map of up to 23 keys and values, in the order in which they come.
func mapOf(items ...any) cosekit.RawMessage {
	return sequence(0xa0|byte(len(items)/2), items)
}

func sequence(head byte, items []any) cosekit.RawMessage {
	out := cosekit.RawMessage{head}
	for _, item := range items {
		out = append(out, encode(item)...)
	}
	return out
}

// Header parameters and tags of COSE (RFC 9052 sections 2 and 3.1).
const (
	headerAlg       = 1
	headerCrit      = 2
	headerKeyID     = 4
	headerCWTClaims = 15

	tagSign1 = 0xd2 // 18
	tagMac0  = 0xd1 // 17
)

var tagSign = []byte{0xd8, 98}

// null is the payload of a detached signature.
var null = cosekit.RawMessage{0xf6}

// frame is a COSE_Sign1, or one COSE_Signature, in all its parts.
type frame struct {
	head        []byte
	protected   cosekit.RawMessage // the content of the byte string
	unprotected cosekit.RawMessage
	payload     []byte
	carried     any // in place of the payload
	context     string
	body        []byte // the protected header around a COSE_Signature
	aad         []byte
	signature   func([]byte) []byte // what is done to the signature
}

// newFrame is a frame with nothing wrong.
func newFrame(k cosekit.Signer, payload []byte) frame {
	return frame{
		head:        []byte{tagSign1},
		protected:   mapOf(headerAlg, k.Algorithm()),
		unprotected: mapOf(headerKeyID, thumbprint(k)),
		payload:     payload,
		carried:     payload,
		context:     "Signature1",
	}
}

func thumbprint(k cosekit.Signer) []byte {
	t := k.PublicKey().Thumbprint()
	return t[:]
}

// sum signs the Sig_structure of RFC 9052 section 4.4.
func (f frame) sum(k cosekit.Signer) []byte {
	parts := []any{f.context, f.protectedBytes(), nonNil(f.aad), f.payload}
	if f.context == "Signature" {
		parts = []any{f.context, nonNil(f.body), f.protectedBytes(), nonNil(f.aad), f.payload}
	}
	signature := must(k.Sign(nil, array(parts...)))
	if f.signature != nil {
		signature = f.signature(signature)
	}
	return signature
}

func (f frame) protectedBytes() []byte { return nonNil(f.protected) }

func nonNil(b []byte) []byte { return append([]byte{}, b...) }

// sign1 returns the COSE_Sign1.
func (f frame) sign1(k cosekit.Signer) []byte {
	content := array(f.protectedBytes(), f.unprotected, f.carried, f.sum(k))
	return append(nonNil(f.head), content...)
}

// part returns a COSE_Signature for a COSE_Sign.
func (f frame) part(k cosekit.Signer) cosekit.RawMessage {
	f.context = "Signature"
	return array(f.protectedBytes(), f.unprotected, f.sum(k))
}

// coseSign returns a COSE_Sign with the signatures that it is given.
func coseSign(payload []byte, signatures ...any) []byte {
	return append(nonNil(tagSign), array([]byte{}, mapOf(), payload, array(signatures...))...)
}

// payloadOf returns what a COSE structure carries.
func payloadOf(message []byte) []byte { return must(cosekit.Parse(message)).Payload }
