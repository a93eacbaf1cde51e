package tam

import (
	"bytes"
	"fmt"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// offer plans, and makes the Update of the plan
// (draft-ietf-teep-protocol-26 section 4.4).
func (t *TAM) offer(s *session, m *teep.QueryResponse) (outcome, error) {
	plan, err := t.cfg.Planner.Plan(s.tx, PlanInput{
		Device: s.device, Agent: s.agent, Inventory: s.holdings(),
		Requested: m.RequestedTCs, Unneeded: m.UnneededManifests, Now: s.now,
	})
	if err != nil {
		return outcome{}, fmt.Errorf("plan: %w", err)
	}
	if plan.empty() {
		return outcome{reason: ReasonNothingToDo, detail: plan.words()}, nil
	}
	return t.send(s, plan)
}

// send makes the Update of a plan that has something in it.
func (t *TAM) send(s *session, plan Plan) (outcome, error) {
	if err := s.readStatuses(); err != nil {
		return outcome{}, err
	}
	secret, err := t.tokens.updateToken()
	if err != nil {
		return outcome{}, err
	}
	update := &teep.Update{Token: secret}
	pending := Outstanding{
		Agent: s.thumbprint(), Device: s.device.ID, Token: secret,
		SentAt: s.now, ExpiresAt: s.now.Add(t.cfg.Policy.UpdateLifetime),
	}
	for _, manifest := range plan.Unneeded {
		update.UnneededManifests = append(update.UnneededManifests, manifest.Component)
		pending.Unneeded = append(pending.Unneeded, manifest.Component)
		if err := s.putRemoving(manifest); err != nil {
			return outcome{}, err
		}
	}
	for _, o := range plan.Offers {
		envelope, err := s.envelope(o)
		if err != nil {
			return outcome{}, fmt.Errorf("envelope of manifest %s: %w", o.Digest, err)
		}
		update.Manifests = append(update.Manifests, envelope)
		pending.Manifests = append(pending.Manifests, o.Digest)
		if err := s.putOffered(o); err != nil {
			return outcome{}, err
		}
	}
	if err := s.tx.PutOutstanding(pending, t.cfg.Policy.Outstanding); err != nil {
		return outcome{}, err
	}
	return outcome{reply: update, detail: plan.words()}, nil
}

// envelope returns what goes into manifest-list, without the tag 107 with which
// envelopes stand in files.
func (s *session) envelope(o Offer) ([]byte, error) {
	published, err := s.tx.Envelope(o.Digest)
	if err != nil || !o.WithoutPayload {
		return bytes.TrimPrefix(published, []byte{0xd8, 0x6b}), err
	}
	e, err := suit.Decode(published)
	if err != nil {
		return nil, err
	}
	return e.WithoutPayloads().Encode(false)
}

// putOffered counts the offer, and lets the manifest rest where it was offered too
// often: a lost Update is offered again, a few times at once, then with back-off.
func (s *session) putOffered(o Offer) error {
	next := devices.ComponentStatus{
		Device: s.device.ID, Component: o.Component, Manifest: o.Digest, Sequence: o.Sequence,
		State: devices.Offered, Attempts: 1, Since: s.now,
	}
	if old, ok := s.status(o.Component.Key()); ok && old.Manifest.Equal(o.Digest) && !old.State.Removal() {
		next.Attempts = old.Attempts + 1
		if old.State == devices.Offered {
			next.Since = old.Since
		}
	}
	next.Held, next.MeasuredAt = s.standing(o.Manifest)
	if rest := s.t.cfg.Policy.backOff(next.Attempts); rest > 0 {
		next.RetryAfter = s.now.Add(rest)
	}
	event := s.event(audit.UpdateOffered, s.device.ID)
	event.Details = manifestDetails(o.Manifest)
	if o.WithoutPayload {
		event.Details["payload"] = "left out: the device has the binary"
	}
	if err := s.tx.PutComponentStatus(next); err != nil {
		return err
	}
	return s.tx.AppendEvent(event)
}

func manifestDetails(m Manifest) map[string]string {
	return map[string]string{
		"manifest": m.Digest.String(), "component": m.Component.String(), "sequence": fmt.Sprint(m.Sequence),
	}
}
