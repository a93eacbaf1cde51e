package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// keyFile writes a public key for a flag of init.
func keyFile(t *testing.T, pem []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// evidenceOfTAM is that of a TAM with the key, by an attester.
func evidenceOfTAM(t *testing.T, key, attester cosekit.Signer) func(challenge []byte) *teep.AttestationPayload {
	return func(challenge []byte) *teep.AttestationPayload {
		token, err := attest.SignEAT(&attest.Claims{
			Profile: attest.ProfileEAT, Nonce: challenge, UEID: append([]byte{1}, make([]byte, 16)...), OEMID: cosekit.MustMarshal(32473),
			HWModel: []byte("tamarack"), HWVersion: "1", Manifests: []attest.ManifestRef{},
			Confirmation: attest.Confirmation{Key: key.PublicKey()}, IssuedAt: time.Now(),
		}, attester)
		if err != nil {
			t.Error(err)
		}
		return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}
	}
}

// TestTAMHasToAttestItself: first the TAM, then the device; the next process remembers.
func TestTAMHasToAttestItself(t *testing.T) {
	f, attester := newFakeTAM(t), newKey(t, cosekit.ESP256)
	dir := f.initDevice(t, "--tam-attestation-key", keyFile(t, attester.PublicKey().PEM()))
	f.publish(t, 1, []byte("hello"), f.publisher)
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, "wanted, none yet") {
		t.Errorf("status:\n%s", status)
	}

	// A TAM that does not, or not well, is told nothing.
	stranger := evidenceOfTAM(t, f.key, newKey(t, cosekit.ESP256))
	for _, attests := range []func([]byte) *teep.AttestationPayload{func([]byte) *teep.AttestationPayload { return nil }, stranger} {
		f.attests = attests
		out, code := execute(t, "poll", "--dir", dir)
		if code != exitRefused || !strings.Contains(flat(out), "--tam-attestation-key") || f.response != nil || f.agent != nil {
			t.Fatalf("exit %d, the TAM was told %+v\n%s", code, f.response, out)
		}
		narrow(t, out)
	}

	f.attests = evidenceOfTAM(t, f.key, attester)
	out, code := execute(t, "poll", "--dir", dir)
	if _, ok := f.answered.(*teep.Success); code != exitOK || f.faults != nil || !ok {
		t.Fatalf("exit %d, TAM found %v\n%s", code, f.faults, out)
	}
	demand, attested, evidence := strings.Index(out, "\ndemand "), strings.Index(out, "\nattested "), strings.Index(out, "\nevidence ")
	if demand < 0 || attested < demand || evidence < attested {
		t.Errorf("steps:\n%s", out)
	}
	f.update = nil
	if out, code := execute(t, "poll", "--dir", dir); code != exitOK || strings.Contains(out, "demand ") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, "TAM attestation   key "+f.key.PublicKey().Thumbprint().String()) {
		t.Errorf("status:\n%s", status)
	}
}

// TestPassportIsKept: and presented to a TAM that sends no challenge.
func TestPassportIsKept(t *testing.T) {
	f, verifier := newFakeTAM(t), newKey(t, cosekit.ESP256)
	dir := f.initDevice(t, "--passport", "--verifier-key", keyFile(t, verifier.PublicKey().PEM()))
	var passport *teep.AttestationPayload
	f.plan = func(r *teep.QueryResponse) (*teep.Update, error) {
		if passport != nil {
			return nil, nil
		}
		eat, err := attest.ParseEAT(r.Attestation.Payload)
		if err != nil {
			return nil, err
		}
		claims, err := eat.Verify(f.attestation, false)
		if err != nil {
			return nil, err
		}
		claims.Profile, claims.Expires = attest.ProfileTEEP, claims.IssuedAt.Add(time.Hour)
		token, err := attest.SignEAT(claims, verifier)
		passport = &teep.AttestationPayload{Payload: token}
		return &teep.Update{Token: updToken, Attestation: passport}, err
	}
	if out, code := execute(t, "poll", "--dir", dir); code != exitOK || f.faults != nil || !strings.Contains(out, "\npassport   kept") {
		t.Fatalf("exit %d, TAM found %v\n%s", code, f.faults, out)
	}
	status, _ := execute(t, "status", "--dir", dir)
	if !strings.Contains(status, "passport          of ") || !strings.Contains(status, "by a trusted verifier") {
		t.Errorf("status:\n%s", status)
	}
}

func TestEvidenceIsEncrypted(t *testing.T) {
	f := newFakeTAM(t)
	var err error
	if f.decryption, err = cosekit.GenerateAgreementKey(); err != nil {
		t.Fatal(err)
	}
	dir := f.initDevice(t, "--evidence-key", keyFile(t, f.decryption.PublicKey().PEM()))
	if out, code := execute(t, "poll", "--dir", dir); code != exitOK || f.faults != nil || !strings.Contains(flat(out), "encrypted to the TAM") {
		t.Fatalf("exit %d, TAM found %v\n%s", code, f.faults, out)
	}
}

// trust is what the verifier of a TAM trusts.
type trust struct {
	anchors []anchor.Anchor
	cas     []*x509.Certificate
	base    *corim.Base
}

func (k *trust) AttestationKey(_ context.Context, key cosekit.Thumbprint) (anchor.Anchor, error) {
	for _, a := range k.anchors {
		if a.Thumbprint() == key {
			return a, nil
		}
	}
	return anchor.Anchor{}, anchor.ErrUnknown
}
func (k *trust) DeviceCAs(context.Context, anchor.Format) ([]*x509.Certificate, error) {
	return k.cas, nil
}
func (k *trust) References(context.Context) (*corim.Base, error) { return k.base, nil }

func (k *trust) verifier() attest.Verifier {
	return evidence.NewRouter(evidence.Route{Name: local.Name, Accepts: local.Accepts, Verifier: local.New(k, local.Options{Skew: time.Minute})})
}

func (k *trust) register(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "attestation.pub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := cosekit.ReadPublicKey(data)
	if err != nil {
		t.Fatal(err)
	}
	k.anchors = append(k.anchors, anchor.Anchor{Key: key, Purposes: []anchor.Purpose{anchor.Attester}, Constraints: anchor.Constraints{Formats: anchor.Formats()}})
}

// authority certifies keys, first its own.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	a.certificate = a.certify(t, "maker", key.Public())
	return a
}

func (a *authority) certify(t *testing.T, subject string, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	issuer := a.certificate
	if issuer == nil {
		template.IsCA, template.KeyUsage, issuer = true, x509.KeyUsageCertSign, template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeChain(t *testing.T, file string, chain ...*x509.Certificate) {
	t.Helper()
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCertifiedAttestationKey: the TAM knows the authority and no key of a device; the
// certificate of another key is noticed before it is used.
func TestCertifiedAttestationKey(t *testing.T) {
	for _, attester := range []string{"eat", "tpm"} {
		t.Run(attester, func(t *testing.T) {
			ca := newAuthority(t)
			f, k := newFakeTAM(t), &trust{cas: []*x509.Certificate{ca.certificate}}
			f.verifier = k.verifier()
			file := filepath.Join(t.TempDir(), "chain.pem")
			flags := []string{"--certificates", file, "--attester", attester}
			if attester == "tpm" {
				flags = append(flags, "--tpm", startTPM(t))
			}
			dir := f.initDevice(t, flags...)
			if out, code := execute(t, "poll", "--dir", dir); code != exitFailure || !strings.Contains(flat(out), "attestation.certificates") {
				t.Errorf("without the file: exit %d\n%s", code, out)
			}
			data, err := os.ReadFile(filepath.Join(dir, "attestation.pub.pem"))
			if err != nil {
				t.Fatal(err)
			}
			key, err := ear.ParseKey(data)
			if err != nil {
				t.Fatal(err)
			}
			writeChain(t, file, ca.certify(t, "another", ca.key.Public()))
			if out, code := execute(t, "poll", "--dir", dir); code != exitFailure || !strings.Contains(flat(out), "not of the attestation key") {
				t.Errorf("another key: exit %d\n%s", code, out)
			}
			writeChain(t, file, ca.certify(t, "lamp", key.Public), ca.certificate)
			if out, code := execute(t, "poll", "--dir", dir); code != exitOK || f.faults != nil || f.agent == nil {
				t.Errorf("exit %d, TAM found %v\n%s", code, f.faults, out)
			}
			if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, "CN=lamp") || !strings.Contains(status, "by CN=maker, until ") {
				t.Errorf("status:\n%s", status)
			}
		})
	}
}

// observed appraises with what a TAM trusts, and sees each result.
type observed struct {
	attest.Verifier
	last *attest.Result
}

func (o *observed) Appraise(ctx context.Context, e attest.Evidence) (r *attest.Result, err error) {
	r, err = o.Verifier.Appraise(ctx, e)
	o.last = r
	return r, err
}

// adopt makes reference values of what was measured last.
func (o *observed) adopt(t *testing.T, k *trust, class corim.ID) {
	t.Helper()
	unsigned := corim.Unsigned{ID: "system", Version: 1}
	for _, c := range o.last.Comparisons {
		value, err := hex.DecodeString(strings.Trim(strings.Fields(c.Measured)[0], ","))
		if err != nil {
			continue // a version of firmware
		}
		unsigned.References = append(unsigned.References, corim.Reference{
			Environment: corim.Environment{ClassID: class}, Key: strings.TrimPrefix(c.Name, "PCR "),
			Digests: []corim.Digest{{Algorithm: "sha-256", Value: value}},
		})
	}
	raw, err := unsigned.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file, err := corim.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	if k.base, err = corim.NewBase([]*corim.File{file}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// meet holds a session in which the TAM asks for evidence, and returns why it does not
// take it.
func (f *fakeTAM) meet(t *testing.T, dir string) error {
	t.Helper()
	f.agent, f.faults = nil, nil
	out, code := execute(t, "poll", "--dir", dir)
	if code != exitOK || !strings.Contains(out, evidence.MediaBundle) {
		t.Fatalf("exit %d\n%s", code, out)
	}
	return errors.Join(f.faults...)
}

// TestPSA: software in the shape of a PSA root of trust, whatever the device signs with.
// It measures the agent and the components.
func TestPSA(t *testing.T) {
	f, k := newFakeTAM(t), &trust{}
	o := &observed{Verifier: k.verifier()}
	f.verifier = o
	implementation := bytes.Repeat([]byte{0xab}, 32)
	dir := f.initDevice(t, "--attester", "psa", "--psa-implementation-id", hex.EncodeToString(implementation))
	k.register(t, dir)
	if err := f.meet(t, dir); !errors.Is(err, attest.ErrNotAffirmed) {
		t.Errorf("without reference values: %v", err)
	}
	class := corim.ID{Kind: corim.KindImplID, Value: implementation}
	o.adopt(t, k, class)
	f.publish(t, 1, []byte("hello"), f.publisher)
	if err := f.meet(t, dir); err != nil {
		t.Fatalf("with them: %v", err)
	}
	f.update = nil
	if err := f.meet(t, dir); !errors.Is(err, attest.ErrNotAffirmed) || !strings.Contains(err.Error(), "app/hello") {
		t.Errorf("a component without one: %v", err)
	}
	o.adopt(t, k, class)
	if err := f.meet(t, dir); err != nil {
		t.Errorf("with one: %v", err)
	}
}

// startTPM starts a TPM of software, and returns its socket.
func startTPM(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Skip("no swtpm here, which is the TPM of this test: apt-get install swtpm")
	}
	dir, err := os.MkdirTemp("", "tpm") // short, for the path of a socket has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, pidFile := filepath.Join(dir, "tpm"), filepath.Join(dir, "pid")
	out, err := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket,
		"--flags", "not-need-init,startup-clear", "--pid", "file="+pidFile, "--daemon").CombinedOutput()
	if err != nil {
		t.Fatalf("swtpm: %v: %s", err, out)
	}
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGTERM) }) // it may have ended with its last connection
	return socket
}

// TestTPM: the key that init has the TPM make is the one that signs, also for the next
// process. What the system is held against is what the TPM measured; once something else
// was started, it is refused.
func TestTPM(t *testing.T) {
	socket := startTPM(t)
	f, k := newFakeTAM(t), &trust{}
	o := &observed{Verifier: k.verifier()}
	f.verifier = o
	dir := f.initDevice(t, "--attester", "tpm", "--tpm", socket, "--pcrs", "0,7,16", "--algorithm", "esp256")
	k.register(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "keys", "attestation.pem")); err == nil {
		t.Error("there is an attestation key of software too")
	}
	_ = f.meet(t, dir) // there are no reference values yet
	o.adopt(t, k, local.ClassTPM)
	if err := f.meet(t, dir); err != nil {
		t.Fatalf("as it was: %v", err)
	}
	extend(t, socket, 16)
	if err := f.meet(t, dir); !errors.Is(err, attest.ErrNotAffirmed) || !strings.Contains(err.Error(), "PCR 16") {
		t.Errorf("after PCR 16 was extended: %v", err)
	}
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, "attester          tpm") {
		t.Errorf("status:\n%s", status)
	}
	// Without the TPM there is no evidence, and the TAM is not told what the matter is.
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	f.agent = nil
	if out, code := execute(t, "poll", "--dir", dir); code != exitRefused || !strings.Contains(flat(out), "no TPM") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func extend(t *testing.T, socket string, pcr int) {
	t.Helper()
	tpm, err := linuxudstpm.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Close()
	sum := sha256.Sum256([]byte("another system"))
	if _, err := (tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: sum[:]}}},
	}).Execute(tpm); err != nil {
		t.Fatal(err)
	}
}
