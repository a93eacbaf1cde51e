package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/api/client"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
	"github.com/tamarack-tam/tamarack/teep"
)

// errLost is a request without a whole answer: nobody knows what became of it.
var errLost = errors.New("no whole answer")

// site is the server between two kills, as its clients see it.
type site struct {
	*wire
	http *http.Client
	api  *client.ClientWithResponses
	keys map[cosekit.Algorithm]*cosekit.PublicKey // of the TAM
}

// newSite connects to a server that is ready.
func newSite(v *victim, p plan, log, token string) (*site, error) {
	s := &site{wire: &wire{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, victim: v, plan: p, log: log}}
	s.http = &http.Client{Transport: s.wire, Timeout: time.Minute} // for a server that hangs
	var err error
	s.api, err = client.NewClientWithResponses(v.apiURL, client.WithHTTPClient(s.http),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
	return s, err
}

// close ends the connections of a server that is gone.
func (s *site) close() { s.CloseIdleConnections() }

// reply is an answer to a TEEP message.
type reply struct {
	status int
	reason string
	body   []byte
}

// post sends a TEEP message; an empty one connects.
func (s *site) post(ctx context.Context, path string, message []byte) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.victim.teepURL+path, bytes.NewReader(message))
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("Accept", teep.MediaType)
	if len(message) > 0 {
		r.Header.Set("Content-Type", teep.MediaType)
	}
	response, body, err := s.whole(r)
	if err != nil {
		return reply{}, err
	}
	return reply{response.StatusCode, response.Header.Get("Tamarack-Reason"), body}, nil
}

// payload fetches a payload by the digits that its URI ends in.
func (s *site) payload(ctx context.Context, digits string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.victim.teepURL+teephttp.PayloadPath+digits, nil)
	if err != nil {
		return nil, err
	}
	response, body, err := s.whole(r)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("payload %s: %s", digits, response.Status)
	}
	return body, err
}

// whole returns an answer that came in full.
func (s *site) whole(r *http.Request) (*http.Response, []byte, error) {
	response, err := s.http.Do(r)
	if err != nil {
		return nil, nil, lost(err)
	}
	defer response.Body.Close() // it was read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, lost(err)
	}
	return response, body, nil
}

// lost wraps what the generated client says of a request without a whole answer.
func lost(err error) error { return fmt.Errorf("%w: %w", errLost, err) }

// done judges an answer of the API. What was asked for before, and was perhaps done,
// may be refused with the code that says so.
func done(r *http.Response, body []byte, again bool, saysSo string) error {
	if r.StatusCode < 300 {
		return nil
	}
	var p client.Problem
	if again && json.Unmarshal(body, &p) == nil && p.Code == saysSo {
		return nil
	}
	return fmt.Errorf("%s %s: %s: %s", r.Request.Method, r.Request.URL.Path, r.Status, bytes.TrimSpace(body))
}
