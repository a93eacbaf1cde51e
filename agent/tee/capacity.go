package tee

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/suit"
)

// evidenceReserve is left of attest.MaxTokenSize for what evidence says beside the
// installed manifests: the claims that do not change, nonce, cnf, the signature.
const evidenceReserve = 2 << 10

// checkEvidence refuses an index whose content would not fit into evidence: a device
// that cannot attest itself gets no Update, and so could never get rid of anything.
func (s *Store) checkEvidence(ctx context.Context, x *index) error {
	m, err := s.measureIndex(ctx, x, widest)
	if err != nil {
		return err
	}
	var claims attest.Claims
	m.describe(&claims)
	encoded, err := attest.EncodeClaims(&claims)
	if room := attest.MaxTokenSize - evidenceReserve; err == nil && len(encoded) > room {
		err = fmt.Errorf("%d bytes, at most %d", len(encoded), room)
	}
	if err != nil {
		return fmt.Errorf("%w: no room in the evidence, unlink something first: %w", ErrFull, err)
	}
	return nil
}

// widest stands for what a file may measure, in the most bytes.
func widest(context.Context, string) (suit.Digest, uint64, error) {
	return suit.Digest{Algorithm: suit.SHA256, Bytes: make([]byte, sha256.Size)}, math.MaxUint64, nil
}

// checkReadable refuses an index that could not be read again, as it is or with all
// that has to find room in it later: Updates that are accepted, the last session, and
// that nothing is needed any more. What is uninstalled takes less room than before.
func (x *index) checkReadable() error {
	later := *x
	later.Serial = math.MaxUint64
	later.Updates = slices.Repeat([][]byte{make([]byte, sha256.Size)}, maxUpdates)
	later.LastPoll = &pollEntry{At: math.MaxInt64, Outcome: strings.Repeat(".", maxOutcome), Failed: true}
	later.Unneeded = slices.Clone(x.Unneeded)
	for _, m := range x.Manifests {
		if m.Root && !x.unneeded(m) {
			later.Unneeded = append(later.Unneeded, m.ID)
		}
	}
	data := later.encode()
	if len(data) > maxIndexSize {
		return fmt.Errorf("%w: index of %d bytes, at most %d", ErrFull, len(data), maxIndexSize)
	}
	if _, err := decodeIndex(data); err != nil {
		return fmt.Errorf("%w: the index could not be read again: %w", ErrFull, err)
	}
	return nil
}
