package tam

import "errors"

// Refusal is a reason not to do what an operator asked for. Each is a sentinel to
// test with errors.Is, wrapped with the thing and the particulars.
type Refusal struct {
	code Reason
	text string
}

// Error implements error.
func (r *Refusal) Error() string { return r.text }

// Code is stable: the API hands it to programs, the audit log keeps it.
func (r *Refusal) Code() Reason { return r.code }

// The refusals of a manifest.
var (
	ErrEnvelopeMalformed   = &Refusal{"malformed-envelope", "not a SUIT envelope"}
	ErrEnvelopeTooLarge    = &Refusal{"envelope-too-large", "envelope too large"}
	ErrBadSignature        = &Refusal{"bad-signature", "no valid signature"}
	ErrUnknownSigner       = &Refusal{"unknown-signer", "signer is not a publisher"}
	ErrSignerNotAllowed    = &Refusal{"signer-not-allowed", "publisher has no right to this component"}
	ErrSignatureMissing    = &Refusal{"signature-missing", "a signature is missing"}
	ErrDependencyMissing   = &Refusal{"dependency-missing", "dependency is not known here"}
	ErrNoManifestComponent = &Refusal{"no-manifest-component", "manifest without a manifest component id"}
	ErrSequenceNotAbove    = &Refusal{"sequence-not-above", "sequence number is not above the last one"}
	ErrAlreadyPublished    = &Refusal{"already-published", "manifest is published already"}
	ErrSeveredMismatch     = &Refusal{"severed-mismatch", "severed element is missing or differs from its digest"}
	ErrNoTarget            = &Refusal{"no-target", "manifest installs nothing"}
	ErrPayloadMismatch     = &Refusal{"payload-mismatch", "payload differs from the manifest"}
	ErrPayloadMissing      = &Refusal{"payload-missing", "payload was not uploaded"}
	ErrUnsupportedManifest = &Refusal{"unsupported-manifest", "manifest needs what is not supported"}
)

// The refusals of everything else.
var (
	ErrPayloadTooLarge = &Refusal{"payload-too-large", "payload too large"}
	ErrAmbiguous       = &Refusal{"ambiguous", "names more than one"}
	ErrDeviceState     = &Refusal{"device-state", "not possible in this state"}
	ErrNoReason        = &Refusal{"no-reason", "a reason is required"}
	ErrNoComponent     = &Refusal{"no-component", "a component id is required"}
	ErrRemovalOrdered  = &Refusal{"removal-ordered", "the component is ordered gone"}
	ErrStillRequired   = &Refusal{"still-required", "the component is required"}
	ErrBadAnchor       = &Refusal{"bad-anchor", "not a usable trust anchor"}
)

// The refusals of attestation: policies, groups, exceptions, references.
var (
	ErrBadPolicy      = &Refusal{"bad-policy", "not a usable policy"}
	ErrBadSelector    = &Refusal{"bad-selector", "not a usable selector"}
	ErrBadLabels      = &Refusal{"bad-labels", "not usable as labels"}
	ErrGroupInUse     = &Refusal{"group-in-use", "the group is in use"}
	ErrNoAppraisal    = &Refusal{"no-appraisal", "no appraisal to go by"}
	ErrBadException   = &Refusal{"bad-exception", "not possible as an exception"}
	ErrBadReferences  = &Refusal{"bad-references", "not usable as reference values"}
	ErrBadCertificate = &Refusal{"bad-certificate", "not usable as a CA of devices"}
)

// RefusalCode returns the stable code of a refusal; false for a fault of the TAM.
func RefusalCode(err error) (Reason, bool) {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		return r.code, true
	case errors.Is(err, ErrNotFound):
		return "not-found", true
	case errors.Is(err, ErrExists):
		return "exists", true
	}
	return "", false
}
