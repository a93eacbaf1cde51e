package teephttp_test

import (
	"bytes"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// forged has what can be read and is not by whom it says, message by message.
func forged(s *stage) (table []trial) {
	for _, m := range s.messages() {
		rows := slices.Concat(wrongAlgorithms(m), wrongSignatures(s, m), wrongKeys(s, m))
		table = append(table, stillGood(m, rows)...)
	}
	return append(table, messagesOfTAM(s)...)
}

func wrongAlgorithms(m *message) []trial {
	alg, own := m.by.key.Algorithm(), kid(m.by.key)
	other, legacy := cosekit.ESP256, cosekit.LegacyEdDSA
	if alg == cosekit.ESP256 {
		other, legacy = cosekit.Ed25519, cosekit.LegacyES256
	}
	one := func(name, want string, protected, unprotected []byte) trial {
		return trial{name: m.name + ", " + name, want: want, send: to(m.path, m.framed(func(f *frame) {
			f.protected, f.unprotected = protected, unprotected
		}))}
	}
	kidOnly := pairs(labelKid, own)
	return []trial{
		one("alg in the unprotected header only", "204 algorithm", nil, pairs(labelAlg, alg, labelKid, own)),
		one("no alg", "204 algorithm", pairs(), kidOnly),
		one("alg of the other suite", "204 algorithm", pairs(labelAlg, other), kidOnly),
		one("a legacy alg", "204 algorithm", pairs(labelAlg, legacy), kidOnly),
		one("an alg that nobody knows", "204 algorithm", pairs(labelAlg, -70000), kidOnly),
		one("a MAC for alg", "204 algorithm", pairs(labelAlg, 5), kidOnly),
		one("an unknown crit", "204 critical-header", pairs(labelAlg, alg, labelCrit, []int{-70000}, -70000, 1), kidOnly),
		one("an unknown crit in text", "204 critical-header", pairs(labelAlg, alg, labelCrit, []string{"x"}, "x", 1), kidOnly),
	}
}

func wrongSignatures(s *stage, m *message) []trial {
	one := func(name string, change func(*frame)) trial {
		return trial{name: m.name + ", " + name, want: "204 signature", send: to(m.path, m.framed(change))}
	}
	signature := func(name string, of func([]byte) any) trial {
		return one(name, func(f *frame) { f.signature = of })
	}
	sign := func(name string, signatures ...any) trial {
		return trial{name: m.name + ", " + name, want: "204 cose-wrapper", send: to(m.path, coseSign(m.payload, signatures...))}
	}
	stranger := newFrame(s.stranger.key, m.payload)
	return []trial{
		signature("a signature of 63 bytes", func(sig []byte) any { return sig[:63] }),
		signature("a signature of 65 bytes", func(sig []byte) any { return append(sig, 0) }),
		signature("a signature of zeros", func([]byte) any { return make([]byte, 64) }),
		signature("a signature of ones", func([]byte) any { return bytes.Repeat([]byte{0xff}, 64) }),
		signature("the halves of the signature exchanged", func(sig []byte) any { return slices.Concat(sig[32:], sig[:32]) }),
		one("signed with associated data", func(f *frame) { f.aad = []byte("x") }),
		one("signed as a COSE_Signature", func(f *frame) { f.context = "Signature" }),
		one("signed as a COSE_Mac0", func(f *frame) { f.context = "MAC0" }),
		one("another content under the signature", func(f *frame) {
			f.carried = cosekit.MustMarshal(withOption(m.payload, []byte{0}))
		}),
		{name: m.name + ", its content detached", want: "204 cose-wrapper", send: to(m.path, m.framed(func(f *frame) {
			f.carried = cosekit.RawMessage{0xf6}
		}))},
		sign("in a COSE_Sign", newFrame(m.by.key, m.payload).part()),
		sign("in a COSE_Sign, no signature by its key", stranger.part(), newFrame(s.bob.key, m.payload).part()),
		{name: m.name + ", a bit flipped in every byte", want: refused, send: to(m.path, flipped(m)...)},
	}
}

// flipped changes every byte but those of the unprotected header, which no signature
// covers: what is wrong there has its own rows.
func flipped(m *message) (wires [][]byte) {
	header := pairs(labelKid, kid(m.by.key))
	start := bytes.Index(m.wire, header)
	for i := range m.wire {
		if i >= start && i < start+len(header) {
			continue
		}
		wire := bytes.Clone(m.wire)
		wire[i] ^= 1 << (i % 8)
		wires = append(wires, wire)
	}
	return wires
}

// wrongKeys has kids that do not fit, and signatures of others.
func wrongKeys(s *stage, m *message) []trial {
	one := func(name, want string, change func(*frame)) trial {
		return trial{name: m.name + ", " + name, want: want, send: to(m.path, m.framed(change))}
	}
	by := func(d *virtualDevice) func(*frame) {
		return func(f *frame) { f.by, f.protected = d.key, pairs(labelAlg, d.key.Algorithm()) }
	}
	named := func(key []byte) func(*frame) { return func(f *frame) { f.unprotected = pairs(labelKid, key) } }
	// Who is unknown may be asked for evidence; who brings it says there who it is.
	strange := map[*message]string{s.poll: "200 QueryRequest attestation-required", s.evidence: "204 cnf-mismatch", s.contact: "204 cnf-mismatch"}[m]
	if strange == "" {
		strange = "204 unknown-key"
	}
	rows := []trial{
		one("signed by a stranger under its kid", "204 signature", by(s.stranger)),
		one("signed by another agent under its kid", "204 signature", by(s.bob)),
		one("under the kid of another agent", "204 signature", named(kid(s.bob.key))),
		one("under the kid of nobody", strange, named(make([]byte, 32))),
		one("of a stranger under its own kid", strange, func(f *frame) { by(s.stranger)(f); named(kid(s.stranger.key))(f) }),
	}
	if m == s.evidence || m == s.contact { // found through cnf
		return append(rows,
			trial{name: m.name + ", without a kid", send: to(m.path, m.framed(func(f *frame) { f.unprotected = pairs() })), want: m.want, changes: m.changes},
			trial{name: m.name + ", a kid of 31 bytes", send: to(m.path, m.framed(named(kid(m.by.key)[:31]))), want: m.want, changes: m.changes},
			one("signed by a stranger without a kid", "204 signature", func(f *frame) { by(s.stranger)(f); f.unprotected = pairs() }))
	}
	return append(rows,
		one("without a kid", "204 key-missing", func(f *frame) { f.unprotected = pairs() }),
		one("a kid of no bytes", "204 key-missing", named([]byte{})),
		one("a kid of 31 bytes", "204 key-missing", named(kid(m.by.key)[:31])),
		one("a kid of 33 bytes", "204 key-missing", named(append(kid(m.by.key), 0))),
	)
}

// messagesOfTAM are for the TAM to send.
func messagesOfTAM(s *stage) []trial {
	one := func(name string, m teep.Message) trial {
		return trial{name: name, want: "204 unexpected-message", send: to(atTAM, s.alice.seal(m))}
	}
	return []trial{
		one("a QueryRequest of an agent", s.polled),
		one("an Update of an agent", &teep.Update{Token: s.polled.Token}),
		{name: "a QueryRequest of an agent in a COSE_Sign", want: "204 unexpected-message", send: to(atTAM,
			coseSign(must(teep.Encode(s.numbering, s.polled)), newFrame(s.alice.key, must(teep.Encode(s.numbering, s.polled))).part()))},
		{name: "a QueryRequest of the TAM, sent back", want: "204 unexpected-message", send: func(sc *scene) []request {
			return []request{{path: atTAM, body: sc.replica(0).do(sc.t.Context(), request{path: atTAM}).body}}
		}},
	}
}
