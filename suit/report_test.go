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

func someCapabilities() *Capabilities {
	return &Capabilities{
		Components: []ComponentCapability{{ComponentID{}, true}, {id("app", "hello"), false}, {id("slot"), true}},
		Commands:   []CommandCode{ConditionImageMatch, -300}, Parameters: []ParameterCode{ParameterURI},
		Algorithms: []cosekit.Algorithm{cosekit.ESP256, cosekit.A128GCM},
		Envelope:   []int64{2, 3}, Manifest: []int64{20}, Common: []int64{4}, Text: []int64{1}, ComponentText: []int64{8}, Dependency: []int64{1},
		Paths:      []PathCapability{{[]int64{-1}, []int64{-2, 5}}, {[]int64{3, 3, 1}, []int64{3}}},
		Extensions: map[int64]cosekit.RawMessage{77: {0xf6}},
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
	r.Capabilities = someCapabilities()
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
	capabilities := func(change func(rawMap)) rawMap {
		c := rawMap{1: []any{[]any{true}}, 2: []any{1}, 3: []any{1}, 4: []any{-16}}
		change(c)
		return rawMap{99: reference, 3: []any{}, 4: true, 8: c}
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
		{"capabilities of nothing", capabilities(func(c rawMap) { clear(c) }), ""},
		{"capabilities without components", capabilities(func(c rawMap) { delete(c, 1) }), "report.capability-report.components"},
		{"capabilities without algorithms", capabilities(func(c rawMap) { delete(c, 4) }), "report.capability-report.algorithms"},
		{"no component", capabilities(func(c rawMap) { c[1] = []any{} }), "report.capability-report.components"},
		{"component false", capabilities(func(c rawMap) { c[1] = []any{[]any{false}} }), "report.capability-report.components[0]"},
		{"true and more", capabilities(func(c rawMap) { c[1] = []any{[]any{true, []byte("x")}} }), "report.capability-report.components[0]"},
		{"command of text", capabilities(func(c rawMap) { c[2] = []any{1, "x"} }), "report.capability-report.commands[1]"},
		{"no parameter", capabilities(func(c rawMap) { c[3] = []any{} }), "report.capability-report.parameters"},
		{"text keys of text", capabilities(func(c rawMap) { c[8] = "x" }), "report.capability-report.text"},
		{"path of text", capabilities(func(c rawMap) { c[[1]string{"x"}] = []any{1} }), "report.capability-report.path[0]"},
		{"no path", capabilities(func(c rawMap) { c[[0]int{}] = []any{1} }), "report.capability-report.path"},
		{"path to nothing", capabilities(func(c rawMap) { c[[2]int{3, 1}] = []any{} }), "report.capability-report.path [3 1]"},
		{"capability by name", capabilities(func(c rawMap) { c["x"] = []any{1} }), "report.capability-report"},
		{"capabilities of a list", rawMap{99: reference, 3: []any{}, 4: true, 8: []any{}}, "report.capability-report"},
		{"records of a map", records(rawMap{}), "report.records"},
		{"record of text", records([]any{"x"}), "report.records[0]"},
		{"record null", records([]any{nil}), "report.records[0]"},
		{"map-shaped record", records([]any{rawMap{1: []any{}}}), "report.records[0].vendor-id"},
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
			if !errors.Is(err, ErrMalformed) || !errors.As(err, &at) || test.path != "" && at.Path != test.path {
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
		"broken capabilities": func(r *Report) { r.Capabilities = &Capabilities{} },
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

func TestReportLimits(t *testing.T) {
	record := Record{Section: SectionInstall}
	for name, change := range map[string]func(r *Report, more int){
		"entries": func(r *Report, more int) {
			r.Entries = nil
			for range MaxReportEntries + more {
				r.Entries = append(r.Entries, record)
			}
		},
		"depth": func(r *Report, more int) {
			r.Entries = []ReportEntry{Record{ManifestID: make([]uint64, MaxManifestDepth+more)}}
		},
		"extensions": func(r *Report, more int) {
			one := Record{}
			for range MaxRecordExtensions + more {
				one.Extensions = append(one.Extensions, cosekit.RawMessage{1})
			}
			r.Entries = []ReportEntry{one}
		},
		"capabilities": func(r *Report, more int) {
			r.Capabilities = someCapabilities()
			r.Capabilities.Commands = make([]CommandCode, MaxCodes+more)
		},
		"component capabilities": func(r *Report, more int) {
			r.Capabilities = someCapabilities()
			r.Capabilities.Components = make([]ComponentCapability, MaxCodes+more)
		},
	} {
		r := successReport()
		change(r, 0)
		if _, err := r.Encode(); err != nil {
			t.Errorf("%s: as many as may be: %v", name, err)
		}
		change(r, 1)
		if _, err := r.Encode(); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: one more: %v", name, err)
		}
	}
	if _, err := DecodeReport(make([]byte, MaxReportSize+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("size: %v", err)
	}
}

func TestComponentCapability(t *testing.T) {
	for _, test := range []struct {
		capability ComponentCapability
		name       string
		matches    []ComponentID
		not        []ComponentID
	}{
		{ComponentCapability{id("app"), false}, "app", []ComponentID{id("app")}, []ComponentID{id("app", "x"), id()}},
		{ComponentCapability{id("app"), true}, "app/*", []ComponentID{id("app"), id("app", "x")}, []ComponentID{id("ap"), id()}},
		{ComponentCapability{nil, true}, "*", []ComponentID{id(), id("x")}, nil},
	} {
		if test.capability.String() != test.name {
			t.Errorf("%s, want %s", test.capability, test.name)
		}
		for _, c := range test.matches {
			if !test.capability.Matches(c) {
				t.Errorf("%s does not match %s", test.capability, c)
			}
		}
		for _, c := range test.not {
			if test.capability.Matches(c) {
				t.Errorf("%s matches %s", test.capability, c)
			}
		}
	}
}
