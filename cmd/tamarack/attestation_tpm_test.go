package main

import (
	"crypto/sha256"
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

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/tam"
)

// startTPM starts a TPM of software, and returns its socket.
func startTPM(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Skip("no swtpm here, which is the TPM of this test: apt-get install swtpm")
	}
	dir := must(os.MkdirTemp("", "tpm"))(t) // short, for the path of a socket has 107 bytes
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, pidFile := filepath.Join(dir, "tpm"), filepath.Join(dir, "pid")
	out, err := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket,
		"--flags", "not-need-init,startup-clear", "--pid", "file="+pidFile, "--daemon").CombinedOutput()
	if err != nil {
		t.Fatalf("swtpm: %v: %s", err, out)
	}
	pid := must(strconv.Atoi(strings.TrimSpace(string(must(os.ReadFile(pidFile))(t)))))(t)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGTERM) }) // it may have ended with its last connection
	return socket
}

// extendPCR has the TPM measure something else.
func extendPCR(t *testing.T, socket string, pcr int) {
	t.Helper()
	chip := must(linuxudstpm.Open(socket))(t)
	defer chip.Close()
	sum := sha256.Sum256([]byte("another system"))
	must((tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: sum[:]}}},
	}).Execute(chip))(t)
}

// A quote of a TPM over the TAM's challenge is accepted as long as its PCRs are what they
// were; afterwards it is not, the diff names the PCR, and the device lost nothing.
func TestAttestedTPM(t *testing.T) {
	socket := startTPM(t)
	s := newPlant(t, filepath.Join(t.TempDir(), "tam.db"))
	s.release("app/hello", 1, false)
	m := s.machine("/tam", func(setup *device.Setup) {
		setup.Settings.Attestation = device.Attestation{
			Attester: device.AttesterTPM, TPM: device.TPM{Address: socket, PCRs: []uint32{0, 7, 16}},
		}
	})
	s.register(m.AttestationKey(), "AK", anchor.FormatTPM)
	m.enrol()
	s.refer(s.adopt(s.last(m.id), "board", corim.Environment{ClassID: local.ClassTPM}))
	m.require("app/hello")
	s.now.add(25 * time.Hour)
	m.want("update, after evidence with reference values", "")
	m.want("no PCR speaks of it", tam.ReasonNothingToDo)
	if a := s.last(m.id); !a.Accepted || !strings.Contains(string(a.Comparisons), `"match":true`) || strings.Contains(string(a.Comparisons), `"match":false`) {
		t.Errorf("%t %s", a.Accepted, a.Comparisons)
	}
	extendPCR(t, socket, 16)
	s.now.add(25 * time.Hour)
	m.refused("after PCR 16 was extended", tam.ReasonNotAffirmed)
	diff := must(s.fleet.AttestationDiff(t.Context(), m.id, 0, 0))(t)
	c := comparisonOf(t, diff.Changes, "PCR 16")
	if !c.Wrong || c.Before == c.After || len(c.Expected) != 1 || !strings.HasPrefix(c.Source, "board") {
		t.Errorf("%+v", c)
	}
	for _, other := range diff.Changes {
		if strings.HasPrefix(other.Name, "PCR") && other.Name != c.Name {
			t.Errorf("the diff also names %+v", other)
		}
	}
	if record := m.record(); record.State != "accepted" || record.AttestationKey != m.AttestationKey().Thumbprint() {
		t.Errorf("%+v", record)
	}

	// Another TPM speaks neither for this device nor for a new one.
	other := s.machine("/tam", func(setup *device.Setup) {
		setup.Settings.Attestation = device.Attestation{
			Attester: device.AttesterTPM, TPM: device.TPM{Address: startTPM(t), PCRs: []uint32{0, 7, 16}},
		}
	})
	if got := other.ends(); got != string(tam.ReasonNotAffirmed) {
		t.Errorf("an unregistered TPM: %q", got)
	}
}
