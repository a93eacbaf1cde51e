package tee

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// TestSwap exchanges what two components have, whatever that is, and leaves everything
// in place where it comes to nothing.
func TestSwap(t *testing.T) {
	swap := func(a, b string) func(*testing.T, processor.Transaction) error {
		return func(t *testing.T, tx processor.Transaction) error {
			return tx.Swap(t.Context(), component(t, a), component(t, b))
		}
	}
	write := func(name, image string) func(*testing.T, processor.Transaction) error {
		return func(t *testing.T, tx processor.Transaction) error { return put(t, tx, component(t, name), image) }
	}
	arrive := func(name, image string, end func(processor.Partial) error) func(*testing.T, processor.Transaction) error {
		return func(t *testing.T, tx processor.Transaction) error {
			p, _, err := resume(t, tx, component(t, name), suit.SumSHA256([]byte(image)))
			if err != nil {
				return err
			}
			_, err = io.WriteString(p, image)
			return errors.Join(err, end(p))
		}
	}
	whole := func(p processor.Partial) error { return p.Close() }
	for name, tt := range map[string]struct {
		do   []func(*testing.T, processor.Transaction) error
		want string // after the commit; "" where the last step fails with ErrNoImage
	}{
		"installed":                 {steps(swap("a", "b")), "app* a=2 b=1 c=3"},
		"there and back":            {steps(swap("a", "b"), swap("b", "a")), "app* a=1 b=2 c=3"},
		"in a ring":                 {steps(swap("a", "b"), swap("b", "c")), "app* a=2 b=3 c=1"},
		"with itself":               {steps(swap("a", "a")), "app* a=1 b=2 c=3"},
		"candidate and installed":   {steps(write("a", "new"), swap("a", "b")), "app* a=2 b=new c=3"},
		"two candidates":            {steps(write("a", "x"), write("b", "y"), swap("a", "b")), "app* a=y b=x c=3"},
		"written over afterwards":   {steps(swap("a", "b"), write("a", "x")), "app* a=x b=1 c=3"},
		"the other written over":    {steps(swap("a", "b"), write("b", "x")), "app* a=2 b=x c=3"},
		"both written over":         {steps(swap("a", "b"), write("b", "x"), write("a", "y")), "app* a=y b=x c=3"},
		"a payload":                 {steps(arrive("a", "new", whole), swap("a", "b")), "app* a=2 b=new c=3"},
		"a payload, twice":          {steps(arrive("a", "x", whole), swap("a", "b"), arrive("a", "x", whole)), "app* a=x b=x c=3"},
		"a payload, written over":   {steps(arrive("a", "x", whole), swap("a", "b"), write("a", "y")), "app* a=y b=x c=3"},
		"a payload, both":           {steps(arrive("a", "x", whole), swap("a", "b"), write("b", "y")), "app* a=2 b=y c=3"},
		"nothing there":             {steps(swap("a", "none")), ""},
		"nothing there, first":      {steps(swap("none", "a")), ""},
		"only a part of a payload":  {steps(arrive("none", "x", processor.Partial.Suspend), swap("none", "a")), ""},
		"with an absent one itself": {steps(swap("none", "none")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, end := range []string{"rollback", "commit"} {
				d := newDisk()
				s := openDisk(t, d)
				app := part{"app", 1, true, map[string]string{"a": "1", "b": "2", "c": "3"}, nil}
				mustCommit(t, s, nil, app)
				before := fingerprint(t, s)
				tx, err := s.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for i, do := range tt.do {
					err := do(t, tx)
					if last := i == len(tt.do)-1; last && tt.want == "" {
						if !errors.Is(err, processor.ErrNoImage) {
							t.Errorf("%v, want %v", err, processor.ErrNoImage)
						}
					} else if err != nil {
						t.Fatal(err)
					}
				}
				if end == "rollback" || tt.want == "" {
					if err := tx.Rollback(); err != nil {
						t.Error(err)
					}
					if fingerprint(t, s) != before || contents(t, s) != "a=1 app* b=2 c=3" {
						t.Errorf("the rollback leaves %s", contents(t, s))
					}
				} else {
					app.sequence = 2
					if err := tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{app.installation(t)}}); err != nil {
						t.Fatal(err)
					}
					if got := contents(t, s); !sameWords(got, tt.want) {
						t.Errorf("the commit leaves %q, want %q", got, tt.want)
					}
				}
				checkTidy(t, d, s)
				checkTidy(t, d, openDisk(t, d))
			}
		})
	}
}

func steps(list ...func(*testing.T, processor.Transaction) error) []func(*testing.T, processor.Transaction) error {
	return list
}

func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// TestVersion: the set-version is that of what lists the image, and of a manifest its own.
func TestVersion(t *testing.T) {
	s := openDisk(t, newDisk())
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lib := part{"lib", 1, false, map[string]string{"z": ""}, nil}.installation(t)
	app := part{"app", 1, true, map[string]string{"x": "", "z": ""}, []string{"lib"}}.installation(t)
	bundle := part{"bundle", 1, true, map[string]string{"w": "", "u": ""}, nil}.installation(t)
	tool := part{"tool", 1, true, map[string]string{"w": "", "v": ""}, nil}.installation(t)
	lib.Version, app.Version, tool.Version = []int64{3, -1, 1}, []int64{5, 0}, []int64{7}
	for _, name := range []string{"x", "z", "w", "u"} {
		if err := put(t, tx, component(t, name), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Version(t.Context(), component(t, "x")); !errors.Is(err, processor.ErrNoImage) {
		t.Errorf("of what is not installed: %v", err)
	}
	if err := tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{lib, app, bundle, tool}}); err != nil {
		t.Fatal(err)
	}
	if tx, err = s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for name, want := range map[string][]int64{"x": {5, 0}, "z": {3, -1, 1}, "w": {7}, "u": nil, "lib": {3, -1, 1}, "app": {5, 0}, "bundle": nil} {
		if got, err := tx.Version(t.Context(), component(t, name)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s has version %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"none", "v"} {
		if _, err := tx.Version(t.Context(), component(t, name)); !errors.Is(err, processor.ErrNoImage) {
			t.Errorf("of %s, which has no image: %v", name, err)
		}
	}
	installed, err := s.Installed(t.Context())
	if err != nil || !slices.Equal(installed[0].Version, lib.Version) {
		t.Errorf("%+v, %v", installed, err)
	}
}

// TestMetadata is kept as far as a file of this store can have it, and nothing else is
// taken for granted.
func TestMetadata(t *testing.T) {
	ptr := func(p suit.Permissions) *suit.Permissions { return &p }
	kind := func(f suit.FileType) *suit.FileType { return &f }
	when, number, id := time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC), int64(-7), uuid.New()
	for name, tt := range map[string]struct {
		give   *suit.ComponentMetadata
		reason string
	}{
		"permissions":  {&suit.ComponentMetadata{Permissions: ptr(maxPermissions)}, ""},
		"times":        {&suit.ComponentMetadata{Modified: &when, Created: &when}, ""},
		"regular file": {&suit.ComponentMetadata{FileType: kind(suit.RegularFile)}, ""},
		"UUID":         {&suit.ComponentMetadata{Creator: &suit.ActorID{UUID: &id}}, ""},
		"bytes":        {&suit.ComponentMetadata{Creator: &suit.ActorID{Bytes: []byte{1}}}, ""},
		"text":         {&suit.ComponentMetadata{Creator: &suit.ActorID{Text: "somebody"}}, ""},
		"number":       {&suit.ComponentMetadata{Creator: &suit.ActorID{Number: &number}}, ""},
		"directory":    {&suit.ComponentMetadata{FileType: kind(suit.Directory)}, "regular files only"},
		"link":         {&suit.ComponentMetadata{FileType: kind(suit.SymbolicLink)}, "regular files only"},
		"unknown type": {&suit.ComponentMetadata{FileType: kind(0)}, "regular files only"},
		"users":        {&suit.ComponentMetadata{Users: make([]suit.ActorPermissions, 1)}, "users, groups or roles"},
		"groups":       {&suit.ComponentMetadata{Groups: make([]suit.ActorPermissions, 1)}, "users, groups or roles"},
		"roles":        {&suit.ComponentMetadata{Roles: make([]suit.ActorPermissions, 1)}, "users, groups or roles"},
		"an extension": {&suit.ComponentMetadata{Other: map[int64]cosekit.RawMessage{99: {0}}}, "does not know"},
		"15 bits":      {&suit.ComponentMetadata{Permissions: ptr(maxPermissions + 1)}, "14 bits"},
		"long creator": {&suit.ComponentMetadata{Creator: &suit.ActorID{Text: strings.Repeat("x", maxCreator+1)}}, "more than 256 bytes"},
		"long bytes":   {&suit.ComponentMetadata{Creator: &suit.ActorID{Bytes: make([]byte, maxCreator+1)}}, "more than 256 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			if err := s.SupportsMetadata(component(t, "x"), tt.give); (err == nil) != (tt.reason == "") || err != nil && !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("supported: %v, want %q", err, tt.reason)
			}
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			in := part{"app", 1, true, map[string]string{"x": ""}, nil}.installation(t)
			in.Metadata = map[string]*suit.ComponentMetadata{component(t, "x").Key(): tt.give}
			if err := put(t, tx, component(t, "x"), "1"); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{in}}); (err == nil) != (tt.reason == "") {
				t.Fatalf("committed: %v", err)
			}
			if tt.reason != "" {
				return
			}
			want := *tt.give
			want.FileType = kind(suit.RegularFile)
			check := func(want *suit.ComponentMetadata) {
				t.Helper()
				s = openDisk(t, d)
				installed, err := s.Installed(t.Context())
				if err != nil || !reflect.DeepEqual(installed[0].Metadata, want) {
					t.Errorf("metadata %+v, %v; want %+v", installed, err, want)
				}
				if s.HasMetadata(component(t, "x"), tt.give) != (want != nil) || s.HasMetadata(component(t, "y"), tt.give) ||
					s.HasMetadata(component(t, "x"), &suit.ComponentMetadata{Created: new(time.Time)}) {
					t.Errorf("the store does not know which metadata the image has: %+v", tt.give)
				}
			}
			check(&want)
			// A manifest that says nothing leaves it; one that writes the image says all.
			mustCommit(t, s, nil, part{"app", 2, true, map[string]string{"x": ""}, nil})
			check(&want)
			mustCommit(t, s, nil, part{"app", 3, true, map[string]string{"x": "2"}, nil})
			check(nil)
		})
	}
}

// TestStoredEnvelopeIsBare: payloads and dependencies that it integrates are kept in
// their own files, once.
func TestStoredEnvelopeIsBare(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	image := bytes.Repeat([]byte("payload "), 1000)
	m := manifest(t, component(t, "app/hello"), 1, image)
	if err := install(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(tree(t, dir), string(image)); n != 1 {
		t.Errorf("the payload is stored %d times", n)
	}
	data, err := s.Envelope(component(t, "app/hello/suit"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := suit.Decode(data)
	if err != nil || !e.Tagged() || len(e.IntegratedNames()) != 0 {
		t.Fatal(err, e.IntegratedNames())
	}
	if _, err := e.Verify(suit.KeyList{publisher.PublicKey()}, false); err != nil {
		t.Errorf("it is not authentic any more: %v", err)
	}
}

// TestCommitRefuses what no processor should give it, and changes nothing.
func TestCommitRefuses(t *testing.T) {
	for name, spoil := range map[string]func(c *processor.Change){
		"another digest":   func(c *processor.Change) { c.Install[0].Digest = suit.SumSHA256(nil) },
		"no envelope":      func(c *processor.Change) { c.Install[1].Envelope = nil },
		"large envelope":   func(c *processor.Change) { c.Install[1].Envelope = append(c.Install[1].Envelope, 0) },
		"one twice":        func(c *processor.Change) { c.Install = append(c.Install, c.Install[0]) },
		"stray candidate":  func(c *processor.Change) { c.Install[1].Components = nil },
		"unknown to leave": func(c *processor.Change) { c.Uninstall = []suit.ComponentID{{[]byte("none")}} },
		"long id": func(c *processor.Change) {
			c.Install[0].Manifest = suit.ComponentID{make([]byte, suit.MaxComponentSize)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			mustCommit(t, s, nil, part{"app", 1, true, map[string]string{"x": "1"}, nil})
			before := fingerprint(t, s)
			tx, err := s.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := put(t, tx, component(t, "x"), "2"); err != nil {
				t.Fatal(err)
			}
			change := processor.Change{Install: []processor.Installation{
				part{"lib", 1, true, nil, nil}.installation(t), part{"app", 2, true, map[string]string{"x": ""}, []string{"lib"}}.installation(t),
			}}
			spoil(&change)
			if err := tx.Commit(t.Context(), change); err == nil {
				t.Error("it was committed")
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			if fingerprint(t, s) != before {
				t.Error("the store has changed")
			}
			checkTidy(t, d, s)
		})
	}
}

// previousIndex is an index as the release before this wrote it.
func previousIndex(x *index) []byte {
	old := x.clone()
	for i, c := range old.Components {
		old.Components[i].Manifests = x.references(c.ID)
	}
	for i, m := range old.Manifests {
		old.Manifests[i] = manifestEntry{ID: m.ID, Sequence: m.Sequence, File: m.File}
	}
	return encodeAs(withoutLists, old)
}

// TestStoreOfThePreviousRelease opens, holds what it held, and goes on from there.
func TestStoreOfThePreviousRelease(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	mustCommit(t, s, nil, part{"app", 3, true, map[string]string{"x": "1"}, nil})
	mustCommit(t, s, nil, part{"tool", 4, true, map[string]string{"x": "", "y": "2"}, nil})
	mustCommit(t, s, nil, part{"gone", 9, true, map[string]string{"w": "3"}, nil})
	mustCommit(t, s, []string{"gone"})
	if _, err := s.Withdraw(component(t, "y")); err != nil {
		t.Fatal(err)
	}
	want := fingerprint(t, s)
	data := previousIndex(s.view())
	d.names[indexName] = &inode{data, data}
	d.durable = maps.Clone(d.names)
	s = openDisk(t, d)
	if fingerprint(t, s) != want {
		t.Errorf("it holds %s", contents(t, s))
	}
	mustCommit(t, s, nil, part{"lib", 1, false, map[string]string{"z": "4"}, nil}, part{"app", 4, true, map[string]string{"x": ""}, []string{"lib"}})
	mustCommit(t, s, []string{"tool"})
	s = openDisk(t, d)
	if got := contents(t, s); got != "app* lib x=1 z=4" {
		t.Errorf("it holds %s", got)
	}
	if n, known := s.view().sequence(component(t, "gone")); n != 9 || !known || s.view().floor(component(t, "w")) != 9 {
		t.Error("it has forgotten what was uninstalled before")
	}
	checkTidy(t, d, s)
}
