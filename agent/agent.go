package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// Config is what an Agent is made of. What follows Clock may be left out, all else is
// needed.
type Config struct {
	TAM       string // the URI of the TAM that this agent belongs to
	Numbering teep.Numbering
	Key       cosekit.Signer // signs TEEP messages; its algorithm is the agent's cipher suite
	ReportKey cosekit.Signer // signs SUIT_Reports; not the same key

	Anchors    anchor.Store
	Components Components
	Memory     Memory
	Attester   Attester
	Clock      func() time.Time
	Processing Processing
	// Reports is whom SUIT_Reports are encrypted to; nil: they are signed only.
	Reports *cosekit.AgreementPublicKey

	// EvidenceTo is whom Evidence and passports are encrypted to; nil: whoever carries
	// messages reads them.
	EvidenceTo *cosekit.AgreementPublicKey
	// TAMAttestation makes the TAM attest itself first; nil: it need not.
	TAMAttestation *TAMAttestation
	// UEID is that of the device, as its evidence has it; nil: a passport is not compared
	// with it.
	UEID []byte
	// Passports keeps an Attestation Result that the TAM passes back, to present it where
	// a TAM sends no challenge.
	Passports bool
	// Results verifies what the TAM presents as a result about itself, and passports. Where
	// it is nil, the first is refused, and the second kept unread.
	Results ResultVerifier

	// Legacy lets TAMs and publishers sign with ES256 and EdDSA.
	Legacy cosekit.LegacyPolicy
	// Observe sees each step as it happens, refusals with their reasons among them.
	Observe func(Event)
}

// Processing says how manifests are taken, and what the device can do for them; see
// processor.Config for each. What is left out it cannot do.
type Processing struct {
	// Signatures is which signatures a manifest needs, by signers of whom each may
	// publish what it installs.
	Signatures    suit.SignatureRule
	Mode          processor.Mode
	Limits        *processor.Limits // nil: the processor's default
	Fetcher       processor.Fetcher // nil: manifests use integrated payloads only
	Keys          cosekit.DecryptionKeys
	Invoke        func(context.Context, processor.Invocation) error
	Circumstances processor.Circumstances
	Custom        map[suit.CommandCode]processor.CustomCommand
	Names         suit.CommandNames
	Observe       func(processor.Step)
}

// Agent processes one message at a time; more wait for their turn.
type Agent struct {
	config    Config
	suite     teep.CipherSuite
	processor *processor.Processor
	mu        sync.Mutex
	papers    Papers // as Memory has them, and what it could not keep
	demand    demand
	// presented: the TAM was shown a passport in its last question for attestation.
	presented bool
}

// New checks that the configuration is whole.
func New(c Config) (*Agent, error) {
	switch {
	case c.TAM == "":
		return nil, errors.New("agent: no TAM URI")
	case c.Key == nil || c.ReportKey == nil:
		return nil, errors.New("agent: needs a message key and a report key")
	case !c.Key.PublicKey().SignsTEEP() || !c.ReportKey.PublicKey().SignsTEEP():
		return nil, fmt.Errorf("agent: message key for %s, report key for %s: messages and reports are signed with ESP256 or Ed25519",
			cosekit.AlgorithmName(c.Key.PublicKey().Algorithm()), cosekit.AlgorithmName(c.ReportKey.PublicKey().Algorithm()))
	case c.Key.PublicKey().Equal(c.ReportKey.PublicKey()):
		return nil, errors.New("agent: the report key must not be the message key (draft-ietf-teep-protocol-26 section 4.5)")
	case c.Components == nil || c.Memory == nil || c.Attester == nil || c.Clock == nil:
		return nil, errors.New("agent: incomplete configuration")
	case c.TAMAttestation != nil && c.TAMAttestation.Verifier == nil && (c.Results == nil || c.TAMAttestation.UEID == nil):
		return nil, errors.New("agent: nothing to verify the attestation of the TAM with")
	}
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	a := &Agent{config: c, suite: teep.SuiteESP256}
	if c.Key.Algorithm() == cosekit.Ed25519 {
		a.suite = teep.SuiteEd25519
	}
	a.readPapers()
	p := c.Processing
	limits := processor.DefaultLimits()
	if p.Limits != nil {
		limits = *p.Limits
	}
	a.processor = processor.New(processor.Config{
		Host: c.Components, Limits: limits, Mode: p.Mode, Fetcher: p.Fetcher, Authority: processor.AuthorityFunc(a.authority),
		Signatures: signatures(c.Legacy), Keys: p.Keys, Invoke: p.Invoke, Circumstances: p.Circumstances, Custom: p.Custom,
		Names: p.Names, Observe: p.Observe,
	})
	return a, nil
}

// RequestTA asks for a component (RFC 9397 section 6.2.1). It returns the URI of the
// TAM to connect to, or none where the component is installed already. With HaveBinary
// the TAM leaves out a payload that the manifest carries, as the image is there already.
// That does not hold on to the image: one that the manifest has by URI is fetched, and
// where the one left out turns out to be another, the next request is for it too.
func (a *Agent) RequestTA(tc teep.RequestedTC) (tam string, err error) {
	if tc.HaveBinary && tc.MinSequence == nil {
		return "", errMinSequence
	}
	added, err := a.config.Memory.Request(tc)
	if err != nil || !added {
		return "", err
	}
	return a.config.TAM, nil
}

// errMinSequence: draft-ietf-teep-protocol-26 section 4.3, have-binary.
var errMinSequence = errors.New("asking for a manifest without its payload needs a minimum sequence number")

// UnrequestTA says that nobody on the device needs the component any more (RFC 9397
// section 6.2.1). A request for it is taken back. Where it is installed, the next
// QueryResponse lists its manifests as unneeded, and so does every one after it until
// the TAM has them unlinked. It returns the URI of the TAM to connect to, or none where
// there is nothing to tell.
func (a *Agent) UnrequestTA(component suit.ComponentID) (tam string, err error) {
	changed, err := a.config.Memory.Withdraw(component)
	if err != nil || !changed {
		return "", err
	}
	return a.config.TAM, nil
}

// RequestPolicyCheck returns the URI of the TAM to connect to, so that changes of
// its policy reach the device (RFC 9397 section 6.2.1). How often is the caller's choice.
func (a *Agent) RequestPolicyCheck() (tam string) { return a.config.TAM }

// ProcessTeepMessage takes a message from the TAM and returns the answer to send, or
// nil where the session ends (RFC 9397 section 6.2.1). The error says why a message
// came to nothing or not to all that it asked for; an answer beside it is still to be
// sent. The caller has bounded the size of wire.
func (a *Agent) ProcessTeepMessage(ctx context.Context, wire []byte) (answer []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	envelope, err := teep.Open(a.config.Numbering, wire)
	if err != nil {
		return a.refuseUnread(wire, err)
	}
	message, key, err := a.authenticate(envelope)
	if err != nil {
		a.observe(StepRefused, "%v", err)
		return nil, err
	}
	switch m := message.(type) {
	case *teep.QueryRequest:
		return a.answerQuery(ctx, m, key)
	case *teep.Update:
		if key.Algorithm() != a.config.Key.Algorithm() {
			return a.refuse(m.Token, &teep.ProtocolError{Code: teep.PermanentError, Msg: fmt.Sprintf(
				"Update signed with %s, the selected cipher suite is %s",
				cosekit.AlgorithmName(key.Algorithm()), cosekit.AlgorithmName(a.config.Key.Algorithm()))})
		}
		return a.applyUpdate(ctx, m, key)
	default:
		return a.refuse(nil, &teep.ProtocolError{Code: teep.PermanentError, Msg: fmt.Sprintf("a TAM does not send %s", message.Kind())})
	}
}

// authenticate finds the TAM key that signed the message. A COSE_Sign may carry
// several signatures; one by a trusted key is enough. A key of the agent's own algorithm
// comes first: it signs what follows, and so it is the one that has attested itself.
func (a *Agent) authenticate(envelope *teep.Envelope) (teep.Message, *cosekit.PublicKey, error) {
	fault := errors.New("the anchor store holds no TAM key that is valid now")
	for _, trusted := range a.tams() {
		message, err := envelope.Verify(trusted.Key, a.config.Legacy)
		if err == nil {
			return message, trusted.Key, nil
		}
		fault = err
	}
	return nil, nil, fmt.Errorf("%w: %w", ErrUntrustedTAM, fault)
}

func (a *Agent) tams() []anchor.Anchor {
	list := a.config.Anchors.For(anchor.TAM, a.config.Clock())
	other := func(t anchor.Anchor) int {
		if t.Key.Algorithm() == a.config.Key.Algorithm() {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(list, func(x, y anchor.Anchor) int { return other(x) - other(y) })
	return list
}

// refuseUnread answers bytes that are no TEEP message. Those that would be one in the
// other numbering are the mark of a device or an endpoint that is set up wrongly.
func (a *Agent) refuseUnread(wire []byte, fault error) ([]byte, error) {
	own, other := a.config.Numbering, teep.PreIANA
	if own == other {
		other = teep.IANA
	}
	if _, err := teep.Open(other, wire); err != nil {
		return a.refuse(nil, &teep.ProtocolError{Code: teep.PermanentError, Msg: "not a TEEP message: " + fault.Error()})
	}
	answer, err := a.refuse(nil, &teep.ProtocolError{Code: teep.PermanentError, Msg: fmt.Sprintf(
		"not a TEEP message in numbering %s, but one in %s; is that of this endpoint set right?", own, other)})
	return answer, fmt.Errorf("%w: %w", ErrNumbering, err)
}

// refuse answers with an Error, and gives the reason to the caller too.
func (a *Agent) refuse(token []byte, reason *teep.ProtocolError) ([]byte, error) {
	a.observe(StepRefused, "%s: %s", reason.Code, reason.Msg)
	answer, err := a.seal(a.errorFor(token, reason))
	return answer, errors.Join(fmt.Errorf("%w: %w", ErrRefused, reason), err)
}

// errorFor builds an Error with the lists that its code makes mandatory
// (draft-ietf-teep-protocol-26 section 4.6).
func (a *Agent) errorFor(token []byte, reason *teep.ProtocolError) *teep.Error {
	e := &teep.Error{Token: token, Code: reason.Code, ErrMsg: teep.DiagnosticText(reason.Msg)}
	switch reason.Code {
	case teep.UnsupportedCipherSuites:
		e.CipherSuites = []teep.CipherSuite{a.suite}
	case teep.UnsupportedFreshnessMechanisms, teep.AttestationRequired:
		e.FreshnessMechanisms = []teep.FreshnessMechanism{teep.FreshnessNonce}
	case teep.UnsupportedMsgVersion:
		e.Versions = []uint32{version}
	}
	return e
}

func (a *Agent) seal(m teep.Message) ([]byte, error) {
	answer, err := teep.Seal(a.config.Numbering, m, a.config.Key)
	if err != nil {
		return nil, fmt.Errorf("answer with %s: %w", m.Kind(), err)
	}
	return answer, nil
}

func (a *Agent) observe(step Step, format string, args ...any) {
	a.config.Observe(Event{step, fmt.Sprintf(format, args...)})
}
