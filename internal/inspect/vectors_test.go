package inspect

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/teep"
)

// vectorIndex is the part of a family's index.json that these tests hold the code against.
type vectorIndex struct {
	dir  string
	Keys map[string]struct {
		Public string `json:"cose_key_public_hex"`
		Secret string `json:"key_hex"`
		Other  string `json:"secret_hex"`
	}
	Vectors []vector
}

type vector struct {
	Name, File, Kind string
	Verified         *bool
	Notes            []string
	WhyNotVerified   []string `json:"why_not_verified"`
	Expect           struct {
		// cose
		Valid       *bool
		ExternalAAD string `json:"external_aad_hex"`
		Keys        map[string]struct {
			Key    string `json:"cose_key_hex"`
			Secret string `json:"secret_hex"`
		}
		// suit-envelope
		ManifestDigest string `json:"manifest_digest"`
		Authentication []struct {
			Type  string
			Alg   int64
			Key   string
			Valid bool
		}
		// others
		Type               uint64
		DetachedMatch      *bool `json:"detached_digest_match"`
		MainTokenSignature *bool `json:"main_token_signature_valid"`
	}
}

func vectorRoot(t testing.TB) string {
	t.Helper()
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		t.Skip("TEEP_VECTORS names no folder with the published examples")
	}
	return root
}

func loadVectors(t testing.TB, family string) vectorIndex {
	t.Helper()
	index := vectorIndex{dir: filepath.Join(vectorRoot(t), family)}
	data, err := os.ReadFile(filepath.Join(index.dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	return index
}

// kindsOfVectors are our names for what the indices call their objects.
var kindsOfVectors = map[string]Kind{
	"teep-message": KindTEEP, "suit-envelope": KindEnvelope,
	"suit-report": KindReport, "suit-report-protected": KindReport,
	"eat-claims-set": KindEAT, "eat-cwt": KindEAT, "eat-detached-bundle": KindBundle, "coswid": KindCoSWID,
	"cose-encrypt": KindEncrypt, "cose-kdf-context": KindKDFContext,
	"version-value": KindVersion, "version-match": KindVersionMatch, "text-map-fragment": KindText,
}

var families = []string{
	"teep-iana", "teep", "suit-manifest", "suit-trust-domains", "suit-update-management",
	"suit-firmware-encryption", "suit-report", "eat",
}

// TestVectors inspects every published example and judges it as its index says.
func TestVectors(t *testing.T) {
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			index := loadVectors(t, family)
			if len(index.Vectors) == 0 {
				t.Fatal("no vectors")
			}
			for _, v := range index.Vectors {
				t.Run(v.Name, func(t *testing.T) {
					opts := index.options(t)
					if family == "teep" {
						opts.Numbering = teep.PreIANA
					}
					testVector(t, v, inspectFile(t, filepath.Join(index.dir, v.File), opts))
				})
			}
		})
	}
}

// options feeds every key of the family.
func (x vectorIndex) options(t testing.TB) Options {
	t.Helper()
	var opts Options
	for name, k := range x.Keys {
		switch secret := k.Secret + k.Other; {
		case k.Public != "":
			opts.Keys = append(opts.Keys, publicKey(t, k.Public))
		case secret != "":
			opts.MACKeys = append(opts.MACKeys, secretKey(t, unhex(t, secret)))
		default:
			t.Fatalf("key %s: neither public nor secret", name)
		}
	}
	return opts
}

func testVector(t *testing.T, v vector, r *Result) {
	if want := kindsOfVectors[strings.Fields(v.Kind)[0]]; r.Kind != want {
		t.Errorf("kind %q, want %q for %s", r.Kind, want, v.Kind)
	}
	if v.Expect.ManifestDigest != "" && v.Kind == "suit-envelope" {
		testAuthentication(t, v, r)
	}
	switch {
	case v.Kind == "eat-detached-bundle":
		wantVerdicts(t, r, "digest", Valid)
		wantVerdicts(t, r, "signature", Valid)
	case v.Kind == "eat-cwt" && *v.Verified, v.Kind == "suit-report-protected":
		wantVerdicts(t, r, "signature", Valid)
	case v.Kind == "eat-cwt":
		wantVerdicts(t, r, "signature", Invalid)
	}
	if v.Kind == "teep-message" {
		if got := r.Tree.child("type"); got == nil || got.Value != int64(v.Expect.Type) {
			t.Errorf("type %+v, want %d", got, v.Expect.Type)
		}
	}
	testNotes(t, append(v.Notes, v.WhyNotVerified...), r)
}

// TestVectorNotes looks for what the index of teep-iana notes about the family.
func TestVectorNotes(t *testing.T) {
	index := loadVectors(t, "teep-iana")
	for file, lints := range map[string][]string{
		"query_request.cbor": {"token beside the attestation bit", "deterministic order"},
		"update.cbor":        {"stale key 9", "ES256 (-7)", "deterministic order"},
	} {
		r := inspectFile(t, filepath.Join(index.dir, file), Options{})
		for _, part := range lints {
			if !hasLint(r, part) {
				t.Errorf("%s: no lint %q", file, part)
			}
		}
	}
}

// TestVectorNumbering reads the examples in the wrong numbering: it is said, and
// nothing is guessed.
func TestVectorNumbering(t *testing.T) {
	for family, wrong := range map[string]teep.Numbering{"teep-iana": teep.PreIANA, "teep": teep.IANA} {
		index := loadVectors(t, family)
		for _, v := range index.Vectors {
			if v.Kind != "teep-message" {
				continue
			}
			r := inspectFile(t, filepath.Join(index.dir, v.File), Options{Numbering: wrong})
			if !hasLint(r, "fits this message better") {
				t.Errorf("%s/%s read as %s: nothing said", family, v.Name, wrong)
			}
			if *r.Numbering != wrong {
				t.Errorf("%s/%s: numbering %s", family, v.Name, *r.Numbering)
			}
		}
	}
}

// testAuthentication compares the checks of the outermost envelope with the index.
func testAuthentication(t *testing.T, v vector, r *Result) {
	var got []Check
	digests := 0
	for _, c := range r.Checks {
		switch {
		case c.Path == "/authentication/digest":
			digests++
			if c.Verdict != Valid {
				t.Errorf("manifest digest: %+v", c)
			}
		case strings.HasPrefix(c.Path, "/authentication/block "):
			got = append(got, c)
		case c.What == "digest" && c.Verdict != Valid:
			t.Errorf("digest: %+v", c)
		}
	}
	if digests != 1 {
		t.Errorf("%d manifest digests, want 1", digests)
	}
	digest := r.Tree.child("authentication").child("digest")
	if want := "sha-256:" + v.Expect.ManifestDigest; digest.Text != want {
		t.Errorf("digest shown as %s, want %s", digest.Text, want)
	}
	if len(got) != len(v.Expect.Authentication) {
		t.Fatalf("%d signatures, want %d", len(got), len(v.Expect.Authentication))
	}
	for i, want := range v.Expect.Authentication {
		if verdict := map[bool]Verdict{true: Valid, false: Invalid}[want.Valid]; got[i].Verdict != verdict {
			t.Errorf("signature %d: %+v, want %s", i, got[i], verdict)
		}
		if got[i].Algorithm != algorithmName(want.Alg) {
			t.Errorf("signature %d: algorithm %s, want %s", i, got[i].Algorithm, algorithmName(want.Alg))
		}
	}
}

// noted says which lint a note of an index calls for; an empty one is beyond what can
// be seen in one object.
var noted = []struct{ note, lint string }{
	{"deterministic order", "deterministic order"}, {"deterministic key order", "deterministic order"},
	{"token is present although", "token beside the attestation bit"},
	{"install sequence under manifest key 9", "stale key 9"},
	{"ES256 (-7)", "ES256 (-7)"},
	{"uses 271 as swname", "want an array"},
	{"label 273", "label 273"},
	{"SUIT_Reference is a map", "SUIT_Reference as a map"},
	{"pre-array SUIT_Reference", "stale form"},
	{"zero-length bstr", "empty attestation payload"},
	{"16-byte IV", ""}, // only in the prose; the bytes have 12
	{"EDN only", ""}, {"the draft's EDN", ""}, {"two adjacent h''", ""},
	{"signature is stale", ""}, {"expected-failure vector", ""},
	// For a processor to find out.
	{"never reached by process-dependency", ""}, {"dependency index 1", ""}, {"dependency-integrity", ""},
	{"image-size 389", ""}, {"root signed by", ""},
}

func testNotes(t *testing.T, notes []string, r *Result) {
	for _, note := range notes {
		i := slices.IndexFunc(noted, func(n struct{ note, lint string }) bool { return strings.Contains(note, n.note) })
		switch {
		case i < 0:
			t.Errorf("nobody looks for: %s", note)
		case noted[i].lint != "" && !hasLint(r, noted[i].lint):
			t.Errorf("no lint %q for: %s\n%+v", noted[i].lint, note, r.Lint)
		}
	}
}

// unsupported are the algorithms of the valid examples that are named, not judged.
var unsupported = map[string]string{
	"eddsa.eddsa-02": "EdDSA", "eddsa.eddsa-sig-02": "EdDSA",
	"aes-wrap.aes-wrap-128-01": "AES-MAC 128/64", "aes-wrap.aes-wrap-128-02": "AES-MAC 256/64",
	"aes-wrap.aes-wrap-256-01": "AES-MAC 128/64", "aes-wrap.aes-wrap-256-02": "AES-MAC 256/64",
	"ecdh-wrap.p256-wrap-128-01": "AES-MAC 128/64", "ecdh-wrap.p256-wrap-128-02": "HMAC 256/256", "ecdh-wrap.p256-wrap-128-03": "HMAC 512/512",
	"ecdh-wrap.p256-wrap-256-01": "AES-MAC 128/64", "ecdh-wrap.p256-wrap-256-02": "HMAC 256/256", "ecdh-wrap.p256-wrap-256-03": "HMAC 512/512",
}

// TestCOSEVectors judges the examples of the COSE working group, each with its own keys.
func TestCOSEVectors(t *testing.T) {
	index := loadVectors(t, "cose")
	for _, v := range index.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			var opts Options
			for _, k := range v.Expect.Keys {
				if k.Secret != "" {
					opts.MACKeys = append(opts.MACKeys, secretKey(t, unhex(t, k.Secret)))
				} else if key, err := ReadKey(unhex(t, k.Key)); err == nil {
					opts.Keys = append(opts.Keys, key) // others are of unsupported algorithms
				}
			}
			opts.ExternalAAD = unhex(t, v.Expect.ExternalAAD)
			if v.Name == "sign-test.sign-pass-02" {
				opts.ExternalAAD = unhex(t, "11aa22bb33cc44dd55006699") // its index leaves it out
			}
			r := inspectFile(t, filepath.Join(index.dir, v.File), opts)
			testCOSEKind(t, v, r)
			testCOSEVerdict(t, v, r)
		})
	}
}

func testCOSEKind(t *testing.T, v vector, r *Result) {
	want := map[string][]Kind{
		"ecdsa": {KindSign, KindSign1}, "eddsa": {KindSign, KindSign1}, "hashsig": {KindSign, KindSign1},
		"sign-test": {KindSign}, "sign1-test": {KindSign1}, "mac0-test": {KindMac0},
		"aes-wrap": {KindMac, KindEncrypt}, "ecdh-wrap": {KindMac, KindEncrypt},
	}[strings.Split(v.Name, ".")[0]]
	switch family, rest, _ := strings.Cut(v.Name, "."); {
	case family != "mac0-test" && strings.HasSuffix(rest, "fail-01"), rest == "mac-fail-01":
		want = []Kind{KindCBOR} // a wrong tag
		if !hasLint(r, "is not known; the content looks like") {
			t.Errorf("nothing said about the tag: %+v", r.Lint)
		}
	case strings.Contains(rest, "-sig-"):
		want = []Kind{KindSign1}
	}
	if !slices.Contains(want, r.Kind) {
		t.Errorf("kind %s, want one of %s", r.Kind, want)
	}
}

func testCOSEVerdict(t *testing.T, v vector, r *Result) {
	algorithm, skipped := unsupported[v.Name]
	for _, c := range r.Checks {
		switch {
		case skipped && (c.Verdict != Unsupported || c.Algorithm != algorithm):
			t.Errorf("%+v, want %s not supported", c, algorithm)
		case !skipped && *v.Expect.Valid && c.Verdict != Valid:
			t.Errorf("%+v, want it valid", c)
		case !*v.Expect.Valid && c.Verdict != Invalid && c.Verdict != Unsupported:
			t.Errorf("%+v, want it invalid", c)
		}
	}
	if !*v.Expect.Valid && r.Sound() && !skipped && !slices.ContainsFunc(r.Lint, func(l Lint) bool { return l.Severity == SeverityError }) {
		t.Errorf("nothing shows that it is invalid: %+v, %+v", r.Checks, r.Lint)
	}
	judged := r.Kind != KindCBOR && r.Kind != KindEncrypt
	if judged != (len(r.Checks) == 1) {
		t.Errorf("%d checks: %+v", len(r.Checks), r.Checks)
	}
}

func inspectFile(t testing.TB, path string, opts Options) *Result {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := ReadInput(f)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Inspect(data, opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Errorf("as JSON: %v", err)
	}
	if _, err := Diagnose(data); err != nil {
		t.Errorf("in diagnostic notation: %v", err)
	}
	return r
}

func wantVerdicts(t *testing.T, r *Result, what string, want Verdict) {
	t.Helper()
	n := 0
	for _, c := range r.Checks {
		if c.What == what {
			n++
			if c.Verdict != want {
				t.Errorf("%+v, want %s", c, want)
			}
		}
	}
	if n == 0 {
		t.Errorf("no %s was checked", what)
	}
}

func hasLint(r *Result, part string) bool {
	return slices.ContainsFunc(r.Lint, func(l Lint) bool { return strings.Contains(l.Message, part) })
}

func publicKey(t testing.TB, digits string) *Key {
	t.Helper()
	key, err := ReadKey(unhex(t, digits))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
