package device

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TestTAMAttestationNeedsSomebodyToBelieve: a device that demands what nobody could show
// does not open; any of the two kinds of anchors will do, if it is valid.
func TestTAMAttestationNeedsSomebodyToBelieve(t *testing.T) {
	for name, tt := range map[string]struct {
		purpose anchor.Purpose
		until   time.Time
		ueid    HexBytes
		wrong   string
	}{
		"attester":             {anchor.Attester, time.Time{}, nil, ""},
		"verifier":             {anchor.Verifier, time.Time{}, RandomUEID(), ""},
		"verifier of anything": {anchor.Verifier, time.Time{}, nil, "tam.ueid: "},
		"manager":              {anchor.Manager, time.Time{}, nil, "tam.attest: "},
		"expired":              {anchor.Attester, time.Now().Add(-time.Hour), nil, "tam.attest: "},
	} {
		dir, setup := t.TempDir(), newSetup(t, "https://tam.example/tam")
		setup.Settings.TAM.Attest, setup.Settings.TAM.UEID = true, tt.ueid
		key, err := cosekit.GenerateSigner(cosekit.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		setup.Anchors = append(setup.Anchors, anchor.Anchor{Key: key.PublicKey(), Purposes: []anchor.Purpose{tt.purpose}, NotAfter: tt.until})
		if err := Create(dir, setup); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir, Options{})
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			d.Close()
		}
	}
}

// TestAttestersOfOneDirectory: the attestation key of a PSA token lies on P-256 whatever the
// other keys are for; and where it does not, the device says so.
func TestAttestersOfOneDirectory(t *testing.T) {
	psa := Attestation{Attester: AttesterPSA, PSA: PSA{ImplementationID: make(HexBytes, 32)}}
	for _, made := range []Attestation{psa, {}} {
		dir, setup := t.TempDir(), newSetup(t, "https://tam.example/tam")
		setup.Settings.Attestation = made
		if err := Create(dir, setup); err != nil {
			t.Fatal(err)
		}
		if made.Attester == AttesterEAT { // and then somebody changes the settings
			f, err := os.OpenFile(SettingsPath(dir), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteString("attestation: {attester: psa, psa: {implementation-id: " + strings.Repeat("00", 32) + "}}\n")
			if err != nil || f.Close() != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "P-256") {
				t.Errorf("a PSA token by Ed25519: %v", err)
			}
			continue
		}
		d, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(PublicKeyPath(dir), []byte("that of another attester"), 0o600); err != nil || d.Close() != nil {
			t.Fatal(err)
		}
		if d, err = Open(dir, Options{}); err != nil {
			t.Fatal(err)
		}
		if public, err := os.ReadFile(PublicKeyPath(dir)); err != nil || string(public) != string(d.AttestationKey().PEM()) {
			t.Errorf("public key %s, %v", public, err)
		}
		if a := d.AttestationKey().Algorithm(); a != cosekit.ESP256 || d.keys.message.Algorithm() != cosekit.Ed25519 {
			t.Errorf("attestation key for %s", cosekit.AlgorithmName(a))
		}
		d.Close()
	}
}

// TestPapersInStatus: what is kept shows, and damage to it does not hide the rest.
func TestPapersInStatus(t *testing.T) {
	dir, setup := t.TempDir(), newSetup(t, "https://tam.example/tam")
	key, err := cosekit.GenerateSigner(cosekit.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	setup.Settings.TAM.Attest = true
	setup.Anchors = append(setup.Anchors, anchor.Anchor{Key: key.PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}})
	if err := Create(dir, setup); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000, 0).UTC()
	papers := agent.Papers{
		Passport: &agent.Passport{Payload: []byte{1}, Received: at, Expires: at.Add(time.Hour), Verified: true},
		TAMs:     []agent.AttestedTAM{{Key: key.PublicKey().Thumbprint(), At: at}},
	}
	if err := d.store.KeepPapers(papers); err != nil {
		t.Fatal(err)
	}
	s, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Passport; p == nil || !p.Received.Equal(at) || !p.Expires.Equal(at.Add(time.Hour)) || !p.Verified {
		t.Errorf("passport %+v", p)
	}
	if a := s.TAMAttestation; a == nil || len(a.Attested) != 1 || !a.Attested[0].Until.Equal(at.Add(DefaultAttestMaxAge)) {
		t.Errorf("TAM %+v", a)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, storeDir, "papers"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err = Read(dir); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if s, err := d.Status(t.Context()); err != nil || s.Passport != nil || s.TAMAttestation == nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestTSMThatIsNotThere: a device for confidential computing has no attestation key of its
// own, and says what it lacks where there is no such hardware.
func TestTSMThatIsNotThere(t *testing.T) {
	dir, setup := t.TempDir(), newSetup(t, "https://tam.example/tam")
	setup.Settings.Attestation = Attestation{Attester: AttesterTSM, TSM: TSM{Root: t.TempDir()}}
	if err := Create(dir, setup); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{PublicKeyPath(dir), filepath.Join(dir, keysDir, attestKeyFile)} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("there is %s", path)
		}
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "attestation.tsm.root: ") {
		t.Errorf("%v", err)
	}
	d, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if s, err := d.Status(t.Context()); err != nil || s.AttestationKey != nil || s.Attester != "tsm" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestWhoIsBelieved: each key for what it is an anchor of, and as long as it is valid.
func TestWhoIsBelieved(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	keys := map[string]cosekit.Signer{}
	var anchors []anchor.Anchor
	for name, a := range map[string]anchor.Anchor{
		"TAM":              {Purposes: []anchor.Purpose{anchor.TAM}},
		"publisher":        {Purposes: []anchor.Purpose{anchor.TCSigner}},
		"attester":         {Purposes: []anchor.Purpose{anchor.Attester}},
		"expired attester": {Purposes: []anchor.Purpose{anchor.Attester}, NotAfter: now.Add(-time.Second)},
		"verifier":         {Purposes: []anchor.Purpose{anchor.Verifier}},
		"expired verifier": {Purposes: []anchor.Purpose{anchor.Verifier}, NotAfter: now.Add(-time.Second)},
	} {
		key, err := cosekit.GenerateSigner(cosekit.ESP256)
		if err != nil {
			t.Fatal(err)
		}
		a.Key, keys[name] = key.PublicKey(), key
		anchors = append(anchors, a)
	}
	stranger, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	keys["stranger"] = stranger
	store, err := anchor.NewStore(anchors...)
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	d := &Device{anchors: store, settings: Settings{TAM: TAM{Attest: true}}}
	demanded, err := d.tamAttestation(clock)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range keys {
		claims := &attest.Claims{
			Profile: attest.ProfileEAT, Nonce: make([]byte, 32), UEID: append([]byte{1}, make([]byte, 16)...), OEMID: cosekit.MustMarshal(1),
			HWModel: []byte("tam"), HWVersion: "1", Manifests: []attest.ManifestRef{}, Confirmation: attest.Confirmation{Key: key.PublicKey()}, IssuedAt: now,
		}
		token, err := attest.SignEAT(claims, key)
		if err != nil {
			t.Fatal(err)
		}
		r, err := demanded.Verifier.Appraise(t.Context(), attest.Evidence{Format: attest.EvidenceMediaType, Payload: token, Challenge: claims.Nonce})
		if err != nil || (r.Affirmed() == nil) != (name == "attester") {
			t.Errorf("evidence by the %s: %v, %v", name, r.Affirmed(), err)
		}
		claims.Profile, claims.Expires = attest.ProfileTEEP, now.Add(time.Hour)
		if token, err = attest.SignEAT(claims, key); err != nil {
			t.Fatal(err)
		}
		if _, err := d.results(clock).Verify(t.Context(), "", token); (err == nil) != (name == "verifier") {
			t.Errorf("a result by the %s: %v", name, err)
		}
	}
	results := d.results(clock)
	if store, err = store.Without(keys["verifier"].PublicKey().Thumbprint()); err != nil {
		t.Fatal(err)
	}
	if d.anchors = store; d.results(clock) != nil {
		t.Error("results are verified without a verifier")
	}
	if _, err := (verifiers{store, clock}).Verify(t.Context(), "", nil); !errors.Is(err, errNoVerifier) || results == nil {
		t.Errorf("when the last verifier has expired: %v", err)
	}
}
