package processor_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// These tests send a device of files what was made to wear it out: signed by somebody who
// may do everything, well formed, and small.

var (
	abuser = func() cosekit.Signer {
		s, err := cosekit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte("a"), ed25519.SeedSize)))
		if err != nil {
			panic(err)
		}
		return s
	}()
	deviceKey = func() cosekit.AgreementKey {
		key, err := cosekit.GenerateAgreementKey()
		if err != nil {
			panic(err)
		}
		return key
	}()
	target   = processor.Identity{Vendor: uuid.UUID{1}, Class: uuid.UUID{2}}
	hello    = suit.ComponentID{[]byte("app"), []byte("hello")}
	helloID  = suit.ComponentID{[]byte("app"), []byte("hello"), []byte("suit")}
	oldImage = []byte("the image that was there before")
)

const endless = "https://example.com/endless"

func pointer[T any](v T) *T { return &v }

func policy(code suit.CommandCode) suit.Command {
	return suit.Command{Code: code, Argument: suit.ReportAll}
}

func override(p suit.Parameters) suit.Command {
	return suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &p}
}

func index(argument suit.Argument) suit.Command {
	return suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: argument}
}

func commands(list ...suit.Command) *suit.Sequence { return &suit.Sequence{Commands: list} }

func section(list ...suit.Command) suit.Severable { return suit.Severable{Sequence: commands(list...)} }

func run(s *suit.Sequence) suit.Command {
	return suit.Command{Code: suit.DirectiveRunSequence, Argument: s}
}

// written puts an image into the current component.
func written(image []byte) []suit.Command {
	return []suit.Command{
		override(suit.Parameters{Content: image, ImageDigest: pointer(suit.SumSHA256(image)), ImageSize: pointer(uint64(len(image)))}),
		policy(suit.DirectiveWrite), policy(suit.ConditionImageMatch),
	}
}

// attack is a manifest for the target that does as it is told.
func attack(components []suit.ComponentID, install ...suit.Command) *suit.Manifest {
	return &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: 2, ComponentID: helloID,
		Common: suit.Common{
			Components: components,
			Shared: commands(index(suit.Index(0)), override(suit.Parameters{VendorID: &target.Vendor, ClassID: &target.Class}),
				policy(suit.ConditionVendorIdentifier), policy(suit.ConditionClassIdentifier)),
		},
		Sections: map[suit.Section]suit.Severable{suit.SectionInstall: section(append([]suit.Command{index(suit.Index(0))}, install...)...)},
	}
}

// numbered are so many components, the first of which is the one that is installed.
func numbered(n int) []suit.ComponentID {
	ids := []suit.ComponentID{hello}
	for i := 1; i < n; i++ {
		ids = append(ids, suit.ComponentID{fmt.Appendf(nil, "%d", i)})
	}
	return ids
}

// victim is a device on a real directory, with one application.
type victim struct {
	dir, beside string // a directory of somebody else's
	config      processor.Config
	steps       int
	fetched     uint64
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	root := t.TempDir()
	v := &victim{dir: filepath.Join(root, "device"), beside: filepath.Join(root, "etc")}
	if err := errors.Join(os.Mkdir(v.beside, 0o755), os.WriteFile(filepath.Join(v.beside, "passwd"), []byte("root"), 0o644)); err != nil {
		t.Fatal(err)
	}
	store, err := tee.Open(v.dir, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	limits := processor.DefaultLimits()
	limits.FetchedBytes, limits.StoredBytes, limits.EnvelopeBytes = 1<<20, 2<<20, 64<<10
	v.config = processor.Config{
		Host: store, Limits: limits, Fetcher: v, Authority: processor.AuthorityFunc(authority),
		Keys: cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{deviceKey}},
		Observe: func(s processor.Step) {
			if !errors.Is(s.Err, processor.ErrLimit) {
				v.steps++
			}
		},
	}
	m := attack([]suit.ComponentID{hello}, written(oldImage)...)
	m.SequenceNumber = 1
	if _, err := v.update(t, m, nil); err != nil {
		t.Fatal(err)
	}
	v.steps = 0
	return v
}

func anything(processor.Access) bool { return true }

func authority(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
	v, err := e.Verify(suit.KeyList{abuser.PublicKey()}, false)
	return v, anything, err
}

func (v *victim) update(t *testing.T, m *suit.Manifest, payloads map[string][]byte) (*processor.Outcome, error) {
	t.Helper()
	e, err := suit.Sign(m, payloads, abuser)
	if err != nil {
		t.Fatal(err)
	}
	verified, rights, err := authority(e)
	if err != nil {
		t.Fatal(err)
	}
	return processor.New(v.config).Update(t.Context(), verified, rights)
}

// Fetch serves a body that does not end.
func (v *victim) Fetch(_ context.Context, r processor.Request) (io.ReadCloser, error) {
	if r.URI != endless {
		return nil, processor.ErrFetch
	}
	return io.NopCloser(v), nil
}

func (v *victim) Read(p []byte) (int, error) {
	v.fetched += uint64(len(p))
	return len(p), nil
}

// dump is every file in and beside the device, but for what it keeps of downloads, whose
// bytes are counted.
func (v *victim) dump(t *testing.T) (files map[string]string, kept int64) {
	t.Helper()
	files = map[string]string{}
	root := os.DirFS(filepath.Dir(v.dir))
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), "payload-") {
			kept += info.Size()
			return nil
		}
		content, err := fs.ReadFile(root, name)
		files[name] = info.Mode().String() + " " + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, kept
}

// fails wants an attack to end in that error within the caps, and to leave the device as
// it was.
func (v *victim) fails(t *testing.T, m *suit.Manifest, payloads map[string][]byte, want error) {
	t.Helper()
	before, _ := v.dump(t)
	outcome, err := v.update(t, m, payloads)
	if !errors.Is(err, want) {
		t.Errorf("ended with %v, want %v", err, want)
	}
	if err != nil && len(err.Error()) > 1000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	report, err := outcome.Report.Encode()
	if err != nil || len(report) > suit.MaxReportSize {
		t.Errorf("report of %d bytes: %v", len(report), err)
	}
	if v.steps > v.config.Limits.Commands {
		t.Errorf("%d commands were executed, at most %d are", v.steps, v.config.Limits.Commands)
	}
	if limit := v.config.Limits.FetchedBytes + 64<<10; v.fetched > limit { // what is read ahead
		t.Errorf("%d bytes were fetched, at most %d are", v.fetched, limit)
	}
	after, kept := v.dump(t)
	if !maps.Equal(before, after) {
		t.Errorf("the device has changed: %q, was %q", after, before)
	}
	if kept > int64(v.config.Limits.FetchedBytes) {
		t.Errorf("%d bytes of a download are kept", kept)
	}
}

// deep nests a command so often, each time once for every component.
func deep(levels int, innermost suit.Command, around func(*suit.Sequence) suit.Command) *suit.Sequence {
	s := commands(innermost)
	for range levels {
		s = commands(index(suit.AllComponents{}), around(s))
	}
	return s
}

func tryTwice(s *suit.Sequence) suit.Command {
	return suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{*s, *s}}}
}

func TestAttacks(t *testing.T) {
	harmless := override(suit.Parameters{ImageSize: pointer(uint64(1))})
	many := make([]suit.Command, 0, suit.MaxCommands)
	for len(many) < suit.MaxCommands-2 {
		many = append(many, harmless)
	}
	image := bytes.Repeat([]byte("x"), 60<<10)
	over := func(directive suit.CommandCode) []suit.Command {
		list := append(append(written(image), index(suit.Index(1))), written(image)...)
		for range 100 {
			list = append(list, override(suit.Parameters{SourceComponent: pointer(uint64(0))}), policy(directive))
		}
		return list
	}
	fetch := func(p suit.Parameters) []suit.Command {
		p.URI = pointer(endless)
		return []suit.Command{override(p), policy(suit.DirectiveFetch), policy(suit.ConditionImageMatch)}
	}
	encrypted := cosekit.Encryption{Content: cosekit.A128CTR, Context: cosekit.PayloadEncryption, Recipients: []cosekit.Recipient{deviceKey.PublicKey()}}
	info, err := encrypted.Encrypt(io.Discard, bytes.NewReader(oldImage))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []struct {
		name     string
		manifest *suit.Manifest
		want     error
	}{
		{"run-sequence in run-sequence, once for each component each time", attack(numbered(60), deep(6, harmless, run).Commands...), processor.ErrLimit},
		{"try-each in try-each, once for each component each time", attack(numbered(60), deep(6, harmless, tryTwice).Commands...), processor.ErrLimit},
		{"try-each in try-each, of which every alternative fails", attack(numbered(60), deep(6, policy(suit.ConditionAbort), tryTwice).Commands...), processor.ErrAbort},
		{"one component 256 times, and a thousand commands on it",
			attack(numbered(1), append([]suit.Command{index(make(suit.IndexList, suit.MaxComponents))}, many...)...), processor.ErrLimit},
		{"more components than the device takes", attack(numbered(65), written(oldImage)...), processor.ErrUnsupportedComponent},
		{"an index that no computer can count to", attack(numbered(2), index(suit.Index(1<<63))), processor.ErrUnsupportedComponent},
		{"a body without end, and no image-size", attack(numbered(1), fetch(suit.Parameters{ImageDigest: pointer(suit.SumSHA256(nil))})...), processor.ErrLimit},
		{"a body without end, and an enormous image-size",
			attack(numbered(1), fetch(suit.Parameters{ImageDigest: pointer(suit.SumSHA256(nil)), ImageSize: pointer(uint64(1) << 62)})...), processor.ErrLimit},
		{"a body without end, and a small image-size",
			attack(numbered(1), fetch(suit.Parameters{ImageDigest: pointer(suit.SumSHA256(nil)), ImageSize: pointer(uint64(10))})...), processor.ErrLimit},
		{"a body without end, once more after every failure", attack(numbered(1), tryTwice(commands(fetch(suit.Parameters{
			ImageDigest: pointer(suit.SumSHA256(nil)), ImageSize: pointer(uint64(1) << 19)})...))), processor.ErrLimit},
		{"ciphertext without end", attack(numbered(2), append(append([]suit.Command{index(suit.Index(1))},
			fetch(suit.Parameters{ImageDigest: pointer(suit.SumSHA256(nil))})...), index(suit.Index(0)),
			override(suit.Parameters{SourceComponent: pointer(uint64(1)), EncryptionInfo: info}), policy(suit.DirectiveCopy))...), processor.ErrLimit},
		{"copies over copies", attack(numbered(2), over(suit.DirectiveCopy)...), processor.ErrLimit},
		{"swaps without end", attack(numbered(2), over(suit.DirectiveSwap)...), processor.ErrLimit},
	} {
		t.Run(a.name, func(t *testing.T) { newVictim(t).fails(t, a.manifest, nil, a.want) })
	}
}

// dependency is a manifest that is stored under id and needs others in its turn, by their
// ids. Digests are set by whoever depends on it: so a loop can be signed.
func dependency(id suit.ComponentID, on ...suit.ComponentID) *suit.Manifest {
	m := attack([]suit.ComponentID{append(suit.ComponentID{[]byte("image of")}, id...)}, written([]byte("library"))...)
	m.ComponentID = id
	return depends(m, on...)
}

func depends(m *suit.Manifest, on ...suit.ComponentID) *suit.Manifest {
	resolve, install := []suit.Command{}, []suit.Command{}
	for i, id := range on {
		at := uint64(1 + i)
		m.Common.Dependencies = append(m.Common.Dependencies, suit.Dependency{Index: at, Prefix: id})
		resolve = append(resolve, index(suit.Index(at)), override(suit.Parameters{URI: pointer("#" + id.String())}),
			policy(suit.DirectiveFetch), policy(suit.ConditionDependencyIntegrity), policy(suit.DirectiveProcessDependency))
		install = append(install, index(suit.Index(at)), policy(suit.DirectiveProcessDependency))
	}
	if len(on) > 0 {
		m.Sections[suit.SectionDependencyResolution] = section(resolve...)
		m.Sections[suit.SectionInstall] = section(append(install, m.Sections[suit.SectionInstall].Sequence.Commands...)...)
	}
	return m
}

// needing sets the digest of the one dependency of m.
func needing(t *testing.T, m, dependency *suit.Manifest) *suit.Manifest {
	t.Helper()
	e, err := suit.Sign(dependency, nil, abuser)
	if err != nil {
		t.Fatal(err)
	}
	digest := e.Digest()
	resolve := m.Sections[suit.SectionDependencyResolution].Sequence
	resolve.Commands[1].Argument.(*suit.Parameters).ImageDigest = &digest
	return m
}

// TestTreesWithoutEnd are of manifests that need each other, or ever more of them.
func TestTreesWithoutEnd(t *testing.T) {
	name := func(i int) suit.ComponentID { return suit.ComponentID{[]byte("lib"), fmt.Appendf(nil, "%d", i)} }
	chain := func(n int) (list []*suit.Manifest) {
		for i := range n - 1 {
			list = append(list, dependency(name(i), name(i+1)))
		}
		return append(list, dependency(name(n-1)))
	}
	wide := func(n int) (list []*suit.Manifest) {
		for i := range n {
			list = append(list, dependency(name(i)))
		}
		return list
	}
	names := func(n int) (ids []suit.ComponentID) {
		for i := range n {
			ids = append(ids, name(i))
		}
		return ids
	}
	for _, a := range []struct {
		name string
		root []suit.ComponentID // what it depends on
		tree []*suit.Manifest
		want error
	}{
		{"a manifest that needs itself", []suit.ComponentID{helloID}, []*suit.Manifest{dependency(helloID)}, processor.ErrCycle},
		{"a dependency that needs itself", names(1), []*suit.Manifest{dependency(name(0), name(0))}, processor.ErrCycle},
		{"two that need each other", names(2), []*suit.Manifest{dependency(name(0), name(1)), dependency(name(1), name(0))}, processor.ErrCycle},
		{"one that needs the root", names(1), []*suit.Manifest{needing(t, dependency(name(0), helloID), dependency(helloID)), dependency(helloID)}, processor.ErrCycle},
		{"a long chain", names(12), chain(12), processor.ErrLimit},
		{"a wide tree", names(20), wide(20), processor.ErrLimit},
		{"an envelope that is too large", names(1), []*suit.Manifest{func() *suit.Manifest {
			m := dependency(name(0))
			for i := range 3 {
				m.Sections[suit.SectionInstall].Sequence.Commands = append(m.Sections[suit.SectionInstall].Sequence.Commands,
					override(suit.Parameters{Content: bytes.Repeat([]byte{byte(i)}, 30<<10)}))
			}
			return m
		}()}, processor.ErrLimit},
	} {
		t.Run(a.name, func(t *testing.T) {
			root := depends(attack([]suit.ComponentID{hello}, written([]byte("new"))...), a.root...)
			payloads := map[string][]byte{}
			for _, m := range a.tree {
				e, err := suit.Sign(m, nil, abuser)
				if err != nil {
					t.Fatal(err)
				}
				if payloads["#"+m.ComponentID.String()], err = e.Encode(true); err != nil {
					t.Fatal(err)
				}
				digest := e.Digest()
				resolve := root.Sections[suit.SectionDependencyResolution].Sequence
				for i, id := range a.root {
					if id.Equal(m.ComponentID) { // digests come first, of all
						resolve.Commands = append([]suit.Command{index(suit.Index(uint64(1 + i))), override(suit.Parameters{ImageDigest: &digest})}, resolve.Commands...)
					}
				}
			}
			newVictim(t).fails(t, root, payloads, a.want)
		})
	}
}

// hostile are names that mean something to a file system, or too much to a terminal.
var hostile = [][]string{
	{".."}, {"..", "..", "etc", "passwd"}, {"../etc/passwd"}, {"/etc/passwd"}, {"."}, {""}, {"", ""}, {"a\x00b"}, {"con"}, {"~"},
	{"..\\..\\etc"}, {"\x1b[2J"}, {"\xff\xfe"}, {strings.Repeat("x", 255)}, {"image-0123"}, {"index"}, {"lock"}, {"\u202egnp.exe"}, {"*"}, {"$(reboot)"},
}

// TestNamesOutOfTheDirectory installs components and manifests with hostile names: they
// work like any other, and no file is touched outside of the device's directory.
func TestNamesOutOfTheDirectory(t *testing.T) {
	for _, segments := range hostile {
		t.Run(fmt.Sprintf("%.20q", segments), func(t *testing.T) {
			v := newVictim(t)
			before, _ := v.dump(t)
			var id suit.ComponentID
			for _, s := range segments {
				id = append(id, []byte(s))
			}
			m := attack([]suit.ComponentID{id}, written([]byte("hostile"))...)
			m.ComponentID = append(append(suit.ComponentID{}, id...), []byte("suit"))
			if _, err := v.update(t, m, nil); err != nil {
				t.Fatal(err)
			}
			after, _ := v.dump(t)
			for name, content := range after {
				dir := filepath.ToSlash(filepath.Dir(name))
				if _, was := before[name]; !was && dir != "device" || was && dir != "device" && before[name] != content {
					t.Errorf("%s: %q", name, content)
				}
				if file := filepath.Base(name); strings.Trim(file, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
					t.Errorf("a file is named %q", file)
				}
			}
			image, err := read(v, id)
			if err != nil || string(image) != "hostile" {
				t.Errorf("it holds %q: %v", image, err)
			}
		})
	}
}

func read(v *victim, id suit.ComponentID) ([]byte, error) {
	tx, err := v.config.Host.Begin(context.Background())
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	r, _, err := tx.Open(context.Background(), id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestPlantedLinks puts links to somebody else's file where the device will write next,
// and in place of what it has: neither is followed.
func TestPlantedLinks(t *testing.T) {
	passwd := filepath.Join("..", "etc", "passwd")
	next := func(t *testing.T, v *victim) []string { // the names that an update makes
		t.Helper()
		twin := newVictim(t)
		before, _ := twin.dump(t)
		if _, err := twin.update(t, attack([]suit.ComponentID{hello}, written([]byte("new"))...), nil); err != nil {
			t.Fatal(err)
		}
		after, _ := twin.dump(t)
		var names []string
		for name := range after {
			if _, was := before[name]; !was {
				names = append(names, filepath.Base(name))
			}
		}
		return names
	}
	t.Run("where it writes", func(t *testing.T) {
		v := newVictim(t)
		names := next(t, v)
		if len(names) == 0 {
			t.Fatal("an update makes no file")
		}
		for _, name := range names {
			if err := os.Symlink(passwd, filepath.Join(v.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := v.update(t, attack([]suit.ComponentID{hello}, written([]byte("new"))...), nil)
		t.Log("it ends with", err)
		if content, err := os.ReadFile(filepath.Join(v.beside, "passwd")); err != nil || string(content) != "root" {
			t.Errorf("passwd is %q: %v", content, err)
		}
		want := oldImage
		if err == nil {
			want = []byte("new")
		}
		if image, err := read(v, hello); err != nil || !bytes.Equal(image, want) {
			t.Errorf("the device holds %q: %v", image, err)
		}
	})
	t.Run("in place of an image", func(t *testing.T) {
		v := newVictim(t)
		images, err := filepath.Glob(filepath.Join(v.dir, "image-*"))
		if err != nil || len(images) != 1 {
			t.Fatalf("%q: %v", images, err)
		}
		if err := errors.Join(os.Remove(images[0]), os.Symlink(passwd, images[0])); err != nil {
			t.Fatal(err)
		}
		if image, err := read(v, hello); err == nil {
			t.Errorf("the link is read: %q", image)
		}
		_, err = v.update(t, attack([]suit.ComponentID{hello, {[]byte("copy")}},
			index(suit.Index(1)), override(suit.Parameters{SourceComponent: pointer(uint64(0)), ImageDigest: pointer(suit.SumSHA256([]byte("root")))}),
			policy(suit.DirectiveCopy), policy(suit.ConditionImageMatch)), nil)
		if err == nil {
			t.Error("the link was copied")
		}
	})
}
