package evidence

import (
	"context"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Reading is what evidence says, before or after anybody has verified it.
type Reading struct {
	Media attest.MediaType
	// Claims are the EAT claims that the evidence has, whatever its format calls them:
	// the nonce at least. Of a bound bundle they are those of its claims set, to which
	// the inner evidence was found to commit.
	Claims *attest.Claims
	// Document holds all claims by name; see attest.Result.
	Document map[string]any
	// Hardware names the piece of hardware by an identifier in the evidence that does
	// not change, as attest.Result.AttestationKey has it; zero where only the key that
	// signs names it.
	Hardware cosekit.Thumbprint
	// Inner is the evidence within a bound bundle; nil for any other format.
	Inner *Inner
}

// Inner is the hardware's part of a bound bundle.
type Inner struct {
	Evidence attest.Evidence // Challenge is the digest of the claims set
	Reading  *Reading
}

// Read decodes evidence of any format that Tamarack knows, strictly, without verifying
// a signature. Test the error with errors.Is for attest.ErrFormat, attest.ErrMediaType,
// attest.ErrToken, attest.ErrClaims and attest.ErrTooLarge.
func Read(format string, payload []byte) (*Reading, error) {
	return nil, attest.ErrFormat
}

// Route is one Verifier and the media types that it appraises.
type Route struct {
	Name     string
	Accepts  func(attest.MediaType) bool
	Verifier attest.Verifier
}

// Router gives evidence to the first Route that accepts its media type. It opens bound
// bundles: the Verifier gets the inner evidence, and the result speaks with the claims
// of the bundle.
type Router struct {
	routes []Route
}

// NewRouter makes a Router of routes in their order.
func NewRouter(routes ...Route) *Router { return &Router{routes} }

// Appraise implements attest.Verifier.
func (r *Router) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	return nil, attest.ErrFormat
}
