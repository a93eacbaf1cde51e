package suit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// vectorIndex is the part of a family's index.json that these tests hold the code against.
type vectorIndex struct {
	dir  string
	Keys map[string]struct {
		Public  string `json:"cose_key_public_hex"`
		Private string `json:"cose_key_private_hex"`
		Secret  string `json:"cose_key_secret_hex"`
	}
	Vectors []vector
}

type vector struct {
	Name, File, Kind string
	Verified         *bool
	Expect           json.RawMessage
	Facts            struct {
		Tagged     bool
		Integrated map[string]int
		Severed    map[int64]struct{ Digest string }
		Manifest   struct {
			Version        uint64     `json:"manifest_version"`
			SequenceNumber uint64     `json:"sequence_number"`
			Components     [][]string `json:"components"`
			ReferenceURI   string     `json:"reference_uri"`
			Commands       []int64
			Parameters     []int64
			Members        []string
		}
	}
}

// envelopeExpect is the expect of a vector of kind suit-envelope.
type envelopeExpect struct {
	ManifestDigest string `json:"manifest_digest"`
	DigestMatch    bool   `json:"digest_match"`
	Authentication []struct {
		Type, Key string
		Alg       int64
		Valid     bool
	}
}

func loadVectors(t testing.TB, family string) vectorIndex {
	t.Helper()
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		t.Skip("TEEP_VECTORS names no folder with the published examples")
	}
	index := vectorIndex{dir: filepath.Join(root, family)}
	data, err := os.ReadFile(filepath.Join(index.dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	return index
}

func (x vectorIndex) read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(x.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (x vectorIndex) publicKey(t testing.TB, name string) *cosekit.PublicKey {
	t.Helper()
	key, err := cosekit.ParsePublicKey(unhex(t, x.Keys[name].Public))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (x vectorIndex) secretKey(t testing.TB, name string) *cosekit.SecretKey {
	t.Helper()
	key, err := cosekit.ParseSecretKey(unhex(t, x.Keys[name].Secret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyRing has every key of the family.
func (x vectorIndex) keyRing(t testing.TB) KeyRing {
	t.Helper()
	var ring KeyRing
	for name, k := range x.Keys {
		if k.Public != "" {
			ring.KeyList = append(ring.KeyList, x.publicKey(t, name))
		}
		if k.Secret != "" {
			ring.SecretList = append(ring.SecretList, x.secretKey(t, name))
		}
	}
	return ring
}

func unmarshal(t testing.TB, data []byte, v any) bool {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
	return true
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// otherKinds are the vectors that are not for this package, by kind.
var otherKinds = []string{
	"cose-kdf-context", "cose-encrypt", // payload encryption has its own tests
	"teep-message", "eat-claims-set",
	"suit-report", "suit-report-protected", // TestReportVectors
	"version-value", "version-match", "text-map-fragment", // TestFragmentVectors
}

func TestEnvelopeVectors(t *testing.T) {
	families := []string{"suit-manifest", "suit-trust-domains", "suit-firmware-encryption", "suit-update-management", "teep"}
	for _, family := range families {
		t.Run(family, func(t *testing.T) {
			index := loadVectors(t, family)
			for _, v := range index.Vectors {
				if v.Kind != "suit-envelope" {
					if !slices.Contains(otherKinds, strings.Split(v.Kind, " ")[0]) {
						t.Errorf("%s: nobody tests kind %q", v.Name, v.Kind)
					}
					continue
				}
				t.Run(v.Name, func(t *testing.T) { testEnvelopeVector(t, index, v) })
			}
		})
	}
}

func testEnvelopeVector(t *testing.T, index vectorIndex, v vector) {
	var expect envelopeExpect
	if err := json.Unmarshal(v.Expect, &expect); err != nil {
		t.Fatal(err)
	}
	data := index.read(t, v.File)
	e, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if e.Tagged() != v.Facts.Tagged {
		t.Errorf("tagged = %v", e.Tagged())
	}
	again, err := e.Encode(e.Tagged())
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("encoding is not a fixpoint (%v)", err)
	}
	if got := hex.EncodeToString(e.Digest().Bytes); got != expect.ManifestDigest {
		t.Errorf("digest %s, want %s", got, expect.ManifestDigest)
	}
	checkFacts(t, e, v)
	checkAuthentication(t, index, e, expect)
}

func checkFacts(t *testing.T, e *Envelope, v vector) {
	t.Helper()
	m, err := e.UnverifiedManifest()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := m.Encode(false)
	if err != nil || !bytes.Equal(raw, e.manifest) {
		t.Errorf("encoding of the manifest is not a fixpoint (%v)", err)
	}
	want := v.Facts.Manifest
	if m.Version != want.Version || m.SequenceNumber != want.SequenceNumber || m.ReferenceURI != want.ReferenceURI {
		t.Errorf("version %d, sequence number %d, reference %q, want %+v", m.Version, m.SequenceNumber, m.ReferenceURI, want)
	}
	if len(m.Common.Components) != len(want.Components) {
		t.Errorf("components %v, want %v", m.Common.Components, want.Components)
	}
	commands, parameters := map[int64]bool{}, map[int64]bool{}
	collect(m.Common.Shared, commands, parameters)
	for s := range m.Sections {
		seq, _ := m.Section(s)
		collect(seq, commands, parameters)
	}
	if got := keys(commands); !slices.Equal(got, want.Commands) {
		t.Errorf("commands %v, want %v", got, want.Commands)
	}
	if got := keys(parameters); !slices.Equal(got, want.Parameters) {
		t.Errorf("parameters %v, want %v", got, want.Parameters)
	}
	if names := e.IntegratedNames(); len(names) != len(v.Facts.Integrated) {
		t.Errorf("integrated payloads %q, want %v", names, v.Facts.Integrated)
	}
	for key, severed := range v.Facts.Severed {
		d := m.elementDigest(Section(key))
		if d == nil || hex.EncodeToString(d.Bytes) != severed.Digest {
			t.Errorf("element %d: digest %v, want %s", key, d, severed.Digest)
		}
	}
}

// collect gathers the codes of a sequence and of those inside it.
func collect(seq *Sequence, commands, parameters map[int64]bool) {
	if seq == nil {
		return
	}
	for _, c := range seq.Commands {
		commands[int64(c.Code)] = true
		switch arg := c.Argument.(type) {
		case *Parameters:
			for _, code := range arg.Codes() {
				parameters[int64(code)] = true
			}
		case *Sequence:
			collect(arg, commands, parameters)
		case *Alternatives:
			for i := range arg.Sequences {
				collect(&arg.Sequences[i], commands, parameters)
			}
		}
	}
}

func keys(set map[int64]bool) []int64 {
	var list []int64
	for k := range set {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func checkAuthentication(t *testing.T, index vectorIndex, e *Envelope, expect envelopeExpect) {
	t.Helper()
	keys := index.keyRing(t)
	v, err := e.Verify(keys, cosekit.AllowLegacy)
	if len(expect.Authentication) == 0 {
		if !errors.Is(err, ErrNoAuthentication) {
			t.Errorf("Verify: %v, want %v", err, ErrNoAuthentication)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := expect.Authentication[0]
	blocks := v.Blocks()
	if len(blocks) != len(expect.Authentication) || blocks[0].Structure != want.Type {
		t.Errorf("blocks %+v, want %+v", blocks, expect.Authentication)
	}
	if want.Type == "COSE_Mac0" {
		checkMACVector(t, index, e, v, want.Key)
		return
	}
	key := index.publicKey(t, want.Key)
	if got := v.Signers(); len(got) != 1 || got[0] != key.Thumbprint() {
		t.Errorf("signers %v, want %v", got, key.Thumbprint())
	}
	if alg := blocks[0].Signatures[0].Algorithm; int64(alg) != want.Alg {
		t.Errorf("algorithm %v, want %d", alg, want.Alg)
	}
	_, err = e.Verify(keys, false)
	if legacy := want.Alg == int64(cosekit.LegacyES256); legacy != errors.Is(err, cosekit.ErrAlgorithm) {
		t.Errorf("without legacy algorithms: %v", err)
	}
}

func checkMACVector(t *testing.T, index vectorIndex, e *Envelope, v *Verified, name string) {
	t.Helper()
	key := index.secretKey(t, name)
	if got := v.Signers(); len(got) != 1 || got[0] != key.Thumbprint() || v.Keys() != nil {
		t.Errorf("signers %v, want %v", got, key.Thumbprint())
	}
	if b := v.Blocks()[0]; b.MAC == nil || b.MAC.Algorithm != cosekit.HMAC256 {
		t.Errorf("block %+v", b)
	}
	if _, err := e.Verify(index.keyRing(t).KeyList, false); !errors.Is(err, ErrUnknownSigner) {
		t.Errorf("without secret keys: %v", err)
	}
}

func TestReportVectors(t *testing.T) {
	index := loadVectors(t, "suit-report")
	for _, v := range index.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			data := index.read(t, v.File)
			switch {
			case v.Kind == "suit-report-protected":
				testProtectedVector(t, index, v, data)
			case v.Kind != "suit-report":
				t.Errorf("nobody tests kind %q", v.Kind)
			case !*v.Verified:
				_, err := DecodeReport(data)
				if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "report.reference") {
					t.Errorf("stale report: %v, want a refusal of its reference", err)
				}
			default:
				testReportVector(t, v, data)
			}
		})
	}
}

func testReportVector(t *testing.T, v vector, data []byte) {
	r, err := DecodeReport(data)
	if err != nil {
		t.Fatal(err)
	}
	if r.Succeeded() == strings.Contains(v.Name, "failure") {
		t.Errorf("succeeded = %v", r.Succeeded())
	}
	encoded, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeReport(encoded)
	if err != nil || !reflect.DeepEqual(r, again) {
		t.Errorf("decode-encode-decode gives %+v (%v), want %+v", again, err, r)
	}
	if !strings.HasPrefix(v.Name, "libcsuit") && !bytes.Equal(encoded, data) {
		t.Errorf("encoding is not a fixpoint:\n%x\n%x", encoded, data)
	}
	opened, err := OpenReport(data)
	if err != nil || opened.Protected() {
		t.Fatalf("OpenReport: protected %v, %v", opened.Protected(), err)
	}
	if _, err := opened.Verify(nil, false); !errors.Is(err, ErrUnprotected) {
		t.Errorf("Verify of a bare report: %v", err)
	}
}

func testProtectedVector(t *testing.T, index vectorIndex, v vector, data []byte) {
	var expect struct {
		Key         string
		PayloadFile string `json:"payload_file"`
	}
	if err := json.Unmarshal(v.Expect, &expect); err != nil {
		t.Fatal(err)
	}
	opened, err := OpenReport(data)
	if err != nil || !opened.Protected() {
		t.Fatalf("OpenReport: %v", err)
	}
	r, err := opened.Verify(index.publicKey(t, expect.Key), false)
	if err != nil {
		t.Fatal(err)
	}
	want, err := DecodeReport(index.read(t, expect.PayloadFile))
	if err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("report %+v, want %+v (%v)", r, want, err)
	}
}

// matches are the version-match vectors, as they are written for people.
var matches = map[string]string{"match-ge-1-0": ">=1.0", "match-lt-1-10": "<1.10", "match-eq-1": "=1"}

func TestFragmentVectors(t *testing.T) {
	index := loadVectors(t, "suit-update-management")
	for _, v := range index.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			data := index.read(t, v.File)
			switch v.Kind {
			case "version-value":
				var expect struct {
					Array []int64
					BSTR  string `json:"as_suit_set_version_bstr"`
				}
				if err := json.Unmarshal(v.Expect, &expect); err != nil {
					t.Fatal(err)
				}
				got, err := inString(decodeVersionNumbers)(unhex(t, expect.BSTR))
				if err != nil || !slices.Equal(got, expect.Array) {
					t.Errorf("%v (%v), want %v", got, err, expect.Array)
				}
			case "version-match":
				p, err := decodeParameters(cosekit.MustMarshal(map[int64][]byte{int64(ParameterVersion): data}), true)
				if err != nil || p.Version == nil {
					t.Fatalf("%+v, %v", p, err)
				}
				if want := matches[v.Name]; p.Version.String() != want {
					t.Errorf("%s, want %s", p.Version, want)
				}
				if again, err := p.Version.MarshalCBOR(); err != nil || !bytes.Equal(again, data) {
					t.Errorf("encoded as %x (%v), want %x", again, err, data)
				}
			case "text-map-fragment":
				l, err := decodeLanguage(data)
				if err != nil || len(l.Components) != 1 || l.Components[0].VersionRequired != ">=1.2.5,<2" ||
					l.Components[0].Component.String() != "x/y" {
					t.Errorf("%+v, %v", l, err)
				}
			default:
				t.Errorf("nobody tests kind %q", v.Kind)
			}
		})
	}
}
