package cosekit

import (
	"crypto"
	"fmt"

	"filippo.io/mldsa"
)

// mldsaParameters are the parameter sets by their algorithms (RFC 9964 section 4).
func mldsaParameters(alg Algorithm) (mldsa.Parameters, bool) {
	switch alg {
	case MLDSA44:
		return mldsa.MLDSA44(), true
	case MLDSA65:
		return mldsa.MLDSA65(), true
	case MLDSA87:
		return mldsa.MLDSA87(), true
	}
	return mldsa.Parameters{}, false
}

// newMLDSA takes the encoded public key.
func newMLDSA(alg Algorithm, encoded []byte) (*PublicKey, error) {
	parameters, ok := mldsaParameters(alg)
	if !ok {
		return nil, fmt.Errorf("%w: an algorithm key pair for %s, want ML-DSA-44, -65 or -87", ErrKey, AlgorithmName(alg))
	}
	key, err := mldsa.NewPublicKey(parameters, encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: %s key of %d bytes: %w", ErrKey, AlgorithmName(alg), len(encoded), err)
	}
	return newPublicKey(alg, key, mldsaVerifier{key}, map[int]any{labelKty: ktyAKP, labelAlg: int64(alg), labelPub: encoded}), nil
}

type mldsaVerifier struct{ key *mldsa.PublicKey }

// Verify checks a signature over the message itself, with an empty context (RFC 9964
// section 4).
func (v mldsaVerifier) Verify(message, signature []byte) error {
	return mldsa.Verify(v.key, message, signature, nil)
}

func fromMLDSA(key *mldsa.PublicKey) (*PublicKey, error) {
	if key == nil {
		return nil, fmt.Errorf("%w: no ML-DSA key", ErrKey)
	}
	for _, alg := range []Algorithm{MLDSA44, MLDSA65, MLDSA87} {
		if p, _ := mldsaParameters(alg); p == key.Parameters() {
			return newMLDSA(alg, key.Bytes())
		}
	}
	return nil, fmt.Errorf("%w: ML-DSA with unknown parameters", ErrKey)
}

// mldsaPrivateKey takes the seed, the only form of RFC 9964 section 3.
func mldsaPrivateKey(alg Algorithm, seed []byte) (crypto.Signer, error) {
	parameters, ok := mldsaParameters(alg)
	if !ok || len(seed) != mldsa.PrivateKeySize {
		return nil, fmt.Errorf("%w: private COSE_Key for %s with %d bytes", ErrKey, AlgorithmName(alg), len(seed))
	}
	key, err := mldsa.NewPrivateKey(parameters, seed)
	if err != nil {
		return nil, fmt.Errorf("%w: private COSE_Key for %s", ErrKey, AlgorithmName(alg))
	}
	return key, nil
}
