package evidence

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
)

// Route is one Verifier and the media types that it appraises.
type Route struct {
	Name     string
	Accepts  func(attest.MediaType) bool
	Verifier attest.Verifier
}

// Router gives evidence to the first Route that accepts its media type. It opens bound
// bundles: the Verifier gets the inner evidence, and the result speaks with the claims
// of the bundle. It may be used by many goroutines.
type Router struct {
	routes []Route
}

// NewRouter makes a Router of routes in their order.
func NewRouter(routes ...Route) *Router { return &Router{routes} }

// Appraise implements attest.Verifier.
func (r *Router) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	media, err := attest.ParseMediaType(e.Format)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrFormat, err)
	}
	if kind, known := KindOf(media); known && kind == Bundle {
		return r.appraiseBundle(ctx, e)
	}
	return r.route(ctx, media, e)
}

// RouteOf names the Route that appraises evidence of this media type, which of a bound
// bundle is that of the inner evidence; empty for none.
func (r *Router) RouteOf(media attest.MediaType) string {
	for _, route := range r.routes {
		if route.Accepts(media) {
			return route.Name
		}
	}
	return ""
}

func (r *Router) route(ctx context.Context, media attest.MediaType, e attest.Evidence) (*attest.Result, error) {
	var names []string
	for _, route := range r.routes {
		if route.Accepts(media) {
			return route.Verifier.Appraise(ctx, e)
		}
		names = append(names, route.Name)
	}
	return nil, fmt.Errorf("%w: %.128s; configured are: %s", attest.ErrFormat, media, strings.Join(names, ", "))
}

// appraiseBundle has the inner evidence appraised as the answer to the digest of the
// claims set, and lets the result say what the claims set says. The claims that the
// hardware itself made stay apart from those that software on it chose, under the name
// evidence in the document; where the hardware itself names a device, it is to be the
// same.
func (r *Router) appraiseBundle(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	reading, err := Read(e.Format, e.Payload)
	if err != nil {
		return nil, err
	}
	inner := reading.Inner
	result, err := r.route(ctx, inner.Reading.Media, inner.Evidence)
	if err != nil {
		return nil, err
	}
	bundled := *result
	bundled.Evidence = e
	if result.Claims == nil {
		return &bundled, nil
	}
	// Read has compared the nonce in these bytes. A Verifier that tells another one has
	// appraised something else.
	if nonce := result.Claims.Nonce; nonce != nil && subtle.ConstantTimeCompare(nonce, inner.Evidence.Challenge) != 1 {
		return nil, fmt.Errorf("%w: the verifier speaks of evidence that is not bound to the claims of the bundle", attest.ErrNonce)
	}
	if ueid := result.Claims.UEID; ueid != nil && !bytes.Equal(ueid, reading.Claims.UEID) {
		return nil, fmt.Errorf("%w: the hardware is certified as device %x, the claims of the bundle are of %x", attest.ErrDevice, ueid, reading.Claims.UEID)
	}
	bundled.Claims = reading.Claims
	bundled.Document = reading.Claims.Document()
	bundled.Document[documentEvidence] = result.Document
	if result.Document == nil {
		bundled.Document[documentEvidence] = inner.Reading.Document()
	}
	return &bundled, nil
}
