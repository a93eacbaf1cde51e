package suit

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Report is a SUIT_Report: what a manifest processor did and found
// (draft-ietf-suit-report-18 section 4).
type Report struct {
	Reference Reference
	// Nonce shows that the report is fresh where its container does not; nil for none.
	Nonce []byte
	// Entries are [Record] and [PropertyClaims] in the order in which they were made.
	Entries []ReportEntry
	// Failure is nil where the procedure has completed.
	Failure *ReportFailure
	// Capabilities is an encoded SUIT_Capability_Report; nil for none.
	Capabilities cosekit.RawMessage
	Extensions   map[int64]cosekit.RawMessage
}

// ReportEntry is one element of suit-report-records: a [Record] or [PropertyClaims].
type ReportEntry interface{ reportEntry() }

func (Record) reportEntry()         {}
func (PropertyClaims) reportEntry() {}

// Reference is a SUIT_Reference: the manifest that a report is about.
type Reference struct {
	// URI equals the reference-uri of the manifest; empty where it has none.
	URI    string
	Digest Digest
}

// Record is a SUIT_Record: one command and what was measured there (section 3).
type Record struct {
	// ManifestID is the path to the manifest in the tree of dependencies, empty for
	// the root.
	ManifestID []uint64
	Section    Section
	// Offset is where the command begins in its sequence ([Command.Offset]).
	Offset         uint64
	ComponentIndex uint64
	// Measured are the actual values, not those that the manifest asked for.
	Measured   Parameters
	Extensions []cosekit.RawMessage
}

// ReportFailure is the result of a procedure that has not completed.
type ReportFailure struct {
	// Code is an implementation's own number, for debugging.
	Code   int64
	Record Record
	Reason ReportReason
}

// ReportReason says why a procedure has failed (section 4.2).
type ReportReason int64

// The reasons of draft-ietf-suit-report-18.
const (
	ReasonOK                    ReportReason = 0
	ReasonCBORParse             ReportReason = 1
	ReasonCOSEUnsupported       ReportReason = 2
	ReasonAlgorithmUnsupported  ReportReason = 3
	ReasonUnauthorised          ReportReason = 4
	ReasonCommandUnsupported    ReportReason = 5
	ReasonComponentUnsupported  ReportReason = 6
	ReasonComponentUnauthorised ReportReason = 7
	ReasonParameterUnsupported  ReportReason = 8
	ReasonSeveringUnsupported   ReportReason = 9
	ReasonConditionFailed       ReportReason = 10
	ReasonOperationFailed       ReportReason = 11
	ReasonInvokePending         ReportReason = 12
)

var reasonNames = map[ReportReason]string{
	ReasonOK:                    "ok",
	ReasonCBORParse:             "cbor-parse",
	ReasonCOSEUnsupported:       "cose-unsupported",
	ReasonAlgorithmUnsupported:  "alg-unsupported",
	ReasonUnauthorised:          "unauthorised",
	ReasonCommandUnsupported:    "command-unsupported",
	ReasonComponentUnsupported:  "component-unsupported",
	ReasonComponentUnauthorised: "component-unauthorised",
	ReasonParameterUnsupported:  "parameter-unsupported",
	ReasonSeveringUnsupported:   "severing-unsupported",
	ReasonConditionFailed:       "condition-failed",
	ReasonOperationFailed:       "operation-failed",
	ReasonInvokePending:         "invoke-pending",
}

// String returns the registered name, "condition-failed", or "reason 99".
func (r ReportReason) String() string {
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return fmt.Sprintf("reason %d", int64(r))
}

// Succeeded reports whether the procedure has completed.
func (r *Report) Succeeded() bool { return r.Failure == nil }

// Properties returns what the report says about components: its entries that are
// [PropertyClaims]. A component may appear more than once.
func (r *Report) Properties() []PropertyClaims {
	var claims []PropertyClaims
	for _, e := range r.Entries {
		if c, ok := e.(PropertyClaims); ok {
			claims = append(claims, c)
		}
	}
	return claims
}

// SignReport returns the report in a COSE_Sign1 whose protected CWT Claims header
// confirms the signer's public key, so that a reader can pin it.
func SignReport(r *Report, signer cosekit.Signer) ([]byte, error) {
	payload, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return cosekit.Sign1(signer, payload, cosekit.Form{CWTClaims: cosekit.ConfirmationHeader(signer.PublicKey())})
}

// SignedReport is a report as it came: in a COSE_Sign1, or bare. What it says is
// reached through Verify.
type SignedReport struct {
	signed  *cosekit.Signed // nil for a bare report
	payload []byte
}

// OpenReport reads a SUIT_Report in a COSE_Sign1, tagged or not, or a bare one.
// MACed and encrypted reports are not supported.
func OpenReport(data []byte) (*SignedReport, error) {
	if cosekit.Major(data) == cosekit.MajorMap {
		return &SignedReport{payload: data}, nil
	}
	signed, err := cosekit.Parse(data)
	switch {
	case err != nil:
		return nil, at("report", err)
	case signed.Multi:
		return nil, at("report", malformed("COSE_Sign, want COSE_Sign1"))
	case signed.Payload == nil:
		return nil, at("report", malformed("the payload is detached"))
	}
	return &SignedReport{signed, signed.Payload}, nil
}

// Protected reports whether the report is signed.
func (s *SignedReport) Protected() bool { return s.signed != nil }

// Key returns the public key that the signer put into the header, or nil for none.
// It is a claim: a signature under it shows no more than that the sender had the
// private key. Whose key it is has to be known from elsewhere.
func (s *SignedReport) Key() (*cosekit.PublicKey, error) {
	if s.signed == nil || s.signed.Signatures[0].CWTClaims == nil {
		return nil, nil
	}
	key, err := s.signed.Signatures[0].ConfirmationKey()
	return key, at("report.header", err)
}

// KeyID returns the thumbprint of the key that the signature names, if it does.
func (s *SignedReport) KeyID() (cosekit.Thumbprint, bool) {
	if s.signed == nil {
		return cosekit.Thumbprint{}, false
	}
	return s.signed.Thumbprint()
}

// Verify checks the signature and decodes the report. A key in the header must be
// the one that is verified with. For a bare report it returns [ErrUnprotected].
func (s *SignedReport) Verify(key *cosekit.PublicKey, legacy cosekit.LegacyPolicy) (*Report, error) {
	if s.signed == nil {
		return nil, at("report", ErrUnprotected)
	}
	if err := s.signed.Verify(key, legacy); err != nil {
		return nil, at("report", err)
	}
	named, err := s.Key()
	if err != nil {
		return nil, err
	}
	if named != nil && !named.Equal(key) {
		return nil, at("report.header", fmt.Errorf("%w: it confirms another key than the one that signed", cosekit.ErrKey))
	}
	return DecodeReport(s.payload)
}

// Unverified decodes the report without looking at a signature: for people to look
// at, or for a bare report inside a container that protects it.
func (s *SignedReport) Unverified() (*Report, error) { return DecodeReport(s.payload) }
