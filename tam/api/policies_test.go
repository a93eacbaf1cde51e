package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

const policiesPath = "/api/v1/policies"

// policyBody is a policy that keeps apart what differs.
func policyBody(name, expression string) string {
	return fmt.Sprintf(`{"name":%q,"kind":"appraisal","position":10,"expression":%q,"remediation":"app/hello","comment":"c"}`, name, expression)
}

const strict = `result.status == "affirming" ? accept() : quarantine("differs")`

func TestPolicies(t *testing.T) {
	r := newRig(t)
	var p, again Policy
	r.want(post(policiesPath, policyBody("strict", strict)), http.StatusOK, &p)
	if p.Name != "strict" || p.Version != 1 || p.Kind != PolicyKindAppraisal || p.Position != 10 || p.Expression != strict ||
		p.Remediation != "app/hello" || p.Comment != "c" || p.CreatedBy != "operator:admin" || !p.CreatedAt.Equal(now) || p.Retired {
		t.Errorf("policy %+v", p)
	}
	e, before := r.lastEvent()
	if e.Action != audit.PolicyAdded || e.Subject != "policy:strict" || e.Details["expression"] != strict {
		t.Errorf("event %+v", e)
	}
	r.want(post(policiesPath, policyBody("strict", strict)), http.StatusOK, &again)
	if _, after := r.lastEvent(); again != p || after != before {
		t.Errorf("the same again: %+v, %d events more", again, after-before)
	}
	r.want(post(policiesPath, policyBody("strict", "accept()")), http.StatusOK, &again)
	if again.Version != 2 {
		t.Errorf("second version %+v", again)
	}
	var list []Policy
	r.want(get(policiesPath), http.StatusOK, &list)
	if len(list) != 1 || list[0].Version != 2 {
		t.Errorf("in force %+v", list)
	}
	r.want(get(policiesPath+"/strict"), http.StatusOK, &list)
	if len(list) != 2 || list[0].Version != 2 || list[1].Expression != strict {
		t.Errorf("versions %+v", list)
	}
	r.refused(get(policiesPath+"/other"), http.StatusNotFound, "not-found")
	r.refused(post(policiesPath+"/other/retire", `{"reason":"x"}`), http.StatusNotFound, "not-found")
	r.refused(post(policiesPath+"/strict/retire", `{}`), http.StatusUnprocessableEntity, "no-reason")
	r.want(post(policiesPath+"/strict/retire", `{"reason":"over"}`), http.StatusOK, &p)
	if !p.Retired || p.Version != 3 {
		t.Errorf("retired %+v", p)
	}
	r.refused(post(policiesPath+"/strict/retire", `{"reason":"x"}`), http.StatusNotFound, "not-found")
}

func TestBadPolicies(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		body         string
		status       int
		code         string
		line, column int
	}{
		"no such field":   {policyBody("p", "result.statsu == \"affirming\""), http.StatusUnprocessableEntity, "bad-policy", 1, 8},
		"second line":     {policyBody("p", "true &&\n  nothing"), http.StatusUnprocessableEntity, "bad-policy", 2, 3},
		"not CEL":         {policyBody("p", "accept("), http.StatusUnprocessableEntity, "bad-policy", 1, 8},
		"no decision":     {policyBody("p", "42"), http.StatusUnprocessableEntity, "bad-policy", 0, 0},
		"no expression":   {policyBody("p", ""), http.StatusUnprocessableEntity, "bad-policy", 0, 0},
		"too long":        {policyBody("p", strings.Repeat(" ", 20<<10)+"true"), http.StatusUnprocessableEntity, "bad-policy", 0, 0},
		"bad name":        {policyBody("P", "true"), http.StatusUnprocessableEntity, "bad-policy", 0, 0},
		"no name":         {`{"kind":"appraisal","expression":"true"}`, http.StatusUnprocessableEntity, "bad-policy", 0, 0},
		"bad remediation": {`{"name":"p","kind":"appraisal","expression":"true","remediation":"a//b"}`, http.StatusUnprocessableEntity, "bad-policy", 0, 0},
		"unknown group":   {`{"name":"p","kind":"appraisal","expression":"true","selector":"group(\"x\")"}`, http.StatusUnprocessableEntity, "bad-policy", 1, 7},
		"no kind":         {`{"name":"p","expression":"true"}`, http.StatusBadRequest, "malformed-request", 0, 0},
		"unknown kind":    {`{"name":"p","kind":"x","expression":"true"}`, http.StatusBadRequest, "malformed-request", 0, 0},
		"long comment":    {`{"name":"p","kind":"appraisal","expression":"true","comment":"` + strings.Repeat("x", maxReason+1) + `"}`, http.StatusBadRequest, "malformed-request", 0, 0},
		"unknown member":  {`{"name":"p","kind":"appraisal","expression":"true","version":9}`, http.StatusBadRequest, "malformed-request", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			for _, path := range []string{policiesPath, "/api/v1/policy-trials"} {
				p := r.refused(post(path, c.body), c.status, c.code)
				if (c.line > 0) && (p.Line != c.line || p.Column != c.column) {
					t.Errorf("%s: line %d, column %d, want %d and %d: %s", path, p.Line, p.Column, c.line, c.column, p.Detail)
				}
			}
		})
	}
}

func TestTryPolicy(t *testing.T) {
	r := newRig(t)
	const three = "33333333-cccc-4000-8000-000000000003"
	for _, id := range []string{one, two, three} {
		r.addDevice(id, devices.Accepted)
	}
	r.appraise(one, "sha-256:bb", nil)
	r.appraise(two, "sha-256:aa", nil)
	r.appraise(three, "sha-256:bb", func(a *devices.Appraisal) { a.Claims, a.Comparisons = nil, nil })
	const path = "/api/v1/policy-trials"
	before := r.state()
	_, events := r.lastEvent()
	var trial PolicyTrial
	r.want(post(path, policyBody("strict", strict)), http.StatusOK, &trial)
	if trial.Tried != 2 || trial.Skipped != 1 || len(trial.Devices) != 1 || trial.Next != "" {
		t.Fatalf("trial %+v", trial)
	}
	d := trial.Devices[0]
	if d.Device != one || d.Attestation != 1 || d.Now.Outcome != "reject" || d.Then.Outcome != "quarantine" || d.Then.Reason != "differs" || d.Then.Remediation != "app/hello" {
		t.Errorf("device %+v", d)
	}
	if len(trial.Counts) != 2 || trial.Counts[0] != (TrialCount{Now: "accept", Then: "accept", Devices: 1}) {
		t.Errorf("counts %+v", trial.Counts)
	}
	if _, after := r.lastEvent(); r.state() != before || after != events {
		t.Error("a trial changes the store")
	}
	r.want(post(path+"?limit=1", policyBody("strict", strict)), http.StatusOK, &trial)
	if trial.Next == "" || trial.Tried+trial.Skipped != 1 {
		t.Errorf("first page %+v", trial)
	}
	r.want(post(path+"?after=ffff", policyBody("strict", strict)), http.StatusOK, &trial)
	if trial.Tried != 0 {
		t.Errorf("behind the last %+v", trial)
	}
}

func TestGroupsOfPolicies(t *testing.T) {
	r := newRig(t)
	r.want(put("/api/v1/groups/hall", `{"selector":"true"}`), http.StatusOK, nil)
	r.want(post(policiesPath, `{"name":"p","kind":"appraisal","expression":"true","selector":"group(\"hall\")"}`), http.StatusOK, nil)
	p := r.refused(del("/api/v1/groups/hall"), http.StatusConflict, "group-in-use")
	if !strings.Contains(p.Detail, "policy p@1") {
		t.Errorf("detail %q", p.Detail)
	}
}
