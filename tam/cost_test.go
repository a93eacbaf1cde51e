package tam_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
)

// dearly is a selector that costs about so many hundred thousands for a device with a
// name of a thousand bytes.
func dearly(n int) string {
	return strings.TrimSuffix(strings.Repeat(`!device.name.matches("(a|aa|aaa|aaaa){1,9}b") && `, 5*n), " && ")
}

// dear adds devices over which such a selector is dear, each with an appraisal.
func (w *world) dear(n int) {
	d := w.device(cosekit.ESP256).enrol()
	last := good(w.fleet().Appraisals(w.t.Context(), tam.AppraisalQuery{Device: d.record().ID, Limit: 1}))[0]
	template := d.record()
	w.update(func(tx tam.Tx) error {
		for i := range n {
			device := template
			device.ID, device.UEID, device.Name = devices.ID(fmt.Sprintf("dear-%03d", i)), []byte(fmt.Sprintf("\x01dear-%03d", i)), strings.Repeat("a", 1000)
			row := last
			row.ID, row.Device, row.Claims = 0, device.ID, []byte(`{"dbgstat": "disabled"}`)
			if err := errors.Join(tx.PutDevice(device), tx.AddAppraisal(row)); err != nil {
				return err
			}
		}
		return nil
	})
}

// A search ends where it has cost enough, and goes on from there with the next page.
func TestSearchesAreBounded(t *testing.T) {
	w := newWorld(t)
	const fleet = 30
	w.dear(fleet)
	f := w.fleet()
	found, pages, after := 0, 0, ""
	for {
		page := good(f.SelectDevices(t.Context(), `device.name != "" && `+dearly(6), tam.Page{After: after, Limit: 100}))
		found += len(page.Devices)
		if pages++; page.Next == "" {
			break
		}
		if page.Next <= after {
			t.Fatalf("from %q to %q", after, page.Next)
		}
		after = page.Next
	}
	expect(t, "found in all", found, fleet)
	if pages < 3 || pages > fleet {
		t.Errorf("%d pages", pages)
	}
	n, complete, err := f.CountDevices(t.Context(), `device.name != "" && `+dearly(6))
	if err != nil || complete || n == 0 || n >= fleet {
		t.Errorf("counted %d, complete %t, %v", n, complete, err)
	}
	n, complete, err = f.CountDevices(t.Context(), `device.name != ""`)
	if err != nil || !complete || n != fleet {
		t.Errorf("counted %d, complete %t, %v", n, complete, err)
	}
}

// So does a trial of a policy.
func TestTrialsAreBounded(t *testing.T) {
	w := newWorld(t)
	const fleet = 110
	w.dear(fleet)
	f := w.fleet()
	good(f.AddPolicy(t.Context(), operator, policy.Policy{Name: "first", Kind: policy.Appraisal, Selector: dearly(1), Expression: "true"}))
	tried, pages, after := 0, 0, ""
	for {
		candidate := policy.Policy{Name: "tried", Kind: policy.Appraisal, Position: -1, Selector: "!(" + dearly(1) + ")", Expression: "false"}
		page := good(f.TryPolicy(t.Context(), candidate, tam.Page{After: after, Limit: 1000}))
		tried += page.Tried + page.Skipped
		if pages++; page.Next == "" {
			break
		}
		if page.Next <= after || page.Tried == 0 {
			t.Fatalf("from %q to %q: %d", after, page.Next, page.Tried)
		}
		after = page.Next
	}
	expect(t, "tried in all", tried, fleet+1)
	if pages < 2 || pages > 10 {
		t.Errorf("%d pages", pages)
	}
}

// No more policies are in force than can be compiled and asked in good time.
func TestPoliciesAreFew(t *testing.T) {
	w := newWorld(t)
	f := w.fleet()
	rule := func(i int) policy.Policy {
		return policy.Policy{Name: fmt.Sprint("rule-", i), Kind: policy.Appraisal, Selector: fmt.Sprintf(`device.labels.site == "%d"`, i), Expression: "true"}
	}
	for i := range 64 {
		good(f.AddPolicy(t.Context(), operator, rule(i)))
	}
	_, err := f.AddPolicy(t.Context(), operator, rule(64))
	if !errors.Is(err, tam.ErrBadPolicy) {
		t.Fatal(err)
	}
	expectContains(t, "reason", err.Error(), "64 are in force, at most 64")
	changed := rule(3)
	changed.Expression = "false"
	good(f.AddPolicy(t.Context(), operator, changed))
	good(f.RetirePolicy(t.Context(), operator, "rule-5", "over"))
	good(f.AddPolicy(t.Context(), operator, rule(64)))
}
