package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Directives (draft-ietf-suit-manifest-37 section 8.4.10) change parameters, the
// machine or the current component. One that fails ends the procedure.

func overrideParameters(_ context.Context, f *frame, arg suit.Argument) (suit.Parameters, error) {
	return suit.Parameters{}, f.assign(arg, true)
}

func setParameters(_ context.Context, f *frame, arg suit.Argument) (suit.Parameters, error) {
	return suit.Parameters{}, f.assign(arg, false)
}

// assign sets parameters of the current component, and what they say about the sequence
// itself. replace tells override from set.
func (f *frame) assign(arg suit.Argument, replace bool) error {
	params, ok := arg.(*suit.Parameters)
	if !ok {
		return ErrUnsupportedCommand
	}
	of := *params
	of.SoftFailure, of.StrictOrder = nil, nil
	if soft := params.SoftFailure; soft != nil {
		if f.depth == 0 {
			return fmt.Errorf("%w: soft-failure outside try-each and run-sequence", ErrAbort)
		}
		if replace || !f.softSet {
			f.soft, f.softSet = *soft, true
		}
	}
	if params.StrictOrder != nil {
		f.order.set(*params.StrictOrder)
	}
	c := f.at()
	for _, code := range of.Codes() {
		if !replace && c.params.Has(code) {
			continue
		}
		c.params.CopyFrom(&of, code)
		c.setter[code] = f.of
		if code == suit.ParameterSourceComponent {
			c.source = f.of.table[*of.SourceComponent].component // check has seen the index
		}
	}
	return nil
}

// overrideMultiple stands for set-component-index and override-parameters, once for each
// component; the last one stays selected (draft-ietf-suit-update-management,
// suit-directive-override-multiple).
func overrideMultiple(_ context.Context, f *frame, arg suit.Argument) (suit.Parameters, error) {
	sets, ok := arg.(suit.ParameterSets)
	if !ok {
		return suit.Parameters{}, ErrUnsupportedCommand
	}
	indices := slices.Sorted(maps.Keys(sets))
	if err := f.move([]int{int(indices[len(indices)-1])}); err != nil {
		return suit.Parameters{}, err
	}
	for _, index := range indices {
		f.index = int(index)
		if err := f.assign(sets[index], true); err != nil {
			return suit.Parameters{}, err
		}
	}
	return suit.Parameters{}, nil
}

// copyParams takes parameters over from other components. One that is not set there is
// missing here (draft-ietf-suit-update-management, suit-directive-copy-params).
func copyParams(_ context.Context, f *frame, arg suit.Argument) (suit.Parameters, error) {
	copies, ok := arg.(suit.ParameterCopies)
	if !ok {
		return suit.Parameters{}, ErrUnsupportedCommand
	}
	to := f.at()
	for _, index := range slices.Sorted(maps.Keys(copies)) {
		from := f.of.table[index].component
		for _, code := range copies[index] {
			if !to.params.CopyFrom(&from.params, code) {
				return suit.Parameters{}, fmt.Errorf("%w, of component %q", missing(code), from.id)
			}
			to.setter[code] = nil
			if from.setter[code] == f.of {
				to.setter[code] = f.of
			}
			if code == suit.ParameterSourceComponent {
				to.source = from.source
			}
		}
	}
	return suit.Parameters{}, nil
}

// write stores content. The signature covers it. Where it is ciphertext, what it decrypts to
// is settled only by the manifest that says how, too: under another key it is another image.
func write(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	content := c.params.Content
	if content == nil {
		return suit.Parameters{}, missing(suit.ParameterContent)
	}
	if there, err := f.spared(ctx, c, content); there || err != nil {
		return suit.Parameters{}, err
	}
	source, integrity, err := f.decrypted(c, bytes.NewReader(content))
	if err != nil {
		return suit.Parameters{}, err
	}
	if err := f.store(ctx, c, source, uint64(len(content))); err != nil {
		return suit.Parameters{}, err
	}
	c.deciphered = integrity
	if c.params.EncryptionInfo == nil || c.madeBy(c.setter[suit.ParameterContent], suit.ParameterEncryptionInfo) {
		c.vouch(suit.ParameterContent)
	}
	return suit.Parameters{}, nil
}

// copyImage stores the image of source-component, decrypted where the current component
// has an encryption-info (draft-ietf-suit-firmware-encryption section 5). The copy of an image
// that was checked needs no check. Nor does what the manifest that vouches for a ciphertext
// says how to decrypt: so its digest of the ciphertext is enough. A key of somebody else
// makes another image of it, which counter mode does not notice, and an AEAD need not.
func copyImage(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	from, err := f.source(c)
	if err != nil {
		return suit.Parameters{}, err
	}
	if err := f.order.use(c, from); err != nil {
		return suit.Parameters{}, err
	}
	image, size, err := f.image(ctx, f.of, from)
	if err != nil {
		return suit.Parameters{}, fmt.Errorf("source-component %q: %w", from.id, err)
	}
	defer image.Close() // only read
	if there, err := f.spared(ctx, c, nil); there || err != nil {
		return suit.Parameters{}, err
	}
	source, integrity, err := f.decrypted(c, image)
	if err != nil {
		return suit.Parameters{}, err
	}
	if err := f.store(ctx, c, source, size); err != nil {
		return suit.Parameters{}, err
	}
	c.from, c.fromStage, c.deciphered = from, from.stage, integrity
	if c.params.EncryptionInfo == nil || c.madeBy(from.voucher, suit.ParameterEncryptionInfo, suit.ParameterSourceComponent) {
		c.checked, c.voucher = from.checked, from.voucher
	}
	return suit.Parameters{}, nil
}

// source is what source-component names.
func (f *frame) source(c *component) (*component, error) {
	switch {
	case c.source == nil:
		return nil, missing(suit.ParameterSourceComponent)
	case c.source == c:
		return nil, fmt.Errorf("%w: the component is its own source-component", ErrUnsupportedParameter)
	}
	return c.source, nil
}

// swap exchanges the images of the component and its source. What was known of the
// source's new image stays true; the component's has to be checked.
func swap(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	from, err := f.source(c)
	if err != nil {
		return suit.Parameters{}, err
	}
	if !f.of.rights(Access{Component: from.id, Command: suit.DirectiveSwap}) {
		return suit.Parameters{}, fmt.Errorf("%w: swap of %q", ErrUnauthorized, from.id)
	}
	for _, one := range []*component{c, from} {
		if err := f.swappable(ctx, one); err != nil {
			return suit.Parameters{}, fmt.Errorf("component %q: %w", one.id, err)
		}
	}
	if err := errors.Join(f.mayStore(c), f.order.use(c, from), f.order.use(from, nil)); err != nil {
		return suit.Parameters{}, err
	}
	if err := f.tx.Swap(ctx, c.id, from.id); err != nil {
		return suit.Parameters{}, fmt.Errorf("swap images: %w", err)
	}
	before, measured := *c, from.measured
	f.altered(c)
	f.altered(from)
	from.writer, from.checked, from.voucher, from.measured = before.writer, before.checked, before.voucher, before.measured
	c.measured = measured
	c.metadata, from.metadata = from.metadata, before.metadata
	return suit.Parameters{}, nil
}

// swappable counts the image that is to be moved.
func (f *frame) swappable(ctx context.Context, c *component) error {
	image, size, err := f.image(ctx, f.of, c)
	if err != nil {
		return err
	}
	image.Close() // nothing was read
	if err := f.mayAlter(ctx, c); err != nil {
		return err
	}
	if f.stored += size; f.stored > f.config.Limits.StoredBytes {
		return fmt.Errorf("%w: more than %d bytes stored", ErrLimit, f.config.Limits.StoredBytes)
	}
	return nil
}

// invoke hands control to the component. An image that this procedure has not checked is
// not run (section 6.3).
func invoke(ctx context.Context, f *frame, _ suit.Argument) (suit.Parameters, error) {
	c := f.at()
	if !c.checked {
		return suit.Parameters{}, fmt.Errorf("%w in this procedure: it is not invoked", ErrUnchecked)
	}
	open := f.opener(ctx, f.of, c)
	image, _, err := open()
	if err != nil {
		return suit.Parameters{}, err
	}
	image.Close() // nothing was read
	f.invoked++
	err = f.config.Invoke(ctx, Invocation{Component: c.id, Open: open, Args: c.params.InvokeArgs})
	if err != nil {
		return suit.Parameters{}, fmt.Errorf("invoke: %w", err)
	}
	return suit.Parameters{}, nil
}

// opener reads a component on behalf of others.
func (m *machine) opener(ctx context.Context, of *manifest, c *component) func() (io.ReadCloser, uint64, error) {
	return func() (io.ReadCloser, uint64, error) { return m.image(ctx, of, c) }
}

// decrypted is source, or the plaintext where the component has an encryption-info.
// integrity says that a changed ciphertext will show at its end, under a key of this manifest.
func (f *frame) decrypted(c *component, source io.Reader) (plain io.Reader, integrity bool, err error) {
	if c.params.EncryptionInfo == nil {
		return source, false, nil
	}
	info, err := parseEncryptionInfo(c.params.EncryptionInfo)
	if err != nil {
		return nil, false, err
	}
	plain, err = info.Decrypt(f.config.Keys, cosekit.PayloadEncryption, source)
	if err != nil {
		return nil, false, fmt.Errorf("decrypt: %w", err)
	}
	return plain, info.Integrity() && c.madeBy(f.of, suit.ParameterEncryptionInfo), nil
}

// parseEncryptionInfo wants the form of draft-ietf-suit-firmware-encryption section 5:
// with recipients, the ciphertext elsewhere.
func parseEncryptionInfo(raw []byte) (*cosekit.Encrypted, error) {
	info, err := cosekit.ParseEncrypted(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: encryption-info: %w", ErrUnsupportedParameter, err)
	case info.Direct:
		return nil, fmt.Errorf("%w: encryption-info without recipients", ErrUnsupportedCOSE)
	case info.Ciphertext != nil:
		return nil, fmt.Errorf("%w: encryption-info that carries its ciphertext", ErrUnsupportedCOSE)
	}
	return info, nil
}
