package metrics_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/attest/veraison"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/metrics"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/storetest"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
	"github.com/tamarack-tam/tamarack/teep"
)

var discard = slog.New(slog.DiscardHandler)

func signers(t *testing.T) tam.Signers {
	t.Helper()
	esp256, err := cosekit.GenerateSigner(cosekit.ESP256)
	ed25519, err2 := cosekit.GenerateSigner(cosekit.Ed25519)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return tam.Signers{ESP256: esp256, Ed25519: ed25519}
}

func database(t *testing.T) *store.SQLite {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), store.Memory, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) // a test may have closed it
	return s
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	status, text := get(t, metrics.Handler(m, nil), "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, text)
	}
	return text
}

func expectLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

// verifierOf answers as it is told.
type verifierOf struct {
	result *attest.Result
	err    error
}

func (v verifierOf) Appraise(context.Context, attest.Evidence) (*attest.Result, error) {
	return v.result, v.err
}

// A session shows in every metric, and no secret of it in any.
func TestSessionIsMeasured(t *testing.T) {
	m := metrics.New()
	keys := signers(t)
	machine, err := tam.New(t.Context(), tam.Config{
		Store: m.Store(database(t)), Verifier: m.Verifier(verifierOf{err: errors.New("not here")}), Signers: keys, Observer: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := teephttp.New(machine, []*tam.Endpoint{{Path: "/tam"}}, nil, teephttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := m.Handler("teep", inner)
	post := func(body []byte) []byte {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/tam", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", teep.MediaType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Body.Bytes()
	}
	envelope, err := teep.Open(teep.IANA, post(nil))
	if err != nil {
		t.Fatal(err)
	}
	q, err := envelope.Verify(keys.ESP256.PublicKey(), false)
	if err != nil {
		t.Fatal(err)
	}
	token := q.(*teep.QueryRequest).Token
	device := signers(t).Ed25519
	wire, err := teep.Seal(teep.IANA, &teep.QueryResponse{Token: token}, device)
	if err != nil {
		t.Fatal(err)
	}
	post(wire)
	post([]byte("junk"))
	text := scrape(t, m)
	expectLines(t, text,
		`tamarack_teep_messages_total{endpoint="/tam",message="connect",outcome="QueryRequest",reason=""} 1`,
		`tamarack_teep_messages_total{endpoint="/tam",message="QueryResponse",outcome="QueryRequest",reason="attestation-required"} 1`,
		`tamarack_teep_messages_total{endpoint="/tam",message="unreadable",outcome="none",reason="malformed"} 1`,
		`tamarack_teep_message_seconds_count{message="QueryResponse"} 1`,
		`tamarack_store_transaction_seconds_count{kind="view"} 3`,
		`tamarack_http_answers_total{code="200",listener="teep"} 2`,
		`tamarack_http_answers_total{code="204",listener="teep"} 1`,
		`tamarack_http_in_flight{listener="teep"} 0`,
	)
	kid := device.PublicKey().Thumbprint()
	for name, secret := range map[string][]byte{"token": token, "key": kid[:]} {
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret)} {
			if strings.Contains(text, form) {
				t.Errorf("the %s of a device is in the metrics", name)
			}
		}
	}
}

// Whatever comes in, the number of series is bounded.
func TestLabelsAreBounded(t *testing.T) {
	m := metrics.New()
	for i := range 1000 {
		m.MessageProcessed(tam.Observation{Endpoint: "/tam", Message: "Success", Reason: tam.Reason(fmt.Sprint("reason ", i))})
		v := m.Verifier(verifierOf{result: &attest.Result{Status: attest.Status(i)}})
		if _, err := v.Appraise(t.Context(), attest.Evidence{}); err != nil {
			t.Fatal(err)
		}
		h := m.Handler("teep", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), fmt.Sprint("M", i), fmt.Sprint("/", i), nil))
	}
	for _, reason := range tam.Reasons() {
		m.MessageProcessed(tam.Observation{Endpoint: "/tam", Message: "Error", Reason: reason})
	}
	text := scrape(t, m)
	expectLines(t, text,
		`tamarack_teep_messages_total{endpoint="/tam",message="Success",outcome="none",reason="other"} 1000`,
		`tamarack_http_answers_total{code="404",listener="teep"} 1000`,
	)
	if got, want := strings.Count(text, "\ntamarack_teep_messages_total{"), 1+len(tam.Reasons()); got != want {
		t.Errorf("%d series of messages, want %d", got, want)
	}
	if got := strings.Count(text, "\ntamarack_appraisals_total{"); got > 5 {
		t.Errorf("%d series of appraisals", got)
	}
	expectLines(t, text, fmt.Sprintf(`tamarack_teep_messages_total{endpoint="/tam",message="Error",outcome="none",reason=%q} 1`, tam.ReasonTokenSpent))
}

func TestAppraisals(t *testing.T) {
	m := metrics.New()
	for _, v := range []verifierOf{
		{result: &attest.Result{Status: attest.Affirming}}, {result: &attest.Result{Status: attest.Contraindicated}},
		{err: errors.New("down")}, {},
	} {
		result, err := m.Verifier(v).Appraise(t.Context(), attest.Evidence{})
		if result != v.result || !errors.Is(err, v.err) {
			t.Errorf("the result is another behind the metrics: %v, %v", result, err)
		}
	}
	expectLines(t, scrape(t, m), `tamarack_appraisals_total{status="affirming"} 1`, `tamarack_appraisals_total{status="contraindicated"} 1`,
		`tamarack_appraisals_total{status="fault"} 2`, `tamarack_appraisal_seconds_count 4`)
}

// What runs inside a transaction may fail; only the store's own failures are faults.
func TestStoreFaults(t *testing.T) {
	m := metrics.New()
	inner := database(t)
	s := m.Store(inner)
	refusal := errors.New("no")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		got, want error
	}{
		{s.Update(t.Context(), func(tam.Tx) error { return refusal }), refusal},
		{s.View(t.Context(), func(tam.Reader) error { return tam.ErrNotFound }), tam.ErrNotFound},
		{s.Update(ended, func(tam.Tx) error { return nil }), context.Canceled},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	if err := inner.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), func(tam.Reader) error { return nil }); !errors.Is(err, tam.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
	text := scrape(t, m)
	expectLines(t, text, `tamarack_store_faults_total{fault="cancelled",kind="update"} 1`, `tamarack_store_faults_total{fault="unavailable",kind="view"} 1`,
		`tamarack_store_transaction_seconds_count{kind="update"} 2`)
	if n := strings.Count(text, "\ntamarack_store_faults_total{"); n != 2 {
		t.Errorf("%d kinds of faults, want 2:\n%s", n, text)
	}
}

// brokenSigner cannot sign, or never ends.
type brokenSigner struct {
	cosekit.Signer
	hang <-chan struct{}
}

func (b brokenSigner) Sign(io.Reader, []byte) ([]byte, error) {
	if b.hang != nil {
		<-b.hang
	}
	return nil, errors.New("the token is gone: PIN 1234 was wrong")
}

// counted counts the transactions that write. Without a store, it takes them all.
type counted struct {
	tam.Store
	mu      sync.Mutex
	updates int
}

func (c *counted) Update(ctx context.Context, fn func(tam.Tx) error) error {
	c.mu.Lock()
	c.updates++
	c.mu.Unlock()
	if c.Store == nil {
		return nil
	}
	return c.Store.Update(ctx, fn)
}

func TestReadiness(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := database(t)
	c := &counted{Store: s}
	h := metrics.Handler(metrics.New(), metrics.NewReadiness(c, signers(t), func() time.Time { return now }, discard))
	before := storetest.Dump(t, s)
	for range 10 {
		if status, text := get(t, h, "/readyz"); status != 200 || text != "ready\n" {
			t.Fatalf("%d %s", status, text)
		}
	}
	if c.updates != 1 {
		t.Errorf("%d checks within a second, want 1", c.updates)
	}
	if after := storetest.Dump(t, s); after != before {
		t.Errorf("the check leaves something behind:\n%s", after)
	}
	if err := s.Update(t.Context(), func(tx tam.Tx) error {
		n, err := tx.DeleteExpired(now, 1000)
		if n != 0 {
			t.Errorf("the check leaves %d marks behind", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _ := get(t, h, "/readyz"); status != 200 {
		t.Errorf("status %d within the second", status)
	}
	now = now.Add(time.Second)
	if status, text := get(t, h, "/readyz"); status != 503 || text != "not ready: the store cannot be written\n" {
		t.Errorf("closed: %d %s", status, text)
	}
	if status, text := get(t, h, "/healthz"); status != 200 || text != "ok\n" {
		t.Errorf("healthz: %d %s", status, text)
	}
}

func TestReadinessOfSigners(t *testing.T) {
	keys := signers(t)
	keys.Ed25519 = brokenSigner{Signer: keys.Ed25519}
	h := metrics.Handler(metrics.New(), metrics.NewReadiness(database(t), keys, time.Now, discard))
	if status, text := get(t, h, "/readyz"); status != 503 || text != "not ready: the Ed25519 key does not sign\n" {
		t.Errorf("%d %s", status, text)
	}
}

// A signer that hangs is asked once, however many wait for it, and nobody waits long.
func TestReadinessThatHangs(t *testing.T) {
	keys := signers(t)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		keys.ESP256 = brokenSigner{Signer: keys.ESP256, hang: release}
		c := &counted{}
		r := metrics.NewReadiness(c, keys, time.Now, discard)
		for range 5 {
			if err := r.Check(t.Context()); err == nil || err.Error() != "the check does not end" {
				t.Errorf("while it hangs: %v", err)
			}
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Check(gone); err == nil {
			t.Error("ready for who is gone")
		}
		synctest.Wait()
		if c.updates != 1 {
			t.Errorf("%d checks, want 1", c.updates)
		}
		close(release)
		if err := r.Check(t.Context()); err == nil || err.Error() != "the ESP256 key does not sign" {
			t.Errorf("in the end: %v", err)
		}
	})
}

func TestOnlyGET(t *testing.T) {
	h := metrics.Handler(metrics.New(), nil)
	for path, want := range map[string]int{"/metrics": 405, "/healthz": 405, "/readyz": 405, "/": 404, "/debug/pprof/": 404} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		if w.Code != want {
			t.Errorf("POST %s: %d, want %d", path, w.Code, want)
		}
	}
}

// Attestations are counted by what policy made of them, and verifiers by a few names.
func TestAttestationsAreCounted(t *testing.T) {
	m := metrics.New()
	m.AttestationProcessed(tam.AttestationObservation{Verifier: "v", Outcome: policy.Accept, Accepted: true, Moved: audit.DeviceReleased})
	m.AttestationProcessed(tam.AttestationObservation{Verifier: "v", Outcome: policy.Quarantine, Moved: audit.DeviceQuarantined})
	m.AttestationProcessed(tam.AttestationObservation{Verifier: "v", Reason: tam.ReasonNonce})
	m.AttestationProcessed(tam.AttestationObservation{Reason: tam.ReasonNotAppraised})
	for i := range 40 {
		m.AttestationProcessed(tam.AttestationObservation{Verifier: fmt.Sprint(i), Accepted: true})
	}
	m.RemoteVerifier(veraison.Event{Verifier: "r", Kind: veraison.Appraisal, Fault: veraison.FaultDown, Duration: time.Second})
	m.RemoteVerifier(veraison.Event{Verifier: "r", Kind: veraison.Breaker, Open: true})
	expectLines(t, scrape(t, m),
		`tamarack_attestations_total{outcome="accept",verifier="v"} 1`,
		`tamarack_attestations_total{outcome="quarantine",verifier="v"} 1`,
		`tamarack_attestations_total{outcome="refused",verifier="v"} 1`,
		`tamarack_attestations_total{outcome="fault",verifier=""} 1`,
		`tamarack_attestations_total{outcome="accept",verifier="other"} 25`,
		`tamarack_quarantines_total{change="quarantined"} 1`,
		`tamarack_quarantines_total{change="released"} 1`,
		`tamarack_remote_appraisals_total{fault="down",verifier="r"} 1`,
		`tamarack_remote_breaker_open{verifier="r"} 1`,
	)
}

// The page for operators lists what there is, and nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	m.MessageProcessed(tam.Observation{})
	if err := m.Store(database(t)).View(t.Context(), func(tam.Reader) error { return tam.ErrUnavailable }); err == nil {
		t.Fatal("no fault")
	}
	if _, err := m.Verifier(verifierOf{}).Appraise(t.Context(), attest.Evidence{}); err != nil {
		t.Fatal(err)
	}
	get(t, m.Handler("teep", http.NotFoundHandler()), "/")
	m.AttestationProcessed(tam.AttestationObservation{Moved: audit.DeviceReleased})
	for _, kind := range []veraison.EventKind{veraison.Appraisal, veraison.Request, veraison.Breaker} {
		m.RemoteVerifier(veraison.Event{Kind: kind})
	}
	var there []string
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (tamarack_\w+) `).FindAllStringSubmatch(scrape(t, m), -1) {
		there = append(there, found[1])
	}
	var listed []string
	for _, found := range regexp.MustCompile("(?m)^\\| `(tamarack_\\w+)`").FindAllStringSubmatch(string(page), -1) {
		listed = append(listed, found[1])
	}
	slices.Sort(there)
	slices.Sort(listed)
	if !slices.Equal(there, listed) || len(there) == 0 {
		t.Errorf("docs/operations.md lists %v,\nthere are %v", listed, there)
	}
}
