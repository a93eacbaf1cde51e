package cosekit

import "fmt"

// Labels of the confirmation claim (RFC 8747 section 3.1).
const (
	claimConfirmation   = 8
	confirmationCOSEKey = 1
)

// ConfirmationHeader returns CWT Claims for [Form] that carry key in their cnf
// claim: {8: {1: COSE_Key}} (RFC 9597, RFC 8747). A report or a message made so
// brings its own key along.
func ConfirmationHeader(key *PublicKey) RawMessage {
	return MustMarshal(map[int]any{claimConfirmation: map[int]any{confirmationCOSEKey: key}})
}

// ConfirmationKey returns the key in the signature's own CWT Claims header. Anybody
// can make a key and sign with it: a message that verifies under this key shows that
// its sender holds it, and nothing more. Verification never looks here by itself.
func (s *Signature) ConfirmationKey() (*PublicKey, error) {
	if s.CWTClaims == nil {
		return nil, fmt.Errorf("%w: the header carries none", ErrKey)
	}
	cnf, err := member(s.CWTClaims, claimConfirmation)
	if err != nil {
		return nil, fmt.Errorf("%w: CWT Claims header: cnf: %w", ErrKey, err)
	}
	encoded, err := member(cnf, confirmationCOSEKey)
	if err != nil {
		return nil, fmt.Errorf("%w: CWT Claims header: COSE_Key: %w", ErrKey, err)
	}
	return ParsePublicKey(encoded)
}
