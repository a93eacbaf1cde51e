package suit

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func successReport() *Report {
	return &Report{
		Reference: Reference{URI: "https://example.com/m.suit", Digest: SumSHA256([]byte("manifest"))},
		Nonce:     []byte("token"),
		Entries: []ReportEntry{
			PropertyClaims{Component: id("app", "hello"), ImageDigest: ptr(SumSHA256([]byte("payload"))), ImageSize: ptr(uint64(7))},
		},
	}
}

func failureReport() *Report {
	r := successReport()
	record := Record{
		ManifestID: []uint64{1, 0}, Section: SectionInstall, Offset: 66, ComponentIndex: 2,
		Measured:   Parameters{ImageDigest: ptr(SumSHA256([]byte("other")))},
		Extensions: []cosekit.RawMessage{wrap("more")},
	}
	r.Entries = append(r.Entries, record, Record{Section: SectionShared})
	r.Failure = &ReportFailure{Code: -3, Record: record, Reason: ReasonConditionFailed}
	r.Capabilities = wrap(rawMap{1: []any{[]any{true}}})
	r.Extensions = map[int64]cosekit.RawMessage{200: wrap("x")}
	return r
}

func TestReportRoundTrip(t *testing.T) {
	for name, r := range map[string]*Report{
		"success": successReport(),
		"failure": failureReport(),
		"least":   {Reference: Reference{Digest: SumSHA256(nil)}, Entries: []ReportEntry{}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeReport(raw)
			if err != nil || !reflect.DeepEqual(got, r) {
				t.Errorf("got %+v (%v), want %+v", got, err, r)
			}
			if again, err := got.Encode(); err != nil || !bytes.Equal(again, raw) {
				t.Errorf("encoding is not a fixpoint (%v)", err)
			}
			if got.Succeeded() != (name != "failure") {
				t.Errorf("succeeded = %v", got.Succeeded())
			}
			if n := len(got.Properties()); n != 1 && name != "least" || n > 1 {
				t.Errorf("%d property claims", n)
			}
		})
	}
}

func TestReferenceCodec(t *testing.T) {
	want := Reference{URI: "u", Digest: SumSHA256(nil)}
	var got Reference
	if err := cosekit.Unmarshal(wrap(want), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := cosekit.Unmarshal(wrap(rawMap{1: "u", 0: want.Digest}), &got); !errors.Is(err, ErrMalformed) {
		t.Errorf("map-shaped reference: %v", err)
	}
}

func TestReportRefusals(t *testing.T) {
	reference := []any{"u", SumSHA256(nil)}
	record := func() []any { return []any{[]any{}, 20, 1, 0, rawMap{}} }
	spoil := func(i int, v any) []any {
		r := record()
		r[i] = v
		return r
	}
	result := func(change func(rawMap)) rawMap {
		m := rawMap{5: 1, 6: record(), 7: 10}
		change(m)
		return rawMap{99: reference, 3: []any{}, 4: m}
	}
	records := func(v any) rawMap { return rawMap{99: reference, 3: v, 4: true} }
	for _, test := range []struct {
		name string
		data any
		path string
	}{
		{"array", []any{}, "report"},
		{"no reference", rawMap{3: []any{}, 4: true}, "report.reference"},
		{"no records", rawMap{99: reference, 4: true}, "report.records"},
		{"no result", rawMap{99: reference, 3: []any{}}, "report.result"},
		{"text key", rawMap{99: reference, 3: []any{}, 4: true, "x": 1}, "report"},
		{"map-shaped reference", rawMap{99: rawMap{1: "u"}, 3: []any{}, 4: true}, "report.reference"},
		{"long reference", rawMap{99: []any{"u", SumSHA256(nil), 1}, 3: []any{}, 4: true}, "report.reference"},
		{"URI of bytes", rawMap{99: []any{[]byte("u"), SumSHA256(nil)}, 3: []any{}, 4: true}, "report.reference.uri"},
		{"wrapped digest", rawMap{99: []any{"u", wrap(SumSHA256(nil))}, 3: []any{}, 4: true}, "report.reference.digest"},
		{"nonce of text", rawMap{99: reference, 2: "n", 3: []any{}, 4: true}, "report.nonce"},
		{"capabilities of a list", rawMap{99: reference, 3: []any{}, 4: true, 8: []any{}}, "report.capability-report"},
		{"records of a map", records(rawMap{}), "report.records"},
		{"record of text", records([]any{"x"}), "report.records[0]"},
		{"record null", records([]any{nil}), "report.records[0]"},
		{"map-shaped record", records([]any{rawMap{1: []any{}}}), "report.records[0]"},
		{"claims without component", records([]any{rawMap{14: 1}}), "report.records[0]"},
		{"short record", records([]any{record()[:4]}), "report.records[0]"},
		{"manifest id", records([]any{spoil(0, 1)}), "report.records[0].manifest-id"},
		{"manifest id of text", records([]any{spoil(0, []any{"x"})}), "report.records[0].manifest-id"},
		{"section", records([]any{spoil(1, "x")}), "report.records[0].section"},
		{"offset", records([]any{spoil(2, -1)}), "report.records[0].offset"},
		{"component index", records([]any{spoil(3, true)}), "report.records[0].component-index"},
		{"properties", records([]any{spoil(4, []any{})}), "report.records[0].properties"},
		{"image digest bare", records([]any{spoil(4, rawMap{3: SumSHA256(nil)})}), "report.records[0].properties.image-digest"},
		{"result false", rawMap{99: reference, 3: []any{}, 4: false}, "report.result"},
		{"result null", rawMap{99: reference, 3: []any{}, 4: nil}, "report.result"},
		{"result 1", rawMap{99: reference, 3: []any{}, 4: 1}, "report.result"},
		{"result without code", result(func(m rawMap) { delete(m, 5) }), "report.result"},
		{"result without record", result(func(m rawMap) { delete(m, 6) }), "report.result"},
		{"result without reason", result(func(m rawMap) { delete(m, 7) }), "report.result"},
		{"result with more", result(func(m rawMap) { delete(m, 7); m[8] = 1 }), "report.result.capability-report"},
		{"reason of text", result(func(m rawMap) { m[7] = "x" }), "report.result.reason"},
		{"code of text", result(func(m rawMap) { m[5] = "x" }), "report.result.code"},
		{"bad record", result(func(m rawMap) { m[6] = spoil(2, "x") }), "report.result.record.offset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := DecodeReport(wrap(test.data))
			var at *PathError
			if !errors.Is(err, ErrMalformed) || !errors.As(err, &at) || at.Path != test.path {
				t.Errorf("%v, want %s", err, test.path)
			}
		})
	}
	raw, err := failureReport().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		if _, err := DecodeReport(raw[:i]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
	if _, err := DecodeReport(append(raw, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("trailing byte: %v", err)
	}
}

func TestReportEncodeRefusals(t *testing.T) {
	for name, change := range map[string]func(*Report){
		"no digest":         func(r *Report) { r.Reference.Digest = Digest{} },
		"nil entry":         func(r *Report) { r.Entries = []ReportEntry{nil} },
		"claims of nothing": func(r *Report) { r.Entries = []ReportEntry{PropertyClaims{Component: id("a")}} },
		"bad record": func(r *Report) {
			r.Entries = []ReportEntry{Record{Measured: Parameters{VendorID: &vendorID, VendorPEN: []byte{1}}}}
		},
		"bad failure":         func(r *Report) { r.Failure.Record.Measured.ImageDigest = &Digest{} },
		"known extension":     func(r *Report) { r.Extensions = map[int64]cosekit.RawMessage{99: {1}} },
		"broken capabilities": func(r *Report) { r.Capabilities = cosekit.RawMessage{0x01} },
	} {
		t.Run(name, func(t *testing.T) {
			r := failureReport()
			change(r)
			if raw, err := r.Encode(); err == nil {
				t.Errorf("encoded as %x", raw)
			}
			if raw, err := SignReport(r, newSigner(t, cosekit.Ed25519)); err == nil {
				t.Errorf("signed as %x", raw)
			}
		})
	}
}

func TestSignReport(t *testing.T) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		s := newSigner(t, alg)
		raw, err := SignReport(failureReport(), s)
		if err != nil {
			t.Fatal(err)
		}
		if raw[0] != 0xd2 {
			t.Errorf("not tagged as COSE_Sign1: %x", raw[0])
		}
		opened, err := OpenReport(raw)
		if err != nil || !opened.Protected() {
			t.Fatalf("%+v, %v", opened, err)
		}
		key, err := opened.Key()
		if err != nil || !key.Equal(s.PublicKey()) {
			t.Errorf("key in the header: %v, %v", key, err)
		}
		if kid, ok := opened.KeyID(); !ok || kid != s.PublicKey().Thumbprint() {
			t.Errorf("kid %v", kid)
		}
		r, err := opened.Verify(key, false)
		if err != nil || !reflect.DeepEqual(r, failureReport()) {
			t.Errorf("report %+v, %v", r, err)
		}
		if _, err := opened.Verify(newSigner(t, alg).PublicKey(), false); !errors.Is(err, cosekit.ErrSignature) {
			t.Errorf("another key: %v", err)
		}
		for i := range raw {
			spoilt := bytes.Clone(raw)
			spoilt[i] ^= 0x01
			o, err := OpenReport(spoilt)
			if err != nil || !o.Protected() {
				continue
			}
			if r, err := o.Verify(s.PublicKey(), cosekit.AllowLegacy); err == nil && !reflect.DeepEqual(r, failureReport()) {
				t.Fatalf("byte %d: another report verifies", i)
			}
		}
	}
}

func TestReportHeaderKey(t *testing.T) {
	s, another := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.ESP256)
	payload, err := successReport().Encode()
	if err != nil {
		t.Fatal(err)
	}
	open := func(form cosekit.Form) *SignedReport {
		raw, err := cosekit.Sign1(s, payload, form)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenReport(raw)
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	foreign := open(cosekit.Form{CWTClaims: cosekit.ConfirmationHeader(another.PublicKey())})
	if _, err := foreign.Verify(s.PublicKey(), false); !errors.Is(err, cosekit.ErrKey) {
		t.Errorf("header confirms another key: %v", err)
	}
	broken := open(cosekit.Form{CWTClaims: wrap(rawMap{8: rawMap{1: rawMap{1: 2}}})})
	if _, err := broken.Key(); !errors.Is(err, cosekit.ErrKey) {
		t.Errorf("broken key: %v", err)
	}
	if _, err := broken.Verify(s.PublicKey(), false); !errors.Is(err, cosekit.ErrKey) {
		t.Errorf("broken key: %v", err)
	}
	bare := open(cosekit.Form{Untagged: true})
	if key, err := bare.Key(); key != nil || err != nil {
		t.Errorf("no key: %v, %v", key, err)
	}
	if _, err := bare.Verify(s.PublicKey(), false); err != nil {
		t.Errorf("no key in the header: %v", err)
	}
}

func TestOpenReportRefusals(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	payload, err := successReport().Encode()
	if err != nil {
		t.Fatal(err)
	}
	multi, err := cosekit.Sign([]cosekit.Signer{s}, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	detached, err := cosekit.Sign1(s, payload, cosekit.Form{Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": wrap("x"), "COSE_Sign": multi, "detached": detached,
		"COSE_Mac0":    wrap(cosekit.Tag{Number: 17, Content: wrap([]any{[]byte{}, rawMap{}, payload, []byte{}})}),
		"COSE_Encrypt": wrap(cosekit.Tag{Number: 96, Content: wrap([]any{[]byte{}, rawMap{}, nil, []any{}})}),
	} {
		if o, err := OpenReport(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	bare, err := OpenReport(payload)
	if err != nil || bare.Protected() {
		t.Fatalf("bare report: %v", err)
	}
	if r, err := bare.Unverified(); err != nil || !reflect.DeepEqual(r, successReport()) {
		t.Errorf("bare report: %+v, %v", r, err)
	}
	if key, err := bare.Key(); key != nil || err != nil {
		t.Errorf("key of a bare report: %v, %v", key, err)
	}
	if _, ok := bare.KeyID(); ok {
		t.Error("a bare report names a key")
	}
	notReport, err := cosekit.Sign1(s, wrap("x"), cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := OpenReport(notReport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Verify(s.PublicKey(), false); !errors.Is(err, ErrMalformed) {
		t.Errorf("signed text: %v", err)
	}
}
