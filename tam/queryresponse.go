package tam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// queryResponse handles the QueryResponse of a registered agent
// (draft-ietf-teep-protocol-26 section 7.1.1). A token says that it answers a
// token; what evidence comes along then was not asked for and is not looked at.
func (t *TAM) queryResponse(ctx context.Context, x *exchange, m *teep.QueryResponse) (outcome, error) {
	switch {
	case len(m.TCList) > maxTCList:
		words := fmt.Sprintf("%d entries in tc-list, this TAM takes %d", len(m.TCList), maxTCList)
		return x.complain(teep.PermanentError, ReasonTCListTooLong, words), nil
	case m.Token != nil:
		return t.polled(ctx, x, m)
	case x.unreadable != nil:
		return x.cannotRead(x.unreadable.reason, x.unreadable.detail()), nil
	case m.Attestation == nil && x.ep.byTime():
		return x.complain(teep.AttestationRequired, ReasonEvidenceMissing, "no evidence in the QueryResponse"), nil
	case m.Attestation == nil:
		return t.unsolicited(x)
	case !x.isResult && !x.hidden && x.claims.Nonce == nil && x.ep.Freshness != teep.FreshnessTimestamp:
		return t.unsolicited(x)
	}
	return t.attested(ctx, x, m)
}

// unsolicited answers a QueryResponse that answers nothing of ours with a fresh
// QueryRequest: it may be old, whoever sends it. The request has a token, which the
// agent spends with its answer, so that one who goes on like this comes to rest.
func (t *TAM) unsolicited(x *exchange) (outcome, error) {
	key := x.thumbprint()
	request, err := t.queryRequest(x.ep, purpose(tokenItems), &key, x.env.Algorithm())
	return outcome{reply: request, reason: ReasonUnsolicited, detail: "neither token nor challenge in the QueryResponse"}, err
}

// complain makes the Update that tells a registered agent what was wrong with its
// QueryResponse (section 4.4, err-code). It has no token: there is nothing to answer.
func (x *exchange) complain(code teep.ErrorCode, reason Reason, words string) outcome {
	return outcome{reply: &teep.Update{ErrCode: code, ErrMsg: teep.DiagnosticText(words), ErrLang: "en"}, reason: reason, detail: words}
}

// cannotRead is the answer to evidence that cannot be read and, so that nobody learns from
// answers what stands in a ciphertext that is not its own, to all that came encrypted and
// was not found to be genuine and this agent's: a cipher without a tag lets anybody change
// what is in there, bit by bit.
func (x *exchange) cannotRead(reason Reason, detail string) outcome {
	out := x.complain(teep.PermanentError, reason, "the evidence cannot be read")
	out.detail = detail
	return out
}

// polled handles a QueryResponse that answers a token.
func (t *TAM) polled(ctx context.Context, x *exchange, m *teep.QueryResponse) (outcome, error) {
	key := x.thumbprint()
	tok, err := t.tokens.open(m.Token, x.ep, &key, false)
	if err != nil {
		return outcome{}, err
	}
	fault := t.startReports(m.SUITReports, m.Token)
	var out outcome
	err = t.cfg.Store.Update(ctx, func(tx Tx) (err error) {
		s, err := t.spend(tx, x, tok)
		if err != nil {
			return err
		}
		if fault != nil && !s.agent.HoldActive(s.now) {
			out = x.complain(teep.PermanentError, fault.reason, "a SUIT report is not accepted: "+string(fault.reason))
			s.ledNowhere()
			return s.finish()
		}
		if err := s.takeInventory(m, tok.purpose); err != nil {
			return err
		}
		if out, err = t.serve(s, m, tok.purpose, s.attestationDue); err != nil {
			return err
		}
		return s.finish()
	})
	return out, err
}

// session is what a transaction knows about the agent whose token it spends.
type session struct {
	*exchange
	t      *TAM
	tx     Tx
	agent  devices.Agent
	device devices.Device
	// deviceChanged says that finish has to write the device.
	deviceChanged bool
	// inventory and statuses are of the device, as far as they were read.
	inventory []devices.InventoryItem
	// issued is the iat of evidence that came for its timestamp, zero for none.
	issued   time.Time
	statuses []devices.ComponentStatus
	// measured are the attester's digests by component; nil without accepted evidence.
	measured map[string]suit.Digest
	// versions are the published manifests that the attester names, by manifest
	// component id.
	versions map[string][]suit.Digest
}

// spend begins the transaction of a registered agent's answer: agent and device as
// they are now, the token spent. A registered key spends with every validly signed
// answer, so whatever follows in this transaction is an outcome, not a rollback.
func (t *TAM) spend(tx Tx, x *exchange, tok token) (*session, error) {
	s, err := t.begin(tx, x)
	if err != nil {
		return nil, err
	}
	return s, s.spend(tok)
}

// begin reads again what may have changed since the key was looked up.
func (t *TAM) begin(tx Tx, x *exchange) (*session, error) {
	agent, err := tx.Agent(x.thumbprint())
	if errors.Is(err, ErrNotFound) {
		return nil, refuse(ReasonUnknownKey, errors.New("the agent was removed"))
	}
	if err != nil {
		return nil, err
	}
	device, err := tx.Device(agent.Device)
	if err != nil {
		return nil, err
	}
	return &session{exchange: x, t: t, tx: tx, agent: agent, device: device}, nil
}

// spend marks the token as answered.
func (s *session) spend(tok token) error {
	if err := s.checkTimestamp(tok); err != nil {
		return err
	}
	if tok.unasked || tok.passport {
		s.issued = tok.issued
	}
	if tok.passport {
		return nil
	}
	err := s.tx.Spend(tok.raw, tok.spentUntil)
	if errors.Is(err, ErrSpent) {
		return refuse(ReasonTokenSpent, nil)
	}
	return err
}

// checkTimestamp wants the timestamps of an agent's evidence to rise, and those of its
// passports not to fall.
func (s *session) checkTimestamp(tok token) error {
	if tok.unasked && !tok.issued.After(s.agent.EvidenceAt) || tok.passport && tok.issued.Before(s.agent.EvidenceAt) {
		return refuse(ReasonEvidenceRepeated, fmt.Errorf("made at %s, an earlier one at %s", tok.issued, s.agent.EvidenceAt))
	}
	return nil
}

// finish writes the agent back.
func (s *session) finish() error {
	s.agent.LastSeen = s.now
	if s.issued.After(s.agent.EvidenceAt) {
		s.agent.EvidenceAt = s.issued
	}
	if s.deviceChanged {
		if err := s.tx.PutDevice(s.device); err != nil {
			return err
		}
	}
	return s.tx.PutAgent(s.agent)
}

// serve decides what the device gets now, whose answer had a token of this purpose.
// due says why fresh evidence is wanted first, or nothing.
func (t *TAM) serve(s *session, m *teep.QueryResponse, p purpose, due func() (string, error)) (outcome, error) {
	s.agent.Numbering, s.agent.Algorithm = s.ep.Numbering, s.env.Algorithm()
	if m.Extensions != nil {
		s.agent.Extensions = m.Extensions
	}
	if s.device.State == devices.Quarantined && !s.agent.HoldActive(s.now) {
		// Its evidence may release it, or show which remedy it needs.
		return t.ask(s, p, "the device is in quarantine: "+s.device.StateReason)
	}
	if s.device.State != devices.Accepted {
		return s.sendAway(reasonOfState(s.device.State), s.device.StateReason)
	}
	if s.agent.HoldActive(s.now) {
		return s.sendAway(s.holdReason(), s.agent.HoldReason)
	}
	s.agent.HoldUntil, s.agent.HoldReason = time.Time{}, ""
	why, err := due()
	if err != nil {
		return outcome{}, err
	}
	if why != "" {
		return t.ask(s, p, why)
	}
	s.agent.Repeats = 0
	return t.offer(s, m)
}

// ask asks a registered agent for evidence, which leads nowhere until it is accepted.
func (t *TAM) ask(s *session, p purpose, why string) (outcome, error) {
	key := s.thumbprint()
	s.ledNowhere()
	request, err := t.queryRequest(s.ep, purpose(challengeItems)|p&purposeRetry, &key, s.env.Algorithm())
	return outcome{reply: request, reason: ReasonAttestationWanted, detail: why}, err
}

// ledNowhere counts answers in a row after which the agent is where it was. One that
// goes on so gets a rest after a few, which doubles: it would ask for ever.
func (s *session) ledNowhere() {
	s.agent.Repeats++
	if rest := s.t.cfg.Policy.backOff(s.agent.Repeats); rest > 0 {
		s.agent.HoldUntil = s.now.Add(rest)
		s.agent.HoldReason = fmt.Sprintf("%d answers in a row led nowhere", s.agent.Repeats)
	}
}

// holdReason tells a back-off of a repeating agent from one after an Error.
func (s *session) holdReason() Reason {
	if s.t.cfg.Policy.backOff(s.agent.Repeats) > 0 {
		return ReasonAgentRepeating
	}
	return ReasonAgentHeld
}

// sendAway gives a registered agent nothing.
func (s *session) sendAway(reason Reason, words string) (outcome, error) {
	out := outcome{reason: reason, detail: words}
	if !s.noteworthy(string(reason)) {
		return out, nil
	}
	event := s.event(audit.SessionRefused, s.device.ID)
	event.Reason = string(reason)
	return out, s.tx.AppendEvent(event)
}

// attestationDue says why the device must attest before it is served: too long
// ago, or under other policies, or a claim of the agent, or what stands after a failure, waits for the
// attester's word. One answer to that is enough, whatever it is.
func (s *session) attestationDue() (string, error) {
	if s.agent.AttestedAt.IsZero() {
		return "not attested, or not successfully the last time", nil
	}
	if age := s.now.Sub(s.agent.AttestedAt); age >= s.t.cfg.Policy.AttestationMaxAge {
		return fmt.Sprintf("last attested %s ago", age.Round(time.Second)), nil
	}
	state, err := s.tx.PolicyState()
	if err != nil {
		return "", err
	}
	if state != s.agent.AcceptedUnder {
		return "its evidence was accepted before policies, groups or what evidence is appraised against were changed", nil
	}
	if err := s.readStatuses(); err != nil {
		return "", err
	}
	for _, c := range s.statuses {
		if (c.State == devices.Claimed || c.State == devices.Unlinked) && !c.Since.Before(s.lastShown()) {
			return fmt.Sprintf("%s is %s, not confirmed", c.Component, c.State), nil
		}
		if c.State == devices.Failed && c.MeasuredAt.Before(c.Since) {
			return fmt.Sprintf("%s has failed, and was not measured since", c.Component), nil
		}
	}
	return "", nil
}

// lastShown is when the device last showed evidence that policy was asked about. AttestedAt
// is earlier where an acceptance ends before evidence is too old.
func (s *session) lastShown() time.Time {
	if s.device.EvidenceAt.After(s.agent.AttestedAt) {
		return s.device.EvidenceAt
	}
	return s.agent.AttestedAt
}

func (s *session) readStatuses() (err error) {
	if s.statuses == nil {
		s.statuses, err = s.tx.ComponentStatuses(s.device.ID)
	}
	return err
}

func (s *session) status(component string) (devices.ComponentStatus, bool) {
	for _, c := range s.statuses {
		if c.Component.Key() == component {
			return c, true
		}
	}
	return devices.ComponentStatus{}, false
}

// maxTCList bounds what is kept of a device, and compared in the transaction that
// spends its token.
const maxTCList = 1024

// takeInventory keeps the tc-list of a verified response, which is all that is
// installed. The list must not be empty on the wire, so one that is absent is the
// only way to say that nothing is.
func (s *session) takeInventory(m *teep.QueryResponse, asked purpose) error {
	known, err := s.tx.Inventory(s.device.ID)
	if err != nil || !asked.items().Has(teep.ItemTrustedComponents) {
		s.inventory = known
		return err
	}
	before := make(map[string]devices.InventoryItem, len(known))
	for _, item := range known {
		before[item.Component.Key()] = item
	}
	changed := false
	seen := make(map[string]bool, len(m.TCList))
	for _, claims := range m.TCList {
		key := claims.Component.Key()
		if seen[key] {
			continue // the first claim about a component stands
		}
		seen[key] = true
		item := devices.InventoryItem{Component: claims.Component, Since: s.now}
		if claims.ImageDigest != nil {
			item.Digest = *claims.ImageDigest
		}
		if old, ok := before[key]; ok && old.Digest.Equal(item.Digest) {
			item.Since = old.Since
		} else {
			changed = true
		}
		s.inventory = append(s.inventory, item)
	}
	if !changed && len(s.inventory) == len(known) {
		return nil
	}
	return s.tx.ReplaceInventory(s.device.ID, s.inventory)
}
