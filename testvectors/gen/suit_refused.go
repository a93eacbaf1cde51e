package main

import (
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// goodBlocks adds authentication that our encoder does not write.
func (s *set) goodBlocks() {
	manifest := elementOf(bare(byURI()), keyManifest)
	add := func(v testvectors.Vector, change func(*envelope)) {
		e := newEnvelope(manifest)
		change(&e)
		s.valid(v, manifest, e.encode())
	}
	two := envelopeVector("two-blocks", "two authentication blocks; either is enough", publisherKey)
	two.Keys = []string{publisherKey.name, publisherKeyEd.name}
	add(two, func(e *envelope) { e.blocks = append(e.blocks, e.block(publisherKeyEd, nil)) })
	add(envelopeVector("second-block", "a block by a stranger in front of the publisher's", publisherKey), func(e *envelope) {
		e.blocks = []any{e.block(strangerKey, nil), e.blocks[0]}
	})
	add(envelopeVector("kid-absent", "a block that names no key", publisherKey), func(e *envelope) {
		e.blocks = []any{e.block(publisherKey, func(f *frame) { f.unprotected = mapOf() })}
	})
	add(envelopeVector("block-sign", "a block that is a COSE_Sign", publisherKey), func(e *envelope) {
		f := newFrame(publisherKey, e.digest)
		e.blocks = []any{[]byte(slices.Concat(tagSign, array([]byte{}, mapOf(), null, array(f.part(publisherKey)))))}
	})
	add(envelopeVector("element-unknown", "an element of the envelope that no draft has", publisherKey), func(e *envelope) {
		e.more = []any{4711, []byte("unknown")}
	})
	old := legacy{publisherKey}
	v := envelopeVector("legacy-ES256", "a signature under the name ES256, where the recipient allows it", publisherKey)
	v.Legacy = true
	add(v, func(e *envelope) { e.blocks = []any{e.block(old, nil)} })
}

// envelopeFault is an envelope that must be refused.
type envelopeFault struct {
	name, covers string
	reason       testvectors.Reason
	change       func(*envelope)
}

func (s *set) refusedEnvelopes() {
	manifest := smallManifest()
	for _, f := range slices.Concat(badBlocks(), badDigests(manifest), badElements()) {
		e := newEnvelope(manifest)
		f.change(&e)
		s.refused(envelopeVector("refused-"+f.name, f.covers, publisherKey), f.reason, e.encode())
	}
	for _, m := range slices.Concat(badManifests(manifest), badFamilyManifests(manifest)) {
		s.refused(envelopeVector("refused-manifest-"+m.name, m.covers, publisherKey), m.reason, newEnvelope(m.manifest).encode())
	}
	s.badEnvelopes(newEnvelope(manifest))
}

func badBlocks() []envelopeFault {
	block := func(k cosekit.Signer, change func(*frame)) func(*envelope) {
		return func(e *envelope) { e.blocks = []any{e.block(k, change)} }
	}
	kid := thumbprint(publisherKey)
	return []envelopeFault{
		{"not-signed", "an envelope without an authentication block", testvectors.ReasonNotSigned, func(e *envelope) { e.blocks = nil }},
		{"stranger", "signed by somebody whom the recipient does not know", testvectors.ReasonUnknownSigner, block(strangerKey, nil)},
		{"stranger-pretending", "signed by a stranger under the kid of the publisher", testvectors.ReasonSignature,
			block(strangerKey, func(f *frame) { f.unprotected = mapOf(headerKeyID, kid) })},
		{"signature-flipped", "one bit of the signature flipped", testvectors.ReasonSignature, block(publisherKey, func(f *frame) {
			f.signature = func(b []byte) []byte { b[0] ^= 1; return b }
		})},
		{"signature-zeros", "a signature of zero bytes (r = s = 0)", testvectors.ReasonSignature, block(publisherKey, func(f *frame) {
			f.signature = func(b []byte) []byte { return make([]byte, len(b)) }
		})},
		{"block-attached", "a block that carries its payload", testvectors.ReasonMalformed, block(publisherKey, func(f *frame) { f.carried = f.payload })},
		{"block-untagged", "a block without a COSE tag", testvectors.ReasonBlock, block(publisherKey, func(f *frame) { f.head = nil })},
		{"block-mac0", "a block that is a COSE_Mac0", testvectors.ReasonBlock, block(publisherKey, func(f *frame) { f.head = []byte{tagMac0} })},
		{"block-alg-unprotected", "a block with alg in the unprotected header only", testvectors.ReasonAlgorithm, block(publisherKey, func(f *frame) {
			f.protected, f.unprotected = nil, mapOf(headerAlg, cosekit.ESP256, headerKeyID, kid)
		})},
		{"block-crit", "a block with a critical header parameter that nobody understands", testvectors.ReasonCriticalHeader,
			block(publisherKey, func(f *frame) { f.protected = mapOf(headerAlg, cosekit.ESP256, headerCrit, []int{4711}, 4711, 1) })},
		{"block-legacy", "a signature under the name ES256, where the recipient does not allow it", testvectors.ReasonAlgorithm, block(legacy{publisherKey}, nil)},
		{"block-manifest", "a signature over the manifest, not over its digest", testvectors.ReasonSignature, func(e *envelope) {
			e.blocks = []any{e.block(publisherKey, func(f *frame) { f.payload = e.manifest })}
		}},
		{"block-sign-empty", "a COSE_Sign with an empty array of signatures", testvectors.ReasonMalformed, func(e *envelope) {
			e.blocks = []any{[]byte(slices.Concat(tagSign, array([]byte{}, mapOf(), null, array())))}
		}},
		{"blocks-9", "nine authentication blocks", testvectors.ReasonLimit, func(e *envelope) { e.blocks = slices.Repeat(e.blocks, 9) }},
	}
}

func badDigests(manifest []byte) []envelopeFault {
	digest := func(algorithm int, sum []byte) func(*envelope) {
		return func(e *envelope) {
			e.digest = cosekit.MustMarshal([]any{algorithm, sum})
			e.blocks = []any{e.block(publisherKey, nil)}
		}
	}
	return []envelopeFault{
		{"manifest-other", "another manifest than the one that was signed", testvectors.ReasonDigest, func(e *envelope) {
			e.manifest = changedMap(manifest, map[int64]any{keySequence: 4})
		}},
		{"digest-content", "a signed digest of the manifest without the head of its byte string", testvectors.ReasonDigest,
			digest(int(suit.SHA256), suit.SumSHA256(manifest).Bytes)},
		{"digest-short", "a SHA-256 digest of 31 bytes", testvectors.ReasonMalformed, digest(int(suit.SHA256), []byte(long(31)))},
		{"digest-algorithm", "a signed digest of an algorithm that is not supported, SHA-1", testvectors.ReasonDigestAlgorithm,
			digest(-14, []byte(long(20)))},
	}
}

func badElements() []envelopeFault {
	install := array(int64(suit.DirectiveFetch), 2)
	return []envelopeFault{
		{"element-without-digest", "an install section in the envelope that the manifest holds no digest of", testvectors.ReasonDigest,
			func(e *envelope) { e.more = []any{keyInstall, []byte(install)} }},
		{"element-other", "another install section than the one that was signed", testvectors.ReasonDigest, func(e *envelope) {
			*e = newEnvelope(elementOf(must(severable().Encode(true)), keyManifest))
			e.more = []any{keyInstall, []byte(install)}
		}},
		{"payload-text", "an integrated payload that is text", testvectors.ReasonMalformed, func(e *envelope) { e.more = []any{"#payload", payload} }},
		{"order", "an element behind one with a higher key", testvectors.ReasonMalformed, func(e *envelope) {
			e.more = []any{4712, []byte("later"), 4711, []byte("sooner")}
		}},
		{"duplicate-element", "the same unknown element twice", testvectors.ReasonMalformed, func(e *envelope) {
			e.more = []any{4711, []byte("one"), 4711, []byte("two")}
		}},
	}
}

// badEnvelopes adds envelopes that cannot be put together from good parts.
func (s *set) badEnvelopes(e envelope) {
	good := e.encode()
	auth := e.authentication()
	tagged := func(items ...any) []byte { return slices.Concat(tagEnvelope, mapOf(items...)) }
	for _, f := range []struct {
		name, covers string
		data         []byte
	}{
		{"trailing-byte", "a byte behind the envelope", append(slices.Clone(good), 0)},
		{"truncated", "an envelope without its last byte", good[:len(good)-1]},
		{"no-authentication", "an envelope without authentication wrapper", tagged(keyManifest, e.manifest)},
		{"no-manifest", "an envelope without manifest", tagged(keyAuthentication, auth)},
		{"manifest-first", "the manifest in front of its authentication", tagged(keyManifest, e.manifest, keyAuthentication, auth)},
		{"authentication-array", "an authentication wrapper that is not in a byte string", tagged(keyAuthentication, cosekit.RawMessage(auth), keyManifest, e.manifest)},
		{"authentication-empty", "an authentication wrapper without a digest", tagged(keyAuthentication, []byte(array()), keyManifest, e.manifest)},
		{"authentication-trailing-byte", "a byte behind the array in the authentication wrapper", tagged(keyAuthentication, append(slices.Clone(auth), 0), keyManifest, e.manifest)},
		{"array", "an envelope that is an array", slices.Concat(tagEnvelope, array(auth, e.manifest))},
		{"tag", "an envelope with the tag of a manifest", slices.Concat([]byte{0xd9, 0x04, 0x2e}, good[2:])},
		{"indefinite", "an envelope of indefinite length", slices.Concat(tagEnvelope, []byte{0xbf}, good[3:], []byte{0xff})},
	} {
		s.refused(envelopeVector("refused-"+f.name, f.covers, publisherKey), testvectors.ReasonMalformed, f.data)
	}
}

// badManifest is a manifest that must be refused, although its signature is good.
type badManifest struct {
	name, covers string
	reason       testvectors.Reason
	manifest     []byte
}

func badManifests(good []byte) []badManifest {
	const malformed = testvectors.ReasonMalformed
	with := func(key int64, value any) []byte { return changedMap(good, map[int64]any{key: value}) }
	common := must(cosekit.Bytes(elements(good)[keyCommon]))
	inCommon := func(key int64, value any) []byte {
		return with(keyCommon, changedMap(common, map[int64]any{key: value}))
	}
	install := func(commands ...any) []byte { return with(keyInstall, []byte(array(commands...))) }
	nested := []byte(array(3, 15))
	for range suit.MaxSequenceDepth + 1 {
		nested = array(int64(suit.DirectiveRunSequence), nested)
	}
	parameters := func(label int64, value any) []byte {
		return install(int64(suit.DirectiveOverrideParameters), mapOf(label, value))
	}
	pairs := elements(good)
	return []badManifest{
		{"no-version", "a manifest without version", malformed, with(keyVersion, nil)},
		{"no-sequence-number", "a manifest without sequence number", malformed, with(keySequence, nil)},
		{"no-common", "a manifest without common", malformed, with(keyCommon, nil)},
		{"sequence-number-negative", "a negative sequence number", malformed, with(keySequence, -1)},
		{"components-empty", "an empty list of components", malformed, inCommon(keyComponents, array())},
		{"order", "a manifest whose keys are not in deterministic order", malformed,
			mapOf(keySequence, pairs[keySequence], keyVersion, pairs[keyVersion], keyCommon, pairs[keyCommon])},
		{"duplicate-key", "a manifest with two sequence numbers", malformed,
			mapOf(keyVersion, 1, keySequence, 3, keySequence, 4, keyCommon, pairs[keyCommon])},
		{"trailing-byte", "a byte behind the manifest", malformed, append(slices.Clone(good), 0)},
		{"validate-digest", "the digest of a section that is not severable", malformed, with(keyValidate, suit.SumSHA256(good))},
		{"sequence-empty", "an empty command sequence", malformed, install()},
		{"sequence-odd", "a command without its argument", malformed, install(3, 15, 21)},
		{"sequence-array", "a command sequence that is not in a byte string", malformed, with(keyInstall, array(3, 15))},
		{"command-0", "the reserved command 0", malformed, install(0, 15)},
		{"condition-text", "a condition whose argument is text", malformed, install(3, "always")},
		{"try-each-one", "try-each with a single alternative", malformed, install(15, array([]byte(array(3, 15))))},
		{"component-index-false", "a component index of false", malformed, install(12, false)},
		{"parameters-empty", "override-parameters without a parameter", malformed, install(20, mapOf())},
		{"vendor-id-15", "a vendor id of 15 bytes", malformed, parameters(1, []byte(long(15)))},
		{"digest-31", "an image digest of 31 bytes", malformed, parameters(3, []byte(array(int64(suit.SHA256), []byte(long(31)))))},
		{"size-negative", "a negative image size", malformed, parameters(14, -1)},
		{"uri-2049", "a URI of 2049 bytes", testvectors.ReasonLimit, parameters(21, "https://"+long(2041))},
		{"depth", "run-sequence nested nine deep", testvectors.ReasonLimit, with(keyInstall, nested)},
		{"shared-empty", "an empty shared sequence", malformed, inCommon(keyShared, []byte(array()))},
	}
}
