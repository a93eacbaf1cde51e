package veraison

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// defaultMediaTypes are those of the tokens that Veraison and Tamarack both read, as
// services v0.0.2605 spells them. It also lists the profiles of psacertified.org, whose
// tokens it cannot decode.
var defaultMediaTypes = []string{
	`application/psa-attestation-token`,
	`application/eat-cwt; profile="http://arm.com/psa/2.0.0"`,
	`application/eat-collection; profile="http://arm.com/CCA-SSD/1.0.0"`,
}

// New makes a Client. It asks nothing of the verifier yet.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.URL)
	switch {
	case err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("%w: URL %.100q; want https://host", ErrConfig, config.URL)
	case base.Scheme == "http" && !isLoopback(base.Hostname()):
		return nil, fmt.Errorf("%w: %.100q: evidence goes to another host by https only; http is for a verifier on this one", ErrConfig, config.URL)
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("%w: URL of %s has more than scheme, host and path", ErrConfig, base.Host)
	case (len(config.Keys) == 0) == (config.KeyThumbprint == cosekit.Thumbprint{}):
		return nil, fmt.Errorf("%w: %s needs either the key that signs its results, or the thumbprint of that key", ErrConfig, base.Host)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	for _, k := range config.Keys {
		if _, err := k.Thumbprint(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrConfig, base.Host, err)
		}
	}
	config.setDefaults(base)
	if config.Timeout < 0 || config.Attempts < 0 || config.Backoff < 0 || config.Concurrency < 0 ||
		config.Queue < 0 || config.Faults < 0 || config.Pause < 0 || config.Skew < 0 {
		return nil, fmt.Errorf("%w: %s: a limit is negative", ErrConfig, config.Name)
	}
	c := &Client{
		config: config, base: base, http: withoutRedirects(config.HTTP), keys: config.Keys,
		slots:    make(chan struct{}, config.Concurrency),
		queue:    make(chan struct{}, config.Concurrency+config.Queue),
		deleting: make(chan struct{}, config.Concurrency),
	}
	c.breaker = &breaker{
		faults: config.Faults, pause: config.Pause, clock: config.Clock,
		changed: func(open bool) { config.Observe(Event{Verifier: config.Name, Kind: Breaker, Open: open}) },
	}
	if c.mediaTypes, c.kinds, err = spellings(config.MediaTypes); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, config.Name, err)
	}
	return c, nil
}

// isLoopback knows the hosts that no network lies before.
func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func (c *Config) setDefaults(base *url.URL) {
	c.Name = cmp.Or(c.Name, base.Host)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.Attempts = cmp.Or(c.Attempts, 3)
	c.Backoff = cmp.Or(c.Backoff, 100*time.Millisecond)
	c.Concurrency = cmp.Or(c.Concurrency, 8)
	c.Queue = cmp.Or(c.Queue, 64)
	c.Faults = cmp.Or(c.Faults, 5)
	c.Pause = cmp.Or(c.Pause, 30*time.Second)
	if c.MediaTypes == nil {
		c.MediaTypes = defaultMediaTypes
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withoutRedirects copies a client, so that evidence goes where the operator said and
// nowhere else.
func withoutRedirects(c *http.Client) *http.Client {
	copied := *c
	copied.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	copied.Jar = nil
	return &copied
}

func spellings(mediaTypes []string) (map[string]string, map[evidence.Kind]bool, error) {
	spelled, kinds := make(map[string]string, len(mediaTypes)), map[evidence.Kind]bool{}
	for _, s := range mediaTypes {
		m, err := attest.ParseMediaType(s)
		if err != nil {
			return nil, nil, err
		}
		spelled[m.String()] = s
		if kind, known := evidence.KindOf(m); known {
			kinds[verifiedAs(kind)] = true
		}
	}
	return spelled, kinds, nil
}
