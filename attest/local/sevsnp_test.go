package local

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sevtest "github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var challenge64 = bytes.Repeat([]byte{0xc4}, 64)

// cloud is a guest, and a verifier that trusts the maker of its machine.
type cloud struct {
	hardware
	amd   *localtest.Maker
	guest *localtest.SNP
	at    time.Time
	roots []*x509.Certificate
}

func newCloud(t testing.TB, signer evidence.SNPSigner) *cloud {
	t.Helper()
	c := &cloud{amd: localtest.NewMaker("AMD", now), at: now}
	c.guest = localtest.NewSNP(c.amd, signer, "chip")
	c.roots = []*x509.Certificate{c.amd.Root}
	c.say(t, measured(c.guest.Measurement), leastTCB(3))
	return c
}

func measured(value []byte) corim.Reference {
	return corim.Reference{
		Environment: corim.Environment{ClassID: ClassSNPByChip}, Key: "measurement", Digests: digestOf("sha-384", value),
	}
}

// leastTCB wants a boot loader that is not too old.
func leastTCB(least uint64) corim.Reference {
	return corim.Reference{Environment: corim.Environment{ClassID: ClassSNPByChip}, Key: "bootloader", MinSVN: &least}
}

func (c *cloud) verifier() *Verifier {
	return New(c.hardware, Options{Clock: func() time.Time { return c.at }, Vendors: VendorRoots{AMD: c.roots}})
}

func (c *cloud) evidence(t testing.TB) attest.Evidence {
	t.Helper()
	return snpEvidence(t, c.guest.Report(challenge64))
}

func snpEvidence(t testing.TB, e evidence.SNPEvidence) attest.Evidence {
	t.Helper()
	payload, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return attest.Evidence{Format: evidence.MediaSEVSNP, Payload: payload, Challenge: challenge64}
}

func (c *cloud) appraise(t testing.TB, e attest.Evidence) *attest.Result {
	t.Helper()
	r, err := c.verifier().Appraise(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	checkVector(t, r)
	return r
}

// genuineGuest is the vector of a guest whose measurement has a reference value.
var genuineGuest = map[string]int8{
	attest.InstanceIdentity: recognized, attest.Configuration: noConfigClaim, attest.Executables: approvedAtBoot,
	attest.Hardware: genuine, attest.RuntimeOpaque: secretsProtected,
}

func TestSEVSNP(t *testing.T) {
	c := newCloud(t, evidence.VCEK)
	r := c.appraise(t, c.evidence(t))
	wantValues(t, r, genuineGuest)
	if err := r.Affirmed(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(r.Claims.Nonce, challenge64) || r.AttestationKey != sha256.Sum256(c.guest.ChipID) {
		t.Errorf("claims %+v of %s", r.Claims, r.AttestationKey)
	}
	if len(r.Comparisons) != 2 || !r.Comparisons[0].Match || r.Comparisons[0].Measured != hex.EncodeToString(c.guest.Measurement) {
		t.Errorf("comparisons %+v", r.Comparisons)
	}

	// The key changes with the TCB, the chip stays.
	before := r.AttestationKey
	c.guest.Key, c.guest.TCB.Microcode = newKey(t, elliptic.P384()), 200
	c.guest.Certify()
	if r = c.appraise(t, c.evidence(t)); r.Affirmed() != nil || r.AttestationKey != before {
		t.Errorf("after an update of the microcode: %q, %s", r.Reason(), r.AttestationKey)
	}
	// A masked id stays the one that is certified.
	c.guest.Spoil = func(b []byte) { clear(b[0x1a0:0x1e0]) }
	if r = c.appraise(t, c.evidence(t)); r.Affirmed() != nil || r.AttestationKey != before {
		t.Errorf("with a masked chip id: %q, %s", r.Reason(), r.AttestationKey)
	}
}

func TestSEVSNPByProvider(t *testing.T) {
	c := newCloud(t, evidence.VLEK)
	ref, tcb := measured(c.guest.Measurement), leastTCB(3)
	ref.Environment.ClassID, tcb.Environment.ClassID = ClassSNPByProvider, ClassSNPByProvider
	c.say(t, ref, tcb)
	r := c.appraise(t, c.evidence(t))
	wantValues(t, r, genuineGuest)
	if r.AttestationKey != sha256.Sum256(c.guest.ChipID) {
		t.Errorf("hardware %s", r.AttestationKey)
	}
	c.guest.Spoil = func(b []byte) { clear(b[0x1a0:0x1e0]) }
	if r = c.appraise(t, c.evidence(t)); r.Affirmed() != nil || r.AttestationKey != (cosekit.Thumbprint{}) {
		t.Errorf("with a masked chip id: %q, %s", r.Reason(), r.AttestationKey)
	}
}

// TestSEVSNPIntermediate has the host give no more than its own certificate.
func TestSEVSNPIntermediate(t *testing.T) {
	c := newCloud(t, evidence.VCEK)
	delete(c.guest.Table, localtest.GUIDASK)
	delete(c.guest.Table, localtest.GUIDARK)
	if r := c.appraise(t, c.evidence(t)); r.Claims != nil || valueOf(r, attest.InstanceIdentity) != notRecognized {
		t.Errorf("without the intermediate certificate: %+v", r.Vector)
	}
	c.roots = append(c.roots, c.amd.Authority)
	wantValues(t, c.appraise(t, c.evidence(t)), genuineGuest)
}

func TestSEVSNPRefused(t *testing.T) {
	chip := corim.Environment{ClassID: ClassSNPByChip}
	for _, test := range []struct {
		name, reason, element string
		value                 int8
		claims                bool
		spoil                 func(t *testing.T, c *cloud)
	}{
		{"stranger's maker", "neither known nor configured", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) { c.roots = nil }},
		{"root of a namesake", "certificate chain", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) {
			c.roots = []*x509.Certificate{localtest.NewMaker("AMD", now).Root}
		}},
		{"no certificate", "no certificate of the VCEK", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) { c.guest.Table = nil }},
		{"certificate expired", "expired", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) { c.at = now.Add(2 * time.Hour) }},
		{"certificate not yet valid", "not yet valid", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) { c.at = now.Add(-2 * time.Hour) }},
		{"certificate is none", "certificate 0", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) {
			c.guest.Table[localtest.GUIDVCEK] = []byte{0x30, 0}
		}},
		{"wrong signer", "signature of the report", attest.InstanceIdentity, notGenuine, false, func(t *testing.T, c *cloud) { c.guest.Key = newKey(t, elliptic.P384()) }},
		{"VLEK named a VCEK", "of another kind of key", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, c *cloud) {
			c.guest.Signer = evidence.VLEK
			c.guest.Certify()
			c.guest.Table[localtest.GUIDVCEK] = c.guest.Table[localtest.GUIDVLEK]
			c.guest.Signer = evidence.VCEK
		}},
		{"certificate of another chip", "another chip", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, c *cloud) {
			c.guest.ChipID = bytes.Repeat([]byte{7}, 64)
		}},
		{"certificate of another TCB", "of the TCB", attest.InstanceIdentity, notGenuine, false, func(_ *testing.T, c *cloud) { c.guest.TCB.SNP-- }},
		{"certificate without TCB", "no extension 1.3.6.1.4.1.3704.1.3", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) {
			c.guest.Certify(func(x *x509.Certificate) { x.ExtraExtensions = nil })
		}},
		{"TCB is no integer", "from 0 to 255", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) {
			c.guest.Certify(func(x *x509.Certificate) {
				for i, ext := range x.ExtraExtensions {
					if ext.Id.Equal(oidSNPTEE) {
						x.ExtraExtensions[i] = pkix.Extension{Id: ext.Id, Value: []byte{2, 2, 1, 0}}
					}
				}
			})
		}},
		{"chip id of another size", "chip id of 65 bytes", attest.InstanceIdentity, notRecognized, false, func(_ *testing.T, c *cloud) {
			c.guest.ChipID = bytes.Repeat([]byte{7}, 65)
			c.guest.Certify()
			c.guest.ChipID = c.guest.ChipID[:64]
		}},
		{"key on P-256", "P-384", attest.InstanceIdentity, notRecognized, false, func(t *testing.T, c *cloud) {
			c.guest.Key = newKey(t, elliptic.P256())
			c.guest.Certify()
		}},
		{"wrong nonce", "nonce is not our challenge", attest.InstanceIdentity, notAcceptable, true, func(_ *testing.T, c *cloud) { c.guest.Spoil = func(b []byte) { b[0x50] ^= 1 } }},
		{"nonce of 32 bytes and zeros", "nonce is not our challenge", attest.InstanceIdentity, notAcceptable, true, func(_ *testing.T, c *cloud) { c.guest.Spoil = func(b []byte) { clear(b[0x70:0x90]) } }},
		{"no nonce", "nonce is not our challenge", attest.InstanceIdentity, notAcceptable, true, func(_ *testing.T, c *cloud) { c.guest.Spoil = func(b []byte) { clear(b[0x50:0x90]) } }},
		{"made by the host", "not asked for by the guest", attest.InstanceIdentity, notAcceptable, true, func(_ *testing.T, c *cloud) {
			c.guest.Spoil = func(b []byte) { copy(b[0x30:], []byte{0xff, 0xff, 0xff, 0xff}) }
		}},
		{"debugging on", "lets the host debug it", attest.Configuration, contraindicated, true, func(_ *testing.T, c *cloud) { c.guest.Policy |= 1 << 19 }},
		{"migration on", "migration agent", attest.Configuration, unsafeConfig, true, func(_ *testing.T, c *cloud) { c.guest.Policy |= 1 << 18 }},
		{"another measurement", "launch measurement is ", attest.Executables, contraindicated, true, func(_ *testing.T, c *cloud) { c.guest.Measurement = make([]byte, 48) }},
		{"no reference value", "anybody can rent", attest.Executables, unrecognized, true, func(_ *testing.T, c *cloud) { c.base = nil }},
		{"reference value of another chip", "anybody can rent", attest.Executables, unrecognized, true, func(t *testing.T, c *cloud) {
			ref := measured(c.guest.Measurement)
			ref.Environment.Instance = corim.ID{Kind: corim.KindBytes, Value: make([]byte, 32)}
			c.say(t, ref)
		}},
		{"boot loader too old", "SVN of the boot loader is 3, expected 11 or later", attest.Hardware, contraindicated, true, func(t *testing.T, c *cloud) {
			c.say(t, measured(c.guest.Measurement), leastTCB(11), leastTCB(3))
		}},
		{"TCB unknown", "no reference value says whether", attest.Hardware, oldHardware, true, func(t *testing.T, c *cloud) {
			c.say(t, measured(c.guest.Measurement))
		}},
		{"another exact TCB", "reported TCB is", attest.Hardware, contraindicated, true, func(t *testing.T, c *cloud) {
			c.say(t, measured(c.guest.Measurement), corim.Reference{Environment: chip, Key: "tcb", Raw: make([]byte, 8)})
		}},
		{"policy not wanted", "guest policy is 0000030000000000", attest.Configuration, contraindicated, true, func(t *testing.T, c *cloud) {
			c.say(t, measured(c.guest.Measurement), corim.Reference{
				Environment: chip, Key: "policy", Raw: make([]byte, 8), Mask: []byte{0, 0, 1, 0, 0, 0, 0, 0},
			})
		}},
		{"host data not wanted", "host data is ", attest.Configuration, contraindicated, true, func(t *testing.T, c *cloud) {
			c.say(t, measured(c.guest.Measurement), corim.Reference{Environment: chip, Key: "host-data", Raw: bytes.Repeat([]byte{1}, 32)})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t, evidence.VCEK)
			test.spoil(t, c)
			r := c.appraise(t, c.evidence(t))
			if got := valueOf(r, test.element); got != test.value || !strings.Contains(r.Reason(), test.reason) {
				t.Errorf("%s is %d, %q; want %d with %q", test.element, got, r.Reason(), test.value, test.reason)
			}
			if r.Affirmed() == nil || (r.Claims != nil) != test.claims {
				t.Errorf("%s with claims %+v", r.Status, r.Claims)
			}
		})
	}
}

func TestSEVSNPReferences(t *testing.T) {
	c := newCloud(t, evidence.VCEK)
	chip := corim.Environment{ClassID: ClassSNPByChip}
	c.say(t, measured(c.guest.Measurement), leastTCB(3),
		corim.Reference{Environment: chip, Key: "policy", Raw: []byte{9, 9, 0x13, 9, 9, 9, 9, 9}, Mask: []byte{0, 0, 15, 0, 0, 0, 0, 0}},
		corim.Reference{Environment: chip, Key: "tcb", Raw: []byte{3, 1, 0, 0, 0, 0, 8, 115}},
	)
	r := c.appraise(t, c.evidence(t))
	if r.Affirmed() != nil || valueOf(r, attest.Configuration) != approved || len(r.Comparisons) != 4 {
		t.Errorf("%q: %+v, %+v", r.Reason(), r.Vector, r.Comparisons)
	}
}

// moduleFile reads a file that a module ships, which is not copied here.
func moduleFile(t *testing.T, module, name string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Skipf("the go command, which knows where modules are, does not run here: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name))
	if err != nil {
		t.Skipf("the module ships no such file: %v", err)
	}
	return data
}

// TestPublishedSEVSNP appraises a report of a real machine of 2022, with the certificates
// that the library ships.
func TestPublishedSEVSNP(t *testing.T) {
	roots := moduleFile(t, "github.com/google/go-sev-guest", "verify/trust/ask_ark_milan.pem")
	ask, rest := pem.Decode(roots)
	ark, _ := pem.Decode(rest)
	e := snpEvidence(t, evidence.SNPEvidence{
		Report: sevtest.AttestationBytes,
		Certificates: localtest.SNPTable(map[uuid.UUID][]byte{
			localtest.GUIDVCEK: sevtest.VcekBytes, localtest.GUIDASK: ask.Bytes, localtest.GUIDARK: ark.Bytes,
		}),
	})
	read, err := evidence.ParseSNPReport(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	e.Challenge = read.ReportData
	h := hardware{}
	h.say(t, measured(read.Measurement), leastTCB(uint64(read.ReportedTCB.Boot)))
	v := New(h, Options{Clock: func() time.Time { return time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC) }})
	r, err := v.Appraise(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	checkVector(t, r)
	// It was launched for debugging.
	want := maps.Clone(genuineGuest)
	want[attest.Configuration], want[attest.RuntimeOpaque] = contraindicated, contraindicated
	wantValues(t, r, want)
	if r.AttestationKey != sha256.Sum256(read.ChipID) {
		t.Errorf("hardware %s", r.AttestationKey)
	}
	for _, at := range []time.Time{time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} {
		v := New(h, Options{Clock: func() time.Time { return at }})
		if r, err := v.Appraise(context.Background(), e); err != nil || r.Claims != nil || valueOf(r, attest.InstanceIdentity) != notRecognized {
			t.Errorf("at %s: %+v, %v", at, r, err)
		}
	}
}

// TestKnownRoots holds the digests of the roots against the certificates that the
// libraries of Google ship.
func TestKnownRoots(t *testing.T) {
	for _, test := range []struct {
		module, file string
		known        map[string]string
	}{
		{"github.com/google/go-sev-guest", "verify/trust/ask_ark_milan.pem", amdRoots},
		{"github.com/google/go-sev-guest", "verify/trust/ask_ark_genoa_vlek.pem", amdRoots},
		{"github.com/google/go-sev-guest", "verify/trust/ask_ark_turin_vcek.pem", amdRoots},
		{"github.com/google/go-tdx-guest", "verify/trusted_root.pem", intelRoots},
	} {
		rest := moduleFile(t, test.module, test.file)
		found := false
		for block := (*pem.Block)(nil); ; {
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(c.Raw)
			name := test.known[hex.EncodeToString(sum[:])]
			if root := selfSigned(c); root != (name != "") || root && name != c.Subject.CommonName {
				t.Errorf("%s: %q is known as %q", test.file, c.Subject.CommonName, name)
			}
			found = found || name != ""
		}
		if !found {
			t.Errorf("no known root in %s", test.file)
		}
	}
}

func FuzzAppraiseSEVSNP(f *testing.F) {
	c := newCloud(f, evidence.VCEK)
	good := c.evidence(f)
	v := c.verifier()
	f.Add(good.Payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := good
		e.Payload = payload
		r, err := v.Appraise(context.Background(), e)
		if err != nil {
			return
		}
		checkVector(t, r)
		if r.Affirmed() != nil {
			return
		}
		was, _ := evidence.ParseSNPReport(good.Payload)
		is, _ := evidence.ParseSNPReport(payload)
		if !bytes.Equal(was.Signed(), is.Signed()) {
			t.Fatalf("affirmed %x", payload)
		}
	})
}

func BenchmarkSEVSNP(b *testing.B) {
	c := newCloud(b, evidence.VCEK)
	good := c.evidence(b)
	v := c.verifier()
	b.Run("appraisal", func(b *testing.B) {
		for b.Loop() {
			if r, err := v.Appraise(context.Background(), good); err != nil || r.Affirmed() != nil {
				b.Fatal(r, err)
			}
		}
	})
	b.Run("signatures", func(b *testing.B) {
		r, err := evidence.ParseSNPReport(good.Payload)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha512.Sum384(r.Signed())
		for b.Loop() {
			err := errors.Join(c.guest.Certificate.CheckSignatureFrom(c.amd.Authority), c.amd.Authority.CheckSignatureFrom(c.amd.Root))
			if err != nil || !ecdsa.Verify(&c.guest.Key.PublicKey, sum[:], r.R, r.S) {
				b.Fatal(err)
			}
		}
	})
}
