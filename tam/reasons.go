package tam

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/devices"
)

// Reason says why an answer is not what the sender hoped for. Reasons are stable:
// operators search logs for them, and an endpoint set to debug returns them.
// docs/reasons.md says what to do about each.
type Reason string

// Reasons of messages that are not understood or not authentic. Nothing changes.
const (
	ReasonMalformed         Reason = "malformed"          // not strict CBOR, not COSE, or not a TEEP message of this numbering
	ReasonAlgorithm         Reason = "algorithm"          // an algorithm that is unknown, not allowed here, or not the key's
	ReasonCriticalHeader    Reason = "critical-header"    // a critical header parameter that nobody here understands
	ReasonWrapper           Reason = "cose-wrapper"       // agents send a COSE_Sign1 with its payload attached
	ReasonUnexpectedMessage Reason = "unexpected-message" // only a TAM sends QueryRequest and Update
	ReasonKeyMissing        Reason = "key-missing"        // neither a kid nor evidence names a key
	ReasonUnknownKey        Reason = "unknown-key"        // no agent has this key, and no evidence introduces it
	ReasonSignature         Reason = "signature"          // the TEEP signature is not by the key
)

// Reasons of tokens and challenges. Nothing changes.
const (
	ReasonTokenForeign Reason = "token-foreign" // not issued here: forged, or for another endpoint, numbering or agent
	ReasonTokenPurpose Reason = "token-purpose" // a challenge where a token belongs, or the other way round
	ReasonTokenExpired Reason = "token-expired"
	ReasonTokenSpent   Reason = "token-spent" // replayed: it was answered before
	ReasonTokenMissing Reason = "token-missing"
	ReasonNoUpdate     Reason = "no-update" // no Update with this token waits for this agent
	ReasonNumbering    Reason = "numbering" // the Update went out in the other numbering
)

// Reasons of evidence.
const (
	ReasonEvidenceMissing    Reason = "evidence-missing"    // no evidence is in a response that must bring some
	ReasonEvidenceTooLarge   Reason = "evidence-too-large"  // more than package attest reads
	ReasonEvidenceFormat     Reason = "evidence-format"     // the verifier does not read this format
	ReasonEvidenceRepeated   Reason = "evidence-repeated"   // it is not later than the agent's last evidence, or its device's where it brings another key
	ReasonEvidenceUnreadable Reason = "evidence-unreadable" // claims cannot be read, so no challenge is found
	ReasonEvidenceEncrypted  Reason = "evidence-encrypted"  // encrypted, and not to a key of this TAM, or nothing that is read comes out
	ReasonResultUnsupported  Reason = "result-unsupported"  // an Attestation Result (passport model), and no verifier is trusted here
	ReasonResultUnreadable   Reason = "result-unreadable"   // an Attestation Result that is none
	ReasonResultSignature    Reason = "result-signature"    // an Attestation Result that no trusted verifier has signed
	ReasonCnfMissing         Reason = "cnf-missing"         // an unknown key must come in cnf, whole
	ReasonCnfMismatch        Reason = "cnf-mismatch"        // evidence vouches for another key than the one that signs
	ReasonAppraisalRunning   Reason = "appraisal-running"   // evidence for this challenge is under appraisal
	ReasonAppraisalsBusy     Reason = "appraisals-busy"     // temporary: this replica appraises as much as it may
	ReasonNotAppraised       Reason = "not-appraised"       // the verifier could not say anything
	ReasonNotAffirmed        Reason = "not-affirmed"        // the verifier found the evidence wanting
	ReasonNonce              Reason = "nonce"               // the appraised evidence does not answer our challenge
	ReasonEvidenceTime       Reason = "evidence-time"       // expired, not yet valid, too old, or from before the oldest token key
	ReasonUEIDMismatch       Reason = "ueid-mismatch"       // the evidence names no device, or another than the key's
	ReasonAttestationKey     Reason = "attestation-key"     // another attestation key vouched for this device before
	ReasonNotBound           Reason = "not-bound"           // another failure to bind evidence to the message
	ReasonPolicyRejected     Reason = "policy-rejected"     // a policy of the operators does not accept the result
	ReasonPolicyQuarantined  Reason = "policy-quarantined"  // a policy of the operators keeps the device apart
	ReasonSecondKey          Reason = "second-key"          // the device has an agent with another key
	ReasonNotRegistered      Reason = "device-unregistered" // policy admits only devices that operators registered
)

// Reasons of what registered agents say and get.
const (
	ReasonTAMAttestation    Reason = "tam-attestation"      // the agent wants the TAM attested, which cannot be done, or not so often
	ReasonNothingInCommon   Reason = "nothing-in-common"    // the agent supports nothing of what the TAM does
	ReasonAlreadyRetried    Reason = "already-retried"      // one retry is made, not more
	ReasonErrorUnmatched    Reason = "error-unmatched"      // an Error without a token matches nothing
	ReasonAgentError        Reason = "agent-error"          // a registered agent sent an Error, which was recorded
	ReasonTCListTooLong     Reason = "tc-list-too-long"     // more entries in tc-list than are kept of a device
	ReasonReportMalformed   Reason = "report-malformed"     // a SUIT report cannot be read
	ReasonReportNonce       Reason = "report-nonce"         // a SUIT report does not carry the token as its nonce
	ReasonReportKey         Reason = "report-key"           // a SUIT report is not by the agent's own, pinned report key
	ReasonReportEncrypted   Reason = "report-encrypted"     // a SUIT report is not encrypted to a key of this TAM, or not decrypted by it
	ReasonReportTooLarge    Reason = "report-too-large"     // more SUIT reports in one message, or larger ones, than are taken
	ReasonUpdateFailed      Reason = "update-failed"        // the agent could not install everything
	ReasonNothingToDo       Reason = "nothing-to-do"        // the device has all that it should have, or must wait
	ReasonAgentRepeating    Reason = "agent-repeating"      // a back-off runs: the answers to the agent led nowhere too often
	ReasonUnsolicited       Reason = "unsolicited"          // a QueryResponse that answers nothing: asked anew
	ReasonAgentHeld         Reason = "agent-held"           // a back-off after an Error of the agent runs
	ReasonAttestationWanted Reason = "attestation-required" // fresh evidence is asked for
)

// reasonOfState is the reason to send away a device that is not accepted:
// device-pending, device-rejected, device-quarantined, device-retired.
func reasonOfState(s devices.State) Reason { return Reason("device-" + string(s)) }

// refusal ends the processing of a message without any change.
type refusal struct {
	reason Reason
	cause  error // nil where the reason says all
}

func refuse(reason Reason, cause error) *refusal { return &refusal{reason, cause} }

func (r *refusal) Error() string {
	if r.cause == nil {
		return string(r.reason)
	}
	return fmt.Sprintf("%s: %v", r.reason, r.cause)
}

func (r *refusal) Unwrap() error { return r.cause }

func (r *refusal) detail() string {
	if r.cause == nil {
		return ""
	}
	return r.cause.Error()
}
