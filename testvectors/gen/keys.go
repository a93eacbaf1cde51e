package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"io"

	"filippo.io/mldsa"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// key is a stated key pair.
type key struct {
	cosekit.Signer
	name, use string
	secret    []byte
}

var (
	tamKey         = newKey("tam-p256", cosekit.ESP256, "a TAM, for TEEP messages")
	tamKeyEd       = newKey("tam-ed25519", cosekit.Ed25519, "a TAM, for TEEP messages")
	agentKey       = newKey("agent-p256", cosekit.ESP256, "a TEEP agent, for TEEP messages")
	agentKeyEd     = newKey("agent-ed25519", cosekit.Ed25519, "a TEEP agent, for TEEP messages")
	attesterKey    = newKey("attester-p256", cosekit.ESP256, "a device's attester, for EATs")
	attesterKeyEd  = newKey("attester-ed25519", cosekit.Ed25519, "a device's attester, for EATs")
	reportKey      = newKey("report-p256", cosekit.ESP256, "a TEEP agent, for SUIT_Reports")
	reportKeyEd    = newKey("report-ed25519", cosekit.Ed25519, "a TEEP agent, for SUIT_Reports")
	publisherKey   = newKey("publisher-p256", cosekit.ESP256, "a publisher, for SUIT manifests")
	publisherKeyEd = newKey("publisher-ed25519", cosekit.Ed25519, "a publisher, for SUIT manifests")
	strangerKey    = newKey("stranger-p256", cosekit.ESP256, "somebody whom no recipient knows")
	strangerKeyEd  = newKey("stranger-ed25519", cosekit.Ed25519, "somebody whom no recipient knows")
	verifierKey    = newKey("verifier-p256", cosekit.ESP256, "a verifier, for attestation results")
	providerKey    = newKey("provider-p256", cosekit.ESP256, "a reference-value provider, for CoRIM files")
	publisherKey44 = newKey("publisher-mldsa44", cosekit.MLDSA44, "a publisher, for SUIT manifests")
	publisherKey65 = newKey("publisher-mldsa65", cosekit.MLDSA65, "a publisher, for SUIT manifests")
	keys           = []key{tamKey, tamKeyEd, agentKey, agentKeyEd, attesterKey, attesterKeyEd, reportKey, reportKeyEd,
		publisherKey, publisherKeyEd, publisherKey44, publisherKey65, verifierKey, providerKey, strangerKey, strangerKeyEd}
)

// newKey states a key: its private part is the SHA-256 of a text with its name.
func newKey(name string, alg cosekit.Algorithm, use string) key {
	secret := stated(name)
	var private crypto.Signer
	switch alg {
	case cosekit.ESP256:
		private = deterministic{must(ecdsa.ParseRawPrivateKey(elliptic.P256(), secret))}
	case cosekit.MLDSA44:
		private = deterministicMLDSA{must(mldsa.NewPrivateKey(mldsa.MLDSA44(), secret))}
	case cosekit.MLDSA65:
		private = deterministicMLDSA{must(mldsa.NewPrivateKey(mldsa.MLDSA65(), secret))}
	default:
		private = ed25519.NewKeyFromSeed(secret)
	}
	return key{must(cosekit.NewSigner(private)), name, use, secret}
}

// stated is the secret of the key of that name.
func stated(name string) []byte { return bytes32("Tamarack test vectors, TEST ONLY: " + name) }

// deterministic signs without randomness (RFC 6979), whatever it is given.
type deterministic struct{ *ecdsa.PrivateKey }

func (k deterministic) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(nil, digest, crypto.SHA256)
}

// deterministicMLDSA signs without randomness (FIPS 204 section 3.4).
type deterministicMLDSA struct{ *mldsa.PrivateKey }

func (k deterministicMLDSA) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignDeterministic(message, opts)
}

// standard is the public key in the type of the standard library.
func (k key) standard() crypto.PublicKey {
	block, _ := pem.Decode(k.PublicKey().PEM())
	return must(x509.ParsePKIXPublicKey(block.Bytes))
}

func (k key) entry() testvectors.Key {
	thumbprint := k.PublicKey().Thumbprint()
	return testvectors.Key{
		Use:        k.use,
		Algorithm:  cosekit.AlgorithmName(k.Algorithm()),
		Thumbprint: thumbprint[:],
		Public:     k.PublicKey().COSEKey(),
		Private:    k.coseKey(map[int64]any{k.privateLabel(): k.secret}),
	}
}

func (k key) privateLabel() int64 {
	if cosekit.IsPostQuantum(k.Algorithm()) {
		return keyPriv
	}
	return keyD
}

// Labels of a COSE_Key (RFC 9052 section 7.1, RFC 9053 section 7).
const (
	keyType   int64 = 1
	keyID     int64 = 2
	keyAlg    int64 = 3
	keyOps    int64 = 4
	keyBaseIV int64 = 5
	keyCurve  int64 = -1
	keyX      int64 = -2
	keyY      int64 = -3
	keyD      int64 = -4
	keyK      int64 = -1 // of a symmetric key
	keyPriv   int64 = -2 // of an algorithm key pair (RFC 9964 section 3)
)

// members returns the public members of the key as they are encoded.
func (k key) members() map[int64]any {
	m := map[int64]any{}
	for _, p := range must(cosekit.Pairs(k.PublicKey().COSEKey())) {
		m[must(cosekit.Int(p.Key))] = p.Value
	}
	return m
}

// coseKey returns the COSE_Key with members added or, where the new one is nil, left
// out.
func (k key) coseKey(change map[int64]any) []byte {
	m := k.members()
	for label, value := range change {
		m[label] = value
		if value == nil {
			delete(m, label)
		}
	}
	return cosekit.MustMarshal(m)
}

// legacy signs under the names that RFC 9053 gave the algorithms.
type legacy struct{ key }

func (l legacy) Algorithm() cosekit.Algorithm {
	if l.key.Algorithm() == cosekit.Ed25519 {
		return cosekit.LegacyEdDSA
	}
	return cosekit.LegacyES256
}
