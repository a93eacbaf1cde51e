package broker

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/teep"
)

var now = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)

// scripted is an agent whose answers are given; "-" is none.
type scripted struct {
	answers  []string
	faults   []error
	received []string
	begun    int
}

func (s *scripted) Begin() { s.begun++ }

func (s *scripted) ProcessTeepMessage(_ context.Context, wire []byte) ([]byte, error) {
	i := len(s.received)
	s.received = append(s.received, string(wire))
	var fault error
	if i < len(s.faults) {
		fault = s.faults[i]
	}
	if i >= len(s.answers) || s.answers[i] == "-" {
		return nil, fault
	}
	return []byte(s.answers[i]), fault
}

// answer is what the TAM of a test says to one POST.
type answer struct {
	status int
	kind   string // application/teep+cbor where empty
	header [2]string
	body   string
}

// tam is a server that says its answers one after the other, then 204, and notes
// what it was sent.
type tam struct {
	*httptest.Server
	answers []answer
	got     []string
	faults  []string
}

func newTAM(t *testing.T, answers ...answer) *tam {
	s := &tam{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *tam) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.got = append(s.got, string(body))
	for name, want := range map[string]string{"Accept": teep.MediaType, "Content-Type": teep.MediaType, "Cookie": ""} {
		if got := strings.Join(r.Header.Values(name), "|"); got != want {
			s.faults = append(s.faults, fmt.Sprintf("%s: %q", name, got))
		}
	}
	if r.Method != http.MethodPost || r.URL.Path != "/tam" {
		s.faults = append(s.faults, r.Method+" "+r.URL.Path)
	}
	http.SetCookie(w, &http.Cookie{Name: "session", Value: "x"})
	if len(s.answers) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	if a.kind == "" {
		a.kind = teep.MediaType
	}
	w.Header().Set("Content-Type", a.kind)
	if a.header[0] != "" {
		w.Header().Set(a.header[0], a.header[1])
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// newBroker makes one for the test's TAM, whose waits end at once.
func newBroker(t *testing.T, url string, a Agent, change ...func(*Config)) *Broker {
	t.Helper()
	client, err := NewClient(url, "", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	c := Config{
		TAM: url, Client: client, Agent: a, MaxAnswer: 1000,
		Clock: func() time.Time { return now }, Random: func() float64 { return 0.5 },
		Wait: func(context.Context, time.Duration) error { return nil },
	}
	for _, f := range change {
		f(&c)
	}
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPoll(t *testing.T) {
	s := newTAM(t, answer{status: 200, body: "query"}, answer{status: 200, kind: teep.MediaType + "; v=1", body: "update"})
	a := &scripted{answers: []string{"response", "success"}}
	var steps []agent.Step
	b := newBroker(t, s.URL+"/tam", a, func(c *Config) {
		c.Observe = func(e agent.Event) { steps = append(steps, e.Step) }
		c.Client.Jar, _ = cookiejar.New(nil) // even with one, no cookies go out
	})
	r, err := b.Poll(t.Context())
	if err != nil || r != (Result{Received: 2, Sent: 2}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if want := []string{"", "response", "success"}; !slices.Equal(s.got, want) {
		t.Errorf("the TAM got %q", s.got)
	}
	if want := []string{"query", "update"}; !slices.Equal(a.received, want) {
		t.Errorf("the agent got %q", a.received)
	}
	if a.begun != 1 {
		t.Errorf("the agent was told %d times that a session begins", a.begun)
	}
	if want := []agent.Step{agent.StepConnect, agent.StepEnd}; !slices.Equal(steps, want) {
		t.Errorf("steps %q", steps)
	}
	if s.faults != nil {
		t.Errorf("requests: %q", s.faults)
	}
}

func TestPollEnds(t *testing.T) {
	refused := errors.New("refused")
	tests := []struct {
		name    string
		answers []answer
		agent   scripted
		want    Result
		isDone  error
		status  int
	}{
		{"204 at once", nil, scripted{}, Result{}, nil, 0},
		{"204 with a reason", []answer{{status: 204, header: [2]string{"Tamarack-Reason", "device-pending"}}}, scripted{}, Result{Reason: "device-pending"}, nil, 0},
		{"200 without a body", []answer{{status: 200}}, scripted{}, Result{}, nil, 0},
		{"the agent is done", []answer{{status: 200, body: "m"}}, scripted{answers: []string{"-"}}, Result{Received: 1}, nil, 0},
		{"the agent refuses silently", []answer{{status: 200, body: "m"}}, scripted{answers: []string{"-"}, faults: []error{refused}}, Result{Received: 1}, refused, 0},
		{"the agent refuses with an Error", []answer{{status: 200, body: "m"}}, scripted{answers: []string{"e"}, faults: []error{refused}}, Result{Received: 1, Sent: 1}, refused, 0},
		{"redirect", []answer{{status: 307, header: [2]string{"Location", "http://127.0.0.1/"}}}, scripted{}, Result{}, nil, 307},
		{"not found", []answer{{status: 404}}, scripted{}, Result{}, nil, 404},
		{"busy", []answer{{status: 429, header: [2]string{"Retry-After", "120"}}}, scripted{}, Result{RetryAfter: 2 * time.Minute}, nil, 429},
		{"down until a date", []answer{{status: 503, header: [2]string{"Retry-After", now.Add(time.Hour).Format(http.TimeFormat)}}}, scripted{}, Result{RetryAfter: time.Hour}, nil, 503},
		{"down until long ago", []answer{{status: 503, header: [2]string{"Retry-After", now.Add(-time.Hour).Format(http.TimeFormat)}}}, scripted{}, Result{}, nil, 503},
		{"down for ever", []answer{{status: 503, header: [2]string{"Retry-After", "999999999"}}}, scripted{}, Result{RetryAfter: maxRetryAfter}, nil, 503},
		{"senseless Retry-After", []answer{{status: 503, header: [2]string{"Retry-After", "-5"}}}, scripted{}, Result{}, nil, 503},
		{"web page", []answer{{status: 200, kind: "text/html", body: "<html>"}}, scripted{}, Result{}, ErrAnswer, 0},
		{"too large", []answer{{status: 200, body: strings.Repeat("x", 1001)}}, scripted{}, Result{}, ErrAnswer, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newTAM(t, tt.answers...)
			r, err := newBroker(t, s.URL+"/tam", &tt.agent).Poll(t.Context())
			if r != tt.want {
				t.Errorf("result %+v, want %+v", r, tt.want)
			}
			var status *StatusError
			switch {
			case tt.status != 0 && (!errors.As(err, &status) || status.Code != tt.status):
				t.Errorf("error %v, want status %d", err, tt.status)
			case tt.status == 0 && !errors.Is(err, tt.isDone):
				t.Errorf("error %v, want %v", err, tt.isDone)
			}
			if s.faults != nil {
				t.Errorf("requests: %q", s.faults)
			}
		})
	}
}

// TestEndlessAnswer streams for as long as somebody reads.
func TestEndlessAnswer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", teep.MediaType)
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 100)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	if _, err := newBroker(t, s.URL, &scripted{}).Poll(t.Context()); !errors.Is(err, ErrAnswer) {
		t.Errorf("error %v", err)
	}
}

func TestSessionThatGoesInCircles(t *testing.T) {
	var answers []answer
	var replies []string
	for range 2 * maxMessages {
		answers = append(answers, answer{status: 200, body: "again"})
		replies = append(replies, "yes")
	}
	s := newTAM(t, answers...)
	if r, err := newBroker(t, s.URL+"/tam", &scripted{answers: replies}).Poll(t.Context()); !errors.Is(err, ErrEndless) || r.Received != maxMessages {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestUnreachable(t *testing.T) {
	s := newTAM(t)
	s.Close()
	if _, err := newBroker(t, s.URL+"/tam", &scripted{}).Poll(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v", err)
	}
}

func TestRun(t *testing.T) {
	down := answer{status: 503}
	s := newTAM(t, down, down, down, answer{status: 503, header: [2]string{"Retry-After", "600"}},
		answer{status: 200, body: "m"}, down)
	ctx, cancel := context.WithCancel(t.Context())
	var waits []time.Duration
	b := newBroker(t, s.URL+"/tam", &scripted{faults: []error{errors.New("refused")}}, func(c *Config) {
		c.Wait = func(_ context.Context, d time.Duration) error {
			if waits = append(waits, d); len(waits) == 7 {
				cancel()
			}
			return ctx.Err()
		}
	})
	sessions := 0
	if err := b.Run(ctx, 12*time.Second, 2*time.Second, func(Result, error) { sessions++ }); err != nil {
		t.Fatal(err)
	}
	// Half of the jitter is on each: retries double up to the interval, the TAM's own
	// wish is longer, a refusal by the agent is no reason to hurry.
	want := []time.Duration{6, 11, 13, 601, 13, 6, 13}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(waits, want) || sessions != 7 {
		t.Errorf("%d sessions, waits %v, want %v", sessions, waits, want)
	}
	if err := b.Run(t.Context(), 0, 0, nil); err == nil {
		t.Error("an interval of nothing was accepted")
	}
}

func TestCheckURL(t *testing.T) {
	for _, good := range []string{
		"https://tam.example/tam", "https://192.0.2.1:8443/", "http://localhost:8080/tam", "http://127.0.0.1/", "http://[::1]:80/x",
	} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "tam.example", "http://tam.example/", "http://192.0.2.1/", "http://localhost.example/", "ftp://127.0.0.1/",
		"https://", "https://user:secret@tam.example/", "https://user:secret@tam.example/%zz", "https://tam.example/#x", "http://127.0.0.1.example/", "://",
	} {
		err := CheckURL(bad)
		if !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v", bad, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("password in %q", err)
		}
	}
}

// TestPlainHTTPStaysHere: a name that resolves to another machine does not help.
func TestPlainHTTPStaysHere(t *testing.T) {
	if err := loopbackOnly("tcp", "192.0.2.1:80", nil); !errors.Is(err, ErrURL) {
		t.Errorf("192.0.2.1: %v", err)
	}
	if err := loopbackOnly("tcp", "[::1]:80", nil); err != nil {
		t.Errorf("::1: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer s.Close()
	s.Config.ErrorLog = nil
	if _, err := newBroker(t, s.URL, &scripted{}).Poll(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("unknown CA: %v", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := NewClient(s.URL, ca, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	if _, err := newBroker(t, s.URL, &scripted{}, func(c *Config) { c.Client = client }).Poll(t.Context()); err != nil {
		t.Errorf("CA from a file: %v", err)
	}
	if err := os.WriteFile(ca, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(s.URL, ca, time.Second); err == nil {
		t.Error("a CA file without a certificate was accepted")
	}
}

// TestInterruptedSession ends as such, not as one in which nobody had more to say.
func TestInterruptedSession(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	s := newTAM(t, answer{status: 200, body: "update"})
	var last agent.Event
	b := newBroker(t, s.URL+"/tam", interrupted{interrupt}, func(c *Config) {
		c.Observe = func(e agent.Event) { last = e }
	})
	if _, err := b.Poll(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if want := (agent.Event{Step: agent.StepEnd, Detail: "interrupted"}); last != want {
		t.Errorf("last step %q", last)
	}
}

// interrupted is an agent that is told to stop while it processes a message.
type interrupted struct{ interrupt context.CancelFunc }

func (interrupted) Begin() {}

func (i interrupted) ProcessTeepMessage(ctx context.Context, _ []byte) ([]byte, error) {
	i.interrupt()
	return nil, ctx.Err()
}
