package teephttp_test

import (
	"bytes"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// later moves the time of the first replica, before a request is sent.
func later(d time.Duration, send func(*scene) []request) func(*scene) []request {
	return func(sc *scene) []request {
		sc.replica(0).clock.add(d)
		return send(sc)
	}
}

// after sends a message ahead of the row itself.
func after(m *message, send func(*scene) []request) func(*scene) []request {
	return func(sc *scene) []request {
		sc.replica(0).do(sc.t.Context(), m.request())
		return send(sc)
	}
}

// tokens has good messages with a token that is not good for them.
func tokens(s *stage) []trial {
	polling := func(path string, token []byte) func(*scene) []request {
		return to(path, s.alice.seal(&teep.QueryResponse{Token: token}))
	}
	elsewhere := func(path string, n teep.Numbering) func(*scene) []request {
		wire := must(teep.Seal(n, &teep.QueryResponse{Token: s.polled.Token}, s.alice.key))
		return to(path, wire)
	}
	changed := func(i int) []byte {
		token := bytes.Clone(s.polled.Token)
		token[i] ^= 0x40
		return token
	}
	lifetime := tam.Defaults().TokenLifetime + 2*time.Second
	return []trial{
		{name: "a token of another endpoint", send: elsewhere(atOther, s.numbering), want: "204 token-foreign", still: s.poll},
		{name: "a token of the other numbering", send: elsewhere(atNumbering, s.other()), want: "204 token-foreign", still: s.poll},
		{name: "a token of a path that has changed its numbering since", send: renumbered(s), want: "204 token-foreign", still: s.poll},
		{name: "a token from nowhere", send: polling(atTAM, make([]byte, 32)), want: "204 token-foreign"},
		{name: "a token without its last byte", send: polling(atTAM, s.polled.Token[:31]), want: "204 token-foreign"},
		{name: "a token and a byte more", send: polling(atTAM, append(bytes.Clone(s.polled.Token), 0)), want: "204 token-foreign"},
		{name: "a token under another key of the TAM", send: polling(atTAM, changed(0)), want: "204 token-foreign"},
		{name: "a token of another purpose by its own word", send: polling(atTAM, changed(1)), want: "204 token-foreign"},
		{name: "a token that is younger by its own word", send: polling(atTAM, changed(4)), want: "204 token-foreign"},
		{name: "a token with other randomness", send: polling(atTAM, changed(10)), want: "204 token-foreign"},
		{name: "a token with another MAC", send: polling(atTAM, changed(31)), want: "204 token-foreign", still: s.poll},
		{name: "a challenge for a token", send: polling(atChallenge, s.challenged.Challenge), want: "204 token-purpose", still: s.evidence},
		{name: "a challenge for another device for a token", send: polling(atTAM, s.introduced.Challenge), want: "204 token-foreign", still: s.contact},
		{name: "the token of one's own Update for that of a QueryRequest", send: to(atTAM, s.carol.seal(&teep.QueryResponse{Token: s.success.m.(*teep.Success).Token})),
			want: "204 token-foreign", still: s.success},
		{name: "a token that has expired", send: later(lifetime, to(atTAM, s.poll.wire)), want: "204 token-expired"},
		{name: "a token from the future", send: later(-time.Hour, to(atTAM, s.poll.wire)), want: "204 token-expired"},
		{name: "a challenge that has expired", send: later(lifetime, to(atChallenge, s.evidence.wire)), want: "204 token-expired"},
		{name: "a challenge that has expired, first contact", send: later(lifetime, to(atTAM, s.contact.wire)), want: "204 token-expired"},
		{name: "a message once more", send: after(s.poll, to(atTAM, s.poll.wire)), want: "204 token-spent"},
		{name: "another message with a spent token", send: after(s.poll, polling(atTAM, s.polled.Token)), want: "204 token-spent"},
		{name: "another agent with a spent token", send: after(s.poll, to(atTAM, s.bob.seal(&teep.QueryResponse{Token: s.polled.Token}))), want: "204 token-spent"},
		{name: "an Error with a spent token", send: after(s.poll, to(atTAM, s.alice.seal(&teep.Error{Token: s.polled.Token, Code: teep.TemporaryError}))), want: "204 token-spent"},
		{name: "evidence once more", send: after(s.evidence, to(atChallenge, s.evidence.wire)), want: "204 token-spent"},
		{name: "first contact once more", send: after(s.contact, to(atTAM, s.contact.wire)), want: "204 token-spent"},
		{name: "a token that was sent to another agent", send: addressed(s), want: "204 token-foreign", still: s.poll},
		{name: "a token of a replica whose key is retired", send: retired(s), want: "204 token-foreign"},
		{name: "an unknown key with a spent token", send: after(s.poll, to(atTAM, s.stranger.seal(&teep.QueryResponse{Token: s.polled.Token}))),
			want: "200 QueryRequest attestation-required"},
		{name: "an unknown key with a token of another endpoint", send: to(atOther, s.stranger.seal(&teep.QueryResponse{Token: s.polled.Token})), want: "204 token-foreign"},
		{name: "an unknown key with neither token nor evidence", send: to(atTAM, s.stranger.seal(&teep.QueryResponse{})), want: "204 unknown-key"},
	}
}

// renumbered answers a token at the path that it is from, where a replica speaks the
// other numbering.
func renumbered(s *stage) func(*scene) []request {
	return func(sc *scene) []request {
		sc.replicas = append(sc.replicas, startReplica(sc.t.Context(), sc.path, oneReader, sc.cast, sc.at, s.endpoints(s.other())))
		wire := must(teep.Seal(s.other(), &teep.QueryResponse{Token: s.polled.Token}, s.alice.key))
		return []request{{at: len(sc.replicas) - 1, path: atTAM, body: wire}}
	}
}

// addressed answers a token with which the TAM has asked another agent again.
func addressed(s *stage) func(*scene) []request {
	return func(sc *scene) []request {
		q := s.bob.connect(sc.t.Context(), sc.replica(0), atTAM)
		again := s.bob.send(sc.t.Context(), sc.replica(0), atTAM, &teep.Error{
			Token: q.Token, Code: teep.UnsupportedCipherSuites, CipherSuites: []teep.CipherSuite{teep.SuiteESP256, teep.SuiteEd25519},
		}).(*teep.QueryRequest)
		return []request{{path: atTAM, body: s.alice.seal(&teep.QueryResponse{Token: again.Token})}}
	}
}

// retired answers a token that a replica has issued which has not looked at the
// database for two days: its key is not there any more.
func retired(s *stage) func(*scene) []request {
	return func(sc *scene) []request {
		behind, ahead := sc.replica(1), sc.replica(0)
		for range 3 {
			ahead.clock.add(tam.Defaults().TokenKeyRotation)
			behind.clock.add(tam.Defaults().TokenKeyRotation)
			if err := ahead.tam.Maintain(sc.t.Context()); err != nil {
				sc.t.Fatal(err)
			}
		}
		q := s.alice.connect(sc.t.Context(), behind, atTAM)
		return []request{{path: atTAM, body: s.alice.seal(&teep.QueryResponse{Token: q.Token})}}
	}
}

// attestation has evidence that is not good for who sends it. Of a registered agent
// it spends the challenge and is on record; of an unknown key it does nothing.
func attestation(s *stage) []trial {
	response := func(d *virtualDevice, e *teep.AttestationPayload) []byte {
		return d.seal(&teep.QueryResponse{Attestation: e})
	}
	of := func(d *virtualDevice, challenge []byte, change ...func(*attest.Claims)) []byte {
		return response(d, d.evidence(challenge, change...))
	}
	expired := func(c *attest.Claims) { c.Expires = s.at.Add(-time.Hour) }
	early := func(c *attest.Claims) { c.NotBefore = s.at.Add(time.Hour) }
	poor := func(c *attest.Claims) { c.HWModel = nil }
	otherKey := func(c *attest.Claims) { c.Confirmation.Key = s.stranger.key.PublicKey() }
	otherDevice := func(c *attest.Claims) { c.UEID = s.bob.ueid }
	format := func(e *teep.AttestationPayload, format string) *teep.AttestationPayload { e.Format = format; return e }
	otherFactory := *s.alice
	otherFactory.attester = s.factory
	forgers := func(d *virtualDevice) *virtualDevice {
		forger := *d
		forger.attester = s.stranger.key
		return &forger
	}
	mine, hers := s.challenged.Challenge, s.introduced.Challenge
	junk := &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: []byte("junk")}
	large := &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: make([]byte, attest.MaxTokenSize+1)}

	hidden := func(p *teep.AttestationPayload) *teep.AttestationPayload {
		foreign := must(cosekit.GenerateAgreementKey())
		p.Payload = must(cosekit.Encryption{
			Content: cosekit.A128GCM, Recipients: []cosekit.Recipient{foreign.PublicKey()}, Context: cosekit.EATEncryption,
		}.Seal(p.Payload))
		return p
	}

	// Rows of alice, who is registered.
	const spent = "~agent alice, +appraisal alice, ~attestations alice, +event attestation.failed alice, +spent evidence"
	failed := func(name, reason string, wire []byte) trial {
		return trial{name: "evidence of an agent, " + name, send: to(atChallenge, wire), want: "200 Update ERR_ATTESTATION_REQUIRED " + reason, changes: spent}
	}
	// Rows that change nothing; the message behind still is what the challenge was for.
	nothing := func(name, want, path string, wire []byte, still *message) trial {
		return trial{name: name, send: to(path, wire), want: want, still: still}
	}
	return []trial{
		failed("expired", "evidence-time", of(s.alice, mine, expired)),
		failed("from the future", "evidence-time", of(s.alice, mine, early)),
		failed("without a claim that it needs", "not-affirmed", of(s.alice, mine, poor)),
		failed("by an attester that nobody knows", "not-affirmed", of(forgers(s.alice), mine)),
		failed("by another attester than before", "attestation-key", of(&otherFactory, mine)),
		failed("about another device", "ueid-mismatch", of(s.alice, mine, otherDevice)),
		failed("for another key", "cnf-mismatch", of(s.alice, mine, otherKey)),
		failed("of another device, taken whole", "cnf-mismatch", response(s.alice, s.bob.evidence(mine))),
		nothing("evidence over a challenge of nobody", "204 token-foreign", atChallenge, of(s.alice, make([]byte, 32)), s.evidence),
		nothing("evidence over another agent's challenge", "204 token-foreign", atTAM, of(s.alice, hers), s.contact),
		nothing("evidence without a nonce", "200 QueryRequest unsolicited", atChallenge, of(s.alice, nil), s.evidence),
		nothing("evidence over a token", "204 token-purpose", atTAM, of(s.alice, s.polled.Token), s.poll),
		nothing("evidence over a challenge of another endpoint", "204 token-foreign", atTAM, of(s.alice, mine), s.evidence),
		nothing("evidence that cannot be read", "200 Update ERR_PERMANENT_ERROR evidence-unreadable", atChallenge, response(s.alice, junk), s.evidence),
		nothing("evidence that is encrypted to another", "200 Update ERR_PERMANENT_ERROR evidence-encrypted", atChallenge,
			response(s.alice, hidden(s.alice.evidence(mine))), s.evidence),
		nothing("evidence that is too large", "200 Update ERR_PERMANENT_ERROR evidence-too-large", atChallenge, response(s.alice, large), s.evidence),
		nothing("a result where evidence belongs", "200 Update ERR_ATTESTATION_REQUIRED result-unsupported", atChallenge,
			response(s.alice, format(s.alice.evidence(mine), "")), s.evidence),
		nothing("a result in EAR form where evidence belongs", "200 Update ERR_ATTESTATION_REQUIRED result-unsupported", atChallenge,
			response(s.alice, format(s.alice.evidence(mine), `application/eat+jwt; eat_profile="`+attest.ProfileEAR03+`"`)), s.evidence),

		nothing("first contact, expired", "204 evidence-time", atTAM, of(s.dora, hers, expired), s.contact),
		nothing("first contact, from the future", "204 evidence-time", atTAM, of(s.dora, hers, early), s.contact),
		nothing("first contact without a claim that it needs", "204 not-affirmed", atTAM, of(s.dora, hers, poor), s.contact),
		nothing("first contact by an attester that nobody knows", "204 not-affirmed", atTAM, of(forgers(s.dora), hers), s.contact),
		nothing("first contact for another key", "204 cnf-mismatch", atTAM, of(s.dora, hers, otherKey), s.contact),
		nothing("first contact with a result", "204 result-unsupported", atTAM, response(s.dora, format(s.dora.evidence(hers), "")), s.contact),
		nothing("first contact with what the verifier does not read", "204 evidence-format", atTAM,
			response(s.dora, format(s.dora.evidence(hers), "application/vnd.example.evidence")), s.contact),
		nothing("first contact, encrypted to another", "204 evidence-encrypted", atTAM, response(s.dora, hidden(s.dora.evidence(hers))), s.contact),
		nothing("first contact over a token", "204 token-purpose", atTAM, of(s.dora, s.polled.Token), s.poll),
		nothing("a stranger answers an observed challenge first", "204 token-foreign", atTAM, of(s.stranger, hers), s.contact),
		nothing("a stranger answers an observed challenge of everybody first", "204 not-affirmed", atChallenge, of(s.stranger, mine), s.evidence),
		nothing("a stranger takes over observed evidence", "204 cnf-mismatch", atTAM, response(s.stranger, s.dora.evidence(hers)), s.contact),
		nothing("a genuine device answers the challenge of another", "204 token-foreign", atTAM, of(s.bob, hers), s.contact),
		{name: "a key that nobody knows for a device that has one", send: secondKey(s), want: "204 second-key", changes: "+event enrolment.refused bob, +spent evidence"},
	}
}

// unasked has what nobody has asked for, at the endpoint for that and elsewhere.
func unasked(s *stage) []trial {
	dated := func(age time.Duration) []byte {
		return s.alice.seal(&teep.QueryResponse{Attestation: s.alice.evidence(nil, func(c *attest.Claims) { c.IssuedAt = s.at.Add(-age) })})
	}
	good := s.message("evidence unasked", atTimestamp, s.alice, &teep.QueryResponse{
		Attestation: s.alice.evidence(nil, func(c *attest.Claims) { c.IssuedAt = s.at }), TCList: s.alice.properties(),
	}, "204 nothing-to-do", "~agent alice, +appraisal alice, ~attestations alice, ~device alice, +event attestation.accepted alice")
	one := func(name, want, path string, wire []byte) trial {
		return trial{name: "unasked, " + name, want: want, send: to(path, wire)}
	}
	return []trial{
		{name: "unasked, where that is allowed", send: to(good.path, good.wire), want: good.want, changes: good.changes},
		one("where it is not allowed", "200 QueryRequest unsolicited", atTAM, dated(0)),
		one("neither token nor evidence", "200 QueryRequest unsolicited", atTAM, s.alice.seal(&teep.QueryResponse{})),
		one("without a time", "204 evidence-time", atTimestamp, s.alice.seal(&teep.QueryResponse{Attestation: s.alice.evidence(nil)})),
		one("of long ago", "204 evidence-time", atTimestamp, dated(48*time.Hour)),
		one("of tomorrow", "204 evidence-time", atTimestamp, dated(-24*time.Hour)),
		one("of a stranger", "204 not-affirmed", atTimestamp, s.stranger.seal(&teep.QueryResponse{Attestation: s.stranger.evidence(nil, func(c *attest.Claims) { c.IssuedAt = s.at })})),
		{name: "unasked, once more", send: after(good, to(good.path, good.wire)), want: "204 evidence-repeated"},
		{name: "unasked, older than the last", send: after(good, to(good.path, dated(time.Second))), want: "204 evidence-repeated"},
	}
}

// lenient has endpoints that are less strict, and are strict all the same.
func lenient(s *stage) []trial {
	response := must(teep.Encode(s.numbering, &teep.QueryResponse{Token: s.polled.Token}))
	one := func(name, want, path string, key *virtualDevice, change func(*frame)) trial {
		f := newFrame(key.key, response)
		change(&f)
		return trial{name: name, want: want, send: to(path, f.encode()), still: s.poll}
	}
	own, crossed := cosekit.LegacyES256, cosekit.LegacyEdDSA
	if s.algorithm == cosekit.Ed25519 {
		own, crossed = crossed, own
	}
	return []trial{
		one("a legacy alg of another kind of key, where legacy is allowed", "204 algorithm", atLegacy, s.alice, func(f *frame) { f.protected = pairs(labelAlg, crossed) }),
		one("a legacy alg and a spoiled signature, where legacy is allowed", "204 signature", atLegacy, s.alice, func(f *frame) {
			f.protected, f.signature = pairs(labelAlg, own), func(sig []byte) any { return spoiled(sig) }
		}),
		one("a legacy alg and a token of another endpoint, where legacy is allowed", "204 token-foreign", atLegacy, s.alice, func(f *frame) { f.protected = pairs(labelAlg, own) }),
		one("no kid and a key that is not tried", "204 key-missing", atTry, s.bob, func(f *frame) { f.unprotected = pairs() }),
		one("no kid and a stranger's key, where keys are tried", "204 key-missing", atTry, s.stranger, func(f *frame) { f.unprotected = pairs() }),
		one("no kid and a token of another endpoint, where keys are tried", "204 token-foreign", atTry, s.alice, func(f *frame) { f.unprotected = pairs() }),
	}
}

// secondKey is a genuine attestation of bob's device for a new TEEP key.
func secondKey(s *stage) func(*scene) []request {
	second := *s.bob
	second.key = must(cosekit.GenerateSigner(s.algorithm))
	return to(atChallenge, second.seal(&teep.QueryResponse{Attestation: second.evidence(s.challenged.Challenge)}))
}

// answers has what does not answer the Update that it says it does.
func answers(s *stage) []trial {
	token := s.success.m.(*teep.Success).Token
	one := func(name, want string, by *virtualDevice, m teep.Message, still *message) trial {
		return trial{name: name, send: to(atTAM, by.seal(m)), want: want, still: still}
	}
	failure := func(token []byte) *teep.Error { return &teep.Error{Token: token, Code: teep.PermanentError} }
	return []trial{
		one("Success for another device's Update", "204 no-update", s.bob, &teep.Success{Token: token}, s.success),
		one("Success for nothing", "204 no-update", s.carol, &teep.Success{Token: make([]byte, 32)}, s.success),
		one("Success without a token", "204 token-missing", s.carol, &teep.Success{}, s.success),
		one("Success that answers a QueryRequest", "204 no-update", s.alice, &teep.Success{Token: s.polled.Token}, s.poll),
		one("Success of a stranger", "204 unknown-key", s.stranger, &teep.Success{Token: token}, s.success),
		{name: "Success once more", send: after(s.success, to(atTAM, s.success.wire)), want: "204 no-update"},
		{name: "Error after Success", send: after(s.success, to(atTAM, s.failure.wire)), want: "204 no-update"},
		{name: "Success after Error", send: after(s.failure, to(atTAM, s.success.wire)), want: "204 no-update"},
		{name: "Success that comes too late", send: later(tam.Defaults().UpdateLifetime, to(atTAM, s.success.wire)), want: "204 token-expired"},
		{name: "Success in the other numbering", send: to(atNumbering, must(teep.Seal(s.other(), s.success.m, s.carol.key))), want: "204 numbering", still: s.success},
		one("Error with another device's Update", "204 no-update", s.bob, failure(token), s.success),
		one("Error for nothing", "204 no-update", s.carol, failure(make([]byte, 32)), s.success),
		one("Error without a token", "204 error-unmatched", s.carol, failure(nil), s.success),
		one("Error without a token of a stranger", "204 unknown-key", s.stranger, failure(nil), s.success),
		one("Error with a token of a stranger", "204 unknown-key", s.stranger, failure(token), s.success),
		one("Error of a stranger to a QueryRequest", "204 unknown-key", s.stranger, failure(s.polled.Token), s.poll),
		one("Error that wants the TAM attested", "204 tam-attestation", s.carol, &teep.Error{Code: teep.AttestationRequired}, s.success),
		{name: "Error without an error", send: to(atTAM, newFrame(s.carol.key, array(errorType(s.numbering), cosekit.RawMessage(pairs(tokenLabel(s.numbering), token)), 0)).encode()),
			want: "204 malformed", still: s.success},
		s.reported("a report for another token", "report-nonce", s.carol.report(s.manifest.Digest, s.bobToken, nil)),
		s.reported("a report for no token", "report-nonce", s.carol.report(s.manifest.Digest, nil, nil)),
		s.reported("a report signed with the TEEP key", "report-key", signedBy(s, s.carol.key, token)),
		s.reported("a report without a key", "report-key", keyless(s, token)),
		s.reported("a report with another signature", "report-key", spoiled(s.carol.report(s.manifest.Digest, token, nil))),
		s.reported("a report that is none", "report-malformed", []byte{0xa0}),
		s.reported("a report that is encrypted to somebody else", "report-encrypted", encryptedReport(s, token)),
		s.reported("a report with a MAC", "report-key", macedReport(s, token)),
		s.reported("a report that is too large", "report-too-large", make([]byte, 64<<10+1)),
		s.reported("more reports than are taken", "report-too-large", slices.Repeat([][]byte{s.carol.report(s.manifest.Digest, token, nil)}, 33)...),
		s.reported("a truncated report", "report-malformed", s.carol.report(s.manifest.Digest, token, nil)[:20]),
		s.reported("a good report and another's", "report-key", s.carol.report(s.manifest.Digest, token, nil), s.bob.report(s.manifest.Digest, token, nil)),
		{name: "Success with a report under another key than before", send: pinned(s), want: "204 report-key",
			changes: "~agent carol, +event update.failed carol, -waiting carol"},
	}
}

func errorType(n teep.Numbering) int {
	if n == teep.PreIANA {
		return 6
	}
	return 5
}

// reported is a Success of carol whose reports end her Update without any other effect.
func (s *stage) reported(name, reason string, reports ...[]byte) trial {
	m := &teep.Success{Token: s.success.m.(*teep.Success).Token, SUITReports: reports}
	return trial{name: "Success with " + name, send: to(atTAM, s.carol.seal(m)), want: "204 " + reason,
		changes: "~agent carol, +event update.failed carol, -waiting carol"}
}

// signedBy is a report of carol under another key than that of her reports.
func signedBy(s *stage, key cosekit.Signer, token []byte) []byte {
	d := *s.carol
	d.reportKey = key
	return d.report(s.manifest.Digest, token, nil)
}

func encryptedReport(s *stage, token []byte) []byte {
	stranger := must(cosekit.GenerateAgreementKey())
	return must(suit.SignEncryptedReport(&suit.Report{Reference: suit.Reference{Digest: s.manifest.Digest}, Nonce: token},
		cosekit.Encryption{Content: cosekit.A128GCM, Recipients: []cosekit.Recipient{stranger.PublicKey()}}, s.carol.reportKey))
}

func macedReport(s *stage, token []byte) []byte {
	secret := must(cosekit.NewSecretKey(make([]byte, 32), nil))
	return must(suit.AuthenticateReport(&suit.Report{Reference: suit.Reference{Digest: s.manifest.Digest}, Nonce: token}, secret))
}

// keyless is a report whose header has no key in it.
func keyless(s *stage, token []byte) []byte {
	payload := must((&suit.Report{Reference: suit.Reference{Digest: s.manifest.Digest}, Nonce: token}).Encode())
	return newFrame(s.carol.reportKey, payload).encode()
}

func spoiled(report []byte) []byte {
	report[len(report)-1] ^= 1
	return report
}

// pinned makes the TAM know another report key of carol.
func pinned(s *stage) func(*scene) []request {
	return func(sc *scene) []request {
		sc.replica(0).update(sc.t.Context(), func(tx tam.Tx) error {
			agent, err := tx.Agent(s.carol.thumbprint())
			if err != nil {
				return err
			}
			agent.ReportKey = s.bob.reportKey.PublicKey()
			return tx.PutAgent(agent)
		})
		return []request{s.success.request()}
	}
}

// races are answers that reach the TAM at once, here or at two replicas.
func races(s *stage) []trial {
	both := func(name string, replica int, one, two *message, want, changes string) trial {
		first, second := one.request(), two.request()
		second.at = replica
		return trial{name: name, together: true, want: want, changes: changes, send: func(*scene) []request { return []request{first, second} }}
	}
	bobs := s.message("", atTAM, s.bob, &teep.QueryResponse{Token: make([]byte, 32)}, "", "")
	table := []trial{
		both("a token answered at two replicas", 1, s.poll, s.poll, "204 nothing-to-do | 204 token-spent", s.poll.changes),
		both("a challenge answered at two replicas", 1, s.evidence, s.evidence, "204 nothing-to-do | 204 token-spent", s.evidence.changes),
		both("first contact at two replicas", 1, s.contact, s.contact, "204 device-pending | 204 token-spent", s.contact.changes),
		both("Success at two replicas", 1, s.success, s.success, "204 | 204 no-update", s.success.changes),
		both("Error at two replicas", 1, s.failure, s.failure, "204 no-update | 204 update-failed", s.failure.changes),
		both("a token answered twice at once", 0, s.poll, s.poll, "204 nothing-to-do | 204 token-spent", s.poll.changes),
		both("Success twice at once", 0, s.success, s.success, "204 | 204 no-update", s.success.changes),
		both("a good token and a bad one at once", 1, s.poll, bobs, "204 nothing-to-do | 204 token-foreign", s.poll.changes),
	}
	return slices.Clip(table)
}
