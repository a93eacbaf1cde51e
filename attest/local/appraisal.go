package local

import (
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Values of the trust vector (draft-ietf-rats-ar4si section 2.3.4). -97 is one that the
// draft leaves to verifiers: signed by a recognized key, and still not what was asked for.
const (
	recognized     int8 = 2  // instance-identity
	notTrustworthy int8 = 96 // instance-identity
	notRecognized  int8 = 97 // instance-identity
	notGenuine     int8 = 99 // cryptographic failure, for every element
	notAcceptable  int8 = -97

	approved        int8 = 2  // executables at run time, configuration
	approvedAtBoot  int8 = 3  // executables
	unrecognized    int8 = 33 // executables
	contraindicated int8 = 96 // executables, configuration, hardware

	genuine         int8 = 2  // hardware
	unknownHardware int8 = 97 // hardware

	noConfigClaim int8 = 3  // configuration: nothing known against it
	unsafeConfig  int8 = 32 // configuration
	// secretsProtected and secretsVisible are of runtime-opaque and storage-opaque.
	secretsProtected int8 = 2
	secretsVisible   int8 = 32
)

// finding is what was found out about one element, and why.
type finding struct {
	value  int8
	reason string
}

// appraisal gathers what is found out about one Attester: a whole device, or a submodule
// of it.
type appraisal struct {
	submod      string
	findings    map[string]finding
	comparisons []attest.Comparison
}

func newAppraisal(submod string) *appraisal {
	return &appraisal{submod: submod, findings: map[string]finding{}}
}

// find notes a finding. Of several about one element the worst stays, and of equally bad
// ones the first.
func (a *appraisal) find(element string, value int8, format string, args ...any) {
	if old, ok := a.findings[element]; !ok || severity(value) > severity(old.value) {
		a.findings[element] = finding{value, fmt.Sprintf("%.*s", maxReason, fmt.Sprintf(format, args...))}
	}
}

// maxReason caps a reason, in characters, for names in it come from evidence and
// certificates. Two long digests with version and signer fit.
const maxReason = 512

// compare notes a measured value beside its reference values.
func (a *appraisal) compare(c attest.Comparison) {
	c.Submod = a.submod
	a.comparisons = append(a.comparisons, c)
}

// severity orders values: no claim, affirming, could not be appraised, warning,
// contraindicated.
func severity(value int8) int {
	e := attest.Element{Value: value}
	switch tier := e.Tier(); {
	case value == 0:
		return 0
	case e.Failed():
		return 2
	case tier == attest.Affirming:
		return 1
	case tier == attest.Warning:
		return 3
	}
	return 4
}

// elements returns the vector with every element, each with a reason.
func (a *appraisal) elements() []attest.Element {
	vector := make([]attest.Element, len(attest.ElementNames))
	for i, name := range attest.ElementNames {
		f, ok := a.findings[name]
		if !ok {
			f.reason = notAppraised[name]
		}
		vector[i] = attest.Element{Submod: a.submod, Name: name, Value: f.value, Reason: f.reason}
	}
	return vector
}

// notAppraised says why an element has the value 0.
var notAppraised = map[string]string{
	attest.InstanceIdentity: "not appraised: the evidence does not speak of it",
	attest.Configuration:    "not appraised: no reference values for configurations",
	attest.Executables:      "not appraised: no reference values for executables",
	attest.FileSystem:       "not appraised: no reference values for files",
	attest.Hardware:         "not appraised: no reference values for hardware",
	attest.RuntimeOpaque:    "not appraised: the evidence does not speak of it",
	attest.StorageOpaque:    "not appraised: the evidence does not speak of it",
	attest.SourcedData:      "not appraised: the evidence does not speak of it",
}

// genuineEvidence is what may be said of evidence whose signature is good.
type genuineEvidence struct {
	claims   *attest.Claims
	document map[string]any
	key      cosekit.Thumbprint
}

// conclude makes a Result of appraisals. signed is nil where the signature is not good.
func conclude(e attest.Evidence, at time.Time, signed *genuineEvidence, parts ...*appraisal) *attest.Result {
	r := &attest.Result{Verifier: Name, Evidence: e, AppraisedAt: at}
	for _, part := range parts {
		r.Vector = append(r.Vector, part.elements()...)
		r.Comparisons = append(r.Comparisons, part.comparisons...)
	}
	r.Status = attest.StatusOf(r.Vector)
	if signed != nil {
		r.Claims, r.Document, r.AttestationKey = signed.claims, signed.document, signed.key
	}
	return r
}
