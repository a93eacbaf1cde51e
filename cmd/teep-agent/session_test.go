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
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/teep"
)

// fakeTAM holds the TAM's end of a session: token first, then a challenge, then the
// Update, checking all that an agent must do right. It serves the payload too.
type fakeTAM struct {
	*httptest.Server
	key, keyEd, publisher cosekit.Signer
	numbering             teep.Numbering
	attestation           *cosekit.PublicKey // known after init

	// plan makes the answer to a QueryResponse; what update holds where it is nil.
	plan func(*teep.QueryResponse) (*teep.Update, error)
	// verifier appraises evidence; where it is nil, that is an EAT by the attestation key.
	verifier attest.Verifier
	// decryption opens evidence that is encrypted; nil: it comes plain.
	decryption cosekit.AgreementKey
	// attests answers a challenge of the device; nil: it sends none.
	attests func(challenge []byte) *teep.AttestationPayload
	// event sees what happens on the network, as it happens.
	event func(name string)

	mu       sync.Mutex
	agent    *cosekit.PublicKey
	payload  []byte
	update   *teep.Update
	response *teep.QueryResponse // the last one
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
	f.plan = func(*teep.QueryResponse) (*teep.Update, error) { return f.update, nil }
	f.event = func(string) {}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tam", f.serve)
	mux.HandleFunc("GET /payload", f.servePayload)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

// servePayload sends small pieces, each on its way before the next.
func (f *fakeTAM) servePayload(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for piece := range slices.Chunk(f.payload, 4096) {
		f.event("piece")
		w.Write(piece)
		http.NewResponseController(w).Flush()
	}
	f.event("payload")
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
	f.event("message")
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
	} else {
		w.Header().Set("Content-Type", teep.MediaType)
		w.Write(answer)
	}
	http.NewResponseController(w).Flush()
	f.event("answer")
}

func (f *fakeTAM) process(body []byte) ([]byte, error) {
	if len(body) == 0 {
		q := &teep.QueryRequest{Token: token, CipherSuites: suites, COSEProfiles: teep.TEEPProfiles, DataItems: teep.ItemTrustedComponents}
		return teep.SealFor(f.numbering, q, []cosekit.Signer{f.key, f.keyEd})
	}
	envelope, err := teep.Open(f.numbering, body)
	if err != nil {
		return nil, err
	}
	if e, ok := envelope.UnverifiedError(); ok && e.Code == teep.AttestationRequired && f.attests != nil {
		q := &teep.QueryRequest{Token: token, CipherSuites: suites, COSEProfiles: teep.TEEPProfiles,
			DataItems: teep.ItemTrustedComponents, Attestation: f.attests(e.Challenge)}
		return teep.Seal(f.numbering, q, f.key)
	}
	if envelope.Kind() == teep.KindQueryResponse && f.agent == nil {
		evidence, ok := envelope.UnverifiedEvidence()
		if !ok {
			if !bytes.Equal(envelope.UnverifiedToken(), token) {
				return nil, errors.New("token not echoed")
			}
			q := &teep.QueryRequest{Challenge: challenge, CipherSuites: suites, COSEProfiles: teep.TEEPProfiles,
				DataItems: teep.ItemAttestation | teep.ItemTrustedComponents}
			return teep.Seal(f.numbering, q, f.key)
		}
		if err := f.appraise(evidence); err != nil {
			return nil, err
		}
	}
	message, err := envelope.Verify(f.agent, false)
	if err != nil {
		return nil, err
	}
	if response, ok := message.(*teep.QueryResponse); ok {
		f.response = response
		update, err := f.plan(response)
		if update == nil || err != nil {
			return nil, err
		}
		return teep.Seal(f.numbering, update, f.key)
	}
	f.answered = message
	return nil, nil
}

// appraise learns the agent's key from evidence under the attestation key.
func (f *fakeTAM) appraise(evidence *teep.AttestationPayload) error {
	if f.decryption != nil {
		message, err := cosekit.ParseEncrypted(evidence.Payload)
		if err != nil {
			return err
		}
		if evidence.Payload, err = message.Open(cosekit.DecryptionKeys{Agreements: []cosekit.AgreementKey{f.decryption}}, cosekit.EATEncryption); err != nil {
			return err
		}
	}
	if f.verifier != nil {
		result, err := f.verifier.Appraise(context.Background(), attest.Evidence{Format: evidence.Format, Payload: evidence.Payload, Challenge: challenge})
		if err == nil {
			err = result.Affirmed()
		}
		if err == nil {
			f.agent = result.Claims.Confirmation.Key
		}
		return err
	}
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

// initDevice runs teep-agent init for the TAM, with more flags.
func (f *fakeTAM) initDevice(t *testing.T, more ...string) (dir string) {
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
	out, code := execute(t, append([]string{"init", "--dir", dir, "--tam", f.URL + "/tam", "--tam-key", file("tam.pem", f.key),
		"--publisher-key", file("publisher.pem", f.publisher) + "=app", "--vendor", "example.com", "--class", "lamp"}, more...)...)
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
	narrow(t, out)
	sum := sha256.Sum256(payload)
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, hex.EncodeToString(sum[:])) {
		t.Errorf("status without the digest:\n%s", status)
	}

	// The confirming poll brings the same Update again: it is not done twice.
	if out, code := execute(t, "poll", "--dir", dir); code != exitRefused || !strings.Contains(flat(out), "accepted before") {
		t.Errorf("replay: exit %d\n%s", code, out)
	}
	f.update = nil
	if out, code := execute(t, "poll", "--dir", dir); code != exitOK || !strings.Contains(out, "2 entries in tc-list") {
		t.Errorf("nothing to do: exit %d\n%s", code, out)
	}
}

// TestInstallUnlinkGone: what a device says it does not need any more is unlinked by
// the TAM, and no byte of it stays.
func TestInstallUnlinkGone(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	payload := []byte("hello, device, for a while")
	f.publish(t, 1, payload, f.publisher)
	poll := func() string {
		t.Helper()
		out, code := execute(t, "poll", "--dir", dir)
		if code != exitOK || f.faults != nil {
			t.Fatalf("exit %d, TAM found %v\n%s", code, f.faults, out)
		}
		return out
	}
	poll()
	if !holds(t, dir, payload) {
		t.Fatal("no file holds the payload that was installed")
	}
	f.update = nil
	if out, code := execute(t, "request", "app/hello", "--withdraw", "--dir", dir); code != exitOK || !strings.Contains(out, "asked to unlink app/hello") {
		t.Fatalf("withdraw: %d %s", code, out)
	}
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, "manifest app/hello/suit") {
		t.Errorf("status does not tell:\n%s", status)
	}
	poll()
	own := suit.ComponentID{[]byte("app"), []byte("hello"), []byte("suit")}
	if u := f.response.UnneededManifests; len(u) != 1 || !u[0].Equal(own) {
		t.Fatalf("unneeded %v", u)
	}
	f.update = &teep.Update{Token: append([]byte{2}, updToken...), UnneededManifests: f.response.UnneededManifests}
	if out := poll(); !strings.Contains(out, "unlinked ") {
		t.Errorf("no line for the unlinking:\n%s", out)
	}
	s, ok := f.answered.(*teep.Success)
	if !ok || !bytes.Equal(s.Token, f.update.Token) || len(s.SUITReports) != 1 {
		t.Fatalf("the TAM was told %T %+v", f.answered, f.answered)
	}
	if holds(t, dir, payload) {
		t.Error("the payload is still there")
	}
	f.update = nil
	poll()
	if f.response.TCList != nil || f.response.UnneededManifests != nil {
		t.Errorf("confirmed as %+v", f.response)
	}
	f.update = &teep.Update{Token: append([]byte{3}, updToken...), UnneededManifests: []suit.ComponentID{own}}
	if out, code := execute(t, "poll", "--dir", dir); code != exitRefused || !strings.Contains(out, "app/hello/suit") {
		t.Errorf("unlinked twice: %d %s", code, out)
	}
}

// holds reports whether a file of the device's store contains the bytes.
func holds(t *testing.T, dir string, content []byte) bool {
	t.Helper()
	found := false
	for _, name := range storeFiles(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, "store", name))
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(data, content)
	}
	return found
}

func storeFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
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
		{"the TAM's policy says no", func() {
			f.update = &teep.Update{ErrCode: teep.AttestationRequired, ErrMsg: "attestation was not accepted: policy-rejected"}
		}, exitRefused, "its operator sees why: tamctl attestation diff " + ueidOf(t, dir)},
		{"another TAM", func() { f.key, f.keyEd = stranger, newKey(t, cosekit.Ed25519) }, exitRefused, "--tam-key"},
		{"no TAM there", func() { f.Close() }, exitUnreachable, "check that the TAM runs"},
	}
	for _, tt := range tests {
		f.faults = nil
		tt.make()
		out, code := execute(t, "poll", "--dir", dir)
		if code != tt.code || !strings.Contains(flat(out), tt.want) || f.faults != nil {
			t.Errorf("%s: exit %d, want %d and %q; TAM found %v\n%s", tt.name, code, tt.code, tt.want, f.faults, out)
		}
		narrow(t, out)
	}
	if status, _ := execute(t, "status", "--dir", dir); !strings.Contains(status, "components        none") {
		t.Errorf("something was installed:\n%s", status)
	}
}

// ueidOf is the identity of a device, as its settings have it.
func ueidOf(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(device.SettingsPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := device.ParseSettings(data)
	if err != nil {
		t.Fatal(err)
	}
	return settings.Identity.UEID.String()
}

// flat is output without its line breaks.
func flat(output string) string { return strings.Join(strings.Fields(output), " ") }

// narrow wants output that fits a terminal, but for commands, which are to be pasted,
// and what cannot be broken.
func narrow(t *testing.T, output string) {
	t.Helper()
	for line := range strings.Lines(output) {
		command := strings.HasPrefix(line, "    tamctl ") || strings.HasPrefix(line, "    teep-agent ")
		if n := len(line) - 1; n > lines.Width && !command && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("line of %d columns: %s", n, line)
		}
	}
}

// TestNothingForThisDevice: a device that has shown evidence and gets nothing tells its
// people whom to ask, as long as it lacks something.
func TestNothingForThisDevice(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	poll := func(name string, want bool) {
		t.Helper()
		f.agent = nil // the TAM asks for evidence
		out, code := execute(t, "poll", "--dir", dir)
		if told := strings.Contains(out, "registered, accepted and required to have something"); code != exitOK || f.faults != nil || told != want {
			t.Errorf("%s: exit %d, told %v, TAM found %v\n%s", name, code, told, f.faults, out)
		}
	}
	poll("nothing is installed", true)
	f.publish(t, 1, []byte("hello"), f.publisher)
	poll("the Update comes", false)
	f.update = nil
	poll("it is confirmed", false)
	if out, code := execute(t, "request", "app/other", "--dir", dir); code != exitOK {
		t.Fatal(out)
	}
	poll("something is asked for", true)
	if out, _ := execute(t, "poll", "--dir", dir); strings.Contains(out, "registered") {
		t.Errorf("without evidence it is told as well:\n%s", out)
	}
}

// TestOtherNumbering: what the fake TAM makes of the answer is not looked at.
func TestOtherNumbering(t *testing.T) {
	f := newFakeTAM(t)
	f.numbering = teep.PreIANA
	dir := f.initDevice(t)
	out, code := execute(t, "poll", "--dir", dir)
	if want := "set tam.numbering in " + filepath.Join(dir, "config.yaml"); code != exitRefused || !strings.Contains(flat(out), want) {
		t.Errorf("exit %d, want %q\n%s", code, want, out)
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
	if !strings.HasPrefix(inner, fmt.Sprint(exitInUse)) || !strings.Contains(flat(inner), "its own directory") {
		t.Errorf("poll while running: %s", inner)
	}
}
