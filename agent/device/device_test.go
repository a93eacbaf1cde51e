package device

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/broker"
	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

func newSetup(t *testing.T, url string) Setup {
	t.Helper()
	key, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	return Setup{
		Settings: Settings{
			TAM: TAM{URL: url}, Poll: DefaultPolling,
			Identity: Identity{
				UEID: RandomUEID(), Vendor: uuid.New(), Class: uuid.New(),
				OEMID: RandomOEMID(uuid.New()), Model: "lamp", HWVersion: "1",
			},
		},
		Anchors:   []anchor.Anchor{{Key: key.PublicKey(), Title: "TAM", Purposes: []anchor.Purpose{anchor.TAM}}},
		Algorithm: cosekit.Ed25519,
	}
}

func TestCreateAndOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lamp")
	setup := newSetup(t, "https://tam.example/tam")
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrNoDevice) {
		t.Fatalf("Open of nothing: %v", err)
	}
	if err := Create(dir, setup); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, setup); !errors.Is(err, ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	for _, name := range []string{messageKeyFile, reportKeyFile, attestKeyFile, decryptKeyFile} {
		info, err := os.Stat(filepath.Join(dir, keysDir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := Open(dir, Options{}); !errors.Is(err, tee.ErrLocked) {
		t.Errorf("second Open: %v", err)
	}
	public, err := os.ReadFile(PublicKeyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := cosekit.ReadPublicKey(public); err != nil || !key.Equal(d.AttestationKey()) {
		t.Errorf("attestation key file: %v", err)
	}
	k := d.keys
	if k.message.PublicKey().Equal(k.report.PublicKey()) || k.message.PublicKey().Equal(k.attestation.PublicKey()) ||
		k.report.PublicKey().Equal(k.attestation.PublicKey()) {
		t.Error("one key for two purposes")
	}
}

// TestCreateAgain: a Create that was cut short keeps its keys when it is repeated.
func TestCreateAgain(t *testing.T) {
	dir := t.TempDir()
	setup := newSetup(t, "https://tam.example/tam")
	if err := Create(dir, setup); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(PublicKeyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(SettingsPath(dir)); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, setup); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(PublicKeyPath(dir)); err != nil || string(after) != string(before) {
		t.Errorf("the attestation key changed (%v)", err)
	}
	if err := os.Remove(SettingsPath(dir)); err != nil {
		t.Fatal(err)
	}
	setup.Algorithm = cosekit.ESP256
	if err := Create(dir, setup); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("keys of another algorithm: %v", err)
	}
}

// TestDecryptionKey: its public half is beside the settings, and a device that was made
// before there was one works on.
func TestDecryptionKey(t *testing.T) {
	dir := t.TempDir()
	if err := Create(dir, newSetup(t, "https://tam.example/tam")); err != nil {
		t.Fatal(err)
	}
	status := func() Status {
		d, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		s, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	data, err := os.ReadFile(DecryptionKeyPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	public, err := cosekit.ReadAgreementPublicKey(data)
	if s := status(); err != nil || s.DecryptionKey == nil || *s.DecryptionKey != public.Thumbprint() {
		t.Errorf("%v, %v", s.DecryptionKey, err)
	}
	if err := os.Remove(filepath.Join(dir, keysDir, decryptKeyFile)); err != nil {
		t.Fatal(err)
	}
	if s := status(); s.DecryptionKey != nil {
		t.Errorf("%v", s.DecryptionKey)
	}
}

// TestKeyFilesOfSettings: a file that cannot be read as what it should be keeps the
// device from opening; it would be without a key that it is to have.
func TestKeyFilesOfSettings(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{garbage, "/nowhere/key"} {
		for key, spoil := range map[string]func(*Settings){
			"tam.report-encryption-key":   func(s *Settings) { s.TAM.ReportKey = file },
			"manifests.secret-keys":       func(s *Settings) { s.Manifests.SecretKeys = []string{file} },
			"tam.evidence-encryption-key": func(s *Settings) { s.TAM.EvidenceKey = file },
			"attestation.certificates":    func(s *Settings) { s.Attestation.Certificates = file },
		} {
			dir, setup := t.TempDir(), newSetup(t, "https://tam.example/tam")
			spoil(&setup.Settings)
			if err := Create(dir, setup); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s %s: %v", key, file, err)
			}
		}
	}
}

func TestCreateRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Setup){
		"bad URL":           func(s *Setup) { s.Settings.TAM.URL = "http://tam.example/" },
		"no model":          func(s *Setup) { s.Settings.Identity.Model = "" },
		"same anchor twice": func(s *Setup) { s.Anchors = append(s.Anchors, s.Anchors[0]) },
		"no such algorithm": func(s *Setup) { s.Algorithm = cosekit.LegacyEdDSA },
	} {
		dir := filepath.Join(t.TempDir(), "lamp")
		setup := newSetup(t, "https://tam.example/tam")
		spoil(&setup)
		if err := Create(dir, setup); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrNoDevice) {
			t.Errorf("%s: left a device: %v", name, err)
		}
	}
}

func TestDamagedDirectory(t *testing.T) {
	for _, name := range []string{settingsFile, anchorsFile, filepath.Join(keysDir, messageKeyFile)} {
		dir := t.TempDir()
		if err := Create(dir, newSetup(t, "https://tam.example/tam")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPollIsRemembered(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer s.Close()
	dir := t.TempDir()
	if err := Create(dir, newSetup(t, s.URL)); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)
	d, err := Open(dir, Options{Clock: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	status := func() Status {
		reader, err := Read(dir) // beside the device that is open
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		s, err := reader.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if p := status().LastPoll; p == nil || p.Failed || !p.At.Equal(at) {
		t.Errorf("last poll %+v", p)
	}
	s.Close()
	if _, err := d.Poll(t.Context()); !errors.Is(err, broker.ErrUnreachable) {
		t.Errorf("poll: %v", err)
	}
	if p := status().LastPoll; p == nil || !p.Failed || !strings.Contains(p.Outcome, "not reachable") {
		t.Errorf("last poll %+v", p)
	}
	if _, err := d.Agent().RequestTA(teep.RequestedTC{Component: suit.ComponentID{[]byte("app")}}); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(status())
	if err != nil || !strings.Contains(string(data), `"requested":[{"id":"app"}]`) {
		t.Errorf("%s, %v", data, err)
	}
}

// TestRunEndsWithABrokenStore: polling on would never install anything again.
func TestRunEndsWithABrokenStore(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer s.Close()
	dir := t.TempDir()
	if err := Create(dir, newSetup(t, s.URL)); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// A directory in the way of the next index can be neither replaced nor removed.
	if err := os.MkdirAll(filepath.Join(dir, storeDir, "index.tmp", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	sessions := 0
	if err := d.Run(t.Context(), func(broker.Result, error) { sessions++ }); !errors.Is(err, tee.ErrBroken) || sessions != 1 {
		t.Errorf("%d sessions, %v", sessions, err)
	}
}
