package attest

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// tagCWT is CWT tag 61 as it is encoded. RFC 8392 section 6 lets it stand only
// before a COSE tag.
var tagCWT = []byte{0xd8, 61}

// SignEAT makes an EAT of the claims: an untagged COSE_Sign1, for the EAT profile
// of TEEP uses no tags, with the signer's thumbprint as kid. Certificates, that of the
// signer's key first, go into x5chain (RFC 9360 section 2), unprotected: who reads them
// believes none that no anchor of his vouches for.
func SignEAT(claims *Claims, signer cosekit.Signer, chain ...*x509.Certificate) ([]byte, error) {
	payload, err := EncodeClaims(claims)
	if err != nil {
		return nil, err
	}
	token, err := cosekit.Sign1(signer, payload, cosekit.Form{Untagged: true})
	if err == nil && len(chain) > 0 {
		token, err = withChain(token, chain)
	}
	if err != nil {
		return nil, fmt.Errorf("EAT: %w", err)
	}
	if len(token) > MaxTokenSize {
		return nil, fmt.Errorf("%w: EAT of %d bytes, at most %d", ErrTooLarge, len(token), MaxTokenSize)
	}
	return token, nil
}

const headerX5Chain int64 = 33

// withChain adds x5chain to the unprotected header of a COSE_Sign1, which no signature
// covers: one certificate as a byte string, several as an array of them.
func withChain(token []byte, chain []*x509.Certificate) ([]byte, error) {
	parts, err := cosekit.Elements(token)
	if err != nil {
		return nil, err
	}
	header, err := cosekit.Pairs(parts[1])
	if err != nil {
		return nil, err
	}
	var certificates []any
	for _, c := range chain {
		certificates = append(certificates, c.Raw)
	}
	var value any = certificates
	if len(certificates) == 1 {
		value = certificates[0]
	}
	unprotected := map[int64]any{headerX5Chain: value}
	for _, p := range header {
		label, err := cosekit.Int(p.Key)
		if err != nil {
			return nil, err
		}
		unprotected[label] = p.Value
	}
	encoded, err := cosekit.Marshal(unprotected)
	if err != nil {
		return nil, err
	}
	if len(encoded) > cosekit.MaxHeader {
		return nil, fmt.Errorf("%w: certificates of %d bytes, at most %d fit", ErrTooLarge, len(encoded), cosekit.MaxHeader)
	}
	return cosekit.Marshal([]any{parts[0], cosekit.RawMessage(encoded), parts[2], parts[3]})
}

// SignedEAT is an EAT in a COSE_Sign1. Its claims are untrusted until Verify has
// returned them.
type SignedEAT struct {
	signed *cosekit.Signed
	claims *Claims
}

// ParseEAT reads an EAT that is signed as a COSE_Sign1: untagged, as the EAT
// profile of TEEP has it, tagged (18), or tagged within a CWT tag (61).
func ParseEAT(payload []byte) (*SignedEAT, error) {
	if len(payload) > MaxTokenSize {
		return nil, fmt.Errorf("%w: EAT of %d bytes, at most %d", ErrTooLarge, len(payload), MaxTokenSize)
	}
	if what, ok := otherForm(payload); ok {
		return nil, fmt.Errorf("%w: %s; send a COSE_Sign1", ErrToken, what)
	}
	message, isCWT := bytes.CutPrefix(payload, tagCWT)
	signed, err := cosekit.Parse(message)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	switch {
	case signed.Multi:
		return nil, fmt.Errorf("%w: a COSE_Sign; send a COSE_Sign1", ErrToken)
	case isCWT && !signed.Tagged:
		return nil, fmt.Errorf("%w: CWT tag (61) without a COSE tag behind it", ErrToken)
	case signed.Payload == nil:
		return nil, fmt.Errorf("%w: the claims are detached", ErrToken)
	}
	claims, err := DecodeClaims(signed.Payload)
	if err != nil {
		return nil, err
	}
	return &SignedEAT{signed, claims}, nil
}

// otherForm names the forms of an EAT (RFC 9711 section 1.3, RFC 9781) that are
// not read, for a reason that helps.
func otherForm(payload []byte) (what string, ok bool) {
	switch {
	case bytes.HasPrefix(payload, []byte{0xd9, 602 >> 8, 602 & 0xff}):
		return "a detached EAT bundle (tag 602)", true
	case bytes.HasPrefix(payload, []byte{0xd9, 601 >> 8, 601 & 0xff}):
		return "an unsigned claims set (tag 601)", true
	case bytes.HasPrefix(payload, []byte("eyJ")):
		return "a JWT", true
	case bytes.HasPrefix(payload, []byte("{")), bytes.HasPrefix(payload, []byte("[")):
		return "JSON", true
	case cosekit.Major(payload) == cosekit.MajorMap:
		return "a claims set without a signature", true
	}
	return "", false
}

// KeyID returns the key that the token names as its signer, if its kid is a
// thumbprint.
func (e *SignedEAT) KeyID() (cosekit.Thumbprint, bool) { return e.signed.Thumbprint() }

// UnverifiedClaims returns the claims without any check of who made them. They may
// name the key to verify a TEEP message with at first contact, for what that proves
// is only that the sender holds the key; nothing else in them may be used.
func (e *SignedEAT) UnverifiedClaims() *Claims { return e.claims }

// Verify returns the claims after it has found the signature to be by key.
func (e *SignedEAT) Verify(key *cosekit.PublicKey, legacy cosekit.LegacyPolicy) (*Claims, error) {
	if err := e.signed.Verify(key, legacy); err != nil {
		return nil, err
	}
	return e.claims, nil
}
