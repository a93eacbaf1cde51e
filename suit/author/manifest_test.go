package author

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// folder is a folder with the files that the descriptions below name.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	device, err := cosekit.CreateAgreementKeyFile(filepath.Join(dir, "device.pem"))
	if err != nil {
		t.Fatal(err)
	}
	library, err := Sign(&Description{
		Component: suit.ComponentID{[]byte("lib"), []byte("crypto")}, SequenceNumber: 1,
		VendorDomain: "example.com", ClassInfo: "thermostat", Payload: Payload{Content: "a library"},
		Invoke: &Invoke{}, Version: "1.0",
	}, publisher(t))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := library.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	kek := cosekit.MustMarshal(map[int]any{1: 4, -1: bytes.Repeat([]byte{15}, 16)})
	for name, content := range map[string][]byte{
		"hello.wasm": []byte(payload), "hello.conf": []byte("colour: green"), "broken.wasm": []byte("broken"),
		"device.pub": device.PublicKey().PEM(), "kek.hex": kek,
		"library.suit": envelope, "sbom.cbor": cosekit.MustMarshal(map[int]any{0: "tag-id", 12: 0, 1: strings.Repeat("hello", 20)}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var onePublisher = sync.OnceValues(func() (cosekit.Signer, error) { return cosekit.GenerateSigner(cosekit.ESP256) })

// publisher is the one whom devices trust.
func publisher(t testing.TB) cosekit.Signer {
	t.Helper()
	s, err := onePublisher()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// create makes the manifest of a document in the folder.
func create(t testing.TB, dir, document string) *Result {
	t.Helper()
	path := filepath.Join(dir, "description.yaml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Create(d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// encode signs the result, and returns the bytes of the envelope.
func encode(t testing.TB, r *Result) []byte {
	t.Helper()
	e, err := suit.Sign(r.Manifest, r.Payloads, signer(t))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := e.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const head = "sequence-number: 3\nvendor-domain: example.com\nclass-info: thermostat\nversion: 1.2.3\n"

// templates are descriptions of all kinds, with the commands that they give.
var templates = []struct {
	name     string
	document string
	want     map[suit.Section]string
}{
	{"several components", head + `
components:
  - {id: app/hello, payload: {file: hello.wasm, uri: "https://tam.example.com/hello.wasm"}}
  - {id: app/hello/conf, payload: {file: hello.conf, integrated: true}}
  - {id: app/hello/motd, payload: {content: welcome}}
`, map[suit.Section]string{
		suit.SectionShared: "0: override-parameters vendor-id class-id image-digest image-size, vendor-identifier, class-identifier, " +
			"1: override-parameters image-digest image-size, 2: override-parameters image-digest image-size",
		suit.SectionInstall: "0: override-parameters uri, fetch, image-match, 1: override-parameters uri, fetch, image-match, " +
			"2: override-parameters content, write, image-match",
		suit.SectionValidate:  "0: image-match, 1: image-match, 2: image-match",
		suit.SectionUninstall: "0: unlink, 1: unlink, 2: unlink",
	}},
	{"copy and load", head + `
components:
  - id: app/hello
    payload: {file: hello.wasm, uri-base: "https://tam.example.com/payloads"}
    self-test: true
  - {id: app/backup, slot: 1, payload: {copy-from: app/hello}}
  - {id: ram/hello, payload: {load-from: app/hello}}
invoke: {component: ram/hello, args: [--loud, "7"]}
`, map[suit.Section]string{
		suit.SectionInstall: "0: override-parameters uri, fetch, image-match, " +
			"1: override-parameters component-slot source-component, component-slot, copy, image-match",
		suit.SectionValidate: "0: image-match, command -257, 1: image-match",
		suit.SectionLoad:     "2: override-parameters source-component, copy, image-match",
		suit.SectionInvoke:   "2: override-parameters invoke-args, invoke",
	}},
	{"encrypted and fetched", head + `
component: app/hello
payload: {file: hello.wasm, uri-base: "https://tam.example.com/payloads", encrypt-to: [device.pub, kek.hex], content-algorithm: A128CTR}
conditions: {use-before: 2030-01-01}
`, map[suit.Section]string{
		suit.SectionShared: "0: override-parameters vendor-id class-id image-digest image-size, vendor-identifier, class-identifier, " +
			"1: override-parameters image-digest image-size",
		suit.SectionPayloadFetch: "0: override-parameters use-before, use-before, 1: override-parameters uri, fetch, image-match",
		suit.SectionInstall:      "0: override-parameters encryption-info source-component, copy, image-match",
		suit.SectionValidate:     "0: image-match",
		suit.SectionUninstall:    "0: unlink, 1: unlink",
	}},
	{"encrypted and inline", head + `
component: app/hello
payload: {file: hello.wasm, inline: true, encrypt-to: device.pub, content-algorithm: ChaCha20/Poly1305}
`, map[suit.Section]string{
		suit.SectionInstall: "override-parameters content encryption-info, write, image-match",
	}},
	{"encrypted and integrated", head + `
component: app/hello
payload: {file: hello.wasm, integrated: true, encrypt-to: kek.hex, staging: tmp/hello}
`, map[suit.Section]string{
		suit.SectionPayloadFetch: "1: override-parameters uri, fetch, image-match",
		suit.SectionInstall:      "0: override-parameters encryption-info source-component, copy, image-match",
	}},
	{"dependency", head + `
component: app/hello
payload: {file: hello.wasm, uri: "https://tam.example.com/hello.wasm"}
dependencies: [{file: library.suit, integrated: true}]
conditions: {minimum-battery: 500}
invoke: {args: [now]}
`, map[suit.Section]string{
		suit.SectionShared: "0: override-parameters vendor-id class-id image-digest image-size, vendor-identifier, class-identifier, " +
			"1: override-parameters image-digest image-size",
		suit.SectionDependencyResolution: "0: override-parameters minimum-battery, minimum-battery, " +
			"1: override-parameters uri, fetch, dependency-integrity, process-dependency",
		suit.SectionInstall:   "1: dependency-integrity, process-dependency, 0: override-parameters uri, fetch, image-match",
		suit.SectionValidate:  "1: dependency-integrity, process-dependency, 0: image-match",
		suit.SectionInvoke:    "1: dependency-integrity, process-dependency, 0: override-parameters invoke-args, invoke",
		suit.SectionUninstall: "0: unlink, 1: unlink",
	}},
	{"only a dependency", head + `
manifest-component: bundle
dependencies: [{file: library.suit, uri-base: "https://tam.example.com/payloads", id: lib/other}]
`, map[suit.Section]string{
		suit.SectionShared:  "override-parameters vendor-id class-id image-digest image-size, vendor-identifier, class-identifier",
		suit.SectionInstall: "dependency-integrity, process-dependency",
	}},
	{"conditions", head + `
component: app/hello
device-id: a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e
payload: {file: hello.wasm, uri: "https://tam.example.com/hello.wasm"}
conditions:
  use-before: 2030-01-01T12:00:00Z
  minimum-battery: 500
  update-authorized: true
  update-priority: -2
  version: [">= 1.0", "< 2-rc.1"]
  image-not-match: broken.wasm
wait: {authorization: 1, time-of-day: "02:30", day-of-week-utc: Sunday, other-device: {device: gateway, version: "= 3"}}
`, map[suit.Section]string{
		suit.SectionInstall: "override-parameters use-before minimum-battery update-priority, use-before, minimum-battery, update-authorized, " +
			"override-parameters version, version, override-parameters version, version, " +
			"override-parameters image-digest, image-not-match, override-parameters image-digest, " +
			"override-parameters wait-info, wait, override-parameters uri, fetch, image-match",
	}},
	{"metadata, elements and no uninstall", head + `
components:
  - id: app/hello
    payload: {file: hello.wasm, uri: "https://tam.example.com/hello.wasm"}
    version: 1.2.4
    metadata:
      permissions: [traverse-exec, list-read]
      file-type: regular-file
      modified: 2026-01-01
      creator: joe
coswid: sbom.cbor
reference-uri: https://example.com/hello.suit
uninstall: false
severable: [install, text, coswid]
text:
  en:
    manifest: Hello
    update: More greetings
    json-source: https://example.com/m.json
    yaml-source: https://example.com/m.yaml
    vendor-name: Example
    components: {app/hello: {description: Says hello, model-name: Thermostat, version-required: ">=1", current-version: "1.2"}}
`, map[suit.Section]string{
		suit.SectionInstall: "override-parameters uri component-metadata, fetch, image-match",
	}},
}

// indexed is describe with the component that is selected in front.
func indexed(t *testing.T, m *suit.Manifest, s suit.Section) string {
	t.Helper()
	text := describe(t, m, s)
	seq, _ := m.Section(s)
	for _, c := range seq.Commands {
		if n, ok := c.Argument.(suit.Index); ok {
			text = strings.Replace(text, "set-component-index, ", string('0'+byte(n))+": ", 1)
		}
	}
	return text
}

func TestTemplates(t *testing.T) {
	for _, test := range templates {
		t.Run(test.name, func(t *testing.T) {
			r := create(t, folder(t), test.document)
			for s, want := range test.want {
				if got := indexed(t, r.Manifest, s); got != want {
					t.Errorf("%s: %s\nwant %s", s, got, want)
				}
			}
			raw := encode(t, r)
			if _, m, err := decode(raw); err != nil || m.SequenceNumber != 3 {
				t.Fatalf("%+v, %v", m, err)
			}
			for _, f := range Lint(raw) {
				if f.Rule == "no-uninstall" && strings.Contains(test.document, "uninstall: false") {
					continue
				}
				t.Errorf("lint: %+v", f)
			}
		})
	}
}

func TestCreateWritesWhatIsFetched(t *testing.T) {
	dir := folder(t)
	r := create(t, dir, templates[2].document)
	path := filepath.Join(dir, "hello.wasm.enc")
	if len(r.Files) != 1 || r.Files[0].Path != path || r.Payloads != nil {
		t.Fatalf("%+v", r)
	}
	ciphertext, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := r.Files[0]
	if !file.Digest.Equal(suit.SumSHA256(ciphertext)) || file.Size != uint64(len(ciphertext)) || bytes.Contains(ciphertext, []byte("trusted")) {
		t.Errorf("%+v of %d bytes", file, len(ciphertext))
	}
	if want := "https://tam.example.com/payloads/" + strings.TrimPrefix(file.Digest.String(), "sha-256:"); file.URI != want {
		t.Errorf("uri %s, want %s", file.URI, want)
	}
	seq, _ := r.Manifest.Section(suit.SectionInstall)
	decryptsTo(t, dir, seq.Commands[1].Argument.(*suit.Parameters).EncryptionInfo, ciphertext, payload)
	if names, err := os.ReadDir(dir); err != nil || len(names) != 10 {
		t.Errorf("the folder has %v, %v", names, err)
	}
}

func decryptsTo(t *testing.T, dir string, info, ciphertext []byte, want string) {
	t.Helper()
	kek, err := cosekit.LoadSecretKey(filepath.Join(dir, "kek.hex"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := cosekit.ParseEncrypted(info)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := encrypted.Decrypt(cosekit.DecryptionKeys{Secrets: []*cosekit.SecretKey{kek}}, cosekit.PayloadEncryption, bytes.NewReader(ciphertext))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(plain); err != nil || string(got) != want {
		t.Errorf("decrypts to %q, %v", got, err)
	}
}

func TestIntegratedPayloadsHaveTheirNames(t *testing.T) {
	dir := folder(t)
	r := create(t, dir, templates[0].document)
	if got := string(r.Payloads["#app/hello/conf"]); got != "colour: green" || len(r.Payloads) != 1 {
		t.Errorf("%q", r.Payloads)
	}
	if len(r.Files) != 1 || r.Files[0].URI != "https://tam.example.com/hello.wasm" {
		t.Errorf("%+v", r.Files)
	}
	r = create(t, dir, templates[5].document)
	library, err := os.ReadFile(filepath.Join(dir, "library.suit"))
	if err != nil || !bytes.Equal(r.Payloads["#lib/crypto/suit"], library) {
		t.Errorf("dependency %d bytes, %v", len(r.Payloads["#lib/crypto/suit"]), err)
	}
	r = create(t, dir, templates[6].document)
	if len(r.Files) != 1 || r.Files[0].Path != filepath.Join(dir, "library.suit") || !r.Files[0].Digest.Equal(suit.SumSHA256(library)) {
		t.Errorf("%+v", r.Files)
	}
}

func TestElements(t *testing.T) {
	r := create(t, folder(t), templates[8].document)
	m := r.Manifest
	if m.TextDigest == nil || m.CoSWIDDigest == nil || m.Sections[suit.SectionInstall].Digest == nil {
		t.Errorf("not severable: %+v", m)
	}
	if _, ok := m.Sections[suit.SectionUninstall]; ok {
		t.Error("an uninstall section")
	}
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	want := []suit.Section{suit.SectionCoSWID, suit.SectionInstall, suit.SectionText}
	if severed, err := e.Sever(); err != nil {
		t.Error(err)
	} else if got, err := severed.Severed(); err != nil || !slices.Equal(got, want) {
		t.Errorf("severed %v, %v", got, err)
	}
	c := m.Text["en"].Components[0]
	if c.Version != "1.2.4" || c.Description != "Says hello" || c.VendorName != "Example" || c.ModelName != "Thermostat" || c.VersionRequired != ">=1" || c.CurrentVersion != "1.2" {
		t.Errorf("%+v", c)
	}
	seq, _ := m.Section(suit.SectionInstall)
	meta := seq.Commands[0].Argument.(*suit.Parameters).Metadata
	if *meta.Permissions != suit.TraverseExecute|suit.ListRead || *meta.FileType != suit.RegularFile || meta.Creator.Text != "joe" {
		t.Errorf("%+v", meta)
	}
}

func TestMetadataOfActors(t *testing.T) {
	d, err := Parse([]byte(`
components:
  - metadata:
      users: {root: [create-write, delete], 1000: list-read}
      groups: {a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e: sync}
      roles: {updater: [write-attr-ex, change-owner]}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	m := d.Components[0].Metadata
	for _, entry := range slices.Concat(m.Users, m.Groups, m.Roles) {
		got = append(got, fmt.Sprintf("%s %#x", entry.Actor, uint16(entry.Permissions)))
	}
	want := `"root" 0x402, 1000 0x4, a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e 0x800, "updater" 0x2080`
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("%s, want %s", s, want)
	}
}

// endless is a payload of n bytes that nobody holds.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.n)
	e.n -= n
	return n, nil
}

// A payload that is fetched is neither held in memory in the clear nor encrypted.
func TestLargePayloadsStream(t *testing.T) {
	const size = 24 << 20
	dir := t.TempDir()
	key := make([]byte, 16)
	rand.Read(key) // it never fails
	kek, err := cosekit.NewSecretKey(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Payload{
		"clear":     {URIBase: "https://tam.example.com"},
		"encrypted": {URIBase: "https://tam.example.com", Recipients: []cosekit.Recipient{kek}, ContentAlgorithm: cosekit.A128CTR, Ciphertext: filepath.Join(dir, "out")},
		"gcm":       {URIBase: "https://tam.example.com", Recipients: []cosekit.Recipient{kek}, Ciphertext: filepath.Join(dir, "gcm")},
	} {
		t.Run(name, func(t *testing.T) {
			d := description(func(d *Description) { d.Payload = p })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, _, err := CreateFrom(d, &endless{size}); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			if allocated > size/8 {
				t.Errorf("%d bytes are allocated for a payload of %d", allocated, size)
			}
		})
	}
	if info, err := os.Stat(filepath.Join(dir, "out")); err != nil || info.Size() != size {
		t.Errorf("ciphertext: %v, %v", info, err)
	}
}

func TestEncryptRefuses(t *testing.T) {
	if _, err := Encrypt(io.Discard, strings.NewReader("x"), cosekit.A128GCM); err == nil {
		t.Error("encrypted to nobody")
	}
	dir := folder(t)
	for _, name := range []string{"hello.wasm", "none"} {
		if _, err := LoadRecipients(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	d := description(func(d *Description) { d.Payload = Payload{File: filepath.Join(dir, "loop"), Integrated: true} })
	if _, err := Create(d); err == nil || !strings.Contains(err.Error(), "symbolic links") {
		t.Errorf("a loop of links: %v", err)
	}
	for name, want := range map[string]string{dir: "is a folder", "/dev/zero": "not a regular file"} {
		d.Payload.File = name
		if _, err := Create(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
