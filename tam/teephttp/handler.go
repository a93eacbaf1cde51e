package teephttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// PayloadPath is where payloads stand, under their SHA-256 in hexadecimal digits.
const PayloadPath = "/payloads/"

// DefaultMaxBody is the size in bytes of the largest message taken by default.
const DefaultMaxBody int64 = 1 << 20

// Options are the handler's settings. The zero value is a sound one.
type Options struct {
	MaxBody int64 // bytes of a message; 0 for DefaultMaxBody
	Limits  Limits
	Clock   func() time.Time // of the rate limit; nil: time.Now
	Log     *slog.Logger     // nil: nothing is logged
}

type handler struct {
	tam      *tam.TAM
	payloads tam.Payloads
	limiter  *limiter
	// downloads holds a place for each payload that is being sent.
	downloads chan struct{}
	maxBody   int64
	log       *slog.Logger
}

// New returns the handler of the TEEP listener. Each endpoint is served at its
// path, payloads under [PayloadPath]; nothing else is there.
func New(t *tam.TAM, endpoints []*tam.Endpoint, payloads tam.Payloads, opts Options) (http.Handler, error) {
	if err := tam.CheckEndpoints(endpoints); err != nil {
		return nil, err
	}
	for _, ep := range endpoints {
		if strings.HasPrefix(ep.Path+"/", PayloadPath) {
			return nil, fmt.Errorf("endpoint %s: payloads stand under %s", ep.Path, PayloadPath)
		}
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{tam: t, payloads: payloads, limiter: newLimiter(opts.Limits, opts.Clock),
		downloads: make(chan struct{}, maxDownloads), maxBody: opts.MaxBody, log: opts.Log}
	return h.routes(endpoints), nil
}

// gin has one mode for the whole process; its debug mode prints routes.
func init() { gin.SetMode(gin.ReleaseMode) }

func (h *handler) routes(endpoints []*tam.Endpoint) http.Handler {
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true // answers 405 with Allow
	engine.Use(h.recoverPanics, limitWriting, securityHeaders, h.limitRate)
	for _, ep := range endpoints {
		engine.POST(ep.Path, h.endpoint(ep))
	}
	engine.GET(PayloadPath+":digest", h.payload)
	engine.HEAD(PayloadPath+":digest", h.payload)
	return engine
}

// securityHeaders go with every answer, also with 404, 405 and 429.
func securityHeaders(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}

// recoverPanics answers 500 instead of dropping the connection.
func (h *handler) recoverPanics(c *gin.Context) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if r == http.ErrAbortHandler { // net/http compares it so
			panic(r)
		}
		h.log.ErrorContext(c.Request.Context(), "panic", "path", c.Request.URL.Path, "value", fmt.Sprint(r))
		c.AbortWithStatus(http.StatusInternalServerError)
	}()
	c.Next()
}

// reasonHeader tells the reason of an answer at endpoints set to debug.
const reasonHeader = "Tamarack-Reason"

func (h *handler) endpoint(ep *tam.Endpoint) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", "no-store")
		if !accepted(c.Request.Header.Values("Accept")) {
			c.AbortWithStatus(http.StatusNotAcceptable)
			return
		}
		wire, status := h.readBody(c)
		if status != 0 {
			c.AbortWithStatus(status)
			return
		}
		var answer tam.Answer
		var err error
		if len(wire) == 0 {
			answer, err = h.tam.ProcessConnect(c.Request.Context(), ep)
		} else {
			answer, err = h.tam.ProcessTeepMessage(c.Request.Context(), ep, wire)
		}
		if err != nil {
			h.fault(c, err)
			return
		}
		if ep.Debug && answer.Reason != "" {
			c.Header(reasonHeader, string(answer.Reason))
		}
		if answer.Body == nil {
			c.Status(http.StatusNoContent)
			return
		}
		c.Header("Content-Length", strconv.Itoa(len(answer.Body)))
		c.Data(http.StatusOK, teep.MediaType, answer.Body)
	}
}

// fault answers for the TAM's own faults, and tells nobody outside what they are.
func (h *handler) fault(c *gin.Context, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, tam.ErrUnavailable) {
		status = http.StatusServiceUnavailable
		c.Header("Retry-After", "5")
	}
	h.log.ErrorContext(c.Request.Context(), "request failed", "path", c.Request.URL.Path, "status", status, "error", err)
	c.AbortWithStatus(status)
}

// readBody returns the message, empty for a connect, or the status to refuse with.
func (h *handler) readBody(c *gin.Context) ([]byte, int) {
	r := c.Request
	if r.ContentLength > h.maxBody {
		c.Header("Connection", "close") // the body is not read
		return nil, http.StatusRequestEntityTooLarge
	}
	wire, err := readAll(http.MaxBytesReader(c.Writer, r.Body, h.maxBody), r.ContentLength)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, http.StatusRequestEntityTooLarge
	}
	if err != nil {
		return nil, http.StatusBadRequest
	}
	types := r.Header.Values("Content-Type")
	switch {
	case len(types) == 0 && len(wire) == 0:
	case len(types) == 1 && isTEEP(types[0]):
	default:
		return nil, http.StatusUnsupportedMediaType
	}
	return wire, 0
}

// eagerBody is how much is allocated on the sender's word that more will come. Most
// messages are smaller.
const eagerBody = 8 << 10

// readAll reads a body of the stated length, -1 for unknown.
func readAll(r io.Reader, length int64) ([]byte, error) {
	var wire bytes.Buffer
	wire.Grow(int(min(max(length, 0), eagerBody)) + bytes.MinRead)
	n, err := wire.ReadFrom(r)
	if err == nil && length >= 0 && n != length {
		err = io.ErrUnexpectedEOF
	}
	return wire.Bytes(), err
}
