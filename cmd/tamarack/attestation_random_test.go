package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/teep"
)

// drawnTB lets what a test makes end with the sequence that it was drawn for.
type drawnTB struct {
	testing.TB
	drawn *rapid.T
}

func (t drawnTB) Helper()                      {}
func (t drawnTB) Cleanup(f func())             { t.drawn.Cleanup(f) }
func (t drawnTB) Context() context.Context     { return t.drawn.Context() }
func (t drawnTB) Error(args ...any)            { t.drawn.Error(args...) }
func (t drawnTB) Errorf(f string, args ...any) { t.drawn.Errorf(f, args...) }
func (t drawnTB) Fatal(args ...any)            { t.drawn.Fatal(args...) }
func (t drawnTB) Fatalf(f string, args ...any) { t.drawn.Fatalf(f, args...) }
func (t drawnTB) TempDir() string {
	dir, err := os.MkdirTemp("", "sequence")
	if err != nil {
		t.drawn.Fatal(err)
	}
	t.drawn.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// failing is a verifier that has a fault now and then.
type failing struct {
	attest.Verifier
	down bool
}

func (f *failing) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	if f.down {
		return nil, errors.New("the verifier is down")
	}
	return f.Verifier.Appraise(ctx, e)
}

// The component that the remedy mends, and one that only trusted devices may get.
const (
	mended    = "app/hello"
	entrusted = "app/extra"
)

// crowd is a TAM with five devices, and all that an observer knows of both.
type crowd struct {
	*plant
	t        testing.TB
	factory  cosekit.Signer
	verifier *failing
	keys     []cosekit.AgreementKey // those that the TAM decrypts with, newest first
	releases []tam.Manifest         // of what is mended, oldest first
	referred int                    // of these, so many have reference values
	extras   int
	rule     rule
	members  []*member
	story    []string
}

// rule is the policy in force, as the observer understands it.
type rule struct {
	name   string
	remedy bool
	until  time.Time // accepts whatever is genuine until then
	text   string
}

// member is a device with what is true of it.
type member struct {
	*probe
	id       devices.ID
	key      cosekit.AgreementKey // that its evidence is encrypted to; nil for none
	forged   bool                 // its attestation key is not the registered one
	trusted  bool                 // its last evidence about which anything could be said was acceptable
	accepted uint64
	failed   uint64
	moves    map[audit.Action]int
	was      devices.State
	operated bool // an operator has just released it
	wasBy    string
	counters devices.AttestationCount
	rows     int // accepted evidence of an accepted device
}

func newCrowd(t testing.TB) *crowd {
	c := &crowd{t: t, verifier: &failing{}, factory: plantKey(t, cosekit.ESP256), rule: rule{name: "default"}, keys: []cosekit.AgreementKey{must(cosekit.GenerateAgreementKey())(t)}}
	c.plant = newPlant(t, store.Memory, func(s *plant) {
		s.inProcess = true
		c.verifier.Verifier = evidence.NewRouter(evidence.Route{
			Name: local.Name, Accepts: local.Accepts, Verifier: local.New(s.trust, local.Options{Clock: s.now.Now, Skew: plantSkew}),
		})
		s.config.Verifier = c.verifier
		s.config.DecryptionKeys.Agreements = slices.Clone(c.keys)
	})
	c.register(c.factory.PublicKey(), "factory")
	c.publish()
	c.importReferences()
	c.extras++
	c.release(entrusted, 1, false)
	for i := range 5 {
		m := &member{probe: c.plant.probe(t, []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519}[i%2]), moves: map[audit.Action]int{}, trusted: true}
		m.enrol(func(p *probe, challenge []byte) *teep.AttestationPayload { return c.evidence(m, challenge) })
		record := m.record()
		m.id, m.was, m.counters = record.ID, record.State, record.Attestations
		m.accepted = record.Attestations.Accepted
		for _, component := range []string{mended, entrusted} {
			must(c.fleet.Require(t.Context(), plantOperator, m.id, must(suit.ParseComponentID(component))(t)))(t)
		}
		c.members = append(c.members, m)
	}
	return c
}

func (c *crowd) say(format string, args ...any) {
	c.story = append(c.story, fmt.Sprintf(format, args...))
}

func (c *crowd) fatal(format string, args ...any) {
	c.t.Fatalf("%s\nafter\n%s", fmt.Sprintf(format, args...), strings.Join(c.story, "\n"))
}

func (c *crowd) publish() {
	c.releases = append(c.releases, c.release(mended, uint64(len(c.releases)+1), false))
}

// importReferences imports those of the next release that has none yet.
func (c *crowd) importReferences() {
	if c.referred < len(c.releases) {
		r := c.releases[c.referred]
		c.refer(references(r))
		c.referred++
	}
}

// healthy: what is measured is a release with reference values, or nothing.
func (c *crowd) healthy(m *member) bool {
	digest, held := m.held[mended]
	return !held || slices.ContainsFunc(c.releases[:c.referred], func(r tam.Manifest) bool { return r.Targets[0].ImageDigest.Equal(digest) })
}

// acceptable is what is to become of the evidence of a device, in truth.
func (c *crowd) acceptable(m *member) bool {
	now := c.now.Now()
	switch {
	case m.forged:
		return false
	case c.healthy(m):
		return true
	case now.Before(c.rule.until):
		return true
	}
	return c.excepted(m, m.record().Exception)
}

// excepted: an operator has looked at all that is measured and matches no reference value,
// be it that there is none.
func (c *crowd) excepted(m *member, x *devices.Exception) bool {
	if x == nil || !c.now.Now().Before(x.Until) || x.Policy != c.rule.name { // what another policy says stands
		return false
	}
	for _, digest := range m.held {
		if !slices.ContainsFunc(x.Comparisons, func(f attest.Comparison) bool { return f.Measured == "sha-256:"+hex.EncodeToString(digest.Bytes) }) {
			return false
		}
	}
	return true
}

func (c *crowd) evidence(m *member, challenge []byte) *teep.AttestationPayload {
	key := c.factory
	if m.forged {
		key = plantKey(c.t, cosekit.ESP256)
	}
	p := &teep.AttestationPayload{
		Format: attest.EvidenceMediaType, Payload: must(attest.SignEAT(m.claims(challenge, c.now.Now()), key))(c.t),
	}
	if m.key != nil {
		p.Payload = must(cosekit.Encryption{
			Content: cosekit.A128GCM, Context: cosekit.EATEncryption, Recipients: []cosekit.Recipient{m.key.PublicKey()},
		}.Seal(p.Payload))(c.t)
	}
	return p
}

// readable: the TAM has the key that the evidence is encrypted to.
func (c *crowd) readable(m *member) bool { return m.key == nil || slices.Contains(c.keys, m.key) }

// poll is a session; it tells whether the device was served.
func (c *crowd) poll(m *member, path string) bool {
	r := m.post(path, nil)
	shown := 0
	for range 6 {
		if r.status == 204 {
			c.say("  %s: ends %s", m.id[:4], r.reason)
			return r.reason == tam.ReasonNothingToDo
		}
		switch message := m.open(r).(type) {
		case *teep.QueryRequest:
			if message.Challenge == nil {
				r = m.post(path, &teep.QueryResponse{Token: message.Token, TCList: m.list()})
				c.observe(m)
				continue
			}
			if shown++; shown > 1 {
				c.fatal("%s is asked for evidence twice in one session", m.id)
			}
			r = c.attests(m, path, message.Challenge)
		case *teep.Update:
			if message.ErrCode != 0 {
				c.say("  %s: refused %s", m.id[:4], r.reason)
				return false
			}
			c.install(m, message)
			m.post(path, &teep.Success{Token: message.Token})
			c.observe(m)
			return true
		}
	}
	c.fatal("the session of %s does not end", m.id)
	return false
}

// attests shows evidence, and holds what the TAM counts against what is true.
func (c *crowd) attests(m *member, path string, challenge []byte) response {
	c.now.add(time.Second) // post adds another
	acceptable, readable := c.acceptable(m), c.readable(m)
	resting := path != "/tam" && m.agent().HoldActive(c.now.Now().Add(time.Second)) // nobody asked this agent for it
	before := m.record()
	r := m.post(path, &teep.QueryResponse{Attestation: c.evidence(m, challenge), TCList: m.list()})
	after := m.record()
	accepted, failed := after.Attestations.Accepted-before.Attestations.Accepted, failedOf(after.Attestations)-failedOf(before.Attestations)
	c.say("  %s: evidence, acceptable %t readable %t resting %t, the TAM says %q: accepted %d failed %d", m.id[:4], acceptable, readable, resting, r.reason, accepted, failed)
	switch {
	case !readable, resting:
		if accepted+failed != 0 {
			c.fatal("evidence that nobody can read, or of an agent that is held, was counted")
		}
	case c.verifier.down:
		if accepted != 0 || failed != 1 {
			c.fatal("the verifier is down: accepted %d, failed %d", accepted, failed)
		}
		m.failed++
	case acceptable:
		if accepted != 1 || failed != 0 {
			c.fatal("good evidence: accepted %d, failed %d: %s", accepted, failed, r.reason)
		}
		m.accepted++
		m.trusted = true
		if after.State == devices.Accepted {
			m.rows++
		}
	default:
		if accepted != 0 || failed != 1 {
			c.fatal("bad evidence: accepted %d, failed %d", accepted, failed)
		}
		m.failed++
		m.trusted = false
	}
	c.observe(m)
	return r
}

func failedOf(n devices.AttestationCount) (sum uint64) {
	for _, f := range n.Failed {
		sum += f
	}
	return sum
}

// install takes what an Update brings, unless it must not have been offered.
func (c *crowd) install(m *member, u *teep.Update) {
	record := m.record()
	for _, envelope := range u.Manifests {
		digest := suit.SumSHA256(nil)
		manifest := must(must(suit.Decode(envelope))(c.t).UnverifiedManifest())(c.t)
		found := false
		for _, r := range c.releases {
			if r.Component.Equal(manifest.ComponentID) && r.Sequence == manifest.SequenceNumber {
				m.held[mended], digest, found = r.Targets[0].ImageDigest, r.Digest, true
			}
		}
		c.say("  %s: offered %s %d, state %s, trusted %t", m.id[:4], manifest.ComponentID, manifest.SequenceNumber, record.State, m.trusted)
		if !m.trusted || record.State != devices.Accepted {
			newest := c.releases[len(c.releases)-1]
			if len(u.Manifests) != 1 || !digest.Equal(newest.Digest) || !c.rule.remedy {
				c.fatal("%s is %s, trusted %t, and was offered %s %d", m.id, record.State, m.trusted, manifest.ComponentID, manifest.SequenceNumber)
			}
		}
		if !found {
			m.held[entrusted] = suit.SumSHA256(fmt.Appendf(nil, "%s, version %d", entrusted, manifest.SequenceNumber))
		}
	}
}

// observe holds what never may happen against what did.
func (c *crowd) observe(m *member) {
	record := m.record()
	if record.Attestations.Accepted < m.counters.Accepted {
		c.fatal("accepted fell from %d to %d", m.counters.Accepted, record.Attestations.Accepted)
	}
	for reason, n := range m.counters.Failed {
		if record.Attestations.Failed[reason] < n {
			c.fatal("%s fell from %d to %d", reason, n, record.Attestations.Failed[reason])
		}
	}
	m.counters = record.Attestations
	switch {
	case record.State == m.was && record.QuarantinedBy == m.wasBy:
	case record.State == devices.Quarantined: // also where an operator takes over from a policy
		m.moves[audit.DeviceQuarantined]++
	case m.was == devices.Quarantined && m.wasBy == "" && !m.operated:
		c.fatal("%s was in an operator's quarantine and is %s: %s", m.id, record.State, record.StateReason)
	case m.was == devices.Quarantined:
		m.moves[audit.DeviceReleased]++
	}
	m.was, m.wasBy, m.operated = record.State, record.QuarantinedBy, false
}

// recount holds history and audit log against what was seen.
func (c *crowd) recount() {
	events := map[string]int{}
	for after := int64(0); ; {
		list := must(c.fleet.Events(c.t.Context(), after, 1000))(c.t)
		for _, e := range list {
			events[e.Subject+" "+string(e.Action)]++
			after = e.Seq
		}
		if len(list) < 1000 {
			break
		}
	}
	for _, m := range c.members {
		record := m.record()
		if record.Attestations.Accepted != m.accepted || failedOf(record.Attestations) != m.failed {
			c.fatal("%s: counted %+v, seen %d and %d", m.id, record.Attestations, m.accepted, m.failed)
		}
		for _, action := range []audit.Action{audit.DeviceQuarantined, audit.DeviceReleased} {
			if n := events["device:"+string(m.id)+" "+string(action)]; n != m.moves[action] {
				c.fatal("%s: %d events %s, seen %d", m.id, n, action, m.moves[action])
			}
		}
		accepted, codes := 0, map[string]bool{}
		list := must(c.fleet.Appraisals(c.t.Context(), tam.AppraisalQuery{Device: m.id, Limit: 1000}))(c.t)
		for _, a := range list {
			var vector []attest.Element
			if err := json.Unmarshal(a.Vector, &vector); err != nil || a.Accepted != (a.Code == "") || a.Accepted && a.Outcome != string(policy.Accept) {
				c.fatal("%s: on record: %+v, %v", m.id, a, err)
			}
			if a.Accepted {
				accepted++
			} else {
				codes[a.Code] = true
			}
		}
		if accepted < m.rows || uint64(accepted) > m.accepted {
			c.fatal("%s: %d accepted on record, of %d, %d at least", m.id, accepted, m.accepted, m.rows)
		}
		for code := range codes {
			if record.Attestations.Failed[code] == 0 {
				c.fatal("%s: %s is on record and not counted: %+v", m.id, code, record.Attestations)
			}
		}
	}
}

func (c *crowd) setRule(r rule) {
	p := policy.Policy{Name: "rule", Kind: policy.Appraisal, Expression: r.text}
	if r.remedy {
		p.Remediation = mended + "/suit"
	}
	c.rule = r
	c.plant.rule(p)
	c.rule.name = must(c.fleet.Policies(c.t.Context()))(c.t)[0].String()
}

// act is one thing that happens to the crowd.
func (c *crowd) act(t *rapid.T) {
	m := rapid.SampledFrom(c.members).Draw(t, "device")
	switch action := rapid.SampledFrom([]string{
		"poll", "poll", "poll", "poll", "all poll", "time", "tamper", "tamper", "repair", "forge", "rule", "quarantine", "release",
		"except", "end exception", "publish", "import", "extra", "rotate", "tell key", "verifier", "restart",
	}).Draw(t, "action"); action {
	case "poll":
		path := rapid.SampledFrom([]string{"/tam", "/first"}).Draw(t, "endpoint")
		c.say("poll %s at %s", m.id[:4], path)
		c.poll(m, path)
	case "all poll":
		for _, m := range c.members {
			c.poll(m, "/tam")
		}
	case "time":
		d := rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, 3 * time.Hour, 25 * time.Hour}).Draw(t, "for")
		c.say("%s go by", d)
		c.now.add(d)
	case "tamper":
		m.held[mended] = suit.SumSHA256([]byte(rapid.SampledFrom([]string{"evil", "worse"}).Draw(t, "with")))
		c.say("tamper with %s", m.id[:4])
	case "repair":
		m.held[mended], m.forged = c.releases[c.referred-1].Targets[0].ImageDigest, false
		c.say("repair %s", m.id[:4])
	case "forge":
		m.forged = !m.forged
		c.say("forged %s: %t", m.id[:4], m.forged)
	case "rule":
		until := c.now.Now().Add(5 * time.Hour).Truncate(time.Second)
		r := rapid.SampledFrom([]rule{
			{text: `result.status == "affirming" ? accept() : quarantine("it differs")`, remedy: true},
			{text: `result.status == "affirming" ? accept() : quarantine("it differs")`},
			{text: `result.status == "affirming"`, remedy: true},
			{text: `result.status == "affirming"`},
			{text: fmt.Sprintf(`result.status == "affirming" ? accept() : accept_until(timestamp(%q), "grace")`, until.Format(time.RFC3339)), until: until},
		}).Draw(t, "rule")
		c.say("rule %s, remedy %t", r.text, r.remedy)
		c.setRule(r)
	case "quarantine":
		_, err := c.fleet.Quarantine(t.Context(), plantOperator, m.id, "to be sure")
		c.say("quarantine %s: %v", m.id[:4], err)
		c.observe(m)
	case "release":
		_, err := c.fleet.Release(t.Context(), plantOperator, m.id, "looked at")
		c.say("release %s: %v", m.id[:4], err)
		if err == nil {
			m.trusted, m.operated = false, true // until it shows that it is
		}
		c.observe(m)
	case "except":
		_, err := c.fleet.AcceptUntil(t.Context(), plantOperator, m.id, c.now.Now().Add(4*time.Hour), "known")
		c.say("except %s: %v", m.id[:4], err)
	case "end exception":
		_, err := c.fleet.EndException(t.Context(), plantOperator, m.id, "enough")
		c.say("end exception of %s: %v", m.id[:4], err)
	case "publish":
		c.publish()
		c.say("publish %d", len(c.releases))
	case "import":
		c.importReferences()
		c.say("reference values of %d", c.referred)
	case "extra":
		c.extras++
		c.release(entrusted, uint64(c.extras), false)
		c.say("publish the other, %d", c.extras)
	case "rotate":
		c.keys = append([]cosekit.AgreementKey{must(cosekit.GenerateAgreementKey())(c.t)}, c.keys...)
		c.keys = c.keys[:min(len(c.keys), 2)]
		c.config.DecryptionKeys.Agreements = slices.Clone(c.keys)
		c.start()
		c.say("rotate the encryption key")
	case "tell key":
		m.key = c.keys[0]
		c.say("tell %s the newest key", m.id[:4])
	case "verifier":
		c.verifier.down = !c.verifier.down
		c.say("verifier down: %t", c.verifier.down)
	case "restart":
		c.start()
		c.say("restart")
	}
}

// agent is the device's as the TAM has it.
func (m *member) agent() (a devices.Agent) {
	m.t.Helper()
	if err := m.s.store.View(m.t.Context(), func(r tam.Reader) (err error) {
		a, err = r.Agent(m.probe.key.PublicKey().Thumbprint())
		return err
	}); err != nil {
		m.t.Fatal(err)
	}
	return a
}

// settle takes away all that is against the devices, and wants each served within two
// polls.
func (c *crowd) settle() {
	c.say("all is mended")
	c.verifier.down = false
	for c.referred < len(c.releases) {
		c.importReferences()
	}
	for _, m := range c.members {
		m.key, m.forged = c.keys[0], false
		m.held[mended] = c.releases[c.referred-1].Targets[0].ImageDigest
		if record := m.record(); record.State == devices.Quarantined && record.QuarantinedBy == "" {
			must(c.fleet.Release(c.t.Context(), plantOperator, m.id, "mended"))(c.t)
			m.trusted, m.operated = false, true
			c.observe(m)
		}
	}
	c.now.add(tam.Defaults().BackOffMax + time.Hour)
	for _, m := range c.members {
		served := c.poll(m, "/tam")
		if !served {
			served = c.poll(m, "/tam")
		}
		if !served {
			c.fatal("%s is not served in two polls: %+v", m.id, m.record())
		}
		if record := m.record(); record.State != devices.Accepted {
			c.fatal("%s is %s", m.id, record.State)
		}
	}
}

// Whatever happens in whatever order: nothing but the remedy goes to a device that is not
// accepted, or whose last evidence was not; counters, history and audit log agree with what
// was seen; and a device with good evidence is served once nothing is against it.
func TestAttestationAtRandom(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newCrowd(drawnTB{t, r})
		for range rapid.IntRange(15, 45).Draw(r, "actions") {
			c.act(r)
		}
		c.recount()
		c.settle()
		c.recount()
	})
}
