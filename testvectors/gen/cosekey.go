package main

import (
	"crypto/elliptic"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

func keyVector(name, covers string) testvectors.Vector {
	return testvectors.Vector{Name: "cose-key/" + name, Kind: testvectors.KindCOSEKey, Covers: covers}
}

// coseKeys adds public keys. A thumbprint is that of the required members only,
// whatever else a key has and however it is encoded (RFC 9679).
func (s *set) coseKeys() {
	m := agentKey.members()
	sign := must(cosekit.Bytes(m[keyY].(cosekit.RawMessage)))[31] & 1
	for _, k := range []struct {
		name, covers string
		key          key
		data         []byte
	}{
		{"p256", "a P-256 key", agentKey, agentKey.coseKey(nil)},
		{"ed25519", "an Ed25519 key", agentKeyEd, agentKeyEd.coseKey(nil)},
		{"p256-members", "kid, alg, key_ops and a base IV, which change no thumbprint", agentKey, agentKey.coseKey(map[int64]any{
			keyID: []byte("agent"), keyAlg: cosekit.ESP256, keyOps: []int{2}, keyBaseIV: []byte(long(8))})},
		{"ed25519-members", "alg, key_ops and a member whose label is text", agentKeyEd,
			append(cosekit.RawMessage{0xa6}, slices.Concat(agentKeyEd.coseKey(nil)[1:], encode(keyAlg), encode(cosekit.Ed25519),
				encode(keyOps), array(1, 2), encode("note"), encode("test"))...)},
		{"p256-compressed", "a point whose y is only its sign, which changes no thumbprint", agentKey, agentKey.coseKey(map[int64]any{keyY: sign == 1})},
		{"p256-legacy", "an alg under its name of RFC 9053, ES256", agentKey, agentKey.coseKey(map[int64]any{keyAlg: cosekit.LegacyES256})},
		{"p256-other-order", "members in another order than the deterministic one", agentKey,
			mapOf(keyY, m[keyY], keyX, m[keyX], keyCurve, 1, keyType, 2)},
	} {
		v := keyVector(k.name, k.covers)
		v.Thumbprint = thumbprint(k.key)
		s.valid(v, k.data, k.data)
	}
	s.refusedKeys()
}

func (s *set) refusedKeys() {
	m := agentKey.members()
	good := agentKey.coseKey(nil)
	p256 := func(label int64, value any) []byte { return agentKey.coseKey(map[int64]any{label: value}) }
	ed25519 := func(label int64, value any) []byte { return agentKeyEd.coseKey(map[int64]any{label: value}) }
	// x = p is not a coordinate: it is not less than the prime of the field.
	prime := elliptic.P256().Params().P.Bytes()
	for _, k := range []struct {
		name, covers string
		data         []byte
	}{
		{"private", "a P-256 key with its private member, where a public one is wanted", p256(keyD, agentKey.secret)},
		{"private-ed25519", "an Ed25519 key with its private member, where a public one is wanted", ed25519(keyD, agentKeyEd.secret)},
		{"off-curve", "a point that is not on its curve", p256(keyY, m[keyX])},
		{"x-prime", "an x that is the prime of the field", p256(keyX, prime)},
		{"x-31", "an x of 31 bytes", p256(keyX, []byte(long(31)))},
		{"x-33", "an x of 33 bytes", p256(keyX, []byte(long(33)))},
		{"x-text", "an x that is text", p256(keyX, long(32))},
		{"x-missing", "a key without x", p256(keyX, nil)},
		{"y-missing", "a P-256 key without y", p256(keyY, nil)},
		{"kty-missing", "a key without kty", p256(keyType, nil)},
		{"crv-missing", "a key without crv", p256(keyCurve, nil)},
		{"symmetric", "a symmetric key", mapOf(keyType, 4, keyCurve, []byte(long(32)))},
		{"p384", "a key on P-384, which is not used here", p256(keyCurve, 2)},
		{"x25519", "a key for key agreement", ed25519(keyCurve, 4)},
		{"kty-other", "an Ed25519 curve in a key of two coordinates", p256(keyCurve, 6)},
		{"ed25519-31", "an Ed25519 key of 31 bytes", ed25519(keyX, []byte(long(31)))},
		{"alg-other", "a P-256 key for Ed25519", p256(keyAlg, cosekit.Ed25519)},
		{"key-ops-sign", "key_ops without verify", p256(keyOps, []int{1})},
		{"trailing-byte", "a byte behind the key", append(slices.Clone(good), 0)},
		{"truncated", "a key without its last byte", good[:len(good)-1]},
		{"duplicate-member", "a key with two x", mapOf(keyType, 2, keyCurve, 1, keyX, m[keyX], keyX, m[keyX], keyY, m[keyY])},
		{"indefinite", "a key of indefinite length", slices.Concat([]byte{0xbf}, good[1:], []byte{0xff})},
		{"array", "an array of keys", array(cosekit.RawMessage(good))},
	} {
		s.refused(keyVector("refused-"+k.name, k.covers), testvectors.ReasonKey, k.data)
	}
}
