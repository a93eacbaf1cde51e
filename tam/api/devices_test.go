package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

const (
	one = "11111111-aaaa-4000-8000-000000000001"
	two = "11111111-bbbb-4000-8000-000000000002"
)

func TestListDevices(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Pending)
	r.addDevice(two, devices.Accepted)
	r.update(func(tx tam.Tx) error {
		return tx.PutAgent(devices.Agent{Key: newSigner(t).PublicKey(), Device: one, CreatedAt: now, LastSeen: now.Add(time.Hour)})
	})
	var page DevicePage
	r.want(get("/api/v1/devices?limit=1"), http.StatusOK, &page)
	if len(page.Items) != 1 || page.Items[0].ID != one || !page.Items[0].LastSeen.Equal(now.Add(time.Hour)) || page.Next == "" {
		t.Fatalf("first page %+v", page)
	}
	next := page.Next
	page = DevicePage{}
	r.want(get("/api/v1/devices?after="+next), http.StatusOK, &page)
	if len(page.Items) != 1 || page.Items[0].ID != two || page.Next != "" {
		t.Errorf("second page %+v", page)
	}
	r.want(get("/api/v1/devices?state=accepted"), http.StatusOK, &page)
	if len(page.Items) != 1 || page.Items[0].ID != two {
		t.Errorf("accepted %+v", page)
	}
}

func TestGetDevice(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Accepted)
	r.addDevice(two, devices.Accepted)
	agent := newSigner(t).PublicKey()
	hello := componentID(t, "app/hello")
	first := tam.Manifest{Digest: suit.SumSHA256([]byte("first")), Component: hello, Sequence: 2, Signer: agent.Thumbprint()}
	r.update(func(tx tam.Tx) error {
		for _, err := range []error{
			tx.PutAgent(devices.Agent{Key: agent, Device: one, CreatedAt: now, HoldUntil: now, HoldReason: "busy"}),
			tx.ReplaceInventory(one, []devices.InventoryItem{{Component: hello, Since: now}}),
			tx.AddManifest(first, []byte("envelope")),
			tx.PutComponentStatus(devices.ComponentStatus{
				Device: one, Component: hello, Manifest: suit.SumSHA256(nil), Sequence: 3, State: devices.Failed, Reason: "no space", Since: now,
				Held: first.Digest, MeasuredAt: now,
			}),
			tx.PutComponentStatus(devices.ComponentStatus{
				Device: one, Component: componentID(t, "app/unheld"), Manifest: suit.SumSHA256(nil), Held: suit.SumSHA256(nil), State: devices.Offered,
			}),
			tx.PutRequirement(devices.Requirement{Device: one, Component: hello, CreatedAt: now}),
			tx.AddAppraisal(devices.Appraisal{Device: one, Agent: agent.Thumbprint(), At: now, Status: 96, Reason: "other key", Verifier: "local"}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	var d DeviceDetail
	ueid := fmt.Sprintf("%x", "\x01"+one)
	for _, ref := range []string{one, one[:10], ueid, strings.ToUpper(ueid)} {
		d = DeviceDetail{}
		r.want(get("/api/v1/devices/"+ref), http.StatusOK, &d)
		if d.Device.ID != one {
			t.Errorf("%s finds %s", ref, d.Device.ID)
		}
	}
	if len(d.Agents) != 1 || d.Agents[0].Key != agent.Thumbprint().String() || d.Agents[0].Numbering != "iana" || d.Agents[0].HoldReason != "busy" ||
		len(d.Inventory) != 1 || d.Inventory[0].Component != "app/hello" || d.Inventory[0].Digest != "" ||
		len(d.Components) != 2 || d.Components[0].Held != (HeldManifest{Manifest: first.Digest.String(), Sequence: 2, MeasuredAt: now}) ||
		d.Components[1].Held != (HeldManifest{}) || d.Components[0].State != ComponentStateFailed || d.Components[0].Reason != "no space" ||
		len(d.Requirements) != 1 || len(d.Appraisals) != 1 || d.Appraisals[0].Status != "contraindicated" {
		t.Errorf("detail %+v", d)
	}

	r.refused(get("/api/v1/devices/11111111"), http.StatusConflict, "ambiguous")
	r.refused(get("/api/v1/devices/111"), http.StatusNotFound, "not-found")
	r.refused(get("/api/v1/devices/22222222"), http.StatusNotFound, "not-found")
	r.refused(get("/api/v1/devices/ffff"), http.StatusNotFound, "not-found")
	r.refused(get("/api/v1/manifests/abcd"), http.StatusNotFound, "not-found")
	r.refused(get("/api/v1/manifests/nonsense"), http.StatusNotFound, "not-found")
	r.refused(get("/api/v1/manifests/"+suit.SumSHA256(nil).String()), http.StatusNotFound, "not-found")
}

func TestAcceptAndReject(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Pending)
	path := "/api/v1/devices/" + one
	var d Device
	r.want(post(path+"/accept", `{"reason":"on the list"}`), http.StatusOK, &d)
	if d.State != DeviceStateAccepted || d.StateReason != "on the list" || !d.UpdatedAt.Equal(now) {
		t.Errorf("accepted %+v", d)
	}
	if e, _ := r.lastEvent(); e.Action != audit.DeviceAccepted || e.Subject != "device:"+one || e.Reason != "on the list" || e.Details["from"] != "pending" || e.Details["to"] != "accepted" {
		t.Errorf("event %+v", e)
	}
	r.refused(post(path+"/accept", `{}`), http.StatusConflict, "device-state")
	if e, _ := r.lastEvent(); e.Reason != "device-state" || e.Details["action"] != string(audit.DeviceAccepted) {
		t.Errorf("event %+v", e)
	}
	r.refused(post(path+"/reject", `{}`), http.StatusUnprocessableEntity, "no-reason")
	r.want(post(path+"/reject", `{"reason":"stolen"}`), http.StatusOK, &d)
	if d.State != DeviceStateRejected {
		t.Errorf("rejected %+v", d)
	}
	r.refused(post(path+"/requirements", `{"component":"app/hello"}`), http.StatusConflict, "device-state")
	// Changes want the whole id.
	r.refused(post("/api/v1/devices/11111111/accept", `{}`), http.StatusNotFound, "not-found")
	if e, _ := r.lastEvent(); e.Reason != "not-found" || e.Subject != "device:11111111" {
		t.Errorf("event %+v", e)
	}
}

func TestRequire(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Pending)
	path := "/api/v1/devices/" + one + "/requirements"
	var first, again Requirement
	r.want(post(path, `{"component":"app/hello"}`), http.StatusOK, &first)
	e, before := r.lastEvent()
	if e.Action != audit.ComponentRequired || e.Details["component"] != "app/hello" {
		t.Errorf("event %+v", e)
	}
	r.want(post(path, `{"component":"app/hello"}`), http.StatusOK, &again)
	if first != again || first.Component != "app/hello" {
		t.Errorf("first %+v, again %+v", first, again)
	}
	if e, after := r.lastEvent(); after != before {
		t.Errorf("asked again, which changes nothing: event %+v", e)
	}
	r.refused(post(path, `{"component":""}`), http.StatusUnprocessableEntity, "no-component")
	r.refused(post(path, `{"component":"app//hello"}`), http.StatusBadRequest, "malformed-request")
	r.refused(post("/api/v1/devices/"+two+"/requirements", `{"component":"app/hello"}`), http.StatusNotFound, "not-found")
}

func TestPublishers(t *testing.T) {
	r := newRig(t)
	const path = "/api/v1/publishers"
	key := newSigner(t).PublicKey()
	pem := fmt.Sprintf("%q", key.PEM())
	var p Publisher
	r.want(post(path, `{"title":"Team","publicKey":`+pem+`,"components":["app/a","boot"],"notAfter":"2027-01-01T00:00:00Z"}`), http.StatusCreated, &p)
	if p.Thumbprint != key.Thumbprint().String() || p.AllComponents || strings.Join(p.Components, " ") != "app/a boot" || p.NotAfter.Year() != 2027 {
		t.Errorf("publisher %+v", p)
	}
	if e, _ := r.lastEvent(); e.Action != audit.PublisherAdded || e.Subject != "anchor:"+p.Thumbprint || e.Details["title"] != "Team" {
		t.Errorf("event %+v", e)
	}
	distributor := fmt.Sprintf("%q", newSigner(t).PublicKey().PEM())
	scopes := `[{"commands":["process-dependency","-300"],"component":"app","parameters":["encryption-info","uri"]},{"component":"data","parameters":["content"]}]`
	r.want(post(path, `{"title":"Distributor","publicKey":`+distributor+`,"components":["app/a/suit"],"scopes":`+scopes+`}`), http.StatusCreated, &p)
	if shown, err := json.Marshal(p.Scopes); err != nil || string(shown) != scopes || p.AllComponents {
		t.Errorf("publisher %+v, %s, %v", p, shown, err)
	}
	everything := newSigner(t).PublicKey()
	text := base64.StdEncoding.EncodeToString(everything.COSEKey())
	r.want(post(path, `{"title":"Root","publicKey":"`+text+`","allComponents":true}`), http.StatusCreated, &p)
	if !p.AllComponents || len(p.Components) != 0 {
		t.Errorf("publisher %+v", p)
	}
	var list []Publisher
	r.want(get(path), http.StatusOK, &list)
	if len(list) != 4 {
		t.Errorf("%d publishers, want 4", len(list))
	}
	for _, p := range list {
		if shown, err := json.Marshal(p.Scopes); err != nil || p.Title == "Distributor" && string(shown) != scopes {
			t.Errorf("stored %s, %v", shown, err)
		}
	}

	fresh := fmt.Sprintf("%q", newSigner(t).PublicKey().PEM())
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"known key":              {`{"title":"x","publicKey":` + pem + `,"allComponents":true}`, http.StatusConflict, "exists"},
		"no title":               {`{"publicKey":` + fresh + `,"allComponents":true}`, http.StatusBadRequest, "malformed-request"},
		"no scope":               {`{"title":"x","publicKey":` + fresh + `}`, http.StatusBadRequest, "malformed-request"},
		"two scopes":             {`{"title":"x","publicKey":` + fresh + `,"components":["a"],"allComponents":true}`, http.StatusBadRequest, "malformed-request"},
		"empty prefix":           {`{"title":"x","publicKey":` + fresh + `,"components":[""]}`, http.StatusUnprocessableEntity, "bad-anchor"},
		"prefix no component":    {`{"title":"x","publicKey":` + fresh + `,"components":["a//b"]}`, http.StatusBadRequest, "malformed-request"},
		"a scope and everything": {`{"title":"x","publicKey":` + fresh + `,"scopes":` + scopes + `,"allComponents":true}`, http.StatusBadRequest, "malformed-request"},
		"a scope without lists":  {`{"title":"x","publicKey":` + fresh + `,"scopes":[{"component":"a"}]}`, http.StatusUnprocessableEntity, "bad-anchor"},
		"unknown command":        {`{"title":"x","publicKey":` + fresh + `,"scopes":[{"component":"a","commands":["fly"]}]}`, http.StatusBadRequest, "malformed-request"},
		"unknown parameter":      {`{"title":"x","publicKey":` + fresh + `,"scopes":[{"component":"a","parameters":["21"]}]}`, http.StatusBadRequest, "malformed-request"},
		"unknown member":         {`{"title":"x","publicKey":` + fresh + `,"scopes":[{"component":"a","commands":["fetch"],"x":1}]}`, http.StatusBadRequest, "malformed-request"},
		"a condition":            {`{"title":"x","publicKey":` + fresh + `,"scopes":[{"component":"a","commands":["image-match"]}]}`, http.StatusUnprocessableEntity, "bad-anchor"},
		"within a prefix":        {`{"title":"x","publicKey":` + fresh + `,"components":["a"],"scopes":[{"component":"a/b","commands":["fetch"]}]}`, http.StatusUnprocessableEntity, "bad-anchor"},
		"no key":                 {`{"title":"x","allComponents":true}`, http.StatusBadRequest, "malformed-request"},
		"not a key":              {`{"title":"x","publicKey":"AAAA","allComponents":true}`, http.StatusBadRequest, "malformed-request"},
		"not base64":             {`{"title":"x","publicKey":"?","allComponents":true}`, http.StatusBadRequest, "malformed-request"},
		"title too long":         {`{"title":"` + strings.Repeat("x", 200) + `","publicKey":` + fresh + `,"allComponents":true}`, http.StatusUnprocessableEntity, "bad-anchor"},
		"ends before it begins": {`{"title":"x","publicKey":` + fresh + `,"allComponents":true,"notBefore":"2027-01-01T00:00:00Z","notAfter":"2026-01-01T00:00:00Z"}`,
			http.StatusUnprocessableEntity, "bad-anchor"},
	} {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			r.refused(post(path, c.body), c.status, c.code)
		})
	}
}

func TestAttestationAnchors(t *testing.T) {
	r := newRig(t)
	const path = "/api/v1/attestation-anchors"
	key := newSigner(t).PublicKey()
	body := fmt.Sprintf(`{"title":"device 1","publicKey":%q}`, key.PEM())
	var a AttestationAnchor
	r.want(post(path, body), http.StatusCreated, &a)
	if a.Thumbprint != key.Thumbprint().String() || a.Title != "device 1" {
		t.Errorf("anchor %+v", a)
	}
	if e, _ := r.lastEvent(); e.Action != audit.AttestationAnchorAdded || e.Subject != "anchor:"+a.Thumbprint {
		t.Errorf("event %+v", e)
	}
	var list []AttestationAnchor
	r.want(get(path), http.StatusOK, &list)
	if len(list) != 1 || list[0].Thumbprint != a.Thumbprint {
		t.Errorf("anchors %+v", list)
	}
	r.refused(post(path, body), http.StatusConflict, "exists")
	postQuantum, err := cosekit.GenerateSigner(cosekit.MLDSA65)
	if err != nil {
		t.Fatal(err)
	}
	r.refused(post(path, fmt.Sprintf(`{"title":"x","publicKey":%q}`, postQuantum.PublicKey().PEM())), http.StatusBadRequest, "malformed-request")
	r.refused(post(path, `{"title":"x","publicKey":"?"}`), http.StatusBadRequest, "malformed-request")
}

func del(path string) call { return call{method: http.MethodDelete, path: path, token: testToken} }

func TestUnrequireAndRemove(t *testing.T) {
	r := newRig(t)
	r.addDevice(one, devices.Accepted)
	r.want(publish(envelope(t, r.publisher, description(1), "payload", nil)), http.StatusCreated, nil)
	var m ManifestPage
	r.want(get("/api/v1/manifests"), http.StatusOK, &m)
	manifestID := m.Items[0].Component
	path := "/api/v1/devices/" + one
	requirements, removals := path+"/requirements", path+"/removals"
	r.want(post(requirements, `{"component":"app/hello"}`), http.StatusOK, nil)
	for _, contradicting := range []string{"app/hello", manifestID} {
		p := r.refused(post(removals, fmt.Sprintf(`{"component":%q}`, contradicting)), http.StatusConflict, "still-required")
		if !strings.Contains(p.Detail, "app/hello") {
			t.Errorf("detail %q", p.Detail)
		}
	}
	r.refused(del(requirements+"?component=app/other"), http.StatusNotFound, "not-found")
	r.refused(del(requirements+"?component=app//other"), http.StatusBadRequest, "malformed-request")
	r.refused(del(requirements), http.StatusBadRequest, "malformed-request")
	r.want(del(requirements+"?component=app/hello"), http.StatusNoContent, nil)
	if e, _ := r.lastEvent(); e.Action != audit.ComponentUnrequired || e.Details["component"] != "app/hello" {
		t.Errorf("event %+v", e)
	}
	r.refused(del(requirements+"?component=app/hello"), http.StatusNotFound, "not-found")

	var first, again Removal
	r.want(post(removals, fmt.Sprintf(`{"component":%q}`, manifestID)), http.StatusOK, &first)
	e, before := r.lastEvent()
	if e.Action != audit.RemovalOrdered || e.Details["component"] != manifestID {
		t.Errorf("event %+v", e)
	}
	r.want(post(removals, fmt.Sprintf(`{"component":%q}`, manifestID)), http.StatusOK, &again)
	if first != again || first.Component != manifestID {
		t.Errorf("first %+v, again %+v", first, again)
	}
	if e, after := r.lastEvent(); after != before {
		t.Errorf("ordered again, which changes nothing: event %+v", e)
	}
	var d DeviceDetail
	r.want(get(path), http.StatusOK, &d)
	if len(d.Removals) != 1 || d.Removals[0] != first || len(d.Requirements) != 0 {
		t.Errorf("detail %+v", d)
	}
	r.refused(post(requirements, `{"component":"app/hello"}`), http.StatusConflict, "removal-ordered")
	r.refused(post(removals, `{"component":""}`), http.StatusUnprocessableEntity, "no-component")
	r.refused(post(removals, `{"component":"app//hello"}`), http.StatusBadRequest, "malformed-request")
	r.refused(post("/api/v1/devices/"+two+"/removals", `{"component":"app/hello"}`), http.StatusNotFound, "not-found")
	r.refused(del(removals+"?component=app/other"), http.StatusNotFound, "not-found")
	r.want(del(removals+"?component="+manifestID), http.StatusNoContent, nil)
	if e, _ := r.lastEvent(); e.Action != audit.RemovalWithdrawn {
		t.Errorf("event %+v", e)
	}
	r.want(post(requirements, `{"component":"app/hello"}`), http.StatusOK, nil)
	r.want(post(path+"/reject", `{"reason":"stolen"}`), http.StatusOK, nil)
	r.refused(post(removals, `{"component":"app/other"}`), http.StatusConflict, "device-state")
	r.refused(del(requirements+"?component=app/hello"), http.StatusConflict, "device-state")
}
