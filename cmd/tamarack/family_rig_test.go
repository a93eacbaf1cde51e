package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/api/client"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
	"github.com/tamarack-tam/tamarack/teep"
)

// The publishers of the field, and what each may sign for.
var fieldPublishers = map[string]struct {
	algorithm cosekit.Algorithm
	prefixes  []string
}{
	"app":     {cosekit.ESP256, []string{"app", "lib/crypto/suit"}}, // the id of a library, not its images
	"lib":     {cosekit.Ed25519, []string{"lib"}},
	"quantum": {cosekit.MLDSA65, []string{"app", "lib"}},
	// It carries manifests of others, and says where and how encrypted their payloads are.
	"mirror": {cosekit.ESP256, []string{"mirror", "app/secret/suit", "app commands=process-dependency parameters=encryption-info,uri"}},
}

// allowed are the constraints of a publisher, by its prefixes and what stands behind them.
func allowed(t *testing.T, prefixes []string) (c anchor.Constraints) {
	t.Helper()
	for _, text := range prefixes {
		s, err := anchor.ParseScope(text)
		if err != nil {
			t.Fatal(err)
		}
		c.Admit(s)
	}
	return c
}

// field is a whole TAM, publishers and operators with their tools, and the line on which
// devices reach it.
type field struct {
	server     *server
	operator   *operator
	line       *line
	rule       suit.SignatureRule // of the TAM
	publishers map[string]cosekit.Signer
	kek        string // file of a secret key that the devices share with publishers
	enrolled   int
	outside    string // URL of a server that is none of the TAM's
}

func newField(t *testing.T, rule suit.SignatureRule) *field {
	t.Helper()
	dir := t.TempDir()
	f := &field{rule: rule, publishers: map[string]cosekit.Signer{}, kek: filepath.Join(dir, "kek")}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Data = filepath.Join(dir, "tam")
	c.TEEP.Listen, c.API.Listen, c.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", ""
	c.TEEP.PublicURL = "http://" + listener.Addr().String()
	c.TEEP.RateLimit = RateConfig{PerAddress: -1, Total: -1}
	c.API.TokenFile = filepath.Join(dir, "admin.token")
	c.Publishers.Signatures = rule.String()
	if f.server, err = newServer(t.Context(), c, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	f.line = newLine(t, listener, f.server.listeners[0].Addr().String())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.server.serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if f.operator, err = newOperator(f.server.apiURL, f.server.tokenFile); err != nil {
		t.Fatal(err)
	}
	if _, err := cosekit.CreateSecretKeyFile(f.kek, cosekit.A128KW); err != nil {
		t.Fatal(err)
	}
	for name, p := range fieldPublishers {
		if f.publishers[name], err = cosekit.GenerateSigner(p.algorithm); err != nil {
			t.Fatal(err)
		}
		publisher := client.NewPublisher{Title: name, PublicKey: string(f.publishers[name].PublicKey().PEM())}
		constraints := allowed(t, p.prefixes)
		for _, prefix := range constraints.Components {
			publisher.Components = append(publisher.Components, prefix.String())
		}
		for _, s := range constraints.Scopes {
			publisher.Scopes = append(publisher.Scopes, client.Scope{Component: s.Prefix.String(), Commands: s.CommandNames(), Parameters: s.ParameterNames()})
		}
		r, err := f.operator.api.AddPublisherWithResponse(t.Context(), publisher)
		if err != nil {
			t.Fatal(err)
		}
		if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// lineBreaks is after how many bytes of a payload the line breaks, each time.
const lineBreaks = 64 << 10

// line is the network between devices and a TAM. It breaks in the middle of payloads.
type line struct {
	mu       sync.Mutex
	messages [][]byte             // of the devices
	answers  map[string][]portion // to requests for payloads, by path
	down     bool                 // since the first break, for payloads
}

// portion is how a request for a payload was answered.
type portion struct {
	asked, condition string // Range and If-Range
	status           int
	sent             int
}

func newLine(t *testing.T, listener net.Listener, server string) *line {
	l := &line{answers: map[string][]portion{}}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, teephttp.PayloadPath) {
			if l.isDown(r.URL.Path) {
				panic(http.ErrAbortHandler)
			}
			out := &breaking{ResponseWriter: w, portion: portion{asked: r.Header.Get("Range"), condition: r.Header.Get("If-Range")}}
			defer func() { l.note(r.URL.Path, out.portion) }()
			proxy.ServeHTTP(out, r)
			return
		}
		message, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(message))
		l.mu.Lock()
		l.messages = append(l.messages, message)
		l.mu.Unlock()
		proxy.ServeHTTP(w, r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Close() // the devices are done
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l
}

func (l *line) note(path string, p portion) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[path] = append(l.answers[path], p)
}

// isDown reports whether the line is down, and has carried some of the payload before.
func (l *line) isDown(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down && len(l.answers[path]) > 0
}

func (l *line) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// portions returns how a payload was sent.
func (l *line) portions(digest string) []portion {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[teephttp.PayloadPath+digest]
}

// breaking passes on so many bytes, and then fails.
type breaking struct {
	http.ResponseWriter
	portion
}

func (b *breaking) WriteHeader(status int) {
	b.status = status
	b.ResponseWriter.WriteHeader(status)
}

func (b *breaking) Write(p []byte) (int, error) {
	left := lineBreaks - b.sent
	n, err := b.ResponseWriter.Write(p[:min(len(p), left)])
	b.sent += n
	if err != nil || n == len(p) {
		return n, err
	}
	return n, errors.Join(errors.New("the line breaks"), http.NewResponseController(b.ResponseWriter).Flush())
}

// gadget is a device of the field.
type gadget struct {
	*device.Device
	dir  string
	id   string // at the TAM
	said []agent.Event
}

const (
	fieldVendor = "tamarack.example"
	fieldClass  = "field device"
)

// enroll makes a device that trusts the TAM and its publishers, lets it meet the TAM, and
// has it accepted. Each has the other cipher suite than the one before.
func (f *field) enroll(t *testing.T, change func(*device.Settings)) *gadget {
	t.Helper()
	ctx := t.Context()
	vendor, own := author.VendorID(fieldVendor), uuid.New()
	s := device.Settings{
		TAM:  device.TAM{URL: f.server.teepURL + "/tam", ReportKey: f.server.encryptTo},
		Poll: device.DefaultPolling,
		Identity: device.Identity{
			UEID: device.RandomUEID(), Vendor: vendor, Class: author.ClassID(vendor, fieldClass), Device: &own,
			OEMID: device.RandomOEMID(uuid.NewSHA1(vendor, nil)), Model: fieldClass, HWVersion: "1",
		},
		Manifests: device.Manifests{SecretKeys: []string{f.kek}, Signatures: device.SignatureRule(f.rule)},
		Conditions: device.Conditions{
			Battery: &device.Source{Value: "900"}, Authorized: &device.Source{Value: "3"}, Clock: true, Wait: time.Second,
		},
	}
	if change != nil {
		change(&s)
	}
	tam := f.server.signers.ESP256
	if f.enrolled++; f.enrolled%2 == 0 {
		tam = f.server.signers.Ed25519
	}
	setup := device.Setup{Settings: s, Algorithm: tam.Algorithm(), Anchors: []anchor.Anchor{
		{Key: tam.PublicKey(), Purposes: []anchor.Purpose{anchor.TAM}},
	}}
	for name, p := range fieldPublishers {
		setup.Anchors = append(setup.Anchors, anchor.Anchor{
			Key: f.publishers[name].PublicKey(), Title: name, Purposes: []anchor.Purpose{anchor.TCSigner}, Constraints: allowed(t, p.prefixes),
		})
	}
	g := &gadget{dir: t.TempDir()}
	if err := device.Create(g.dir, setup); err != nil {
		t.Fatal(err)
	}
	g.open(t)
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := f.operator.addAttestationAnchor(ctx, "device", g.AttestationKey()); err != nil {
		t.Fatal(err)
	}
	g.poll(t)
	var err error
	if g.id, _, err = f.operator.findDevice(ctx, hex.EncodeToString(s.Identity.UEID)); err != nil {
		t.Fatal(err)
	}
	if err := f.operator.accept(ctx, g.id); err != nil {
		t.Fatal(err)
	}
	return g
}

func componentID(t *testing.T, text string) suit.ComponentID {
	t.Helper()
	id, err := suit.ParseComponentID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (g *gadget) open(t *testing.T) {
	t.Helper()
	var err error
	if g.Device, err = device.Open(g.dir, device.Options{Observe: func(e agent.Event) { g.said = append(g.said, e) }}); err != nil {
		t.Fatal(err)
	}
}

// poll is a session without a fault.
func (g *gadget) poll(t *testing.T) {
	t.Helper()
	g.said = nil
	if _, err := g.Poll(t.Context()); err != nil {
		t.Fatalf("poll: %v\n%s", err, g.story())
	}
}

// story is what the agent said since the last session began.
func (g *gadget) story() string {
	var lines []string
	for _, e := range g.said {
		lines = append(lines, e.String())
	}
	return strings.Join(lines, "\n")
}

// holds are the components of the device, with their digests, measured now.
func (g *gadget) holds(t *testing.T) map[string]string {
	t.Helper()
	status, err := g.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]string{}
	for _, c := range status.Components {
		held[c.ID.String()] = "sha-256:" + c.SHA256.String()
	}
	return held
}

// left are the files of the component store.
func (g *gadget) left(t *testing.T) (files []string) {
	t.Helper()
	root := filepath.Join(g.dir, "store")
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(root, path) // both begin with root
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// detail is what the TAM shows of the device.
func (f *field) detail(t *testing.T, g *gadget) client.DeviceDetail {
	t.Helper()
	r, err := f.operator.api.GetDeviceWithResponse(t.Context(), g.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := answered(r.HTTPResponse, r.Body, nil); err != nil {
		t.Fatal(err)
	}
	return *r.JSON200
}

// status is what the TAM shows of a manifest of the device, by manifest component id.
func (f *field) status(t *testing.T, g *gadget, manifest suit.ComponentID) client.ComponentStatus {
	t.Helper()
	for _, c := range f.detail(t, g).Components {
		if c.Component == manifest.String() {
			return c
		}
	}
	return client.ComponentStatus{}
}

// reports are the SUIT reports in the messages of the device since the last call.
func (f *field) reports(t *testing.T, g *gadget) (list []*suit.SignedReport) {
	t.Helper()
	key, err := cosekit.LoadSigner(filepath.Join(g.dir, "keys", "message.pem"))
	if err != nil {
		t.Fatal(err)
	}
	f.line.mu.Lock()
	defer f.line.mu.Unlock()
	for _, message := range f.line.messages {
		e, err := teep.Open(teep.IANA, message)
		if err != nil {
			continue // it is empty, to connect
		}
		m, err := e.Verify(key.PublicKey(), false)
		if err != nil {
			continue // another device's
		}
		var raw [][]byte
		switch m := m.(type) {
		case *teep.Success:
			raw = m.SUITReports
		case *teep.Error:
			raw = m.SUITReports
		}
		for _, data := range raw {
			report, err := suit.OpenReport(data)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, report)
		}
	}
	f.line.messages = nil
	return list
}
