package veraison

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Reasons why there is no result. Each is wrapped with what happened; see also the errors
// of attest and attest/ear.
var (
	// ErrConfig: a configuration that cannot work.
	ErrConfig = errors.New("verifier configuration not acceptable")
	// ErrDown: the verifier does not answer, not in time, or says that it cannot.
	ErrDown = errors.New("verifier does not answer")
	// ErrAnswer: the verifier answered something else than a result that can be trusted.
	ErrAnswer = errors.New("verifier's answer not acceptable")
	// ErrBusy: as many appraisals as are allowed are running and waiting.
	ErrBusy = errors.New("too many appraisals at once")
	// ErrOpen: the verifier has failed so often that it is left alone for a while.
	ErrOpen = errors.New("verifier not asked after repeated faults")
)

// Config says how to reach a verifier and how much to ask of it. URL and one of Keys and
// KeyThumbprint are required; every other field has a default.
type Config struct {
	Name string // for people and metrics; default: the host of URL
	URL  string // without the path of the API: https://verifier.example
	HTTP *http.Client
	// Keys sign the EARs. KeyThumbprint, in their place, says which key to take from the
	// verifier's own discovery document.
	Keys          []ear.Key
	KeyThumbprint cosekit.Thumbprint
	// MediaTypes are those to send there; nil for PSA and CCA tokens.
	MediaTypes []string

	Timeout     time.Duration // of a whole appraisal; default 10 s
	Attempts    int           // at each request; default 3
	Backoff     time.Duration // before the second try, doubled each time; default 100 ms
	Concurrency int           // appraisals that run at once; default 8
	Queue       int           // appraisals that wait for their turn; default 64
	Faults      int           // in a row, until the verifier is left alone; default 5
	Pause       time.Duration // for how long; default 30 s
	Skew        time.Duration // what clocks may differ by

	Clock   func() time.Time                                 // default time.Now
	Random  func() float64                                   // in [0, 1); default math/rand
	Wait    func(ctx context.Context, d time.Duration) error // default: a timer
	Observe func(Event)                                      // for metrics; default: nobody
}

// Event is something to count. Observe is called by many goroutines and must not block.
type Event struct {
	Verifier string
	Kind     EventKind
	Step     Step          // of a request
	Fault    Fault         // empty where there is none
	Duration time.Duration // of an appraisal or a request
	Open     bool          // of a change of the breaker
}

// EventKind is what an Event is about.
type EventKind string

// The kinds of events.
const (
	Appraisal EventKind = "appraisal"
	Request   EventKind = "request"
	Breaker   EventKind = "breaker"
)

// Fault is the kind of an error, for the label of a metric.
type Fault string

// The kinds of faults.
const (
	FaultNone     Fault = ""
	FaultDown     Fault = "down"
	FaultAnswer   Fault = "answer"
	FaultBusy     Fault = "busy"
	FaultOpen     Fault = "open"
	FaultEvidence Fault = "evidence" // not the verifier's
)

func faultOf(err error) Fault {
	switch {
	case err == nil:
		return FaultNone
	case errors.Is(err, ErrBusy):
		return FaultBusy
	case errors.Is(err, ErrOpen):
		return FaultOpen
	case errors.Is(err, ErrAnswer):
		return FaultAnswer
	case errors.Is(err, ErrDown):
		return FaultDown
	}
	return FaultEvidence
}

// Client asks one verifier. It implements attest.Verifier and may be used by many
// goroutines.
type Client struct {
	config  Config
	base    *url.URL
	http    *http.Client
	kinds   map[evidence.Kind]bool // the formats of the media types
	breaker *breaker
	slots   chan struct{} // one for each appraisal that runs
	queue   chan struct{} // one for each that runs or waits

	mu         sync.Mutex
	keys       []ear.Key
	mediaTypes map[string]string // as String writes them → as the verifier spells them

	closing  sync.WaitGroup // the requests that delete sessions
	deleting chan struct{}
}

// Appraise implements attest.Verifier. The session's nonce is the challenge of the
// evidence; without one, the nonce that the evidence has.
func (c *Client) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	start := c.config.Clock()
	r, err := c.appraise(ctx, e)
	if err != nil {
		r, err = nil, fmt.Errorf("%s: %w", c.config.Name, err)
	}
	c.config.Observe(Event{Verifier: c.config.Name, Kind: Appraisal, Fault: faultOf(err), Duration: c.config.Clock().Sub(start)})
	return r, err
}

func (c *Client) appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	// Evidence that we cannot read could never be bound to a message, so nobody is asked
	// about it; nor is a Veraison that reads a damaged token in another way than we do.
	reading, err := evidence.Read(e.Format, e.Payload)
	if err != nil {
		return nil, err
	}
	if _, ok := c.spelling(reading.Media); !ok {
		return nil, fmt.Errorf("%w: %.64s; this verifier is for %s", attest.ErrFormat, reading.Media, c.types())
	}
	nonce := e.Challenge
	if nonce == nil {
		nonce = reading.Claims.Nonce
	}
	if len(nonce) < 8 || len(nonce) > 64 {
		return nil, fmt.Errorf("%w: a session with Veraison takes 8 to 64 bytes, there are %d", attest.ErrNonce, len(nonce))
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	leave, err := c.enter(limited)
	if err != nil {
		return nil, err
	}
	verdict := unclear
	defer func() { c.breaker.leave(verdict); leave() }()
	r, err := c.ask(limited, reading.Media, e.Payload, nonce)
	if err == nil {
		if other := checkAbout(r, reading, e.Payload); other != nil {
			err = &evidenceFault{other}
		}
	}
	verdict = c.outcome(ctx, err)
	if err != nil {
		return nil, err
	}
	return speak(r, e, reading), nil
}

// outcome is what an error says about the verifier. A caller who has given up says
// nothing, and neither does what may be the fault of the evidence: one device must not be
// able to close the verifier to all others.
func (c *Client) outcome(ctx context.Context, err error) outcome {
	var blamed *evidenceFault
	switch {
	case err == nil:
		return sound
	case ctx.Err() != nil:
		return unclear
	case errors.As(err, &blamed):
		return sound
	}
	return faulty
}

// enter waits for a turn.
func (c *Client) enter(ctx context.Context) (leave func(), err error) {
	if err := c.breaker.ready(); err != nil {
		return nil, err
	}
	select {
	case c.queue <- struct{}{}:
	default:
		return nil, fmt.Errorf("%w: %d run or wait already", ErrBusy, cap(c.queue))
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		<-c.queue
		return nil, fmt.Errorf("%w: no turn within the time limit: %w", ErrBusy, ctx.Err())
	}
	leave = func() { <-c.slots; <-c.queue }
	if err := c.breaker.enter(); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// speak lets a result speak with the claims of the bytes that were sent, where the
// verifier affirms who made them. A key that the verifier attests goes before theirs. An EAR
// does not tell the key that signed; the identifier of the hardware in the evidence stands
// for it, for Veraison finds the key of a PSA or CCA token by exactly that instance.
func speak(r *attest.Result, e attest.Evidence, reading *evidence.Reading) *attest.Result {
	r.Evidence = e
	if r.Claims == nil {
		return r
	}
	attested := r.Claims.Confirmation
	claims := *reading.Claims
	if attested.Key != nil {
		claims.Confirmation = attested
	}
	document := reading.Document()
	document["ear"] = r.Document["ear"]
	r.Claims, r.Document, r.AttestationKey = &claims, document, reading.Hardware
	return r
}

// Accepts reports whether the verifier is for evidence of the format that a media type
// names, by whatever name: a device that writes the media type in another way, or has
// another profile of the format, does not get another verifier by that. The verifier may
// still refuse what it is not configured for.
func (c *Client) Accepts(m attest.MediaType) bool {
	if kind, known := evidence.KindOf(m); known {
		return c.kinds[verifiedAs(kind)]
	}
	_, ok := c.spelling(m)
	return ok
}

// verifiedAs takes formats for one that say the same: an EAT does not become another one by
// the claims sets beside it.
func verifiedAs(kind evidence.Kind) evidence.Kind {
	if kind == evidence.DetachedEAT {
		return evidence.EAT
	}
	return kind
}

// spelling returns a media type as the verifier has it: Veraison compares byte by byte.
func (c *Client) spelling(m attest.MediaType) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.mediaTypes[m.String()]
	return s, ok
}

func (c *Client) types() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Values(c.mediaTypes))
}

// Close waits until the sessions of appraisals that have ended are deleted, which takes
// no longer than an appraisal may. The client must not be used any more.
func (c *Client) Close() { c.closing.Wait() }
