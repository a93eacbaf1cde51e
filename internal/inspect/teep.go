package inspect

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

const (
	secTEEPMessages = "draft-ietf-teep-protocol-26 section 4"
	secTEEPRequest  = "draft-ietf-teep-protocol-26 section 4.2"
	secTEEPResponse = "draft-ietf-teep-protocol-26 section 4.3"
	secTEEPNumbers  = "IANA TEEP registry"
)

func looksTEEP(it item) bool {
	return isMessage(it) && it.items[0].arg >= 1 && it.items[0].arg <= 6
}

// isMessage wants type and options; the type may be one that nobody knows.
func isMessage(it item) bool {
	return it.isArray() && len(it.items) >= 2 && len(it.items) <= 5 && it.items[0].isUint() && it.items[1].isMap()
}

// elements are what stands behind the options of a message.
var messageElements = map[teep.Kind][]field{
	teep.KindQueryRequest: {
		{"supported-teep-cipher-suites", arrayOf(cipherSuite)},
		{"supported-suit-cose-profiles", arrayOf(coseProfile)},
		{"data-item-requested", dataItems},
	},
	teep.KindError: {{"err-code", errorCode}},
}

// teepMessage shows the payload of a TEEP message in the numbering of the options.
func teepMessage(r *reader, it item) Node {
	if !isMessage(it) {
		return r.unfit(it, "a TEEP message, an array of type and options")
	}
	kind, known := r.opts.Numbering.MessageKind(it.items[0].arg)
	name := fmt.Sprintf("message of type %d", it.items[0].arg)
	if known {
		name = kind.String()
	}
	n := tuple(2, append([]field{
		{"type", names(func(int64) string { return name })},
		{"options", mapBy(teepOption(r.opts.Numbering))},
	}, messageElements[kind]...)...)(r, it)
	n.Text = name
	if !known {
		r.lint(SeverityError, secTEEPNumbers, "no message has type %d in numbering %s", it.items[0].arg, r.opts.Numbering)
	}
	if want := 2 + len(messageElements[kind]); known && len(it.items) != want {
		r.lint(SeverityError, "", "%s of %d elements, want %d", name, len(it.items), want)
	}
	r.lintNumbering(it)
	if kind == teep.KindQueryRequest {
		r.lintRequest(it)
	}
	return n
}

// optionShapes are the options by their names, which do not depend on the numbering.
func optionShapes() map[string]shape {
	componentIDs := arrayOf(maybeWrapped(componentID))
	return map[string]shape{
		"supported-teep-cipher-suites":   arrayOf(cipherSuite),
		"challenge":                      sized(8, 512, secTEEPMessages),
		"versions":                       arrayOf(uinteg),
		"supported-suit-cose-profiles":   arrayOf(coseProfile),
		"selected-version":               uinteg,
		"attestation-payload":            attestationPayload,
		"tc-list":                        arrayOf(propertyClaims),
		"ext-list":                       arrayOf(uinteg),
		"manifest-list":                  arrayOf(wrapped(as(KindEnvelope))),
		"msg":                            text,
		"err-msg":                        text,
		"attestation-payload-format":     text,
		"requested-tc-list":              arrayOf(requestedTC),
		"unneeded-manifest-list":         componentIDs,
		"component-id":                   componentID,
		"tc-manifest-sequence-number":    uinteg,
		"have-binary":                    boolean,
		"suit-reports":                   arrayOf(wrapped(as(KindReport))),
		"token":                          sized(8, 64, secTEEPMessages),
		"supported-freshness-mechanisms": arrayOf(names(func(n int64) string { return teep.FreshnessMechanism(n).String() })),
		"err-lang":                       text,
		"err-code":                       errorCode,
	}
}

// teepOption names options by the numbering.
func teepOption(numbering teep.Numbering) func(item) field {
	return func(key item) field {
		if !key.isUint() {
			return field{}
		}
		name, ok := numbering.OptionName(key.arg)
		if !ok {
			return field{}
		}
		return field{name, optionShapes()[name]}
	}
}

func requestedTC(r *reader, it item) Node { return mapBy(teepOption(r.opts.Numbering))(r, it) }

func attestationPayload(r *reader, it item) Node {
	if it.isBytes() && len(it.content) == 0 {
		r.lint(SeverityWarning, secTEEPResponse, "empty attestation payload")
	}
	return carried(r, it)
}

func errorCode(r *reader, it item) Node {
	return names(func(n int64) string {
		if n <= 0 {
			r.lint(SeverityError, "draft-ietf-teep-protocol-26 section 4.6", "err-code %d", n)
			return "no error"
		}
		return r.opts.Numbering.ErrorCode(uint64(n)).String()
	})(r, it)
}

func dataItems(r *reader, it item) Node {
	return names(func(n int64) string { return teep.DataItems(n).String() })(r, it)
}

// coseTypes are the structures of cipher suites, by their tags.
func cipherSuite(r *reader, it item) Node {
	structure := names(func(n int64) string { return kinds[kindByTag[uint64(n)]].title })
	return arrayOf(tuple(2, field{"structure", structure}, field{"algorithm", algorithm}))(r, it)
}

var profileNames = map[suit.COSEProfile]string{
	suit.ProfileHMACA128KWA128CTR:     "suit-sha256-hmac-a128kw-a128ctr",
	suit.ProfileESP256ECDHA128CTR:     "suit-sha256-esp256-ecdh-a128ctr",
	suit.ProfileEd25519ECDHA128CTR:    "suit-sha256-ed25519-ecdh-a128ctr",
	suit.ProfileESP256ECDHA128GCM:     "suit-sha256-esp256-ecdh-a128gcm",
	suit.ProfileEd25519ECDHChaChaPoly: "suit-sha256-ed25519-ecdh-chacha-poly",
	suit.ProfileHSSLMSA256KWA256CTR:   "suit-sha256-hsslms-a256kw-a256ctr",
}

func coseProfile(r *reader, it item) Node {
	n := tuple(4, field{"digest", algorithm}, field{"authentication", algorithm},
		field{"key-exchange", algorithm}, field{"encryption", algorithm})(r, it)
	if numbers, ok := integers(it); ok && len(numbers) == len(suit.COSEProfile{}) {
		n.Text = profileNames[suit.COSEProfile(numbers)]
	}
	return n
}

// lintRequest holds a QueryRequest against the rule about its token, and its
// challenge.
func (r *reader) lintRequest(it item) {
	m, err := teep.Decode(r.opts.Numbering, it.raw)
	if err != nil {
		return
	}
	if request, ok := m.(*teep.QueryRequest); ok {
		if err := request.Check(); err != nil {
			r.lint(SeverityWarning, secTEEPRequest, "%v", err)
		}
	}
}

// lintNumbering says where the other numbering would fit better. It decides nothing.
func (r *reader) lintNumbering(it item) {
	other := teep.IANA
	if r.opts.Numbering == teep.IANA {
		other = teep.PreIANA
	}
	if misfits(other, it) < misfits(r.opts.Numbering, it) {
		r.lint(SeverityNote, secTEEPNumbers, "read as %s; --numbering %s fits this message better", r.opts.Numbering, other)
	}
}

// misfits counts the options that the message does not have in a numbering; a
// message that cannot be decoded at all has the most.
func misfits(n teep.Numbering, it item) int {
	const undecodable = 1 << 20
	m, err := teep.Decode(n, it.raw)
	if err != nil {
		return undecodable
	}
	switch m := m.(type) {
	case *teep.QueryRequest:
		return len(m.Unknown)
	case *teep.QueryResponse:
		return len(m.Unknown)
	case *teep.Update:
		return len(m.Unknown)
	case *teep.Success:
		return len(m.Unknown)
	case *teep.Error:
		return len(m.Unknown)
	}
	return undecodable
}
