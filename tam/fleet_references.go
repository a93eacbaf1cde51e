package tam

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// Bounds of what evidence is appraised against: all of it is held in memory.
const (
	maxReferenceFiles = 1000
	maxReferenceBytes = 32 << 20 // of all files
	maxDeviceCAs      = 100
	maxCertificate    = 16 << 10
)

// ImportReferences takes a signed CoRIM (draft-ietf-rats-corim) into the reference values.
// Its signer must be one that was added with AddReferenceSigner. A higher version takes
// the place of a lower one without deleting it.
func (f *Fleet) ImportReferences(ctx context.Context, actor string, raw []byte) (ReferenceFile, error) {
	event := audit.Event{Actor: actor, Action: audit.ReferencesImported, Subject: referenceSubject("unknown", 0), Details: map[string]string{}}
	file, err := corim.Read(raw)
	if err != nil {
		return ReferenceFile{}, f.deny(ctx, event, fmt.Errorf("%w: %w", ErrBadReferences, err))
	}
	event.Subject = referenceSubject(file.ID, file.Version)
	var kept ReferenceFile
	err = f.change(ctx, event, func(tx Tx) error {
		clear(event.Details)
		now := f.config.Clock()
		signer, err := verifyReferences(tx, file, now)
		if err != nil {
			return err
		}
		others, err := tx.ReferenceFiles()
		switch {
		case err != nil:
			return err
		case len(others) >= maxReferenceFiles:
			return fmt.Errorf("%w: there are %d files, at most %d; delete what no device needs", ErrBadReferences, len(others), maxReferenceFiles)
		}
		if err := f.fitReferences(others, file, now); err != nil {
			return err
		}
		kept = ReferenceFile{ID: file.ID, Version: file.Version, Signer: signer, Raw: raw, ImportedAt: now, ImportedBy: actor}
		event.Details["signer"] = signer
		event.Details["sha-256"] = fmt.Sprintf("%x", sha256.Sum256(raw))
		return tx.AddReferenceFile(kept)
	})
	return kept, err
}

// verifyReferences checks the signature and the times of a file, and that its signer speaks
// for all the products that it is about. It returns the signer.
func verifyReferences(r AnchorReader, file *corim.File, now time.Time) (string, error) {
	anchors, err := r.Anchors(anchor.ReferenceValues)
	if err != nil {
		return "", err
	}
	var keys []crypto.PublicKey
	for _, a := range anchors {
		if a.Allows(anchor.ReferenceValues, now) != nil {
			continue
		}
		key, err := cryptoKey(a.Key)
		if err != nil {
			return "", fmt.Errorf("%s: %w", anchorSubject(a.Thumbprint()), err)
		}
		keys = append(keys, key)
	}
	if err := file.Verify(now, keys...); err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadReferences, err)
	}
	scopes, err := signerScopes(r)
	if err != nil {
		return "", err
	}
	if err := scopes[file.Signer].Check(file); err != nil {
		return "", fmt.Errorf("%w: signed by %s: %w", ErrBadReferences, file.Signer, err)
	}
	return file.Signer, nil
}

// fitReferences tries the file together with all that are there. Those were read for an
// earlier one, all but a few: others wait for this transaction.
func (f *Fleet) fitReferences(others []ReferenceFile, file *corim.File, now time.Time) error {
	size := len(file.Raw)
	for _, o := range others {
		size += len(o.Raw)
	}
	if size > maxReferenceBytes {
		return fmt.Errorf("%w: all files together have %d bytes then, at most %d; delete what no device needs", ErrBadReferences, size, maxReferenceBytes)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	known, err := readReferences(others, f.read)
	if err != nil {
		return err
	}
	f.read = known
	files := slices.AppendSeq([]*corim.File{file}, maps.Values(known))
	if _, err := corim.NewBase(files, now); err != nil {
		return fmt.Errorf("%w: %w", ErrBadReferences, err)
	}
	return nil
}

// readReferences reads stored files, but for those that were read before: the result is by
// the digest of a file.
func readReferences(stored []ReferenceFile, before map[[sha256.Size]byte]*corim.File) (map[[sha256.Size]byte]*corim.File, error) {
	files := make(map[[sha256.Size]byte]*corim.File, len(stored))
	for _, s := range stored {
		sum := sha256.Sum256(s.Raw)
		file := before[sum]
		if file == nil {
			var err error
			if file, err = corim.Read(s.Raw); err != nil {
				return nil, fmt.Errorf("stored %s: %w", referenceSubject(s.ID, s.Version), err)
			}
			file.Signer = s.Signer // whose signature was verified as the file was imported
		}
		files[sum] = file
	}
	return files, nil
}

// ReferenceFiles lists the imported files by id, then version.
func (f *Fleet) ReferenceFiles(ctx context.Context) (list []ReferenceFile, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.ReferenceFiles()
		return err
	})
	return list, err
}

// DeleteReferences takes an imported file back.
func (f *Fleet) DeleteReferences(ctx context.Context, actor, id string, version uint64, reason string) error {
	event := audit.Event{Actor: actor, Action: audit.ReferencesDeleted, Subject: referenceSubject(id, version), Reason: reason}
	if reason == "" {
		return f.deny(ctx, event, fmt.Errorf("%w: to delete %s", ErrNoReason, event.Subject))
	}
	return f.change(ctx, event, func(tx Tx) error { return tx.DeleteReferenceFile(id, version) })
}

func referenceSubject(id string, version uint64) string {
	return fmt.Sprintf("reference-values:%s@%d", shortened(id, 128), version)
}

// AddDeviceCA registers a CA, in DER, whose certificates evidence of the formats may be
// signed under; of none for EATs only.
func (f *Fleet) AddDeviceCA(ctx context.Context, actor, title string, der []byte, formats ...anchor.Format) (DeviceCA, error) {
	ca := DeviceCA{Fingerprint: sha256.Sum256(der), Title: title, Certificate: der, Formats: formats, AddedAt: f.config.Clock(), AddedBy: actor}
	event := audit.Event{Actor: actor, Action: audit.DeviceCAAdded, Subject: caSubject(ca.Fingerprint), Details: map[string]string{"title": shortened(title, anchor.MaxTitle)}}
	certificate, err := checkCA(title, der, ca.AddedAt)
	if err == nil {
		err = anchor.CheckFormats(formats)
	}
	if err != nil {
		return DeviceCA{}, f.deny(ctx, event, fmt.Errorf("%w: %w", ErrBadCertificate, err))
	}
	event.Details["subject"] = shortened(certificate.Subject.String(), maxAudited)
	if len(formats) > 0 {
		event.Details["formats"] = fmt.Sprint(formats)
	}
	event.Details["notAfter"] = certificate.NotAfter.UTC().Format(time.RFC3339)
	return ca, f.change(ctx, event, func(tx Tx) error {
		list, err := tx.DeviceCAs()
		if err == nil && len(list) >= maxDeviceCAs {
			err = fmt.Errorf("%w: there are %d, at most %d", ErrBadCertificate, len(list), maxDeviceCAs)
		}
		if err != nil {
			return err
		}
		return tx.AddDeviceCA(ca)
	})
}

func checkCA(title string, der []byte, now time.Time) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("%d bytes, at most %d", len(der), maxCertificate)
	}
	certificate, err := x509.ParseCertificate(der)
	switch {
	case err != nil:
		return nil, err
	case len(title) > anchor.MaxTitle:
		return nil, fmt.Errorf("title of %d bytes, at most %d", len(title), anchor.MaxTitle)
	case !certificate.IsCA || !certificate.BasicConstraintsValid:
		return nil, errors.New("not the certificate of a CA; one that is a device's own key belongs to the attestation anchors")
	case certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("its key usage does not let it sign certificates")
	case now.After(certificate.NotAfter):
		return nil, fmt.Errorf("expired at %s", certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	return certificate, nil
}

// DeviceCAs lists by fingerprint.
func (f *Fleet) DeviceCAs(ctx context.Context) (list []DeviceCA, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.DeviceCAs()
		return err
	})
	return list, err
}

// DeleteDeviceCA no longer trusts a CA. Devices that it certifies fail their next
// attestation.
func (f *Fleet) DeleteDeviceCA(ctx context.Context, actor string, fingerprint [sha256.Size]byte, reason string) error {
	event := audit.Event{Actor: actor, Action: audit.DeviceCADeleted, Subject: caSubject(fingerprint), Reason: reason}
	if reason == "" {
		return f.deny(ctx, event, fmt.Errorf("%w: to delete %s", ErrNoReason, event.Subject))
	}
	return f.change(ctx, event, func(tx Tx) error { return tx.DeleteDeviceCA(fingerprint) })
}

func caSubject(fingerprint [sha256.Size]byte) string { return fmt.Sprintf("device-ca:%x", fingerprint) }

// AddVerifier lets a key sign Attestation Results. Its purposes are set here.
func (f *Fleet) AddVerifier(ctx context.Context, actor string, a anchor.Anchor) (anchor.Anchor, error) {
	a.Purposes = []anchor.Purpose{anchor.Verifier}
	return a, f.addAnchor(ctx, actor, audit.VerifierAdded, a)
}

// Verifiers lists the keys that may sign Attestation Results.
func (f *Fleet) Verifiers(ctx context.Context) ([]anchor.Anchor, error) {
	return f.anchors(ctx, anchor.Verifier)
}

// AddReferenceSigner lets a key sign reference values, of every product or of those in its
// constraints. Its purposes are set here.
func (f *Fleet) AddReferenceSigner(ctx context.Context, actor string, a anchor.Anchor) (anchor.Anchor, error) {
	a.Purposes = []anchor.Purpose{anchor.ReferenceValues}
	if _, err := corim.ParseScope(a.Constraints.Products); err != nil {
		event := audit.Event{Actor: actor, Action: audit.ReferenceSignerAdded, Subject: anchorSubject(a.Thumbprint())}
		return a, f.deny(ctx, event, fmt.Errorf("%w: %w", ErrBadAnchor, err))
	}
	return a, f.addAnchor(ctx, actor, audit.ReferenceSignerAdded, a)
}

// ReferenceSigners lists the keys that may sign reference values.
func (f *Fleet) ReferenceSigners(ctx context.Context) ([]anchor.Anchor, error) {
	return f.anchors(ctx, anchor.ReferenceValues)
}

// RemoveAnchor no longer trusts a key that attests, verifies or signs reference values.
// What such a key signed before counts no longer. Publishers are not removed here.
func (f *Fleet) RemoveAnchor(ctx context.Context, actor string, key cosekit.Thumbprint, reason string) error {
	event := audit.Event{Actor: actor, Action: audit.AnchorRemoved, Subject: anchorSubject(key), Reason: reason, Details: map[string]string{}}
	if reason == "" {
		return f.deny(ctx, event, fmt.Errorf("%w: to remove %s", ErrNoReason, event.Subject))
	}
	return f.change(ctx, event, func(tx Tx) error {
		a, err := tx.Anchor(key)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", event.Subject, err)
		case a.Has(anchor.TCSigner):
			return fmt.Errorf("%w: %s is a publisher", ErrBadAnchor, event.Subject)
		}
		event.Details["title"] = a.Title
		event.Details["purpose"] = string(a.Purposes[0])
		return tx.DeleteAnchor(key)
	})
}
