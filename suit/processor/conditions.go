package processor

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

// Conditions (draft-ietf-suit-manifest-37 section 8.4.9) change nothing. One whose
// parameter is missing does not hold.

func missing(code suit.ParameterCode) error {
	return fmt.Errorf("%w: %s", ErrMissingParameter, code)
}

func vendorIdentifier(_ context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	have := m.host.Identity().Vendor
	return suit.Parameters{VendorID: &have}, identifierMatch(suit.ParameterVendorID, m.at().params.VendorID, have)
}

func classIdentifier(_ context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	have := m.host.Identity().Class
	return suit.Parameters{ClassID: &have}, identifierMatch(suit.ParameterClassID, m.at().params.ClassID, have)
}

func deviceIdentifier(_ context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	have := m.host.Identity().Device
	return suit.Parameters{DeviceID: &have}, identifierMatch(suit.ParameterDeviceID, m.at().params.DeviceID, have)
}

func identifierMatch(code suit.ParameterCode, want *uuid.UUID, have uuid.UUID) error {
	switch {
	case want == nil:
		return missing(code)
	case have == uuid.Nil:
		return fmt.Errorf("%w: the device has no %s", ErrMismatch, code)
	case *want != have:
		return fmt.Errorf("%w: %s of the manifest is %s, of the device %s", ErrMismatch, code, want, have)
	}
	return nil
}

func imageMatch(ctx context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	c := m.at()
	want := c.params.ImageDigest
	if want == nil {
		return suit.Parameters{}, missing(suit.ParameterImageDigest)
	}
	have, err := m.measure(ctx, c, want.Algorithm)
	if err != nil {
		return suit.Parameters{}, err
	}
	if !have.digest.Equal(*want) {
		err = fmt.Errorf("%w: image is %s, want %s", ErrMismatch, have.digest, want)
	}
	c.checked = err == nil
	return suit.Parameters{ImageDigest: &have.digest, ImageSize: &have.size}, err
}

// checkContent takes the same time for every image of the right length (section
// 8.4.9.3).
func checkContent(ctx context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	c := m.at()
	want := c.params.Content
	if want == nil {
		return suit.Parameters{}, missing(suit.ParameterContent)
	}
	image, size, err := m.image(ctx, c)
	if err != nil {
		return suit.Parameters{}, err
	}
	defer image.Close() // only read
	measured := suit.Parameters{ImageSize: &size}
	if size != uint64(len(want)) {
		return measured, fmt.Errorf("%w: image of %d bytes, content of %d", ErrMismatch, size, len(want))
	}
	have, err := io.ReadAll(io.LimitReader(contextReader{ctx, image}, int64(len(want))+1))
	if err != nil {
		return measured, fmt.Errorf("read image: %w", err)
	}
	digest := suit.SumSHA256(have)
	measured.ImageDigest = &digest
	if subtle.ConstantTimeCompare(have, want) != 1 {
		return measured, fmt.Errorf("%w: image is not the content of the manifest", ErrMismatch)
	}
	c.checked = true
	return measured, nil
}

func componentSlot(_ context.Context, m *machine, _ suit.Argument) (suit.Parameters, error) {
	c := m.at()
	want := c.params.ComponentSlot
	if want == nil {
		return suit.Parameters{}, missing(suit.ParameterComponentSlot)
	}
	if m.slots == nil {
		return suit.Parameters{}, fmt.Errorf("%w: the device has no slots", ErrUnsupportedCommand)
	}
	have, err := m.slots.Slot(c.id)
	if err != nil {
		return suit.Parameters{}, err
	}
	measured := suit.Parameters{ComponentSlot: &have}
	if have != *want {
		return measured, fmt.Errorf("%w: slot %d, want %d", ErrMismatch, have, *want)
	}
	return measured, nil
}

func abort(context.Context, *machine, suit.Argument) (suit.Parameters, error) {
	return suit.Parameters{}, ErrAbort
}
