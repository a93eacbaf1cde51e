package tam_test

import (
	"crypto/rand"
	"testing"

	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// After a restore, nothing that was sent before is taken.
func TestReplaceTokenKeys(t *testing.T) {
	w, d, u, _ := offered(t)
	old := d.connect()
	spent := d.connect()
	d.respond(spent)
	if err := tam.ReplaceTokenKeys(t.Context(), w.store, "operator:test", w.now.Now(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.restart()
	expect(t, "a token from before", d.respond(old).Reason, tam.ReasonTokenForeign)
	expect(t, "a spent one", d.respond(spent).Reason, tam.ReasonTokenForeign)
	expect(t, "an Update from before", w.process(d.seal(&teep.Success{Token: u.Token})).Reason, tam.ReasonNoUpdate)
	expect(t, "keys created", w.events(audit.TokenKeyCreated), 2)
	expect(t, "keys deleted", w.events(audit.TokenKeyDeleted), 1)
	expect(t, "a new session", d.open(d.respond(d.connect()).Body).Kind(), teep.KindUpdate)
}

// A TAM that runs keeps the old keys until its next maintenance. In between it must
// not take again what was spent.
func TestReplaceTokenKeysUnderARunningTAM(t *testing.T) {
	w, d, _, _ := offered(t)
	w.now.add(tam.Defaults().AttestationMaxAge)
	replays := map[string][]byte{}
	challenge := d.open(d.respond(d.connect()).Body).(*teep.QueryRequest)
	expect(t, "it asks for evidence", challenge.DataItems.Has(teep.ItemAttestation), true)
	replays["a challenge"] = d.seal(d.response(challenge))
	w.process(replays["a challenge"])
	replays["a token"] = d.seal(d.response(d.connect()))
	u := d.open(w.process(replays["a token"]).Body).(*teep.Update)
	unanswered := d.seal(d.response(d.connect()))

	if err := tam.ReplaceTokenKeys(t.Context(), w.store, "operator:test", w.now.Now(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	refused := func(when string, reason tam.Reason) {
		t.Helper()
		before := w.dump()
		for name, wire := range replays {
			expect(t, name+" "+when, w.process(wire).Reason, reason)
		}
		expect(t, "an Update "+when, w.process(d.seal(&teep.Success{Token: u.Token})).Reason, tam.ReasonNoUpdate)
		expect(t, "changed "+when, w.dump() != before, false)
	}
	refused("before it knows the new key", tam.ReasonTokenSpent)
	if err := w.tam.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	replays["what was not answered"] = unanswered
	refused("after", tam.ReasonTokenForeign)
	expect(t, "a new session", d.open(d.respond(d.connect()).Body).Kind(), teep.KindUpdate)
}
