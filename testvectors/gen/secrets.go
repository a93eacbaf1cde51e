package main

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// Keys that do not sign: for MACs, and to encrypt to.
var (
	publisherMAC = newSecret("publisher-hmac", cosekit.HMAC256, 32, "a publisher and a device, for MACs over SUIT manifests")
	deviceKEK    = newSecret("device-a128kw", cosekit.A128KW, 16, "a device, for payloads encrypted to it with AES Key Wrap")
	strangerKEK  = newSecret("stranger-a128kw", cosekit.A128KW, 16, "somebody whom no recipient knows")
	deviceECDH   = newAgreement("device-ecdh", "a device, for payloads encrypted to it")
	tamECDH      = newAgreement("tam-ecdh", "a TAM, for reports encrypted to it")
	strangerECDH = newAgreement("stranger-ecdh", "somebody whom no recipient knows")

	secrets    = []secretKey{publisherMAC, deviceKEK, strangerKEK}
	agreements = []agreement{deviceECDH, tamECDH, strangerECDH}
)

// secretKey is a stated symmetric key.
type secretKey struct {
	*cosekit.SecretKey
	name, use string
	alg       cosekit.Algorithm
	coseKey   []byte
}

func newSecret(name string, alg cosekit.Algorithm, size int, use string) secretKey {
	encoded := mapOf(keyType, 4, keyID, []byte(name), keyAlg, alg, keyK, stated(name)[:size])
	return secretKey{must(cosekit.ParseSecretKey(encoded)), name, use, alg, encoded}
}

func (k secretKey) entry() testvectors.Key {
	thumbprint := k.Thumbprint()
	return testvectors.Key{
		Use: k.use, Algorithm: cosekit.AlgorithmName(k.alg), Thumbprint: thumbprint[:], Private: k.coseKey,
	}
}

// agreement is a stated key pair for ECDH-ES on P-256.
type agreement struct {
	cosekit.AgreementKey
	name, use string
	private   []byte
}

func newAgreement(name, use string) agreement {
	secret := stated(name)
	point := must(ecdh.P256().NewPrivateKey(secret)).PublicKey().Bytes()
	private := mapOf(keyType, 2, keyCurve, 1, keyX, point[1:33], keyY, point[33:], keyD, secret)
	return agreement{must(cosekit.NewAgreementKeyFromCOSEKey(private)), name, use, private}
}

func (k agreement) entry() testvectors.Key {
	thumbprint := k.PublicKey().Thumbprint()
	return testvectors.Key{
		Use: k.use, Algorithm: cosekit.AlgorithmName(cosekit.ECDHESA128KW), Thumbprint: thumbprint[:],
		Public: k.PublicKey().COSEKey(), Private: k.private,
	}
}

// randomness stands for what an encryption draws: the SHA-256 of a name and a counter,
// one behind the other.
type randomness struct {
	name    string
	counter uint64
	rest    []byte
}

func (r *randomness) Read(p []byte) (int, error) {
	for len(r.rest) < len(p) {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(r.name), r.counter))
		r.rest = append(r.rest, sum[:]...)
		r.counter++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

var _ io.Reader = (*randomness)(nil)

// encryption is one whose keys and IVs are drawn from its name.
func encryption(name string, content cosekit.Algorithm, to ...cosekit.Recipient) cosekit.Encryption {
	e := cosekit.Encryption{Content: content, Context: cosekit.PayloadEncryption, Recipients: to}
	return e.Reproducible(&randomness{name: name})
}
