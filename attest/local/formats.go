package local

import (
	"context"

	"github.com/tamarack-tam/tamarack/attest"
)

// format is a kind of evidence that is read here.
type format struct {
	reads    func(attest.MediaType) bool
	appraise func(*Verifier, context.Context, attest.Evidence) (*attest.Result, error)
}

// formats are tried in order; the first that reads a media type appraises.
var formats = []format{
	{isGenericEAT, (*Verifier).appraiseEAT},
}

// isGenericEAT takes EATs that follow RFC 9711 as it is. Other profiles say other
// things with the same claims.
func isGenericEAT(m attest.MediaType) bool {
	profile, given := m.Parameters["eat_profile"]
	return m.Type == "application/eat+cwt" && (!given || profile == attest.ProfileEAT)
}
