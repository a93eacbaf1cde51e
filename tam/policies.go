package tam

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/expr"
)

// rules are the policies in force, compiled: all of them, or the reason why not.
type rules struct {
	set      *policy.Set
	fault    error             // of a policy that does not compile any more; what it decides is unknown
	remedies map[string]string // what policies name as their remediation, by name@version
	each     []*policy.Compiled
	groups   map[string]string // that they were compiled with
	state    int64             // of the store whose policies they are, see PolicyState
}

func (r rules) compiled() bool { return r.set != nil || r.fault != nil }

// appraise decides about a bound result of a device, at the expense of a budget, nil for
// the ordinary one. Policies of which one is not known
// accept nothing. An exception takes the place of the one decision that it was granted
// against: another policy, or another version, speaks of what nobody has looked at.
func (r rules) appraise(d devices.Device, agents []devices.Agent, result *attest.Result, now time.Time, b *expr.Budget) policy.Decision {
	if r.fault != nil {
		return policy.Decision{Outcome: policy.Reject, Reason: r.fault.Error(), Policy: policyUnknown}
	}
	decision := r.set.Appraise(policy.Subject{Device: devices.Document(d, agents...), Result: result, Now: now, Budget: b})
	accepted := decision.Outcome == policy.Accept && (decision.Until.IsZero() || now.Before(decision.Until))
	x := d.Exception
	switch {
	case accepted || x == nil || !now.Before(x.Until) || x.Policy != decision.Policy:
	case x.Covers(result, now):
		return policy.Decision{
			Outcome: policy.Accept, Until: x.Until, Policy: policyOfException, Reason: "accepted by " + x.By + ": " + x.Reason,
		}
	case result != nil && result.Claims != nil:
		if fault := x.Uncovered(result); fault != "" {
			decision.Reason = shortened("not covered by the exception: "+fault+"; "+decision.Reason, maxAudited)
		}
	}
	return decision
}

// admit decides about a new device, if a policy speaks of it, at the expense of a budget as
// for appraise.
func (r rules) admit(d devices.Device, result *attest.Result, now time.Time, b *expr.Budget) (policy.Decision, bool) {
	if r.fault != nil {
		return policy.Decision{Outcome: policy.Reject, Reason: r.fault.Error(), Policy: policyUnknown}, true
	}
	return r.set.Admit(policy.Subject{Device: devices.Document(d), Result: result, Now: now, Budget: b})
}

// What stands for a policy in a Decision, beside names with versions.
const (
	policyOfException = "exception"
	policyByDefault   = "default"
	policyUnknown     = "unknown"
)

// rulings are the texts of the rules that are in force, as a transaction finds them.
type rulings struct {
	policies []policy.Policy
	groups   map[string]string // selectors by name
	state    int64
}

func readRulings(r PolicyReader) (in rulings, err error) {
	if in.state, err = r.PolicyState(); err != nil {
		return in, fmt.Errorf("read policies: %w", err)
	}
	if in.policies, err = r.Policies(); err != nil {
		return in, fmt.Errorf("read policies: %w", err)
	}
	groups, err := r.Groups()
	if err != nil {
		return in, fmt.Errorf("read groups: %w", err)
	}
	in.groups = devices.Selectors(groups)
	return in, nil
}

// compile compiles what is in force. Of the rules that there were it takes what is the
// same, so that a change costs what was changed.
func (in rulings) compile(before rules) rules {
	out := rules{groups: in.groups, state: in.state, remedies: make(map[string]string, len(in.policies))}
	compiled := make([]*policy.Compiled, 0, len(in.policies))
	known := map[policy.Policy]*policy.Compiled{}
	if maps.Equal(before.groups, in.groups) {
		for _, c := range before.each {
			known[c.Policy] = c
		}
	}
	for _, p := range in.policies {
		c := known[p]
		if c == nil {
			var err error
			if c, err = policy.Compile(p, in.groups); err != nil {
				return rules{fault: fmt.Errorf("policy %s: %w", p, err), groups: in.groups, each: compiled, state: in.state}
			}
		}
		compiled = append(compiled, c)
		out.remedies[p.String()] = p.Remediation
	}
	out.each, out.set = compiled, policy.NewSet(compiled)
	return out
}

// rulebook keeps the rules that were compiled last, for as long as neither policies nor
// groups change: compiling costs far more than evaluating.
type rulebook struct {
	mu        sync.Mutex // guards last
	last      rules
	compiling sync.Mutex
}

// current are the rules that were compiled last. What they accept while others are in
// force is due again, see [session.askPolicy].
func (b *rulebook) current() rules {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.compiled() {
		return rules{fault: errNoRules}
	}
	return b.last
}

var errNoRules = errors.New("no policies were compiled yet")

// refresh compiles what is in force, where that is another state than the one that is
// compiled. It is for before a transaction, never for within one: others would wait. One
// caller compiles; to those who come meanwhile the rules that there were are good enough.
func (b *rulebook) refresh(ctx context.Context, store Store, state int64) error {
	before := b.current()
	if before.fault != errNoRules && before.state == state || !b.compiling.TryLock() {
		return nil
	}
	defer b.compiling.Unlock()
	var found rulings
	err := store.View(ctx, func(r Reader) (err error) {
		found, err = readRulings(r)
		return err
	})
	if err != nil {
		return err
	}
	next := found.compile(before)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = next
	return nil
}
