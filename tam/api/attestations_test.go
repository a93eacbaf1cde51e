package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// appraise adds an attestation of a device that measures an image, and of which the
// reference values know "sha-256:aa" alone.
func (r *rig) appraise(id devices.ID, measured string, change func(*devices.Appraisal)) {
	r.t.Helper()
	match := measured == "sha-256:aa"
	executables := attest.Element{Name: attest.Executables, Value: 2, Reason: "all values match"}
	if !match {
		executables.Value, executables.Reason = 96, "image-digest of app/hello differs"
	}
	vector := []attest.Element{{Name: attest.InstanceIdentity, Value: 2, Reason: "known key"}, executables}
	a := devices.Appraisal{
		Device: id, Agent: cosekit.Thumbprint{1}, At: now, Accepted: match, Status: int8(attest.StatusOf(vector)),
		Vector: encoded(r.t, vector), Claims: encoded(r.t, map[string]any{"hwversion": measured, "iat": 1}),
		Comparisons: encoded(r.t, []attest.Comparison{{
			Element: attest.Executables, Name: "image-digest of app/hello", Measured: measured,
			Expected: []string{"sha-256:aa"}, Source: "app/hello@1", Match: match,
		}}),
		Verifier: "local", Format: "application/eat+cwt", Outcome: "accept", Policy: "default",
		Evidence: []byte("evidence of " + measured), Challenge: []byte{0xc0},
	}
	if !match {
		a.Outcome, a.Code, a.Reason = "reject", "not-affirmed", "executables: differ"
	}
	if change != nil {
		change(&a)
	}
	r.update(func(tx tam.Tx) error { return tx.AddAppraisal(a) })
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func put(path, body string) call {
	return call{method: http.MethodPut, path: path, mediaType: "application/json", body: []byte(body), token: testToken}
}

func TestAttestations(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Accepted)
	r.addDevice(two, devices.Accepted)
	r.appraise(one, "sha-256:aa", nil)
	r.appraise(two, "sha-256:aa", nil)
	r.appraise(one, "sha-256:bb", nil)
	const path = "/api/v1/attestations"
	var page AttestationPage
	r.want(get(path+"?limit=2"), http.StatusOK, &page)
	if len(page.Items) != 2 || page.Items[0].ID != 3 || page.Items[0].Device != one || page.Items[0].Accepted || !page.Items[0].Genuine ||
		page.Items[0].Code != "not-affirmed" || page.Items[0].Status != "contraindicated" || page.Items[0].Outcome != "reject" || page.Next == "" {
		t.Fatalf("first page %+v", page)
	}
	next := page.Next
	page = AttestationPage{}
	r.want(get(path+"?after="+next), http.StatusOK, &page)
	if len(page.Items) != 1 || page.Items[0].ID != 1 || page.Next != "" {
		t.Errorf("second page %+v", page)
	}
	for query, want := range map[string]int{"device=" + one: 2, "accepted=true": 2, "accepted=false": 1, "device=" + two + "&accepted=false": 0, "device=nobody": 0} {
		r.want(get(path+"?"+query), http.StatusOK, &page)
		if len(page.Items) != want {
			t.Errorf("%s: %d attestations, want %d", query, len(page.Items), want)
		}
	}

	var a AttestationDetail
	r.want(get(path+"/3"), http.StatusOK, &a)
	if len(a.Vector) != 2 || a.Vector[1] != (VectorElement{Name: "executables", Value: 96, Tier: "contraindicated", Reason: "image-digest of app/hello differs"}) ||
		len(a.Comparisons) != 1 || a.Comparisons[0].Match || a.Comparisons[0].Expected[0] != "sha-256:aa" || a.Comparisons[0].Source != "app/hello@1" ||
		!strings.Contains(string(a.Claims), `"hwversion":"sha-256:bb"`) || a.Challenge != "c0" || a.Evidence != nil {
		t.Errorf("attestation %+v", a)
	}
	r.want(get(path+"/3?raw=true"), http.StatusOK, &a)
	if !bytes.Equal(a.Evidence, []byte("evidence of sha-256:bb")) {
		t.Errorf("evidence %q", a.Evidence)
	}
}

func TestDiffAttestations(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Accepted)
	r.addDevice(two, devices.Accepted)
	const path = "/api/v1/devices/" + one + "/attestation-diff"
	r.refused(get(path), http.StatusConflict, "no-appraisal")
	r.appraise(one, "sha-256:bb", nil)
	r.refused(get(path), http.StatusConflict, "no-appraisal")
	r.appraise(one, "sha-256:aa", nil)
	r.appraise(one, "sha-256:bb", nil)
	r.appraise(two, "sha-256:aa", nil)
	var d AttestationDiff
	r.want(get(path), http.StatusOK, &d)
	if d.From.ID != 2 || d.To.ID != 3 || len(d.Changes) != 3 {
		t.Fatalf("diff %+v", d)
	}
	c := d.Changes[0]
	if c.Name != "image-digest of app/hello" || c.Before != "sha-256:aa" || c.After != "sha-256:bb" || c.Expected[0] != "sha-256:aa" || c.Source != "app/hello@1" || !c.Wrong {
		t.Errorf("first change %+v", c)
	}
	if d.Changes[1].Name != "hwversion" || d.Changes[1].Wrong {
		t.Errorf("second change %+v", d.Changes[1])
	}
	r.want(get(path+"?from=3&to=2"), http.StatusOK, &d)
	if d.From.ID != 3 || d.To.ID != 2 {
		t.Errorf("backwards %+v", d)
	}
	r.refused(get(path+"?to=4"), http.StatusNotFound, "not-found")
	r.refused(get(path+"?from=99"), http.StatusNotFound, "not-found")
	r.refused(get("/api/v1/devices/nobody/attestation-diff"), http.StatusNotFound, "not-found")
}

func TestQuarantineAndRelease(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Accepted)
	const path = "/api/v1/devices/" + one
	r.refused(post(path+"/release", `{"reason":"x"}`), http.StatusConflict, "device-state")
	r.refused(post(path+"/quarantine", `{}`), http.StatusUnprocessableEntity, "no-reason")
	var d Device
	r.want(post(path+"/quarantine", `{"reason":"smoke"}`), http.StatusOK, &d)
	if d.State != DeviceStateQuarantined || d.StateReason != "smoke" || d.QuarantinedBy != "" {
		t.Errorf("device %+v", d)
	}
	if e, _ := r.lastEvent(); e.Action != audit.DeviceQuarantined || e.Reason != "smoke" {
		t.Errorf("event %+v", e)
	}
	r.refused(post(path+"/quarantine", `{"reason":"again"}`), http.StatusConflict, "device-state")
	r.refused(post(path+"/release", `{}`), http.StatusUnprocessableEntity, "no-reason")
	r.want(post(path+"/release", `{"reason":"no fire"}`), http.StatusOK, &d)
	if d.State != DeviceStateAccepted {
		t.Errorf("device %+v", d)
	}
	r.refused(post("/api/v1/devices/nobody/quarantine", `{"reason":"x"}`), http.StatusNotFound, "not-found")
}

func TestExceptions(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Accepted)
	const path = "/api/v1/devices/" + one + "/exception"
	body := func(until time.Time) string {
		return fmt.Sprintf(`{"until":%q,"reason":"a trial"}`, until.Format(time.RFC3339))
	}
	good := body(now.Add(time.Hour))
	r.refused(put(path, good), http.StatusConflict, "no-appraisal")
	r.appraise(one, "sha-256:aa", nil)
	r.refused(put(path, good), http.StatusUnprocessableEntity, "bad-exception")
	r.appraise(one, "sha-256:bb", func(a *devices.Appraisal) { a.Claims, a.Comparisons = nil, nil })
	r.refused(put(path, good), http.StatusUnprocessableEntity, "bad-exception")
	r.appraise(one, "sha-256:bb", nil)
	r.refused(put(path, body(now)), http.StatusUnprocessableEntity, "bad-exception")
	r.refused(put(path, body(now.AddDate(2, 0, 0))), http.StatusUnprocessableEntity, "bad-exception")
	r.refused(put(path, `{"until":"2026-11-22T00:00:00Z"}`), http.StatusUnprocessableEntity, "no-reason")
	r.refused(put(path, `{"reason":"x"}`), http.StatusBadRequest, "malformed-request")
	r.refused(put(path, `{"until":"tomorrow","reason":"x"}`), http.StatusBadRequest, "malformed-request")
	r.refused(del(path+"?reason=x"), http.StatusNotFound, "not-found")
	looked := func(number int) string {
		return fmt.Sprintf(`{"until":%q,"reason":"a trial","attestation":%d}`, now.Add(time.Hour).Format(time.RFC3339), number)
	}
	r.refused(put(path, looked(2)), http.StatusUnprocessableEntity, "bad-exception")
	r.refused(put(path, looked(4)), http.StatusUnprocessableEntity, "bad-exception")
	r.refused(put(path, looked(-1)), http.StatusBadRequest, "malformed-request")
	r.want(put(path, looked(3)), http.StatusOK, nil)
	var d Device
	r.want(put(path, good), http.StatusOK, &d)
	x := d.Exception
	if !x.Until.Equal(now.Add(time.Hour)) || x.Reason != "a trial" || x.By != "operator:admin" || x.Attestation != 3 || len(x.Covers) != 2 ||
		!strings.HasPrefix(x.Covers[0], "executables is contraindicated (96)") || x.Covers[1] != "image-digest of app/hello is sha-256:bb" {
		t.Errorf("exception %+v", x)
	}
	r.refused(del(path), http.StatusUnprocessableEntity, "no-reason")
	d = Device{}
	r.want(del(path+"?reason=over"), http.StatusOK, &d)
	if !d.Exception.Until.IsZero() {
		t.Errorf("device %+v", d)
	}
	if e, _ := r.lastEvent(); e.Action != audit.ExceptionEnded || e.Reason != "over" {
		t.Errorf("event %+v", e)
	}
}

func TestLabelsAndSelectors(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Accepted)
	r.addDevice(two, devices.Pending)
	const path = "/api/v1/devices/" + one + "/labels"
	var d Device
	r.want(put(path, `{"site":"hall-3","line":"4"}`), http.StatusOK, &d)
	if len(d.Labels) != 2 || d.Labels["site"] != "hall-3" {
		t.Errorf("device %+v", d)
	}
	if e, _ := r.lastEvent(); e.Action != audit.DeviceLabelled || e.Details["after"] != "line=4,site=hall-3" {
		t.Errorf("event %+v", e)
	}
	r.want(put(path, `{"site":"hall-3"}`), http.StatusOK, nil)

	list := func(selector, more string) []Device {
		var page DevicePage
		r.want(get("/api/v1/devices?selector="+url.QueryEscape(selector)+more), http.StatusOK, &page)
		return page.Items
	}
	if got := list(`device.labels.site == "hall-3"`, ""); len(got) != 1 || got[0].ID != one {
		t.Errorf("of hall 3: %+v", got)
	}
	if got := list(`true`, "&state=pending"); len(got) != 1 || got[0].ID != two {
		t.Errorf("pending: %+v", got)
	}
	var page DevicePage
	r.want(get("/api/v1/devices?selector=true&limit=1"), http.StatusOK, &page)
	if len(page.Items) != 1 || page.Next == "" {
		t.Errorf("first page %+v", page)
	}
	p := r.refused(get("/api/v1/devices?selector="+url.QueryEscape(`device.lables.site == "x"`)), http.StatusUnprocessableEntity, "bad-selector")
	if p.Line != 1 || p.Column != 8 || !strings.Contains(p.Detail, "\n         ^") || !strings.Contains(p.Detail, "labels") {
		t.Errorf("problem %+v", p)
	}

	const groups = "/api/v1/groups"
	var g Group
	r.want(put(groups+"/hall", `{"selector":"device.labels.site == \"hall-3\""}`), http.StatusOK, &g)
	if g.Name != "hall" {
		t.Errorf("group %+v", g)
	}
	if got := list(`group("hall")`, ""); len(got) != 1 || got[0].ID != one {
		t.Errorf("group: %+v", got)
	}
	var detail GroupDetail
	r.want(get(groups+"/hall"), http.StatusOK, &detail)
	if detail.Count != 1 || !detail.Complete || len(detail.Devices) != 1 || detail.Devices[0].ID != one {
		t.Errorf("group %+v", detail)
	}
	r.refused(get(groups+"/other"), http.StatusNotFound, "not-found")
	r.refused(del(groups+"/other"), http.StatusNotFound, "not-found")
	r.refused(put(groups+"/Hall", `{"selector":"true"}`), http.StatusUnprocessableEntity, "bad-selector")
	p = r.refused(put(groups+"/hall", `{"selector":"true &&\n  nothing"}`), http.StatusUnprocessableEntity, "bad-selector")
	if p.Line != 2 || p.Column != 3 {
		t.Errorf("problem %+v", p)
	}
	r.want(del(groups+"/hall"), http.StatusNoContent, nil)
	var all []Group
	r.want(get(groups), http.StatusOK, &all)
	if len(all) != 0 {
		t.Errorf("groups %+v", all)
	}
}
