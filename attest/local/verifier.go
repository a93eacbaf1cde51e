package local

import (
	"context"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Name says in a result who appraised, for people.
const Name = "tamarack (built in)"

// Keys finds the registered device attestation keys.
type Keys interface {
	// AttestationKey returns the anchor of the key. An error that is
	// anchor.ErrUnknown says that there is none; any other, that nobody knows.
	AttestationKey(ctx context.Context, key cosekit.Thumbprint) (anchor.Anchor, error)
}

// Options tell a Verifier its time and its tolerance.
type Options struct {
	Clock  func() time.Time     // nil for time.Now
	Skew   time.Duration        // what clocks may differ by
	Legacy cosekit.LegacyPolicy // whether ES256 and EdDSA are accepted in evidence
}

// Verifier appraises evidence with registered keys. It implements attest.Verifier
// and may be used by many goroutines.
type Verifier struct {
	keys    Keys
	options Options
}

// New makes a Verifier that trusts keys.
func New(keys Keys, options Options) *Verifier {
	if options.Clock == nil {
		options.Clock = time.Now
	}
	return &Verifier{keys, options}
}

// Appraise implements attest.Verifier. See the package comment for what is an error
// and what is a result.
func (v *Verifier) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	media, err := attest.ParseMediaType(e.Format)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrFormat, err)
	}
	for _, f := range formats {
		if f.reads(media) {
			return f.appraise(v, ctx, e)
		}
	}
	return nil, fmt.Errorf("%w: %s; the built-in verifier reads %s", attest.ErrFormat, media, attest.EvidenceMediaType)
}

// Values of instance-identity (draft-ietf-rats-ar4si section 2.3.4).
const (
	recognized     int8 = 2
	notTrustworthy int8 = 96
	notRecognized  int8 = 97
	notGenuine     int8 = 99
	// notAcceptable is one that the draft leaves to verifiers: signed by a
	// recognized key, and still not what was asked for.
	notAcceptable int8 = -97
)

// finding is what was found out about the Attester, and why.
type finding struct {
	value  int8
	reason string
}

// result makes a Result of a finding. Claims are nil where their signature is not good.
func (v *Verifier) result(e attest.Evidence, at time.Time, claims *attest.Claims, f finding) *attest.Result {
	vector := make([]attest.Element, len(attest.ElementNames))
	for i, name := range attest.ElementNames {
		vector[i] = attest.Element{Name: name, Reason: notAppraised[name]}
		if name == attest.InstanceIdentity {
			vector[i] = attest.Element{Name: name, Value: f.value, Reason: f.reason}
		}
	}
	return &attest.Result{
		Status: attest.StatusOf(vector), Vector: vector, Verifier: Name,
		Claims: claims, Evidence: e, AppraisedAt: at,
	}
}

// notAppraised says why the other elements have the value 0.
var notAppraised = map[string]string{
	attest.Configuration: "not appraised: no reference values for configurations",
	attest.Executables:   "not appraised: no reference values for executables",
	attest.FileSystem:    "not appraised: no reference values for files",
	attest.Hardware:      "not appraised: no reference values for hardware",
	attest.RuntimeOpaque: "not appraised: the evidence does not speak of it",
	attest.StorageOpaque: "not appraised: the evidence does not speak of it",
	attest.SourcedData:   "not appraised: the evidence does not speak of it",
}
