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
