package suit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// SignatureRule says which signatures a manifest needs.
type SignatureRule int

// The rules. The zero value is AnySignature.
const (
	// AnySignature: one signature or MAC by an acceptable key.
	AnySignature SignatureRule = iota
	// ClassicalAndPostQuantum: two signatures, so that neither a quantum computer nor a
	// flaw in a young algorithm is enough to forge a manifest.
	ClassicalAndPostQuantum
)

var ruleNames = map[SignatureRule]string{AnySignature: "any", ClassicalAndPostQuantum: "classical+post-quantum"}

// String returns the name that [ParseSignatureRule] reads.
func (r SignatureRule) String() string {
	if name, ok := ruleNames[r]; ok {
		return name
	}
	return fmt.Sprintf("signature rule %d", int(r))
}

// ParseSignatureRule reads "any" or "classical+post-quantum".
func ParseSignatureRule(name string) (SignatureRule, error) {
	for rule, known := range ruleNames {
		if name == known {
			return rule, nil
		}
	}
	return 0, fmt.Errorf("signature rule %q: want %q or %q", name, AnySignature, ClassicalAndPostQuantum)
}

// Check returns nil where signatures under these keys are enough, else
// [ErrSignatureRule] and what is missing.
func (r SignatureRule) Check(keys []*cosekit.PublicKey) error {
	switch {
	case len(keys) == 0:
		return fmt.Errorf("%w: there is none", ErrSignatureRule)
	case r == AnySignature:
		return nil
	case r != ClassicalAndPostQuantum:
		return fmt.Errorf("%w: %s is not known", ErrSignatureRule, r)
	}
	isPostQuantum := func(k *cosekit.PublicKey) bool { return cosekit.IsPostQuantum(k.Algorithm()) }
	postQuantum := slices.ContainsFunc(keys, isPostQuantum)
	classical := slices.ContainsFunc(keys, func(k *cosekit.PublicKey) bool { return !isPostQuantum(k) })
	switch {
	case classical && postQuantum:
		return nil
	case classical:
		return fmt.Errorf("%w: a post-quantum one (ML-DSA or HSS-LMS) is needed too", ErrSignatureRule)
	}
	return fmt.Errorf("%w: a classical one (ESP256 or Ed25519) is needed too", ErrSignatureRule)
}

// Satisfies holds the signatures that have been verified against the rule. A MAC is
// enough for AnySignature only. Where there are signatures by keys that are not
// acceptable, the error names them, and is [ErrUnknownSigner] too: they might be enough.
func (v *Verified) Satisfies(rule SignatureRule) error {
	if rule == AnySignature {
		return nil // there would be no Verified without one
	}
	err := rule.Check(v.keys)
	for i, b := range v.blocks {
		if err != nil && errors.Is(b.Err, ErrUnknownSigner) {
			err = fmt.Errorf("%w; block %d (%s): %w", err, i, b, b.Err)
		}
	}
	return at("envelope.authentication-wrapper", err)
}
