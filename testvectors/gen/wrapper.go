package main

import (
	"crypto/elliptic"
	"encoding/asn1"
	"math/big"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// The messages below are all the same; what varies is COSE.
var (
	response = must(teep.Encode(teep.IANA, &teep.QueryResponse{Token: token}))
	request  = must(teep.Encode(teep.IANA, &teep.QueryRequest{
		Token: token, CipherSuites: suites, COSEProfiles: profiles, DataItems: teep.ItemTrustedComponents,
	}))
)

func (s *set) wrappers() {
	for _, c := range goodForms() {
		s.valid(wrapperVector(c.name, c.covers, agentKey), response, c.build(agentKey, response))
	}
	for _, c := range slices.Concat(badHeaders(), badSignatures(), badFrames()) {
		s.refused(wrapperVector("refused-"+c.name, c.covers, agentKey), c.reason, c.build(agentKey, response))
	}
	s.legacyAlgorithms()
	s.otherSignatures()
	s.otherKeys()
	s.multipleSignatures()
	s.wholeMessages()
}

func wrapperVector(name, covers string, signer cosekit.Signer) testvectors.Vector {
	v := messageVector(teep.IANA, name, covers, signer)
	v.Name = "teep-wrapper/" + name
	return v
}

// change is a COSE_Sign1 that differs from the one that our encoder makes. It has a
// reason where it must be refused.
type change struct {
	name, covers string
	reason       testvectors.Reason
	make         func(*frame)
}

func (c change) build(k key, payload []byte) []byte {
	f := newFrame(k, payload)
	c.make(&f)
	return f.sign1(k)
}

func goodForms() []change {
	kid := thumbprint(agentKey)
	return []change{
		{"untagged", "a COSE_Sign1 without its tag", "", func(f *frame) { f.head = nil }},
		{"kid-protected", "kid in the protected header", "", func(f *frame) {
			f.protected, f.unprotected = mapOf(headerAlg, cosekit.ESP256, headerKeyID, kid), mapOf()
		}},
		{"kid-absent", "no kid: the recipient finds the key by other means", "", func(f *frame) { f.unprotected = mapOf() }},
		{"kid-short", "a kid that is no thumbprint and so names no key", "", func(f *frame) {
			f.unprotected = mapOf(headerKeyID, []byte("agent"))
		}},
		{"header-unknown", "unknown header parameters that are not critical", "", func(f *frame) {
			f.protected = mapOf(headerAlg, cosekit.ESP256, 4711, "protected")
			f.unprotected = mapOf(headerKeyID, kid, 4712, "unprotected")
		}},
		{"crit-known", "a critical header parameter that is understood", "", func(f *frame) {
			f.protected, f.unprotected = mapOf(headerAlg, cosekit.ESP256, headerCrit, []int{headerKeyID}, headerKeyID, kid), mapOf()
		}},
	}
}

func badHeaders() []change {
	kid := thumbprint(agentKey)
	alg := cosekit.ESP256
	protected := func(header cosekit.RawMessage) func(*frame) {
		return func(f *frame) { f.protected = header }
	}
	unprotected := func(header cosekit.RawMessage) func(*frame) {
		return func(f *frame) { f.unprotected = header }
	}
	const malformed = testvectors.ReasonMalformed
	return []change{
		{"alg-missing", "no alg", testvectors.ReasonAlgorithm, protected(nil)},
		{"alg-unprotected", "alg in the unprotected header only", testvectors.ReasonAlgorithm, func(f *frame) {
			f.protected, f.unprotected = nil, mapOf(headerAlg, alg, headerKeyID, kid)
		}},
		{"alg-both", "alg in both headers", malformed, unprotected(mapOf(headerAlg, alg, headerKeyID, kid))},
		{"kid-both", "kid in both headers", malformed, protected(mapOf(headerAlg, alg, headerKeyID, kid))},
		{"kid-text", "a kid that is text", malformed, unprotected(mapOf(headerKeyID, "agent"))},
		{"alg-twice", "alg twice in the protected header", malformed, protected(mapOf(headerAlg, alg, headerAlg, alg))},
		{"kid-twice", "kid twice in the unprotected header", malformed, unprotected(mapOf(headerKeyID, kid, headerKeyID, kid))},
		{"crit-unknown", "a critical header parameter that nobody understands", testvectors.ReasonCriticalHeader,
			protected(mapOf(headerAlg, alg, headerCrit, []int{4711}, 4711, 1))},
		{"crit-absent", "a critical header parameter that is not there", malformed, protected(mapOf(headerAlg, alg, headerCrit, []int{4711}))},
		{"crit-empty", "an empty list of critical header parameters", malformed, protected(mapOf(headerAlg, alg, headerCrit, []int{}))},
		{"crit-unprotected", "a critical header parameter in the unprotected header", malformed, func(f *frame) {
			f.protected = mapOf(headerAlg, alg, headerCrit, []int{headerKeyID})
		}},
		{"protected-indefinite", "a protected header of indefinite length", malformed, protected(slices.Concat(
			cosekit.RawMessage{0xbf}, mapOf(headerAlg, alg)[1:], cosekit.RawMessage{0xff}))},
		{"protected-trailing-byte", "a byte behind the map in the protected header", malformed, protected(append(mapOf(headerAlg, alg), 0))},
		{"protected-array", "a protected header that is an array", malformed, protected(array(headerAlg, alg))},
		{"unprotected-array", "an unprotected header that is an array", malformed, unprotected(array(headerKeyID, kid))},
		{"alg-other-key", "an algorithm of another kind of key", testvectors.ReasonAlgorithm, protected(mapOf(headerAlg, cosekit.Ed25519))},
		{"alg-unsupported", "an algorithm that is not spoken here, ES384", testvectors.ReasonAlgorithm, protected(mapOf(headerAlg, -35))},
		{"alg-mac", "an algorithm that is not a signature, HMAC 256", testvectors.ReasonAlgorithm, protected(mapOf(headerAlg, 5))},
	}
}

func badSignatures() []change {
	signature := func(change func([]byte) []byte) func(*frame) {
		return func(f *frame) { f.signature = change }
	}
	const fault = testvectors.ReasonSignature
	return []change{
		{"signature-flipped", "one bit of the signature flipped", fault, signature(func(b []byte) []byte {
			b[len(b)-1] ^= 1
			return b
		})},
		{"signature-zeros", "a signature of zero bytes (r = s = 0)", fault, signature(func(b []byte) []byte { return make([]byte, len(b)) })},
		{"signature-short", "a signature without its last byte", fault, signature(func(b []byte) []byte { return b[:len(b)-1] })},
		{"signature-long", "a signature with a byte more", fault, signature(func(b []byte) []byte { return append(b, 0) })},
		{"signature-der", "an ECDSA signature in DER, not as r and s", fault, signature(func(b []byte) []byte {
			half := len(b) / 2
			return must(asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(b[:half]), new(big.Int).SetBytes(b[half:])}))
		})},
		{"signature-swapped", "a signature with r and s in the other order", fault, signature(func(b []byte) []byte {
			return slices.Concat(b[len(b)/2:], b[:len(b)/2])
		})},
		{"payload-other", "another payload than the one that was signed", fault, func(f *frame) {
			f.carried = must(teep.Encode(teep.IANA, &teep.QueryResponse{Token: bytes32("another token")}))
		}},
		{"header-other", "another protected header than the one that was signed", fault, func(f *frame) {
			f.protected = mapOf(headerAlg, cosekit.ESP256, 4711, 1)
			f.signature = func([]byte) []byte { return newFrame(agentKey, response).sum(agentKey) }
		}},
		{"external-aad", "signed with external_aad", fault, func(f *frame) { f.aad = []byte("something") }},
		{"context-other", "signed as something else than a COSE_Sign1", fault, func(f *frame) { f.context = "CounterSignature" }},
	}
}

func badFrames() []change {
	head := func(tag ...byte) func(*frame) { return func(f *frame) { f.head = tag } }
	const malformed = testvectors.ReasonMalformed
	return []change{
		{"signature-empty", "an empty signature", malformed, func(f *frame) { f.signature = func([]byte) []byte { return nil } }},
		{"tag-mac0", "the tag of a COSE_Mac0", malformed, head(tagMac0)},
		{"tag-sign", "the tag of a COSE_Sign", malformed, head(tagSign...)},
		{"tag-cwt", "a CWT tag around the COSE_Sign1", malformed, head(0xd8, 61, tagSign1)},
		{"payload-text", "a payload that is text", malformed, func(f *frame) { f.carried = "text" }},
		{"payload-detached", "a detached payload", testvectors.ReasonWrapper, func(f *frame) { f.carried = null }},
		{"payload-array", "a payload that is not in a byte string", malformed, func(f *frame) { f.carried = cosekit.RawMessage(f.payload) }},
	}
}

// otherSignatures adds signatures that anybody can make out of a good one.
func (s *set) otherSignatures() {
	v := wrapperVector("signature-negated", "a signature with n-s in place of s, which is as good: the bytes of a message do not identify it", agentKey)
	f := newFrame(agentKey, response)
	f.signature = func(b []byte) []byte {
		half := len(b) / 2
		n := elliptic.P256().Params().N
		new(big.Int).Sub(n, new(big.Int).SetBytes(b[half:])).FillBytes(b[half:])
		return b
	}
	s.valid(v, response, f.sign1(agentKey))

	v = wrapperVector("refused-signature-order", "an Ed25519 signature with the group's order added to S, which RFC 8032 section 5.1.7 refuses", agentKeyEd)
	f = newFrame(agentKeyEd, response)
	f.signature = func(b []byte) []byte {
		half := len(b) / 2
		sum := new(big.Int).SetBytes(reversed(b[half:]))
		sum.Add(sum, orderEd25519)
		return append(b[:half], reversed(sum.FillBytes(make([]byte, half)))...)
	}
	s.refused(v, testvectors.ReasonSignature, f.sign1(agentKeyEd))
}

// orderEd25519 is the order of the group, 2^252 + 27742317777372353535851937790883648493.
var orderEd25519, _ = new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)

// reversed returns the bytes in the other order: Ed25519 is little-endian.
func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// legacyAlgorithms adds the polymorphic names of RFC 9053, for recipients that allow
// them and for those that do not.
func (s *set) legacyAlgorithms() {
	for _, k := range []key{agentKey, agentKeyEd} {
		old := legacy{k}
		name := cosekit.AlgorithmName(old.Algorithm())
		data := newFrame(old, response).sign1(old)
		v := wrapperVector("legacy-"+name, "a signature under the name "+name+", where the recipient allows it", k)
		v.Legacy = true
		s.valid(v, response, data)
		s.refused(wrapperVector("refused-legacy-"+name, "a signature under the name "+name+", where the recipient does not allow it", k),
			testvectors.ReasonAlgorithm, data)
	}
	v := wrapperVector("refused-legacy-other-key", "ES256 under an Ed25519 key, where legacy names are allowed", agentKeyEd)
	v.Legacy = true
	f := newFrame(agentKeyEd, response)
	f.protected = mapOf(headerAlg, cosekit.LegacyES256)
	s.refused(v, testvectors.ReasonAlgorithm, f.sign1(agentKeyEd))
}

// otherKeys adds what is signed, correctly, by somebody else.
func (s *set) otherKeys() {
	s.refused(wrapperVector("refused-stranger", "signed by a key that is not the recipient's, which kid says", agentKey),
		testvectors.ReasonSignature, newFrame(strangerKey, response).sign1(strangerKey))
	pretending := newFrame(strangerKey, response)
	pretending.unprotected = mapOf(headerKeyID, thumbprint(agentKey))
	s.refused(wrapperVector("refused-stranger-pretending", "signed by a stranger under the kid of the recipient's key", agentKey),
		testvectors.ReasonSignature, pretending.sign1(strangerKey))
	silent := newFrame(strangerKey, response)
	silent.unprotected = mapOf()
	s.refused(wrapperVector("refused-stranger-silent", "signed by a stranger without a kid", agentKey),
		testvectors.ReasonSignature, silent.sign1(strangerKey))
	carrying := newFrame(strangerKey, response)
	carrying.protected = mapOf(headerAlg, cosekit.ESP256, headerCWTClaims, cosekit.ConfirmationHeader(strangerKey.PublicKey()))
	carrying.unprotected = mapOf()
	s.refused(wrapperVector("refused-stranger-cnf", "signed by a stranger whose key is in the header", agentKey),
		testvectors.ReasonSignature, carrying.sign1(strangerKey))
}

// multipleSignatures adds COSE_Signs: they are for QueryRequests.
func (s *set) multipleSignatures() {
	part := func(k key, change func(*frame)) cosekit.RawMessage {
		f := newFrame(k, request)
		if change != nil {
			change(&f)
		}
		return f.part(k)
	}
	refuse := func(name, covers string, reason testvectors.Reason, data []byte) {
		s.refused(wrapperVector("refused-sign-"+name, covers, tamKey), reason, data)
	}
	good := part(tamKey, nil)
	untagged := coseSign(request, good)[len(tagSign):]
	s.valid(wrapperVector("sign-untagged", "a COSE_Sign without its tag", tamKey), request, untagged)

	refuse("none", "a COSE_Sign with an empty array of signatures", testvectors.ReasonMalformed, coseSign(request))
	refuse("17", "a COSE_Sign with 17 signatures", testvectors.ReasonMalformed, coseSign(request, slices.Repeat([]any{good}, 17)...))
	refuse("strangers", "a COSE_Sign without a signature by the recipient's key", testvectors.ReasonSignature,
		coseSign(request, part(strangerKey, nil), part(strangerKeyEd, nil)))
	refuse("alg-unprotected", "a COSE_Signature with alg in its unprotected header only", testvectors.ReasonAlgorithm,
		coseSign(request, part(tamKey, func(f *frame) {
			f.protected, f.unprotected = nil, mapOf(headerAlg, cosekit.ESP256, headerKeyID, thumbprint(tamKey))
		})))
	refuse("kid-both", "a COSE_Signature with kid in both headers", testvectors.ReasonMalformed,
		coseSign(request, part(tamKey, func(f *frame) {
			f.protected = mapOf(headerAlg, cosekit.ESP256, headerKeyID, thumbprint(tamKey))
		})))
	refuse("as-sign1", "a COSE_Signature that was signed as a COSE_Sign1", testvectors.ReasonSignature,
		coseSign(request, sign1Parts(tamKey, request)))
	refuse("tag-sign1", "a COSE_Sign with the tag of a COSE_Sign1", testvectors.ReasonMalformed, append([]byte{tagSign1}, untagged...))

	answer := newFrame(agentKey, response)
	s.refused(wrapperVector("refused-sign-response", "a QueryResponse in a COSE_Sign", agentKey),
		testvectors.ReasonWrapper, coseSign(response, answer.part(agentKey)))
}

// sign1Parts returns a COSE_Signature with the signature of a COSE_Sign1.
func sign1Parts(k key, payload []byte) cosekit.RawMessage {
	f := newFrame(k, payload)
	return array(f.protectedBytes(), f.unprotected, f.sum(k))
}

// wholeMessages adds faults that are in no part of the message.
func (s *set) wholeMessages() {
	good := newFrame(agentKey, response).sign1(agentKey)
	array5 := slices.Concat(good[:1], []byte{0x85}, good[2:], []byte{0xf6})
	for _, w := range []struct {
		name, covers string
		data         []byte
	}{
		{"nothing", "no bytes", []byte{}},
		{"trailing-byte", "a byte behind the COSE_Sign1", append(slices.Clone(good), 0)},
		{"twice", "two messages in one", append(slices.Clone(good), good...)},
		{"truncated", "a COSE_Sign1 without its last byte", good[:len(good)-1]},
		{"five-elements", "an array of five elements", array5},
		{"indefinite", "a COSE_Sign1 of indefinite length", slices.Concat(good[:1], []byte{0x9f}, good[2:], []byte{0xff})},
		{"unsigned", "a TEEP message without COSE", response},
		{"bytes", "a COSE_Sign1 in a byte string", cosekit.MustMarshal(good)},
		{"envelope", "a SUIT envelope", must(integrated().Encode(true))},
		{"json", "JSON", []byte(`{"type":2}`)},
	} {
		s.refused(wrapperVector("refused-"+w.name, w.covers, agentKey), testvectors.ReasonMalformed, w.data)
	}
}
