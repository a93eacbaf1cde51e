package veraison

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
)

// The challenge-response API, version 1.
const (
	pathNewSession = "/challenge-response/v1/newSession"
	mediaSession   = "application/vnd.veraison.challenge-response-session+json"
	mediaResult    = "application/eat+jwt" // of either profile of EAR
)

// Step is a request of a session.
type Step string

// The steps.
const (
	StepDiscover Step = "discover"
	StepNew      Step = "new session"
	StepEvidence Step = "evidence"
	StepPoll     Step = "poll"
	StepDelete   Step = "delete"
)

// session is what Veraison answers. Only the result in it is signed.
type session struct {
	Status string `json:"status"` // waiting, processing, complete or failed
	Result string `json:"result"`
}

// ask goes through one session and returns the verified result.
func (c *Client) ask(ctx context.Context, media attest.MediaType, payload, nonce []byte) (*attest.Result, error) {
	keys, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	contentType, _ := c.spelling(media) // it is accepted, and trusted may have learnt how
	location, err := c.newSession(ctx, nonce)
	if err != nil {
		return nil, err
	}
	defer c.delete(location)
	s, err := c.submit(ctx, location, contentType, payload)
	if err != nil {
		return nil, err
	}
	for s.Status == "waiting" || s.Status == "processing" {
		if err := c.pause(ctx, c.config.Backoff); err != nil {
			return nil, fmt.Errorf("%w: the appraisal is still %s", ErrDown, s.Status)
		}
		if s, err = c.poll(ctx, location, limit(payload)); err != nil {
			return nil, err
		}
	}
	if s.Status != "complete" || s.Result == "" {
		return nil, &evidenceFault{fmt.Errorf("%w: the session is %.20q, without a result", ErrAnswer, s.Status)}
	}
	r, err := ear.Verify(mediaResult, []byte(s.Result), ear.Options{
		Keys: keys, Now: c.config.Clock(), Skew: c.config.Skew, Nonce: nonce,
	})
	switch {
	case errors.Is(err, ear.ErrSignature), errors.Is(err, attest.ErrNonce):
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	case err != nil: // the verifier writes what it read in the evidence into the result
		return nil, &evidenceFault{fmt.Errorf("%w: %w", ErrAnswer, err)}
	}
	return r, nil
}

func (c *Client) newSession(ctx context.Context, nonce []byte) (*url.URL, error) {
	at := c.base.JoinPath(pathNewSession)
	at.RawQuery = url.Values{"nonce": {base64.URLEncoding.EncodeToString(nonce)}}.Encode()
	a, err := c.do(ctx, call{step: StepNew, method: http.MethodPost, url: at, accept: mediaSession, limit: maxAnswer, want: []int{http.StatusCreated}})
	if err != nil {
		return nil, err
	}
	location, err := at.Parse(a.header.Get("Location"))
	if err != nil || a.header.Get("Location") == "" || location.Scheme != at.Scheme || location.Host != at.Host {
		return nil, fmt.Errorf("%w: no location of a session at this verifier", ErrAnswer)
	}
	return location, nil
}

func (c *Client) submit(ctx context.Context, location *url.URL, contentType string, payload []byte) (session, error) {
	a, err := c.do(ctx, call{
		step: StepEvidence, method: http.MethodPost, url: location, accept: mediaSession, limit: limit(payload),
		contentType: contentType, body: payload, want: []int{http.StatusOK, http.StatusAccepted},
	})
	if err != nil {
		return session{}, err
	}
	if a.status == http.StatusAccepted && len(a.body) == 0 {
		return session{Status: "processing"}, nil
	}
	return a.session()
}

func (c *Client) poll(ctx context.Context, location *url.URL, limit int64) (session, error) {
	a, err := c.do(ctx, call{step: StepPoll, method: http.MethodGet, url: location, accept: mediaSession, limit: limit, want: []int{http.StatusOK}})
	if err != nil {
		return session{}, err
	}
	return a.session()
}

// limit caps the answer to evidence: it comes back in base64 beside the result.
func limit(payload []byte) int64 {
	return int64(base64.StdEncoding.EncodedLen(len(payload))) + ear.MaxSize + maxAnswer
}

func (a answer) session() (session, error) {
	var s session
	if err := a.is(mediaSession); err != nil {
		return s, err
	}
	if err := json.Unmarshal(a.body, &s); err != nil {
		return s, fmt.Errorf("%w: not a session in JSON", ErrAnswer)
	}
	return s, nil
}

// delete ends a session in the background: sessions that stay expire by themselves, so
// when too many are being deleted this one is left to that.
func (c *Client) delete(location *url.URL) {
	select {
	case c.deleting <- struct{}{}:
	default:
		return
	}
	c.closing.Go(func() {
		defer func() { <-c.deleting }()
		ctx, cancel := context.WithTimeout(context.Background(), c.config.Timeout)
		defer cancel()
		_, _ = c.once(ctx, call{step: StepDelete, method: http.MethodDelete, url: location, limit: maxAnswer, want: []int{http.StatusNoContent, http.StatusOK, http.StatusNotFound}})
	})
}
