package evidence

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Token is evidence that is signed as a COSE_Sign1. Its content is untrusted until Verify
// has returned nil. Unlike cosekit.Signed it knows the algorithms that hardware signs
// with – ECDSA with P-384 and P-521 beside those of TEEP – and the signer's certificates.
type Token struct {
	Payload   []byte
	Algorithm cosekit.Algorithm
	KeyID     []byte
	// Chain is x5chain (RFC 9360 section 2), the signer's certificate first, in DER;
	// nil where the token brings none. Nobody has looked into it.
	Chain [][]byte

	protected, signature []byte
}

// Caps on x5chain. The header that it stands in has a cap in cosekit.
const (
	MaxChain    = 5
	headerChain = 33
)

// tags that may stand before a COSE_Sign1, as they are encoded.
var (
	tagCWT   = []byte{0xd8, 61}
	tagSign1 = []byte{0xd2}
)

// ParseToken reads a COSE_Sign1: tagged (18), untagged, or tagged within a CWT tag (61).
func ParseToken(payload []byte) (*Token, error) {
	if len(payload) > attest.MaxTokenSize {
		return nil, fmt.Errorf("%w: token of %d bytes, at most %d", attest.ErrTooLarge, len(payload), attest.MaxTokenSize)
	}
	message, isCWT := bytes.CutPrefix(payload, tagCWT)
	signed, err := cosekit.Parse(message)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	case signed.Multi:
		return nil, fmt.Errorf("%w: a COSE_Sign; send a COSE_Sign1", attest.ErrToken)
	case isCWT && !signed.Tagged:
		return nil, fmt.Errorf("%w: CWT tag (61) without a COSE tag behind it", attest.ErrToken)
	case signed.Payload == nil:
		return nil, fmt.Errorf("%w: the claims are detached", attest.ErrToken)
	}
	t := &Token{Payload: signed.Payload, Algorithm: signed.Signatures[0].Algorithm, KeyID: signed.Signatures[0].KeyID}
	if err := t.readFrame(bytes.TrimPrefix(message, tagSign1)); err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	return t, nil
}

// readFrame takes from a COSE_Sign1 what cosekit does not hand out.
func (t *Token) readFrame(message []byte) error {
	parts, err := cosekit.Elements(message)
	if err != nil {
		return err
	}
	if t.protected, err = cosekit.Bytes(parts[0]); err != nil {
		return err
	}
	if t.signature, err = cosekit.Bytes(parts[3]); err != nil {
		return err
	}
	for _, header := range [][]byte{t.protected, parts[1]} {
		if err := t.readChain(header); err != nil {
			return fmt.Errorf("x5chain: %w", err)
		}
	}
	return nil
}

func (t *Token) readChain(header []byte) error {
	pairs, err := cosekit.Pairs(header)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if label, err := cosekit.Int(p.Key); err != nil || label != headerChain {
			continue
		}
		if t.Chain, err = Certificates(p.Value); err != nil {
			return err
		}
	}
	return nil
}

// Certificates reads a COSE_X509: one certificate, or an array of two or more.
func Certificates(item cosekit.RawMessage) ([][]byte, error) {
	if cosekit.Major(item) == cosekit.MajorBytes {
		certificate, err := cosekit.Bytes(item)
		return [][]byte{certificate}, err
	}
	items, err := cosekit.Elements(item)
	if err != nil {
		return nil, err
	}
	if len(items) < 2 || len(items) > MaxChain {
		return nil, fmt.Errorf("%d certificates in the array, want 2 to %d", len(items), MaxChain)
	}
	chain := make([][]byte, len(items))
	for i, item := range items {
		if chain[i], err = cosekit.Bytes(item); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// signatureAlgorithm is what an ECDSA algorithm wants of its key.
type signatureAlgorithm struct {
	curve elliptic.Curve
	hash  crypto.Hash
}

// ecdsaAlgorithms are ECDSA under its polymorphic and its fully-specified numbers (RFC
// 9053 section 2.1, RFC 9864). Each takes keys of one curve only, also where RFC 9053
// would let a hash stand with any curve.
var ecdsaAlgorithms = map[cosekit.Algorithm]signatureAlgorithm{
	-7: {elliptic.P256(), crypto.SHA256}, -9: {elliptic.P256(), crypto.SHA256},
	-35: {elliptic.P384(), crypto.SHA384}, -51: {elliptic.P384(), crypto.SHA384},
	-36: {elliptic.P521(), crypto.SHA512}, -52: {elliptic.P521(), crypto.SHA512},
}

var errKeyType = errors.New("the algorithm does not fit the key")

// Verify checks the signature. The key is an *ecdsa.PublicKey on P-256, P-384 or P-521
// or an ed25519.PublicKey; the algorithm of the token has to be the one of the key.
func (t *Token) Verify(key crypto.PublicKey) error {
	message, err := cosekit.Marshal([]any{"Signature1", t.protected, []byte{}, t.Payload})
	if err != nil {
		return err
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return t.verifyECDSA(key, message)
	case ed25519.PublicKey:
		if t.Algorithm != cosekit.Ed25519 && t.Algorithm != cosekit.LegacyEdDSA {
			return t.misfit("Ed25519")
		}
		if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, message, t.signature) {
			return cosekit.ErrSignature
		}
		return nil
	}
	return t.misfit(fmt.Sprintf("%T", key))
}

func (t *Token) verifyECDSA(key *ecdsa.PublicKey, message []byte) error {
	alg, ok := ecdsaAlgorithms[t.Algorithm]
	if !ok || key.Curve != alg.curve {
		return t.misfit(key.Params().Name)
	}
	size := (alg.curve.Params().BitSize + 7) / 8
	if len(t.signature) != 2*size {
		return fmt.Errorf("%w: %d bytes, want %d", cosekit.ErrSignature, len(t.signature), 2*size)
	}
	hash := alg.hash.New()
	hash.Write(message)
	r, s := new(big.Int).SetBytes(t.signature[:size]), new(big.Int).SetBytes(t.signature[size:])
	if !ecdsa.Verify(key, hash.Sum(nil), r, s) {
		return cosekit.ErrSignature
	}
	return nil
}

func (t *Token) misfit(key string) error {
	return fmt.Errorf("%w: %w: algorithm %s, key %s", cosekit.ErrAlgorithm, errKeyType, cosekit.AlgorithmName(t.Algorithm), key)
}
