package suit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Keys of a SUIT_Report and of its result (draft-ietf-suit-report-18 section 4).
const (
	keyReportNonce        = 2
	keyReportRecords      = 3
	keyReportResult       = 4
	keyResultCode         = 5
	keyResultRecord       = 6
	keyResultReason       = 7
	keyReportCapabilities = 8
	keyReportReference    = 99
)

var reportStep = namer(map[int64]string{
	keyReportNonce: "nonce", keyReportRecords: "records", keyReportResult: "result",
	keyResultCode: "code", keyResultRecord: "record", keyResultReason: "reason",
	keyReportCapabilities: "capability-report", keyReportReference: "reference",
})

// DecodeReport reads a bare SUIT_Report. The order of its keys does not matter:
// published ones differ.
func DecodeReport(data []byte) (*Report, error) {
	r := &Report{}
	if err := r.decode(data); err != nil {
		return nil, at("report", err)
	}
	return r, nil
}

func (r *Report) decode(data []byte) error {
	if len(data) > MaxReportSize {
		return overLimit("%d bytes, at most %d", len(data), MaxReportSize)
	}
	if err := cosekit.Validate(data); err != nil {
		return err
	}
	elements := map[int64][]byte{}
	err := decodeIntMap(data, false, reportStep, func(key int64, value []byte) error {
		elements[key] = value
		return nil
	})
	if err != nil {
		return err
	}
	if elements[keyReportReference] == nil {
		return at("reference", malformed("missing; reports of drafts before -13 have another form, which is not read"))
	}
	for _, key := range []int64{keyReportRecords, keyReportResult} {
		if elements[key] == nil {
			return at(reportStep(key), malformed("missing"))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(elements)) {
		if err := r.decodeElement(key, elements[key]); err != nil {
			return at(reportStep(key), err)
		}
	}
	return nil
}

func (r *Report) decodeElement(key int64, value []byte) error {
	switch key {
	case keyReportReference:
		ref, err := decodeReference(value)
		return put(&r.Reference, ref, err)
	case keyReportNonce:
		nonce, err := cosekit.Bytes(value)
		return put(&r.Nonce, nonce, err)
	case keyReportRecords:
		entries, err := decodeEntries(value)
		return put(&r.Entries, entries, err)
	case keyReportResult:
		failure, err := decodeResult(value)
		return put(&r.Failure, failure, err)
	case keyReportCapabilities:
		c, err := decodeCapabilities(value)
		return put(&r.Capabilities, c, err)
	}
	keep(&r.Extensions, key, value)
	return nil
}

// MarshalCBOR encodes [uri, digest].
func (r Reference) MarshalCBOR() ([]byte, error) {
	return cosekit.Marshal([]any{r.URI, r.Digest})
}

// UnmarshalCBOR decodes [uri, digest] and nothing else.
func (r *Reference) UnmarshalCBOR(data []byte) error {
	ref, err := decodeReference(data)
	return put(r, ref, err)
}

func decodeReference(raw []byte) (Reference, error) {
	var ref Reference
	parts, err := cosekit.Elements(raw)
	if err != nil {
		return ref, err
	}
	if len(parts) != 2 {
		return ref, malformed("array of %d elements, want URI and digest", len(parts))
	}
	if ref.URI, err = decodeURI(parts[0]); err != nil {
		return ref, at("uri", err)
	}
	ref.Digest, err = decodeDigest(parts[1])
	return ref, at("digest", err)
}

// decodeEntries tells records from property claims by their type: array or map.
func decodeEntries(raw []byte) ([]ReportEntry, error) {
	items, err := cosekit.Elements(raw)
	if err != nil {
		return nil, err
	}
	if len(items) > MaxReportEntries {
		return nil, overLimit("%d entries, at most %d", len(items), MaxReportEntries)
	}
	entries := make([]ReportEntry, len(items))
	for i, item := range items {
		var err error
		if cosekit.Major(item) == cosekit.MajorMap {
			var c PropertyClaims
			err = c.decode(item)
			entries[i] = c
		} else {
			entries[i], err = decodeRecord(item)
		}
		if err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
	}
	return entries, nil
}

// recordSize is the number of elements of a SUIT_Record without extensions.
const recordSize = 5

func decodeRecord(raw []byte) (Record, error) {
	var rec Record
	parts, err := cosekit.Elements(raw)
	if err != nil {
		return rec, err
	}
	if len(parts) < recordSize {
		return rec, malformed("record of %d elements, want %d", len(parts), recordSize)
	}
	if len(parts) > recordSize+MaxRecordExtensions {
		return rec, overLimit("record of %d elements, at most %d", len(parts), recordSize+MaxRecordExtensions)
	}
	if rec.ManifestID, err = decodeManifestID(parts[0]); err != nil {
		return rec, at("manifest-id", err)
	}
	section, err := cosekit.Int(parts[1])
	if err != nil {
		return rec, at("section", err)
	}
	rec.Section = Section(section)
	if rec.Offset, err = cosekit.Uint(parts[2]); err != nil {
		return rec, at("offset", err)
	}
	if rec.ComponentIndex, err = cosekit.Uint(parts[3]); err != nil {
		return rec, at("component-index", err)
	}
	if rec.Measured, err = decodeParameters(parts[4], false); err != nil {
		return rec, at("properties", err)
	}
	for _, extension := range parts[recordSize:] {
		rec.Extensions = append(rec.Extensions, bytes.Clone(extension))
	}
	return rec, nil
}

func decodeManifestID(raw []byte) ([]uint64, error) {
	items, err := cosekit.Elements(raw)
	if err != nil {
		return nil, err
	}
	if len(items) > MaxManifestDepth {
		return nil, overLimit("path of %d dependencies, at most %d", len(items), MaxManifestDepth)
	}
	var id []uint64
	for _, item := range items {
		n, err := cosekit.Uint(item)
		if err != nil {
			return nil, err
		}
		id = append(id, n)
	}
	return id, nil
}

// decodeResult reads true, for which it returns nil, or a failure.
func decodeResult(raw []byte) (*ReportFailure, error) {
	if cosekit.Major(raw) != cosekit.MajorMap {
		if ok, err := cosekit.Bool(raw); err != nil || !ok {
			return nil, malformed("neither true nor the map of a failure")
		}
		return nil, nil
	}
	f := &ReportFailure{}
	seen := 0
	err := decodeIntMap(raw, false, reportStep, func(key int64, value []byte) error {
		seen++
		switch key {
		case keyResultCode:
			code, err := cosekit.Int(value)
			return put(&f.Code, code, err)
		case keyResultRecord:
			rec, err := decodeRecord(value)
			return put(&f.Record, rec, err)
		case keyResultReason:
			reason, err := cosekit.Int(value)
			return put(&f.Reason, ReportReason(reason), err)
		}
		return malformed("not an element of a result")
	})
	if err == nil && seen != 3 {
		err = malformed("want code, record and reason")
	}
	return f, err
}

// Encode returns the deterministic encoding of the bare report. It refuses what
// decoding would refuse.
func (r *Report) Encode() ([]byte, error) {
	raw, err := r.encode()
	if err != nil {
		return nil, at("report", err)
	}
	if _, err := DecodeReport(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

func (r *Report) encode() ([]byte, error) {
	entries := make([]any, len(r.Entries))
	for i, e := range r.Entries {
		var err error
		if entries[i], err = encodeEntry(e); err != nil {
			return nil, at(fmt.Sprintf("records[%d]", i), err)
		}
	}
	out := map[int64]any{keyReportReference: r.Reference, keyReportRecords: entries, keyReportResult: true}
	if r.Nonce != nil {
		out[keyReportNonce] = r.Nonce
	}
	if r.Capabilities != nil {
		c, err := r.Capabilities.MarshalCBOR()
		if err != nil {
			return nil, at("capability-report", err)
		}
		out[keyReportCapabilities] = cosekit.RawMessage(c)
	}
	if f := r.Failure; f != nil {
		record, err := f.Record.encode()
		if err != nil {
			return nil, at("result.record", err)
		}
		out[keyReportResult] = map[int64]any{
			keyResultCode: f.Code, keyResultRecord: record, keyResultReason: int64(f.Reason),
		}
	}
	if err := addExtensions(out, r.Extensions); err != nil {
		return nil, err
	}
	return cosekit.Marshal(out)
}

func encodeEntry(e ReportEntry) (any, error) {
	switch e := e.(type) {
	case Record:
		return e.encode()
	case PropertyClaims:
		return e, nil
	}
	return nil, malformed("%T is neither a record nor property claims", e)
}

func (r Record) encode() ([]any, error) {
	measured, err := encodeParameters(&r.Measured)
	if err != nil {
		return nil, err
	}
	id := r.ManifestID
	if id == nil {
		id = []uint64{}
	}
	out := []any{id, int64(r.Section), r.Offset, r.ComponentIndex, measured}
	for _, extension := range r.Extensions {
		out = append(out, extension)
	}
	return out, nil
}
