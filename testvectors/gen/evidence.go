package main

import (
	"crypto/sha256"
	"slices"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// Labels of a PSA token (RFC 9783 section 4).
const (
	psaClientID       int64 = 2394
	psaLifecycle      int64 = 2395
	psaImplementation int64 = 2396
	psaSoftware       int64 = 2399
)

// psaFormat is the media type of the PSA tokens in bound bundles.
const psaFormat = `application/eat+cwt; eat_profile="` + evidence.ProfilePSA + `"`

// psaClaims are those of a secured device with one component.
func psaClaims(nonce []byte) []byte {
	identity := thumbprint(attesterKey)
	return cosekit.MustMarshal(map[int64]any{
		claimProfile: evidence.ProfilePSA, claimNonce: nonce,
		claimUEID: append([]byte{1}, identity...), psaImplementation: bytes32("implementation"),
		psaClientID: 1, psaLifecycle: 0x3000,
		psaSoftware: []any{map[int]any{1: "BL", 2: bytes32("bootloader"), 4: "1.4.0", 5: bytes32("signer")}},
	})
}

// psaToken signs claims under the name of the algorithm that RFC 9783 has.
func psaToken(k key, claims []byte) []byte { return newFrame(legacy{k}, claims).sign1(legacy{k}) }

// boundClaims is the claims set of a bundle by the attester.
func boundClaims() []byte { return must(attest.EncodeClaims(claimsFor(agentKey, challenge))) }

// bundleOf binds a PSA token to a claims set.
func bundleOf(claimsSet []byte) []byte {
	nonce := sha256.Sum256(claimsSet)
	return array(claimsSet, psaToken(attesterKey, psaClaims(nonce[:])))
}

func bundleVector(name, covers string) testvectors.Vector {
	return testvectors.Vector{
		Name: "bound-evidence/" + name, Kind: testvectors.KindBundle, Covers: covers, Keys: []string{attesterKey.name},
		MediaType: evidence.BundleFormat(psaFormat), Agent: agentKey.name,
	}
}

// bundles are PSA tokens that are bound to a claims set, and so to an agent's key.
func (s *set) bundles() {
	claims := boundClaims()
	s.valid(bundleVector("psa", "a PSA token whose nonce is the SHA-256 of a claims set"), claims, bundleOf(claims))
	named := changedMap(claims, map[int64]any{claimCnf: mapOf(3, thumbprint(agentKey))})
	s.valid(bundleVector("cnf-thumbprint", "a claims set that only names the key, by kid"), named, bundleOf(named))

	nonce := sha256.Sum256(claims)
	good := psaClaims(nonce[:])
	other := changedMap(claims, map[int64]any{claimNonce: bytes32("another challenge")})
	stranger := changedMap(claims, map[int64]any{claimCnf: mapOf(1, cosekit.RawMessage(strangerKey.PublicKey().COSEKey()))})
	twice := slices.Concat([]byte{good[0] + 1}, good[1:], cosekit.MustMarshal(claimNonce), cosekit.MustMarshal(nonce[:]))
	flipped := newFrame(legacy{attesterKey}, good)
	flipped.signature = func(b []byte) []byte { b[0] ^= 1; return b }
	for _, e := range []struct {
		name, covers string
		reason       testvectors.Reason
		data         []byte
	}{
		{"other-claims", "a claims set that is not the one which the token commits to", testvectors.ReasonNonce,
			array(stranger, psaToken(attesterKey, good))},
		{"nonce-challenge", "a token whose nonce is the challenge, and binds nothing", testvectors.ReasonNonce,
			array(claims, psaToken(attesterKey, psaClaims(challenge)))},
		{"nonce-other", "a bundle over another challenge", testvectors.ReasonNonce, bundleOf(other)},
		{"cnf-other", "a bundle that vouches for another key than the agent's", testvectors.ReasonCnfMismatch, bundleOf(stranger)},
		{"no-cnf", "a claims set without a key", testvectors.ReasonClaimsMissing, bundleOf(changedMap(claims, map[int64]any{claimCnf: nil}))},
		{"no-ueid", "a claims set without ueid", testvectors.ReasonClaimsMissing, bundleOf(changedMap(claims, map[int64]any{claimUEID: nil}))},
		{"stranger", "a token by somebody whom nobody trusts", testvectors.ReasonSignature, array(claims, psaToken(strangerKey, good))},
		{"signature-flipped", "one bit of the token's signature flipped", testvectors.ReasonSignature, array(claims, flipped.sign1(legacy{attesterKey}))},
		{"duplicate", "a token with the same claim twice", testvectors.ReasonClaims, array(claims, psaToken(attesterKey, twice))},
		{"no-software", "a token without the software components that its profile requires", testvectors.ReasonClaims,
			array(claims, psaToken(attesterKey, changedMap(good, map[int64]any{psaSoftware: nil})))},
		{"token-only", "a claims set without a token", testvectors.ReasonNotEAT, array(claims)},
		{"third-element", "a third element", testvectors.ReasonNotEAT, array(claims, psaToken(attesterKey, good), []byte{})},
		{"trailing-byte", "a byte behind the bundle", testvectors.ReasonNotEAT, append(bundleOf(claims), 0)},
		{"unsigned", "claims in place of a token", testvectors.ReasonNotEAT, array(claims, good)},
	} {
		s.refused(bundleVector("refused-"+e.name, e.covers), e.reason, e.data)
	}
}

func encryptedVector(name, covers string, k key) testvectors.Vector {
	return testvectors.Vector{
		Name: "eat-encrypted/" + name, Kind: testvectors.KindEncryptedEAT, Covers: covers,
		Keys: []string{k.name}, DecryptionKeys: []string{tamECDH.name},
	}
}

// encryptedEATs are evidence that only the TAM can read (draft-ietf-teep-protocol-26
// section 10).
func (s *set) encryptedEATs() {
	token := evidenceFor(agentKey, challenge)
	claims := payloadOf(token)
	seal := func(name string, content cosekit.Algorithm, context cosekit.KDFContext, to agreement, plain []byte) []byte {
		e := encryption("evidence "+name, content, to.PublicKey())
		e.Context = context
		return must(e.Seal(plain))
	}
	for _, e := range []struct {
		name    string
		content cosekit.Algorithm
	}{{"gcm", cosekit.A128GCM}, {"ctr", cosekit.A128CTR}, {"chacha20", cosekit.ChaCha20Poly1305}} {
		v := encryptedVector(e.name, "evidence, signed and then encrypted to the TAM, with "+cosekit.AlgorithmName(e.content), attesterKey)
		s.valid(v, claims, seal(e.name, e.content, cosekit.EATEncryption, tamECDH, token))
	}
	changed := seal("changed", cosekit.A128GCM, cosekit.EATEncryption, tamECDH, token)
	changed[40] ^= 1 // inside the ciphertext
	ctr := seal("signature", cosekit.A128CTR, cosekit.EATEncryption, tamECDH, must(attest.SignEAT(claimsFor(agentKey, challenge), strangerKey)))
	for _, e := range []struct {
		name, covers string
		reason       testvectors.Reason
		data         []byte
	}{
		{"changed", "one bit of the ciphertext flipped", testvectors.ReasonDecryption, changed},
		{"stranger", "evidence that is encrypted to somebody else", testvectors.ReasonDecryption,
			seal("stranger", cosekit.A128GCM, cosekit.EATEncryption, strangerECDH, token)},
		{"context", "a key that was agreed on for a report", testvectors.ReasonDecryption,
			seal("context", cosekit.A128GCM, cosekit.ReportEncryption, tamECDH, token)},
		{"signature", "evidence by somebody whom nobody trusts, inside", testvectors.ReasonSignature, ctr},
		{"unsigned", "claims that are encrypted and not signed", testvectors.ReasonNotEAT,
			seal("unsigned", cosekit.A128GCM, cosekit.EATEncryption, tamECDH, claims)},
	} {
		s.refused(encryptedVector("refused-"+e.name, e.covers, attesterKey), e.reason, e.data)
	}
}
