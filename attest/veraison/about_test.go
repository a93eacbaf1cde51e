package veraison

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/veraison/veraisontest"
)

// swap is somebody between the TAM and the verifier, who puts evidence of his own into the
// session of the TAM.
type swap struct {
	http.RoundTripper
	with []byte
}

func (s *swap) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Content-Type") != "" && s.with != nil {
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(s.with)), int64(len(s.with))
	}
	return s.RoundTripper.RoundTrip(r)
}

// TestOtherEvidence: a result over the right nonce, about a good device, is worth nothing for
// another token than the one that was appraised.
func TestOtherEvidence(t *testing.T) {
	between := &swap{RoundTripper: http.DefaultTransport}
	v := start(t, func(c *Config) { c.HTTP = &http.Client{Transport: between} })
	for name, forged := range map[string]struct {
		faults
		claim string // in which the two differ
	}{
		"of somebody else":  {faults{key: "stranger", instance: "victim"}, "instance-id"},
		"of other software": {faults{key: "stranger", firmware: "malware"}, "components"},
		"of another state":  {faults{key: "stranger", lifecycle: 0x4000}, "lifecycle"},
		"without a version": {faults{key: "stranger", noVersion: true}, ""}, // absent claims pose as nothing
	} {
		for i, kind := range kinds {
			between.with = kind.make(t, challenge, faults{})
			e := sample(t, i, forged.faults)
			if kind.name == "bundle" {
				sent, err := evidence.Read(e.Format, e.Payload)
				must(t, err)
				between.with = psa(t, sent.Inner.Evidence.Challenge, faults{})
			}
			r, err := v.router.Appraise(t.Context(), e)
			if forged.claim == "" {
				must(t, err)
				continue
			}
			if !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), forged.claim) || r != nil {
				t.Errorf("%s %s: %+v, %v; want its %s to differ", kind.name, name, r, err, forged.claim)
			}
		}
	}
	// Nobody can close the verifier to others by that: there were more than Faults of them.
	between.with = nil
	if _, err := v.router.Appraise(t.Context(), sample(t, 0, faults{})); err != nil {
		t.Error(err)
	}
}

// TestToldEvidence: a result tells what it is about, in claims or in whole.
func TestToldEvidence(t *testing.T) {
	v := start(t, nil)
	for _, test := range []struct {
		name      string
		behaviour veraisontest.Behaviour
		faults    faults
		want      error
	}{
		{"tells nothing", veraisontest.Behaviour{Silent: true}, faults{}, ErrAnswer},
		{"affirms what it has refused", veraisontest.Behaviour{Trusting: true}, faults{key: "stranger"}, ErrAnswer},
		{"refuses, and tells nothing", veraisontest.Behaviour{}, faults{key: "stranger"}, nil},
		{"tells all", veraisontest.Behaviour{Silent: true, Raw: func(sent []byte) []byte { return sent }}, faults{}, nil},
		{"tells all, and each claim", veraisontest.Behaviour{Raw: func(sent []byte) []byte { return sent }}, faults{}, nil},
		{"tells of other evidence", veraisontest.Behaviour{Raw: func(sent []byte) []byte { return sent[1:] }}, faults{}, ErrAnswer},
		{"tells of none", veraisontest.Behaviour{Raw: func([]byte) []byte { return nil }}, faults{}, ErrAnswer},
	} {
		v.Do(test.behaviour)
		for i, kind := range kinds {
			if _, err := v.router.Appraise(t.Context(), sample(t, i, test.faults)); !errors.Is(err, test.want) {
				t.Errorf("%s, %s: %v", test.name, kind.name, err)
			}
		}
	}
}

// A format of which no result tells a claim needs all the evidence in the result.
func TestToldOfOtherFormats(t *testing.T) {
	media, err := attest.ParseMediaType(attest.EvidenceMediaType)
	must(t, err)
	r := &attest.Result{Claims: &attest.Claims{}, Document: map[string]any{"ear": map[string]any{}}}
	token, err := attest.SignEAT(&attest.Claims{Nonce: challenge}, signer())
	must(t, err)
	reading, err := evidence.Read(media.String(), token)
	must(t, err)
	if err := checkAbout(r, reading, token); !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), "which EAT") {
		t.Error(err)
	}
}

func TestAlike(t *testing.T) {
	for _, test := range []struct {
		told, ours any
		want       bool
	}{
		{"AQI=", "0102", true}, {"AQI=", "0103", false}, {"0102", "0102", true}, {"AQI", "0102", false},
		{12288.0, "secured", true}, {24576.0, "secured", false}, {-1.0, "secured", false}, {1.0, 1.0, true}, {1.0, 2.0, false},
		{[]any{"AQI="}, []any{"0102"}, true}, {[]any{"AQI=", "AQI="}, []any{"0102"}, false}, {"AQI=", []any{"0102"}, false},
		{map[string]any{"a": "x", "b": 1.0}, map[string]any{"a": "x", "c": 1.0}, true},
		{map[string]any{"a": "x"}, map[string]any{"a": "y"}, false}, {[]any{}, map[string]any{}, false},
		{nil, "0102", false}, {map[string]any{}, 1.0, false}, {true, true, true}, {nil, nil, true},
	} {
		if got := alike(test.told, test.ours); got != test.want {
			t.Errorf("%v and %v: %t", test.told, test.ours, got)
		}
	}
}

// TestAccepts: whatever a device calls a format, it does not get another verifier.
func TestAccepts(t *testing.T) {
	v := start(t, nil)
	for format, sent := range map[string]bool{
		veraisontest.MediaPSA: true, veraisontest.MediaPSAProfile: true, veraisontest.MediaCCA: true, veraisontest.MediaPSA9783: false,
		veraisontest.MediaPSA + "; x=1": false, veraisontest.MediaPSAProfile + "; v=2": false, veraisontest.MediaCCA + "; x=1": false,
		"APPLICATION/PSA-Attestation-Token": true,
	} {
		media, err := attest.ParseMediaType(format)
		must(t, err)
		if !v.client.Accepts(media) {
			t.Errorf("%s goes to another verifier", format)
		}
		payload := psa(t, challenge, faults{})
		if strings.HasPrefix(format, veraisontest.MediaCCA) {
			payload = cca(t, challenge, faults{})
		}
		_, err = v.client.Appraise(t.Context(), attest.Evidence{Format: format, Payload: payload, Challenge: challenge})
		if sent != (err == nil) {
			t.Errorf("%s: %v", format, err)
		}
	}
	eats := start(t, func(c *Config) { c.MediaTypes = []string{attest.EvidenceMediaType} })
	for format, want := range map[string]bool{
		attest.EvidenceMediaType: true, "application/eat-bun+cbor": true, veraisontest.MediaPSA: false,
		evidence.MediaTPM: false, "application/vnd.example": false,
	} {
		media, err := attest.ParseMediaType(format)
		must(t, err)
		if eats.client.Accepts(media) != want {
			t.Errorf("a verifier of EATs: %s %t", format, !want)
		}
	}
}
