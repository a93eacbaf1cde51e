package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent/wasm/sample"
)

func runHere(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, fault bytes.Buffer
	code = run(t.Context(), args, nil, &out, &fault)
	return code, out.String(), fault.String()
}

func TestDemoDeliversTheFileOfTheUser(t *testing.T) {
	payload := filepath.Join(t.TempDir(), "firmware.bin")
	content := bytes.Repeat([]byte("not compressible in spirit "), 1<<17) // larger than a message may be
	if err := os.WriteFile(payload, content, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, fault := runHere(t, "demo", "--exit", "--devices", "3", "--payload", payload)
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, fault)
	}
	sum := sha256.Sum256(content)
	want := regexp.MustCompile(`(?m)^device-\d +demo/app +1 +confirmed +` + hex.EncodeToString(sum[:]) + `\s*$`)
	if rows := want.FindAllString(out, -1); len(rows) != 3 {
		t.Errorf("%d rows with the digest of the file, want 3:\n%s", len(rows), out)
	}
}

// TestDemoRunsAnApplication: the sound versions run, the broken third does not, and each
// device says so for itself.
func TestDemoRunsAnApplication(t *testing.T) {
	code, out, fault := runHere(t, "demo", "--exit", "--devices", "2")
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, fault)
	}
	at := 0
	for _, want := range []string{
		"output: demo/app: Hello from a Trusted Application, version 1.",
		"output: demo/app: Hello from a Trusted Application, version 2.",
		"self-test: demo/app: version 3, self-test: FAILED",
		"failed: ",
		"has version-3.wasm on device-1 as failed: validate[1].self-test on demo/app failed",
		"still holds version-2.wasm",
		"output: demo/app: Hello from a Trusted Application, version 2.",
		"asked device-1 for evidence: it holds version-2.wasm, confirmed again",
		"signed version-4.wasm (",
		"output: demo/app: Hello from a Trusted Application, version 4.",
		"demo/app   4    confirmed",
		"Devices that hold exactly that, confirmed by their own attestation: 2 of 2",
	} {
		i := strings.Index(out[at:], want)
		if i < 0 {
			t.Fatalf("no %q where it belongs:\n%s", want, out)
		}
		at += i
	}
	if strings.Contains(out, "Application, version 3") {
		t.Errorf("the broken version ran:\n%s", out)
	}
	if n := strings.Count(out, "Hello from a Trusted Application"); n != 8 {
		t.Errorf("%d greetings, want 4 of each device:\n%s", n, out)
	}
}

// TestDemoTamper: one device differs, and is refused, quarantined, repaired and released;
// the diff has the measured digest beside the reference value, and nobody else is affected.
func TestDemoTamper(t *testing.T) {
	firmware := filepath.Join(t.TempDir(), "firmware.bin")
	if err := os.WriteFile(firmware, bytes.Repeat([]byte("firmware "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"application": {"demo", "--tamper", "--exit"},
		"file":        {"demo", "--tamper", "--exit", "--payload", firmware, "--devices", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, fault := runHere(t, args...)
			if code != 0 {
				t.Fatalf("exit %d\n%s%s", code, out, fault)
			}
			at := 0
			for _, want := range []string{
				`imported the reference values of manifest sha-256:[0-9a-f]{64}: tag demo/app/suit/1, 2 values`,
				`tried a policy on the stored attestations: 3 devices, none would be treated otherwise`,
				`put it into force as as-released@1\n +for +device.hw_model_text == "demo device"\n +says .*\n +remedy +demo/app/suit\n`,
				`intruder +changed byte \d+ of demo/app on device-2\n`,
				`device-2 +showed evidence \(application/eat\+cwt, bound to key .*, encrypted to the TAM\): contraindicated, refused\n`,
				`device-2 quarantined by policy as-released@1: it runs what was not released\n`,
				`image-digest of demo/app\n +was +sha-256:\w+\n +is +sha-256:\w+\n +reference +sha-256:\w+ \(demo/app/suit/1@1\)\n`,
				`offered device-2 its remedy, manifest sha-256:\w+, and nothing else\n`,
				`device-1 +showed evidence \(application/eat\+cwt, bound to key .*, encrypted to the TAM\): affirming, accepted by policy as-released@1\n`,
				`device-2 +showed evidence \(application/eat\+cwt, bound to key .*, encrypted to the TAM\): affirming, accepted by policy as-released@1; released from quarantine\n`,
				`device-1 +accepted +5 +0 `, `device-2 +accepted +5 +1 `, `device-3 +accepted +5 +0 `,
				`Devices that hold exactly that, confirmed by their own attestation: 3 of 3`,
			} {
				found := regexp.MustCompile(want).FindStringIndex(out[at:])
				if found == nil {
					t.Fatalf("no %q where it belongs:\n%s", want, out)
				}
				at += found[1]
			}
		})
	}
}

// TestDemoRunsTheModuleOfTheUser: a file that is a WebAssembly module is run, any other
// is not.
func TestDemoRunsTheModuleOfTheUser(t *testing.T) {
	module, err := sample.Application("mine", false) // nobody asks it to test itself
	if err != nil {
		t.Fatal(err)
	}
	payload := filepath.Join(t.TempDir(), "mine.wasm")
	if err := os.WriteFile(payload, module, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, fault := runHere(t, "demo", "--exit", "--devices", "1", "--payload", payload)
	if code != 0 || !strings.Contains(out, "output: demo/app: Hello from a Trusted Application, version mine.") {
		t.Errorf("exit %d\n%s%s", code, out, fault)
	}
}

func TestDemoRefusals(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		code int
		want string
	}{
		"no device":      {[]string{"demo", "--devices", "0"}, 2, "at least 1"},
		"nobody else":    {[]string{"demo", "--tamper", "--devices", "1"}, 2, "at least 2"},
		"no such file":   {[]string{"demo", "--exit", "--payload", "/nowhere/x"}, 1, "/nowhere/x"},
		"empty file":     {[]string{"demo", "--exit", "--payload", empty}, 2, "is empty"},
		"unknown flag":   {[]string{"demo", "--payloads", "x"}, 2, "--help"},
		"unknown word":   {[]string{"dmeo"}, 2, "demo"},
		"unknown check":  {[]string{"config", "chekc"}, 2, "chekc"},
		"unknown config": {[]string{"config", "check", "--config", "/nowhere/x"}, 2, "/nowhere/x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, out, fault := runHere(t, tt.args...)
			if code != tt.code || !strings.Contains(fault, tt.want) {
				t.Errorf("exit %d, want %d; %q, want %q in it\n%s", code, tt.code, fault, tt.want, out)
			}
		})
	}
}

// lineWriter hands over what a program prints, line by line.
type lineWriter struct {
	*io.PipeWriter
	lines chan string
}

func newLineWriter() lineWriter {
	r, w := io.Pipe()
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		var rest []byte
		buffer := make([]byte, 4096)
		for {
			n, err := r.Read(buffer)
			rest = append(rest, buffer[:n]...)
			for i := bytes.IndexByte(rest, '\n'); i >= 0; i = bytes.IndexByte(rest, '\n') {
				lines <- string(rest[:i])
				rest = rest[i+1:]
			}
			if err != nil {
				return
			}
		}
	}()
	return lineWriter{w, lines}
}

// until returns the lines up to the one with the text.
func (w lineWriter) until(t *testing.T, text string) string {
	t.Helper()
	var seen strings.Builder
	for line := range w.lines {
		seen.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return seen.String()
		}
	}
	t.Fatalf("the program ended without %q:\n%s", text, seen.String())
	return ""
}

func TestServeAnswersAndEndsOnInterrupt(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	data := t.TempDir()
	out := newLineWriter()
	code := make(chan int, 1)
	var fault bytes.Buffer
	go func() {
		code <- run(ctx, []string{"serve", "--data", data, "--teep.listen", "127.0.0.1:0", "--api.listen", "127.0.0.1:0", "--metrics.listen", "127.0.0.1:0"},
			[]string{"TAMARACK_LOG_FORMAT=json"}, out, &fault)
		out.Close()
	}()
	said := out.until(t, "ready")
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said, strings.TrimSpace(string(token))) {
		t.Error("the token itself was printed")
	}
	teep := regexp.MustCompile(`http://\S+/tam`).FindString(said)
	client := http.Client{Timeout: time.Minute}
	connect, err := http.NewRequestWithContext(t.Context(), http.MethodPost, teep, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(connect)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK || len(body) == 0 {
		t.Errorf("connect: %s, %d bytes, %v", response.Status, len(body), err)
	}
	monitoring := strings.TrimSuffix(regexp.MustCompile(`http://\S+/metrics`).FindString(said), "/metrics")
	for path, want := range map[string]string{
		"/readyz": "ready\n", "/healthz": "ok\n",
		"/metrics": `tamarack_teep_messages_total{endpoint="/tam",message="connect",outcome="QueryRequest",reason=""} 1`,
	} {
		status, text := fetch(t, &client, monitoring+path)
		if status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d, want %q in %s", path, status, want, text)
		}
	}
	if status, _ := fetch(t, &client, strings.TrimSuffix(teep, "/tam")+"/metrics"); status != http.StatusNotFound {
		t.Errorf("devices get %d for /metrics", status)
	}
	interrupt()
	if got := <-code; got != 0 {
		t.Errorf("exit %d after an interrupt\n%s", got, fault.String())
	}
}

func fetch(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() // only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestDemoServesOnUntilInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := newLineWriter()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"demo", "--devices", "1"}, nil, out, io.Discard)
		out.Close()
	}()
	said := out.until(t, "docs/quickstart.md")
	dir := regexp.MustCompile(`Everything is in (\S+)`).FindStringSubmatch(said)
	if dir == nil {
		t.Fatalf("no directory named:\n%s", said)
	}
	if _, err := os.Stat(dir[1]); err != nil {
		t.Error(err)
	}
	interrupt()
	if got := <-code; got != 0 {
		t.Errorf("exit %d after an interrupt", got)
	}
	if _, err := os.Stat(dir[1]); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir[1], err)
	}
}

func TestDemoInterruptedInTheMiddleFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // what it keeps for a look goes with the test
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := newLineWriter()
	code := make(chan int, 1)
	var fault bytes.Buffer
	go func() {
		code <- run(ctx, []string{"demo", "--devices", "50", "--exit"}, nil, out, &fault)
		out.Close()
	}()
	out.until(t, "device-2")
	interrupt()
	kept := regexp.MustCompile(`kept for a look: (\S+),`).FindStringSubmatch(out.until(t, "kept for a look"))
	if got := <-code; got != 1 || !strings.Contains(fault.String(), "interrupted") {
		t.Errorf("exit %d, %q", got, fault.String())
	}
	if _, err := os.Stat(filepath.Join(kept[1], "tamarack.log")); err != nil {
		t.Error(err)
	}
}

// A TAM that lost its key must not quietly become another one.
func TestServeRefusesLostAndReadableKeys(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(key string) error
		want   string
	}{
		"lost":     {os.Remove, "restore it from a backup"},
		"readable": {func(key string) error { return os.Chmod(key, 0o644) }, "chmod 600"},
		"garbage":  {func(key string) error { return os.WriteFile(key, []byte("x"), 0o600) }, "PKCS#8"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := filepath.Join(t.TempDir(), "keys")
			if _, err := new(server).loadKeys(keys); err != nil {
				t.Fatal(err)
			}
			if _, err := new(server).loadKeys(keys); err != nil {
				t.Fatalf("the same keys again: %v", err)
			}
			if err := tt.damage(filepath.Join(keys, "tam-esp256.pem")); err != nil {
				t.Fatal(err)
			}
			if _, err := new(server).loadKeys(keys); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out := newLineWriter()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"serve", "--data", t.TempDir(), "--teep.listen", "127.0.0.1:0", "--api.listen", "127.0.0.1:0", "--metrics.listen", "127.0.0.1:0"}, nil, out, io.Discard)
		out.Close()
	}()
	said := out.until(t, "ready")
	taken := strings.TrimPrefix(regexp.MustCompile(`http://[\d.:]+`).FindString(said), "http://")
	got, _, fault := runHere(t, "serve", "--data", t.TempDir(), "--teep.listen", taken, "--metrics.listen", "")
	if got != 1 || !strings.Contains(fault, "teep.listen") {
		t.Errorf("exit %d, %q", got, fault)
	}
	interrupt()
	<-code
}
