package tam

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
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
	changed  time.Time         // when the newest of the policies in force was added
}

// appraise decides about a bound result of a device. Policies of which one is not known
// accept nothing.
func (r rules) appraise(d devices.Device, agents []devices.Agent, result *attest.Result, now time.Time) policy.Decision {
	if d.Exception.Covers(result, now) {
		return policy.Decision{
			Outcome: policy.Accept, Until: d.Exception.Until, Policy: policyOfException,
			Reason: "accepted by " + d.Exception.By + ": " + d.Exception.Reason,
		}
	}
	if r.fault != nil {
		return policy.Decision{Outcome: policy.Reject, Reason: r.fault.Error(), Policy: policyUnknown}
	}
	return r.set.Appraise(policy.Subject{Device: devices.Document(d, agents...), Result: result, Now: now})
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
		if p.CreatedAt.After(out.changed) {
			out.changed = p.CreatedAt
		}
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

// rulebook keeps the rules that were compiled last, for as long as the same policies and
// groups are in force: compiling costs far more than evaluating.
type rulebook struct {
	mu   sync.Mutex
	key  [sha256.Size]byte
	last rules
}

// changed returns when a policy that is in force was last added, as far as this replica
// has seen.
func (b *rulebook) changed() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last.changed
}

// read returns the rules that are in force in the transaction of the reader.
func (b *rulebook) read(r PolicyReader) (rules, error) {
	policies, err := r.Policies()
	if err != nil {
		return rules{}, fmt.Errorf("read policies: %w", err)
	}
	groups, err := r.Groups()
	if err != nil {
		return rules{}, fmt.Errorf("read groups: %w", err)
	}
	key := rulesKey(policies, groups)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last.set == nil && b.last.fault == nil || b.key != key {
		b.key, b.last = key, compileRules(policies, groups)
	}
	return b.last, nil
}

// rulesKey digests all that the rules are made of.
func rulesKey(policies []policy.Policy, groups []devices.Group) (key [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range policies {
		writeParts(h, p.String(), string(p.Kind), fmt.Sprint(p.Position), p.Selector, p.Expression, p.Remediation)
	}
	for _, g := range groups {
		writeParts(h, g.Name, g.Selector)
	}
	h.Sum(key[:0])
	return key
}

// writeParts writes each part behind its length, so that no two lists look alike.
func writeParts(w io.Writer, parts ...string) {
	var b strings.Builder
	for _, p := range parts {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		b.WriteString(p)
	}
	_, _ = io.WriteString(w, b.String()) // a hash takes everything
}
