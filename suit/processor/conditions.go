package processor

import (
	"bytes"
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

// vendorIdentifier compares in the form that the manifest uses.
func vendorIdentifier(_ context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	have, want := f.config.Host.Identity(), &f.at().params
	if want.VendorPEN == nil {
		return suit.Parameters{VendorID: &have.Vendor}, identifierMatch(suit.ParameterVendorID, want.VendorID, have.Vendor)
	}
	measured := suit.Parameters{VendorPEN: have.VendorPEN}
	switch {
	case have.VendorPEN == nil:
		return measured, fmt.Errorf("%w: the device has no private enterprise number", ErrMismatch)
	case !bytes.Equal(have.VendorPEN, want.VendorPEN):
		return measured, fmt.Errorf("%w: vendor-id of the manifest is %x, of the device %x", ErrMismatch, want.VendorPEN, have.VendorPEN)
	}
	return measured, nil
}

func classIdentifier(_ context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	have := f.config.Host.Identity().Class
	return suit.Parameters{ClassID: &have}, identifierMatch(suit.ParameterClassID, f.at().params.ClassID, have)
}

func deviceIdentifier(_ context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	have := f.config.Host.Identity().Device
	return suit.Parameters{DeviceID: &have}, identifierMatch(suit.ParameterDeviceID, f.at().params.DeviceID, have)
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

func imageMatch(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	measured, same, err := f.compare(ctx)
	if err != nil {
		return measured, err
	}
	if !same {
		return measured, fmt.Errorf("%w: image is %s, want %s", ErrMismatch, measured.ImageDigest, f.at().params.ImageDigest)
	}
	f.at().vouch(suit.ParameterImageDigest)
	return measured, nil
}

// imageNotMatch needs an image: of one that is missing nothing was found out
// (draft-ietf-suit-update-management, suit-condition-image-not-match).
func imageNotMatch(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	measured, same, err := f.compare(ctx)
	if err == nil && same {
		err = fmt.Errorf("%w: image is %s already", ErrMismatch, measured.ImageDigest)
	}
	return measured, err
}

// compare holds the image against image-digest.
func (f *frame) compare(ctx context.Context) (suit.Parameters, bool, error) {
	want := f.at().params.ImageDigest
	if want == nil {
		return suit.Parameters{}, false, missing(suit.ParameterImageDigest)
	}
	have, err := f.measureFor(ctx, f.of, f.at(), want.Algorithm)
	if err != nil {
		return suit.Parameters{}, false, err
	}
	return suit.Parameters{ImageDigest: &have.digest, ImageSize: &have.size}, have.digest.Equal(*want), nil
}

// checkContent takes the same time for every image of the right length (section
// 8.4.9.3).
func checkContent(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	want := c.params.Content
	if want == nil {
		return suit.Parameters{}, missing(suit.ParameterContent)
	}
	image, size, err := f.image(ctx, f.of, c)
	if err != nil {
		return suit.Parameters{}, err
	}
	defer image.Close() // only read
	measured := suit.Parameters{ImageSize: &size}
	if size != uint64(len(want)) {
		return measured, fmt.Errorf("%w: image of %d bytes, content of %d", ErrMismatch, size, len(want))
	}
	have, err := io.ReadAll(io.LimitReader(image, int64(len(want))+1))
	if err != nil {
		return measured, fmt.Errorf("read image: %w", err)
	}
	digest := suit.SumSHA256(have)
	measured.ImageDigest = &digest
	if subtle.ConstantTimeCompare(have, want) != 1 {
		return measured, fmt.Errorf("%w: image is not the content of the manifest", ErrMismatch)
	}
	c.vouch(suit.ParameterContent)
	return measured, nil
}

func componentSlot(_ context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	want := c.params.ComponentSlot
	if want == nil {
		return suit.Parameters{}, missing(suit.ParameterComponentSlot)
	}
	if f.slots == nil {
		return suit.Parameters{}, fmt.Errorf("%w: the device has no slots", ErrUnsupportedCommand)
	}
	have, err := f.slots.Slot(c.id)
	if err != nil {
		return suit.Parameters{}, err
	}
	measured := suit.Parameters{ComponentSlot: &have}
	if have != *want {
		return measured, fmt.Errorf("%w: slot %d, want %d", ErrMismatch, have, *want)
	}
	return measured, nil
}

func abort(context.Context, *frame, suit.Argument) (suit.Parameters, error) {
	return suit.Parameters{}, ErrAbort
}
