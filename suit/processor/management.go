package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// The conditions of draft-ietf-suit-update-management section 5. What the device does
// not know about itself does not hold.

func useBefore(_ context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	want := f.at().params.UseBefore
	switch {
	case want == nil:
		return suit.Parameters{}, missing(suit.ParameterUseBefore)
	case f.config.Circumstances.Clock == nil:
		return suit.Parameters{}, fmt.Errorf("%w the time", ErrUnknown)
	}
	now := f.config.Circumstances.Clock().Unix()
	if now < 0 {
		return suit.Parameters{}, fmt.Errorf("%w the time: its clock stands before 1970", ErrUnknown)
	}
	have := uint64(now)
	measured := suit.Parameters{UseBefore: &have}
	if have >= *want {
		return measured, fmt.Errorf("%w: it is %s, the manifest is to be used before %s", ErrMismatch,
			measured.Format(suit.ParameterUseBefore), f.at().params.Format(suit.ParameterUseBefore))
	}
	return measured, nil
}

func minimumBattery(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	want := f.at().params.MinimumBattery
	switch {
	case want == nil:
		return suit.Parameters{}, missing(suit.ParameterMinimumBattery)
	case f.config.Circumstances.Battery == nil:
		return suit.Parameters{}, fmt.Errorf("%w the charge of its battery", ErrUnknown)
	}
	have, err := f.config.Circumstances.Battery(ctx)
	if err != nil {
		return suit.Parameters{}, withContext(ctx, fmt.Errorf("%w the charge of its battery: %w", ErrUnknown, err))
	}
	measured := suit.Parameters{MinimumBattery: &have}
	if have < *want {
		return measured, fmt.Errorf("%w: battery at %d mWh, want %d", ErrMismatch, have, *want)
	}
	return measured, nil
}

// updateAuthorized asks with the priority that the manifest gives, if any: the draft does
// not say that one is needed.
func updateAuthorized(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	if f.config.Circumstances.Authorize == nil {
		return suit.Parameters{}, fmt.Errorf("%w whom to ask for authorization", ErrUnknown)
	}
	if err := f.config.Circumstances.Authorize(ctx, f.at().params.UpdatePriority); err != nil {
		return suit.Parameters{}, withContext(ctx, fmt.Errorf("%w: update not authorised: %w", ErrMismatch, err))
	}
	return suit.Parameters{}, nil
}

func versionMatch(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	want := c.params.Version
	if want == nil {
		return suit.Parameters{}, missing(suit.ParameterVersion)
	}
	have, err := f.version(ctx, c)
	if err != nil {
		return suit.Parameters{}, err
	}
	measured := suit.Parameters{Version: &suit.VersionMatch{Comparison: suit.Equal, Version: have}}
	if !compareVersion(want.Comparison, have, want.Version) {
		return measured, fmt.Errorf("%w: version is %s, want %s %s", ErrMismatch,
			suit.FormatVersion(have), want.Comparison, suit.FormatVersion(want.Version))
	}
	return measured, nil
}

// version is the one that the component's image came with.
func (f *frame) version(ctx context.Context, c *component) (version []int64, err error) {
	switch {
	case c.unlinked[f.of]:
		err = fmt.Errorf("%w: it was unlinked", ErrNoImage)
	case c.writer != nil:
		version = c.writer.content.SetVersion
	default:
		version, err = f.tx.Version(ctx, c.id)
	}
	if err == nil && suit.CheckVersion(version) != nil {
		return nil, fmt.Errorf("%w the version of the component", ErrUnknown)
	}
	return version, err
}

// compareVersion reports whether a component's version stands to that of a manifest as
// asked: number by number, to the end of the manifest's array. How a component's version
// that ends before compares is undefined, so it does not
// (draft-ietf-suit-update-management section 4.4).
func compareVersion(how suit.Comparison, component, manifest []int64) bool {
	n := min(len(component), len(manifest))
	sign := slices.Compare(component[:n], manifest[:n])
	if len(manifest) == 0 || sign == 0 && len(component) < len(manifest) {
		return false
	}
	switch how {
	case suit.Greater:
		return sign > 0
	case suit.GreaterOrEqual:
		return sign >= 0
	case suit.Equal:
		return sign == 0
	case suit.LesserOrEqual:
		return sign <= 0
	case suit.Lesser:
		return sign < 0
	}
	return false
}

// wait is a directive: what it waits for and does not get ends the procedure.
func wait(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	info := f.at().params.WaitInfo
	if info == nil {
		return suit.Parameters{}, missing(suit.ParameterWaitInfo)
	}
	err := within(ctx, &f.machine.waited, f.config.Limits.Waiting, func(ctx context.Context) error {
		return f.config.Circumstances.Wait(ctx, info)
	})
	if err != nil {
		return suit.Parameters{}, fmt.Errorf("wait: %w", err)
	}
	return suit.Parameters{}, nil
}

// custom runs a command of the private range.
func (f *frame) custom(ctx context.Context, c *suit.Command) error {
	known, ok := f.config.Custom[c.Code]
	if !ok {
		return ErrUnsupportedCommand
	}
	at, of := f.at(), f.of
	err := within(ctx, &f.machine.spent, f.config.Limits.Custom, func(ctx context.Context) error {
		return known.Run(ctx, CustomCall{
			Component: at.id, Parameters: &at.params, Argument: c.Argument, Open: f.opener(ctx, of, at),
		})
	})
	if err != nil && known.Condition && !errors.Is(err, ErrLimit) {
		err = withContext(ctx, fmt.Errorf("%w: %w", ErrMismatch, err))
	}
	return err
}

// withContext keeps the end of a procedure from passing for a condition that does not hold.
func withContext(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return err
}
