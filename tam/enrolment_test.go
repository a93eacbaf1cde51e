package tam_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/metrics"
	"github.com/tamarack-tam/tamarack/teep"
)

func TestSecondKeyOfADevice(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t)
		d := w.device(cosekit.ESP256).enrol()
		thief := w.device(cosekit.Ed25519)
		thief.ueid = d.ueid
		expect(t, "session", thief.poll(), "token, challenge, end second-key")
		expect(t, "audited", w.events(audit.EnrolmentRefused), 1)
		expect(t, "the first key", d.poll(), "token, end nothing-to-do")
		expect(t, "again", thief.poll(), "token, challenge, end second-key")
	})
	t.Run("replaces", func(t *testing.T) {
		w := newWorld(t, func(c *tam.Config) { c.Policy.SecondKey = tam.ReplaceSecondKey })
		d := w.device(cosekit.ESP256).enrol()
		w.now.add(time.Second)
		next := w.device(cosekit.Ed25519)
		next.ueid = d.ueid
		expect(t, "session", next.poll(), "token, challenge, end nothing-to-do")
		expect(t, "audited", w.events(audit.AgentReplaced), 1)
		w.view(func(r tam.Reader) error {
			_, err := r.Agent(d.thumbprint())
			expect(t, "the first key is unknown", errors.Is(err, tam.ErrNotFound), true)
			return nil
		})
	})
}

func TestAdmissionOfRegisteredDevicesOnly(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) { c.Policy.Admission = tam.AdmitPreregistered })
	d := w.device(cosekit.ESP256)
	expect(t, "unknown ueid", d.poll(), "token, challenge, end device-unregistered")
	expect(t, "devices created", w.events(audit.DeviceCreated), 0)
	w.update(func(tx tam.Tx) error {
		return tx.PutDevice(devices.Device{ID: "one", UEID: d.ueid, State: devices.Accepted, CreatedAt: w.now.Now(), UpdatedAt: w.now.Now()})
	})
	expect(t, "known ueid", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "device", d.agent().Device, "one")
}

// A first contact is spent with its challenge, and a copy of it does not cost
// another appraisal.
func TestFirstContactIsNotRepeated(t *testing.T) {
	appraisals := 0
	w := newWorld(t, func(c *tam.Config) {
		c.Policy.FirstContact = tam.ChallengeFirst
		honest := c.Verifier
		c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
			appraisals++
			return honest.Appraise(ctx, e)
		})
	})
	d := w.device(cosekit.ESP256)
	wire := d.seal(d.response(d.connect()))
	expect(t, "first", w.process(wire).Reason, "device-pending")
	before := w.dump()
	expect(t, "again", w.process(wire).Reason, tam.ReasonTokenSpent)
	expect(t, "appraisals", appraisals, 1)
	expect(t, "changed", w.dump() != before, false)
}

// race sends the same wires at once and returns the reasons.
func (w *world) race(wires ...[]byte) map[tam.Reason]int {
	w.t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	reasons := map[tam.Reason]int{}
	for _, wire := range wires {
		group.Go(func() {
			answer, err := w.tam.ProcessTeepMessage(w.t.Context(), w.ep, wire)
			if err != nil {
				w.t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			reasons[answer.Reason]++
		})
	}
	group.Wait()
	return reasons
}

func TestOneOfManyAnswersWins(t *testing.T) {
	w := newWorldAt(t, filepath.Join(t.TempDir(), "tam.db"))
	w.publish("app/hello", 1, "image")
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/hello")
	q := d.connect()
	var wires [][]byte
	for range 8 {
		wires = append(wires, d.seal(d.response(q)))
	}
	reasons := w.race(wires...)
	expect(t, "winners", reasons[""], 1)
	expect(t, "losers", reasons[tam.ReasonTokenSpent], 7)
	expect(t, "offers", d.status("app/hello").Attempts, 1)
}

// Eight keys for one device, each with good evidence: one is enrolled.
func TestOneOfManyFirstContactsWins(t *testing.T) {
	w := newWorldAt(t, filepath.Join(t.TempDir(), "tam.db"))
	w.ep.FirstContact = tam.ChallengeFirst
	first := w.device(cosekit.ESP256)
	var wires [][]byte
	for range 8 {
		d := w.device(cosekit.Ed25519)
		d.ueid = first.ueid
		wires = append(wires, d.seal(d.response(d.connect())))
	}
	reasons := w.race(wires...)
	expect(t, "enrolled", reasons["device-pending"], 1)
	expect(t, "refused", reasons[tam.ReasonSecondKey], 7)
	expect(t, "agents", w.events(audit.AgentAdded), 1)
}

// scripted is a verifier that does what a test wants.
type scripted func(context.Context, attest.Evidence) (*attest.Result, error)

func (s scripted) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	return s(ctx, e)
}

func TestVerifierThatCannotSay(t *testing.T) {
	down := errors.New("connection refused")
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	w.cfg.Verifier = scripted(func(context.Context, attest.Evidence) (*attest.Result, error) { return nil, down })
	w.restart()
	w.ep.FirstContact = tam.ChallengeFirst
	attested := d.agent().AttestedAt

	before := w.dump()
	stranger := w.device(cosekit.ESP256)
	answer := stranger.respond(stranger.connect())
	expect(t, "unknown key", answer.Reason, tam.ReasonNotAppraised)
	expect(t, "answered", answer.Body != nil, false)
	expect(t, "changed", w.dump() != before, false)

	q := d.connect()
	answer = d.respond(q)
	expect(t, "registered key", answer.Reason, tam.ReasonNotAppraised)
	expect(t, "error code", d.open(answer.Body).(*teep.Update).ErrCode, teep.TemporaryError)
	expect(t, "attested at", d.agent().AttestedAt, attested)
	expect(t, "audited", w.events(audit.AttestationFailed), 1)
	expect(t, "the challenge is spent", d.respond(q).Reason, tam.ReasonTokenSpent)
}

// A verifier's word counts only for the challenge and the key of this message.
func TestResultsThatAreOfOtherEvidence(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*testing.T, *attest.Result)
		reason tam.Reason
	}{
		{"another nonce", func(_ *testing.T, r *attest.Result) { r.Claims.Nonce = make([]byte, 32) }, tam.ReasonNonce},
		{"another key", func(t *testing.T, r *attest.Result) {
			r.Claims.Confirmation.Key = signer(t, cosekit.ESP256).PublicKey()
		}, tam.ReasonCnfMismatch},
		{"no device", func(_ *testing.T, r *attest.Result) { r.Claims.UEID = nil }, tam.ReasonUEIDMismatch},
		{"a warning", func(_ *testing.T, r *attest.Result) { r.Status = attest.Warning }, tam.ReasonNotAffirmed},
		{"not appraised", func(_ *testing.T, r *attest.Result) { r.Status = attest.None }, tam.ReasonNotAffirmed},
		{"no claims", func(_ *testing.T, r *attest.Result) { r.Claims = nil }, tam.ReasonNotAffirmed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			honest := w.cfg.Verifier
			w.cfg.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
				r, err := honest.Appraise(ctx, e)
				if err == nil {
					c.change(t, r)
				}
				return r, err
			})
			w.restart()
			w.ep.FirstContact = tam.ChallengeFirst
			d := w.device(cosekit.ESP256)
			before := w.dump()
			expect(t, "reason", d.respond(d.connect()).Reason, c.reason)
			expect(t, "changed", w.dump() != before, false)
		})
	}
}

func TestAppraisalsAreBounded(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(c *tam.Config) {
		c.Policy.MaxAppraisals, c.Policy.FirstContact = 1, tam.ChallengeFirst
		honest := c.Verifier
		c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
			entered <- struct{}{}
			<-leave
			return honest.Appraise(ctx, e)
		})
	})
	d, other := w.device(cosekit.ESP256), w.device(cosekit.ESP256)
	q, otherQ := d.connect(), other.connect()
	first := make(chan tam.Answer)
	go func() { first <- d.respond(q) }()
	<-entered
	expect(t, "the same challenge", d.respond(q).Reason, tam.ReasonAppraisalRunning)
	expect(t, "another challenge", other.respond(otherQ).Reason, tam.ReasonAppraisalsBusy)
	close(leave)
	expect(t, "the first", (<-first).Reason, "device-pending")
	go func() { <-entered }()
	expect(t, "the other, later, with the same challenge", other.respond(otherQ).Reason, "device-pending")
}

// A verifier that stalls takes no place from another.
func TestStalledVerifierLeavesOthersTheirPlaces(t *testing.T) {
	const waiting = 100
	psa := localtest.NewPSA("one")
	psaMedia := good(attest.ParseMediaType(psaFormat)).String()
	stalled, entered := make(chan struct{}), make(chan struct{}, waiting)
	w := newWorld(t, routed, func(c *tam.Config) {
		c.Policy.FirstContact = tam.ChallengeFirst
		c.Verifier = metrics.New().Verifier(evidence.NewRouter(
			evidence.Route{
				Name: "remote", Accepts: func(m attest.MediaType) bool { return m.String() == psaMedia },
				Verifier: scripted(func(context.Context, attest.Evidence) (*attest.Result, error) {
					entered <- struct{}{}
					<-stalled
					return nil, errors.New("stalled")
				}),
			},
			evidence.Route{Name: "local", Accepts: func(attest.MediaType) bool { return true }, Verifier: c.Verifier},
		))
	})
	busy := make(chan tam.Answer, waiting)
	for range waiting {
		d := w.device(cosekit.Ed25519)
		wire := d.seal(&teep.QueryResponse{Attestation: d.bundle(psa, d.connect().Challenge)})
		go func() { busy <- w.process(wire) }()
	}
	most := tam.Defaults().MaxAppraisals / 2 // they are strangers
	for range most {
		<-entered
	}
	for range waiting - most {
		expect(t, "beyond its places", (<-busy).Reason, tam.ReasonAppraisalsBusy)
	}
	d := w.device(cosekit.ESP256)
	expect(t, "by another verifier", d.respond(d.connect()).Reason, "device-pending")
	close(stalled)
	for range most {
		expect(t, "in the end", (<-busy).Reason, tam.ReasonNotAppraised)
	}
}

// One attestation key makes one accepted device, not as many as it has names for.
func TestAffirmingAdmitsOneDeviceForEachAttestationKey(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) { c.Policy.Admission = tam.AdmitAffirming })
	one, two, three := w.device(cosekit.ESP256), w.device(cosekit.ESP256), w.device(cosekit.Ed25519)
	three.attester = w.anotherAttester()
	expect(t, "the first", one.poll(), "token, challenge, end nothing-to-do")
	expect(t, "the second", two.poll(), "token, challenge, end device-pending")
	expectContains(t, "why", two.record().StateReason, "vouches for device "+string(one.record().ID))
	expect(t, "of another key", three.poll(), "token, challenge, end nothing-to-do")
	one.setState(devices.Retired)
	four := w.device(cosekit.ESP256)
	expect(t, "where the first is retired", four.poll(), "token, challenge, end device-pending")
	two.setState(devices.Accepted)
	expect(t, "by an operator", two.poll(), "token, end nothing-to-do")
}
