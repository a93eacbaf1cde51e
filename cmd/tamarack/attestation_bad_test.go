package main

import (
	"bytes"
	"crypto"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/store"
	"github.com/tamarack-tam/tamarack/tam/storetest"
	"github.com/tamarack-tam/tamarack/teep"
)

// recipe is what an attestation payload is made of. Its zero fields make a good one.
type recipe struct {
	t       testing.TB
	of      *probe
	claims  *attest.Claims          // of the device, the agent and the challenge
	at      time.Time               // when it is made
	forged  bool                    // by a key that nobody vouches for
	wanting bool                    // about another system than the makers know
	how     sealing                 // the signature
	set     func(set []byte) []byte // changes encoded claims before they are signed
	inner   func(map[int]any)       // changes the claims of the hardware
	profile string                  // of the format, in place of the right one
}

func (r recipe) encoded(set []byte) []byte {
	if r.set == nil {
		return set
	}
	return r.set(set)
}

// mediaType names another profile where the recipe does.
func (r recipe) mediaType(format string) string {
	if r.profile == "" {
		return format
	}
	name, _, _ := strings.Cut(format, ";")
	return name + `; eat_profile="` + r.profile + `"`
}

// form is a format with a device of its own.
type form struct {
	name   string
	enrols bool // it carries the agent's key
	result bool // an Attestation Result
	bundle bool
	json   bool
	// make follows the recipe; by is the hardware, where there is some.
	make func(r recipe) *teep.AttestationPayload
	// prepare lets the TAM know whom to trust.
	prepare func(s *plant)
}

func (r recipe) claimsSet() []byte { return r.encoded(must(attest.EncodeClaims(r.claims))(r.t)) }

// bundled binds evidence of hardware to the claims.
func (r recipe) bundled(format string, quote func(nonce []byte) []byte) *teep.AttestationPayload {
	set := r.claimsSet()
	nonce := must(evidence.BindingDigest(format, set))(r.t)
	payload := must(evidence.EncodeBundle(set, quote(nonce)))(r.t)
	return &teep.AttestationPayload{Format: evidence.BundleFormat(r.mediaType(format)), Payload: payload}
}

const badComponent = "app/hello"

// forms are those that the issue names, each with what makes it good.
func forms(t *testing.T) []form {
	factory, certified, stranger := plantKey(t, cosekit.ESP256), plantKey(t, cosekit.Ed25519), plantKey(t, cosekit.ESP256)
	verifier, nobody := plantKey(t, cosekit.ESP256), plantKey(t, cosekit.ESP256)
	key := func(forged bool, good, bad cosekit.Signer) cosekit.Signer {
		if forged {
			return bad
		}
		return good
	}
	var chain any
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("two")
	ak := localtest.NewKey(localtest.P256, "AK")
	tpm := localtest.NewTPM(ak.Private)
	otherPSA, otherCCA := localtest.NewKey(localtest.P256, "forger"), localtest.NewKey(localtest.P384, "forger")

	eat := func(r recipe, signer cosekit.Signer, chain any) *teep.AttestationPayload {
		if r.wanting {
			r.claims.Measurements = []attest.Measurement{{Manifest: attest.ManifestRef{Digest: suit.SumSHA256(nil)}, Components: []suit.PropertyClaims{
				{Component: must(suit.ParseComponentID(badComponent))(r.t), ImageDigest: new(suit.SumSHA256([]byte("evil")))},
			}}}
		}
		return &teep.AttestationPayload{
			Format: r.mediaType(attest.EvidenceMediaType), Payload: signCOSE(r.t, r.how, signer, r.claimsSet(), chain),
		}
	}
	return []form{
		{name: "EAT", enrols: true, prepare: func(s *plant) { s.register(factory.PublicKey(), "factory") }, make: func(r recipe) *teep.AttestationPayload {
			return eat(r, key(r.forged, factory, stranger), nil)
		}},
		{name: "EAT with x5chain", enrols: true, prepare: func(s *plant) {
			ca := localtest.NewCA("maker", s.now.Now())
			chain = localtest.Chain(ca.Certify("device", must(ear.ParseKey(certified.PublicKey().PEM()))(t).Public, nil, s.now.Now()))
			must(s.fleet.AddDeviceCA(t.Context(), plantOperator, "maker", ca.Certificate.Raw))(t)
		}, make: func(r recipe) *teep.AttestationPayload {
			if !r.forged {
				return eat(r, certified, chain)
			}
			foreign := localtest.NewCA("somebody", r.of.s.now.Now())
			c := foreign.Certify("device", must(ear.ParseKey(stranger.PublicKey().PEM()))(r.t).Public, nil, r.of.s.now.Now())
			return eat(r, stranger, localtest.Chain(c))
		}},
		{name: "bundled PSA", enrols: true, bundle: true, prepare: func(s *plant) { s.refer(psa.Published("psa")) }, make: func(r recipe) *teep.AttestationPayload {
			by := *psa
			if r.forged {
				by.Key = otherPSA
			}
			if r.wanting {
				by.Components = slices.Clone(psa.Components)
				by.Components[1].Value = bytes.Repeat([]byte{6}, 32)
			}
			return r.bundled(localtest.PSAFormat, func(nonce []byte) []byte {
				if r.how == signedWell {
					return by.Token(nonce, func(c map[int]any) {
						if r.inner != nil {
							r.inner(c)
						}
					})
				}
				var claims map[int]any
				by.Token(nonce, func(c map[int]any) { claims = maps.Clone(c) })
				return signCOSE(r.t, r.how, by.Key.COSE(), cosekit.MustMarshal(claims), nil)
			})
		}},
		{name: "bundled CCA", enrols: true, bundle: true, prepare: func(s *plant) { s.refer(cca.Published("cca")) }, make: func(r recipe) *teep.AttestationPayload {
			by := *cca
			platform := *cca.Platform
			by.Platform = &platform
			if r.forged {
				platform.Key = otherCCA
			}
			if r.wanting {
				by.Extensible[2] = bytes.Repeat([]byte{6}, 32)
			}
			return r.bundled(localtest.CCAFormat, func(nonce []byte) []byte {
				if r.how == signedWell {
					return by.Token(nonce, nil, r.inner)
				}
				var inPlatform, inRealm map[int]any
				by.Token(nonce, func(c map[int]any) { inPlatform = maps.Clone(c) }, func(c map[int]any) { inRealm = maps.Clone(c) })
				return by.Collect(
					signCOSE(r.t, r.how, factory, cosekit.MustMarshal(inPlatform), nil),
					by.RealmKey.Sign1(cosekit.MustMarshal(inRealm), nil, nil))
			})
		}},
		{name: "bundled TPM quote", enrols: true, bundle: true, prepare: func(s *plant) {
			s.register(ak.COSE().PublicKey(), "AK", anchor.FormatTPM)
			u := &corim.Unsigned{ID: "tpm", Version: 1}
			for pcr, value := range tpm.PCRs {
				u.References = append(u.References, corim.Reference{
					Environment: corim.Environment{ClassID: local.ClassTPM}, Key: fmt.Sprint(pcr),
					Digests: []corim.Digest{{Algorithm: "sha-256", Value: value}},
				})
			}
			s.refer(u)
		}, make: func(r recipe) *teep.AttestationPayload {
			by := *tpm
			if r.forged {
				by.Key = localtest.NewKey(localtest.P256, "another AK").Private
			}
			if r.wanting {
				by.PCRs = maps.Clone(tpm.PCRs)
				by.PCRs[4] = bytes.Repeat([]byte{6}, 32)
			}
			return r.bundled(mediaTPM, func(nonce []byte) []byte {
				q := must(by.Quote(nonce))(r.t)
				switch r.how {
				case unsigned:
					q.Signature = []byte{0, byte(tpm2.TPMAlgNull)}
				case macked:
					digest := crypto.SHA256.New()
					digest.Write(ak.COSE().PublicKey().COSEKey())
					q.Signature = tpm2.Marshal(&tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgHMAC, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgHMAC, &tpm2.TPMTHA{
						HashAlg: tpm2.TPMAlgSHA256, Digest: digest.Sum(nil),
					})})
				}
				return must(q.Encode())(r.t)
			})
		}},
		{name: "TEEP EAT result", enrols: true, result: true, prepare: func(s *plant) {
			must(s.fleet.AddVerifier(t.Context(), plantOperator, anchor.Anchor{Key: verifier.PublicKey(), Title: "elsewhere"}))(t)
		}, make: func(r recipe) *teep.AttestationPayload {
			r.claims.Profile, r.claims.IssuedAt, r.claims.Expires = attest.ProfileTEEP, r.at, r.at.Add(time.Hour)
			r.claims.Measurements = nil
			return &teep.AttestationPayload{
				Format: r.mediaType(ear.MediaTypeTEEP), Payload: signCOSE(r.t, r.how, key(r.forged, verifier, nobody), r.claimsSet(), nil),
			}
		}},
		{name: "EAR as CWT", result: true, prepare: func(s *plant) {
			must(s.fleet.AddVerifier(t.Context(), plantOperator, anchor.Anchor{Key: verifier.PublicKey(), Title: "elsewhere"}))(t)
		}, make: func(r recipe) *teep.AttestationPayload {
			signer := key(r.forged, verifier, nobody)
			p := must(r.of.s.issuer(ear.FormCWT, signer, r.at).Issue(r.affirming()))(r.t)
			set := must(cosekit.Bytes(must(cosekit.Elements(p.Payload[1:]))(r.t)[2]))(r.t)
			p.Format, p.Payload = r.mediaType(p.Format), signCOSE(r.t, r.how, signer, r.encoded(set), nil)
			return p
		}},
		{name: "EAR as JWT", result: true, json: true, prepare: func(s *plant) {
			must(s.fleet.AddVerifier(t.Context(), plantOperator, anchor.Anchor{Key: verifier.PublicKey(), Title: "elsewhere"}))(t)
		}, make: func(r recipe) *teep.AttestationPayload {
			signer := key(r.forged, verifier, nobody)
			p := must(r.of.s.issuer(ear.FormJWT, signer, r.at).Issue(r.affirming()))(r.t)
			set := must(base64Decode(strings.Split(string(p.Payload), ".")[1]))(r.t)
			p.Format, p.Payload = r.mediaType(p.Format), signJWT(r.t, r.how, signer, r.encoded(set))
			return p
		}},
	}
}

// affirming is what a verifier elsewhere found.
func (r recipe) affirming() *attest.Result {
	return &attest.Result{
		Status: attest.Affirming, Verifier: "elsewhere", Claims: r.claims, AppraisedAt: r.at,
		Vector: []attest.Element{{Name: attest.InstanceIdentity, Value: 2, Reason: "known"}, {Name: attest.Executables, Value: 2, Reason: "approved"}},
	}
}

// badFault is one thing that is wrong, in the formats that can have it.
type badFault struct {
	name    string
	reasons []tam.Reason // that registered agents are told
	spoil   func(f form, r *recipe) bool
	payload func([]byte) []byte
}

func badFaults(victim func() *probe) []badFault {
	always := func(fn func(r *recipe)) func(form, *recipe) bool {
		return func(_ form, r *recipe) bool { fn(r); return true }
	}
	nonces := func(v any) any { return []any{v, v} }
	return []badFault{
		{"wrong signer", []tam.Reason{tam.ReasonNotAffirmed, tam.ReasonResultSignature}, always(func(r *recipe) { r.forged = true }), nil},
		{"expired", []tam.Reason{tam.ReasonEvidenceTime, tam.ReasonNotAffirmed}, always(func(r *recipe) {
			r.at = r.at.Add(-2 * time.Hour)
			r.claims.IssuedAt, r.claims.Expires = r.at, r.at.Add(time.Hour)
		}), nil},
		{"not yet valid", []tam.Reason{tam.ReasonEvidenceTime, tam.ReasonNotAffirmed}, always(func(r *recipe) {
			r.at = r.at.Add(2 * time.Hour)
			r.claims.IssuedAt, r.claims.NotBefore = r.at, r.at
		}), nil},
		{"wrong nonce", []tam.Reason{tam.ReasonTokenForeign}, always(func(r *recipe) { r.claims.Nonce = bytes.Repeat([]byte{7}, 32) }), nil},
		{"no nonce", []tam.Reason{tam.ReasonNonce, tam.ReasonUnsolicited, tam.ReasonEvidenceUnreadable}, always(func(r *recipe) { r.claims.Nonce = nil }), nil},
		{"array nonce", []tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable}, always(func(r *recipe) {
			r.set = func(set []byte) []byte {
				if set[0] == '{' {
					return editJSON(r.t, set, func(m map[string]any) {
						if v, ok := m["eat_nonce"]; ok {
							m["eat_nonce"] = nonces(v)
						}
					})
				}
				return editCBOR(r.t, set, func(m map[any]any) {
					if v, ok := m[int64(10)]; ok {
						m[int64(10)] = nonces(v)
					}
				})
			}
		}), nil},
		{"array nonce of the hardware", []tam.Reason{tam.ReasonEvidenceUnreadable}, func(f form, r *recipe) bool {
			r.inner = func(m map[int]any) { m[10] = nonces(m[10]) }
			return f.bundle && f.name != "bundled TPM quote"
		}, nil},
		{"nonce of other claims", []tam.Reason{tam.ReasonNonce}, func(f form, r *recipe) bool {
			size := 32
			if f.name == "bundled CCA" {
				size = 64
			}
			r.inner = func(m map[int]any) { m[10] = make([]byte, size) }
			return f.bundle && f.name != "bundled TPM quote"
		}, nil},
		{"another device's", []tam.Reason{tam.ReasonUEIDMismatch, tam.ReasonCnfMismatch}, always(func(r *recipe) { r.claims.UEID = victim().ueid }), nil},
		{"another agent's key", []tam.Reason{tam.ReasonCnfMismatch}, func(f form, r *recipe) bool {
			r.claims.Confirmation.Key = victim().key.PublicKey()
			return f.enrols
		}, nil},
		{"another's evidence as a whole", []tam.Reason{tam.ReasonCnfMismatch, tam.ReasonUEIDMismatch}, always(func(r *recipe) {
			r.claims.UEID, r.claims.Confirmation.Key = victim().ueid, victim().key.PublicKey()
		}), nil},
		{"found wanting", []tam.Reason{tam.ReasonNotAffirmed}, func(f form, r *recipe) bool { r.wanting = true; return !f.result }, nil},
		{"affirming over contraindicated", []tam.Reason{tam.ReasonNotAffirmed}, func(f form, r *recipe) bool {
			r.set = func(set []byte) []byte {
				if f.json {
					return editJSON(r.t, set, func(m map[string]any) {
						if _, ok := m["executables"]; ok {
							m["executables"] = 96
						}
					})
				}
				return editCBOR(r.t, set, func(m map[any]any) {
					if vector, ok := m[int64(1001)].(map[any]any); ok {
						vector[int64(2)] = 96
					}
				})
			}
			return f.result && !f.enrols
		}, nil},
		{"unknown profile", []tam.Reason{
			tam.ReasonEvidenceFormat, tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable, tam.ReasonNotAffirmed,
		}, func(f form, r *recipe) bool {
			r.profile = "tag:example.org,2026:unknown"
			return f.name != "bundled TPM quote" // its media type has none
		}, nil},
		{"unknown profile in the claims", []tam.Reason{tam.ReasonNotAffirmed, tam.ReasonResultUnreadable}, func(f form, r *recipe) bool {
			const unknown = "tag:example.org,2026:unknown"
			r.set = func(set []byte) []byte {
				if f.json {
					return editJSON(r.t, set, func(m map[string]any) {
						if _, ok := m["eat_profile"]; ok {
							m["eat_profile"] = unknown
						}
					})
				}
				return editCBOR(r.t, set, func(m map[any]any) {
					if _, ok := m[int64(265)]; ok {
						m[int64(265)] = unknown
					}
				})
			}
			return !f.bundle
		}, nil},
		{"alg none", []tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable, tam.ReasonResultSignature, tam.ReasonNotAffirmed},
			always(func(r *recipe) { r.how = unsigned }), nil},
		{"HMAC under a public key", []tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable, tam.ReasonResultSignature, tam.ReasonNotAffirmed},
			always(func(r *recipe) { r.how = macked }), nil},
		{"duplicate claims", []tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable}, always(func(r *recipe) {
			r.set = func(set []byte) []byte { return doubled(r.t, set) }
		}), nil},
		{"oversize", []tam.Reason{tam.ReasonEvidenceTooLarge, tam.ReasonResultUnreadable}, always(func(*recipe) {}), func([]byte) []byte { return make([]byte, 300<<10) }},
		{"truncated", []tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable, tam.ReasonResultSignature}, always(func(*recipe) {}), func(b []byte) []byte { return b[:len(b)-1] }},
		{"trailing byte", []tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable, tam.ReasonResultSignature}, always(func(*recipe) {}), func(b []byte) []byte { return append(b, 0) }},
		{"nothing", []tam.Reason{tam.ReasonEvidenceUnreadable, tam.ReasonResultUnreadable}, always(func(*recipe) {}), func([]byte) []byte { return []byte{0xa0} }},
	}
}

// Every fault in every format, over HTTP: never trusted, with a reason, nothing is lost,
// and others go on.
func TestBadAttestation(t *testing.T) {
	for _, f := range forms(t) {
		t.Run(f.name, func(t *testing.T) {
			s := newPlant(t, store.Memory)
			released := s.release(badComponent, 1, true)
			factory := plantKey(t, cosekit.ESP256)
			s.register(factory.PublicKey(), "factory of others")
			f.prepare(s)
			honest := func(p *probe, challenge []byte) *teep.AttestationPayload {
				return &teep.AttestationPayload{
					Format:  attest.EvidenceMediaType,
					Payload: must(attest.SignEAT(p.claims(challenge, s.now.Now()), factory))(t),
				}
			}
			good := func(p *probe, challenge []byte) *teep.AttestationPayload {
				return f.make(recipe{t: p.t, of: p, claims: p.claims(challenge, s.now.Now()), at: s.now.Now()})
			}
			bystander := s.probe(t, cosekit.Ed25519)
			bystander.enrol(honest)
			if r := bystander.show(honest(bystander, bystander.challenge())); r.reason != tam.ReasonNothingToDo {
				t.Fatalf("bystander: %q", r.reason)
			}
			for _, fault := range badFaults(func() *probe { return bystander }) {
				t.Run(fault.name, func(t *testing.T) {
					bad := func(p *probe, challenge []byte) *teep.AttestationPayload {
						r := recipe{t: t, of: p, claims: p.claims(challenge, s.now.Now()), at: s.now.Now()}
						if !fault.spoil(f, &r) {
							return nil
						}
						made := f.make(r)
						if fault.payload != nil {
							made.Payload = fault.payload(made.Payload)
						}
						return made
					}
					d, stranger := s.probe(t, cosekit.ESP256), s.probe(t, cosekit.Ed25519)
					if bad(d, d.ueid) == nil {
						return // this format cannot have the fault
					}
					if f.enrols {
						d.enrol(good)
					} else {
						d.enrol(honest)
					}
					must(s.fleet.Require(t.Context(), plantOperator, d.record().ID, released.Targets[0].Component))(t)

					before := storetest.Dump(t, s.store)
					r := stranger.show(bad(stranger, stranger.challenge()))
					expectReason(t, "stranger", r.reason, append(fault.reasons, tam.ReasonCnfMissing, tam.ReasonSecondKey))
					if r.status != 204 || len(r.body) > 0 {
						t.Errorf("stranger is answered with %d, %d bytes", r.status, len(r.body))
					}
					changed := slices.DeleteFunc(differs(before, storetest.Dump(t, s.store)), func(line string) bool {
						return r.reason == tam.ReasonSecondKey && strings.Contains(line, "enrolment.refused") // who tried to take a device over is on record
					})
					if len(changed) > 0 {
						t.Errorf("the stranger changed\n%s", strings.Join(changed, "\n"))
					}

					record, before := d.record(), storetest.Dump(t, s.store)
					r = d.show(bad(d, d.challenge()))
					expectReason(t, "registered", r.reason, fault.reasons)
					if r.status == 200 {
						switch m := d.open(r).(type) {
						case *teep.Update:
							if m.ErrCode == 0 || len(m.Manifests) > 0 || m.Attestation != nil {
								t.Errorf("answered with %+v", m)
							}
						case *teep.QueryRequest: // asked anew
						default:
							t.Errorf("answered with %T", m)
						}
					}
					own := map[string]bool{string(record.ID): true, d.key.PublicKey().Thumbprint().String(): true}
					for _, line := range undue(before, storetest.Dump(t, s.store), own) {
						t.Errorf("changed: %s", line)
					}
					if after := d.record(); after.Attestations.Accepted != record.Attestations.Accepted || after.State != record.State {
						t.Errorf("%+v, before %+v", after, record)
					}
					if r := bystander.idle(); r.reason != tam.ReasonNothingToDo {
						t.Errorf("bystander: %q", r.reason)
					}
					if r := d.show(good(d, d.challenge())); d.offers(r) != 1 {
						t.Errorf("good evidence afterwards: %d %q", r.status, r.reason)
					}
				})
			}
		})
	}
}

func expectReason(t *testing.T, who string, got tam.Reason, want []tam.Reason) {
	t.Helper()
	if !slices.Contains(want, got) {
		t.Errorf("%s: %q, want one of %q", who, got, want)
	}
}

// differs lists the lines that one dump has and the other has not.
func differs(before, after string) (lines []string) {
	count := map[string]int{}
	for _, line := range strings.Split(before, "\n") {
		count[line]--
	}
	for _, line := range strings.Split(after, "\n") {
		count[line]++
	}
	for _, line := range slices.Sorted(maps.Keys(count)) {
		switch n := count[line]; {
		case n < 0:
			lines = append(lines, "- "+line)
		case n > 0:
			lines = append(lines, "+ "+line)
		}
	}
	return lines
}

// proven is how far the evidence of a device has come in time, which genuine evidence moves
// on whatever it shows.
var proven = regexp.MustCompile(`(?m)^(device .* evidence )\S+`)

// undue lists what bad evidence of a device must not have changed.
func undue(before, after string, own map[string]bool) []string {
	lines := differs(proven.ReplaceAllString(before, "$1"), proven.ReplaceAllString(after, "$1"))
	return slices.DeleteFunc(lines, func(line string) bool { return allowedChange(line, own) })
}

// allowedChange reports whether bad evidence may leave this trace: the failure counted and
// on record, and the agent seen.
func allowedChange(line string, own map[string]bool) bool {
	mine := slices.ContainsFunc(slices.Collect(maps.Keys(own)), func(name string) bool { return strings.Contains(line, name) })
	switch body := strings.TrimLeft(line[2:], " "); {
	case strings.HasPrefix(body, "attestations "):
		return true
	case strings.HasPrefix(body, "agent "), strings.HasPrefix(body, "event ") && line[0] == '+':
		return mine
	case strings.HasPrefix(body, "appraisal "):
		return mine && line[0] == '+' && strings.Contains(body, "accepted false")
	}
	return false
}
