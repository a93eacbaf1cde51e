package tam

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// PublishManifest takes a signed SUIT envelope for the devices that should have
// what it installs. What every device would refuse is refused here, with its reason;
// the warnings say what some devices may refuse.
func (f *Fleet) PublishManifest(ctx context.Context, actor string, envelope []byte) (_ Manifest, warnings []string, err error) {
	event := audit.Event{
		Actor: actor, Action: audit.ManifestPublished,
		Subject: "envelope:" + suit.SumSHA256(envelope).String(),
	}
	keys, err := f.publisherKeys(ctx)
	if err != nil {
		return Manifest{}, nil, err
	}
	verified, err := f.verify(envelope, keys)
	if err != nil {
		return Manifest{}, nil, f.deny(ctx, event, err)
	}
	event.Subject = "manifest:" + verified.Digest().String()
	m, installs, err := f.describe(ctx, verified, keys)
	if err != nil {
		return Manifest{}, nil, f.deny(ctx, event, err)
	}
	m.Size, m.PublishedBy, m.PublishedAt = int64(len(envelope)), actor, f.config.Clock()
	event.Details = map[string]string{"component": m.Component.String(), "sequence": fmt.Sprint(m.Sequence)}
	err = f.change(ctx, event, func(tx Tx) error {
		if err := f.sign(tx, &m, installs); err != nil {
			return err
		}
		if err := checkSequence(tx, m); err != nil {
			return err
		}
		if warnings, err = belowOthers(tx, m); err != nil {
			return err
		}
		if len(warnings) > 0 {
			event.Details["warnings"] = strings.Join(warnings, "; ")
		}
		err := tx.AddManifest(m, envelope)
		if errors.Is(err, ErrExists) {
			return fmt.Errorf("%w: another one was published meanwhile: %w", ErrSequenceNotAbove, err)
		}
		return err
	})
	return m, warnings, err
}

// publisherKeys are those that may have signed; what for is decided later.
func (f *Fleet) publisherKeys(ctx context.Context) (suit.KeyList, error) {
	publishers, err := f.Publishers(ctx)
	var keys suit.KeyList
	for _, p := range publishers {
		keys = append(keys, p.Key)
	}
	return keys, err
}

// verify decodes an envelope and checks its signatures.
func (f *Fleet) verify(envelope []byte, keys suit.Keys) (*suit.Verified, error) {
	if size := int64(len(envelope)); size > f.config.MaxEnvelope {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrEnvelopeTooLarge, f.config.MaxEnvelope)
	}
	e, err := suit.Decode(envelope)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelopeMalformed, err)
	}
	verified, err := e.Verify(keys, cosekit.LegacyPolicy(false))
	if err != nil {
		return nil, unverified(e, keys, err)
	}
	return verified, nil
}

// unverified names the reason for which an envelope does not verify.
func unverified(e *suit.Envelope, keys suit.Keys, err error) error {
	var at *suit.PathError
	manifestDiffers := errors.As(err, &at) && at.Path == "envelope.manifest"
	switch {
	case errors.Is(err, suit.ErrNoAuthentication), errors.Is(err, suit.ErrDigest) && manifestDiffers:
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	case errors.Is(err, suit.ErrNoSignature):
		if signer, named := unknownSigner(e, keys); named {
			return fmt.Errorf("%w: %s", ErrUnknownSigner, signer)
		}
		return fmt.Errorf("%w: %w", ErrBadSignature, err)
	case errors.Is(err, suit.ErrDigest):
		return fmt.Errorf("%w: %w", ErrSeveredMismatch, err)
	}
	return fmt.Errorf("%w: %w", ErrEnvelopeMalformed, err)
}

// unknownSigner returns the key that the envelope names, where no signature names
// the key of a publisher.
func unknownSigner(e *suit.Envelope, keys suit.Keys) (signer cosekit.Thumbprint, named bool) {
	for _, block := range e.UnverifiedBlocks() {
		for _, s := range block.Signatures {
			if len(s.KeyID) != len(signer) {
				continue
			}
			t := cosekit.Thumbprint(s.KeyID)
			if _, known := keys.Lookup(t); known {
				return signer, false
			}
			signer, named = t, true
		}
	}
	return signer, named
}

// describe reads from an authenticated manifest, and those that it depends on, what
// plans and people need, and checks the payloads that can be seen from here.
func (f *Fleet) describe(ctx context.Context, v *suit.Verified, keys suit.Keys) (Manifest, *tree, error) {
	manifest := v.Manifest()
	if len(manifest.ComponentID) == 0 {
		return Manifest{}, nil, ErrNoManifestComponent
	}
	if manifest.SequenceNumber > math.MaxInt64 {
		// There would be no number for the next one, and many a program that reads them has signed integers.
		return Manifest{}, nil, fmt.Errorf("%w: sequence number %d; at most %d", ErrUnsupportedManifest, manifest.SequenceNumber, int64(math.MaxInt64))
	}
	m := Manifest{Digest: v.Digest(), Component: manifest.ComponentID, Sequence: manifest.SequenceNumber}
	installs, err := evaluate(v, manifest, m.Digest, f.dependency(ctx, keys))
	if err != nil {
		return Manifest{}, nil, err
	}
	m.Dependencies = installs.dependencies
	for _, img := range installs.images {
		if img.from != nil && img.content == nil {
			if payload, ok := img.from.verified.Integrated(img.URI); ok {
				img.content, img.URI = payload, ""
			}
		}
		if err := f.checkPayload(ctx, img); err != nil {
			return Manifest{}, nil, fmt.Errorf("component %s: %w", img.Component, err)
		}
		if img.content != nil && img.ImageSize == 0 && !img.sealed {
			img.ImageSize = uint64(len(img.content))
		}
		m.Targets = append(m.Targets, img.Target)
	}
	return m, installs, nil
}

// checkPayload compares the payload with the digest and the size that the manifest
// gives: one that the envelope carries, or one of our own payload store. A payload
// that is hosted elsewhere is for the device to check, and so is what it decrypts.
func (f *Fleet) checkPayload(ctx context.Context, img image) error {
	switch {
	case img.known, img.content != nil && img.sealed:
		return nil
	case img.content != nil:
		h, ok := img.ImageDigest.Algorithm.New()
		if !ok {
			return fmt.Errorf("%w: %s", ErrUnsupportedManifest, img.ImageDigest.Algorithm)
		}
		h.Write(img.content)
		got := suit.Digest{Algorithm: img.ImageDigest.Algorithm, Bytes: h.Sum(nil)}
		return compare(img, got, int64(len(img.content)))
	}
	if strings.HasPrefix(img.URI, "#") {
		return fmt.Errorf("%w: the envelope does not carry %s", ErrPayloadMissing, img.URI)
	}
	ours, served := hosting(f.config.PayloadURL, img.URI)
	sum, err := hex.DecodeString(path.Base(img.URI))
	switch named := err == nil && len(sum) == len(cosekit.Thumbprint{}); {
	case ours && (!named || !served):
		return fmt.Errorf("%w: devices find no payload of this server at %s: want %s and its SHA-256 digest in lower case",
			ErrPayloadMissing, img.URI, f.config.PayloadURL)
	case !named:
		return nil
	}
	digest := suit.Digest{Algorithm: suit.SHA256, Bytes: sum}
	payload, size, err := f.config.Payloads.Open(ctx, digest)
	switch {
	case errors.Is(err, ErrNotFound) && ours:
		return fmt.Errorf("%w: %s", ErrPayloadMissing, img.URI)
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	if err := payload.Close(); err != nil {
		return err
	}
	if img.sealed {
		return nil
	}
	return compare(img, digest, size)
}

// compare holds a payload against the manifest. An image size that is not given is 0.
func compare(img image, got suit.Digest, size int64) error {
	if !got.Equal(img.ImageDigest) {
		return fmt.Errorf("%w: it has %s, the manifest says %s", ErrPayloadMismatch, got, img.ImageDigest)
	}
	if img.ImageSize != 0 && img.ImageSize != uint64(size) {
		return fmt.Errorf("%w: it has %d bytes, the manifest says %d", ErrPayloadMismatch, size, img.ImageSize)
	}
	return nil
}

// checkSequence refuses a manifest that is not newer than every other one with its
// manifest component id.
func checkSequence(r ManifestReader, m Manifest) error {
	switch _, err := r.Manifest(m.Digest); {
	case err == nil:
		return fmt.Errorf("%w: %s", ErrAlreadyPublished, m.Digest)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	last, found, err := newest(r, m.Component)
	if err != nil {
		return err
	}
	if found && m.Sequence <= last {
		return fmt.Errorf("%w: %s has %d already, the manifest has %d", ErrSequenceNotAbove, m.Component, last, m.Sequence)
	}
	return nil
}

// newest returns the highest sequence number of a manifest component id. Manifests
// that only install into a component of the same name may stand before it in the
// list; hence the longer looks, the last of which decides.
func newest(r ManifestReader, component suit.ComponentID) (sequence uint64, found bool, err error) {
	for _, limit := range []int{4, 1000} {
		list, err := r.ManifestsFor(component, limit)
		if err != nil {
			return 0, false, err
		}
		for _, m := range list {
			if m.Component.Equal(component) {
				return m.Sequence, true, nil
			}
		}
		if len(list) < limit {
			return 0, false, nil
		}
	}
	return 0, false, fmt.Errorf("%w: too many manifests install into %s", ErrSequenceNotAbove, component)
}
