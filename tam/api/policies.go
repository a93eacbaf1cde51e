package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam"
)

func (s *server) ListPolicies(ctx context.Context, _ ListPoliciesRequestObject) (ListPoliciesResponseObject, error) {
	list, err := s.fleet.Policies(ctx)
	if err != nil {
		return nil, err
	}
	return ListPolicies200JSONResponse(show(list, showPolicy)), nil
}

func (s *server) ListPolicyVersions(ctx context.Context, r ListPolicyVersionsRequestObject) (ListPolicyVersionsResponseObject, error) {
	list, err := s.fleet.PolicyVersions(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	return ListPolicyVersions200JSONResponse(show(list, showPolicy)), nil
}

func (s *server) AddPolicy(ctx context.Context, r AddPolicyRequestObject) (AddPolicyResponseObject, error) {
	p, err := readPolicy(r.Body)
	if err != nil {
		return nil, err
	}
	if p, err = s.fleet.AddPolicy(ctx, s.actor, p); err != nil {
		return nil, err
	}
	return AddPolicy200JSONResponse(showPolicy(p)), nil
}

func (s *server) RetirePolicy(ctx context.Context, r RetirePolicyRequestObject) (RetirePolicyResponseObject, error) {
	if err := checkReason(r.Body.Reason); err != nil {
		return nil, err
	}
	p, err := s.fleet.RetirePolicy(ctx, s.actor, r.Name, r.Body.Reason)
	if err != nil {
		return nil, err
	}
	return RetirePolicy200JSONResponse(showPolicy(p)), nil
}

func (s *server) TryPolicy(ctx context.Context, r TryPolicyRequestObject) (TryPolicyResponseObject, error) {
	page, err := pageOf(r.Params.After, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	candidate, err := readPolicy(r.Body)
	if err != nil {
		return nil, err
	}
	trial, err := s.fleet.TryPolicy(ctx, candidate, page)
	if err != nil {
		return nil, err
	}
	return TryPolicy200JSONResponse(showTrial(trial)), nil
}

// readPolicy takes over what the fleet then compiles.
func readPolicy(p *NewPolicy) (policy.Policy, error) {
	switch n := utf8.RuneCountInString(p.Comment); {
	case !p.Kind.Valid():
		return policy.Policy{}, fmt.Errorf("%w: there is no kind of policy %q, want appraisal or admission", errMalformed, p.Kind)
	case n > maxReason:
		return policy.Policy{}, fmt.Errorf("%w: a comment of %d characters, at most %d are taken", errMalformed, n, maxReason)
	}
	return policy.Policy{
		Name: p.Name, Kind: policy.Kind(p.Kind), Position: p.Position, Selector: p.Selector,
		Expression: p.Expression, Remediation: p.Remediation, Comment: p.Comment,
	}, nil
}

func showPolicy(p policy.Policy) Policy {
	return Policy{
		Name: p.Name, Version: p.Version, Kind: PolicyKind(p.Kind), Position: p.Position, Selector: p.Selector,
		Expression: p.Expression, Remediation: p.Remediation, Comment: p.Comment,
		CreatedAt: p.CreatedAt, CreatedBy: p.CreatedBy, Retired: p.Retired,
	}
}

func showTrial(trial tam.PolicyTrial) PolicyTrial {
	out := PolicyTrial{
		Tried: trial.Tried, Skipped: trial.Skipped, Counts: []TrialCount{}, Next: trial.Next,
		Devices: show(trial.Devices, func(d tam.TriedDevice) TriedDevice {
			return TriedDevice{Device: string(d.Device.ID), Attestation: d.Appraisal, Now: showDecision(d.Now), Then: showDecision(d.Then)}
		}),
	}
	for outcomes, n := range trial.Counts {
		out.Counts = append(out.Counts, TrialCount{Now: string(outcomes[0]), Then: string(outcomes[1]), Devices: n})
	}
	slices.SortFunc(out.Counts, func(a, b TrialCount) int {
		return cmp.Or(cmp.Compare(a.Now, b.Now), cmp.Compare(a.Then, b.Then))
	})
	return out
}

func showDecision(d policy.Decision) Decision {
	return Decision{Outcome: string(d.Outcome), Until: d.Until, Reason: d.Reason, Policy: d.Policy, Remediation: d.Remediation}
}

func (s *server) ListGroups(ctx context.Context, _ ListGroupsRequestObject) (ListGroupsResponseObject, error) {
	list, err := s.fleet.Groups(ctx)
	if err != nil {
		return nil, err
	}
	return ListGroups200JSONResponse(show(list, showGroup)), nil
}

func (s *server) GetGroup(ctx context.Context, r GetGroupRequestObject) (GetGroupResponseObject, error) {
	page, err := pageOf(nil, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	list, err := s.fleet.Groups(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(g devices.Group) bool { return g.Name == r.Name })
	if i < 0 {
		return nil, fmt.Errorf("group %q: %w", r.Name, tam.ErrNotFound)
	}
	out := GetGroup200JSONResponse{Group: showGroup(list[i])}
	if out.Count, out.Complete, err = s.fleet.CountDevices(ctx, list[i].Selector); err != nil {
		return nil, err
	}
	first, err := s.fleet.SelectDevices(ctx, list[i].Selector, page)
	out.Devices = show(first.Devices, showDevice)
	return out, err
}

func (s *server) PutGroup(ctx context.Context, r PutGroupRequestObject) (PutGroupResponseObject, error) {
	g, err := s.fleet.PutGroup(ctx, s.actor, devices.Group{Name: r.Name, Selector: r.Body.Selector})
	if err != nil {
		return nil, err
	}
	return PutGroup200JSONResponse(showGroup(g)), nil
}

func (s *server) DeleteGroup(ctx context.Context, r DeleteGroupRequestObject) (DeleteGroupResponseObject, error) {
	if err := s.fleet.DeleteGroup(ctx, s.actor, r.Name); err != nil {
		return nil, err
	}
	return DeleteGroup204Response{}, nil
}

func showGroup(g devices.Group) Group { return Group{Name: g.Name, Selector: g.Selector} }
