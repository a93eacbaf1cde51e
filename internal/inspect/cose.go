package inspect

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// looksCOSE tells the structures of RFC 9052 section 2 apart where no tag does: by
// the types of their elements, and a MAC from a signature and a recipient from a
// signer by their algorithms.
func looksCOSE(kind Kind) func(item) bool {
	return func(it item) bool { return untaggedCOSE(it) == kind }
}

func untaggedCOSE(it item) Kind {
	e := it.items
	if !it.isArray() || len(e) < 3 || len(e) > 5 || !e[0].isBytes() || !e[1].isMap() || !e[2].isBytes() && !e[2].isNull() {
		return ""
	}
	alg, _ := readHeaders(e[0], e[1]).algorithm()
	switch {
	case len(e) == 3:
		return KindEncrypt0
	case len(e) == 5 && e[3].isBytes() && e[4].isArray():
		return KindMac
	case len(e) == 4 && e[3].isBytes() && isMACAlgorithm(alg):
		return KindMac0
	case len(e) == 4 && e[3].isBytes():
		return KindSign1
	case len(e) == 4 && e[3].isArray() && alg.raw == nil:
		return KindSign
	case len(e) == 4 && e[3].isArray():
		return KindEncrypt // a COSE_Sign has its algorithms in its signatures
	}
	return ""
}

func isMACAlgorithm(alg item) bool {
	n, ok := alg.integer()
	return ok && (n >= 4 && n <= 7 || n == 14 || n == 15 || n == 25 || n == 26)
}

// headers are the two header maps of a structure. A map that cannot be read is zero.
type headers struct {
	protected, unprotected item
	signed                 []byte // the protected header as the Sig_structure has it
}

func readHeaders(protected, unprotected item) headers {
	h := headers{unprotected: unprotected, signed: protected.content}
	budget := maxItems
	if m, err := parseWhole(protected.content, &budget, 0); err == nil && m.isMap() {
		h.protected = m
		if len(m.items) == 0 {
			h.signed = []byte{} // RFC 9052 section 4.4
		}
	}
	return h
}

func (h headers) algorithm() (alg item, protected bool) {
	if alg, ok := h.protected.get(headerAlg); ok {
		return alg, true
	}
	alg, _ = h.unprotected.get(headerAlg)
	return alg, false
}

// get returns a parameter of either header, the protected one first.
func (h headers) get(label int64) item {
	if v, ok := h.protected.get(label); ok {
		return v
	}
	v, _ := h.unprotected.get(label)
	return v
}

// coseContext is what the object around a COSE structure knows about it.
type coseContext struct {
	content  Kind   // what the payload is; empty to guess
	detached []byte // what is signed, where the structure must not carry it
	section  string // that says so
}

func (r *reader) cose(kind Kind, it item, c coseContext) Node {
	return r.objectBy(kind, it, func(r *reader, it item) Node { return r.structure(kind, it, c) })
}

// The shapes of structures that stand alone.
func coseShape(kind Kind) shape {
	return func(r *reader, it item) Node { return r.structure(kind, it, coseContext{}) }
}

var (
	sign1    = coseShape(KindSign1)
	sign     = coseShape(KindSign)
	mac0     = coseShape(KindMac0)
	mac      = coseShape(KindMac)
	encrypt0 = coseShape(KindEncrypt0)
	encrypt  = coseShape(KindEncrypt)
)

// tails name what follows the headers and the content.
var tails = map[Kind][]field{
	KindSign1:    {{"signature", digits}},
	KindSign:     {{"signatures", nil}},
	KindMac0:     {{"tag", digits}},
	KindMac:      {{"tag", digits}, {"recipients", nil}},
	KindEncrypt0: nil,
	KindEncrypt:  {{"recipients", nil}},
}

func (r *reader) structure(kind Kind, it item, c coseContext) Node {
	tail := tails[kind]
	if !it.isArray() || len(it.items) != 3+len(tail) || !it.items[0].isBytes() || !it.items[1].isMap() {
		return r.unfit(it, fmt.Sprintf("a %s, an array of %d elements", kinds[kind].title, 3+len(tail)))
	}
	h := readHeaders(it.items[0], it.items[1])
	n := r.headers(h, it.items[0])
	n.holds = c.content
	content := it.items[2]
	body, detached := content.content, !content.isBytes()
	if c.detached != nil {
		if !detached {
			r.lint(SeverityError, c.section, "the payload is attached, where that of the object around it is signed")
		}
		body, detached = c.detached, false
	}
	switch kind {
	case KindEncrypt0, KindEncrypt:
		n.Items = append(n.Items, r.named(field{"ciphertext", opaque}, content))
		r.lintNonce(h)
	default:
		n.Items = append(n.Items, r.named(field{"payload", payloadOf(c.content)}, content))
	}
	for i, f := range tail {
		switch f.name {
		case "signatures":
			f.show = r.signatures(h, body, detached)
		case "recipients":
			f.show = arrayOf(recipient)
		}
		n.Items = append(n.Items, r.named(f, it.items[3+i]))
	}
	r.judge(kind, h, it, body, detached)
	return n
}

// judge checks the signature or MAC that belongs to the whole structure.
func (r *reader) judge(kind Kind, h headers, it item, body []byte, detached bool) {
	context := map[Kind]string{KindSign1: "Signature1", KindMac0: "MAC0", KindMac: "MAC"}[kind]
	if context == "" {
		return
	}
	r.lintAlgorithm(h)
	alg, _ := h.algorithm()
	s := signed{
		algorithm: alg, kid: h.get(headerKeyID), value: it.items[3].content, detached: detached,
		structure: cosekit.MustMarshal([]any{context, h.signed, r.externalAAD(), body}),
	}
	switch kind {
	case KindSign1:
		r.signature(s)
	case KindMac0:
		r.mac(s, nil)
	case KindMac:
		r.mac(s, &it.items[4])
	}
}

// externalAAD is empty for everything inside a byte string: what is given is for the
// object that was.
func (r *reader) externalAAD() []byte {
	if r.opened > 0 {
		return []byte{}
	}
	return append([]byte{}, r.opts.ExternalAAD...)
}

// signatures shows the COSE_Signatures of a COSE_Sign and judges each.
func (r *reader) signatures(around headers, body []byte, detached bool) shape {
	one := func(r *reader, it item) Node {
		if !it.isArray() || len(it.items) != 3 || !it.items[0].isBytes() || !it.items[1].isMap() {
			return r.unfit(it, "a COSE_Signature, an array of 3 elements")
		}
		h := readHeaders(it.items[0], it.items[1])
		n := r.headers(h, it.items[0])
		n.Items = append(n.Items, r.named(field{"signature", digits}, it.items[2]))
		r.lintAlgorithm(h)
		alg, _ := h.algorithm()
		r.signature(signed{
			algorithm: alg, kid: h.get(headerKeyID), value: it.items[2].content, detached: detached,
			structure: cosekit.MustMarshal([]any{"Signature", around.signed, h.signed, r.externalAAD(), body}),
		})
		return n
	}
	return func(r *reader, it item) Node {
		if it.isArray() && len(it.items) == 0 {
			r.lint(SeverityError, "RFC 9052 section 4.1", "no signature at all")
		}
		return arrayOf(one)(r, it)
	}
}

// recipient shows a COSE_recipient (RFC 9052 section 5.1).
func recipient(r *reader, it item) Node {
	if !it.isArray() || len(it.items) < 3 || !it.items[0].isBytes() || !it.items[1].isMap() {
		return r.unfit(it, "a COSE_recipient, an array of 3 or 4 elements")
	}
	h := readHeaders(it.items[0], it.items[1])
	n := r.headers(h, it.items[0])
	if alg, _ := h.algorithm(); alg.raw != nil {
		n.Text = algorithmOf(alg)
	}
	n.Items = append(n.Items, r.named(field{"ciphertext", opaque}, it.items[2]))
	for _, more := range it.items[3:] {
		n.Items = append(n.Items, r.named(field{"recipients", arrayOf(recipient)}, more))
	}
	return n
}

// opaque is a byte string that nobody can look into, or null.
var opaque = either(item.isNull, plain, digits)

// payloadOf shows a payload of a known kind, or guesses.
func payloadOf(kind Kind) shape {
	return func(r *reader, it item) Node {
		switch {
		case it.isNull():
			return Node{Type: "null", Text: "detached"}
		case kind != "" && it.isBytes():
			return wrapped(as(kind))(r, it)
		}
		return carried(r, it)
	}
}

// carried is a payload of which nobody says what it is. One that begins with an object
// for a strict decoder and goes on behind its end is more likely spoilt than opaque.
func carried(r *reader, it item) Node {
	n := payload(r, it)
	if n.Type != "bytes" {
		return n
	}
	inner, err := parse(it.content, &r.budget, len(r.path))
	if err != nil || len(inner.raw) == len(it.content) {
		return n
	}
	if kind, ok := kindOf(inner); ok && kinds[kind].strict != nil {
		rest := len(it.content) - len(inner.raw)
		r.lint(SeverityError, secWellFormed, "%s behind the end of what looks like %s", byteCount(rest), kinds[kind].title)
	}
	return n
}

// headers begins a node with the two header maps.
func (r *reader) headers(h headers, protected item) Node {
	n := Node{Type: "array"}
	show := wrapped(headerMap)
	switch {
	case len(protected.content) == 0:
		show = func(*reader, item) Node { return Node{Type: "map", Encoded: true} }
	case h.protected.raw != nil && len(h.protected.items) == 0:
		r.lint(SeverityNote, secHeaders, "empty protected header as an encoded map, where an empty byte string is shorter")
	}
	n.Items = append(n.Items, r.named(field{"protected", show}, protected))
	n.Items = append(n.Items, r.named(field{"unprotected", headerMap}, h.unprotected))
	r.lintHeaders(h)
	return n
}

func (r *reader) lintHeaders(h headers) {
	unprotected := h.unprotected.values()
	for i := 0; i < len(h.protected.items); i += 2 {
		if _, both := unprotected[h.protected.items[i].canonical()]; both {
			r.lint(SeverityError, secHeaders, "%s in both headers", headerName(h.protected.items[i]))
		}
	}
	if _, ok := h.unprotected.get(headerCrit); ok {
		r.lint(SeverityError, secAlgHeader, "crit in the unprotected header")
	}
	crit, ok := h.protected.get(headerCrit)
	if !ok {
		return
	}
	if !crit.isArray() || len(crit.items) == 0 {
		r.lint(SeverityError, secAlgHeader, "crit is not an array of labels")
	}
	for _, label := range crit.items {
		if !label.is(headerAlg) && !label.is(headerKeyID) && !label.is(headerCWTClaims) {
			r.lint(SeverityError, secAlgHeader, "critical header parameter %s is not understood by Tamarack", headerName(label))
		}
	}
}

func headerName(label item) string {
	if n, ok := label.integer(); ok && headerParameters()[n].name != "" {
		return headerParameters()[n].name
	}
	return keyText(label)
}

// lintAlgorithm looks at the algorithm of a signature or MAC.
func (r *reader) lintAlgorithm(h headers) {
	alg, protected := h.algorithm()
	switch {
	case alg.raw == nil:
		r.lint(SeverityError, secAlgHeader, "no alg in the headers")
	case !protected:
		r.lint(SeverityError, secAlgHeader, "alg in the unprotected header, where nothing authenticates it")
	}
	n, _ := alg.integer()
	if alg.raw != nil && algorithmNames[n] == "" {
		r.lint(SeverityError, secAlgHeader, "algorithm %s is not registered", keyText(alg))
	}
	switch cosekit.Algorithm(n) {
	case cosekit.LegacyES256:
		r.lint(SeverityWarning, "RFC 9864 section 2.1", "ES256 (-7) leaves the curve open; ESP256 (-9) says it")
	case cosekit.LegacyEdDSA:
		r.lint(SeverityWarning, "RFC 9864 section 2.2", "EdDSA (-8) leaves the curve open; Ed25519 (-19) says it")
	}
}

// nonceSizes are those that content algorithms are read with here. CTR has a whole
// block for its counter (RFC 9459 section 4).
var nonceSizes = map[int64]int{1: 12, 2: 12, 3: 12, 24: 12, -65534: 16, -65533: 16, -65532: 16}

// lintNonce looks at the IV of content.
func (r *reader) lintNonce(h headers) {
	alg, _ := h.algorithm()
	n, ok := alg.integer()
	iv := h.get(headerIV)
	if want := nonceSizes[n]; ok && want > 0 && iv.isBytes() && len(iv.content) != want {
		r.lint(SeverityWarning, "RFC 9053 section 4", "IV of %d bytes for %s, want %d", len(iv.content), algorithmName(n), want)
	}
}
