package tam_test

import (
	"fmt"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// Of a tc-list that is too long nothing is kept, with a token as with evidence, and
// the agent hears of it.
func TestLongTCList(t *testing.T) {
	w := newWorld(t)
	d := w.device(cosekit.ESP256).enrol()
	id := d.record().ID
	listed := func() (items []devices.InventoryItem) {
		w.view(func(r tam.Reader) (err error) {
			items, err = r.Inventory(id)
			return err
		})
		return items
	}
	list := func(n int) {
		clear(d.installed)
		for i := range n {
			d.installed[fmt.Sprintf("app/%d", i)] = sum("image")
		}
	}
	list(1024)
	expect(t, "as many as are kept", d.respond(d.connect()).Reason, tam.ReasonNothingToDo)
	expect(t, "kept", len(listed()), 1024)

	list(1025)
	q := d.connect()
	before := w.dump()
	attested := d.response(q)
	attested.Token, attested.Attestation = nil, d.evidence(q.Token, measureNothing)
	for name, m := range map[string]*teep.QueryResponse{"with a token": d.response(q), "with evidence": attested} {
		answer := w.process(d.seal(m))
		expect(t, name, answer.Reason, tam.ReasonTCListTooLong)
		expect(t, name+", error code", d.open(answer.Body).(*teep.Update).ErrCode, teep.PermanentError)
	}
	expect(t, "nothing changed", w.dump() == before, true)

	d.installed = map[string]suit.Digest{"app/0": sum("image")}
	expect(t, "the token is still good", d.respond(q).Reason, tam.ReasonNothingToDo)
	expect(t, "kept", len(listed()), 1)
}

// measureNothing leaves the evidence short enough.
func measureNothing(c *attest.Claims) { c.Measurements = nil }
