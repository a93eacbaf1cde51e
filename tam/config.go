package tam

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Config is what a TAM is made of.
type Config struct {
	Store    Store           // required
	Verifier attest.Verifier // required
	Signers  Signers         // required
	Planner  Planner         // nil: NewestPlanner with its own bounds
	Policy   Policy          // zero fields are set to those of Defaults

	// DecryptionKeys open SUIT reports and evidence that are encrypted to the TAM; empty:
	// such are refused.
	DecryptionKeys cosekit.DecryptionKeys

	Results ResultVerifier // of Attestation Results that agents bring (passport model); nil: they are refused

	Attester Attester // of the TAM itself; nil: agents that require its attestation get none
	Issuer   Issuer   // of results to pass back; nil: only those of remote verifiers are

	Clock func() time.Time // nil: time.Now
	Rand  io.Reader        // nil: crypto/rand
	Log   *slog.Logger     // nil: nothing is logged

	Observer Observer // nil: none
}

// Signers hold the TAM's message keys, one for each of the two cipher suites that
// a TAM must support (draft-ietf-teep-protocol-26 section 8.1).
type Signers struct {
	ESP256  cosekit.Signer
	Ed25519 cosekit.Signer
}

// all returns the signers in the order of the offered suites.
func (s Signers) all() []cosekit.Signer { return []cosekit.Signer{s.ESP256, s.Ed25519} }

// of returns the signer of a suite, under the name that the suite gives its
// algorithm. There are no other suites: a key of another algorithm cannot be made.
func (s Signers) of(alg cosekit.Algorithm) cosekit.Signer {
	switch alg {
	case cosekit.Ed25519:
		return s.Ed25519
	case cosekit.LegacyEdDSA:
		return cosekit.UnderLegacyName(s.Ed25519)
	case cosekit.LegacyES256:
		return cosekit.UnderLegacyName(s.ESP256)
	}
	return s.ESP256
}

// FirstContact is what an unknown agent is asked for in its first QueryRequest.
type FirstContact string

// With TokenFirst polls of known agents stay cheap: only who is unknown, or was
// attested too long ago, is asked again, for evidence. ChallengeFirst asks everybody
// for evidence at once.
const (
	TokenFirst     FirstContact = "token"
	ChallengeFirst FirstContact = "challenge"
)

// Admission is what becomes of a device at its first affirmed and bound evidence.
type Admission string

// The admissions.
const (
	AdmitPending       Admission = "pending"       // an operator decides
	AdmitAffirming     Admission = "affirming"     // accepted at once, the first of each attestation key
	AdmitPreregistered Admission = "preregistered" // accepted where the ueid is known, else refused
)

// SecondKey is what becomes of another TEEP key that brings affirmed evidence of a
// device that has an agent already.
type SecondKey string

// By default it is refused, so that nobody who holds an attestation key can take a
// device over in silence. Replacement removes the earlier keys. The same goes for the
// attestation key that vouches for a device: the first is kept, another is refused
// or takes its place.
const (
	RefuseSecondKey  SecondKey = "refuse"
	ReplaceSecondKey SecondKey = "replace-after-attestation"
)

// Policy is what operators decide about sessions.
type Policy struct {
	FirstContact FirstContact
	Admission    Admission
	SecondKey    SecondKey

	AttestationMaxAge time.Duration // older ones must be renewed before anything is offered
	ChallengeLifetime time.Duration
	EvidenceMaxAge    time.Duration // by its iat, where timestamps show that evidence is fresh
	TokenLifetime     time.Duration // of tokens in QueryRequests
	UpdateLifetime    time.Duration // of Updates that wait for their answer
	ClockSkew         time.Duration // between replicas
	TokenKeyRotation  time.Duration // age at which a MAC key stops signing

	AppraisalAge   time.Duration // older ones are dropped,
	KeepAppraisals int           // but not the newest of an agent
	EvidenceAge    time.Duration // raw evidence and results of older appraisals are dropped
	KeepEvidence   int           // bytes of evidence, or of a result, that is kept raw; of more, none
	AuditAge       time.Duration // older audit events are dropped; 0: none ever

	Outstanding   int // Updates per agent that may wait for an answer; the oldest are dropped
	MaxAppraisals int // at once in this replica, by each verifier

	Reoffers      int           // of an unanswered or failed manifest, or of an answer that leads nowhere, before the back-off begins
	BackOff       time.Duration // the first one; each further one doubles it
	BackOffMax    time.Duration
	TemporaryHold time.Duration // after ERR_TEMPORARY_ERROR
	PermanentHold time.Duration // after ERR_PERMANENT_ERROR and its like
}

// Defaults is the policy of a TAM that was not told otherwise.
func Defaults() Policy {
	return Policy{
		FirstContact: TokenFirst,
		Admission:    AdmitPending,
		SecondKey:    RefuseSecondKey,

		AttestationMaxAge: 24 * time.Hour,
		ChallengeLifetime: 5 * time.Minute,
		EvidenceMaxAge:    5 * time.Minute,
		TokenLifetime:     5 * time.Minute,
		UpdateLifetime:    6 * time.Hour,
		ClockSkew:         30 * time.Second,
		TokenKeyRotation:  24 * time.Hour,

		AppraisalAge:   90 * 24 * time.Hour,
		KeepAppraisals: 10,
		EvidenceAge:    30 * 24 * time.Hour,
		KeepEvidence:   64 << 10,

		Outstanding:   4,
		MaxAppraisals: 32,

		Reoffers:      3,
		BackOff:       5 * time.Minute,
		BackOffMax:    24 * time.Hour,
		TemporaryHold: 2 * time.Minute,
		PermanentHold: 12 * time.Hour,
	}
}

// withDefaults fills what was left zero.
func (p Policy) withDefaults() Policy {
	d := Defaults()
	orDefault(&p.FirstContact, d.FirstContact)
	orDefault(&p.Admission, d.Admission)
	orDefault(&p.SecondKey, d.SecondKey)
	orDefault(&p.AttestationMaxAge, d.AttestationMaxAge)
	orDefault(&p.ChallengeLifetime, d.ChallengeLifetime)
	orDefault(&p.EvidenceMaxAge, d.EvidenceMaxAge)
	orDefault(&p.TokenLifetime, d.TokenLifetime)
	orDefault(&p.UpdateLifetime, d.UpdateLifetime)
	orDefault(&p.ClockSkew, d.ClockSkew)
	orDefault(&p.TokenKeyRotation, d.TokenKeyRotation)
	orDefault(&p.AppraisalAge, d.AppraisalAge)
	orDefault(&p.KeepAppraisals, d.KeepAppraisals)
	orDefault(&p.EvidenceAge, d.EvidenceAge)
	orDefault(&p.KeepEvidence, d.KeepEvidence)
	orDefault(&p.Outstanding, d.Outstanding)
	orDefault(&p.MaxAppraisals, d.MaxAppraisals)
	orDefault(&p.Reoffers, d.Reoffers)
	orDefault(&p.BackOff, d.BackOff)
	orDefault(&p.BackOffMax, d.BackOffMax)
	orDefault(&p.TemporaryHold, d.TemporaryHold)
	orDefault(&p.PermanentHold, d.PermanentHold)
	return p
}

func orDefault[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

func (p Policy) check() error {
	switch p.FirstContact {
	case TokenFirst, ChallengeFirst:
	default:
		return fmt.Errorf("first contact %q: want %q or %q", p.FirstContact, TokenFirst, ChallengeFirst)
	}
	switch p.Admission {
	case AdmitPending, AdmitAffirming, AdmitPreregistered:
	default:
		return fmt.Errorf("admission %q: want %q, %q or %q", p.Admission, AdmitPending, AdmitAffirming, AdmitPreregistered)
	}
	switch p.SecondKey {
	case RefuseSecondKey, ReplaceSecondKey:
	default:
		return fmt.Errorf("second key %q: want %q or %q", p.SecondKey, RefuseSecondKey, ReplaceSecondKey)
	}
	for name, d := range map[string]time.Duration{
		"attestation max age": p.AttestationMaxAge, "challenge lifetime": p.ChallengeLifetime,
		"evidence max age": p.EvidenceMaxAge, "token lifetime": p.TokenLifetime, "update lifetime": p.UpdateLifetime,
		"clock skew": p.ClockSkew, "token key rotation": p.TokenKeyRotation, "back-off": p.BackOff,
		"longest back-off": p.BackOffMax, "temporary hold": p.TemporaryHold, "permanent hold": p.PermanentHold,
		"appraisal age": p.AppraisalAge, "evidence age": p.EvidenceAge, "audit age": p.AuditAge,
	} {
		if d < 0 {
			return fmt.Errorf("%s of %s: must not be negative", name, d)
		}
	}
	if min(p.Outstanding, p.MaxAppraisals, p.Reoffers, p.KeepAppraisals, p.KeepEvidence) < 0 {
		return errors.New("a bound is negative")
	}
	// A key verifies for one more rotation after it stopped signing, and evidence must
	// not be older than the oldest key.
	if longest := max(p.ChallengeLifetime, p.TokenLifetime, p.EvidenceMaxAge) + 2*p.ClockSkew + 2*keyLead; p.TokenKeyRotation < longest {
		return fmt.Errorf("token key rotation of %s: must not be below %s, which the lifetime of tokens and the age of evidence ask for", p.TokenKeyRotation, longest)
	}
	return nil
}

// backOff is how long a manifest rests that was offered so many times.
func (p Policy) backOff(offers int) time.Duration {
	late := offers - 1 - p.Reoffers
	if late < 0 {
		return 0
	}
	d := p.BackOff
	for ; late > 0 && d < p.BackOffMax && d < math.MaxInt64/2; late-- {
		d *= 2
	}
	return min(d, p.BackOffMax)
}

func (c Config) withDefaults() Config {
	c.Policy = c.Policy.withDefaults()
	if c.Planner == nil {
		c.Planner = NewestPlanner{}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Store == nil:
		return errors.New("no store")
	case c.Verifier == nil:
		return errors.New("no attestation verifier")
	case c.Signers.ESP256 == nil || c.Signers.ESP256.Algorithm() != cosekit.ESP256:
		return errors.New("no ESP256 signer: a TAM must support both suites")
	case c.Signers.Ed25519 == nil || c.Signers.Ed25519.Algorithm() != cosekit.Ed25519:
		return errors.New("no Ed25519 signer: a TAM must support both suites")
	}
	return c.Policy.check()
}
