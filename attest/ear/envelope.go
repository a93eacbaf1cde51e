package ear

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/veraison/go-cose"
)

// openJWT returns the payload of a JWS in compact serialization (RFC 7515 section 7.1)
// after it has found one of the keys to have signed it. A kid, where both sides have
// one, narrows the keys that are tried; nothing else in the header chooses a key. Critical
// parameters are refused by go-jose, which understands none but b64.
func openJWT(data []byte, keys []Key) ([]byte, Key, error) {
	token, err := jose.ParseSignedCompact(string(data), joseAlgorithms)
	if err != nil {
		return nil, Key{}, fmt.Errorf("%w: not a JWT signed with one of %v: %w", ErrResult, joseAlgorithms, err)
	}
	header := token.Signatures[0].Protected
	fault := fmt.Errorf("%w: no trusted key is for %s and kid %q", ErrSignature, header.Algorithm, header.KeyID)
	for _, k := range keys {
		a, err := k.algorithms()
		if err != nil || string(a.jose) != header.Algorithm || header.KeyID != "" && k.ID != "" && k.ID != header.KeyID {
			continue
		}
		payload, err := token.Verify(k.Public)
		if err == nil {
			return payload, k, nil
		}
		fault = fmt.Errorf("%w: the JWT does not verify", ErrSignature)
	}
	return nil, Key{}, fault
}

// tagCWT is CWT tag 61 as it is encoded, which stands only before a COSE tag (RFC 8392
// section 6).
var tagCWT = []byte{0xd8, 61}

// openCWT is openJWT for a COSE_Sign1: untagged, tagged (18), or tagged within a CWT tag
// (61). Its kid is a thumbprint, if anything; the keys are few, so each that fits is tried.
func openCWT(data []byte, keys []Key) ([]byte, Key, error) {
	message, isCWT := bytes.CutPrefix(data, tagCWT)
	signed, err := cosekit.Parse(message)
	switch {
	case err != nil:
		return nil, Key{}, fmt.Errorf("%w: %w", ErrResult, err)
	case signed.Multi:
		return nil, Key{}, fmt.Errorf("%w: a COSE_Sign; want a COSE_Sign1", ErrResult)
	case signed.Payload == nil:
		return nil, Key{}, fmt.Errorf("%w: the claims are detached", ErrResult)
	case isCWT && !signed.Tagged:
		return nil, Key{}, fmt.Errorf("%w: CWT tag (61) without a COSE tag behind it", ErrResult)
	}
	structure, signature, err := toBeSigned(message, signed)
	if err != nil {
		return nil, Key{}, fmt.Errorf("%w: %w", ErrResult, err)
	}
	alg := signed.Signatures[0].Algorithm
	fault := fmt.Errorf("%w: no trusted key is for COSE algorithm %s", ErrSignature, cosekit.AlgorithmName(alg))
	for _, k := range keys {
		a, err := k.algorithms()
		if err != nil || !slices.Contains([]cose.Algorithm{a.legacy, a.fullySpecified}, alg) {
			continue
		}
		verifier, err := cose.NewVerifier(a.legacy, k.Public)
		if err == nil {
			err = verifier.Verify(structure, signature)
		}
		if err == nil {
			return signed.Payload, k, nil
		}
		fault = fmt.Errorf("%w: the COSE_Sign1 does not verify", ErrSignature)
	}
	return nil, Key{}, fault
}

// toBeSigned returns the Sig_structure (RFC 9052 section 4.4) of a message that
// cosekit.Parse has accepted, and its signature. Signed.Verify would do for P-256 and
// Ed25519; verifiers also sign with larger curves, which are for nothing else here.
func toBeSigned(message []byte, signed *cosekit.Signed) (structure, signature []byte, err error) {
	if signed.Tagged {
		var tag cosekit.Tag
		if err := cosekit.UnmarshalValid(message, &tag); err != nil {
			return nil, nil, err
		}
		message = tag.Content
	}
	parts, err := cosekit.Elements(message)
	if err != nil {
		return nil, nil, err
	}
	protected, err := cosekit.Bytes(parts[0])
	if err != nil {
		return nil, nil, err
	}
	if signature, err = cosekit.Bytes(parts[3]); err != nil {
		return nil, nil, err
	}
	structure, err = cosekit.Marshal([]any{"Signature1", protected, []byte{}, signed.Payload})
	return structure, signature, err
}
