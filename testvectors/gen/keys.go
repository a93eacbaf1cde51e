package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"io"

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
	keys           = []key{tamKey, tamKeyEd, agentKey, agentKeyEd, attesterKey, attesterKeyEd, reportKey, reportKeyEd, publisherKey, publisherKeyEd, strangerKey, strangerKeyEd}
)

// newKey states a key: its private part is the SHA-256 of a text with its name.
func newKey(name string, alg cosekit.Algorithm, use string) key {
	secret := bytes32("Tamarack test vectors, TEST ONLY: " + name)
	var private crypto.Signer = ed25519.NewKeyFromSeed(secret)
	if alg == cosekit.ESP256 {
		private = deterministic{must(ecdsa.ParseRawPrivateKey(elliptic.P256(), secret))}
	}
	return key{must(cosekit.NewSigner(private)), name, use, secret}
}

// deterministic signs without randomness (RFC 6979), whatever it is given.
type deterministic struct{ *ecdsa.PrivateKey }

func (k deterministic) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return k.PrivateKey.Sign(nil, digest, crypto.SHA256)
}

func (k key) entry() testvectors.Key {
	thumbprint := k.PublicKey().Thumbprint()
	return testvectors.Key{
		Use:        k.use,
		Algorithm:  cosekit.AlgorithmName(k.Algorithm()),
		Thumbprint: thumbprint[:],
		Public:     k.PublicKey().COSEKey(),
		Private:    k.coseKey(map[int64]any{keyD: k.secret}),
	}
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
