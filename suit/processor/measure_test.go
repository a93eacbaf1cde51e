package processor

import (
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// A manifest that asks for one algorithm after the other has the device read the image again
// each time: as much as the limit says, no more, and no alternative makes good for it.
func TestMeasuringAgainIsLimited(t *testing.T) {
	const rounds = 10
	other, right := suit.Digest{Algorithm: suit.SHA512, Bytes: make([]byte, 64)}, suit.SumSHA256(newImage)
	commands := []suit.Command{override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch)}
	for range rounds {
		commands = append(commands, override(suit.Parameters{ImageDigest: &other}), check(suit.ConditionImageNotMatch),
			override(suit.Parameters{ImageDigest: &right}), check(suit.ConditionImageMatch))
	}
	whole := uint64(2 * rounds * len(newImage))
	for limit, want := range map[uint64]error{whole: nil, whole - 1: ErrLimit, 0: ErrLimit} {
		tr := newTrial()
		tr.Limits.MeasuredBytes = limit
		m := install(do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{{Commands: commands}, {Commands: commands[:3]}}}))
		if want == nil {
			tr.succeed(t, m, newImage)
			continue
		}
		if _, failure := tr.fail(t, m, want); failure.Reason != suit.ReasonOperationFailed {
			t.Errorf("reason %v", failure.Reason)
		}
	}
}

// What is measured while it is stored need not be read again; the envelope of a dependency
// has to be.
func TestReadingAgain(t *testing.T) {
	tr := newTrial()
	tr.Limits.MeasuredBytes = 0
	tr.succeed(t, sample(newImage), newImage)

	d := inLib(t, library(libImage), libImage)
	for limit, want := range map[int]error{len(d.envelope): nil, len(d.envelope) - 1: ErrLimit} {
		tr := newTrial()
		tr.Limits.MeasuredBytes = uint64(limit)
		m := tr.dependent(t, d)
		if want != nil {
			tr.fail(t, m, want)
			continue
		}
		tr.succeed(t, m, newImage)
	}
}
