package author

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// store is a component store with two slots, all of which are slot 1.
type store struct{ *tee.Store }

func (store) Slot(suit.ComponentID) (uint64, error) { return 1, nil }

// web serves the files of a result at their URIs.
type web []File

func (w web) Fetch(_ context.Context, r processor.Request) (io.ReadCloser, error) {
	for _, f := range w {
		if f.URI == r.URI {
			return os.Open(f.Path)
		}
	}
	return nil, fmt.Errorf("nobody serves %s", r.URI)
}

// deviceUnderTest runs manifests strictly, and notes what was started and tested.
type deviceUnderTest struct {
	*processor.Processor
	store   store
	started []string
	tested  []string
	broken  bool // the self-test fails
}

func newDevice(t *testing.T, dir string, files []File) *deviceUnderTest {
	t.Helper()
	vendor := VendorID("example.com")
	opened, err := tee.Open(t.TempDir(), processor.Identity{
		Vendor: vendor, Class: ClassID(vendor, "thermostat"), Device: uuid.MustParse("a3f7f6bc-08a7-45e1-a3b8-ff1a2d2c4c5e"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	kek, err := cosekit.LoadSecretKey(filepath.Join(dir, "kek.hex"))
	if err != nil {
		t.Fatal(err)
	}
	agreement, err := cosekit.LoadAgreementKey(filepath.Join(dir, "device.pem"))
	if err != nil {
		t.Fatal(err)
	}
	d := &deviceUnderTest{store: store{opened}}
	d.Processor = processor.New(processor.Config{
		Host: d.store, Limits: processor.DefaultLimits(), Fetcher: web(files),
		Authority: processor.AuthorityFunc(func(e *suit.Envelope) (*suit.Verified, processor.Rights, error) {
			v, err := e.Verify(suit.KeyList{publisher(t).PublicKey()}, false)
			return v, all, err
		}),
		Keys: cosekit.DecryptionKeys{Secrets: []*cosekit.SecretKey{kek}, Agreements: []cosekit.AgreementKey{agreement}},
		Invoke: func(_ context.Context, i processor.Invocation) error {
			d.started = append(d.started, fmt.Sprintf("%s %x", i.Component, i.Args))
			return nil
		},
		Circumstances: processor.Circumstances{
			Clock:     func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) },
			Battery:   func(context.Context) (uint64, error) { return 900, nil },
			Authorize: func(_ context.Context, priority *int64) error { return nil },
			Wait:      func(context.Context, *suit.WaitInfo) error { return nil },
		},
		Custom: map[suit.CommandCode]processor.CustomCommand{SelfTestCondition: {Condition: true, Run: d.selfTest}},
	})
	return d
}

func (d *deviceUnderTest) selfTest(_ context.Context, call processor.CustomCall) error {
	d.tested = append(d.tested, call.Component.String())
	if d.broken {
		return errors.New("broken")
	}
	return nil
}

func all(processor.Access) bool { return true }

func verified(t *testing.T, r *Result) *suit.Verified {
	t.Helper()
	e, err := suit.Sign(r.Manifest, r.Payloads, publisher(t))
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Verify(suit.KeyList{publisher(t).PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// image reads a component of the device.
func (d *deviceUnderTest) image(t *testing.T, id suit.ComponentID) string {
	t.Helper()
	tx, err := d.store.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	r, _, err := tx.Open(t.Context(), id)
	if errors.Is(err, processor.ErrNoImage) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// earlier installs version 1.0 of app/hello, for the conditions about it.
func (d *deviceUnderTest) earlier(t *testing.T) {
	t.Helper()
	r, err := Create(&Description{
		Component: suit.ComponentID{[]byte("app"), []byte("hello")}, SequenceNumber: 2, Version: "1.0",
		VendorDomain: "example.com", ClassInfo: "thermostat", Payload: Payload{Content: "the earlier one"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Update(t.Context(), verified(t, r), all); err != nil {
		t.Fatal(err)
	}
}

// Every template is installed, invoked and uninstalled by the strict processor, on a
// component store of files.
func TestTemplatesRun(t *testing.T) {
	images := map[string]string{
		"app/hello": payload, "app/backup": payload, "app/hello/conf": "colour: green",
		"app/hello/motd": "welcome", "lib/crypto": "a library",
	}
	for _, test := range templates {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t)
			r := create(t, dir, test.document)
			d := newDevice(t, dir, r.Files)
			if strings.Contains(test.document, "image-not-match") {
				d.earlier(t)
			}
			v := verified(t, r)
			outcome, err := d.Update(t.Context(), v, all)
			if err != nil {
				t.Fatal(err)
			}
			if len(outcome.Bent) > 0 {
				t.Errorf("bent rules: %v", outcome.Bent)
			}
			ids := slices.Clone(r.Manifest.Common.Components)
			if len(r.Manifest.Common.Dependencies) > 0 {
				ids = append(ids, suit.ComponentID{[]byte("lib"), []byte("crypto")})
			}
			for _, id := range ids {
				if want, known := images[id.String()]; known && d.image(t, id) != want {
					t.Errorf("%s has %q, want %q", id, d.image(t, id), want)
				}
			}
			if wanted := strings.Contains(test.document, "self-test"); wanted != (len(d.tested) > 0) {
				t.Errorf("self-tests of %v", d.tested)
			}
			if _, invokes := r.Manifest.Section(suit.SectionInvoke); invokes {
				if _, err := d.Invoke(t.Context(), v, all); err != nil {
					t.Errorf("invoke: %v", err)
				}
				if len(d.started) == 0 {
					t.Error("nothing was started")
				}
			}
			if _, err := d.Uninstall(t.Context(), v, all); err != nil {
				t.Fatalf("uninstall: %v", err)
			}
			for _, id := range ids {
				if got := d.image(t, id); got != "" {
					t.Errorf("%s stays: %q", id, got)
				}
			}
		})
	}
}

// What the templates check, the processor finds.
func TestTemplatesCheck(t *testing.T) {
	for _, test := range []struct {
		name     string
		template int
		break_   func(t *testing.T, d *deviceUnderTest, r *Result)
		want     string
	}{
		{"payload of another content", 0, func(t *testing.T, _ *deviceUnderTest, r *Result) { spoil(t, r.Files[0].Path) }, "install"},
		{"ciphertext of another content", 2, func(t *testing.T, _ *deviceUnderTest, r *Result) { spoil(t, r.Files[0].Path) }, "payload-fetch"},
		{"dependency of another content", 6, func(t *testing.T, _ *deviceUnderTest, r *Result) { spoil(t, r.Files[0].Path) }, "dependency-resolution"},
		{"self-test", 1, func(_ *testing.T, d *deviceUnderTest, _ *Result) { d.broken = true }, "validate"},
		{"version", 7, func(*testing.T, *deviceUnderTest, *Result) {}, "install"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t)
			r := create(t, dir, templates[test.template].document)
			d := newDevice(t, dir, r.Files)
			test.break_(t, d, r)
			_, err := d.Update(t.Context(), verified(t, r), all)
			var failure *processor.Failure
			if !errors.As(err, &failure) || failure.Section.String() != test.want {
				t.Errorf("%v, want a failure in %s", err, test.want)
			}
			for _, id := range r.Manifest.Common.Components {
				if got := d.image(t, id); got != "" {
					t.Errorf("%s has %q", id, got)
				}
			}
		})
	}
}

// spoil changes the last byte of a file.
func spoil(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Clone(content)
	content[len(content)-1] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What the linter calls an error the strict processor refuses, when it is installed or
// when it is invoked at the latest. Where a mistake is in one of several alternatives,
// that depends on the device. Where one manifest says it all, devices take its digest of a
// ciphertext for the image; but a distributor may set another key, and then they do not.
func TestLintAgreesWithTheProcessor(t *testing.T) {
	for _, test := range lintTests {
		if !strings.HasPrefix(test.want, "error ") || strings.Contains(test.name, "alternative") || strings.Contains(test.name, "may be skipped") || strings.Contains(test.name, "decrypted") {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t)
			r := create(t, dir, templates[test.template].document)
			test.change(r.Manifest)
			d := newDevice(t, dir, r.Files)
			v := verified(t, r)
			_, err := d.Update(t.Context(), v, all)
			if err == nil {
				_, err = d.Invoke(t.Context(), v, all)
			}
			var failure *processor.Failure
			if !errors.As(err, &failure) {
				t.Errorf("the processor takes it: %v", err)
			}
		})
	}
}
