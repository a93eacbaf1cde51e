package main

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// What the drafts beside the base manifest add to an envelope: post-quantum signatures,
// MACs, and the structures of trust domains, update management and firmware encryption.

const bothSorts = "classical+post-quantum"

func (s *set) family() {
	unsigned := unsignedEnvelope()
	signedBy := func(signers ...key) *suit.Envelope {
		e := must(unsigned.Sign(signers[0]))
		for _, k := range signers[1:] {
			e = must(e.Countersign(k))
		}
		return e
	}
	both := envelopeVector("countersigned", "two signatures, ESP256 and ML-DSA-44; either is enough", publisherKey)
	both.Keys = []string{publisherKey.name, publisherKey44.name}
	rule := both
	rule.Name, rule.Rule = "suit-envelope/countersigned-both", bothSorts
	rule.Covers = "the same for a recipient that wants a signature of each sort"
	authenticated := envelopeVector("mac0", "a COSE_Mac0 in place of a signature", publisherKey)
	authenticated.Keys = []string{publisherMAC.name}
	three := envelopeVector("signed-and-mac", "a signature and a COSE_Mac0; either is enough", publisherKeyEd)
	three.Keys = []string{publisherKeyEd.name, publisherMAC.name}
	for _, v := range []struct {
		vector   testvectors.Vector
		envelope *suit.Envelope
	}{
		{envelopeVector("mldsa44", "a signature with ML-DSA-44", publisherKey44), signedBy(publisherKey44)},
		{envelopeVector("mldsa65", "a signature with ML-DSA-65", publisherKey65), signedBy(publisherKey65)},
		{both, signedBy(publisherKey, publisherKey44)},
		{rule, signedBy(publisherKey, publisherKey44)},
		{authenticated, must(unsigned.Authenticate(publisherMAC.SecretKey))},
		{three, must(signedBy(publisherKeyEd).Authenticate(publisherMAC.SecretKey))},
		{envelopeVector("management", "every parameter and command of update-management, and the texts about versions", publisherKey), management()},
		{envelopeVector("coswid-severed", "a CoSWID that was severed, its digest in the manifest", publisherKey), coswidSevered()},
		{envelopeVector("dependency", "a manifest with a dependency beyond its components, whose envelope is integrated", publisherKey), dependent()},
	} {
		data := must(v.envelope.Encode(true))
		s.valid(v.vector, elementOf(data, keyManifest), data)
	}
	s.refusedFamily(unsigned, signedBy)
}

func unsignedEnvelope() *suit.Envelope {
	m, payloads := build(description())
	return must(suit.NewEnvelope(m, payloads))
}

func (s *set) refusedFamily(unsigned *suit.Envelope, signedBy func(...key) *suit.Envelope) {
	refuse := func(name, covers string, reason testvectors.Reason, rule string, data []byte, names ...string) {
		v := envelopeVector("refused-"+name, covers, publisherKey)
		v.Keys, v.Rule = names, rule
		s.refused(v, reason, data)
	}
	tagged := func(e *suit.Envelope) []byte { return must(e.Encode(true)) }
	wants := "for a recipient that wants a signature of each sort: "
	refuse("rule-classical", wants+"two classical signatures", testvectors.ReasonSignatureRule, bothSorts,
		tagged(signedBy(publisherKey, publisherKeyEd)), publisherKey.name, publisherKeyEd.name, publisherKey44.name)
	refuse("rule-post-quantum", wants+"ML-DSA-44 alone", testvectors.ReasonSignatureRule, bothSorts,
		tagged(signedBy(publisherKey44)), publisherKey.name, publisherKey44.name)
	refuse("rule-stranger", wants+"the classical one is by a stranger", testvectors.ReasonSignatureRule, bothSorts,
		tagged(signedBy(strangerKey, publisherKey44)), publisherKey.name, publisherKey44.name)

	manifest := elementOf(tagged(unsigned), keyManifest)
	crafted := func(k cosekit.Signer, change func(*frame)) []byte {
		e := newEnvelope(manifest)
		e.blocks = []any{e.block(k, change)}
		return e.encode()
	}
	refuse("mldsa44-flipped", "one bit of an ML-DSA-44 signature flipped", testvectors.ReasonSignature, "",
		crafted(publisherKey44, func(f *frame) { f.signature = flipped }), publisherKey44.name)
	refuse("mldsa44-short", "an ML-DSA-44 signature without its last byte", testvectors.ReasonSignature, "",
		crafted(publisherKey44, func(f *frame) { f.signature = func(b []byte) []byte { return b[:len(b)-1] } }), publisherKey44.name)
	refuse("mldsa65-as-44", "an ML-DSA-65 signature under the name ML-DSA-44", testvectors.ReasonAlgorithm, "",
		crafted(publisherKey65, func(f *frame) { f.protected = mapOf(headerAlg, cosekit.MLDSA44) }), publisherKey65.name)

	mac := func(key secretKey, change func([]byte) []byte) []byte {
		e := newEnvelope(manifest)
		e.blocks = []any{change(must(cosekit.Mac0(key.SecretKey, e.digest, cosekit.Form{Detached: true})))}
		return e.encode()
	}
	last := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	refuse("mac0-flipped", "one bit of a MAC flipped", testvectors.ReasonMAC, "", mac(publisherMAC, last), publisherMAC.name)
	other := newSecret("publisher-hmac", cosekit.HMAC256, 32, "")
	other.SecretKey = must(cosekit.NewSecretKey(stated("another secret"), []byte("publisher-hmac")))
	refuse("mac0-other-key", "a MAC by a stranger under the kid of the publisher", testvectors.ReasonMAC, "",
		mac(other, func(b []byte) []byte { return b }), publisherMAC.name)
	attached := newEnvelope(manifest)
	attached.blocks = []any{must(cosekit.Mac0(publisherMAC.SecretKey, attached.digest, cosekit.Form{}))}
	refuse("mac0-attached", "a COSE_Mac0 that carries its payload", testvectors.ReasonMalformed, "", attached.encode(), publisherMAC.name)
	refuse("mac0-for-signature", "a COSE_Mac0, where the recipient has public keys only", testvectors.ReasonUnknownSigner, "",
		mac(publisherMAC, func(b []byte) []byte { return b }), publisherKey.name)
}

func flipped(b []byte) []byte { b[0] ^= 1; return b }

// management has all that update-management adds to a manifest.
func management() *suit.Envelope {
	m, _ := build(description())
	number := int64(42)
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	id := uuid.NewSHA1(uuid.NameSpaceDNS, []byte("creator"))
	match := suit.VersionMatch{Comparison: suit.GreaterOrEqual, Version: []int64{1, 2, -1, 3}}
	p := suit.Parameters{
		UseBefore: ptr(uint64(at.Unix())), MinimumBattery: ptr(uint64(500)), UpdatePriority: ptr(int64(-2)), Version: &match,
		WaitInfo: &suit.WaitInfo{
			Authorization: &number, Power: &number, Network: &number, Time: &at, TimeOfDay: ptr(uint64(86399)), DayOfWeek: ptr(uint64(6)),
			TimeOfDayUTC: ptr(uint64(0)), DayOfWeekUTC: ptr(uint64(0)),
			OtherDevice: &suit.OtherDeviceVersion{Device: []byte("gateway"), Matches: []suit.VersionMatch{match}},
		},
		Metadata: &suit.ComponentMetadata{
			Permissions: ptr(suit.ListRead | suit.WriteExtendedAttributes), FileType: ptr(suit.RegularFile), Modified: &at, Created: &at,
			Users:   []suit.ActorPermissions{{Actor: suit.ActorID{Number: &number}, Permissions: suit.CreateWrite}, {Actor: suit.ActorID{Text: "root"}, Permissions: suit.Delete}},
			Groups:  []suit.ActorPermissions{{Actor: suit.ActorID{Bytes: []byte{7}}, Permissions: 0}},
			Roles:   []suit.ActorPermissions{{Actor: suit.ActorID{UUID: &id}, Permissions: suit.Synchronize}},
			Creator: &suit.ActorID{UUID: &id},
		},
	}
	m.Common.Components = []suit.ComponentID{hello, tool}
	m.SetVersion = []int64{1, 2, 3}
	m.Sections[suit.SectionInstall] = steps(
		on(0), with(p),
		do(suit.ConditionUseBefore), do(suit.ConditionMinimumBattery), do(suit.ConditionUpdateAuthorized), do(suit.ConditionVersion),
		do(suit.ConditionImageNotMatch), do(suit.DirectiveWait),
		suit.Command{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{0: {UpdatePriority: &number}, 1: {ComponentSlot: ptr(uint64(1))}}},
		suit.Command{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{0: {suit.ParameterVersion, suit.ParameterWaitInfo}}},
		do(suit.DirectiveFetch),
	)
	m.Text = suit.Text{"en": {Components: []suit.ComponentText{{Component: hello, VersionRequired: ">=1.2-rc.3", CurrentVersion: "1.2.2"}}}}
	return must(suit.Sign(m, nil, publisherKey))
}

// coswidSevered had a CoSWID, which is gone.
func coswidSevered() *suit.Envelope {
	m, _ := build(description())
	m.CoSWID = mapOf(0, "example.com/hello-1.2.3", 1, "Hello", 12, 0, 13, "1.2.3", 2, mapOf(31, "Example", 33, 1))
	if err := m.MakeSeverable(suit.SectionCoSWID); err != nil {
		panic(err)
	}
	return must(must(suit.Sign(m, nil, publisherKey)).Sever(suit.SectionCoSWID))
}

// badFamilyManifests breaks the rules of the structures that the sister drafts add.
func badFamilyManifests(good []byte) []badManifest {
	const malformed = testvectors.ReasonMalformed
	install := func(commands ...any) []byte {
		return changedMap(good, map[int64]any{keyInstall: []byte(array(commands...))})
	}
	parameter := func(code suit.ParameterCode, value any) []byte {
		return install(int64(suit.DirectiveOverrideParameters), mapOf(int64(code), value))
	}
	inside := func(value any) []byte { return encode(value) }
	common := must(cosekit.Bytes(elements(good)[keyCommon]))
	dependencies := func(value any) []byte {
		return changedMap(good, map[int64]any{keyCommon: changedMap(common, map[int64]any{1: value})})
	}
	version := func(value any) []byte { return parameter(suit.ParameterVersion, inside(value)) }
	wait := func(value any) []byte { return parameter(suit.ParameterWaitInfo, inside(value)) }
	metadata := func(value any) []byte { return parameter(suit.ParameterComponentMetadata, inside(value)) }
	many := make([]any, suit.MaxDependencies+1)
	for i := range many {
		many[i] = mapOf(1, array([]byte{byte(i)}))
	}
	return []badManifest{
		{"version-comparison-6", "a version comparison that is not defined", malformed, version(array(6, array(1)))},
		{"version-empty", "a version match without numbers", malformed, version(array(1, array()))},
		{"version-prerelease-first", "a version that begins with a pre-release", malformed, version(array(1, array(-1, 3)))},
		{"version-bare", "a version match that is not in a byte string", malformed, parameter(suit.ParameterVersion, array(1, array(1)))},
		{"use-before-negative", "use-before in front of 1970", malformed, parameter(suit.ParameterUseBefore, -1)},
		{"priority-text", "an update priority that is text", malformed, parameter(suit.ParameterUpdatePriority, "urgent")},
		{"wait-nothing", "wait-info without an event", malformed, wait(mapOf())},
		{"wait-second-86400", "a time of day after midnight", malformed, wait(mapOf(6, 86400))},
		{"wait-day-7", "an eighth day of the week", malformed, wait(mapOf(7, 7))},
		{"wait-device-alone", "another device without its versions", malformed, wait(mapOf(4, array([]byte("gateway"))))},
		{"metadata-permission-14", "a permission that is not defined", malformed, metadata(mapOf(1, 1<<14))},
		{"metadata-file-type-4", "a file type that is not defined", malformed, metadata(mapOf(5, 4))},
		{"metadata-time-untagged", "a modification time without its tag", malformed, metadata(mapOf(6, 1))},
		{"metadata-nobody", "user permissions without a user", malformed, metadata(mapOf(2, mapOf()))},
		{"metadata-order", "metadata out of deterministic order", malformed, metadata(mapOf(5, 1, 1, 1))},
		{"encryption-info-text", "encryption-info that is text", malformed, parameter(suit.ParameterEncryptionInfo, "secret")},
		{"encryption-info-trailing-byte", "a byte behind the COSE_Encrypt in encryption-info", malformed,
			parameter(suit.ParameterEncryptionInfo, append(encryptionInfo(), 0))},
		{"override-multiple-empty", "override-multiple for no component", malformed, install(34, mapOf())},
		{"override-multiple-nothing", "override-multiple that sets nothing", malformed, install(34, mapOf(0, mapOf()))},
		{"override-multiple-negative", "override-multiple for a negative index", malformed, install(34, mapOf(-1, mapOf(14, 1)))},
		{"copy-params-empty", "copy-params from no component", malformed, install(35, mapOf())},
		{"copy-params-nothing", "copy-params of no parameter", malformed, install(35, mapOf(0, array()))},
		{"dependencies-empty", "an empty map of dependencies", malformed, dependencies(mapOf())},
		{"dependency-negative", "a dependency at a negative index", malformed, dependencies(mapOf(-1, mapOf()))},
		{"dependency-prefix-text", "a dependency whose prefix is text", malformed, dependencies(mapOf(1, mapOf(1, "lib")))},
		{"uninstall-digest", "the digest of the uninstall section, which is not severable", malformed,
			changedMap(good, map[int64]any{int64(suit.SectionUninstall): suit.SumSHA256(good)})},
		{"set-version-text", "set-version that is text", malformed, changedMap(good, map[int64]any{6: []byte(encode("1.2.3"))})},
		{"component-index-list-empty", "a component index that is an empty list", malformed, install(12, array())},
		{"component-index-list-257", "a component index that is a list of 257", testvectors.ReasonLimit,
			install(12, slices.Repeat([]int{0}, suit.MaxComponents+1))},
		{"dependencies-many", "more dependencies than a recipient has to bear", testvectors.ReasonLimit, dependencies(numbered(many))},
	}
}

// numbered is a map from 0, 1, … to the items.
func numbered(items []any) map[int64]any {
	out := map[int64]any{}
	for i, item := range items {
		out[int64(i)] = item
	}
	return out
}

func encryptionInfo() []byte {
	e := encryption("encryption-info", cosekit.A128GCM, deviceKEK.SecretKey)
	return must(e.Encrypt(io.Discard, strings.NewReader(payload)))
}

func ptr[T any](v T) *T { return &v }
