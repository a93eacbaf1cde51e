package tam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/expr"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// maxPolicies bounds what is compiled and evaluated for one device.
const maxPolicies = 64

// Policies lists those in force, in the order in which they are asked.
func (f *Fleet) Policies(ctx context.Context) (list []policy.Policy, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.Policies()
		return err
	})
	return list, err
}

// PolicyVersions lists all versions of a policy, the newest first.
func (f *Fleet) PolicyVersions(ctx context.Context, name string) (list []policy.Policy, err error) {
	err = f.config.Store.View(ctx, func(r Reader) error {
		list, err = r.PolicyVersions(name)
		return err
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("policy %q: %w", name, ErrNotFound)
	}
	return list, err
}

// AddPolicy puts a policy into force, or its next version; the number is given here, as
// are time and author. One that does not compile is refused with the place of the fault,
// one that says what the version in force says is left, without an event.
func (f *Fleet) AddPolicy(ctx context.Context, actor string, p policy.Policy) (policy.Policy, error) {
	event := audit.Event{Actor: actor, Action: audit.PolicyAdded, Subject: policySubject(p.Name), Details: map[string]string{}}
	err := f.change(ctx, event, func(tx Tx) (err error) {
		clear(event.Details)
		before, others, err := replaced(tx, p.Name)
		if err != nil {
			return err
		}
		if before != nil && sameRule(*before, p) {
			p = *before
			return errUnchanged
		}
		if len(others)+1 > maxPolicies {
			return fmt.Errorf("%w: %d are in force, at most %d", ErrBadPolicy, len(others), maxPolicies)
		}
		if p.Version, err = nextVersion(tx, p.Name); err != nil {
			return err
		}
		p.CreatedAt, p.CreatedBy, p.Retired = f.config.Clock(), actor, false
		if err := checkPolicy(tx, p); err != nil {
			return err
		}
		if before != nil {
			describePolicy(event.Details, "before.", *before)
		}
		describePolicy(event.Details, "", p)
		return tx.AddPolicy(p)
	})
	return p, err
}

// RetirePolicy ends a policy. Its versions stay on record.
func (f *Fleet) RetirePolicy(ctx context.Context, actor, name, reason string) (p policy.Policy, err error) {
	event := audit.Event{Actor: actor, Action: audit.PolicyRetired, Subject: policySubject(name), Reason: reason, Details: map[string]string{}}
	if reason == "" {
		return p, f.deny(ctx, event, fmt.Errorf("%w: to retire policy %s", ErrNoReason, name))
	}
	err = f.change(ctx, event, func(tx Tx) error {
		clear(event.Details)
		before, _, err := replaced(tx, name)
		if err != nil {
			return err
		}
		if before == nil {
			return fmt.Errorf("policy %q in force: %w", name, ErrNotFound)
		}
		describePolicy(event.Details, "before.", *before)
		p = *before
		if p.Version, err = nextVersion(tx, name); err != nil {
			return err
		}
		p.CreatedAt, p.CreatedBy, p.Retired, p.Comment = f.config.Clock(), actor, true, reason
		return tx.AddPolicy(p)
	})
	return p, err
}

// replaced returns the policy of this name that is in force, nil for none, and the others.
func replaced(r PolicyReader, name string) (before *policy.Policy, others []policy.Policy, err error) {
	list, err := r.Policies()
	for _, p := range list {
		if p.Name == name {
			before = &p
		} else {
			others = append(others, p)
		}
	}
	return before, others, err
}

func sameRule(a, b policy.Policy) bool {
	return a.Kind == b.Kind && a.Position == b.Position && a.Selector == b.Selector &&
		a.Expression == b.Expression && a.Remediation == b.Remediation && a.Comment == b.Comment
}

func nextVersion(r PolicyReader, name string) (int, error) {
	versions, err := r.PolicyVersions(name)
	if err != nil || len(versions) == 0 {
		return 1, err
	}
	return versions[0].Version + 1, nil
}

// checkPolicy compiles a policy with the groups there are.
func checkPolicy(r PolicyReader, p policy.Policy) error {
	groups, err := r.Groups()
	if err != nil {
		return err
	}
	if _, err := policy.Compile(p, devices.Selectors(groups)); err != nil {
		return fmt.Errorf("%w: %w", ErrBadPolicy, err)
	}
	return nil
}

// maxAudited bounds a text in an audit event; all of it stands in the version.
const maxAudited = 512

func describePolicy(details map[string]string, prefix string, p policy.Policy) {
	details[prefix+"version"] = fmt.Sprint(p.Version)
	details[prefix+"kind"] = string(p.Kind)
	details[prefix+"position"] = fmt.Sprint(p.Position)
	for name, text := range map[string]string{"selector": p.Selector, "expression": p.Expression, "remediation": p.Remediation} {
		if text != "" {
			details[prefix+name] = shortened(text, maxAudited)
		}
	}
}

func policySubject(name string) string { return "policy:" + shortened(name, 64) }

// shortened cuts a text that is too long at a character.
func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	cut := limit
	for cut > 0 && text[cut]&0xc0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}

// TriedDevice is what a device would get under other policies, from the last appraisal
// that found its evidence genuine.
type TriedDevice struct {
	Device    devices.Device
	Appraisal int64
	Now, Then policy.Decision // under the policies in force, and with the candidate
}

// Changed reports whether the candidate makes a difference to the device.
func (d TriedDevice) Changed() bool {
	return policy.Change{Before: d.Now, After: d.Then}.Matters()
}

// PolicyTrial is what a policy would do to the devices that it was tried on.
type PolicyTrial struct {
	Devices []TriedDevice // those that it makes a difference to
	Counts  map[[2]policy.Outcome]int
	Tried   int
	Skipped int    // devices of which no evidence on record is genuine: no policy is asked about it
	Next    string // cursor: the last device looked at; empty at the end
}

// TryPolicy tells what a policy would have decided about the last appraisal of
// each device, at most limit of them from the one behind after, or as many as one search
// may cost, if it were in force in place of the version that is. It changes nothing.
// A policy for admissions is asked as if each device were new.
func (f *Fleet) TryPolicy(ctx context.Context, candidate policy.Policy, page Page) (trial PolicyTrial, err error) {
	var in rulings
	err = f.config.Store.View(ctx, func(r Reader) error {
		if candidate.Version, err = nextVersion(r, candidate.Name); err != nil {
			return err
		}
		in, err = readRulings(r)
		return err
	})
	if err != nil {
		return trial, err
	}
	if _, err := policy.Compile(candidate, in.groups); err != nil {
		return trial, fmt.Errorf("%w: %w", ErrBadPolicy, err)
	}
	now := in.compile(rules{})
	in.policies = append(slices.DeleteFunc(in.policies, func(p policy.Policy) bool { return p.Name == candidate.Name }), candidate)
	then := in.compile(now)
	err = f.config.Store.View(ctx, func(r Reader) error {
		trial, err = f.try(r, candidate.Kind, now, then, page)
		return err
	})
	return trial, err
}

func (f *Fleet) try(r Reader, kind policy.Kind, now, then rules, page Page) (PolicyTrial, error) {
	trial := PolicyTrial{Counts: map[[2]policy.Outcome]int{}}
	list, err := r.LatestAppraisals(page)
	if err != nil {
		return trial, err
	}
	at := f.config.Clock()
	var spent uint64
	for i, a := range list {
		if spent > expr.PerSearch {
			trial.Next = string(list[i-1].Device)
			return trial, nil
		}
		d, err := r.Device(a.Device)
		if err != nil {
			return trial, err
		}
		a, found, err := lastGenuine(r, a)
		if err != nil {
			return trial, err
		}
		if !found {
			trial.Skipped++
			continue
		}
		result, err := devices.ResultOf(a)
		if err != nil {
			return trial, err
		}
		var agents []devices.Agent // the one that attested
		switch agent, err := r.Agent(a.Agent); {
		case err == nil:
			agents = append(agents, agent)
		case !errors.Is(err, ErrNotFound):
			return trial, err
		}
		is, would := expr.NewBudget(expr.PerAppraisal), expr.NewBudget(expr.PerAppraisal)
		tried := TriedDevice{Device: d, Appraisal: a.ID}
		if kind == policy.Admission {
			tried.Now, tried.Then = now.welcome(d, result, at, is), then.welcome(d, result, at, would)
		} else {
			tried.Now, tried.Then = now.appraise(d, agents, result, at, is), then.appraise(d, agents, result, at, would)
		}
		spent += is.Spent() + would.Spent()
		trial.Tried++
		trial.Counts[[2]policy.Outcome{tried.Now.Outcome, tried.Then.Outcome}]++
		if tried.Changed() {
			trial.Devices = append(trial.Devices, tried)
		}
	}
	if len(list) == page.Limit && len(list) > 0 {
		trial.Next = string(list[len(list)-1].Device)
	}
	return trial, nil
}

// welcome decides about a device as if it were new, and nothing but policies could admit it.
func (r rules) welcome(d devices.Device, result *attest.Result, now time.Time, b *expr.Budget) policy.Decision {
	d.State, d.StateReason, d.QuarantinedBy = devices.Pending, "", ""
	decision, spoken := r.admit(d, result, now, b)
	if !spoken {
		return policy.Decision{Outcome: policy.Pending, Reason: "no policy speaks of it", Policy: policyByDefault}
	}
	return decision
}

// lastGenuine returns the last appraisal of a device about which policies are asked, where
// there is one: forgeries in its name must not hide it from who tries a policy.
func lastGenuine(r Reader, last devices.Appraisal) (a devices.Appraisal, found bool, err error) {
	if last.Genuine {
		return last, true, nil
	}
	list, err := r.Appraisals(AppraisalQuery{Device: last.Device, Genuine: true, Limit: 1})
	if err != nil || len(list) == 0 {
		return a, false, err
	}
	a, err = r.Appraisal(list[0].ID)
	return a, err == nil, err
}
