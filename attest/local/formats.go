package local

import (
	"context"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
)

// formats are the kinds of evidence that are appraised here. A bound bundle is not
// among them: an evidence.Router opens it and asks for what is inside.
var formats = []struct {
	kind     evidence.Kind
	appraise func(*Verifier, context.Context, attest.Evidence) (*attest.Result, error)
}{
	{evidence.EAT, (*Verifier).appraiseEAT},
	{evidence.DetachedEAT, (*Verifier).appraiseEAT},
	{evidence.PSA, (*Verifier).appraisePSA},
	{evidence.CCA, (*Verifier).appraiseCCA},
	{evidence.SEVSNP, (*Verifier).appraiseSEVSNP},
	{evidence.TDX, (*Verifier).appraiseTDX},
	{evidence.TPM, (*Verifier).appraiseTPM},
}

// Accepts reports whether the media type is of evidence that is appraised here. It is
// what an evidence.Route asks for.
func Accepts(m attest.MediaType) bool {
	kind, known := evidence.KindOf(m)
	for _, f := range formats {
		if known && f.kind == kind {
			return true
		}
	}
	return false
}

func names() string {
	kinds := make([]evidence.Kind, len(formats))
	for i, f := range formats {
		kinds[i] = f.kind
	}
	return evidence.Names(kinds...)
}
