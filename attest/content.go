package attest

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// CoAP content formats of the entries of manifests and measurements.
const (
	// ContentFormatSUITReport stands for application/suit-report+cose, whose
	// number draft-ietf-suit-report-18 section 9.3 has still to be given. It lies
	// in the range for experiments
	// (docs/decisions/0001-eat-content-formats.md).
	ContentFormatSUITReport = 65021
	// ContentFormatCBOR is application/cbor. The example of the TEEP draft uses
	// it for a SUIT_Reference.
	ContentFormatCBOR = 60
)

// decodeManifests reads the SUIT_References among the manifests and keeps the rest.
func (c *Claims) decodeManifests(raw cosekit.RawMessage) error {
	entries, err := decodeEntries(raw)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		c.Manifests = []ManifestRef{}
	}
	for i, e := range entries {
		if e.ContentFormat != ContentFormatSUITReport && e.ContentFormat != ContentFormatCBOR {
			c.OtherManifests = append(c.OtherManifests, e)
			continue
		}
		ref, err := decodeReference(e.content())
		switch {
		case err == nil:
			c.Manifests = append(c.Manifests, ref)
		case e.ContentFormat == ContentFormatCBOR:
			c.OtherManifests = append(c.OtherManifests, e)
		default:
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

func (c *Claims) encodeManifests() (any, error) {
	entries := []any{}
	for _, ref := range c.Manifests {
		body, err := cosekit.Marshal(ref)
		if err != nil {
			return nil, err
		}
		entries = append(entries, []any{ContentFormatSUITReport, body})
	}
	return appendEntries(entries, c.OtherManifests), nil
}

// decodeMeasurements reads the SUIT_Reports among the measurements and keeps the rest.
func (c *Claims) decodeMeasurements(raw cosekit.RawMessage) error {
	entries, err := decodeEntries(raw)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return errors.New("no entry (RFC 9711 section 4.2.16)")
	}
	for i, e := range entries {
		if e.ContentFormat != ContentFormatSUITReport {
			c.OtherMeasurements = append(c.OtherMeasurements, e)
			continue
		}
		m, err := decodeMeasurement(e.Body)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		c.Measurements = append(c.Measurements, m)
	}
	return nil
}

func (c *Claims) encodeMeasurements() (any, error) {
	entries := []any{}
	for _, m := range c.Measurements {
		body, err := m.encode()
		if err != nil {
			return nil, err
		}
		entries = append(entries, []any{ContentFormatSUITReport, body})
	}
	return appendEntries(entries, c.OtherMeasurements), nil
}

// decodeEntries splits an array of [content format, body].
func decodeEntries(raw cosekit.RawMessage) ([]ContentEntry, error) {
	items, err := cosekit.Elements(raw)
	if err != nil {
		return nil, err
	}
	entries := make([]ContentEntry, len(items))
	for i, item := range items {
		parts, err := cosekit.Elements(item)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		if len(parts) != 2 {
			return nil, fmt.Errorf("entry %d: %d elements, want content format and body", i, len(parts))
		}
		format, err := cosekit.Uint(parts[0])
		if err != nil || format > math.MaxUint16 {
			return nil, fmt.Errorf("entry %d: no CoAP content format", i)
		}
		entries[i] = ContentEntry{uint16(format), bytes.Clone(parts[1])}
	}
	return entries, nil
}

func appendEntries(entries []any, others []ContentEntry) []any {
	for _, e := range others {
		entries = append(entries, []any{e.ContentFormat, e.Body})
	}
	return entries
}

// content returns what the body is about: RFC 9711 wraps it into a byte string, the
// example of the TEEP draft does not.
func (e ContentEntry) content() []byte {
	if wrapped, err := cosekit.Bytes(e.Body); err == nil {
		return wrapped
	}
	return e.Body
}

func decodeReference(item []byte) (ManifestRef, error) {
	var ref ManifestRef
	err := cosekit.Validate(item)
	if err == nil {
		err = ref.UnmarshalCBOR(item)
	}
	if err != nil {
		return ManifestRef{}, fmt.Errorf("SUIT_Reference: %w", err)
	}
	return ref, nil
}

// decodeMeasurement reads an unprotected SUIT_Report in a byte string; the EAT's own
// signature protects it (draft-ietf-suit-report-18 section 8). Of its records the
// measurements count; the trace of a failed command is not a measurement.
func decodeMeasurement(body cosekit.RawMessage) (Measurement, error) {
	data, err := cosekit.Bytes(body)
	if err != nil {
		return Measurement{}, fmt.Errorf("SUIT_Report: %w", err)
	}
	if cosekit.Major(data) != cosekit.MajorMap {
		return Measurement{}, errors.New("not a bare SUIT_Report; one that is protected by itself is not read here")
	}
	report, err := suit.DecodeReport(data)
	if err != nil {
		return Measurement{}, err
	}
	return Measurement{report.Reference, report.Properties()}, nil
}

func (m Measurement) encode() ([]byte, error) {
	report := suit.Report{Reference: m.Manifest}
	for _, c := range m.Components {
		report.Entries = append(report.Entries, c)
	}
	return report.Encode()
}
