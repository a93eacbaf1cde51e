package devices

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestDocument(t *testing.T) {
	created := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	doc := Document(Device{
		ID: "id-1", UEID: []byte{1, 0xab}, Name: "kiosk", State: Quarantined, StateReason: "PCR 7", QuarantinedBy: "strict@3",
		OEMID: cosekit.MustMarshal([]byte{1, 2, 3}), HWModel: []byte("board"), HWVersion: "1.0",
		Labels: map[string]string{"site": "hall-3"}, CreatedAt: created,
		Attestations: AttestationCount{Accepted: 7, Failed: map[string]uint64{"nonce": 2, "expired": 3}},
	})
	if doc.UEID != "01ab" || doc.OEMID != "010203" || doc.HWModel != "626f617264" || doc.HWModelText != "board" {
		t.Errorf("byte strings: %+v", doc)
	}
	if doc.State != "quarantined" || doc.QuarantinedBy != "strict@3" || doc.StateReason != "PCR 7" || doc.Labels["site"] != "hall-3" {
		t.Errorf("state: %+v", doc)
	}
	if doc.Attested.Accepted != 7 || doc.Attested.Failed != 5 || doc.Attested.FailedBy["expired"] != 3 {
		t.Errorf("attested: %+v", doc.Attested)
	}
	if !doc.LastSeen.IsZero() || doc.Agents != nil {
		t.Error("agents out of nowhere")
	}
}

func TestDocumentOfTheUnusual(t *testing.T) {
	for _, test := range []struct {
		oemID []byte
		model []byte
		want  [2]string
	}{
		{nil, nil, [2]string{"", ""}},
		{cosekit.MustMarshal(4711), []byte("a\x00b"), [2]string{"pen:4711", ""}},
		{[]byte{0xff}, []byte{0x80}, [2]string{"", ""}},
	} {
		doc := Document(Device{OEMID: test.oemID, HWModel: test.model})
		if got := [2]string{doc.OEMID, doc.HWModelText}; got != test.want {
			t.Errorf("%x, %q: %q, want %q", test.oemID, test.model, got, test.want)
		}
	}
	huge := Document(Device{Attestations: AttestationCount{
		Accepted: math.MaxUint64, Failed: map[string]uint64{"a": math.MaxUint64, "b": math.MaxInt64, "c": 1},
	}}).Attested
	if huge.Accepted != math.MaxInt64 || huge.Failed != math.MaxInt64 || huge.FailedBy["a"] != math.MaxInt64 {
		t.Errorf("counters wrap: %+v", huge)
	}
}

func TestDocumentKnowsWhoWasSeenLast(t *testing.T) {
	signer, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	key := signer.PublicKey()
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	doc := Document(Device{}, Agent{Key: key, LastSeen: late, AttestedAt: early}, Agent{Key: key, LastSeen: early})
	if !doc.LastSeen.Equal(late) || len(doc.Agents) != 2 || !doc.Agents[0].AttestedAt.Equal(early) || len(doc.Agents[0].Key) != 64 {
		t.Errorf("%+v", doc)
	}
}

var (
	known    = attest.Element{Name: attest.InstanceIdentity, Value: 2}
	stranger = attest.Element{Name: attest.InstanceIdentity, Value: 97, Reason: "unknown key"}
	warned   = attest.Element{Name: attest.Executables, Value: 33, Reason: "unrecognized"}
	pcr7     = attest.Comparison{Element: attest.Executables, Name: "PCR 7", Measured: "aa", Expected: []string{"bb"}}
)

func resultOf(vector []attest.Element, comparisons ...attest.Comparison) *attest.Result {
	return &attest.Result{
		Status: attest.StatusOf(vector), Vector: vector, Comparisons: comparisons,
		Claims: &attest.Claims{}, Document: map[string]any{},
	}
}

func TestExceptionCovers(t *testing.T) {
	now := time.Unix(1000, 0)
	pcr0 := attest.Comparison{Element: attest.Executables, Name: "PCR 0", Measured: "11", Expected: []string{"11"}, Match: true}
	granted := resultOf([]attest.Element{known, warned, {Name: attest.Hardware, Reason: "not appraised"}}, pcr7, pcr0)
	exception, wrong := NewException(granted)
	if _, any := NewException(resultOf([]attest.Element{known}, pcr0)); !wrong || any {
		t.Errorf("something wrong: %t, of an affirming one %t", wrong, any)
	}
	exception.Until = now.Add(time.Hour)
	mended := pcr7
	mended.Match, mended.Measured = true, "bb"
	with := func(change func(r *attest.Result)) *attest.Result {
		r := resultOf(slices.Clone(granted.Vector), granted.Comparisons...)
		change(r)
		r.Status = attest.StatusOf(r.Vector)
		return r
	}
	other := func(change func(c *attest.Comparison)) *attest.Result {
		return with(func(r *attest.Result) {
			c := pcr7
			change(&c)
			r.Comparisons = []attest.Comparison{pcr7, pcr0, c}
		})
	}
	affirmed := []attest.Element{known, {Name: attest.Executables, Value: 2}}
	for name, test := range map[string]struct {
		result *attest.Result
		want   bool
	}{
		"the same":     {granted, true},
		"better":       {resultOf(affirmed, mended, pcr0), true},
		"left out":     {resultOf(affirmed), false},
		"one left out": {with(func(r *attest.Result) { r.Comparisons = []attest.Comparison{pcr7} }), false},
		"the fault left out": {with(func(r *attest.Result) {
			r.Comparisons, r.Vector[1].Reason = []attest.Comparison{pcr0, mended}, "PCR 0 was not quoted"
		}), false},
		"another is wrong": {with(func(r *attest.Result) {
			c := pcr0
			c.Match, c.Measured = false, "12"
			r.Comparisons = []attest.Comparison{pcr7, c}
		}), false},
		"another match":        {other(func(c *attest.Comparison) { c.Name, c.Match = "PCR 8", true }), true},
		"another value":        {with(func(r *attest.Result) { r.Vector[1].Value = 34 }), true},
		"worse tier":           {with(func(r *attest.Result) { r.Vector[1].Value = 96 }), false},
		"worse, mirrored":      {with(func(r *attest.Result) { r.Vector[1].Value = -100 }), false},
		"could not appraise":   {with(func(r *attest.Result) { r.Vector[1].Value = 1 }), false},
		"another element":      {with(func(r *attest.Result) { r.Vector[2].Value = 32 }), false},
		"in another submodule": {with(func(r *attest.Result) { r.Vector[1].Submod = "realm" }), false},
		"submodule of nothing": {with(func(r *attest.Result) {
			r.Vector = append(r.Vector, attest.Element{Submod: "realm", Name: attest.Hardware})
		}), false},
		"another measurement": {other(func(c *attest.Comparison) { c.Name = "PCR 8" }), false},
		"another value of it": {other(func(c *attest.Comparison) { c.Measured = "cc" }), false},
		"for another element": {other(func(c *attest.Comparison) { c.Element = attest.Hardware }), false},
		"of another submod":   {other(func(c *attest.Comparison) { c.Submod = "realm" }), false},
		"not genuine":         {with(func(r *attest.Result) { r.Claims = nil }), false},
		"another device":      {with(func(r *attest.Result) { r.Vector[0] = stranger }), false},
		"no device":           {with(func(r *attest.Result) { r.Vector[0].Value = 0 }), false},
		"unexplained verdict": {&attest.Result{Status: attest.Contraindicated, Vector: granted.Vector, Claims: &attest.Claims{}}, false},
		"no vector":           {resultOf(nil), false},
		"none":                {nil, false},
	} {
		if got := exception.Covers(test.result, now); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if exception.Covers(granted, exception.Until) || (*Exception)(nil).Covers(granted, now) {
		t.Error("covers without being in force")
	}
	for name, r := range map[string]*attest.Result{
		"lies": {Status: attest.Affirming, Vector: granted.Vector, Claims: &attest.Claims{}}, "none": {Vector: granted.Vector, Claims: &attest.Claims{}},
	} {
		if exception.Covers(r, now) {
			t.Errorf("a status that %s passes", name)
		}
	}
}

// An exception never lets another device in, even where it was granted for that.
func TestExceptionDoesNotIdentify(t *testing.T) {
	for _, vector := range [][]attest.Element{
		{stranger}, {known, {Submod: "realm", Name: attest.InstanceIdentity, Value: 97}},
	} {
		r := resultOf(vector)
		e := &Exception{Until: time.Unix(2000, 0), Elements: r.Vector}
		if e.Covers(r, time.Unix(1000, 0)) {
			t.Errorf("covers %v", vector)
		}
	}
}

func TestResultOf(t *testing.T) {
	want := resultOf([]attest.Element{known, warned}, pcr7)
	want.Document = map[string]any{"dbgstat": "disabled", "boots": 3.0, "list": []any{"a"}}
	want.Verifier, want.AppraisedAt, want.Evidence.Format = "local", time.Unix(1000, 0), "application/eat+cwt"
	marshal := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	stored := Appraisal{
		Status: int8(want.Status), Vector: marshal(want.Vector), Verifier: "local", At: want.AppraisedAt, Format: "application/eat+cwt",
		Claims: marshal(want.Document), Comparisons: marshal(want.Comparisons),
	}
	got, err := ResultOf(stored)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n%+v\n%+v", err, got, want)
	}
	for name, claims := range map[string][]byte{"no claims": nil, "null": []byte("null")} {
		stored.Claims = claims
		if got, err = ResultOf(stored); err != nil || got.Claims != nil || got.Document != nil {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	for _, broken := range []Appraisal{{Vector: []byte("{")}, {Claims: []byte("[]")}, {Comparisons: []byte("7")}} {
		if _, err := ResultOf(broken); err == nil {
			t.Errorf("reads %+v", broken)
		}
	}
}
