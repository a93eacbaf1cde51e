package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// killAgent is a device with its agent. It remembers over all kills what was
// answered, and says again what was not.
type killAgent struct {
	name      string
	path      string // of the endpoint
	numbering teep.Numbering
	key       cosekit.Signer
	reportKey cosekit.Signer
	attester  cosekit.Signer
	publisher *cosekit.PublicKey
	ueid      []byte

	turn   *turn        // what to say next; nil: connect
	update *teep.Update // taken, not yet installed
	holds  map[string]*holding
	spent  []*turn // answered for good: what the TAM must not take again

	// What the TAM has acknowledged.
	enrolled bool
	evidence int            // accepted
	claims   map[string]int // accepted Successes, by manifest
	offers   map[string]int // by manifest
	// Messages whose answer a kill had cut off, when they were said again: all, and
	// those that had been taken before.
	doubts, taken int

	duties // what operators make of it
}

// turn is a message of the agent.
type turn struct {
	kind  turnKind
	wire  []byte
	again bool // said before, and the answer was lost: it was perhaps taken
}

type turnKind string

const (
	connect   turnKind = "connect"
	poll      turnKind = "QueryResponse"
	attesting turnKind = "evidence"
	success   turnKind = "Success"
)

// spentReason is why a message of this kind is refused that was taken before. A
// Success that was taken finds no Update that waits for it any more.
func (k turnKind) spentReason() tam.Reason {
	if k == success {
		return tam.ReasonNoUpdate
	}
	return tam.ReasonTokenSpent
}

// holding is an installed component.
type holding struct {
	manifest   suit.Digest
	id         suit.ComponentID // of the manifest
	sequence   uint64
	target     suit.ComponentID
	image      suit.Digest
	uri        string
	claimed    bool // the TAM has acknowledged the Success
	confirmed  bool // the TAM has acknowledged the evidence
	attempting bool // in the Update under way
}

func newKillAgent(number int, publisher *cosekit.PublicKey) (*killAgent, error) {
	a := &killAgent{
		name: fmt.Sprintf("agent-%d", number), path: "/tam", publisher: publisher, ueid: make([]byte, 17),
		holds: map[string]*holding{}, claims: map[string]int{}, offers: map[string]int{},
	}
	rand.Read(a.ueid)
	a.ueid[0] = 1
	alg := cosekit.ESP256
	if number%2 == 1 {
		alg = cosekit.Ed25519
	}
	if number%3 == 2 {
		a.path, a.numbering = "/old", teep.PreIANA
	}
	var faults [3]error
	a.key, faults[0] = cosekit.GenerateSigner(alg)
	a.reportKey, faults[1] = cosekit.GenerateSigner(alg)
	a.attester, faults[2] = cosekit.GenerateSigner(cosekit.ESP256)
	return a, errors.Join(faults[:]...)
}

// actor is the agent in the audit log.
func (a *killAgent) actor() string { return "agent:" + a.key.PublicKey().Thumbprint().String() }

// speak takes one step of a session. The session is over when there is nothing to
// say next.
func (a *killAgent) speak(ctx context.Context, s *site) error {
	if a.update != nil {
		return a.install(ctx, s)
	}
	t := a.turn
	if t == nil {
		t = &turn{kind: connect}
	}
	r, err := s.post(ctx, a.path, t.wire)
	if err != nil {
		t.again = true
		return err
	}
	if t.again {
		a.doubts++
	}
	if r.status == http.StatusNoContent && t.kind != connect {
		err = a.heardNothing(t, tam.Reason(r.reason))
	} else {
		err = a.hear(s, t, r)
	}
	if err != nil {
		return fmt.Errorf("%s, after its %s (said before: %t): %w", a.name, t.kind, t.again, err)
	}
	return nil
}

// heardNothing is the empty answer, whose reason says what it means.
func (a *killAgent) heardNothing(t *turn, reason tam.Reason) error {
	taken := t.again && reason == t.kind.spentReason() // before the kill, it turns out
	if taken {
		a.taken++
	}
	switch t.kind {
	case success:
		if !taken && reason != "" {
			return fmt.Errorf("refused: %s", reason)
		}
		for _, h := range a.holds {
			if h.attempting {
				h.attempting, h.claimed = false, true
				a.claims[h.manifest.String()]++
			}
		}
	case attesting:
		if !taken && !a.served(reason) {
			return fmt.Errorf("refused: %s", reason)
		}
		a.attested()
	default:
		if !taken && !a.served(reason) {
			return fmt.Errorf("refused: %s", reason)
		}
	}
	a.spend()
	return nil
}

// served reports whether the reason is one for which a session ends well.
func (a *killAgent) served(reason tam.Reason) bool {
	return reason == tam.ReasonNothingToDo || reason == "device-pending" && !a.accepted
}

// attested: what was claimed before is confirmed now.
func (a *killAgent) attested() {
	a.enrolled = true
	a.evidence++
	for _, h := range a.holds {
		h.confirmed = h.claimed
	}
}

// spend ends a turn that the TAM has taken. A few are kept to be said again.
func (a *killAgent) spend() {
	const kept = 4
	a.spent = append(a.spent, a.turn)
	a.spent = a.spent[max(0, len(a.spent)-kept):]
	a.turn = nil
}

// hear takes the message of the TAM that answers a turn.
func (a *killAgent) hear(s *site, t *turn, r reply) error {
	if r.status != http.StatusOK {
		return fmt.Errorf("HTTP status %d %s", r.status, r.reason)
	}
	envelope, err := teep.Open(a.numbering, r.body)
	if err != nil {
		return err
	}
	m, err := envelope.Verify(s.keys[a.key.Algorithm()], false)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *teep.QueryRequest:
		if t.kind == connect || t.kind == poll {
			return a.asked(m)
		}
	case *teep.Update:
		if t.kind != poll && t.kind != attesting {
			break
		}
		if m.ErrCode != 0 || len(m.Manifests) == 0 || len(m.UnneededManifests) > 0 {
			return fmt.Errorf("Update with %d manifests: %s %s", len(m.Manifests), m.ErrCode, m.ErrMsg)
		}
		if t.kind == attesting {
			a.attested()
		}
		a.spend()
		return a.take(m)
	}
	return fmt.Errorf("the TAM sent %s", m.Kind())
}

// asked prepares the answer to a QueryRequest. A poll that is answered by a challenge
// was spent only if the TAM knows the agent: so it is not kept.
func (a *killAgent) asked(q *teep.QueryRequest) error {
	m := &teep.QueryResponse{Token: q.Token, TCList: a.properties()}
	next := &turn{kind: poll}
	if q.DataItems.Has(teep.ItemAttestation) {
		next.kind = attesting
		token, err := attest.SignEAT(a.measure(q.Challenge), a.attester)
		if err != nil {
			return err
		}
		m.Attestation = &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}
	}
	a.turn = next
	return a.seal(m)
}

func (a *killAgent) seal(m teep.Message) (err error) {
	a.turn.wire, err = teep.Seal(a.numbering, m, a.key)
	return err
}

func (a *killAgent) properties() (list []suit.PropertyClaims) {
	for _, key := range slices.Sorted(maps.Keys(a.holds)) {
		h := a.holds[key]
		list = append(list, suit.PropertyClaims{Component: h.target, ImageDigest: &h.image})
	}
	return list
}

// measure makes the claims of the device's attester.
func (a *killAgent) measure(challenge []byte) *attest.Claims {
	c := &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, UEID: a.ueid,
		OEMID: cosekit.MustMarshal([]byte{1, 2, 3}), HWModel: []byte("board"), HWVersion: "1.0",
		Confirmation: attest.Confirmation{Key: a.key.PublicKey()}, Manifests: []attest.ManifestRef{},
	}
	for _, key := range slices.Sorted(maps.Keys(a.holds)) {
		h := a.holds[key]
		ref := attest.ManifestRef{Digest: h.manifest}
		c.Manifests = append(c.Manifests, ref)
		c.Measurements = append(c.Measurements, attest.Measurement{Manifest: ref,
			Components: []suit.PropertyClaims{{Component: h.target, ImageDigest: &h.image}}})
	}
	return c
}

// take checks the manifests of an Update. One that the agent has already tells that
// the TAM forgot a Success; an older one, that it forgot a manifest.
func (a *killAgent) take(u *teep.Update) error {
	a.update = u
	for _, raw := range u.Manifests {
		next, err := a.read(raw)
		if err != nil {
			return err
		}
		a.offers[next.manifest.String()]++
		if old := a.holds[next.id.Key()]; old != nil && next.sequence <= old.sequence {
			return fmt.Errorf("%s is offered sequence %d of %s and holds %d (claimed: %t)",
				a.name, next.sequence, next.id, old.sequence, old.claimed)
		}
	}
	return nil
}

func (a *killAgent) read(raw []byte) (*holding, error) {
	envelope, err := suit.Decode(raw)
	if err != nil {
		return nil, err
	}
	verified, err := envelope.Verify(suit.KeyList{a.publisher}, false)
	if err != nil {
		return nil, err
	}
	m := verified.Manifest()
	h := &holding{
		manifest: verified.Digest(), id: m.ComponentID, sequence: m.SequenceNumber,
		target: m.Common.Components[0], attempting: true,
	}
	for _, section := range []suit.Section{suit.SectionShared, suit.SectionInstall} {
		commands, ok := m.Section(section)
		if !ok {
			return nil, fmt.Errorf("manifest without %s", section)
		}
		for _, c := range commands.Commands {
			p, ok := c.Argument.(*suit.Parameters)
			if ok && p.ImageDigest != nil {
				h.image = *p.ImageDigest
			}
			if ok && p.URI != nil {
				h.uri = *p.URI
			}
		}
	}
	return h, nil
}

// install fetches what the Update names, and prepares the Success with its reports.
func (a *killAgent) install(ctx context.Context, s *site) error {
	var reports [][]byte
	installed := map[string]*holding{}
	for _, raw := range a.update.Manifests {
		h, err := a.read(raw)
		if err != nil {
			return err
		}
		payload, err := s.payload(ctx, path.Base(h.uri))
		if err != nil {
			return err
		}
		if got := suit.SumSHA256(payload); !got.Equal(h.image) {
			return fmt.Errorf("payload of %s is %s, the manifest says %s", h.target, got, h.image)
		}
		report, err := suit.SignReport(&suit.Report{Reference: suit.Reference{Digest: h.manifest}, Nonce: a.update.Token}, a.reportKey)
		if err != nil {
			return err
		}
		reports = append(reports, report)
		installed[h.id.Key()] = h
	}
	maps.Copy(a.holds, installed)
	a.turn = &turn{kind: success}
	token := a.update.Token
	a.update = nil
	return a.seal(&teep.Success{Token: token, SUITReports: reports})
}

// repeat says again what the TAM has taken: it must refuse it.
func (a *killAgent) repeat(ctx context.Context, s *site) (int, error) {
	for _, t := range a.spent {
		r, err := s.post(ctx, a.path, t.wire)
		if err != nil {
			return 0, err
		}
		reason := tam.Reason(r.reason)
		refused := reason == t.kind.spentReason() || reason == tam.ReasonTokenExpired
		if r.status != http.StatusNoContent || !refused {
			return 0, fmt.Errorf("%s: a spent %s was answered %d %q", a.name, t.kind, r.status, reason)
		}
	}
	return len(a.spent), nil
}

func (a *killAgent) hexUEID() string { return hex.EncodeToString(a.ueid) }
