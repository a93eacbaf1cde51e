package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/attest/veraison"
	"github.com/tamarack-tam/tamarack/attest/veraison/veraisontest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/storetest"
	"github.com/tamarack-tam/tamarack/teep"
)

// remote is a Veraison that knows two devices, beside the built-in verifier of a plant.
type remote struct {
	*veraisontest.Server
	psa *localtest.PSA
	cca *localtest.CCA
}

// remotely gives a plant a remote verifier.
func remotely(t *testing.T, timeout time.Duration) (*remote, func(*plant)) {
	t.Helper()
	v := &remote{psa: localtest.NewPSA("one"), cca: localtest.NewCCA("two")}
	return v, func(s *plant) {
		v.Server = veraisontest.Start(s.now.Now, provisioned(v.psa), v.provisionedCCA())
		transport := &http.Transport{}
		client := must(veraison.New(veraison.Config{
			Name: "veraison", URL: v.URL, HTTP: &http.Client{Transport: transport}, Timeout: timeout, Skew: plantSkew, Clock: s.now.Now,
			Keys: []ear.Key{{Name: "pinned", Public: v.Key.Public()}},
			Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		}))(t)
		s.routes = []evidence.Route{{Name: "veraison", Accepts: client.Accepts, Verifier: client}}
		t.Cleanup(func() {
			client.Close()
			transport.CloseIdleConnections()
			v.Close()
		})
	}
}

func provisioned(d *localtest.PSA) veraisontest.Device {
	known := veraisontest.Device{ImplementationID: d.ImplementationID, InstanceID: d.InstanceID, Key: d.Key.Public()}
	for _, c := range d.Components {
		known.Components = append(known.Components, veraisontest.Component{Type: c.Type, Measurement: c.Value})
	}
	return known
}

func (v *remote) provisionedCCA() veraisontest.Device {
	known := provisioned(v.cca.Platform)
	known.Config = v.cca.Config
	known.Realm = veraisontest.Realm{InitialMeasurement: v.cca.Initial, Personalization: v.cca.Personalization, Extensible: v.cca.Extensible[:]}
	return known
}

// spoke makes evidence for the remote verifier, of a good system or of another.
type spoke struct {
	name string
	make func(p *probe, challenge []byte, wanting bool) *teep.AttestationPayload
}

func (v *remote) spokes(s *plant) []spoke {
	bundle := func(p *probe, challenge []byte, format string, token func([]byte) []byte) *teep.AttestationPayload {
		e := localtest.Bundle(p.claims(challenge, s.now.Now()), format, token)
		return &teep.AttestationPayload{Format: e.Format, Payload: e.Payload}
	}
	return []spoke{
		{"PSA", func(p *probe, challenge []byte, wanting bool) *teep.AttestationPayload {
			by := *v.psa
			if wanting {
				by.Components = slices.Clone(by.Components)
				by.Components[0].Value = bytes.Repeat([]byte{6}, 32)
			}
			return bundle(p, challenge, localtest.PSA1Format, func(nonce []byte) []byte { return by.Token1(nonce) })
		}},
		{"CCA", func(p *probe, challenge []byte, wanting bool) *teep.AttestationPayload {
			by := *v.cca
			if wanting {
				by.Initial = bytes.Repeat([]byte{6}, 32)
			}
			return bundle(p, challenge, localtest.CCAFormat, func(nonce []byte) []byte { return by.Token(nonce, nil, nil) })
		}},
	}
}

// A remote verifier that is down, slow, lying or not a verifier at all: nobody is trusted
// for that, no state is lost, and devices that do not need it go on.
func TestRemoteVerifierFaults(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s went elsewhere", r.Method, r.URL.Path)
	}))
	defer elsewhere.Close()
	for name, fault := range map[string]struct {
		veraisontest.Behaviour
		wanting bool // of what the evidence shows, so that the answer is a lie
		reason  tam.Reason
	}{
		"down":                             {Behaviour: veraisontest.Behaviour{Down: true}},
		"unavailable":                      {Behaviour: veraisontest.Behaviour{Status: 503, RetryAfter: "1"}},
		"not found":                        {Behaviour: veraisontest.Behaviour{Status: 404}},
		"hangs up":                         {Behaviour: veraisontest.Behaviour{HangUp: true}},
		"HTML":                             {Behaviour: veraisontest.Behaviour{HTML: true}},
		"HTML in place of the result":      {Behaviour: veraisontest.Behaviour{At: "POST /challenge-response/v1/session", HTML: true}},
		"redirects":                        {Behaviour: veraisontest.Behaviour{Redirect: elsewhere.URL + "/"}},
		"sends the evidence elsewhere":     {Behaviour: veraisontest.Behaviour{Location: elsewhere.URL + "/session/1"}},
		"oversize":                         {Behaviour: veraisontest.Behaviour{Oversize: 8 << 20}},
		"truncated":                        {Behaviour: veraisontest.Behaviour{Truncated: true}},
		"no result":                        {Behaviour: veraisontest.Behaviour{NoResult: true}},
		"wrong signer":                     {Behaviour: veraisontest.Behaviour{WrongKey: true}},
		"wrong nonce":                      {Behaviour: veraisontest.Behaviour{WrongNonce: true}},
		"not yet valid":                    {Behaviour: veraisontest.Behaviour{Stale: true}},
		"alg none":                         {Behaviour: veraisontest.Behaviour{AlgNone: true}},
		"HMAC under a public key":          {Behaviour: veraisontest.Behaviour{HMAC: true}},
		"affirming over a warning":         {Behaviour: veraisontest.Behaviour{Affirming: true}, wanting: true, reason: tam.ReasonNotAffirmed},
		"nothing: the evidence is wanting": {wanting: true, reason: tam.ReasonNotAffirmed},
	} {
		t.Run(name, func(t *testing.T) {
			v, with := remotely(t, 20*time.Second)
			s := newPlant(t, store.Memory, with)
			released := s.release(badComponent, 1, false)
			factory := plantKey(t, cosekit.ESP256)
			s.register(factory.PublicKey(), "factory")
			bystander := s.probe(t, cosekit.Ed25519)
			own := func(p *probe, challenge []byte) *teep.AttestationPayload {
				return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: must(attest.SignEAT(p.claims(challenge, s.now.Now()), factory))(t)}
			}
			bystander.enrol(own)
			for _, kind := range v.spokes(s) {
				good := func(p *probe, challenge []byte) *teep.AttestationPayload { return kind.make(p, challenge, false) }
				v.Do(veraisontest.Behaviour{})
				s.now.add(time.Minute) // the client asks again after its pause
				d, stranger := s.probe(t, cosekit.ESP256), s.probe(t, cosekit.Ed25519)
				d.enrol(good)
				must(s.fleet.Require(t.Context(), plantOperator, d.record().ID, released.Targets[0].Component))(t)
				if a := s.last(d.record().ID); a.Verifier != "veraison" && !strings.Contains(a.Verifier, "Veraison") {
					t.Fatalf("%s: appraised by %q", kind.name, a.Verifier)
				}

				v.Do(fault.Behaviour)
				want := fault.reason
				if want == "" {
					want = tam.ReasonNotAppraised
				}
				before := storetest.Dump(t, s.store)
				r := stranger.show(kind.make(stranger, stranger.challenge(), fault.wanting))
				if r.reason != want || len(r.body) > 0 || storetest.Dump(t, s.store) != before {
					t.Errorf("%s: stranger: %d %q", kind.name, r.status, r.reason)
				}
				record := d.record()
				r = d.show(kind.make(d, d.challenge(), fault.wanting))
				u := d.open(r).(*teep.Update)
				if r.reason != want || u.ErrCode == 0 || len(u.Manifests) > 0 || u.Attestation != nil {
					t.Errorf("%s: registered: %q %+v", kind.name, r.reason, u)
				}
				own := map[string]bool{string(record.ID): true, d.key.PublicKey().Thumbprint().String(): true}
				for _, line := range undue(before, storetest.Dump(t, s.store), own) {
					t.Errorf("%s: changed: %s", kind.name, line)
				}
				if r := bystander.idle(); r.reason != tam.ReasonNothingToDo {
					t.Errorf("%s: bystander: %q", kind.name, r.reason)
				}
				v.Do(veraisontest.Behaviour{})
				s.now.add(time.Minute)
				if r := d.show(good(d, d.challenge())); d.offers(r) != 1 {
					t.Errorf("%s: good evidence afterwards: %d %q", kind.name, r.status, r.reason)
				}
			}
		})
	}
}

// While a verifier stalls, devices that need it wait, and no others; those who waited are
// served when it goes on. One that never answers costs no more than its time.
func TestStalledRemoteVerifier(t *testing.T) {
	v, with := remotely(t, time.Minute)
	s := newPlant(t, store.Memory, with)
	factory := plantKey(t, cosekit.ESP256)
	s.register(factory.PublicKey(), "factory")
	own := func(p *probe, challenge []byte) *teep.AttestationPayload {
		return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: must(attest.SignEAT(p.claims(challenge, s.now.Now()), factory))(t)}
	}
	kind := v.spokes(s)[0]
	d := s.probe(t, cosekit.ESP256)
	d.enrol(func(p *probe, challenge []byte) *teep.AttestationPayload { return kind.make(p, challenge, false) })

	gate := make(chan struct{})
	v.Do(veraisontest.Behaviour{Gate: gate})
	challenge := d.challenge()
	wire := must(teep.Seal(teep.IANA, &teep.QueryResponse{Attestation: kind.make(d, challenge, false)}, d.key))(t)
	asked := len(v.Requests())
	done := make(chan response)
	go func() {
		r, err := s.post(t.Context(), "/first", wire)
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	for len(v.Requests()) == asked {
		if r := d.idle(); r.reason != tam.ReasonNothingToDo {
			t.Fatalf("a poll of the same device: %q", r.reason)
		}
	}
	if r := must(s.post(t.Context(), "/first", wire))(t); r.reason != tam.ReasonAppraisalRunning {
		t.Errorf("the same once more: %q", r.reason)
	}
	for range 5 { // also new ones
		other := s.probe(t, cosekit.Ed25519)
		other.enrol(own)
		if r := other.show(own(other, other.challenge())); r.reason != tam.ReasonNothingToDo {
			t.Errorf("another device: %q", r.reason)
		}
	}
	select {
	case r := <-done:
		t.Errorf("answered without the verifier: %q", r.reason)
	default:
	}
	close(gate)
	if r := <-done; r.reason != tam.ReasonNothingToDo {
		t.Errorf("when it goes on: %d %q", r.status, r.reason)
	}
}

// A verifier that never answers is an error after its time-out, for who needs it.
func TestVerifierThatNeverAnswers(t *testing.T) {
	v, with := remotely(t, 500*time.Millisecond)
	s := newPlant(t, store.Memory, with)
	stranger := s.probe(t, cosekit.ESP256)
	gate := make(chan struct{})
	defer close(gate)
	before := storetest.Dump(t, s.store)
	for name, b := range map[string]veraisontest.Behaviour{"silent": {Gate: gate}, "never ready": {Later: 1 << 20}} {
		v.Do(b)
		if r := stranger.show(v.spokes(s)[0].make(stranger, stranger.challenge(), false)); r.reason != tam.ReasonNotAppraised || len(r.body) > 0 {
			t.Errorf("%s: %d %q", name, r.status, r.reason)
		}
	}
	if storetest.Dump(t, s.store) != before {
		t.Error("the store was changed")
	}
}
