package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/teep"
)

// fakeTAM holds the TAM's end of a session: token first, then a challenge, then the
// Update, checking all that an agent must do right. It serves the payload too.
type fakeTAM struct {
	*httptest.Server
	key, keyEd, publisher cosekit.Signer
	attestation           *cosekit.PublicKey // known after init

	mu       sync.Mutex
	agent    *cosekit.PublicKey
	payload  []byte
	update   *teep.Update
	answered teep.Message
	faults   []error
}

var (
	token     = bytes.Repeat([]byte{1}, 32)
	challenge = bytes.Repeat([]byte{2}, 32)
	updToken  = bytes.Repeat([]byte{3}, 32)
	suites    = []teep.CipherSuite{teep.SuiteESP256, teep.SuiteEd25519}
)

func newFakeTAM(t *testing.T) *fakeTAM {
	t.Helper()
	f := &fakeTAM{key: newKey(t, cosekit.ESP256), keyEd: newKey(t, cosekit.Ed25519), publisher: newKey(t, cosekit.Ed25519)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tam", f.serve)
	mux.HandleFunc("GET /payload", func(w http.ResponseWriter, _ *http.Request) { w.Write(f.payload) })
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func newKey(t *testing.T, alg cosekit.Algorithm) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fakeTAM) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	var answer []byte
	if err == nil {
		answer, err = f.process(body)
	}
	if err != nil {
		f.faults = append(f.faults, err)
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", teep.MediaType)
	w.Write(answer)
}

func (f *fakeTAM) process(body []byte) ([]byte, error) {
	if len(body) == 0 {
		q := &teep.QueryRequest{Token: token, CipherSuites: suites, COSEProfiles: teep.TEEPProfiles, DataItems: teep.ItemTrustedComponents}
		return teep.SealFor(teep.IANA, q, []cosekit.Signer{f.key, f.keyEd})
	}
	envelope, err := teep.Open(teep.IANA, body)
	if err != nil {
		return nil, err
	}
	if envelope.Kind() == teep.KindQueryResponse && f.agent == nil {
		evidence, ok := envelope.UnverifiedEvidence()
		if !ok {
			if !bytes.Equal(envelope.UnverifiedToken(), token) {
				return nil, errors.New("token not echoed")
			}
			q := &teep.QueryRequest{Challenge: challenge, CipherSuites: suites, COSEProfiles: teep.TEEPProfiles,
				DataItems: teep.ItemAttestation | teep.ItemTrustedComponents}
			return teep.Seal(teep.IANA, q, f.key)
		}
		if err := f.appraise(evidence); err != nil {
			return nil, err
		}
	}
	message, err := envelope.Verify(f.agent, false)
	if err != nil {
		return nil, err
	}
	if _, response := message.(*teep.QueryResponse); response {
		if f.update == nil {
			return nil, nil
		}
		return teep.Seal(teep.IANA, f.update, f.key)
	}
	f.answered = message
	return nil, nil
}

// appraise learns the agent's key from evidence under the attestation key.
func (f *fakeTAM) appraise(evidence *teep.AttestationPayload) error {
	eat, err := attest.ParseEAT(evidence.Payload)
	if err != nil {
		return err
	}
	claims, err := eat.Verify(f.attestation, false)
	if err != nil {
		return err
	}
	if err := errors.Join(claims.CheckProfile(true), claims.CheckNonce(challenge)); err != nil {
		return err
	}
	f.agent = claims.Confirmation.Key
	return nil
}

// publish makes the Update of the next session.
func (f *fakeTAM) publish(t *testing.T, sequence uint64, payload []byte, signer cosekit.Signer) {
	t.Helper()
	m, payloads, err := author.CreateFrom(&author.Description{
		Component: suit.ComponentID{[]byte("app"), []byte("hello")}, SequenceNumber: sequence,
		VendorDomain: "example.com", ClassInfo: "lamp", Payload: author.Payload{URI: f.URL + "/payload"},
	}, bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := suit.Sign(m, payloads, signer)
	if err != nil {
		t.Fatal(err)
	}
	data, err := envelope.Encode(false)
	if err != nil {
		t.Fatal(err)
	}
	f.payload = payload
	f.update = &teep.Update{Token: append([]byte{byte(sequence)}, updToken...), Manifests: [][]byte{data}}
}

// initDevice runs teep-agent init for the TAM.
func (f *fakeTAM) initDevice(t *testing.T) (dir string) {
	t.Helper()
	keys := t.TempDir()
	file := func(name string, key cosekit.Signer) string {
		path := filepath.Join(keys, name)
		if err := os.WriteFile(path, key.PublicKey().PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir = filepath.Join(t.TempDir(), "lamp")
	out, code := execute(t, "init", "--dir", dir, "--tam", f.URL+"/tam", "--tam-key", file("tam.pem", f.key),
		"--publisher-key", file("publisher.pem", f.publisher)+"=app", "--vendor", "example.com", "--class", "lamp")
	if code != exitOK {
		t.Fatalf("init: %d\n%s", code, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "attestation.pub.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if f.attestation, err = cosekit.ReadPublicKey(data); err != nil {
		t.Fatal(err)
	}
	return dir
}

// execute runs the program and returns all that it printed.
func execute(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), args, nil, &out, &out)
	return out.String(), code
}

func TestSession(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	payload := bytes.Repeat([]byte("hello, device "), 10000)
	f.publish(t, 1, payload, f.publisher)

	out, code := execute(t, "poll", "--dir", dir)
	if code != exitOK || f.faults != nil {
		t.Fatalf("exit %d, TAM found %v\n%s", code, f.faults, out)
	}
	s, ok := f.answered.(*teep.Success)
	if !ok || !bytes.Equal(s.Token, f.update.Token) || len(s.SUITReports) != 1 {
		t.Fatalf("the TAM was told %T %+v", f.answered, f.answered)
	}
	for _, step := range []string{"connect", "query", "evidence", "answer", "update", "installed", "report", "end"} {
		if !strings.Contains(out, "\n"+step+" ") && !strings.HasPrefix(out, step+" ") {
			t.Errorf("no line for step %s:\n%s", step, out)
		}
	}
	sum := sha256.Sum256(payload)
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, hex.EncodeToString(sum[:])) {
		t.Errorf("status without the digest:\n%s", status)
	}

	// The confirming poll brings the same Update again: it is not done twice.
	if out, code := execute(t, "poll", "--dir", dir); code != exitRefused || !strings.Contains(out, "accepted before") {
		t.Errorf("replay: exit %d\n%s", code, out)
	}
	f.update = nil
	if out, code := execute(t, "poll", "--dir", dir); code != exitOK || !strings.Contains(out, "2 entries in tc-list") {
		t.Errorf("nothing to do: exit %d\n%s", code, out)
	}
}

func TestSessionThatFails(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	stranger := newKey(t, cosekit.ESP256)
	tests := []struct {
		name string
		make func()
		code int
		want string
	}{
		{"wrong publisher", func() { f.publish(t, 1, []byte("x"), stranger) }, exitRefused, "--publisher-key"},
		{"payload altered on the way", func() {
			f.publish(t, 2, []byte("good"), f.publisher)
			f.payload = []byte("evil")
		}, exitRefused, "failed"},
		{"the TAM says no", func() {
			f.update = &teep.Update{ErrCode: teep.AttestationRequired, ErrMsg: "unknown attestation key"}
		}, exitRefused, "tamctl attestation-anchor add " + filepath.Join(dir, "attestation.pub.pem")},
		{"another TAM", func() { f.key, f.keyEd = stranger, newKey(t, cosekit.Ed25519) }, exitRefused, "--tam-key"},
		{"no TAM there", func() { f.Close() }, exitUnreachable, "check that the TAM runs"},
	}
	for _, tt := range tests {
		f.faults = nil
		tt.make()
		out, code := execute(t, "poll", "--dir", dir)
		if code != tt.code || !strings.Contains(out, tt.want) || f.faults != nil {
			t.Errorf("%s: exit %d, want %d and %q; TAM found %v\n%s", tt.name, code, tt.code, tt.want, f.faults, out)
		}
	}
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, "components        none") {
		t.Errorf("something was installed:\n%s", status)
	}
}

// TestRunUntilInterrupted ends the run from within its first session.
func TestRunUntilInterrupted(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	f.publish(t, 1, []byte("hello"), f.publisher)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	log := &lineWatch{word: "step=end", found: interrupt}
	if code := run(ctx, []string{"run", "--dir", dir}, nil, io.Discard, log); code != exitOK {
		t.Fatalf("exit %d\n%s", code, log)
	}
	if _, ok := f.answered.(*teep.Success); !ok {
		t.Errorf("the TAM was told %+v\n%s", f.answered, log)
	}
	if !strings.Contains(log.String(), "step=installed") {
		t.Errorf("log:\n%s", log)
	}
}

// lineWatch is a writer that calls found when it sees the word.
type lineWatch struct {
	bytes.Buffer
	word  string
	found func()
}

func (l *lineWatch) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(l.word)) {
		l.found()
	}
	return l.Buffer.Write(p)
}

func TestExitCodes(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	for code, args := range map[int][]string{
		exitOK:      {"status", "--dir", dir},
		exitFailure: {"status", "--dir", dir + "/none"},
		exitUsage:   {"dance"},
	} {
		if out, got := execute(t, args...); got != code {
			t.Errorf("%v: exit %d, want %d\n%s", args, got, code, out)
		}
	}
	for _, args := range [][]string{
		{"poll", "--colour"}, {"poll", "now"}, {"request"}, {"status", "-o", "xml"}, {"init"},
		{"request", "a", "--dir", dir, "--withdraw", "--min-sequence", "1"}, {"request", "a//b", "--dir", dir},
	} {
		if out, got := execute(t, args...); got != exitUsage {
			t.Errorf("%v: exit %d, want %d\n%s", args, got, exitUsage, out)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var inner string
	log := &lineWatch{word: "step=connect", found: func() {
		out, code := execute(t, "poll", "--dir", dir)
		inner = fmt.Sprint(code, out)
		stop()
	}}
	run(ctx, []string{"run", "--dir", dir}, nil, io.Discard, log)
	if !strings.HasPrefix(inner, fmt.Sprint(exitInUse)) || !strings.Contains(inner, "its own directory") {
		t.Errorf("poll while running: %s", inner)
	}
}
