package main

import (
	"slices"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// badUpdate is a well-formed and signed manifest that must not be carried out.
type badUpdate struct {
	name, covers string
	reason       testvectors.Reason
	manifest     *suit.Manifest
	change       func(*testvectors.Vector)
}

func (s *set) refusedUpdates() {
	for _, u := range append(badCommands(), badImages()...) {
		v := updateVector("refused-"+u.name, u.covers)
		if u.change != nil {
			u.change(&v)
		}
		s.refused(v, u.reason, must(must(suit.Sign(u.manifest, nil, publisherKey)).Encode(true)))
	}
	s.refusedDependencies()
}

// badCommands ask for what the device cannot do, does not understand, or what no device
// may do.
func badCommands() []badUpdate {
	const (
		command   = testvectors.ReasonCommandUnsupported
		parameter = testvectors.ReasonParameterUnsupported
		condition = testvectors.ReasonConditionFailed
		operation = testvectors.ReasonOperationFailed
	)
	behind := func(commands ...suit.Command) *suit.Manifest { return update(append(written(payload), commands...)...) }
	raw := func(code suit.CommandCode) suit.Command {
		return suit.Command{Code: code, Argument: suit.Raw(encode(15))}
	}
	other := uuid.NewSHA1(vendor, []byte("another class"))
	wrongClass := update(written(payload)...)
	wrongClass.Common.Shared.Commands[1].Argument.(*suit.Parameters).ClassID = &other
	nobody := update(written(payload)...)
	nobody.Common.Shared.Commands = nobody.Common.Shared.Commands[:2]
	effects := update(written(payload)...)
	effects.Common.Shared.Commands = append(effects.Common.Shared.Commands, from(location), do(suit.DirectiveFetch))
	version := update(written(payload)...)
	version.Version = 2
	nested := sequenceOf(do(suit.ConditionAbort))
	for range suit.MaxSequenceDepth - 1 {
		inner := nested
		nested = sequenceOf(alternatives(inner, inner))
	}
	unnamed := several()
	unnamed.Sections[suit.SectionInstall] = steps(unnamed.Sections[suit.SectionInstall].Sequence.Commands[1:]...)
	severedInstall := update(slices.Concat(fetched, fetched)...)
	if err := severedInstall.MakeSeverable(suit.SectionInstall); err != nil {
		panic(err)
	}
	severedInstall.Sections[suit.SectionInstall] = suit.Severable{Digest: severedInstall.Sections[suit.SectionInstall].Digest}
	return []badUpdate{
		{"version-2", "a manifest of version 2", testvectors.ReasonCBORParse, version, nil},
		{"class", "a manifest for another class of devices", condition, wrongClass, nil},
		{"no-class", "a manifest that does not say which devices it is for", condition, nobody, nil},
		{"command-99", "a command that is not registered, behind good ones", command, behind(raw(99)), nil},
		{"command-256", "command -256, on which the drafts disagree", command, behind(raw(-256)), nil},
		{"command-private", "a private command that the device does not know", command, behind(raw(-4711)), nil},
		{"parameter-99", "a parameter that is not registered", parameter,
			behind(with(suit.Parameters{Other: map[suit.ParameterCode]cosekit.RawMessage{99: encode(1)}})), nil},
		{"index-1", "a component index behind the last one", testvectors.ReasonComponentUnsupported, behind(on(1)), nil},
		{"no-index", "several components, and a section that begins with none of them", operation, unnamed, nil},
		{"abort", "abort behind good commands", condition, behind(do(suit.ConditionAbort)), nil},
		{"try-each", "try-each of which every alternative fails", condition,
			behind(alternatives(sequenceOf(do(suit.ConditionAbort)), sequenceOf(do(suit.ConditionAbort)))), nil},
		{"try-each-deep", "try-each inside of try-each, to the last level, and each fails", condition, behind(nested.Commands...), nil},
		{"soft-failure", "soft-failure outside of try-each and run-sequence", operation,
			behind(with(suit.Parameters{SoftFailure: ptr(true)})), nil},
		{"shared-fetch", "a shared sequence that fetches", command, effects, nil},
		{"use-before", "use-before, on a device without a clock", condition,
			behind(with(suit.Parameters{UseBefore: ptr(uint64(1 << 40))}), do(suit.ConditionUseBefore)), nil},
		{"wait", "wait, on a device that does not know how", command,
			behind(with(suit.Parameters{WaitInfo: &suit.WaitInfo{Power: ptr(int64(1))}}), do(suit.DirectiveWait)), nil},
		{"invoke", "invoke where components are installed", command, behind(do(suit.DirectiveInvoke)), nil},
		{"not-dependency", "process-dependency of a component", operation, behind(do(suit.DirectiveProcessDependency)), nil},
		{"severed", "an install section that was severed and did not come along", testvectors.ReasonSeveringUnsupported, severedInstall, nil},
	}
}

// badImages are of payloads that are not what was signed, or that nobody can check.
func badImages() []badUpdate {
	serve := func(content []byte) func(*testvectors.Vector) {
		return func(v *testvectors.Vector) {
			v.Fetch = map[string]testvectors.Hex{location: content}
			v.DecryptionKeys = []string{deviceKEK.name, deviceECDH.name}
		}
	}
	const (
		condition = testvectors.ReasonConditionFailed
		operation = testvectors.ReasonOperationFailed
	)
	copied := func(source uint64) *suit.Manifest {
		return updateOf(payload, []suit.ComponentID{hello, tool},
			with(suit.Parameters{SourceComponent: &source}), do(suit.DirectiveCopy), do(suit.ConditionImageMatch))
	}
	noCheck := update(fetched[:2]...)
	delete(noCheck.Sections, suit.SectionValidate)
	other := []byte("HELLO, TRUSTED WORLD\n")
	info, ciphertext := sealed("ctr for the device", cosekit.A128CTR, deviceECDH.PublicKey())
	toStranger, strange := sealed("for a stranger", cosekit.A128GCM, strangerECDH.PublicKey(), strangerKEK.SecretKey)
	sealedInfo, changed := sealed("gcm for the device", cosekit.A128GCM, deviceECDH.PublicKey())
	changed[0] ^= 1
	changedCTR := append([]byte{ciphertext[0] ^ 1}, ciphertext[1:]...)
	return []badUpdate{
		{"payload-other", "another payload than the one that was signed", condition, update(fetched...), serve(other)},
		{"payload-longer", "a payload that goes on behind its image-size", operation, update(fetched...), serve([]byte(payload + "!"))},
		{"payload-shorter", "a payload that ends early", condition, update(fetched...), serve([]byte(payload[:5]))},
		{"payload-gone", "a payload that is not there", operation, update(fetched...), nil},
		{"no-uri", "fetch without a URI", operation, update(do(suit.DirectiveFetch), do(suit.ConditionImageMatch)), nil},
		{"not-integrated", "a payload that should be integrated, and is not", operation,
			update(from("#hello"), do(suit.DirectiveFetch), do(suit.ConditionImageMatch)), nil},
		{"unchecked", "a payload that is fetched and never checked", condition, noCheck, serve([]byte(payload))},
		{"content-other", "content that is not what image-digest says", condition, update(written(string(other))...), nil},
		{"copy-itself", "copy of a component into itself", testvectors.ReasonParameterUnsupported, copied(0), nil},
		{"copy-nothing", "copy of a component that has no image", operation, copied(1), nil},
		{"encrypted-stranger", "a payload that is encrypted to somebody else", operation, encryptedInline(toStranger, strange), serve(nil)},
		{"encrypted-gcm-changed", "one bit of an A128GCM ciphertext flipped", operation, encryptedInline(sealedInfo, changed), serve(nil)},
		{"encrypted-ctr-changed", "one bit of an A128CTR ciphertext flipped, whose digest nobody took", condition, encryptedInline(info, changedCTR), serve(nil)},
		{"encrypted-ctr-fetched", "one bit of a fetched ciphertext flipped", condition, decrypted(info, ciphertext), serve(changedCTR)},
	}
}

// refusedDependencies adds trees of which something is wrong.
func (s *set) refusedDependencies() {
	lib := libraryEnvelope()
	refuse := func(name, covers string, reason testvectors.Reason, m *suit.Manifest, brought *suit.Envelope) {
		e := must(suit.Sign(m, map[string][]byte{dependencyName: must(brought.Encode(true))}, publisherKey))
		s.refused(updateVector("refused-dependency-"+name, covers), reason, must(e.Encode(true)))
	}
	const (
		condition = testvectors.ReasonConditionFailed
		operation = testvectors.ReasonOperationFailed
	)
	drop := func(m *suit.Manifest, section suit.Section, code suit.CommandCode) *suit.Manifest {
		var kept []suit.Command
		for _, c := range m.Sections[section].Sequence.Commands {
			if c.Code != code {
				kept = append(kept, c)
			}
		}
		m.Sections[section] = steps(kept...)
		return m
	}
	tree := func() *suit.Manifest { return dependentOn(lib, dependencyName) }

	byStranger := must(suit.Sign(libraryManifest(), nil, strangerKey))
	refuse("stranger", "a dependency signed by a stranger", testvectors.ReasonUnauthorised, tree(), byStranger)
	newer := libraryManifest()
	newer.SequenceNumber++
	refuse("other", "another dependency than the one whose digest was signed", condition, tree(), must(suit.Sign(newer, nil, publisherKey)))
	refuse("unchecked", "a dependency without dependency-integrity", operation,
		drop(tree(), suit.SectionDependencyResolution, suit.ConditionDependencyIntegrity), lib)
	refuse("skipped", "a dependency whose install section is not processed", operation,
		drop(tree(), suit.SectionInstall, suit.DirectiveProcessDependency), lib)
	failing := libraryManifest()
	failing.Sections[suit.SectionValidate] = steps(on(0), do(suit.ConditionImageMatch), do(suit.ConditionAbort))
	broken := must(suit.Sign(failing, nil, publisherKey))
	refuse("fails", "a dependency that fails when it is validated", condition, dependentOn(broken, dependencyName), broken)

	itself := tree()
	itself.Common.Dependencies[0].Prefix = helloID
	refuse("itself", "a manifest that is stored where its dependency is", operation, itself, lib)
	missing := updateVector("refused-dependency-gone", "a dependency that is not there")
	s.refused(missing, operation, must(must(suit.Sign(dependentOn(lib, location), nil, publisherKey)).Encode(true)))
}
