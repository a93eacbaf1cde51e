package processor

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// vectors is one family of the published examples.
type vectors struct {
	folder string
	keys   suit.KeyList
	files  map[string]string // by name
}

func openVectors(t testing.TB, family string) vectors {
	t.Helper()
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		t.Skip("TEEP_VECTORS is unset: no published examples to read")
	}
	out := vectors{folder: filepath.Join(root, family), files: map[string]string{}}
	index, err := os.ReadFile(filepath.Join(out.folder, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Keys map[string]struct {
			Public string `json:"cose_key_public_hex"`
		}
		Vectors []struct{ Name, File, Kind string }
	}
	if err := json.Unmarshal(index, &parsed); err != nil {
		t.Fatal(err)
	}
	for _, k := range parsed.Keys {
		raw, err := hex.DecodeString(k.Public)
		if err != nil {
			t.Fatal(err)
		}
		// Families list keys for other algorithms too.
		if key, err := cosekit.ParsePublicKey(raw); err == nil {
			out.keys = append(out.keys, key)
		}
	}
	for _, v := range parsed.Vectors {
		if v.Kind == "suit-envelope" {
			out.files[v.Name] = v.File
		}
	}
	return out
}

func (v vectors) read(t testing.TB, name string) *suit.Envelope {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(v.folder, v.files[name]))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := suit.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

var (
	// The identities that the examples of the manifest draft are for, and those of
	// the TEEP draft.
	manifestDevice = Identity{
		Vendor: uuid.MustParse("fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe"),
		Class:  uuid.MustParse("1492af14-2569-5e48-bf42-9b2d51f2ab45"),
	}
	teepDevice = Identity{
		Vendor: uuid.MustParse("c0ddd5f1-5243-5660-87db-4f5b0aa26c2f"),
		Class:  uuid.MustParse("db42f709-3d8c-55ba-a8c5-265fc5820f4e"),
	}
	helloTA = []byte("Hello, Secure World!")

	// webFiles are what the addresses in the examples hold. The digests in the
	// manifest draft's examples are made up, no file has them.
	webFiles = served{
		"http://example.com/file.bin":                                 []byte("file"),
		"http://example.com/very/long/path/to/file/file.bin":          []byte("file"),
		"http://example.com/file1.bin":                                []byte("file 1"),
		"http://example.com/file2.bin":                                []byte("file 2"),
		"https://example.org/8d82573a-926d-4754-9353-32dc29997f74.ta": helloTA,
	}
)

// Every published envelope in scope ends as its manifest says, each of the others is
// refused with the reason that is named here.
func TestPublishedExamples(t *testing.T) {
	for _, tt := range []struct {
		family, name string
		err          error // of Update; nil for success
		reason       suit.ReportReason
		section      suit.Section
		command      suit.CommandCode
	}{
		// It only validates, and what is installed has another digest.
		{"suit-manifest", "ex0-signed", ErrMismatch, suit.ReasonConditionFailed, suit.SectionValidate, suit.ConditionImageMatch},
		// They fetch, and no file has the digest.
		{"suit-manifest", "ex1-signed", ErrMismatch, suit.ReasonConditionFailed, suit.SectionInstall, suit.ConditionImageMatch},
		{"suit-manifest", "ex2-signed", ErrMismatch, suit.ReasonConditionFailed, suit.SectionInstall, suit.ConditionImageMatch},
		{"suit-manifest", "ex2-signed-severed", ErrSevered, suit.ReasonSeveringUnsupported, suit.SectionInstall, 0},
		{"suit-manifest", "ex3-signed", ErrUnsupportedCommand, suit.ReasonCommandUnsupported, suit.SectionShared, suit.ConditionComponentSlot},
		{"suit-manifest", "ex4-signed", ErrMismatch, suit.ReasonConditionFailed, suit.SectionPayloadFetch, suit.ConditionImageMatch},
		{"suit-manifest", "ex5-signed", ErrMismatch, suit.ReasonConditionFailed, suit.SectionInstall, suit.ConditionImageMatch},
		// Its install section stands under the key of invoke, so there is nothing to update.
		{"teep", "update.manifest", ErrUnsupportedElement, suit.ReasonCommandUnsupported, keyManifest, 0},
		{"teep", "suit_uri", nil, 0, 0, 0},
		{"teep", "suit_integrated", nil, 0, 0, 0},
		// Out of scope: dependencies.
		{"teep", "suit_personalization", ErrUnsupportedElement, suit.ReasonCommandUnsupported, suit.SectionShared, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := openVectors(t, tt.family)
			v, err := files.read(t, tt.name).Verify(files.keys, cosekit.AllowLegacy)
			if err != nil {
				t.Fatal(err)
			}
			host := newMemory(manifestDevice)
			if tt.family == "teep" {
				host.identity = teepDevice
			}
			for _, id := range v.Manifest().Common.Components {
				host.images[id.Key()] = oldImage
			}
			before := host.snapshot()
			limits := DefaultLimits()
			limits.Components = 3
			outcome, err := New(Config{Host: host, Fetcher: webFiles, Limits: limits}).Update(t.Context(), v, everything)
			checkReport(t, v, outcome)
			if tt.err == nil {
				checkInstalled(t, host, v, err)
				uninstalled, err := New(Config{Host: host, Limits: limits}).Uninstall(t.Context(), v, everything)
				if err != nil || len(host.images)+len(host.manifests) > 0 {
					t.Errorf("uninstall: %v; left %v %v", err, host.images, host.manifests)
				}
				checkReport(t, v, uninstalled)
				return
			}
			var failure *Failure
			if !errors.As(err, &failure) || !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if failure.Reason != tt.reason || failure.Section != tt.section || failure.Command != tt.command {
				t.Errorf("failed at %v of %v with reason %v: %v", failure.Command, failure.Section, failure.Reason, failure)
			}
			if err := host.same(before); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkInstalled(t *testing.T, host *memory, v *suit.Verified, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	m := v.Manifest()
	if got := host.images[m.Common.Components[0].Key()]; string(got) != string(helloTA) {
		t.Errorf("installed %q", got)
	}
	if got := host.manifests[m.ComponentID.Key()]; got.Sequence != 3 || !got.Digest.Equal(v.Digest()) {
		t.Errorf("recorded %d, %s", got.Sequence, got.Digest)
	}
}

// checkReport wants the report to refer to the manifest and to survive its encoding.
func checkReport(t *testing.T, v *suit.Verified, outcome *Outcome) {
	t.Helper()
	encoded, err := outcome.Report.Encode()
	if err != nil {
		t.Fatal(err)
	}
	report, err := suit.DecodeReport(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Reference.Digest.Equal(v.Digest()) || report.Reference.URI != v.Manifest().ReferenceURI {
		t.Errorf("the report is about %v", report.Reference)
	}
}

// The examples of the manifest draft do their work once their digests are those of
// real files, signed anew.
func TestExamplesWithRealDigests(t *testing.T) {
	for name, images := range map[string][]string{
		"ex1-signed": {"file"},
		"ex2-signed": {"file"},
		"ex5-signed": {"file 1", "file 2"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := openVectors(t, "suit-manifest").read(t, name).UnverifiedManifest()
			if err != nil {
				t.Fatal(err)
			}
			next := 0
			for _, c := range m.Common.Shared.Commands {
				if p, ok := c.Argument.(*suit.Parameters); ok && p.ImageDigest != nil {
					p.ImageDigest, p.ImageSize = ptr(suit.SumSHA256([]byte(images[next]))), ptr(uint64(len(images[next])))
					next++
				}
			}
			host := newMemory(manifestDevice)
			limits := DefaultLimits()
			limits.Components = 2
			p := New(Config{Host: host, Fetcher: webFiles, Limits: limits})
			v := authentic(t, m, nil)
			if _, err := p.Update(t.Context(), v, everything); err != nil {
				t.Fatal(err)
			}
			for i, want := range images {
				if got := host.images[m.Common.Components[i].Key()]; string(got) != want {
					t.Errorf("component %d holds %q, want %q", i, got, want)
				}
			}
			if _, err := p.Validate(t.Context(), v, everything); err != nil {
				t.Error(err)
			}
		})
	}
}

// No example that cannot be authenticated gets as far as the processor.
func TestUnsignedExamples(t *testing.T) {
	files := openVectors(t, "suit-manifest")
	for _, name := range []string{"ex0-unsigned", "ex1-unsigned", "ex2-unsigned-severed", "ex3-unsigned", "ex4-unsigned", "ex5-unsigned"} {
		if v, err := files.read(t, name).Verify(files.keys, cosekit.AllowLegacy); !errors.Is(err, suit.ErrNoAuthentication) || v != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The further families need what is out of scope. However far a manifest of theirs
// gets, a device that holds none of their images stays as it is.
func TestFurtherFamiliesChangeNothing(t *testing.T) {
	for _, family := range []string{"suit-trust-domains", "suit-update-management", "suit-firmware-encryption"} {
		files := openVectors(t, family)
		for name := range files.files {
			v, err := files.read(t, name).Verify(files.keys, cosekit.AllowLegacy)
			if err != nil {
				continue // package suit tests why
			}
			host := newMemory(manifestDevice)
			before := host.snapshot()
			limits := DefaultLimits()
			limits.Components = 10
			outcome, err := New(Config{Host: host, Fetcher: webFiles, Limits: limits}).Update(t.Context(), v, everything)
			var failure *Failure
			if !errors.As(err, &failure) {
				t.Errorf("%s %s: %v", family, name, err)
				continue
			}
			t.Logf("%s %s: %v, %v", family, name, failure.Reason, failure)
			checkReport(t, v, outcome)
			if err := host.same(before); err != nil {
				t.Errorf("%s %s: %v", family, name, err)
			}
		}
	}
}
