package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gin-gonic/gin/binding"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

const (
	healthPath     = "/healthz"
	payloadsPath   = "/api/v1/payloads"
	manifestsPath  = "/api/v1/manifests"
	referencesPath = "/api/v1/reference-values"
)

// maxJSON is the size of the largest JSON body, in bytes.
const maxJSON = 64 << 10

// Options is what the API needs besides the fleet.
type Options struct {
	// Token is the bearer token, of [LoadOrCreateToken]. Where it is too short to be
	// one, no request is let in.
	Token string
	// Operator is the name of who holds the token, in the audit log; "admin" where
	// it is empty.
	Operator string
	// Keys are the TAM's public message keys, to show.
	Keys []*cosekit.PublicKey
	// ReportKey is the one that devices may encrypt SUIT reports to; nil for none.
	ReportKey *cosekit.AgreementPublicKey
	// AttestationKey signs evidence about this TAM, ResultKey the Attestation Results that
	// it issues; nil for none.
	AttestationKey, ResultKey *cosekit.PublicKey

	Log *slog.Logger // nil: nothing is logged
}

// server answers the operations of openapi.yaml.
type server struct {
	fleet  *tam.Fleet
	bearer *bearer
	actor  string
	keys   []Key
	log    *slog.Logger
}

func init() {
	// gin's switch for strict JSON is a global one; this API alone binds JSON.
	binding.EnableDecoderDisallowUnknownFields = true
	gin.SetMode(gin.ReleaseMode)
}

// New returns the handler of the whole API.
func New(fleet *tam.Fleet, o Options) http.Handler {
	if o.Operator == "" {
		o.Operator = "admin"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &server{fleet, newBearer(o.Token), "operator:" + o.Operator, showKeys(o), o.Log}

	engine := gin.New()
	engine.ContextWithFallback = true // the request's context, when it is cancelled
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.Use(s.recover, limitReading, securityHeaders, s.authenticate, s.checkBody)
	engine.NoRoute(func(c *gin.Context) { s.fail(c, errNoRoute) })
	engine.NoMethod(func(c *gin.Context) { s.fail(c, errMethod) })
	malformed := func(c *gin.Context, err error) { s.fail(c, fmt.Errorf("%w: %w", errMalformed, err)) }
	RegisterHandlersWithOptions(engine, NewStrictHandlerWithOptions(s, nil, StrictGinServerOptions{
		RequestErrorHandlerFunc:  malformed,
		HandlerErrorFunc:         s.fail,
		ResponseErrorHandlerFunc: s.fail,
	}), GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { malformed(c, err) },
	})
	return engine
}

// stall is how long a sender may take for one piece of a payload, and for the whole
// of any other body.
const stall = 30 * time.Second

// limitReading keeps a sender that does not send from holding the connection.
func limitReading(c *gin.Context) { readWithin(c, stall) }

// readWithin is without effect where a test has no connection.
func readWithin(c *gin.Context, d time.Duration) {
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(d))
}

// patient reads a payload, which may be large and its line slow: the sender has
// that time for each piece. It does not take the place of the request's body, by
// which net/http knows whether its sender waits for "100 Continue".
type patient struct {
	body io.Reader
	c    *gin.Context
}

func (p patient) Read(b []byte) (int, error) {
	readWithin(p.c, stall)
	return p.body.Read(b)
}

// Server returns an HTTP server for the handler, which itself says how long bodies
// may take.
func Server(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

// recover turns a panic into a 500 and a line in the log.
func (s *server) recover(c *gin.Context) {
	defer func() {
		switch fault := recover(); fault {
		case nil:
		case http.ErrAbortHandler:
			panic(fault)
		default:
			s.fail(c, fmt.Errorf("panic: %v", fault))
		}
	}()
	c.Next()
}

func securityHeaders(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if c.Request.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// checkBody refuses other media types than the operation's before anything is read,
// and JSON that is too large or not one value: gin's decoder stops at the end of
// the first. The fleet itself caps payloads and envelopes.
func (s *server) checkBody(c *gin.Context) {
	if !takesBody(c.Request.Method) || c.FullPath() == "" {
		return
	}
	want := bodyType(c.FullPath())
	got, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || got != want {
		s.fail(c, fmt.Errorf("%w: the body must be %s", errMediaType, want))
		return
	}
	if want != binding.MIMEJSON {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxJSON))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.fail(c, fmt.Errorf("%w: at most %d bytes are taken", errBodyTooLarge, maxJSON))
	case err != nil:
		s.fail(c, fmt.Errorf("%w: %w", errMalformed, err))
	case !json.Valid(body):
		s.fail(c, fmt.Errorf("%w: the body is not one JSON value", errMalformed))
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
}

func takesBody(method string) bool { return method == http.MethodPost || method == http.MethodPut }

// bodyType is the media type of the body that a route takes.
func bodyType(route string) string {
	switch route {
	case payloadsPath:
		return "application/octet-stream"
	case manifestsPath:
		return suit.MediaTypeEnvelope
	case referencesPath:
		return corim.ContentType
	}
	return binding.MIMEJSON
}
