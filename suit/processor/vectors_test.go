package processor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// vectors is one family of the published examples.
type vectors struct {
	folder  string
	keys    suit.KeyRing
	decrypt cosekit.DecryptionKeys
	files   map[string]string // by name
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
			Public  string `json:"cose_key_public_hex"`
			Private string `json:"cose_key_private_hex"`
			Secret  string `json:"cose_key_secret_hex"`
		}
		Vectors []struct{ Name, File, Kind string }
	}
	if err := json.Unmarshal(index, &parsed); err != nil {
		t.Fatal(err)
	}
	for name, k := range parsed.Keys {
		switch {
		case k.Secret != "":
			key, err := cosekit.ParseSecretKey(unhex(t, k.Secret))
			if err != nil {
				t.Fatal(err)
			}
			out.keys.SecretList = append(out.keys.SecretList, key)
			out.decrypt.Secrets = append(out.decrypt.Secrets, key)
		case name == "device-p256":
			key, err := cosekit.NewAgreementKeyFromCOSEKey(unhex(t, k.Private))
			if err != nil {
				t.Fatal(err)
			}
			out.decrypt.Agreements = append(out.decrypt.Agreements, key)
		default:
			// Families list keys for other algorithms too.
			if key, err := cosekit.ParsePublicKey(unhex(t, k.Public)); err == nil {
				out.keys.KeyList = append(out.keys.KeyList, key)
			}
		}
	}
	for _, v := range parsed.Vectors {
		if v.Kind == "suit-envelope" {
			out.files[v.Name] = v.File
		}
	}
	return out
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (v vectors) load(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(v.folder, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (v vectors) read(t testing.TB, name string) *suit.Envelope {
	t.Helper()
	envelope, err := suit.Decode(v.load(t, v.files[name]))
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// Authenticate lets every key of the family do anything.
func (v vectors) Authenticate(e *suit.Envelope) (*suit.Verified, Rights, error) {
	verified, err := e.Verify(v.keys, cosekit.AllowLegacy)
	return verified, everything, err
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

// web adds the files of other examples.
func web(t testing.TB) served {
	all := maps.Clone(webFiles)
	all["http://example.com/dependent.suit"] = openVectors(t, "suit-trust-domains").load(t, "example0_dependent.cbor")
	all["coaps://example.com/encrypted-firmware"] = openVectors(t, "suit-firmware-encryption").load(t, "encrypted-payload-aes-kw-aes-gcm.bin")
	all["https://example.org/8d82573a-926d-4754-9353-32dc29997f74.suit"] = openVectors(t, "teep").load(t, "suit_uri.cbor")
	return all
}

// A verdict is how an Update ends.
type verdict struct {
	err     error // nil for success
	reason  suit.ReportReason
	section suit.Section
	command suit.CommandCode
	bent    []Rule
	images  map[string]string // by component, after a success
}

// Every published envelope ends as its manifest says, in the strict mode and in that
// which accepts what the examples do against their own text.
func TestPublishedExamples(t *testing.T) {
	made := func(section suit.Section) verdict { // they fetch, and no file has the digest
		return verdict{err: ErrMismatch, reason: suit.ReasonConditionFailed, section: section, command: suit.ConditionImageMatch}
	}
	incompatible := verdict{err: ErrIncompatible, reason: suit.ReasonConditionFailed, section: suit.SectionShared}
	ta := map[string]string{"TEEP-Device/SecureFS/0x8d82573a926d4754935332dc29997f74/ta": string(helloTA)}
	config := `{"name":"FOO Bar","secret":"0123456789abfcdef0123456789abcd"}`
	firmware := func(id string) map[string]string { return map[string]string{id: "This is a real firmware image."} }
	for _, tt := range []struct {
		family, name   string
		strict, compat verdict
	}{
		{"suit-manifest", "ex0-signed", made(suit.SectionValidate), made(suit.SectionValidate)}, // it fetches nothing
		{"suit-manifest", "ex1-signed", made(suit.SectionInstall), made(suit.SectionInstall)},
		{"suit-manifest", "ex2-signed", made(suit.SectionInstall), made(suit.SectionInstall)},
		{"suit-manifest", "ex2-signed-severed", verdict{err: ErrSevered, reason: suit.ReasonSeveringUnsupported, section: suit.SectionInstall},
			verdict{err: ErrSevered, reason: suit.ReasonSeveringUnsupported, section: suit.SectionInstall}},
		{"suit-manifest", "ex3-signed", made(suit.SectionInstall), made(suit.SectionInstall)},
		{"suit-manifest", "ex4-signed", made(suit.SectionPayloadFetch), made(suit.SectionPayloadFetch)},
		{"suit-manifest", "ex5-signed", made(suit.SectionInstall), made(suit.SectionInstall)},

		// Its install section stands under the key of invoke, so there is nothing to update.
		{"teep", "update.manifest", verdict{err: ErrUnsupportedElement, reason: suit.ReasonCommandUnsupported},
			verdict{err: ErrUnsupportedElement, reason: suit.ReasonCommandUnsupported}},
		{"teep", "suit_uri", verdict{images: ta}, verdict{images: ta}},
		{"teep", "suit_integrated", verdict{images: ta}, verdict{images: ta}},
		{"teep", "suit_personalization",
			verdict{err: ErrRule, reason: suit.ReasonOperationFailed, section: suit.SectionInstall, command: suit.DirectiveProcessDependency},
			verdict{bent: []Rule{RuleIntegrity}, images: map[string]string{
				"TEEP-Device/SecureFS/0x8d82573a926d4754935332dc29997f74/ta": string(helloTA),
				"TEEP-Device/SecureFS/config.json":                           config,
			}}},

		{"suit-trust-domains", "example0_dependent", incompatible,
			verdict{bent: []Rule{RuleCompatibility}, images: map[string]string{"00": "hello world"}}},
		{"suit-trust-domains", "example1_process", incompatible,
			verdict{bent: []Rule{RuleCompatibility}, images: map[string]string{"00": "hello world", "10": " in multiple trust domains"}}},
		{"suit-trust-domains", "example2_integrated", incompatible,
			verdict{bent: []Rule{RuleCompatibility, RuleIntegrity}, images: map[string]string{"00": "hello world", "10": " in multiple trust domains"}}},

		{"suit-firmware-encryption", "manifest-aes-kw-content", incompatible,
			verdict{bent: []Rule{RuleCompatibility}, images: firmware("plaintext-firmware")}},
		{"suit-firmware-encryption", "manifest-aes-kw", incompatible,
			verdict{bent: []Rule{RuleCompatibility, RuleDecryptedUnchecked}, images: firmware("plaintext-firmware")}},
		{"suit-firmware-encryption", "manifest-aes-kw-slot", incompatible,
			verdict{bent: []Rule{RuleCompatibility, RuleDecryptedUnchecked}, images: firmware("0x00")}},
		{"suit-firmware-encryption", "manifest-es-ecdh-content", incompatible,
			verdict{bent: []Rule{RuleCompatibility}, images: firmware("decrypted-firmware")}},
		{"suit-firmware-encryption", "manifest-es-ecdh-dependency", incompatible,
			verdict{bent: []Rule{RuleCompatibility, RuleSections}, images: firmware("decrypted-firmware")}},
		// By itself it lacks what its dependent sets.
		{"suit-firmware-encryption", "manifest-es-ecdh-dependency.inner", incompatible,
			verdict{err: ErrMissingParameter, reason: suit.ReasonOperationFailed, section: suit.SectionInstall, command: suit.DirectiveWrite}},
	} {
		for mode, want := range map[Mode]verdict{Strict: tt.strict, Compat: tt.compat} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, mode), func(t *testing.T) { tryExample(t, tt.family, tt.name, mode, want) })
		}
	}
}

func tryExample(t *testing.T, family, name string, mode Mode, want verdict) {
	files := openVectors(t, family)
	v, err := files.read(t, name).Verify(files.keys, cosekit.AllowLegacy)
	if err != nil {
		t.Fatal(err)
	}
	host := newMemory(manifestDevice)
	if family == "teep" {
		host.identity = teepDevice
	}
	for _, id := range v.Manifest().Common.Components {
		host.images[id.Key()] = oldImage
	}
	before := host.snapshot()
	p := New(Config{
		Host: slotted{host, 1}, Fetcher: web(t), Limits: DefaultLimits(), Mode: mode,
		Authority: files, Keys: files.decrypt,
	})
	outcome, err := p.Update(t.Context(), v, everything)
	checkReport(t, v, outcome)
	if want.err == nil {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(outcome.Bent, want.bent) {
			t.Errorf("bent %q, want %q", outcome.Bent, want.bent)
		}
		for id, image := range want.images {
			parsed, err := suit.ParseComponentID(id)
			if err != nil || string(host.images[parsed.Key()]) != image {
				t.Errorf("component %s holds %q, want %q (%v)", id, host.images[parsed.Key()], image, err)
			}
		}
		uninstallExample(t, p, host, v)
		return
	}
	var failure *Failure
	if !errors.As(err, &failure) || !errors.Is(err, want.err) {
		t.Fatalf("got %v, want %v", err, want.err)
	}
	if failure.Reason != want.reason || failure.Section != want.section || failure.Command != want.command {
		t.Errorf("failed at %v of %v with reason %v: %v", failure.Command, failure.Section, failure.Reason, failure)
	}
	if err := host.same(before); err != nil {
		t.Error(err)
	}
}

// uninstallExample takes all of an example off the device again.
func uninstallExample(t *testing.T, p *Processor, host *memory, v *suit.Verified) {
	t.Helper()
	m := v.Manifest()
	id := m.ComponentID
	if id == nil {
		id = m.Common.Components[0]
	}
	if got := host.manifests[id.Key()]; got.Sequence != m.SequenceNumber || !got.Digest.Equal(v.Digest()) || !got.Root {
		t.Errorf("recorded %d, %s", got.Sequence, got.Digest)
	}
	uninstalled, err := p.Uninstall(t.Context(), v, everything)
	if err != nil || len(host.images)+len(host.manifests) > 0 {
		t.Errorf("uninstall: %v; left %v %v", err, host.images, host.manifests)
	}
	checkReport(t, v, uninstalled)
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
	for name, tt := range map[string]struct {
		digests []string // of the images, in the order of the manifest
		images  []string // of the components
		invokes string
	}{
		"ex1-signed": {digests: []string{"file"}, images: []string{"file"}},
		"ex2-signed": {digests: []string{"file"}, images: []string{"file"}, invokes: "file"},
		"ex3-signed": {digests: []string{"file 1", "file 2"}, images: []string{"file 2"}},
		"ex4-signed": {digests: []string{"file", "file", "file"}, images: []string{"file", "file", ""}, invokes: "file"},
		"ex5-signed": {digests: []string{"file 1", "file 2"}, images: []string{"file 1", "file 2"}, invokes: "file 1"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := openVectors(t, "suit-manifest").read(t, name).UnverifiedManifest()
			if err != nil {
				t.Fatal(err)
			}
			setDigests(m, tt.digests)
			host := newMemory(manifestDevice)
			invoked := ""
			p := New(Config{Host: slotted{host, 1}, Fetcher: webFiles, Limits: DefaultLimits(), Invoke: func(_ context.Context, i Invocation) error {
				image, _, err := i.Open()
				if err != nil {
					return err
				}
				content, err := io.ReadAll(image)
				invoked += string(content)
				return err
			}})
			v := authentic(t, m, nil)
			if _, err := p.Update(t.Context(), v, everything); err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.images {
				if got := host.images[m.Common.Components[i].Key()]; string(got) != want {
					t.Errorf("component %d holds %q, want %q", i, got, want)
				}
			}
			before := host.snapshot()
			if _, err := p.Validate(t.Context(), v, everything); err != nil {
				t.Error(err)
			}
			if _, err := p.Invoke(t.Context(), v, everything); (err == nil) != (tt.invokes != "") || invoked != tt.invokes {
				t.Errorf("invoked %q, want %q: %v", invoked, tt.invokes, err)
			}
			if err := host.same(before); err != nil {
				t.Error(err)
			}
		})
	}
}

// setDigests replaces the digests and sizes of a manifest, in its order.
func setDigests(m *suit.Manifest, images []string) {
	var walk func(*suit.Sequence)
	walk = func(sequence *suit.Sequence) {
		for _, c := range sequence.Commands {
			switch arg := c.Argument.(type) {
			case *suit.Alternatives:
				for i := range arg.Sequences {
					walk(&arg.Sequences[i])
				}
			case *suit.Parameters:
				if arg.ImageDigest != nil {
					arg.ImageDigest, arg.ImageSize = ptr(suit.SumSHA256([]byte(images[0]))), ptr(uint64(len(images[0])))
					images = images[1:]
				}
			}
		}
	}
	walk(m.Common.Shared)
	for _, section := range slices.Sorted(maps.Keys(m.Sections)) {
		if sequence, ok := m.Section(section); ok {
			walk(sequence)
		}
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
