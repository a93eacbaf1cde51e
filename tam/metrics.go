package tam

import (
	"time"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Observer is told of every message after it was processed. It is called by many
// sessions at once, each of which waits for it.
type Observer interface {
	MessageProcessed(Observation)
}

// AttestationObserver is an Observer that is told of attestations too: of every message
// that brought evidence or a result which was looked into.
type AttestationObserver interface {
	AttestationProcessed(AttestationObservation)
}

// AttestationObservation is what evidence or a result came to.
type AttestationObservation struct {
	Endpoint string
	Verifier string         // who appraised; empty where nobody could
	Outcome  policy.Outcome // of policy; empty where it was not asked
	Accepted bool
	Reason   Reason // why not
	// Moved is audit.DeviceQuarantined or audit.DeviceReleased where policy did that.
	Moved audit.Action
}

// What stands for a message that has no kind.
const (
	MessageConnect    = "connect"    // the empty one, which asks for a QueryRequest
	MessageUnreadable = "unreadable" // one that could not be decoded
)

// Observation is one message and what it came to.
type Observation struct {
	Endpoint string
	Message  string    // name of its kind, MessageConnect or MessageUnreadable
	Reply    teep.Kind // of the answer; 0 where there is none
	Reason   Reason    // why not what the sender hoped for
	Fault    bool      // of the TAM itself: there was no answer
	Took     time.Duration
}

// observeConnect observes a connect that began at the time given.
func (t *TAM) observeConnect(ep *Endpoint, began time.Time, err error) {
	t.observe(Observation{Endpoint: ep.Path, Message: MessageConnect, Reply: teep.KindQueryRequest}, began, err)
}

// observeMessage observes a message of an agent.
func (t *TAM) observeMessage(x *exchange, out outcome, err error) {
	o := Observation{Endpoint: x.ep.Path, Message: MessageUnreadable, Reason: out.reason}
	if x.env != nil {
		o.Message = x.env.Kind().String()
	}
	if out.reply != nil {
		o.Reply = out.reply.Kind()
	}
	t.observe(o, x.now, err)
	observer, ok := t.cfg.Observer.(AttestationObserver)
	a := x.appraised
	if !ok || err != nil || a.result == nil && a.fault == nil {
		return
	}
	seen := AttestationObservation{
		Endpoint: x.ep.Path, Outcome: a.decision.Outcome, Accepted: a.fault == nil, Reason: a.reason, Moved: x.moved,
	}
	if a.result != nil {
		seen.Verifier = a.result.Verifier
	}
	observer.AttestationProcessed(seen)
}

func (t *TAM) observe(o Observation, began time.Time, err error) {
	if t.cfg.Observer == nil {
		return
	}
	if err != nil {
		o.Reply, o.Reason, o.Fault = 0, "", true
	}
	o.Took = t.cfg.Clock().Sub(began)
	t.cfg.Observer.MessageProcessed(o)
}

// Reasons lists every reason that there is, for those who count by reason and must
// bound what they count by.
func Reasons() []Reason {
	all := []Reason{
		ReasonMalformed, ReasonAlgorithm, ReasonCriticalHeader, ReasonWrapper, ReasonUnexpectedMessage,
		ReasonKeyMissing, ReasonUnknownKey, ReasonSignature,

		ReasonTokenForeign, ReasonTokenPurpose, ReasonTokenExpired, ReasonTokenSpent, ReasonTokenMissing,
		ReasonNoUpdate, ReasonNumbering,

		ReasonEvidenceMissing, ReasonEvidenceTooLarge, ReasonEvidenceFormat, ReasonEvidenceRepeated, ReasonEvidenceUnreadable, ReasonEvidenceEncrypted,
		ReasonResultUnsupported, ReasonResultUnreadable, ReasonResultSignature,
		ReasonCnfMissing, ReasonCnfMismatch, ReasonAppraisalRunning, ReasonAppraisalsBusy, ReasonNotAppraised,
		ReasonNotAffirmed, ReasonNonce, ReasonEvidenceTime, ReasonUEIDMismatch, ReasonAttestationKey, ReasonNotBound,
		ReasonPolicyRejected, ReasonPolicyQuarantined, ReasonSecondKey,
		ReasonNotRegistered,

		ReasonTAMAttestation, ReasonNothingInCommon, ReasonAlreadyRetried, ReasonErrorUnmatched, ReasonAgentError,
		ReasonTCListTooLong, ReasonReportMalformed, ReasonReportNonce, ReasonReportKey, ReasonReportEncrypted, ReasonReportTooLarge, ReasonUpdateFailed, ReasonNothingToDo,
		ReasonAgentHeld, ReasonAgentRepeating, ReasonUnsolicited, ReasonAttestationWanted,
	}
	for _, s := range []devices.State{devices.Pending, devices.Rejected, devices.Quarantined, devices.Retired} {
		all = append(all, reasonOfState(s))
	}
	return all
}
