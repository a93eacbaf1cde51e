package main

import (
	"bytes"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// fault is a message that must be refused, in a wrapper with nothing wrong.
type fault struct {
	name, covers string
	payload      cosekit.RawMessage
}

func (s *set) refusedMessages(n teep.Numbering) {
	w := wire(n)
	faults := slices.Concat(w.badSizes(), w.badFields(), w.badStructure())
	if n == teep.IANA {
		// These have little to do with numbers: once is enough.
		faults = slices.Concat(faults, w.badLists(), w.badCBOR())
	}
	for _, f := range faults {
		s.refusedMessage(n, f, testvectors.ReasonMalformed)
	}
	for _, f := range w.unknownTypes() {
		s.refusedMessage(n, f, testvectors.ReasonUnknownType)
	}
	for _, f := range w.contradictions() {
		s.refusedMessage(n, f, testvectors.ReasonProtocol)
	}
}

// refusedMessage signs a message with the key of those who send it.
func (s *set) refusedMessage(n teep.Numbering, f fault, reason testvectors.Reason) {
	signer := agentKey
	if bytes.HasPrefix(f.payload[1:], []byte{tQueryRequest}) || bytes.HasPrefix(f.payload[1:], []byte{tUpdate}) {
		signer = tamKey
	}
	s.refused(messageVector(n, "refused-"+f.name, f.covers, signer), reason, newFrame(signer, f.payload).sign1(signer))
}

func (w wire) badSizes() []fault {
	success := func(size int) cosekit.RawMessage { return w.success(w.label(lToken), []byte(long(size))) }
	request := func(size int) cosekit.RawMessage { return w.request(1, lChallenge, []byte(long(size))) }
	failure := func(option, size int) cosekit.RawMessage { return w.failure(1, w.label(option), long(size)) }
	msg := func(size int) cosekit.RawMessage { return w.success(w.label(lMsg), long(size)) }
	return []fault{
		{"token-0", "an empty token", success(0)},
		{"token-7", "a token of 7 bytes, one too few", success(7)},
		{"token-65", "a token of 65 bytes, one too many", success(65)},
		{"challenge-7", "a challenge of 7 bytes, one too few", request(7)},
		{"challenge-513", "a challenge of 513 bytes, one too many", request(513)},
		{"err-msg-0", "an empty err-msg", failure(lErrMsg, 0)},
		{"err-msg-129", "an err-msg of 129 bytes, one too many", failure(lErrMsg, 129)},
		{"err-lang-0", "an empty err-lang", failure(lErrLang, 0)},
		{"err-lang-36", "an err-lang of 36 bytes, one too many", failure(lErrLang, 36)},
		{"msg-0", "an empty msg", msg(0)},
		{"msg-129", "a msg of 129 bytes, one too many", msg(129)},
	}
}

func (w wire) badFields() []fault {
	return []fault{
		{"err-code-0", "an Error with code 0", w.failure(0)},
		{"err-code-0-update", "an Update with err-code 0", w.update(w.label(lErrCode), 0)},
		{"err-code-negative", "an Error with a negative code", w.failure(-1)},
		{"token-text", "a token that is text", w.success(w.label(lToken), "not a byte string")},
		{"token-null", "a token that is null", w.success(w.label(lToken), null)},
		{"msg-bytes", "a msg that is a byte string", w.success(w.label(lMsg), []byte("done"))},
		{"version-large", "a version of more than 32 bits", w.request(2, lVersions, []uint64{1 << 32})},
		{"format-alone", "attestation-payload-format without attestation-payload", w.response(w.label(lFormat), "application/eat+cwt")},
		{"have-binary-alone", "have-binary without tc-manifest-sequence-number",
			w.response(w.label(lRequested), array(mapOf(w.label(lComponent), hello, w.label(lHaveBinary), true)))},
		{"requested-tc-no-component", "a requested-tc-info without component-id",
			w.response(w.label(lRequested), array(mapOf(w.label(lSequence), 1)))},
		{"requested-tc-unknown-member", "a requested-tc-info with a member that the standard does not have",
			w.response(w.label(lRequested), array(mapOf(w.label(lComponent), hello, 99, true)))},
		{"tc-no-component", "a tc-list entry without component-id", w.response(w.label(lTCList), array(mapOf(14, 5)))},
		{"tc-no-property", "a tc-list entry without a property", w.response(w.label(lTCList), array(mapOf(0, hello)))},
		{"tc-digest-31", "a tc-list entry with a SHA-256 digest of 31 bytes",
			w.response(w.label(lTCList), array(mapOf(0, hello, 3, cosekit.MustMarshal([]any{int(suit.SHA256), []byte(long(31))}))))},
		{"component-text", "a component identifier of text strings", w.response(w.label(lUnneeded), array(array("app", "old")))},
	}
}

func (w wire) badLists() []fault {
	request := func(suites, profiles any) cosekit.RawMessage {
		return array(tQueryRequest, mapOf(w.label(lToken), token), suites, profiles, 2)
	}
	return []fault{
		{"manifest-list-empty", "an empty manifest-list", w.update(w.label(lManifests), array())},
		{"manifest-list-map", "a manifest-list that is a map", w.update(w.label(lManifests), mapOf())},
		{"manifest-list-arrays", "a manifest-list whose envelope is not in a byte string",
			w.update(w.label(lManifests), array(cosekit.RawMessage(bare(byURI()))))},
		{"cipher-suites-empty", "no cipher suite", request(array(), profiles)},
		{"cipher-suite-empty", "a cipher suite without operations", request(array(array()), profiles)},
		{"operation-3", "an operation of three elements", request(array(array(array(18, -9, 0))), profiles)},
		{"profiles-empty", "no SUIT COSE profile", request(suites, array())},
		{"profile-3", "a SUIT COSE profile of three algorithms", request(suites, array(array(-16, -9, -29)))},
	}
}

func (w wire) badStructure() []fault {
	faults := []fault{
		{"empty", "an empty array", array()},
		{"map", "a map in place of the array", mapOf(w.kind(tSuccess), mapOf())},
		{"no-options", "an array of the type only", array(w.kind(tSuccess))},
		{"options-array", "options that are an array", array(w.kind(tSuccess), array())},
		{"option-label-text", "an option whose label is text", w.success("token", token)},
		{"option-label-negative", "an option with a negative label", w.success(-1, token)},
		{"type-text", "a message type that is text", array("success", mapOf())},
		{"error-no-code", "an Error without its code", array(w.kind(tError), mapOf())},
		{"success-extra", "a Success with a third element", array(w.kind(tSuccess), mapOf(), 1)},
		{"request-no-items", "a QueryRequest without data-item-requested",
			array(tQueryRequest, mapOf(w.label(lToken), token), suites, profiles)},
		{"request-items-negative", "a QueryRequest with a negative data-item-requested", w.request(-1, w.label(lToken), token)},
	}
	if w == wire(teep.IANA) {
		return append(faults, fault{"numbering-success", "a Success of the drafts before the registry: type 5 is Error here", wire(teep.PreIANA).success()})
	}
	return append(faults, fault{"numbering-error", "an Error of the registry: type 5 is Success here", wire(teep.IANA).failure(1)})
}

func (w wire) unknownTypes() []fault {
	faults := []fault{
		{"type-0", "message type 0", array(0, mapOf())},
		{"type-7", "message type 7", array(7, mapOf())},
	}
	if w == wire(teep.IANA) {
		return append(faults, fault{"numbering-error", "an Error of the drafts before the registry: there is no type 6 here", wire(teep.PreIANA).failure(1)})
	}
	return append(faults, fault{"numbering-success", "a Success of the registry: there is no type 4 here", wire(teep.IANA).success()})
}

// contradictions are QueryRequests against section 4.2 of the standard, which wants
// either a token or the attestation bit.
func (w wire) contradictions() []fault {
	return []fault{
		{"token-and-attestation", "a token beside the attestation bit", w.request(1, lChallenge, challenge, w.label(lToken), token)},
		{"no-token-no-attestation", "neither token nor attestation bit", w.request(2)},
		{"challenge-no-attestation", "a challenge without the attestation bit", w.request(2, lChallenge, challenge, w.label(lToken), token)},
		{"freshness-no-attestation", "freshness mechanisms without the attestation bit",
			w.request(2, w.label(lToken), token, w.label(lFreshness), array(0))},
	}
}

// badCBOR are messages that strict CBOR does not have (RFC 8949), at the level of the
// message and below.
func (w wire) badCBOR() []fault {
	good := w.success(w.label(lToken), token)
	raw := func(item ...byte) cosekit.RawMessage { return item }
	label := encode(w.label(lToken))
	return []fault{
		{"trailing-byte", "a byte behind the message", append(slices.Clone(good), 0)},
		{"truncated", "a message without its last byte", good[:len(good)-1]},
		{"duplicate-option", "the same option twice", w.success(w.label(lToken), token, w.label(lToken), token)},
		{"duplicate-unknown", "the same unknown option twice", w.success(99, 1, 99, 2)},
		{"duplicate-nested", "the same key twice in a tc-list entry", w.response(w.label(lTCList), array(mapOf(0, hello, 14, 5, 14, 6)))},
		{"long-label", "a label in more bytes than it needs, which could hide a duplicate",
			w.success(append(raw(0x19, 0), label[len(label)-1]), token)},
		{"indefinite-array", "a message of indefinite length", slices.Concat(raw(0x9f), good[1:], raw(0xff))},
		{"indefinite-options", "options of indefinite length", slices.Concat(good[:2], raw(0xbf), good[3:], raw(0xff))},
		{"indefinite-token", "a token in chunks",
			w.success(w.label(lToken), slices.Concat(raw(0x5f), raw(encode(token[:16])...), raw(encode(token[16:])...), raw(0xff)))},
		{"not-utf8", "a msg that is not UTF-8", w.success(w.label(lMsg), raw(0x61, 0xff))},
		{"reserved-simple", "a reserved simple value", w.success(99, raw(0xf8, 0x18))},
		{"reserved-head", "a reserved additional information", w.success(99, raw(0x1c))},
		{"depth-bomb", "arrays nested 40 deep in an unknown option", w.success(99, append(cosekit.RawMessage(bytes.Repeat([]byte{0x81}, 40)), 0))},
		{"element-bomb", "an array that claims four thousand million elements", w.success(99, raw(0x9a, 0xff, 0xff, 0xff, 0xff))},
		{"pair-bomb", "a map that claims 2^63 pairs", w.success(99, raw(0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0))},
		{"size-bomb", "a byte string that claims 2^63 bytes", w.success(99, raw(0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0))},
	}
}
