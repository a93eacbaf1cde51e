package veraison

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
)

const (
	pathDiscovery  = "/.well-known/veraison/verification"
	mediaDiscovery = "application/vnd.veraison.discovery+json"
)

// trusted returns the keys that sign results. The one that the verifier tells is taken if
// it has the thumbprint that the operator has pinned, and is then asked for no more; the
// media types come with it, for they are spelled there as they must be sent.
func (c *Client) trusted(ctx context.Context) ([]ear.Key, error) {
	c.mu.Lock()
	keys := c.keys
	c.mu.Unlock()
	if len(keys) > 0 {
		return keys, nil
	}
	key, mediaTypes, err := c.discover(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = []ear.Key{key}
	for name := range c.mediaTypes {
		if spelled, ok := mediaTypes[name]; ok {
			c.mediaTypes[name] = spelled
		}
	}
	return c.keys, nil
}

func (c *Client) discover(ctx context.Context) (ear.Key, map[string]string, error) {
	a, err := c.do(ctx, call{
		step: StepDiscover, method: http.MethodGet, url: c.base.JoinPath(pathDiscovery),
		accept: mediaDiscovery, limit: maxAnswer, want: []int{http.StatusOK},
	})
	if err != nil {
		return ear.Key{}, nil, err
	}
	if err := a.is(mediaDiscovery); err != nil {
		return ear.Key{}, nil, err
	}
	var document struct {
		Key        json.RawMessage `json:"ear-verification-key"`
		MediaTypes []string        `json:"media-types"`
	}
	if err := json.Unmarshal(a.body, &document); err != nil {
		return ear.Key{}, nil, fmt.Errorf("%w: not a discovery document in JSON", ErrAnswer)
	}
	key, err := ear.ParseKey(document.Key)
	if err != nil {
		return ear.Key{}, nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	thumbprint, err := key.Thumbprint()
	if err != nil {
		return ear.Key{}, nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if thumbprint != c.config.KeyThumbprint {
		return ear.Key{}, nil, fmt.Errorf("%w: it signs with key %s, pinned is %s", ErrAnswer, thumbprint, c.config.KeyThumbprint)
	}
	key.Name = c.config.Name
	mediaTypes := map[string]string{}
	for _, s := range document.MediaTypes {
		if m, err := attest.ParseMediaType(s); err == nil {
			mediaTypes[m.String()] = s
		}
	}
	return key, mediaTypes, nil
}
