package inspect

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

var update = flag.Bool("update", false, "write the golden files")

// signer is a test key whose signatures do not change.
func signer(t testing.TB, seed byte) cosekit.Signer {
	t.Helper()
	s, err := cosekit.NewSigner(ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize))))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var helloComponent = suit.ComponentID{[]byte("app"), []byte("hello")}

// helloEnvelope is a signed envelope with an integrated payload.
func helloEnvelope(t testing.TB) []byte {
	t.Helper()
	payload := []byte("Hello")
	digest, size, uri := suit.SumSHA256(payload), uint64(len(payload)), "#hello"
	install := &suit.Sequence{Commands: []suit.Command{
		{Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{URI: &uri}},
		{Code: suit.DirectiveFetch, Argument: suit.ReportAll},
		{Code: suit.ConditionImageMatch, Argument: suit.RecordOnFailure},
	}}
	m := &suit.Manifest{
		Version: 1, SequenceNumber: 7, ComponentID: append(helloComponent, []byte("suit")), SetVersion: []int64{1, 2, -1, 3},
		Common: suit.Common{
			Components: []suit.ComponentID{helloComponent},
			Shared: &suit.Sequence{Commands: []suit.Command{
				{Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{ImageDigest: &digest, ImageSize: &size}},
			}},
		},
		Sections: map[suit.Section]suit.Severable{suit.SectionInstall: {Sequence: install}},
		Text:     suit.Text{"en": {ManifestDescription: "Says hello"}},
	}
	e := must[*suit.Envelope](t)(suit.Sign(m, map[string][]byte{"#hello": payload}, signer(t, 0)))
	return must[[]byte](t)(e.Encode(true))
}

// evidence is an EAT of our agent's kind.
func evidence(t testing.TB) []byte {
	t.Helper()
	claims := &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: []byte("0123456789abcdef"), UEID: []byte{1, 2, 3, 4, 5, 6, 7, 8},
		OEMID: cosekit.MustMarshal([]byte{1, 2, 3}), HWModel: []byte("model"), HWVersion: "1.0",
		Confirmation: attest.Confirmation{Key: signer(t, 1).PublicKey()},
		Manifests:    []attest.ManifestRef{{URI: "https://tam.example/m", Digest: suit.SumSHA256([]byte("m"))}},
		IssuedAt:     time.Unix(1700000000, 0),
	}
	return must[[]byte](t)(attest.SignEAT(claims, signer(t, 2)))
}

func successMessage(t testing.TB) []byte {
	t.Helper()
	digest := suit.SumSHA256([]byte("Hello"))
	report := &suit.Report{
		Reference: suit.Reference{Digest: suit.SumSHA256([]byte("m"))}, Nonce: []byte("token-of-32-bytes-for-the-report"),
		Entries: []suit.ReportEntry{suit.PropertyClaims{Component: helloComponent, ImageDigest: &digest}},
		Failure: &suit.ReportFailure{Code: -5, Reason: suit.ReasonConditionFailed, Record: suit.Record{
			Section: suit.SectionInstall, Offset: 12, Measured: suit.Parameters{ImageDigest: &digest},
		}},
	}
	signedReport := must[[]byte](t)(suit.SignReport(report, signer(t, 3)))
	return must[[]byte](t)(teep.Seal(teep.PreIANA, &teep.Success{
		Token: []byte("token-of-32-bytes-for-the-report"), Msg: "done", SUITReports: [][]byte{signedReport},
	}, signer(t, 1)))
}

// result is an EAR, for which attest has no encoder yet.
func result(t testing.TB) []byte {
	t.Helper()
	set := cosekit.MustMarshal(map[int]any{
		6: 1700000000, 265: attest.ProfileEAR03, 1004: map[int]any{0: "https://verifier.example", 1: "v1"},
		266: map[string]any{"device": map[int]any{1000: 2, 1001: map[int]any{0: 2, 2: 3}}},
	})
	return must[[]byte](t)(cosekit.Sign1(signer(t, 2), set, cosekit.Form{}))
}

func jwtResult() []byte {
	encode := base64.RawURLEncoding.EncodeToString
	return []byte(encode([]byte(`{"alg":"ES256"}`)) + "." + encode([]byte(
		`{"eat_profile":"tag:github.com,2023:veraison/ear","iat":1700000000,"submods":{"TEEP":{"ear.status":"affirming"}}}`)) + ".c2ln")
}

// TestGolden holds the tree, as text and as data, against files. The last ones are
// the stable shape that docs/inspect.md describes.
func TestGolden(t *testing.T) {
	response := must[[]byte](t)(teep.Seal(teep.IANA, &teep.QueryResponse{
		Token:        []byte("0123456789abcdef"),
		Attestation:  &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: evidence(t)},
		RequestedTCs: []teep.RequestedTC{{Component: helloComponent}},
	}, signer(t, 1)))
	keys := []*Key{NewKey(signer(t, 0).PublicKey()), NewKey(signer(t, 1).PublicKey())}
	for _, c := range []struct {
		name string
		data []byte
		opts Options
	}{
		{"envelope", helloEnvelope(t), Options{Keys: keys}},
		{"query-response", response, Options{Keys: keys}},
		{"success", successMessage(t), Options{Keys: keys, Numbering: teep.PreIANA}},
		{"ear", result(t), Options{}},
		{"ear-jwt", jwtResult(), Options{}},
		{"key", signer(t, 0).PublicKey().COSEKey(), Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(c.data, c.opts))
			var text strings.Builder
			if err := r.WriteText(&text, false); err != nil {
				t.Fatal(err)
			}
			data := must[[]byte](t)(json.MarshalIndent(r, "", "  "))
			golden(t, c.name+".txt", text.String())
			golden(t, c.name+".json", string(data)+"\n")
			if !r.Sound() {
				t.Errorf("not sound: %+v", r.Checks)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: run with -update and look at the difference; got:\n%s", name, got)
	}
}
