package local

import (
	"context"

	"github.com/tamarack-tam/tamarack/attest"
)

func (v *Verifier) appraiseTDX(_ context.Context, _ attest.Evidence) (*attest.Result, error) {
	return nil, attest.ErrFormat
}
