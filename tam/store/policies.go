package store

import (
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
)

const policyColumns = `name, version, kind, position, selector, expression, remediation, comment, created_at, created_by, retired`

var (
	selectPolicies       = prepare(`SELECT ` + policyColumns + ` FROM policies WHERE in_force = 1 ORDER BY position, name`)
	selectPolicyVersions = prepare(`SELECT ` + policyColumns + ` FROM policies WHERE name = ? ORDER BY version DESC`)
	// A version that is lower than another comes into the list of versions only.
	insertPolicy = prepare(`INSERT INTO policies (` + policyColumns + `, in_force)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
			?11 = 0 AND NOT EXISTS (SELECT 1 FROM policies WHERE name = ?1 AND version > ?2)) ON CONFLICT DO NOTHING`)
	supersedePolicies = prepare(`UPDATE policies SET in_force = 0 WHERE name = ? AND version < ?`)

	selectPolicyState = prepare(`SELECT mark FROM policy_state WHERE id = 1`)
	markPolicyState   = prepare(`UPDATE policy_state SET mark = random() WHERE id = 1`)
)

func (s snapshot) PolicyState() (int64, error) {
	mark, err := one(s.transaction, selectPolicyState, scanInt)
	return mark, about(err, "state of the policies")
}

// policiesChanged follows every change of policies and groups, in its transaction; err is
// that of the change.
func (u update) policiesChanged(err error) error {
	if err == nil {
		_, err = u.exec(markPolicyState)
	}
	return err
}

func scanPolicy(r *row) (policy.Policy, error) {
	return policy.Policy{
		Name: r.text(), Version: int(r.int()), Kind: policy.Kind(r.text()), Position: int(r.int()),
		Selector: r.text(), Expression: r.text(), Remediation: r.text(), Comment: r.text(),
		CreatedAt: timeOf(r.int()), CreatedBy: r.text(), Retired: r.int() != 0,
	}, nil
}

func (s snapshot) Policies() ([]policy.Policy, error) {
	found, err := list(s.transaction, selectPolicies, scanPolicy)
	return found, about(err, "policies")
}

func (s snapshot) PolicyVersions(name string) ([]policy.Policy, error) {
	versions, err := list(s.transaction, selectPolicyVersions, scanPolicy, name)
	return versions, about(err, "versions of policy %q", name)
}

func (u update) AddPolicy(p policy.Policy) error {
	err := u.insert(tam.ErrExists, insertPolicy, p.Name, p.Version, string(p.Kind), p.Position, p.Selector, p.Expression,
		p.Remediation, p.Comment, micros(p.CreatedAt), p.CreatedBy, p.Retired)
	if err == nil {
		_, err = u.exec(supersedePolicies, p.Name, p.Version)
	}
	return about(u.policiesChanged(err), "policy %q version %d", p.Name, p.Version)
}

var (
	selectGroups = prepare(`SELECT name, selector FROM device_groups ORDER BY name`)
	upsertGroup  = prepare(`INSERT INTO device_groups (name, selector) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET selector = excluded.selector`)
	deleteGroup = prepare(`DELETE FROM device_groups WHERE name = ?`)
)

func scanGroup(r *row) (devices.Group, error) {
	return devices.Group{Name: r.text(), Selector: r.text()}, nil
}

func (s snapshot) Groups() ([]devices.Group, error) {
	groups, err := list(s.transaction, selectGroups, scanGroup)
	return groups, about(err, "groups")
}

func (u update) PutGroup(g devices.Group) error {
	_, err := u.exec(upsertGroup, g.Name, g.Selector)
	return about(u.policiesChanged(err), "group %q", g.Name)
}

func (u update) DeleteGroup(name string) error {
	return about(u.policiesChanged(u.remove(deleteGroup, name)), "group %q", name)
}
