package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/teep"
)

// Agent answers TEEP messages. *agent.Agent is one.
type Agent interface {
	// Begin says that a session begins; what was asked in the last one waits for no
	// answer any more.
	Begin()
	ProcessTeepMessage(ctx context.Context, wire []byte) (answer []byte, err error)
}

// The bounds of a session.
const (
	// DefaultMaxAnswer is how many bytes one message of the TAM may have.
	DefaultMaxAnswer = 16 << 20
	// maxMessages ends a session that goes in circles: the longest sensible one is
	// token, challenge and a chain of Updates.
	maxMessages = 64
)

// Config is what a Broker is made of. MaxAnswer and Observe may be left out.
type Config struct {
	TAM       string
	Client    *http.Client // see NewClient
	Agent     Agent
	MaxAnswer int64
	Observe   func(agent.Event)

	// Clock reads the time, for a Retry-After that is a date.
	Clock func() time.Time
	// Wait returns when the time is over, or earlier with the error of ctx.
	Wait func(ctx context.Context, d time.Duration) error
	// Random returns a number in [0, 1), so that a fleet does not poll in step.
	Random func() float64
}

// Broker carries the messages of one agent. One session at a time.
type Broker struct{ config Config }

// New checks the URL and that the configuration is whole.
func New(c Config) (*Broker, error) {
	if err := CheckURL(c.TAM); err != nil {
		return nil, err
	}
	if c.Client == nil || c.Agent == nil || c.Clock == nil || c.Wait == nil || c.Random == nil {
		return nil, errors.New("broker: incomplete configuration")
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = DefaultMaxAnswer
	}
	if c.Observe == nil {
		c.Observe = func(agent.Event) {}
	}
	// Nothing is followed, and nothing remembered, that the agent did not sign.
	client := *c.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	c.Client = &client
	return &Broker{c}, nil
}

// Result is what happened in one session.
type Result struct {
	Received int // messages of the TAM
	Sent     int // messages of the agent
	// RetryAfter is how long the TAM wants to be left alone; zero for as usual.
	RetryAfter time.Duration
	// Reason is why a Tamarack TAM ended the session, where its endpoint is set to tell.
	Reason string
}

// Poll holds one session: it connects, and carries messages until one side has
// nothing more to say. The error joins what the agent found wrong with messages and
// what broke the session off; ErrUnreachable, ErrAnswer and *StatusError tell the
// latter apart.
func (b *Broker) Poll(ctx context.Context) (Result, error) {
	b.observe(agent.StepConnect, "%s", b.config.TAM)
	b.config.Agent.Begin()
	var result Result
	var faults []error
	var message []byte // empty to connect
	for result.Received < maxMessages {
		answer, err := b.post(ctx, message, &result)
		if err != nil {
			return result, errors.Join(append(faults, err)...)
		}
		if len(answer) == 0 {
			b.observe(agent.StepEnd, "the TAM has nothing more to say%s", because(result.Reason))
			return result, errors.Join(faults...)
		}
		result.Received++
		message, err = b.config.Agent.ProcessTeepMessage(ctx, answer)
		if err != nil {
			faults = append(faults, err)
		}
		if message == nil {
			end := "nothing to answer"
			if ctx.Err() != nil {
				end = "interrupted"
			}
			b.observe(agent.StepEnd, "%s", end)
			return result, errors.Join(faults...)
		}
		result.Sent++
	}
	return result, errors.Join(append(faults, fmt.Errorf("%w: %d messages", ErrEndless, result.Received))...)
}

// post sends one message and returns the TAM's, empty for none (section 4 of the
// HTTP binding).
func (b *Broker) post(ctx context.Context, message []byte, result *Result) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.config.TAM, bytes.NewReader(message))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	req.Header.Set("Accept", teep.MediaType)
	req.Header.Set("Content-Type", teep.MediaType)
	resp, err := b.config.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	result.RetryAfter = b.retryAfter(resp.Header.Get("Retry-After"))
	result.Reason = resp.Header.Get(reasonHeader)
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil, nil
	case http.StatusOK:
		return b.read(resp)
	}
	return nil, &StatusError{Code: resp.StatusCode, RetryAfter: result.RetryAfter}
}

func (b *Broker) read(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, b.config.MaxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if int64(len(body)) > b.config.MaxAnswer {
		return nil, fmt.Errorf("%w: message of more than %d bytes", ErrAnswer, b.config.MaxAnswer)
	}
	if len(body) == 0 {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != teep.MediaType {
		return nil, fmt.Errorf("%w: Content-Type %q, want %s; check the path of the TAM URL",
			ErrAnswer, resp.Header.Get("Content-Type"), teep.MediaType)
	}
	return body, nil
}

// reasonHeader is what a Tamarack TAM adds to its answers on a debug endpoint.
const reasonHeader = "Tamarack-Reason"

// because quotes a reason, which may be any bytes of any length.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return fmt.Sprintf(": %.200q", reason)
}

// maxRetryAfter keeps a TAM from silencing a device for good.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads both forms of the header (RFC 9110 section 10.2.3).
func (b *Broker) retryAfter(header string) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(0, at.Sub(b.config.Clock())), maxRetryAfter)
	}
	return 0
}

func (b *Broker) observe(step agent.Step, format string, args ...any) {
	b.config.Observe(agent.Event{Step: step, Detail: fmt.Sprintf(format, args...)})
}
