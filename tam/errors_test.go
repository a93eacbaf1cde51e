package tam_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// errorOf is an Error with all that an agent may say it supports.
func errorOf(code teep.ErrorCode, token []byte) *teep.Error {
	return &teep.Error{
		Token: token, Code: code, CipherSuites: []teep.CipherSuite{teep.SuiteEd25519, teep.SuiteESP256},
		FreshnessMechanisms: []teep.FreshnessMechanism{teep.FreshnessNonce}, Versions: []uint32{0}, COSEProfiles: teep.TEEPProfiles[:1],
	}
}

// retried are the codes that are answered with a QueryRequest, once.
var retried = []teep.ErrorCode{
	teep.UnsupportedFreshnessMechanisms, teep.UnsupportedMsgVersion, teep.UnsupportedCipherSuites, teep.UnsupportedSUITReport,
}

// Every error code, by what it answers and who sends it.
func TestErrors(t *testing.T) {
	type want struct {
		reason  tam.Reason
		retry   bool
		changes bool
	}
	for _, code := range errorCodes {
		retry := slices.Contains(retried, code)
		none := want{tam.ReasonErrorUnmatched, false, false}
		request := want{tam.ReasonAgentError, retry, true}
		stranger := want{tam.ReasonUnknownKey, false, false}
		switch {
		case retry:
			none, stranger = want{tam.ReasonAgentError, true, false}, want{tam.ReasonAgentError, true, false}
		case code == teep.AttestationRequired:
			none, request = want{tam.ReasonTAMAttestation, false, false}, want{tam.ReasonTAMAttestation, false, true}
			stranger = none
		}
		foreign := stranger
		if retry || code == teep.AttestationRequired {
			foreign = want{tam.ReasonTokenForeign, false, false}
		}
		for _, c := range []struct {
			name string
			by   func(w *world, d *device) *device
			of   func(w *world, d *device, u *teep.Update) []byte
			want want
		}{
			{"connect token", nil, func(_ *world, d *device, _ *teep.Update) []byte { return d.connect().Token }, request},
			{"Update token", nil, func(_ *world, _ *device, u *teep.Update) []byte { return u.Token }, want{tam.ReasonUpdateFailed, false, true}},
			{"no token", nil, func(*world, *device, *teep.Update) []byte { return nil }, none},
			{"foreign token", nil, func(*world, *device, *teep.Update) []byte { return make([]byte, 32) }, want{tam.ReasonNoUpdate, false, false}},
			{"another agent's Update token", func(w *world, _ *device) *device { return w.device(cosekit.Ed25519).enrol() },
				func(_ *world, _ *device, u *teep.Update) []byte { return u.Token }, want{tam.ReasonNoUpdate, false, false}},
			{"connect token of a stranger", (*world).stranger, func(_ *world, d *device, _ *teep.Update) []byte { return d.connect().Token }, stranger},
			{"no token of a stranger", (*world).stranger, func(*world, *device, *teep.Update) []byte { return nil }, want{tam.ReasonUnknownKey, false, false}},
			{"foreign token of a stranger", (*world).stranger, func(*world, *device, *teep.Update) []byte { return make([]byte, 32) }, foreign},
			{"Update token of a stranger", (*world).stranger, func(_ *world, _ *device, u *teep.Update) []byte { return u.Token }, foreign},
		} {
			t.Run(code.String()+" "+c.name, func(t *testing.T) {
				w, d, u, _ := offered(t)
				by := d
				if c.by != nil {
					by = c.by(w, d)
				}
				m := errorOf(code, c.of(w, by, u))
				w.now.add(time.Second) // which shows when the agent was seen last
				before := w.dump()
				answer := w.process(by.seal(m))
				expect(t, "reason", answer.Reason, c.want.reason)
				expect(t, "changed", w.dump() != before, c.want.changes)
				expect(t, "answered", answer.Body != nil, c.want.retry)
				if answer.Body == nil {
					return
				}
				q := by.open(answer.Body).(*teep.QueryRequest)
				expect(t, "profiles offered", len(q.COSEProfiles), map[bool]int{true: 1, false: len(teep.TEEPProfiles)}[code == teep.UnsupportedSUITReport])
				expect(t, "the Error of a retry", w.process(by.seal(errorOf(code, q.Token))).Reason, tam.ReasonAlreadyRetried)
			})
		}
	}
}

func (w *world) stranger(*device) *device { return w.device(cosekit.ESP256) }

// An Error about cipher suites may be in a suite that the agent does not want.
func TestRetryInTheSuiteThatTheAgentSupports(t *testing.T) {
	w := newWorld(t)
	for name, d := range map[string]*device{"registered": w.device(cosekit.ESP256).enrol(), "unknown": w.device(cosekit.ESP256)} {
		m := &teep.Error{Token: d.connect().Token, Code: teep.UnsupportedCipherSuites, CipherSuites: []teep.CipherSuite{teep.SuiteEd25519}}
		answer := w.process(d.seal(m))
		env, err := teep.Open(teep.IANA, answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		message, err := env.Verify(w.cfg.Signers.Ed25519.PublicKey(), false)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		q := message.(*teep.QueryRequest)
		expect(t, name+": suites", len(q.CipherSuites) == 1 && q.CipherSuites[0].Equal(teep.SuiteEd25519), true)
	}
}

// Without a kid, the Error of a stranger is answered all the same.
func TestRetryWithoutKeyID(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256)
	wire := withHeaders(t, encoded(t, errorOf(teep.UnsupportedSUITReport, d.connect().Token)), d.key, dropKeyID)
	q := d.open(w.process(wire).Body).(*teep.QueryRequest)
	expect(t, "profile", q.COSEProfiles[0] == teep.TEEPProfiles[0], true)
}

// At an endpoint with timestamps, an agent that has no clock is given a nonce.
func TestAgentWithoutClock(t *testing.T) {
	w, d := timestamped(t)
	expect(t, "first contact", d.poll(), "challenge, end nothing-to-do")
	q := d.open(w.process(d.seal(&teep.Error{
		Code: teep.UnsupportedFreshnessMechanisms, FreshnessMechanisms: []teep.FreshnessMechanism{teep.FreshnessNonce},
	})).Body).(*teep.QueryRequest)
	expect(t, "a token first", q.Token != nil, true)
	w.now.add(tam.Defaults().AttestationMaxAge)
	q = d.open(w.process(d.seal(errorOf(teep.UnsupportedFreshnessMechanisms, nil))).Body).(*teep.QueryRequest)
	q = d.open(d.respond(q).Body).(*teep.QueryRequest)
	expect(t, "then a nonce", q.Challenge != nil && q.FreshnessMechanisms[0] == teep.FreshnessNonce, true)
	expect(t, "its evidence", d.respond(q).Reason, tam.ReasonNothingToDo)
}

// An agent that refuses extensions has none on record.
func TestUnsupportedExtension(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	agent := d.agent()
	agent.Extensions = []uint32{7}
	w.update(func(tx tam.Tx) error { return tx.PutAgent(agent) })
	w.process(d.seal(&teep.Error{Token: d.connect().Token, Code: teep.UnsupportedExtension}))
	expect(t, "extensions", len(d.agent().Extensions), 0)
}
