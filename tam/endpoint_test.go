package tam_test

import (
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/veraison/go-cose"
)

func TestEndpointCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		ep   tam.Endpoint
		good bool
	}{
		{"plain", tam.Endpoint{}, true},
		{"ES256 first where it is allowed", tam.Endpoint{LegacyAlgorithms: true, FirstRequest: cosekit.LegacyES256}, true},
		{"ES256 first where it is not", tam.Endpoint{FirstRequest: cosekit.LegacyES256}, false},
		{"another algorithm", tam.Endpoint{FirstRequest: -35}, false},
		{"timestamps", tam.Endpoint{Freshness: teep.FreshnessTimestamp}, true},
		{"timestamps, challenge first", tam.Endpoint{Freshness: teep.FreshnessTimestamp, FirstContact: tam.ChallengeFirst}, true},
		{"timestamps, token first", tam.Endpoint{Freshness: teep.FreshnessTimestamp, FirstContact: tam.TokenFirst}, false},
		{"another freshness", tam.Endpoint{Freshness: 2}, false},
		{"sixteen keys to try", tam.Endpoint{TryKeys: make([]cosekit.Thumbprint, 16)}, true},
		{"seventeen", tam.Endpoint{TryKeys: make([]cosekit.Thumbprint, 17)}, false},
	} {
		c.ep.Path = "/tam"
		if err := c.ep.Check(); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A peer that knows only ES256 or EdDSA reads and writes nothing else.
func TestLegacyAlgorithmsWhereAllowed(t *testing.T) {
	for alg, name := range map[cosekit.Algorithm]cosekit.Algorithm{cosekit.ESP256: cosekit.LegacyES256, cosekit.Ed25519: cosekit.LegacyEdDSA} {
		t.Run(cosekit.AlgorithmName(name), func(t *testing.T) {
			w := newWorld(t)
			w.ep.LegacyAlgorithms, w.ep.FirstRequest = true, name
			w.publish("app/hello", 1, "image")
			d := w.device(alg)
			plain := d.key
			d.key = cosekit.UnderLegacyName(plain)
			d.enrol()
			expect(t, "algorithm on record", d.agent().Algorithm, name)
			d.require("app/hello")
			w.now.add(time.Second)
			expect(t, "update", d.poll(), "token, update, end")
			w.now.add(time.Second)
			expect(t, "confirmation", d.poll(), "token, challenge, end nothing-to-do")

			old := d.key
			d.key = plain
			w.ep.FirstRequest = alg
			expect(t, "poll under the other name", d.poll(), "token, end nothing-to-do")
			expect(t, "algorithm on record", d.agent().Algorithm, alg)
			d.key = old
			w.ep.LegacyAlgorithms = false
			expect(t, "where it is not allowed", w.process(d.seal(&teep.QueryResponse{})).Reason, tam.ReasonAlgorithm)
		})
	}
}

// A message without a usable kid is refused, unless the endpoint names keys to try.
func TestTryKeys(t *testing.T) {
	for name, change := range map[string]func(*cose.Headers){
		"no kid":                  func(h *cose.Headers) { delete(h.Unprotected, cose.HeaderLabelKeyID) },
		"a kid that is no digest": func(h *cose.Headers) { h.Unprotected[cose.HeaderLabelKeyID] = []byte("agent 7") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.publish("app/hello", 1, "image")
			d, other := w.device(cosekit.ESP256).enrol(), w.device(cosekit.Ed25519).enrol()
			d.require("app/hello")
			send := func(m teep.Message) tam.Answer { return w.process(withHeaders(t, encoded(t, m), d.key, change)) }
			response := d.response(d.connect())
			for _, keys := range [][]cosekit.Thumbprint{nil, {other.thumbprint()}, {{1}}} {
				w.ep.TryKeys = keys
				before := w.dump()
				expect(t, "reason", send(response).Reason, tam.ReasonKeyMissing)
				expect(t, "of a Success", send(&teep.Success{Token: response.Token}).Reason, tam.ReasonKeyMissing)
				expect(t, "of an Error", send(&teep.Error{Token: response.Token, Code: teep.PermanentError}).Reason, tam.ReasonKeyMissing)
				expect(t, "changed", w.dump() != before, false)
			}
			w.ep.TryKeys = []cosekit.Thumbprint{{1}, other.thumbprint(), d.thumbprint()}
			u := d.open(send(response).Body).(*teep.Update)
			expect(t, "Success", send(&teep.Success{Token: u.Token, SUITReports: d.install(u)}).Reason, "")
			expect(t, "state", d.status("app/hello").State, devices.Claimed)
		})
	}
}

// timestamped is a device at an endpoint with timestamps.
func timestamped(t *testing.T) (*world, *device) {
	t.Helper()
	w := newWorld(t, func(c *tam.Config) { c.Policy.Admission = tam.AdmitAffirming })
	w.ep.Freshness = teep.FreshnessTimestamp
	w.publish("app/hello", 1, "image")
	return w, w.device(cosekit.ESP256)
}

// send sends a QueryResponse with evidence that answers no challenge.
func (d *device) sendUnasked(change ...func(*attest.Claims)) tam.Answer {
	d.w.t.Helper()
	return d.w.process(d.seal(&teep.QueryResponse{TCList: d.properties(d.installed), Attestation: d.evidence(nil, change...)}))
}

func TestTimestamps(t *testing.T) {
	w, d := timestamped(t)
	q := d.connect()
	expect(t, "neither token nor challenge", q.Token == nil && q.Challenge == nil, true)
	expect(t, "mechanism", q.FreshnessMechanisms[0], teep.FreshnessTimestamp)
	expect(t, "first contact", d.poll(), "challenge, end nothing-to-do")
	d.require("app/hello")
	w.now.add(time.Second)
	u := d.open(d.sendUnasked().Body).(*teep.Update)
	expect(t, "the same evidence in another message", d.sendUnasked().Reason, tam.ReasonEvidenceRepeated)
	expect(t, "Success", w.process(d.seal(&teep.Success{Token: u.Token, SUITReports: d.install(u)})).Reason, "")
	w.now.add(time.Second)
	expect(t, "confirmation, unasked", d.sendUnasked().Reason, tam.ReasonNothingToDo)
	expect(t, "state", d.status("app/hello").State, devices.Confirmed)
	expect(t, "greatest iat", d.agent().EvidenceAt, w.now.Now())
}

func TestBadTimestamps(t *testing.T) {
	policy := tam.Defaults()
	at := func(d time.Duration) func(*device) tam.Answer {
		return func(v *device) tam.Answer {
			return v.sendUnasked(func(c *attest.Claims) { c.IssuedAt = v.w.now.Now().Add(d) })
		}
	}
	for _, c := range []struct {
		name   string
		send   func(*device) tam.Answer
		reason tam.Reason
	}{
		{"no iat", func(d *device) tam.Answer { return d.sendUnasked(func(c *attest.Claims) { c.IssuedAt = time.Time{} }) }, tam.ReasonEvidenceTime},
		{"too old", at(-policy.EvidenceMaxAge - policy.ClockSkew - time.Second), tam.ReasonEvidenceTime},
		{"from the future", at(policy.ClockSkew + time.Second), tam.ReasonEvidenceTime},
		{"older than the last", at(-2 * time.Second), tam.ReasonEvidenceRepeated},
		{"as old as the last", at(-time.Second), tam.ReasonEvidenceRepeated},
		{"another's nonce", func(d *device) tam.Answer {
			return d.sendUnasked(func(c *attest.Claims) { c.Nonce = make([]byte, 32) })
		}, tam.ReasonTokenForeign},
		{"no evidence", func(d *device) tam.Answer { return d.w.process(d.seal(&teep.QueryResponse{})) }, tam.ReasonEvidenceMissing},
		{"an unknown key, a replayed first contact", func(d *device) tam.Answer {
			other := d.w.device(cosekit.Ed25519)
			wire := other.seal(&teep.QueryResponse{Attestation: other.evidence(nil)})
			d.w.process(wire)
			return d.w.process(wire)
		}, tam.ReasonEvidenceRepeated},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, d := timestamped(t)
			expect(t, "first contact", d.poll(), "challenge, end nothing-to-do")
			w.now.add(time.Second)
			before := d.agent()
			expect(t, "reason", c.send(d).Reason, c.reason)
			expect(t, "greatest iat", d.agent().EvidenceAt, before.EvidenceAt)
			expect(t, "last seen", d.agent().LastSeen, before.LastSeen)
		})
	}
}

// Evidence that was refused has spent its timestamp all the same.
func TestTimestampIsSpentByBadEvidence(t *testing.T) {
	w, d := timestamped(t)
	d.poll()
	w.now.add(time.Second)
	d.attester = signer(t, cosekit.ESP256)
	expect(t, "not affirmed", d.sendUnasked().Reason, tam.ReasonNotAffirmed)
	d.attester = w.attester
	expect(t, "the same second", d.sendUnasked().Reason, tam.ReasonEvidenceRepeated)
	w.now.add(time.Second)
	expect(t, "the next", d.sendUnasked().Reason, tam.ReasonNothingToDo)
}

// Where nonces show freshness, an unsolicited response is asked for anew, and changes nothing.
func TestUnsolicitedResponses(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	before := w.dump()
	for name, m := range map[string]*teep.QueryResponse{
		"bare": {TCList: d.properties(map[string]digest{"app/x": sum("x")})}, "evidence without nonce": {Attestation: d.evidence(nil)},
	} {
		answer := w.process(d.seal(m))
		expect(t, name, answer.Reason, tam.ReasonUnsolicited)
		q := d.open(answer.Body).(*teep.QueryRequest)
		expect(t, name+": data items", q.DataItems, teep.ItemTrustedComponents)
		expect(t, name+": changed", w.dump() != before, false)
		defer func() { expect(t, name+": the answer", d.respond(q).Reason, tam.ReasonNothingToDo) }()
	}
	stranger := w.device(cosekit.ESP256)
	expect(t, "of a stranger", w.process(stranger.seal(&teep.QueryResponse{Attestation: stranger.evidence(nil)})).Reason, tam.ReasonNonce)
}

// An agent that is asked for evidence and never sends any comes to rest, which doubles.
func TestRepeatingAgent(t *testing.T) {
	policy := tam.Defaults()
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	w.now.add(policy.AttestationMaxAge)
	challenged := func() tam.Reason { return d.respond(d.connect()).Reason }
	for i := range 4 {
		expect(t, "asked for evidence", challenged(), tam.ReasonAttestationWanted)
		expect(t, "repeats", d.agent().Repeats, i+1)
	}
	rest := policy.BackOff
	for range 3 {
		expect(t, "at once", challenged(), tam.ReasonAgentRepeating)
		w.now.add(rest - time.Second)
		expect(t, "early", challenged(), tam.ReasonAgentRepeating)
		w.now.add(time.Second)
		expect(t, "after the rest", challenged(), tam.ReasonAttestationWanted)
		rest *= 2
	}
	w.now.add(rest)
	expect(t, "it attests", d.poll(), "token, challenge, end nothing-to-do")
	expect(t, "repeats", d.agent().Repeats, 0)
	expect(t, "held", d.agent().HoldActive(w.now.Now()), false)
}

// So does one whose evidence is no good, and none of it is appraised while it rests.
func TestRepeatingBadEvidence(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	w.ep.FirstContact = tam.ChallengeFirst
	d.attester = signer(t, cosekit.ESP256)
	for range 4 {
		expect(t, "session", d.poll(), "challenge, ERR_ATTESTATION_REQUIRED not-affirmed")
	}
	appraisals := func() (n int) {
		id := d.record().ID
		w.view(func(r tam.Reader) error {
			list, err := r.Appraisals(tam.AppraisalQuery{Device: id, Limit: 100})
			n = len(list)
			return err
		})
		return n
	}
	before := appraisals()
	expect(t, "the fifth", d.poll(), "challenge, end agent-repeating")
	expect(t, "appraisals", appraisals(), before)
	d.attester = w.attester
	w.now.add(tam.Defaults().BackOff)
	expect(t, "good evidence after the rest", d.poll(), "challenge, end nothing-to-do")
}

// Reports with another nonce are complained about a few times.
func TestRepeatingBadReports(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	send := func() tam.Reason {
		return w.process(d.seal(&teep.QueryResponse{Token: d.connect().Token, SUITReports: [][]byte{{0xa0}}})).Reason
	}
	for range 3 {
		expect(t, "reason", send(), tam.ReasonReportMalformed)
	}
	expect(t, "a good poll between", d.poll(), "token, end nothing-to-do")
	for range 4 {
		expect(t, "reason", send(), tam.ReasonReportMalformed)
	}
	expect(t, "the fifth", send(), tam.ReasonAgentRepeating)
}

// Evidence in a format that the verifier does not read gets no better later.
func TestEvidenceInAnotherFormat(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	evidence := d.evidence(w.challengeFor(d))
	evidence.Format = "application/vnd.example.evidence"
	answer := w.process(d.seal(&teep.QueryResponse{Attestation: evidence}))
	expect(t, "reason", answer.Reason, tam.ReasonEvidenceFormat)
	expect(t, "code", d.open(answer.Body).(*teep.Update).ErrCode, teep.PermanentError)
}
