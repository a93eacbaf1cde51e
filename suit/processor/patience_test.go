package processor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
)

// TestOnePatience: a manifest does not get more time by asking for it in several commands.
// The first one takes all that there is, and holds then, or the condition is softened.
func TestOnePatience(t *testing.T) {
	const limit = 10 * time.Millisecond
	for name, tt := range map[string]struct {
		command suit.Command
		arrange func(tr *trial, run func(context.Context) error)
		result  error // of what has taken the time
	}{
		"wait": {check(suit.DirectiveWait), func(tr *trial, run func(context.Context) error) {
			tr.Limits.Waiting = limit
			tr.Circumstances.Wait = func(ctx context.Context, _ *suit.WaitInfo) error { return run(ctx) }
		}, nil},
		"private condition": {do(-300, suit.Raw{0x07}), func(tr *trial, run func(context.Context) error) {
			tr.Limits.Custom = limit
			tr.Custom = map[suit.CommandCode]CustomCommand{-300: {Condition: true, Run: func(ctx context.Context, _ CustomCall) error { return run(ctx) }}}
		}, nil},
		"private condition that is softened": {tries(inner(do(-300, suit.Raw{0x07})), inner(check(suit.ConditionImageMatch))), func(tr *trial, run func(context.Context) error) {
			tr.Limits.Custom = limit
			tr.Custom = map[suit.CommandCode]CustomCommand{-300: {Condition: true, Run: func(ctx context.Context, _ CustomCall) error { return run(ctx) }}}
		}, errors.New("not yet")},
	} {
		t.Run(name, func(t *testing.T) {
			tr, runs := newTrial(), 0
			tt.arrange(tr, func(ctx context.Context) error {
				runs++
				<-ctx.Done()
				return tt.result
			})
			m := sample(newImage)
			m.Sections[suit.SectionValidate] = sequence(
				override(suit.Parameters{WaitInfo: &suit.WaitInfo{Power: ptr(int64(1))}}),
				tt.command, tt.command, check(suit.ConditionImageMatch),
			)
			tr.fail(t, m, ErrLimit)
			if runs != 1 {
				t.Errorf("ran %d times", runs)
			}
		})
	}
}
