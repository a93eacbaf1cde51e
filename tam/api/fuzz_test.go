package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/devices"
)

// FuzzRequests sends whatever there is to the operations of attestation. A bad request
// gets a problem, never a fault of the server; every answer is JSON.
func FuzzRequests(f *testing.F) {
	r := newRig(f)
	r.addDevice(one, devices.Accepted)
	r.appraise(one, "sha-256:bb", nil)
	signer := newSigner(f)
	r.want(post("/api/v1/reference-providers", fmt.Sprintf(`{"title":"Acme","publicKey":%q}`, signer.PublicKey().PEM())), http.StatusCreated, nil)
	device := "/api/v1/devices/" + one
	routes := []func(text string) call{
		func(text string) call { return put(device+"/labels", text) },
		func(text string) call { return put(device+"/exception", text) },
		func(text string) call { return post(device+"/quarantine", text) },
		func(text string) call { return post(device+"/release", text) },
		func(text string) call { return post(policiesPath, text) },
		func(text string) call { return post("/api/v1/policy-trials", text) },
		func(text string) call { return put("/api/v1/groups/hall", text) },
		func(text string) call { return post("/api/v1/device-cas", text) },
		func(text string) call { return post("/api/v1/verifiers", text) },
		func(text string) call { return importing([]byte(text)) },
		func(text string) call { return get("/api/v1/devices?selector=" + url.QueryEscape(text)) },
		func(text string) call { return get("/api/v1/attestations?after=" + url.QueryEscape(text)) },
		func(text string) call { return get(device + "/attestation-diff?from=" + url.QueryEscape(text)) },
		func(text string) call {
			return del(referencesPath + "?reason=x&version=1&id=" + url.QueryEscape(text))
		},
		func(text string) call { return del("/api/v1/anchors/" + url.PathEscape(text) + "?reason=x") },
		func(text string) call { return get("/api/v1/groups/" + url.PathEscape(text)) },
		func(text string) call { return post(policiesPath+"/"+url.PathEscape(text)+"/retire", `{"reason":"x"}`) },
	}
	ca, err := json.Marshal(map[string]string{"title": "Factory", "certificate": certificate(f, true, nil)})
	if err != nil {
		f.Fatal(err)
	}
	for route, text := range []string{
		`{"site":"hall-3"}`, `{"until":"2026-12-01T00:00:00Z","reason":"x"}`, `{"reason":"x"}`, `{"reason":"x"}`,
		policyBody("p", strict), policyBody("p", "accept()"), `{"selector":"device.labels.site == \"hall-3\""}`, string(ca),
		fmt.Sprintf(`{"title":"x","publicKey":%q}`, newSigner(f).PublicKey().PEM()), string(references(f, signer, "acme/board", 1)),
		`device.labels.site == "hall-3"`, "1", "1", "acme/board", signer.PublicKey().Thumbprint().String(), "hall", "p",
	} {
		f.Add(uint8(route), text)
	}
	f.Fuzz(func(t *testing.T, route uint8, text string) {
		if len(text) > corim.MaxFile {
			return
		}
		response := r.in(t).do(routes[int(route)%len(routes)](text))
		if response.StatusCode >= http.StatusInternalServerError {
			t.Errorf("status %d", response.StatusCode)
		}
		var answer any
		if response.StatusCode != http.StatusNoContent && json.NewDecoder(response.Body).Decode(&answer) != nil {
			t.Errorf("status %d without JSON", response.StatusCode)
		}
	})
}
