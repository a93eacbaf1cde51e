package tee

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// anybody authenticates dependencies of the publisher, who may do everything.
var anybody = processor.AuthorityFunc(func(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
	v, err := e.Verify(suit.KeyList{publisher.PublicKey()}, false)
	return v, all, err
})

func signed(t testing.TB, d *author.Description) *suit.Verified {
	t.Helper()
	d.VendorDomain, d.ClassInfo = vendor, class
	r, err := author.Create(d)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := suit.Sign(r.Manifest, r.Payloads, publisher)
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := anybody(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func payloadFile(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "payload")
	write(t, path, content)
	return path
}

// treeOf is a manifest that brings another along, of that version.
func treeOf(t testing.TB, sequence uint64, version string) *suit.Verified {
	t.Helper()
	lib := signed(t, &author.Description{
		Component: component(t, "lib/code"), ManifestComponent: component(t, "lib/manifest"), SequenceNumber: sequence,
		Payload: author.Payload{File: payloadFile(t, []byte("library "+version)), Integrated: true},
	})
	data, err := lib.Envelope().Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, &author.Description{
		Component: component(t, "app/code"), ManifestComponent: component(t, "app/manifest"), SequenceNumber: sequence,
		Payload:      author.Payload{File: payloadFile(t, []byte("application "+version)), Integrated: true},
		Dependencies: []author.Dependency{{File: payloadFile(t, data), Integrated: true}},
	})
}

// TestProcessorAndStore take a tree through its life: it is installed, examined from what
// is stored, updated, and uninstalled as a whole.
func TestProcessorAndStore(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	p := func() *processor.Processor {
		return processor.New(processor.Config{Host: s, Limits: processor.DefaultLimits(), Authority: anybody})
	}
	stored := func() *suit.Verified {
		data, err := s.Envelope(component(t, "app/manifest"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := suit.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		v, _, err := anybody(e)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i, version := range []string{"one", "two"} {
		if _, err := p().Update(t.Context(), treeOf(t, uint64(i+1), version), all); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = openStore(t, dir)
		want := "app/code=application " + version + " app/manifest* lib/code=library " + version + " lib/manifest"
		if got := contents(t, s); got != want {
			t.Errorf("it holds %q, want %q", got, want)
		}
		if _, err := p().Validate(t.Context(), stored(), all); err != nil {
			t.Errorf("what is stored does not validate: %v", err)
		}
	}
	before := fingerprint(t, s)
	if _, err := p().Update(t.Context(), treeOf(t, 1, "one"), all); !errors.Is(err, processor.ErrRollback) {
		t.Errorf("an older tree: %v", err)
	}
	if fingerprint(t, s) != before {
		t.Error("the refusal changed the store")
	}
	if _, err := p().Uninstall(t.Context(), stored(), all); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, s); got != "" {
		t.Errorf("it still holds %q", got)
	}
	if files := tree(t, dir); strings.Contains(files, "application") || strings.Contains(files, "library") {
		t.Error("bytes of it are left")
	}
}

// flaky serves a payload and breaks off after so many bytes of it.
type flaky struct {
	payload []byte
	breaks  int
	offsets []uint64 // that were asked for
}

func (f *flaky) Fetch(_ context.Context, r processor.Request) (io.ReadCloser, error) {
	f.offsets = append(f.offsets, r.Offset)
	rest := f.payload[r.Offset:]
	if f.breaks < len(rest) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(rest[:f.breaks]), brokenReader{})), nil
	}
	return io.NopCloser(bytes.NewReader(rest)), nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestDownloadGoesOn after the connection broke and the device was started anew: what is
// there is not fetched twice, and what is not as it should be is fetched from the
// beginning.
func TestDownloadGoesOn(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789"), 1000)
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  []uint64 // offsets
	}{
		"kept": {func(*testing.T, string) {}, []uint64{0, 4000}},
		"changed": {func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[17] ^= 1
			write(t, path, data)
		}, []uint64{0, 4000, 0}},
		"gone": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, []uint64{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			if err := install(t.Context(), s, manifest(t, component(t, "app"), 1, []byte("the old one"))); err != nil {
				t.Fatal(err)
			}
			v := signed(t, &author.Description{
				Component: component(t, "app"), SequenceNumber: 2,
				Payload: author.Payload{File: payloadFile(t, payload), URI: "https://example.com/app"},
			})
			f := &flaky{payload: payload, breaks: 4000}
			update := func() error {
				_, err := processor.New(processor.Config{Host: s, Limits: processor.DefaultLimits(), Fetcher: f}).Update(t.Context(), v, all)
				return err
			}
			if err := update(); err == nil {
				t.Fatal("a broken download was installed")
			}
			if got := contents(t, s); got != "app/suit* app=the old one" {
				t.Errorf("the broken download leaves %q", got)
			}
			if len(s.payloads) != 1 {
				t.Fatalf("%d payloads are kept", len(s.payloads))
			}
			for _, p := range s.payloads {
				tt.spoil(t, filepath.Join(dir, p.name()))
			}
			s.Close()
			s = openStore(t, dir)
			f.breaks = len(payload)
			if err := update(); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, s); got != "app/suit* app="+string(payload) {
				t.Errorf("it holds %q", got[:100])
			}
			if len(f.offsets) != len(tt.want) {
				t.Fatalf("asked for offsets %d, want %d", f.offsets, tt.want)
			}
			for i := range tt.want {
				if f.offsets[i] != tt.want[i] {
					t.Errorf("asked for offsets %d, want %d", f.offsets, tt.want)
				}
			}
			if len(s.payloads) != 0 {
				t.Error("a payload is kept beside its image")
			}
		})
	}
}
