package attester_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/tamarack-tam/tamarack/agent/attester"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var (
	now       = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	challenge = bytes.Repeat([]byte{0xc4}, 32)
	ueid      = append([]byte{1}, bytes.Repeat([]byte{0xde}, 16)...)
)

// startTPM starts a TPM of software in a folder of its own, and returns its socket.
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
	t.Cleanup(func() {
		swtpm, err := os.FindProcess(pid)
		if err == nil {
			err = swtpm.Kill()
		}
		if err != nil {
			t.Errorf("end swtpm %d: %v", pid, err)
		}
	})
	return socket
}

// extend measures something into a PCR.
func extend(t *testing.T, socket string, pcr int) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	tpm := transport.FromReadWriteCloser(conn)
	defer tpm.Close()
	if err := measure(tpm, pcr); err != nil {
		t.Fatal(err)
	}
}

func measure(tpm transport.TPM, pcr int) error {
	sum := sha256.Sum256([]byte("something else"))
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: sum[:]}}},
	}.Execute(tpm)
	return err
}

// trust is what a TAM knows.
type trust struct {
	store   anchor.Store
	base    *corim.Base
	vendors local.VendorRoots
}

func (k trust) AttestationKey(_ context.Context, key cosekit.Thumbprint) (anchor.Anchor, error) {
	return k.store.Lookup(key, anchor.Attester, now)
}
func (k trust) DeviceCAs(context.Context, anchor.Format) ([]*x509.Certificate, error) {
	return nil, nil
}
func (k trust) References(context.Context) (*corim.Base, error) { return k.base, nil }

// verifier is that of a TAM which trusts what it is told.
func (k trust) verifier() attest.Verifier {
	return evidence.NewRouter(evidence.Route{
		Name: local.Name, Accepts: local.Accepts,
		Verifier: local.New(k, local.Options{Clock: func() time.Time { return now }, Vendors: k.vendors}),
	})
}

func trusting(t *testing.T, key *cosekit.PublicKey, refs ...corim.Reference) trust {
	t.Helper()
	store, err := anchor.NewStore(anchor.Anchor{Key: key, Purposes: []anchor.Purpose{anchor.Attester}, Constraints: anchor.Constraints{Formats: anchor.Formats()}})
	if err != nil {
		t.Fatal(err)
	}
	k := trust{store: store}
	if refs == nil {
		return k
	}
	raw, err := (&corim.Unsigned{ID: "board", Version: 1, References: refs}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	file, err := corim.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	if k.base, err = corim.NewBase([]*corim.File{file}, now); err != nil {
		t.Fatal(err)
	}
	return k
}

func deviceClaims(context.Context) (*attest.Claims, error) {
	return &attest.Claims{
		UEID: ueid, OEMID: cosekit.MustMarshal(32473), HWModel: []byte("board"), HWVersion: "1.0",
		Manifests: []attest.ManifestRef{}, IssuedAt: now,
	}, nil
}

func teepKey(t *testing.T) *cosekit.PublicKey {
	t.Helper()
	s, err := cosekit.GenerateSigner(cosekit.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return s.PublicKey()
}

// appraise makes evidence for a new agent key, and has it appraised and bound.
func appraise(t *testing.T, q attester.Quoter, k trust) (*attest.Result, error) {
	t.Helper()
	key := teepKey(t)
	p, err := attester.Bound(q, deviceClaims).Evidence(t.Context(), challenge, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := k.verifier().Appraise(t.Context(), attest.Evidence{Format: p.Format, Payload: p.Payload, Challenge: challenge})
	if err != nil {
		t.Fatal(err)
	}
	return r, attest.Bind(r, attest.Binding{Challenge: challenge, Key: key, Now: now, MaxAge: time.Hour})
}

func openTPM(t *testing.T, address, dir string) (*attester.TPM, *cosekit.PublicKey) {
	t.Helper()
	tpm, err := attester.OpenTPM(t.Context(), attester.TPMOptions{Address: address, Directory: dir, PCRs: []int{7, 0, 4, 4, 1, 2, 3, 5, 8, 9, 10}})
	if err != nil {
		t.Fatal(err)
	}
	ak, err := tpm.Key()
	if err != nil {
		t.Fatal(err)
	}
	key, err := cosekit.NewPublicKey(ak)
	if err != nil {
		t.Fatal(err)
	}
	return tpm, key
}

// TestTPM has a real TPM, if one of software, quoted: accepted as long as its PCRs are
// those of the reference values, and refused once one of them was extended.
func TestTPM(t *testing.T) {
	socket, dir := startTPM(t), t.TempDir()
	tpm, key := openTPM(t, socket, dir)
	r, err := appraise(t, tpm, trusting(t, key))
	if err != nil || r.Affirmed() != nil {
		t.Fatalf("registered key: %v, %s", err, r.Reason())
	}
	if !bytes.Equal(r.Claims.UEID, ueid) || r.AttestationKey != key.Thumbprint() {
		t.Errorf("claims %+v by %s", r.Claims, r.AttestationKey)
	}

	// What it measured becomes its reference values.
	var refs []corim.Reference
	was := map[string]string{}
	for _, c := range r.Comparisons {
		value, err := hex.DecodeString(c.Measured)
		if err != nil {
			t.Fatal(err)
		}
		was[c.Name] = c.Measured
		refs = append(refs, corim.Reference{
			Environment: corim.Environment{ClassID: local.ClassTPM}, Key: strings.TrimPrefix(c.Name, "PCR "),
			Digests: []corim.Digest{{Algorithm: "sha-256", Value: value}},
		})
	}
	if len(refs) != 10 {
		t.Fatalf("comparisons %+v", r.Comparisons)
	}
	known := trusting(t, key, refs...)
	if r, err = appraise(t, tpm, known); err != nil || r.Affirmed() != nil {
		t.Fatalf("with reference values: %v, %s", err, r.Reason())
	}

	extend(t, socket, 4)
	r, err = appraise(t, tpm, known)
	if err != nil {
		t.Errorf("not bound: %v", err)
	}
	if r.Affirmed() == nil || !strings.Contains(r.Reason(), "PCR 4 is ") || !strings.Contains(r.Reason(), "expected "+was["PCR 4"]) {
		t.Errorf("after PCR 4 was extended: %s, %q", r.Status, r.Reason())
	}
	for _, c := range r.Comparisons {
		if changed := c.Name == "PCR 4"; changed == c.Match {
			t.Errorf("comparison %+v", c)
		}
	}

	// The key stays the same, and no other TPM has it.
	again, same := openTPM(t, socket, dir)
	if !same.Equal(key) {
		t.Error("another attestation key after a restart")
	}
	if r, err = appraise(t, again, trusting(t, key)); err != nil || r.Affirmed() != nil {
		t.Errorf("after a restart: %v, %s", err, r.Reason())
	}
	moved, _ := openTPM(t, startTPM(t), dir)
	if _, err := moved.Quote(t.Context(), challenge); err == nil || !strings.Contains(err.Error(), "another TPM") {
		t.Errorf("key in another TPM: %v", err)
	}
}

// meddler stands before a TPM. For as many quotes as it is told, somebody measures something
// into PCR 4 before their values are read.
type meddler struct {
	socket       string
	left, quotes int
	armed        bool
}

// meddle starts a meddler, and stops it with the test.
func meddle(t *testing.T, tpm string) *meddler {
	t.Helper()
	m := &meddler{socket: filepath.Join(filepath.Dir(tpm), "meddler")}
	listener, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.serve(conn, tpm)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return m
}

// serve hands commands to the TPM until the connection ends.
func (m *meddler) serve(conn net.Conn, socket string) {
	up, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	tpm := transport.FromReadWriteCloser(up)
	defer tpm.Close()
	for {
		command := make([]byte, 4096)
		n, err := conn.Read(command)
		if err != nil {
			return
		}
		switch code := tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])); {
		case code == tpm2.TPMCCQuote:
			m.quotes++
			m.armed = m.left > 0
		case code == tpm2.TPMCCPCRRead && m.armed:
			m.armed = false
			m.left--
			if measure(tpm, 4) != nil {
				return
			}
		}
		answer, err := tpm.Send(command[:n])
		if err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// TestChangingPCR quotes again where a PCR was extended behind the quote, and gives up when
// that happens each time.
func TestChangingPCR(t *testing.T) {
	socket := startTPM(t)
	m := meddle(t, socket)
	tpm, key := openTPM(t, m.socket, t.TempDir())
	for _, test := range []struct {
		changes, quotes int
		reason          string
	}{
		{0, 1, ""}, {1, 2, ""}, {2, 3, ""}, {3, 3, "PCRs changed while they were quoted"},
	} {
		m.left, m.quotes = test.changes, 0
		payload, err := tpm.Quote(t.Context(), challenge)
		switch {
		case m.quotes != test.quotes || m.left != 0:
			t.Errorf("%d changes: %d quotes, want %d", test.changes, m.quotes, test.quotes)
		case test.reason != "":
			if payload != nil || err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("%d changes: %x, %v", test.changes, payload, err)
			}
			continue
		case err != nil:
			t.Errorf("%d changes: %v", test.changes, err)
			continue
		}
		// What is quoted last is what is shown.
		r, err := trusting(t, key).verifier().Appraise(t.Context(), attest.Evidence{Format: tpm.Format(), Payload: payload, Challenge: challenge})
		if err != nil || r.Claims == nil || r.Affirmed() != nil {
			t.Errorf("%d changes: %+v, %v", test.changes, r, err)
		}
	}
}

// TestTPMAtOnce quotes for several callers.
func TestTPMAtOnce(t *testing.T) {
	tpm, _ := openTPM(t, startTPM(t), t.TempDir())
	done := make(chan error)
	const callers = 4
	for i := range callers {
		go func() {
			payload, err := tpm.Quote(t.Context(), bytes.Repeat([]byte{byte(i)}, 32))
			if err == nil {
				_, err = evidence.ParseTPMQuote(payload)
			}
			done <- err
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestOtherTPM(t *testing.T) {
	mine, other := startTPM(t), startTPM(t)
	_, key := openTPM(t, mine, t.TempDir())
	stranger, _ := openTPM(t, other, t.TempDir())
	r, err := appraise(t, stranger, trusting(t, key))
	if !errors.Is(err, attest.ErrNotAffirmed) || !strings.Contains(r.Reason(), "not registered") {
		t.Errorf("another TPM: %v, %q", err, r.Reason())
	}
}

func TestOpenTPMRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	half := t.TempDir()
	if err := os.WriteFile(filepath.Join(half, "ak.pub"), []byte{1}, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, reason string
		options      attester.TPMOptions
	}{
		{"no PCRs", "no PCRs", attester.TPMOptions{Address: file, Directory: t.TempDir()}},
		{"PCR 24", "has 0 to 23", attester.TPMOptions{Address: file, Directory: t.TempDir(), PCRs: []int{24}}},
		{"PCR -1", "has 0 to 23", attester.TPMOptions{Address: file, Directory: t.TempDir(), PCRs: []int{-1, 3}}},
		{"no device", "load its driver", attester.TPMOptions{Address: file + "0", Directory: t.TempDir(), PCRs: []int{0}}},
		{"a file", "neither a device nor a socket", attester.TPMOptions{Address: file, Directory: t.TempDir(), PCRs: []int{0}}},
		{"nobody listens", "TPM: ", attester.TPMOptions{Address: "127.0.0.1:1", Directory: t.TempDir(), PCRs: []int{0}}},
		{"half a key", "without its private part", attester.TPMOptions{Address: file, Directory: half, PCRs: []int{0}}},
	} {
		if _, err := attester.OpenTPM(t.Context(), test.options); err == nil || !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%s: %v, want %q", test.name, err, test.reason)
		}
	}
}

// TestBrokenTPM talks to TPMs that answer nonsense.
func TestBrokenTPM(t *testing.T) {
	for reason, answer := range map[string][]byte{
		"answer of the TPM: ":           nil,
		"answer of the TPM: unexpected": {0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0},
		"0 bytes, want 10 to 4096":      {0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"9 bytes, want 10 to 4096":      {0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0},
		"4097 bytes, want 10 to 4096":   {0x80, 1, 0, 0, 0x10, 1, 0, 0, 0, 0},
		"TPM2_CreatePrimary":            {0x80, 1, 0, 0, 0, 10, 0, 0, 1, 1},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write(answer)
				conn.Close()
			}
		}()
		if _, err := attester.OpenTPM(t.Context(), attester.TPMOptions{
			Address: listener.Addr().String(), Directory: t.TempDir(), PCRs: []int{0},
		}); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("answer %x: %v, want %q", answer, err, reason)
		}
		listener.Close()
		<-done
	}
}
