package corim

import (
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// algorithm is a hash algorithm under its name (IANA Named Information Hash Algorithm
// Registry), with the numbers that files have for it.
type algorithm struct {
	name string
	id   int64 // of the same registry; 0 for none
	cose int64 // of the COSE Algorithms registry; 0 for none
	size int
}

var algorithms = []algorithm{
	{"sha-256", 1, -16, 32}, {"sha-256-128", 2, 0, 16}, {"sha-256-120", 3, 0, 15},
	{"sha-256-96", 4, 0, 12}, {"sha-256-64", 5, -15, 8}, {"sha-256-32", 6, 0, 4},
	{"sha-384", 7, -43, 48}, {"sha-512", 8, -44, 64}, {"sha3-224", 9, 0, 28},
	{"sha3-256", 10, 0, 32}, {"sha3-384", 11, 0, 48}, {"sha3-512", 12, 0, 64},
	{"sha-1", 0, -14, 20}, // a bank of PCRs may have nothing else
}

// readDigests reads digests-type:
//
//	digests-type = [ + [ alg: int / tstr, val: bstr ] ]
//
// A single digest that is not in a list, as veraison/corim wrote it once, is no list.
func readDigests(item []byte) ([]Digest, error) {
	var digests []Digest
	err := each(item, "digest", func(item []byte) error {
		d, err := readDigest(item)
		digests = append(digests, d)
		return err
	})
	return digests, err
}

// readDigest keeps a digest by an unknown algorithm, to which nothing is ever equal.
func readDigest(item []byte) (Digest, error) {
	parts, err := cosekit.Elements(item)
	if err != nil {
		return Digest{}, err
	}
	if len(parts) != 2 {
		return Digest{}, fmt.Errorf("%w: %d elements, want an algorithm and a value", ErrMalformed, len(parts))
	}
	value, err := cosekit.Bytes(parts[1])
	if err != nil {
		return Digest{}, err
	}
	if len(value) == 0 || len(value) > MaxDigest {
		return Digest{}, fmt.Errorf("%w: value of %d bytes, want 1 to %d", ErrMalformed, len(value), MaxDigest)
	}
	alg, size, err := readAlgorithm(parts[0])
	if err != nil {
		return Digest{}, err
	}
	if size != 0 && size != len(value) {
		return Digest{}, fmt.Errorf("%w: %s of %d bytes, want %d", ErrMalformed, alg, len(value), size)
	}
	return Digest{alg, value}, nil
}

// readAlgorithm returns the name and the size of its values; 0 for an unknown one.
func readAlgorithm(item []byte) (alg string, size int, err error) {
	if cosekit.Major(item) == cosekit.MajorText {
		if alg, err = name(item); err != nil {
			return "", 0, err
		}
		alg = strings.ToLower(alg)
		for _, a := range algorithms {
			// "sha256" is what some tools write.
			if alg == a.name || alg == strings.Replace(a.name, "sha-", "sha", 1) {
				return a.name, a.size, nil
			}
		}
		return alg, 0, nil
	}
	number, err := cosekit.Int(item)
	if err != nil {
		return "", 0, fmt.Errorf("%w: algorithm is neither a number nor a name", ErrMalformed)
	}
	for _, a := range algorithms {
		if number != 0 && (number == a.id || number == a.cose) {
			return a.name, a.size, nil
		}
	}
	return fmt.Sprintf("algorithm %d", number), 0, nil
}

// item is the digest for a file, by number where there is one: older readers want that.
func (d Digest) item() ([]any, error) {
	for _, a := range algorithms {
		switch {
		case a.name != d.Algorithm:
		case a.id != 0:
			return []any{a.id, d.Value}, nil
		default:
			return []any{a.name, d.Value}, nil
		}
	}
	return nil, fmt.Errorf("%w: no digest algorithm %q", ErrMalformed, d.Algorithm)
}
