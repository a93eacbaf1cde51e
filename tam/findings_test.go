package tam_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

// seen is a world with one accepted device that shows evidence when it likes.
func seen(t *testing.T) (*world, *device) {
	w := newWorld(t, comparing, patient, func(c *tam.Config) { c.Policy.FirstContact = tam.ChallengeFirst })
	d := w.device(cosekit.ESP256)
	d.installed["app/hello"] = sum("image")
	d.respond(d.connect())
	d.setState(devices.Accepted)
	w.now.add(time.Second)
	d.respond(d.connect())
	w.now.add(time.Second)
	return w, d
}

// change returns what the diff of the last appraisal has under a name.
func (d *device) change(name string) tam.AttestationChange {
	d.w.t.Helper()
	diff := good(d.w.fleet().AttestationDiff(d.w.t.Context(), d.record().ID, 0, 0))
	i := slices.IndexFunc(diff.Changes, func(c tam.AttestationChange) bool { return c.Name == name })
	if i < 0 {
		d.w.t.Fatalf("no change of %q in %+v", name, diff.Changes)
	}
	return diff.Changes[i]
}

// Another fault within the hour is on record, though reason and policy are the same; a
// device that makes up faults fills nothing.
func TestAnotherFaultIsOnRecord(t *testing.T) {
	w, d := seen(t)
	w.rule(keepApart)
	before := d.appraisals()
	for _, image := range []string{"last week's release", "rootkit", "rootkit", "last week's release"} {
		d.installed["app/hello"] = sum(image)
		w.now.add(time.Second)
		d.respond(d.connect())
	}
	expect(t, "recorded", d.appraisals()-before, 2)
	expect(t, "the last", d.change("image-digest of app/hello").After, sum("rootkit").String())
	for i := range 30 {
		d.installed["app/hello"] = sum(fmt.Sprint(i))
		w.now.add(time.Second)
		d.respond(d.connect())
	}
	expect(t, "and no more than", d.appraisals()-before <= 9, true)
	expect(t, "all are counted", d.record().Attestations.Failed[string(tam.ReasonPolicyQuarantined)], uint64(34))
}

// What a device measures twice is shown twice.
func TestDiffHidesNoMeasurement(t *testing.T) {
	w, d := seen(t)
	d.respond(d.connect(), func(c *attest.Claims) {
		bad, fine := sum("tampered"), sum("image")
		c.Measurements = []attest.Measurement{{Manifest: attest.ManifestRef{Digest: suit.SumSHA256(nil)}, Components: []suit.PropertyClaims{
			{Component: component("app/hello"), ImageDigest: &bad}, {Component: component("app/hello"), ImageDigest: &fine},
		}}}
	})
	w.now.add(time.Second)
	expect(t, "the bad one", d.change("image-digest of app/hello").Wrong, true)
	expect(t, "the good one", d.change("image-digest of app/hello (2)").After, sum("image").String())
}

// A claim that is too large to be kept does not take the others with it.
func TestHugeClaimHidesNoOther(t *testing.T) {
	w, d := seen(t)
	p := policy.Policy{Name: "board", Kind: policy.Appraisal, Expression: `claims.hwversion == "1.0" ? accept() : quarantine("other board")`}
	w.rule(p)
	d.installed["app/hello"] = sum("tampered")
	d.respond(d.connect(), func(c *attest.Claims) {
		c.HWVersion = "evil"
		c.Unknown = map[int64]cosekit.RawMessage{-70000: cosekit.MustMarshal(strings.Repeat("\x01", 46<<10))}
	})
	expect(t, "claim", d.change("hwversion").After, "evil")
	expect(t, "said so", d.change("not kept").After, "1 values of more than 4096 bytes")
	expect(t, "measured", d.change("image-digest of app/hello").Wrong, true)
	trial := good(w.fleet().TryPolicy(t.Context(), p, tam.Page{Limit: 10}))
	expect(t, "tried as it was decided", trial.Counts[[2]policy.Outcome{policy.Quarantine, policy.Quarantine}], 1)
}

// Of more comparisons than are kept, those that are wrong are.
func TestManyComparisonsHideNoWrongOne(t *testing.T) {
	w := newWorld(t, func(c *tam.Config) {
		c.Policy.FirstContact = tam.ChallengeFirst
		honest := c.Verifier
		c.Verifier = scripted(func(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
			r, err := honest.Appraise(ctx, e)
			if err != nil {
				return r, err
			}
			for i := range 4000 {
				r.Comparisons = append(r.Comparisons, attest.Comparison{
					Element: attest.Executables, Name: fmt.Sprint("part ", i), Measured: strings.Repeat("a", 64),
					Expected: []string{strings.Repeat("a", 64)}, Match: i != 3999,
				})
			}
			return r, nil
		})
	})
	d := w.device(cosekit.ESP256)
	for range 2 {
		d.respond(d.connect())
		w.now.add(time.Second)
		if d.record().State == devices.Pending {
			d.setState(devices.Accepted)
		}
	}
	expect(t, "wrong", d.change("part 3999").Wrong, true)
	var last devices.Appraisal
	w.view(func(r tam.Reader) error {
		list, err := r.LatestAppraisals(tam.Page{Limit: 1})
		last = list[0]
		return err
	})
	expect(t, "capped", len(last.Comparisons) > 200<<10 && len(last.Comparisons) <= 256<<10, true)
	expectContains(t, "said so", string(last.Comparisons), `"not kept"`)
}

// Forged evidence does not hide a device from who tries a policy.
func TestForgeryHidesNoDeviceFromTrials(t *testing.T) {
	w, d := seen(t)
	d.attester = signer(t, cosekit.ESP256)
	expect(t, "forged", d.respond(d.connect()).Reason, tam.ReasonNotAffirmed)
	trial := good(w.fleet().TryPolicy(t.Context(), policy.Policy{Name: "x", Kind: policy.Appraisal, Expression: `reject("all")`}, tam.Page{Limit: 10}))
	expect(t, "tried", trial.Tried, 1)
	expect(t, "skipped", trial.Skipped, 0)
	expect(t, "changed", trial.Counts[[2]policy.Outcome{policy.Accept, policy.Reject}], 1)
}
