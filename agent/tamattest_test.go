package agent_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// wary is a world whose agent answers only a TAM that has attested itself.
type wary struct {
	*world
	attester, verifier cosekit.Signer // that the agent trusts
	now                time.Time
}

// trusted finds keys among anchors.
type trusted struct{ anchor.Store }

func (k trusted) AttestationKey(_ context.Context, key cosekit.Thumbprint) (anchor.Anchor, error) {
	return k.Lookup(key, anchor.Attester, now)
}

// results verifies with one key.
type results struct {
	key   *cosekit.PublicKey
	clock func() time.Time
}

func (r results) Verify(_ context.Context, format string, data []byte) (*attest.Result, error) {
	key, err := ear.ParseKey(r.key.PEM())
	if err != nil {
		return nil, err
	}
	return ear.Verify(format, data, ear.Options{Keys: []ear.Key{key}, Now: r.clock()})
}

func newWary(t testing.TB, change ...func(*agent.Config)) *wary {
	t.Helper()
	w := &wary{attester: generate(t, cosekit.ESP256), verifier: generate(t, cosekit.ESP256), now: now}
	store, err := anchor.NewStore(anchor.Anchor{Key: w.attester.PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}})
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return w.now }
	w.world = newWorld(t, append([]func(*agent.Config){func(c *agent.Config) {
		c.Clock = clock
		c.TAMAttestation = &agent.TAMAttestation{Verifier: local.New(local.KeysOnly(trusted{store}), local.Options{Clock: clock}), UEID: ueid(0), MaxAge: time.Hour}
		c.UEID = ueid(0)
		c.Results = results{w.verifier.PublicKey(), clock}
	}}, change...)...)
	return w
}

// demanded gives the agent a request without evidence, and returns the challenge of the
// Error that comes back.
func (w *wary) demanded(q *teep.QueryRequest) []byte {
	w.t.Helper()
	e, ok := w.answer(q, w.tam).(*teep.Error)
	if !ok || e.Code != teep.AttestationRequired || !bytes.Equal(e.Token, q.Token) || len(e.Challenge) != 32 {
		w.t.Fatalf("answer %+v", e)
	}
	if len(e.FreshnessMechanisms) != 1 || e.FreshnessMechanisms[0] != teep.FreshnessNonce || e.SUITReports != nil {
		w.t.Errorf("demand %+v", e)
	}
	return e.Challenge
}

// answer delivers a message about which nothing is wrong.
func (w *wary) answer(m teep.Message, signer cosekit.Signer) teep.Message {
	w.t.Helper()
	answer, err := w.deliver(w.seal(m, signer))
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// ueid is a random one of a device, or of a TAM.
func ueid(n byte) []byte { return append([]byte{1}, bytes.Repeat([]byte{n}, 16)...) }

// claims are those of a TAM whose key is that of w.tam.
func (w *wary) claims(challenge []byte) *attest.Claims {
	return &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, UEID: ueid(0),
		OEMID: cosekit.MustMarshal(32473), HWModel: []byte("tamarack"), HWVersion: "1", Manifests: []attest.ManifestRef{},
		Confirmation: attest.Confirmation{Key: w.tam.PublicKey()}, IssuedAt: w.now,
	}
}

// evidence is the claims under the signature of an attester.
func evidence(t testing.TB, c *attest.Claims, signer cosekit.Signer) *teep.AttestationPayload {
	t.Helper()
	token, err := attest.SignEAT(c, signer)
	if err != nil {
		t.Fatal(err)
	}
	return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}
}

// result is the claims as a result in the TEEP profile.
func (w *wary) result(c *attest.Claims, signer cosekit.Signer) *teep.AttestationPayload {
	w.t.Helper()
	c.Profile, c.Expires = attest.ProfileTEEP, w.now.Add(time.Hour)
	token, err := attest.SignEAT(c, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	return &teep.AttestationPayload{Payload: token}
}

// with returns the request with an attestation payload in it.
func with(q *teep.QueryRequest, p *teep.AttestationPayload) *teep.QueryRequest {
	c := *q
	c.Attestation = p
	return &c
}

// TestTAMAttestsItself: with evidence, with a result, and over a request for evidence of
// the device; then the TAM is believed for a time, also by the next process.
func TestTAMAttestsItself(t *testing.T) {
	for name, payload := range map[string]func(w *wary, challenge []byte) *teep.AttestationPayload{
		"evidence":       func(w *wary, c []byte) *teep.AttestationPayload { return evidence(t, w.claims(c), w.attester) },
		"a result":       func(w *wary, c []byte) *teep.AttestationPayload { return w.result(w.claims(c), w.verifier) },
		"a key's digest": func(w *wary, c []byte) *teep.AttestationPayload { return evidence(t, naming(w, c), w.attester) },
	} {
		for _, items := range []teep.DataItems{teep.ItemTrustedComponents, teep.ItemAttestation | teep.ItemTrustedComponents} {
			t.Run(name+" "+items.String(), func(t *testing.T) {
				var config agent.Config
				w := newWary(t, func(c *agent.Config) { config = *c })
				challenge := w.demanded(query(items))
				q := with(query(items), payload(w, challenge))
				if r, ok := w.answer(q, w.tam).(*teep.QueryResponse); !ok || (r.Attestation != nil) != items.Has(teep.ItemAttestation) {
					t.Fatalf("answer %+v", r)
				}
				must[*teep.QueryResponse](w.world, query(items))
				must[*teep.Success](w.world, w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher}))

				config.Observe = nil
				var err error
				if w.agent, err = agent.New(config); err != nil {
					t.Fatal(err)
				}
				w.now = w.now.Add(time.Hour - time.Second)
				must[*teep.QueryResponse](w.world, query(items))
				w.now = w.now.Add(time.Second)
				if again := w.demanded(query(items)); bytes.Equal(again, challenge) {
					t.Error("one challenge twice")
				}
			})
		}
	}
}

// TestTAMAttestsItselfInBothNumberings: the demand says the same in each.
func TestTAMAttestsItselfInBothNumberings(t *testing.T) {
	for _, n := range []teep.Numbering{teep.IANA, teep.PreIANA} {
		w := newWary(t, func(c *agent.Config) { c.Numbering = n })
		q := query(teep.ItemTrustedComponents)
		w.answer(with(q, evidence(t, w.claims(w.demanded(q)), w.attester)), w.tam)
		must[*teep.QueryResponse](w.world, q)
	}
}

// naming are claims whose cnf names the key by its thumbprint, as the draft has it.
func naming(w *wary, challenge []byte) *attest.Claims {
	c, kid := w.claims(challenge), w.tam.PublicKey().Thumbprint()
	c.Confirmation = attest.Confirmation{KeyID: kid[:]}
	return c
}

// TestTAMThatDoesNotAttestItself: whatever it sends in place of good evidence, it is told
// nothing but that evidence is wanted, once.
func TestTAMThatDoesNotAttestItself(t *testing.T) {
	good := func(w *wary, c []byte) *teep.AttestationPayload { return evidence(t, w.claims(c), w.attester) }
	claims := func(change func(w *wary, c *attest.Claims)) func(*wary, []byte) *teep.AttestationPayload {
		return func(w *wary, challenge []byte) *teep.AttestationPayload {
			c := w.claims(challenge)
			change(w, c)
			return evidence(t, c, w.attester)
		}
	}
	for name, tt := range map[string]struct {
		payload func(w *wary, challenge []byte) *teep.AttestationPayload
		cause   error
		word    string
	}{
		"none":           {func(*wary, []byte) *teep.AttestationPayload { return nil }, nil, "sent none"},
		"wrong signer":   {func(w *wary, c []byte) *teep.AttestationPayload { return evidence(t, w.claims(c), w.stranger) }, attest.ErrNotAffirmed, "not registered"},
		"TEEP key signs": {func(w *wary, c []byte) *teep.AttestationPayload { return evidence(t, w.claims(c), w.tam) }, attest.ErrNotAffirmed, "not registered"},
		"wrong nonce":    {claims(func(_ *wary, c *attest.Claims) { c.Nonce = challenge }), attest.ErrNonce, ""},
		"no nonce":       {claims(func(_ *wary, c *attest.Claims) { c.Nonce = nil }), attest.ErrNonce, ""},
		"array nonce": {spoilt(func(label int64, value cosekit.RawMessage) []any {
			if label == 10 {
				return []any{label, []any{value}}
			}
			return []any{label, value}
		}), attest.ErrClaims, "array of nonces"},
		"duplicate claims": {spoilt(func(label int64, value cosekit.RawMessage) []any {
			if label == 10 {
				return []any{label, value, label, value}
			}
			return []any{label, value}
		}), nil, "duplicate"},
		"other key": {claims(func(w *wary, c *attest.Claims) { c.Confirmation.Key = w.tamEd.PublicKey() }), attest.ErrKeyBinding, ""},
		"other key by name": {claims(func(w *wary, c *attest.Claims) {
			kid := w.stranger.PublicKey().Thumbprint()
			c.Confirmation = attest.Confirmation{KeyID: kid[:]}
		}), attest.ErrKeyBinding, ""},
		"no cnf":         {claims(func(_ *wary, c *attest.Claims) { c.Confirmation = attest.Confirmation{} }), attest.ErrKeyBinding, "no cnf"},
		"expired":        {claims(func(w *wary, c *attest.Claims) { c.Expires = w.now.Add(-time.Second) }), attest.ErrExpired, ""},
		"not yet valid":  {claims(func(w *wary, c *attest.Claims) { c.NotBefore = w.now.Add(time.Minute) }), attest.ErrNotYetValid, ""},
		"other profile":  {claims(func(_ *wary, c *attest.Claims) { c.Profile = "urn:example:other" }), attest.ErrNotAffirmed, "urn:example:other"},
		"claims missing": {claims(func(_ *wary, c *attest.Claims) { c.HWModel = nil }), attest.ErrNotAffirmed, "hwmodel"},
		"truncated": {func(w *wary, c []byte) *teep.AttestationPayload {
			p := good(w, c)
			p.Payload = p.Payload[:len(p.Payload)-1]
			return p
		}, attest.ErrToken, ""},
		"oversize": {func(w *wary, c []byte) *teep.AttestationPayload {
			return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: make([]byte, attest.MaxTokenSize+1)}
		}, attest.ErrTooLarge, ""},
		"empty": {func(*wary, []byte) *teep.AttestationPayload { return &teep.AttestationPayload{Payload: []byte{}} }, ear.ErrResult, ""},
		"unknown format": {func(w *wary, c []byte) *teep.AttestationPayload {
			return &teep.AttestationPayload{Format: "text/html", Payload: []byte("<html>")}
		}, attest.ErrFormat, ""},
		"no alg":           {algorithm(nil), nil, "alg"},
		"alg HMAC":         {algorithm(int64(5)), nil, ""},
		"result, stranger": {func(w *wary, c []byte) *teep.AttestationPayload { return w.result(w.claims(c), w.stranger) }, ear.ErrSignature, ""},
		"result by the attester": {func(w *wary, c []byte) *teep.AttestationPayload {
			return w.result(w.claims(c), w.attester)
		}, ear.ErrSignature, ""},
		"result as evidence": {func(w *wary, c []byte) *teep.AttestationPayload {
			p := w.result(w.claims(c), w.verifier)
			p.Format = attest.EvidenceMediaType
			return p
		}, attest.ErrNotAffirmed, "not registered"},
		"result, wrong nonce": {func(w *wary, c []byte) *teep.AttestationPayload { return w.result(w.claims(challenge), w.verifier) }, attest.ErrNonce, ""},
		"result, other key": {func(w *wary, c []byte) *teep.AttestationPayload {
			claims := w.claims(c)
			claims.Confirmation.Key = w.tamEd.PublicKey()
			return w.result(claims, w.verifier)
		}, attest.ErrKeyBinding, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWary(t)
			before := w.tree()
			q := query(teep.ItemAttestation | teep.ItemTrustedComponents)
			answered := w.demanded(q)
			answer, err := w.deliver(w.seal(with(q, tt.payload(w, answered)), w.tam))
			if answer != nil || !errors.Is(err, agent.ErrTAMAttestation) || tt.cause != nil && !errors.Is(err, tt.cause) || !strings.Contains(err.Error(), tt.word) {
				t.Fatalf("answer %+v, error %v", answer, err)
			}
			if last := w.events[len(w.events)-1]; last.Step != agent.StepRefused || !strings.Contains(last.Detail, tt.word) {
				t.Errorf("last event %v", last)
			}
			// The challenge is spent, and the TAM is not asked again in this session.
			for _, m := range []*teep.QueryRequest{with(q, good(w, answered)), with(q, nil)} {
				if answer, err := w.deliver(w.seal(m, w.tam)); answer != nil || !errors.Is(err, agent.ErrTAMAttestation) {
					t.Errorf("afterwards %+v, %v", answer, err)
				}
			}
			u := w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher})
			w.mustError(w.seal(u, w.tam), teep.TemporaryError, agent.ErrTAMAttestation)
			if w.tree() != before {
				t.Error("the store changed")
			}
			// The next session is a new one, and nothing is lost.
			w.agent.Begin()
			if r, ok := w.answer(with(q, good(w, w.demanded(with(q, nil)))), w.tam).(*teep.QueryResponse); !ok {
				t.Errorf("next session: %+v", r)
			}
			must[*teep.Success](w.world, u)
		})
	}
}

// spoilt is good evidence but for what change makes of each claim.
func spoilt(change func(label int64, value cosekit.RawMessage) []any) func(*wary, []byte) *teep.AttestationPayload {
	return func(w *wary, challenge []byte) *teep.AttestationPayload {
		encoded, err := attest.EncodeClaims(w.claims(challenge))
		if err != nil {
			w.t.Fatal(err)
		}
		pairs, err := cosekit.Pairs(encoded)
		if err != nil {
			w.t.Fatal(err)
		}
		var items []byte
		count := 0
		for _, p := range pairs {
			label, _ := cosekit.Int(p.Key)
			for _, item := range change(label, p.Value) {
				items = append(items, cosekit.MustMarshal(item)...)
				count++
			}
		}
		payload := append([]byte{0xa0 | byte(count/2)}, items...)
		token, err := cosekit.Sign1(w.attester, payload, cosekit.Form{Untagged: true})
		if err != nil {
			w.t.Fatal(err)
		}
		return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}
	}
}

// algorithm is good evidence but for its protected header.
func algorithm(alg any) func(w *wary, challenge []byte) *teep.AttestationPayload {
	return func(w *wary, challenge []byte) *teep.AttestationPayload {
		p := evidence(w.t, w.claims(challenge), w.attester)
		parts, err := cosekit.Elements(p.Payload)
		if err != nil {
			w.t.Fatal(err)
		}
		header := map[int64]any{}
		if alg != nil {
			header[1] = alg
		}
		p.Payload = cosekit.MustMarshal([]any{cosekit.MustMarshal(header), parts[1], parts[2], parts[3]})
		return p
	}
}

// TestTAMEvidenceThatNobodyAskedFor is answered with the demand, whoever it is by: it may
// be an old one.
func TestTAMEvidenceThatNobodyAskedFor(t *testing.T) {
	w := newWary(t)
	w.demanded(with(query(teep.ItemTrustedComponents), evidence(t, w.claims(challenge), w.attester)))

	// The challenge of an earlier session does not count either.
	w.agent.Begin()
	old := w.demanded(query(teep.ItemTrustedComponents))
	w.agent.Begin()
	answered := w.demanded(with(query(teep.ItemTrustedComponents), evidence(t, w.claims(old), w.attester)))
	if bytes.Equal(old, answered) {
		t.Error("one challenge twice")
	}
	answer, err := w.deliver(w.seal(with(query(0), evidence(t, w.claims(old), w.attester)), w.tam))
	if answer != nil || !errors.Is(err, attest.ErrNonce) {
		t.Errorf("answer %+v, %v", answer, err)
	}
}

// TestTAMWithTwoKeys: the first request of a session has both signatures, and the one that
// attested itself is the one that counts.
func TestTAMWithTwoKeys(t *testing.T) {
	for range 8 { // whatever order their thumbprints have
		w := newWary(t)
		q := query(teep.ItemTrustedComponents)
		w.answer(with(q, evidence(t, w.claims(w.demanded(q)), w.attester)), w.tam)
		wire, err := teep.SealFor(w.numbering, query(teep.ItemTrustedComponents), []cosekit.Signer{w.tamEd, w.tam})
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := w.deliver(wire); err != nil || answer.Kind() != teep.KindQueryResponse {
			t.Fatalf("%+v, %v", answer, err)
		}
		// The other key alone has shown nothing.
		w.agent.Begin()
		if e, ok := w.answer(query(0), w.tamEd).(*teep.Error); !ok || e.Code != teep.AttestationRequired {
			t.Errorf("the other key: %+v", e)
		}
	}
}

// TestTAMOfWhichNothingIsKept: where the disk is full it holds for this process, and a
// clock that goes back makes nobody trusted.
func TestTAMOfWhichNothingIsKept(t *testing.T) {
	w := newWary(t, func(c *agent.Config) { c.Memory = noPaper{c.Memory} })
	q := query(teep.ItemTrustedComponents)
	w.answer(with(q, evidence(t, w.claims(w.demanded(q)), w.attester)), w.tam)
	must[*teep.QueryResponse](w.world, query(teep.ItemTrustedComponents))
	w.now = w.now.Add(-time.Second)
	w.demanded(query(teep.ItemTrustedComponents))
}

// noPaper keeps none.
type noPaper struct{ agent.Memory }

func (noPaper) Papers() (agent.Papers, error)   { return agent.Papers{}, errors.New("damaged") }
func (noPaper) KeepPapers(p agent.Papers) error { return errors.New("disk full") }

func TestNothingToVerifyWith(t *testing.T) {
	newWorld(t, func(c *agent.Config) {
		spoilt := *c
		spoilt.TAMAttestation = &agent.TAMAttestation{MaxAge: time.Hour}
		for _, results := range []agent.ResultVerifier{nil, results{}} { // the second: about whom?
			spoilt.Results = results
			if _, err := agent.New(spoilt); err == nil {
				t.Error("accepted")
			}
		}
	})
	// One kind of verifier does not take what is for the other.
	w := newWary(t, func(c *agent.Config) { c.Results = nil })
	c := w.demanded(query(0))
	if _, err := w.deliver(w.seal(with(query(0), w.result(w.claims(c), w.verifier)), w.tam)); !errors.Is(err, attest.ErrFormat) {
		t.Error(err)
	}
	w = newWary(t, func(c *agent.Config) { c.TAMAttestation = &agent.TAMAttestation{UEID: ueid(0), MaxAge: time.Hour} })
	c = w.demanded(query(0))
	if _, err := w.deliver(w.seal(with(query(0), evidence(t, w.claims(c), w.attester)), w.tam)); !errors.Is(err, attest.ErrFormat) {
		t.Error(err)
	}
}

// TestResultAboutAnotherDevice: whoever has a TAM's key and a genuine device of any kind must
// not pass for that TAM by what a verifier says of the device.
func TestResultAboutAnotherDevice(t *testing.T) {
	for name, change := range map[string]func(*attest.Claims, *agent.TAMAttestation){
		"another's ueid":      func(c *attest.Claims, _ *agent.TAMAttestation) { c.UEID = ueid(1) },
		"the ueid is unknown": func(_ *attest.Claims, a *agent.TAMAttestation) { a.UEID = nil },
	} {
		var config agent.Config
		w := newWary(t, func(c *agent.Config) { config = *c })
		challenge := w.demanded(query(teep.ItemTrustedComponents))
		c := w.claims(challenge)
		change(c, config.TAMAttestation)
		q := with(query(teep.ItemTrustedComponents), w.result(c, w.verifier))
		if _, err := w.deliver(w.seal(q, w.tam)); !errors.Is(err, agent.ErrTAMAttestation) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
