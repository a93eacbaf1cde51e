package agent

import (
	"errors"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// signatures are the algorithms that manifests may be signed with. MACs are not among them:
// an anchor is a public key.
func signatures(legacy cosekit.LegacyPolicy) []cosekit.Algorithm {
	list := []cosekit.Algorithm{
		cosekit.ESP256, cosekit.Ed25519, cosekit.HSSLMS, cosekit.MLDSA44, cosekit.MLDSA65, cosekit.MLDSA87,
	}
	if legacy {
		list = append(list, cosekit.LegacyES256, cosekit.LegacyEdDSA)
	}
	return list
}

// unauthenticated reports on an envelope whose manifest was not even looked at.
func (a *Agent) unauthenticated(e *suit.Envelope, fault error) *suit.Report {
	reason := suit.ReasonCBORParse
	switch {
	case errors.Is(fault, suit.ErrDigestAlgorithm):
		reason = suit.ReasonAlgorithmUnsupported
	case errors.Is(fault, suit.ErrNoSignature):
		reason = a.unsigned(e)
	case errors.Is(fault, suit.ErrNoAuthentication), errors.Is(fault, suit.ErrDigest), errors.Is(fault, suit.ErrSignatureRule):
		reason = suit.ReasonUnauthorised
	}
	report := &suit.Report{
		Reference: suit.Reference{Digest: e.Digest()},
		Failure:   &suit.ReportFailure{Record: suit.Record{Section: suit.SectionAuthentication}, Reason: reason},
	}
	switch reason {
	case suit.ReasonCOSEUnsupported, suit.ReasonAlgorithmUnsupported:
		report.Capabilities = a.processor.Capabilities()
	}
	return report
}

// unsigned says why no authentication block is of use: none is of a structure that the
// device knows, or none by an algorithm, or there is one that it could check.
func (a *Agent) unsigned(e *suit.Envelope) suit.ReportReason {
	reason := suit.ReasonCOSEUnsupported
	for _, b := range e.UnverifiedBlocks() {
		switch {
		case b.MAC != nil:
		case errors.Is(b.Err, cosekit.ErrAlgorithm):
			reason = suit.ReasonAlgorithmUnsupported
		case errors.Is(b.Err, suit.ErrMalformed), errors.Is(b.Err, suit.ErrLimit):
			return suit.ReasonUnauthorised
		case b.Err == nil:
			reason = suit.ReasonAlgorithmUnsupported
			if slices.ContainsFunc(b.Signatures, a.checks) {
				return suit.ReasonUnauthorised
			}
		}
	}
	return reason
}

func (a *Agent) checks(s cosekit.Signature) bool {
	return slices.Contains(signatures(a.config.Legacy), s.Algorithm)
}
