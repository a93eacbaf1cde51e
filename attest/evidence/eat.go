package evidence

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// labelSubmods is the claim that names submodules (RFC 9711 section 4.2.18).
const labelSubmods = 266

// readEAT reads an EAT that is signed as a COSE_Sign1.
func readEAT(_ attest.MediaType, payload []byte) (*Reading, error) {
	token, err := attest.ParseEAT(payload)
	if err != nil {
		return nil, err
	}
	claims := token.UnverifiedClaims()
	return &Reading{Claims: claims, said: claims}, nil
}

// tagBundle is the tag of a detached EAT bundle, as it is encoded (RFC 9711 section 5).
var tagBundle = []byte{0xd9, 602 >> 8, 602 & 0xff}

// Detached is a detached EAT bundle whose claims sets were found to be those whose
// digests its main token has.
type Detached struct {
	Token []byte            // the main token, signed
	Sets  map[string][]byte // the claims sets by the name of their submodule

	claims *attest.Claims // of the main token
	sets   map[string]*attest.Claims
}

func readDetached(_ attest.MediaType, payload []byte) (*Reading, error) {
	bundle, err := ParseDetached(payload)
	if err != nil {
		return nil, err
	}
	return &Reading{Claims: bundle.claims, said: bundle}, nil
}

// ParseDetached reads a detached EAT bundle:
//
//	BUNDLE-Untagged-Message = [main-token, {+ name => bstr .cbor claims-set}]
//
// The main token is a COSE_Sign1, as it is or in a byte string; JSON is not read.
func ParseDetached(payload []byte) (*Detached, error) {
	if len(payload) > attest.MaxTokenSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", attest.ErrTooLarge, len(payload), attest.MaxTokenSize)
	}
	if err := cosekit.Validate(payload); err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	if len(payload) > len(tagBundle) && string(payload[:len(tagBundle)]) == string(tagBundle) {
		payload = payload[len(tagBundle):]
	}
	parts, err := cosekit.Elements(payload)
	if err != nil || len(parts) != 2 {
		return nil, fmt.Errorf("%w: want an array of main token and claims sets", attest.ErrToken)
	}
	b := &Detached{Token: parts[0], Sets: map[string][]byte{}, sets: map[string]*attest.Claims{}}
	if cosekit.Major(parts[0]) == cosekit.MajorBytes {
		if b.Token, err = cosekit.Bytes(parts[0]); err != nil {
			return nil, err
		}
	}
	pairs, err := cosekit.Pairs(parts[1])
	if err != nil || len(pairs) == 0 {
		return nil, fmt.Errorf("%w: want a map of detached claims sets", attest.ErrToken)
	}
	for _, p := range pairs {
		name, err := cosekit.Text(p.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: name of a claims set: %w", attest.ErrToken, err)
		}
		if b.Sets[name], err = cosekit.Bytes(p.Value); err != nil {
			return nil, fmt.Errorf("%w: claims set %.64q: %w", attest.ErrToken, name, err)
		}
	}
	if err := b.checkDigests(); err != nil {
		return nil, err
	}
	for name, set := range b.Sets {
		if b.sets[name], err = attest.DecodeClaims(set); err != nil {
			return nil, fmt.Errorf("submodule %.64q: %w", name, err)
		}
	}
	return b, nil
}

// checkDigests finds every claims set to be the one whose digest stands in submods of the
// main token: an unsigned one would speak in the token's name.
func (b *Detached) checkDigests() error {
	token, err := attest.ParseEAT(b.Token)
	if err != nil {
		return err
	}
	b.claims = token.UnverifiedClaims()
	submods, ok := b.claims.Unknown[labelSubmods]
	if !ok {
		return fmt.Errorf("%w: the main token has no submods (%d)", attest.ErrClaims, labelSubmods)
	}
	pairs, err := cosekit.Pairs(submods)
	if err != nil {
		return fmt.Errorf("%w: submods: %w", attest.ErrClaims, err)
	}
	digests := map[string]cosekit.RawMessage{}
	for _, p := range pairs {
		name, err := cosekit.Text(p.Key)
		if err != nil {
			return fmt.Errorf("%w: name of a submodule: %w", attest.ErrClaims, err)
		}
		digests[name] = p.Value
	}
	for name, set := range b.Sets {
		if err := checkDetachedDigest(digests[name], set); err != nil {
			return fmt.Errorf("submodule %.64q: %w", name, err)
		}
	}
	return nil
}

// checkDetachedDigest holds a claims set against a Detached-Submodule-Digest, which is
// [hash algorithm, digest]. The algorithm is a COSE number or a name.
func checkDetachedDigest(item cosekit.RawMessage, set []byte) error {
	parts, err := cosekit.Elements(item)
	if err != nil || len(parts) != 2 {
		return fmt.Errorf("%w: the main token has no digest of it", attest.ErrClaims)
	}
	want, err := cosekit.Bytes(parts[1])
	if err != nil {
		return fmt.Errorf("%w: digest: %w", attest.ErrClaims, err)
	}
	var got []byte
	switch attest.PlainItem(parts[0]) {
	case float64(-16), "SHA-256", "sha-256":
		got = sum256(set)
	case float64(-43), "SHA-384", "sha-384":
		sum := sha512.Sum384(set)
		got = sum[:]
	case float64(-44), "SHA-512", "sha-512":
		got = sum512(set)
	default:
		return fmt.Errorf("%w: hash algorithm %s is not known", attest.ErrClaims, shown(parts[0]))
	}
	if len(want) < sha256.Size || subtle.ConstantTimeCompare(got, want) != 1 {
		return fmt.Errorf("%w: the claims set is not the one that the main token has a digest of", attest.ErrClaims)
	}
	return nil
}

// Document writes the claims of the main token, with the detached claims sets in the place
// of their digests.
func (b *Detached) Document() map[string]any {
	document := b.claims.Document()
	submods, ok := document["submods"].(map[string]any)
	if !ok {
		submods = map[string]any{}
	}
	for name, claims := range b.sets {
		submods[name] = claims.Document()
	}
	document["submods"] = submods
	return document
}
