package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/api"
	"github.com/tamarack-tam/tamarack/tam/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tamctl": main})
}

// TestScripts runs the scripts of testdata/script, each against a server of its own
// in this process: the API over SQLite, as tamarack serves it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return startServer(t, env) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"device": addDevice,
			"zeros":  zeros,
			"attest": addAttestation,

			"tomorrow":    tomorrow,
			"thumbprint":  thumbprint,
			"certificate": makeCertificate,
			"fingerprint": fingerprint,

			"application": makeApplication,
			"flip":        flip,
			"endflip":     endFlip,
			"unhex":       unhex,
		},
	})
}

type storeKey struct{}

func startServer(t *testing.T, env *testscript.Env) error {
	dir := t.TempDir()
	db, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "tam.db"), store.Options{})
	if err != nil {
		return err
	}
	env.Defer(func() { db.Close() })
	payloads, err := store.OpenPayloads(filepath.Join(dir, "payloads"))
	if err != nil {
		return err
	}
	tokenFile := filepath.Join(dir, "admin.token")
	token, _, err := api.LoadOrCreateToken(tokenFile)
	if err != nil {
		return err
	}
	key, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		return err
	}
	server := httptest.NewUnstartedServer(nil)
	payloadURL := "http://" + server.Listener.Addr().String() + "/payloads"
	fleet := tam.NewFleet(tam.FleetConfig{Store: db, Payloads: payloads, PayloadURL: payloadURL, MaxPayload: 1 << 20})
	server.Config.Handler = api.New(fleet, api.Options{Token: token, Keys: []*cosekit.PublicKey{key.PublicKey()}})
	server.Start()
	env.Defer(server.Close)

	// Under the race detector a program lingers for a second at its end, unless told so.
	env.Setenv("GORACE", "atexit_sleep_ms=10")
	env.Values[storeKey{}] = db
	env.Setenv("TAMCTL_SERVER", server.URL)
	env.Setenv("TAMCTL_TOKEN_FILE", tokenFile)
	env.Setenv("PAYLOAD_URL", payloadURL)
	env.Setenv("TAM_KEY", key.PublicKey().Thumbprint().String())
	return nil
}

// exits runs a program and wants this exit code: exits 2 tamctl …
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// addDevice registers a device, as its first contact would: device ID UEID
func addDevice(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: device ID UEID")
	}
	now := time.Now()
	d := devices.Device{ID: devices.ID(args[0]), UEID: []byte(args[1]), State: devices.Pending, CreatedAt: now, UpdatedAt: now}
	db := ts.Value(storeKey{}).(*store.SQLite)
	ts.Check(db.Update(context.Background(), func(tx tam.Tx) error { return tx.PutDevice(d) }))
}

// addAttestation adds an attestation of a device that measures an image, of which the
// reference values know the first: attest ID good|bad|forged
func addAttestation(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: attest ID good|bad|forged")
	}
	reference, measured := suit.SumSHA256([]byte("good")).String(), suit.SumSHA256([]byte(args[1])).String()
	executables := attest.Element{Name: attest.Executables, Value: 2, Reason: "every measured value is a reference value"}
	if args[1] != "good" {
		executables.Value, executables.Reason = 96, "image-digest of app/hello is not a reference value"
	}
	vector := []attest.Element{{Name: attest.InstanceIdentity, Value: 2, Reason: "the key is registered"}, executables}
	a := devices.Appraisal{
		Device: devices.ID(args[0]), Agent: cosekit.Thumbprint{1}, At: time.Now(), Accepted: args[1] == "good",
		Status: int8(attest.StatusOf(vector)), Verifier: "local", Format: "application/eat+cwt", Outcome: "accept", Policy: "default",
		Evidence: []byte("the evidence"), Challenge: []byte{0xc0},
	}
	if !a.Accepted {
		a.Outcome, a.Code, a.Reason = "reject", "not-affirmed", executables.Reason
	}
	if args[1] == "forged" {
		vector = []attest.Element{{Name: attest.InstanceIdentity, Value: 97, Reason: "no registered key has signed this"}}
		a.Code, a.Reason, a.Outcome, a.Policy, a.Status = "not-affirmed", "instance-identity: no registered key has signed this", "", "", 96
	} else {
		a.Claims = encoded(ts, map[string]any{"hwversion": "1.0", "iat": time.Now().Unix(), "image": measured})
		a.Comparisons = encoded(ts, []attest.Comparison{{
			Element: attest.Executables, Name: "image-digest of app/hello", Measured: measured,
			Expected: []string{reference}, Source: "app/hello@4", Match: a.Accepted,
		}})
	}
	a.Vector = encoded(ts, vector)
	db := ts.Value(storeKey{}).(*store.SQLite)
	ts.Check(db.Update(context.Background(), func(tx tam.Tx) error { return tx.AddAppraisal(a) }))
}

func encoded(ts *testscript.TestScript, v any) []byte {
	out, err := json.Marshal(v)
	ts.Check(err)
	return out
}

// tomorrow sets a variable to the date: tomorrow VARIABLE
func tomorrow(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly))
}

// thumbprint sets a variable to the first digits that name a key: thumbprint FILE VARIABLE
func thumbprint(ts *testscript.TestScript, neg bool, args []string) {
	key, err := cosekit.ReadPublicKey([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Setenv(args[1], key.Thumbprint().String()[:8])
}

// makeCertificate writes the certificate of a CA: certificate FILE
func makeCertificate(ts *testscript.TestScript, neg bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Factory"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
}

// fingerprint sets a variable to the first digits that name a certificate: fingerprint FILE VARIABLE
func fingerprint(ts *testscript.TestScript, neg bool, args []string) {
	block, _ := pem.Decode([]byte(ts.ReadFile(args[0])))
	ts.Setenv(args[1], fmt.Sprintf("%x", sha256.Sum256(block.Bytes))[:8])
}

// zeros makes a file of so many bytes: zeros FILE SIZE
func zeros(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: zeros FILE SIZE")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), make([]byte, n), 0o644))
}

// makeApplication writes the WebAssembly module of the demo: application FILE VERSION [broken]
func makeApplication(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) == 3 && args[2] != "broken" {
		ts.Fatalf("usage: application FILE VERSION [broken]")
	}
	module, err := sample.Application(args[1], len(args) == 2)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), module, 0o644))
}

// flip changes one bit in the first occurrence of a text in a file: flip FILE TEXT
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE TEXT")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at := bytes.Index(data, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// endFlip changes the last bit of an envelope's authentication wrapper, which is one of
// its last signature: endflip FILE
func endFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: endflip FILE")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	// Tag 107, a map, key 2, and a byte string of two length bytes.
	const head = 7
	if len(data) < head || data[3] != 0x02 || data[4] != 0x59 {
		ts.Fatalf("%s begins otherwise: %x", args[0], data[:min(len(data), head)])
	}
	data[head+int(binary.BigEndian.Uint16(data[5:]))-1] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}

// unhex makes a file of its hexadecimal digits: unhex DIGITS FILE
func unhex(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unhex DIGITS FILE")
	}
	data, err := hex.DecodeString(strings.Join(strings.Fields(ts.ReadFile(args[0])), ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}

func TestEveryCommandHasHelpAndAnExample(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if cmd.Short == "" || cmd.RunE != nil && !cmd.HasSubCommands() && cmd.Example == "" {
			t.Errorf("%s has no help or no example", cmd.CommandPath())
		}
		if !cmd.HasSubCommands() && cmd.Example != "" && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("the example of %s is another command's", cmd.CommandPath())
		}
	}
	visit(rootCommand(&app{}))
}

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := &progress{w: &out, name: "file", total: 200, shown: -1, width: 10}
	for range 4 {
		if n, err := p.Write(make([]byte, 50)); n != 50 || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	p.done()
	if _, err := p.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if !strings.Contains(text, "\rfile [#####.....]  50% of 200 bytes") || !strings.Contains(text, "[##########] 100%") || !strings.HasSuffix(text, "\r\x1b[K") {
		t.Errorf("drawn: %q", text)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if p := newProgress(file, "file", 1); p.w != nil {
		t.Error("a bar is drawn into a file")
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[31mb\u009bc\n"); got != "a?[31mb?c?" {
		t.Errorf("printable: %q", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 5 << 30: "5 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) is %q, want %q", n, got, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"example.com": false, "10.0.0.1": false, "localhost.example.com": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("loopback(%s) is %t", host, got)
		}
	}
}
