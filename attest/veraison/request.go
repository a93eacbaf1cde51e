package veraison

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
)

// maxAnswer caps every answer that does not hold a result, in bytes.
const maxAnswer = 64 << 10

// call is one request, and what is wanted in return.
type call struct {
	step        Step
	method      string
	url         *url.URL
	accept      string
	contentType string
	body        []byte
	limit       int64
	want        []int
}

// answer is a response of a wanted status.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// again is a fault that may pass: a connection that failed, 429, 502 to 504.
type again struct {
	error
	after time.Duration // that the verifier asks to wait
}

func (a *again) Unwrap() error { return a.error }

// evidenceFault is one that the evidence may have caused.
type evidenceFault struct{ error }

func (f *evidenceFault) Unwrap() error { return f.error }

// do tries a request a few times, with exponential back-off and full jitter, and never
// beyond the end of the context.
func (c *Client) do(ctx context.Context, call call) (answer, error) {
	backoff := c.config.Backoff
	for try := 1; ; try++ {
		a, err := c.once(ctx, call)
		var passing *again
		if !errors.As(err, &passing) || try == c.config.Attempts {
			return a, err
		}
		if c.pause(ctx, max(passing.after, time.Duration(c.config.Random()*float64(backoff)))) != nil {
			return a, err
		}
		backoff *= 2
	}
}

// pause waits, unless the context ends before.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	return c.config.Wait(ctx, d)
}

func (c *Client) once(ctx context.Context, call call) (a answer, err error) {
	start := c.config.Clock()
	defer func() {
		c.config.Observe(Event{
			Verifier: c.config.Name, Kind: Request, Step: call.step, Fault: faultOf(err), Duration: c.config.Clock().Sub(start),
		})
	}()
	request, err := http.NewRequestWithContext(ctx, call.method, call.url.String(), bytes.NewReader(call.body))
	if err != nil {
		return a, fmt.Errorf("%w: %s", ErrConfig, call.step)
	}
	if call.accept != "" {
		request.Header.Set("Accept", call.accept)
	}
	if call.contentType != "" {
		request.Header.Set("Content-Type", call.contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return a, &again{error: down(call.step, err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, call.limit+1))
	switch {
	case err != nil:
		return a, &again{error: down(call.step, err)}
	case int64(len(body)) > call.limit:
		return a, call.blame(fmt.Errorf("%w: %s: more than %d bytes", ErrAnswer, call.step, call.limit))
	}
	a = answer{response.StatusCode, response.Header, body}
	if !slices.Contains(call.want, a.status) {
		return answer{}, c.unwanted(call, a)
	}
	return a, nil
}

// down leaves out the URL that net/http writes in front: it has the nonce.
func down(step Step, err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	return fmt.Errorf("%w: %s: %w", ErrDown, step, err)
}

// unwanted turns a status into an error. What came back for evidence may be the fault of
// the evidence: Veraison answers 415, 400 and also 500 to some.
func (c *Client) unwanted(call call, a answer) error {
	said := fmt.Sprintf("%s: %d %s%s", call.step, a.status, http.StatusText(a.status), a.problem())
	switch {
	case a.status == http.StatusTooManyRequests, a.status >= http.StatusBadGateway && a.status <= http.StatusGatewayTimeout:
		return &again{fmt.Errorf("%w: %s", ErrDown, said), a.retryAfter(c.config.Clock())}
	case a.status == http.StatusUnsupportedMediaType && call.step == StepEvidence:
		return call.blame(fmt.Errorf("%w: %s", attest.ErrFormat, said))
	case a.status >= 500:
		return call.blame(fmt.Errorf("%w: %s", ErrDown, said))
	case a.status >= 300 && a.status < 400:
		return fmt.Errorf("%w: %s: redirected, which is not followed", ErrAnswer, call.step)
	}
	return call.blame(fmt.Errorf("%w: %s", ErrAnswer, said))
}

// blame marks what the evidence may have caused, in the steps that it takes part in.
func (call call) blame(err error) error {
	if call.step == StepEvidence || call.step == StepPoll {
		return &evidenceFault{err}
	}
	return err
}

// problem is the detail of an RFC 9457 problem, made fit for logs.
func (a answer) problem() string {
	var p struct{ Detail string }
	if a.is("application/problem+json") != nil || json.Unmarshal(a.body, &p) != nil || p.Detail == "" {
		return ""
	}
	return fmt.Sprintf(": %.200q", p.Detail)
}

// retryAfter reads the header of RFC 9110 section 10.2.3, in either form.
func (a answer) retryAfter(now time.Time) time.Duration {
	text := a.header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// is checks the media type of an answer.
func (a answer) is(want string) error {
	m, err := attest.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || m.Type != want {
		return fmt.Errorf("%w: %.100q, want %s", ErrAnswer, strings.ToLower(a.header.Get("Content-Type")), want)
	}
	return nil
}
