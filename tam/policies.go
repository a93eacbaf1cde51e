package tam

import (
	"fmt"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
)

// rules are the policies in force, compiled: all of them, or the reason why not.
type rules struct {
	set      *policy.Set
	fault    error             // of a policy that does not compile any more; what it decides is unknown
	remedies map[string]string // what policies name as their remediation, by name@version
	state    int64             // of the store whose policies they are, see PolicyState
}

func (r rules) compiled() bool { return r.set != nil || r.fault != nil }

// appraise decides about a bound result of a device. Policies of which one is not known
// accept nothing. An exception takes the place of the one decision that it was granted
// against: another policy, or another version, speaks of what nobody has looked at.
func (r rules) appraise(d devices.Device, agents []devices.Agent, result *attest.Result, now time.Time) policy.Decision {
	if r.fault != nil {
		return policy.Decision{Outcome: policy.Reject, Reason: r.fault.Error(), Policy: policyUnknown}
	}
	decision := r.set.Appraise(policy.Subject{Device: devices.Document(d, agents...), Result: result, Now: now})
	accepted := decision.Outcome == policy.Accept && (decision.Until.IsZero() || now.Before(decision.Until))
	if x := d.Exception; !accepted && x.Covers(result, now) && x.Policy == decision.Policy {
		return policy.Decision{
			Outcome: policy.Accept, Until: x.Until, Policy: policyOfException, Reason: "accepted by " + x.By + ": " + x.Reason,
		}
	}
	return decision
}

// admit decides about a new device, if a policy speaks of it.
func (r rules) admit(d devices.Device, result *attest.Result, now time.Time) (policy.Decision, bool) {
	if r.fault != nil {
		return policy.Decision{Outcome: policy.Reject, Reason: r.fault.Error(), Policy: policyUnknown}, true
	}
	return r.set.Admit(policy.Subject{Device: devices.Document(d), Result: result, Now: now})
}

// What stands for a policy in a Decision, beside names with versions.
const (
	policyOfException = "exception"
	policyByDefault   = "default"
	policyUnknown     = "unknown"
)

// compileRules compiles the policies that a reader finds in force.
func compileRules(policies []policy.Policy, groups []devices.Group) rules {
	named := devices.Selectors(groups)
	out := rules{remedies: make(map[string]string, len(policies))}
	compiled := make([]*policy.Compiled, 0, len(policies))
	for _, p := range policies {
		c, err := policy.Compile(p, named)
		if err != nil {
			out.fault = fmt.Errorf("policy %s: %w", p, err)
			return out
		}
		compiled = append(compiled, c)
		out.remedies[p.String()] = p.Remediation
	}
	out.set = policy.NewSet(compiled)
	return out
}

// rulebook keeps the rules that were compiled last, for as long as neither policies nor
// groups change: compiling costs far more than evaluating, and to read them all costs more
// than to ask whether they have changed.
type rulebook struct {
	mu   sync.Mutex
	last rules
}

// read returns the rules that are in force in the transaction of the reader.
func (b *rulebook) read(r PolicyReader) (rules, error) {
	state, err := r.PolicyState()
	if err != nil {
		return rules{}, fmt.Errorf("read policies: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last.compiled() && b.last.state == state {
		return b.last, nil
	}
	policies, err := r.Policies()
	if err != nil {
		return rules{}, fmt.Errorf("read policies: %w", err)
	}
	groups, err := r.Groups()
	if err != nil {
		return rules{}, fmt.Errorf("read groups: %w", err)
	}
	b.last = compileRules(policies, groups)
	b.last.state = state
	return b.last, nil
}
