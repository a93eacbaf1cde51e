package veraison

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/veraison/veraisontest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var _ attest.Verifier = (*Client)(nil)

func binding() attest.Binding {
	return attest.Binding{Challenge: challenge, Key: agentKey(), Now: now, Skew: skew}
}

// hardwareOf makes the identity of the hardware out of the instance id that a document shows.
func hardwareOf(t *testing.T, r *attest.Result) cosekit.Thumbprint {
	t.Helper()
	document := r.Document
	if inner, ok := document["evidence"].(map[string]any); ok {
		document = inner
	}
	for _, name := range []string{"psa-instance-id", "cca-platform-instance-id"} {
		if text, ok := document[name].(string); ok {
			id, err := hex.DecodeString(text)
			if err != nil || len(id) != 33 {
				t.Fatalf("%s %q, %v", name, text, err)
			}
			return sha256.Sum256(append([]byte(name), id...))
		}
	}
	t.Fatalf("no instance id in %v", document)
	return cosekit.Thumbprint{}
}

func TestAppraise(t *testing.T) {
	v := start(t, nil)
	for i, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			e := sample(t, i, faults{})
			r, err := v.router.Appraise(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Affirmed(); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(r.Claims.Nonce, challenge) || !bytes.Equal(r.Evidence.Payload, e.Payload) || len(r.Raw) == 0 {
				t.Errorf("claims %+v", r.Claims)
			}
			if !r.Claims.IssuedAt.IsZero() {
				t.Errorf("issued at %s: the evidence has no time, the result has", r.Claims.IssuedAt)
			}
			if !attest.IsResult(r.Format) || r.AttestationKey != hardwareOf(t, r) || !strings.Contains(r.Verifier, "Veraison Project") {
				t.Errorf("format %q, attestation key %s, verifier %q", r.Format, r.AttestationKey, r.Verifier)
			}
			whole, ok := r.Document["ear"].(map[string]any)
			if kind.name == "bundle" {
				inner := r.Document["evidence"].(map[string]any)
				if whole, ok = inner["ear"].(map[string]any); inner["psa-instance-id"] == nil {
					t.Errorf("inner document %v", inner)
				}
				if err := attest.Bind(r, binding()); err != nil {
					t.Error(err)
				}
			}
			if !ok || whole["submods"] == nil {
				t.Errorf("document %v", r.Document)
			}
			// Without a cnf no key is enrolled.
			if err := attest.Bind(r, binding()); kind.name != "bundle" && !errors.Is(err, attest.ErrKeyNotCarried) {
				t.Errorf("bound: %v", err)
			}
		})
	}
	v.client.Close()
	if v.Sessions() != 0 {
		t.Errorf("%d sessions are left", v.Sessions())
	}
}

// TestFoundWanting: evidence that is not good is a result that says why.
func TestFoundWanting(t *testing.T) {
	v := start(t, nil)
	for _, test := range []struct {
		name   string
		faults faults
		want   attest.Status
		reason string
		claims bool
	}{
		{"wrong signer", faults{key: "stranger"}, attest.Contraindicated, "verification error", false},
		{"other device", faults{instance: "nobody"}, attest.Contraindicated, "no trust anchor for evidence", false},
		{"wrong nonce", faults{nonce: bytes.Repeat([]byte{1}, 64)}, attest.Contraindicated, "bad evidence: freshness", false},
		{"other firmware", faults{firmware: "malware"}, attest.Warning, "something was loaded that is not recognized", true},
		{"debugged root of trust", faults{lifecycle: 0x5000}, attest.Contraindicated, "this instance is not trustworthy", false},
		{"decommissioned", faults{lifecycle: 0x6000}, attest.Contraindicated, "this instance is not trustworthy", false},
	} {
		for i, kind := range kinds {
			t.Run(test.name+"/"+kind.name, func(t *testing.T) {
				r, err := v.router.Appraise(t.Context(), sample(t, i, test.faults))
				if kind.name == "bundle" && test.faults.nonce != nil {
					if !errors.Is(err, attest.ErrNonce) {
						t.Fatalf("not bound to its claims: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if r.Status != test.want || r.Affirmed() == nil || !strings.Contains(r.Reason(), test.reason) {
					t.Errorf("%s: %s", r.Status, r.Reason())
				}
				if (r.Claims != nil) != test.claims || (r.Document != nil) != test.claims {
					t.Errorf("claims %+v", r.Claims)
				}
				if err := attest.Bind(r, binding()); err == nil && r.Affirmed() == nil {
					t.Error("believed")
				}
			})
		}
	}
}

// TestFaults crosses what a verifier can do wrong with every kind of evidence: nothing is
// trusted, the reason has a name, and no goroutine stays behind.
func TestFaults(t *testing.T) {
	stalled := make(chan struct{})
	defer close(stalled)
	const evidenceStep = "POST /challenge-response/v1/session"
	for _, test := range []struct {
		name      string
		behaviour veraisontest.Behaviour
		want      error
		fault     Fault
	}{
		{"service behind it down", veraisontest.Behaviour{Down: true}, ErrDown, FaultDown},
		{"hangs up", veraisontest.Behaviour{HangUp: true}, ErrDown, FaultDown},
		{"hangs up on evidence", veraisontest.Behaviour{HangUp: true, At: evidenceStep}, ErrDown, FaultDown},
		{"stalled", veraisontest.Behaviour{Gate: stalled}, ErrDown, FaultDown},
		{"stalled on evidence", veraisontest.Behaviour{Gate: stalled, At: evidenceStep}, ErrDown, FaultDown},
		{"502", veraisontest.Behaviour{Status: 502}, ErrDown, FaultDown},
		{"503", veraisontest.Behaviour{Status: 503}, ErrDown, FaultDown},
		{"504 on evidence", veraisontest.Behaviour{Status: 504, At: evidenceStep}, ErrDown, FaultDown},
		{"429, ask tomorrow", veraisontest.Behaviour{Status: 429, RetryAfter: "86400"}, ErrDown, FaultDown},
		{"500 on evidence", veraisontest.Behaviour{Status: 500, At: evidenceStep}, ErrDown, FaultDown},
		{"400", veraisontest.Behaviour{Status: 400}, ErrAnswer, FaultAnswer},
		{"404 on evidence", veraisontest.Behaviour{Status: 404, At: evidenceStep}, ErrAnswer, FaultAnswer},
		{"406", veraisontest.Behaviour{Status: 406}, ErrAnswer, FaultAnswer},
		{"415", veraisontest.Behaviour{Status: 415, At: evidenceStep}, attest.ErrFormat, FaultEvidence},
		{"200 for a new session", veraisontest.Behaviour{Oversize: 10}, ErrAnswer, FaultAnswer},
		{"HTML", veraisontest.Behaviour{HTML: true}, ErrAnswer, FaultAnswer},
		{"HTML for evidence", veraisontest.Behaviour{HTML: true, At: evidenceStep}, ErrAnswer, FaultAnswer},
		{"redirects", veraisontest.Behaviour{Redirect: "/elsewhere"}, ErrAnswer, FaultAnswer},
		{"redirects evidence", veraisontest.Behaviour{Redirect: "http://attacker.example/", At: evidenceStep}, ErrAnswer, FaultAnswer},
		{"session elsewhere", veraisontest.Behaviour{Location: "http://attacker.example/session/1"}, ErrAnswer, FaultAnswer},
		{"session elsewhere, by host", veraisontest.Behaviour{Location: "//attacker.example/session/1"}, ErrAnswer, FaultAnswer},
		{"session of no scheme", veraisontest.Behaviour{Location: "file:///etc/passwd"}, ErrAnswer, FaultAnswer},
		{"truncated", veraisontest.Behaviour{Truncated: true}, ErrDown, FaultDown},
		{"truncated for evidence", veraisontest.Behaviour{Truncated: true, At: evidenceStep}, ErrDown, FaultDown},
		{"oversize", veraisontest.Behaviour{Oversize: 1 << 20, At: evidenceStep}, ErrAnswer, FaultAnswer},
		{"oversize result", veraisontest.Behaviour{Oversize: ear.MaxSize + 1, At: evidenceStep}, ErrAnswer, FaultAnswer},
		{"not an EAR", veraisontest.Behaviour{Oversize: 100, At: evidenceStep}, ErrAnswer, FaultAnswer},
		{"no result", veraisontest.Behaviour{NoResult: true}, ErrAnswer, FaultAnswer},
		{"wrong key", veraisontest.Behaviour{WrongKey: true}, ear.ErrSignature, FaultAnswer},
		{"wrong nonce", veraisontest.Behaviour{WrongNonce: true}, attest.ErrNonce, FaultAnswer},
		{"alg none", veraisontest.Behaviour{AlgNone: true}, ErrAnswer, FaultAnswer},
		{"HMAC with its public key", veraisontest.Behaviour{HMAC: true}, ErrAnswer, FaultAnswer},
		{"from tomorrow", veraisontest.Behaviour{Stale: true}, attest.ErrNotYetValid, FaultAnswer},
		{"lying in every vector, with another key", veraisontest.Behaviour{Trusting: true, WrongKey: true}, ear.ErrSignature, FaultAnswer},
	} {
		for i, kind := range kinds {
			t.Run(test.name+"/"+kind.name, func(t *testing.T) {
				v := start(t, func(c *Config) {
					if test.behaviour.Gate != nil {
						c.Timeout = 20 * time.Millisecond
					}
				})
				v.Do(test.behaviour)
				r, err := v.router.Appraise(t.Context(), sample(t, i, faults{}))
				if !errors.Is(err, test.want) || r != nil {
					t.Fatalf("got %+v, %v, want %v", r, err, test.want)
				}
				if test.behaviour.HTML && test.behaviour.At != "" && !strings.Contains(err.Error(), "text/html") {
					t.Errorf("the error does not tell what came: %v", err)
				}
				if text := err.Error(); strings.Contains(text, "nonce=") || strings.Contains(text, "eyJ") {
					t.Errorf("the error tells too much: %s", text)
				}
				v.Do(veraisontest.Behaviour{})
				v.client.Close()
				last := v.events[slices.IndexFunc(v.events, func(e Event) bool { return e.Kind == Appraisal })]
				if last.Fault != test.fault {
					t.Errorf("told as %q, want %q", last.Fault, test.fault)
				}
				checkNothingRuns(t)
			})
		}
	}
}

// checkNothingRuns looks for goroutines of the client.
func checkNothingRuns(t *testing.T) {
	t.Helper()
	for try := 0; ; try++ {
		all := make([]byte, 1<<20)
		all = all[:runtime.Stack(all, true)]
		left := slices.DeleteFunc(strings.Split(string(all), "\n\n"), func(stack string) bool {
			return !strings.Contains(stack, "veraison.(*Client)") || strings.Contains(stack, "testing.tRunner")
		})
		if len(left) == 0 {
			return
		}
		if try == 1000 {
			t.Fatalf("still running:\n%s", strings.Join(left, "\n\n"))
		}
		runtime.Gosched()
	}
}

// TestLies: a status over a vector that says otherwise does not count.
func TestLies(t *testing.T) {
	v := start(t, nil)
	v.Do(veraisontest.Behaviour{Affirming: true})
	for i, kind := range kinds {
		r, err := v.router.Appraise(t.Context(), sample(t, i, faults{key: "stranger"}))
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != attest.Contraindicated || r.Claims != nil || r.Affirmed() == nil {
			t.Errorf("%s: %+v", kind.name, r)
		}
	}
}

// TestLater polls for a result that takes its time.
func TestLater(t *testing.T) {
	v := start(t, nil)
	v.Do(veraisontest.Behaviour{Later: 3})
	for i := range kinds {
		r, err := v.router.Appraise(t.Context(), sample(t, i, faults{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Affirmed(); err != nil {
			t.Error(err)
		}
	}
	if len(v.waits) != 3*len(kinds) {
		t.Errorf("waited %v", v.waits)
	}
}

func TestLaterThanAllowed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v := start(t, func(c *Config) {
		c.Wait = func(context.Context, time.Duration) error { cancel(); return ctx.Err() }
	})
	v.Do(veraisontest.Behaviour{Later: 100})
	if _, err := v.router.Appraise(ctx, sample(t, 0, faults{})); !errors.Is(err, ErrDown) || !strings.Contains(err.Error(), "still processing") {
		t.Errorf("%v", err)
	}
}

func TestRetries(t *testing.T) {
	for _, test := range []struct {
		name      string
		behaviour veraisontest.Behaviour
		waits     []time.Duration
		want      error
	}{
		{"once", veraisontest.Behaviour{Status: 503, Times: 1}, []time.Duration{50 * time.Millisecond}, nil},
		{"twice", veraisontest.Behaviour{HangUp: true, Times: 2}, []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, nil},
		{"three times", veraisontest.Behaviour{Status: 502, Times: 3}, []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, ErrDown},
		{"evidence again", veraisontest.Behaviour{Status: 504, Times: 2, At: "/session/"}, []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}, nil},
		{"as long as it asks", veraisontest.Behaviour{Status: 429, RetryAfter: "7", Times: 1}, []time.Duration{7 * time.Second}, nil},
		{"until it asks", veraisontest.Behaviour{Status: 503, RetryAfter: now.Add(9 * time.Second).Format(http.TimeFormat), Times: 1}, []time.Duration{9 * time.Second}, nil},
		{"longer than there is time", veraisontest.Behaviour{Status: 429, RetryAfter: "61", Times: 1}, nil, ErrDown},
		{"500 is no passing fault", veraisontest.Behaviour{Status: 500, Times: 1}, nil, ErrDown},
		{"400 neither", veraisontest.Behaviour{Status: 400, Times: 1}, nil, ErrAnswer},
		{"nor a page", veraisontest.Behaviour{HTML: true, Times: 1}, nil, ErrAnswer},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := start(t, nil)
			v.Do(test.behaviour)
			if _, err := v.router.Appraise(t.Context(), sample(t, 0, faults{})); !errors.Is(err, test.want) {
				t.Errorf("%v", err)
			}
			if !slices.Equal(v.waits, test.waits) {
				t.Errorf("waited %v, want %v", v.waits, test.waits)
			}
		})
	}
}

// TestBreaker leaves a verifier alone that has failed, tries it again, and forgives it.
func TestBreaker(t *testing.T) {
	v := start(t, func(c *Config) { c.Faults, c.Attempts, c.Pause = 3, 1, time.Minute })
	appraise := func() error {
		_, err := v.router.Appraise(t.Context(), sample(t, 0, faults{}))
		return err
	}
	v.Do(veraisontest.Behaviour{Down: true})
	for range 3 {
		if err := appraise(); !errors.Is(err, ErrDown) {
			t.Fatal(err)
		}
	}
	asked := len(v.Requests())
	if err := appraise(); !errors.Is(err, ErrOpen) || !strings.Contains(err.Error(), "1m0s") {
		t.Fatal(err)
	}
	v.advance(time.Minute)
	if err := appraise(); !errors.Is(err, ErrDown) { // the probe
		t.Fatal(err)
	}
	if err := appraise(); !errors.Is(err, ErrOpen) {
		t.Fatal(err)
	}
	if got := len(v.Requests()) - asked; got != 1 {
		t.Errorf("%d requests while it was to be left alone", got)
	}
	v.Do(veraisontest.Behaviour{})
	v.advance(time.Minute)
	for range 2 {
		if err := appraise(); err != nil {
			t.Fatal(err)
		}
	}
	v.client.Close()
	var changes []bool
	for _, e := range v.events {
		if e.Kind == Breaker {
			changes = append(changes, e.Open)
		}
	}
	if !slices.Equal(changes, []bool{true, false}) {
		t.Errorf("breaker told %v", changes)
	}
}

// TestBreakerProbe lets one through at a time.
func TestBreakerProbe(t *testing.T) {
	clock := now
	b := &breaker{faults: 1, pause: time.Minute, clock: func() time.Time { return clock }, changed: func(bool) {}}
	must(t, b.enter())
	b.leave(faulty)
	clock = clock.Add(time.Minute)
	must(t, b.enter())
	if err := b.enter(); !errors.Is(err, ErrOpen) {
		t.Fatal(err)
	}
	b.leave(unclear) // its caller gave up: the next one may try
	must(t, b.enter())
	b.leave(sound)
	must(t, b.enter(), b.enter())
}

// TestOneDeviceCannotCloseTheVerifier: what the evidence may have caused does not count.
func TestOneDeviceCannotCloseTheVerifier(t *testing.T) {
	v := start(t, func(c *Config) { c.Faults = 2 })
	for _, b := range []veraisontest.Behaviour{
		{Status: 500, At: "/session/"}, {Status: 415, At: "/session/"}, {Status: 400, At: "/session/"},
		{NoResult: true}, {Oversize: 1 << 20, At: "/session/"}, {Oversize: 100, At: "/session/"},
	} {
		v.Do(b)
		for range 3 {
			if _, err := v.router.Appraise(t.Context(), sample(t, 0, faults{})); err == nil || errors.Is(err, ErrOpen) {
				t.Fatalf("%+v: %v", b, err)
			}
		}
	}
	v.Do(veraisontest.Behaviour{})
	if _, err := v.router.Appraise(t.Context(), sample(t, 0, faults{})); err != nil {
		t.Error(err)
	}
}

// TestCallersWhoGiveUp say nothing about the verifier.
func TestCallersWhoGiveUp(t *testing.T) {
	giveUp := func() {}
	v := start(t, func(c *Config) {
		c.Faults = 2
		inner := c.HTTP.Transport
		c.HTTP = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			giveUp()
			return inner.RoundTrip(r)
		})}
	})
	for range 5 {
		var ctx context.Context
		ctx, giveUp = context.WithCancel(t.Context())
		if _, err := v.router.Appraise(ctx, sample(t, 0, faults{})); !errors.Is(err, ErrDown) {
			t.Fatal(err)
		}
	}
	giveUp = func() {}
	if _, err := v.router.Appraise(t.Context(), sample(t, 0, faults{})); err != nil {
		t.Error(err)
	}
}

// endless is a body that does not stop until everybody else would have.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 64<<20 {
		return 0, io.EOF
	}
	return len(p), nil
}

func (*endless) Close() error { return nil }

func TestEndlessAnswer(t *testing.T) {
	body := &endless{}
	v := start(t, func(c *Config) {
		c.HTTP = &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: body}, nil
		})}
	})
	if _, err := v.client.Appraise(t.Context(), sample(t, 0, faults{})); !errors.Is(err, ErrAnswer) {
		t.Error(err)
	}
	if body.read > 1<<20 {
		t.Errorf("read %d bytes", body.read)
	}
}

// TestBusy has one appraisal running and one waiting; a third is refused at once.
func TestBusy(t *testing.T) {
	v := start(t, func(c *Config) { c.Concurrency, c.Queue = 1, 1 })
	gate := make(chan struct{})
	v.Do(veraisontest.Behaviour{Gate: gate})
	e := sample(t, 0, faults{})
	done := make(chan error, 2)
	for i := range 2 {
		go func() { _, err := v.router.Appraise(t.Context(), e); done <- err }()
		for len(v.client.queue) != i+1 {
			runtime.Gosched()
		}
	}
	if _, err := v.router.Appraise(t.Context(), e); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "2 run or wait") {
		t.Errorf("a third: %v", err)
	}
	for len(v.client.slots) != 1 {
		runtime.Gosched()
	}
	close(gate)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestTurnNeverComes: who waits does so no longer than an appraisal may take.
func TestTurnNeverComes(t *testing.T) {
	v := start(t, func(c *Config) { c.Concurrency = 1 })
	v.client.slots <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := v.router.Appraise(ctx, sample(t, 0, faults{})); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if len(v.client.queue) != 0 {
		t.Errorf("%d still wait", len(v.client.queue))
	}
	<-v.client.slots
}

// TestDiscovery takes the verifier's own word for its key only if it has the thumbprint.
func TestDiscovery(t *testing.T) {
	var pinned cosekit.Thumbprint
	discovering := func(t *testing.T) *verifier {
		return start(t, func(c *Config) {
			var err error
			pinned, err = c.Keys[0].Thumbprint()
			must(t, err)
			c.Keys, c.KeyThumbprint = nil, pinned
		})
	}
	v := discovering(t)
	for i := range kinds {
		if r, err := v.router.Appraise(t.Context(), sample(t, i, faults{})); err != nil || r.Affirmed() != nil {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	n := 0
	for _, request := range v.Requests() {
		if strings.Contains(request, "well-known") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("asked %d times for its key", n)
	}
	for name, b := range map[string]veraisontest.Behaviour{
		"another key": {WrongKey: true}, "HTML": {HTML: true, At: "well-known"}, "down": {Down: true, At: "well-known"},
		"truncated": {Truncated: true, At: "well-known"}, "oversize": {Oversize: 1 << 20, At: "well-known"}, "redirect": {Redirect: "/x", At: "well-known"},
	} {
		v := discovering(t)
		v.Do(b)
		if r, err := v.router.Appraise(t.Context(), sample(t, 0, faults{})); !errors.Is(err, ErrAnswer) && !errors.Is(err, ErrDown) || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		v.Do(veraisontest.Behaviour{})
		if _, err := v.router.Appraise(t.Context(), sample(t, 0, faults{})); err != nil {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
}

// TestNotSent: what we cannot read or bind is not worth a question.
func TestNotSent(t *testing.T) {
	v := start(t, nil)
	good := sample(t, 0, faults{})
	for name, e := range map[string]attest.Evidence{
		"truncated":       {Format: good.Format, Payload: good.Payload[:40], Challenge: challenge},
		"empty":           {Format: good.Format, Challenge: challenge},
		"oversize":        {Format: good.Format, Payload: make([]byte, 1<<20), Challenge: challenge},
		"no format":       {Payload: good.Payload, Challenge: challenge},
		"format not read": {Format: "application/vnd.enacttrust.tpm-evidence", Payload: good.Payload, Challenge: challenge},
		"format not sent": {Format: veraisontest.MediaPSA9783, Payload: good.Payload, Challenge: challenge},
		"short challenge": {Format: good.Format, Payload: good.Payload, Challenge: challenge[:7]},
		"long challenge":  {Format: good.Format, Payload: good.Payload, Challenge: make([]byte, 65)},
	} {
		if r, err := v.client.Appraise(t.Context(), e); err == nil || r != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if asked := v.Requests(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
	only := start(t, func(c *Config) { c.MediaTypes = []string{veraisontest.MediaPSA} })
	for i, kind := range kinds[1:3] {
		_, err := only.client.Appraise(t.Context(), sample(t, i+1, faults{}))
		if !errors.Is(err, attest.ErrFormat) || len(only.Requests()) != 0 {
			t.Errorf("%s, for which it is not configured: %v", kind.name, err)
		}
	}
	// Under timestamp freshness there is no challenge, and the evidence has a nonce.
	good.Challenge = nil
	if r, err := v.client.Appraise(t.Context(), good); err != nil || r.Affirmed() != nil {
		t.Errorf("without a challenge: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	key := ear.Key{Public: deviceKeys()["psa"].Public()}
	good := Config{URL: "https://verifier.example/veraison/", Keys: []ear.Key{key}}
	if c, err := New(good); err != nil || c.base.String() != "https://verifier.example/veraison" || c.config.Name != "verifier.example" {
		t.Fatalf("%v", err)
	}
	for _, here := range []string{"http://127.0.0.1:8443", "http://localhost", "http://[::1]:80", "http://127.1.2.3"} {
		local := good
		local.URL = here
		if _, err := New(local); err != nil {
			t.Error(err)
		}
	}
	for name, spoil := range map[string]func(*Config){
		"no URL":          func(c *Config) { c.URL = "" },
		"no TLS":          func(c *Config) { c.URL = "http://verifier.example" },
		"no TLS, by IP":   func(c *Config) { c.URL = "http://192.0.2.1:8443" },
		"like this host":  func(c *Config) { c.URL = "http://127.0.0.1.example" },
		"scheme":          func(c *Config) { c.URL = "ftp://verifier.example" },
		"user":            func(c *Config) { c.URL = "https://user:secret@verifier.example" },
		"query":           func(c *Config) { c.URL += "?x" },
		"no key":          func(c *Config) { c.Keys = nil },
		"key and pin":     func(c *Config) { c.KeyThumbprint[0] = 1 },
		"key of no kind":  func(c *Config) { c.Keys = []ear.Key{{Public: 1}} },
		"media type":      func(c *Config) { c.MediaTypes = []string{"nonsense"} },
		"negative limit":  func(c *Config) { c.Concurrency = -1 },
		"negative time":   func(c *Config) { c.Timeout = -1 },
		"negative number": func(c *Config) { c.Attempts = -1 },
	} {
		c := good
		spoil(&c)
		client, err := New(c)
		if !errors.Is(err, ErrConfig) || client != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: the error tells a secret", name)
		}
	}
}
