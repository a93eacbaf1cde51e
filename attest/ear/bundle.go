package ear

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// MediaTypeBundle is that of an EAR in CBOR whose appraisals are detached.
const MediaTypeBundle = `application/eat-bun+cbor; eat_profile="` + attest.ProfileEAR03 + `"`

// tagBundle is CBOR tag 602 as it is encoded.
var tagBundle = []byte{0xd9, 602 >> 8, 602 & 0xff}

// maxDetached caps the claims sets of a bundle.
const maxDetached = maxSubmods

// readBundle reads a detached EAT bundle (RFC 9711 section 5), tagged or not:
// [main token, {submodule => claims set}], each in a byte string. The main token is an EAR
// as CWT, in which a submodule stands as Detached-Submodule-Digest = [algorithm, digest];
// each claims set of the bundle must be one of those.
func readBundle(data []byte, profile string, o Options) (*attest.Result, error) {
	token, detached, err := cutBundle(data)
	if err != nil {
		return nil, fmt.Errorf("%w: EAT bundle: %w", ErrResult, err)
	}
	payload, key, err := openCWT(token, o.Keys)
	if err != nil {
		return nil, err
	}
	set, err := readSet(payload)
	if err != nil {
		return nil, err
	}
	d, err := set.dialect(profile, attest.ProfileEAR03)
	if err != nil {
		return nil, err
	}
	if err := set.attach(detached); err != nil {
		return nil, err
	}
	return d.result(set, key, o, "application/eat-bun+cbor")
}

func cutBundle(data []byte) (token []byte, detached map[string][]byte, err error) {
	if err := cosekit.Validate(data); err != nil {
		return nil, nil, err
	}
	parts, err := cosekit.Elements(bytes.TrimPrefix(data, tagBundle))
	if err != nil {
		return nil, nil, err
	}
	if len(parts) != 2 {
		return nil, nil, fmt.Errorf("%d elements, want a token and claims sets", len(parts))
	}
	if token, err = cosekit.Bytes(parts[0]); err != nil {
		return nil, nil, err
	}
	pairs, err := cosekit.Pairs(parts[1])
	if err != nil {
		return nil, nil, err
	}
	if len(pairs) == 0 || len(pairs) > maxDetached {
		return nil, nil, fmt.Errorf("%d claims sets, want 1 to %d", len(pairs), maxDetached)
	}
	detached = map[string][]byte{}
	for _, p := range pairs {
		name, err := cosekit.Text(p.Key)
		if err != nil {
			return nil, nil, err
		}
		if detached[name], err = cosekit.Bytes(p.Value); err != nil {
			return nil, nil, err
		}
	}
	return token, detached, nil
}

// attach puts the detached claims sets in place of their digests.
func (s claimsSet) attach(detached map[string][]byte) error {
	submods, err := s.object("submods")
	if err != nil {
		return err
	}
	for name, claims := range detached {
		reference, ok := submods[name].([]any)
		if !ok || len(reference) != 2 {
			return fmt.Errorf("%w: the bundle has claims for submod %.64q, of which the token has no digest", ErrResult, name)
		}
		if err := checkDigest(reference, claims); err != nil {
			return fmt.Errorf("%w: submod %.64q: %w", ErrResult, name, err)
		}
		set, err := readSet(claims)
		if err != nil {
			return fmt.Errorf("submod %.64q: %w", name, err)
		}
		submods[name] = set.tree
	}
	return nil
}

// COSE hash algorithms (RFC 9054).
const (
	coseSHA256 = int64(-16)
	coseSHA384 = int64(-43)
	coseSHA512 = int64(-44)
)

func checkDigest(reference []any, claims []byte) error {
	digest, ok := reference[1].([]byte)
	if !ok {
		return fmt.Errorf("its digest is not a byte string")
	}
	var sum []byte
	switch reference[0] {
	case coseSHA256, "sha-256":
		d := sha256.Sum256(claims)
		sum = d[:]
	case coseSHA384, "sha-384":
		d := sha512.Sum384(claims)
		sum = d[:]
	case coseSHA512, "sha-512":
		d := sha512.Sum512(claims)
		sum = d[:]
	default:
		return fmt.Errorf("its digest is of an unknown algorithm")
	}
	if !bytes.Equal(sum, digest) {
		return fmt.Errorf("its claims do not have the digest that was signed")
	}
	return nil
}
