package main

import (
	"bytes"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// The device of the index, and what its manifests bring.
var (
	vendor = uuid.NewSHA1(uuid.NameSpaceDNS, []byte("example.com"))
	class  = uuid.NewSHA1(vendor, []byte("thermostat rev 2"))

	staging = suit.ComponentID{[]byte("app"), []byte("hello"), []byte("encrypted")}
	helloID = suit.ComponentID{[]byte("app"), []byte("hello"), []byte("suit")}
	library = suit.ComponentID{[]byte("lib"), []byte("code")}
	libID   = suit.ComponentID{[]byte("lib"), []byte("suit")}
)

const (
	location   = "https://example.com/hello"
	libPayload = "a library\n"
)

// steps is a section of a manifest.
func steps(commands ...suit.Command) suit.Severable {
	return suit.Severable{Sequence: &suit.Sequence{Commands: commands}}
}

func do(code suit.CommandCode) suit.Command {
	return suit.Command{Code: code, Argument: suit.ReportAll}
}

func on(index uint64) suit.Command {
	return suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.Index(index)}
}

func with(p suit.Parameters) suit.Command {
	return suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &p}
}

// image is the digest and the size that a component has to have.
func image(content string) suit.Parameters {
	digest, size := suit.SumSHA256([]byte(content)), uint64(len(content))
	return suit.Parameters{ImageDigest: &digest, ImageSize: &size}
}

func from(uri string) suit.Command { return with(suit.Parameters{URI: &uri}) }

// alternatives is try-each.
func alternatives(sequences ...suit.Sequence) suit.Command {
	return suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: sequences}}
}

func sequenceOf(commands ...suit.Command) suit.Sequence { return suit.Sequence{Commands: commands} }

// update is a manifest for the device, with the image of its first component.
func update(install ...suit.Command) *suit.Manifest {
	return updateOf(payload, []suit.ComponentID{hello}, install...)
}

func updateOf(content string, components []suit.ComponentID, install ...suit.Command) *suit.Manifest {
	p := image(content)
	p.VendorID, p.ClassID = &vendor, &class
	shared := sequenceOf(on(0), with(p), do(suit.ConditionVendorIdentifier), do(suit.ConditionClassIdentifier))
	return &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: 1, ComponentID: helloID,
		Common: suit.Common{Components: components, Shared: &shared},
		Sections: map[suit.Section]suit.Severable{
			suit.SectionInstall:  steps(append([]suit.Command{on(0)}, install...)...),
			suit.SectionValidate: steps(on(0), do(suit.ConditionImageMatch)),
		},
	}
}

var fetched = []suit.Command{from(location), do(suit.DirectiveFetch), do(suit.ConditionImageMatch)}

// written is a component whose image stands in the manifest.
func written(content string) []suit.Command {
	return []suit.Command{with(suit.Parameters{Content: []byte(content)}), do(suit.DirectiveWrite), do(suit.ConditionImageMatch)}
}

// sealed encrypts the payload to those who are given.
func sealed(name string, content cosekit.Algorithm, to ...cosekit.Recipient) (info, ciphertext []byte) {
	var out bytes.Buffer
	info = must(encryption(name, content, to...).Encrypt(&out, bytes.NewReader([]byte(payload))))
	return info, out.Bytes()
}

// decrypted copies what was staged into the component, under the encryption-info.
func decrypted(info, ciphertext []byte) *suit.Manifest {
	m := update(
		on(1), with(image(string(ciphertext))), from(location), do(suit.DirectiveFetch), do(suit.ConditionImageMatch),
		on(0), with(suit.Parameters{EncryptionInfo: info, SourceComponent: ptr(uint64(1))}), do(suit.DirectiveCopy), do(suit.ConditionImageMatch),
	)
	m.Common.Components = []suit.ComponentID{hello, staging}
	return m
}

// encryptedInline writes ciphertext that stands in the manifest.
func encryptedInline(info, ciphertext []byte) *suit.Manifest {
	return update(with(suit.Parameters{Content: ciphertext, EncryptionInfo: info}), do(suit.DirectiveWrite), do(suit.ConditionImageMatch))
}

// libraryManifest installs the library.
func libraryManifest() *suit.Manifest {
	m := updateOf(libPayload, []suit.ComponentID{library}, written(libPayload)...)
	m.ComponentID = libID
	return m
}

// dependentOn is a manifest that brings another along, in front of its own component.
func dependentOn(dependency *suit.Envelope, uri string) *suit.Manifest {
	m := update(append([]suit.Command{on(1), do(suit.DirectiveProcessDependency), on(0)}, written(payload)...)...)
	m.Common.Dependencies = []suit.Dependency{{Index: 1, Prefix: libID}}
	digest := dependency.Digest()
	m.Sections[suit.SectionDependencyResolution] = steps(on(1),
		with(suit.Parameters{ImageDigest: &digest, URI: &uri}), do(suit.DirectiveFetch), do(suit.ConditionDependencyIntegrity))
	m.Sections[suit.SectionValidate] = steps(on(0), do(suit.ConditionImageMatch),
		on(1), with(suit.Parameters{ImageDigest: &digest}), do(suit.ConditionDependencyIntegrity), do(suit.DirectiveProcessDependency))
	return m
}

const dependencyName = "#lib"

func libraryEnvelope() *suit.Envelope { return must(suit.Sign(libraryManifest(), nil, publisherKey)) }

func dependent() *suit.Envelope {
	lib := libraryEnvelope()
	return must(suit.Sign(dependentOn(lib, dependencyName), map[string][]byte{dependencyName: must(lib.Encode(true))}, publisherKey))
}

// bySlot has an image for each of two slots; the second is that of the device.
func bySlot() *suit.Manifest {
	choice := func(slot uint64, content, uri string) suit.Sequence {
		p := image(content)
		p.ComponentSlot, p.URI = &slot, &uri
		return sequenceOf(with(p), do(suit.ConditionComponentSlot))
	}
	m := update(do(suit.DirectiveFetch), do(suit.ConditionImageMatch))
	m.Common.Shared.Commands = append(m.Common.Shared.Commands,
		alternatives(choice(0, "for slot 0", location+"/0"), choice(1, payload, location+"/1")))
	return m
}

// several fetches two components at once, which have their parameters by
// override-multiple, and copies a third.
func several() *suit.Manifest {
	first, second := image(payload), image(libPayload)
	first.URI, second.URI = ptr(location+"/a"), ptr(location+"/b")
	all := suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.IndexList{0, 1}}
	m := updateOf(payload, []suit.ComponentID{hello, library, tool},
		suit.Command{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{0: &first, 1: &second}},
		all, do(suit.DirectiveFetch), do(suit.ConditionImageMatch),
		on(2), suit.Command{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{1: {suit.ParameterImageDigest, suit.ParameterImageSize}}},
		with(suit.Parameters{SourceComponent: ptr(uint64(1))}), do(suit.DirectiveCopy), do(suit.ConditionImageMatch),
	)
	m.Sections[suit.SectionValidate] = steps(on(0), do(suit.ConditionImageMatch),
		on(1), with(image(libPayload)), do(suit.ConditionImageMatch), on(2), with(image(libPayload)), do(suit.ConditionImageMatch))
	return m
}

func updateVector(name, covers string) testvectors.Vector {
	return testvectors.Vector{
		Name: "suit-update/" + name, Kind: testvectors.KindUpdate, Covers: covers, Keys: []string{publisherKey.name},
	}
}

// updates adds envelopes that are processed.
func (s *set) updates() {
	add := func(name, covers string, e *suit.Envelope, change func(*testvectors.Vector)) {
		v := updateVector(name, covers)
		v.Images = map[string]testvectors.Hex{hello.String(): []byte(payload)}
		if change != nil {
			change(&v)
		}
		data := must(e.Encode(true))
		s.valid(v, elementOf(data, keyManifest), data)
	}
	sign := func(m *suit.Manifest, payloads map[string][]byte) *suit.Envelope {
		return must(suit.Sign(m, payloads, publisherKey))
	}
	serve := func(content string) func(*testvectors.Vector) {
		return func(v *testvectors.Vector) { v.Fetch = map[string]testvectors.Hex{location: []byte(content)} }
	}
	holds := func(v *testvectors.Vector, id suit.ComponentID, content string) {
		v.Images[id.String()] = []byte(content)
	}

	add("fetched", "a payload that is fetched", sign(update(fetched...), nil), serve(payload))
	add("integrated", "an integrated payload", sign(update(from("#hello"), do(suit.DirectiveFetch), do(suit.ConditionImageMatch)),
		map[string][]byte{"#hello": []byte(payload)}), nil)
	add("two-signatures", "an integrated payload, under a second signature by somebody else", must(sign(
		update(from("#hello"), do(suit.DirectiveFetch), do(suit.ConditionImageMatch)), map[string][]byte{"#hello": []byte(payload)},
	).Countersign(publisherKeyEd)), nil)
	add("written", "a payload in the manifest", sign(update(written(payload)...), nil), nil)
	add("slot", "try-each with an image for each of two slots", sign(bySlot(), nil), func(v *testvectors.Vector) {
		v.Fetch = map[string]testvectors.Hex{location + "/0": []byte("for slot 0"), location + "/1": []byte(payload)}
	})
	add("several", "three components: override-multiple, a list of indices, copy-params and copy", sign(several(), nil), func(v *testvectors.Vector) {
		v.Fetch = map[string]testvectors.Hex{location + "/a": []byte(payload), location + "/b": []byte(libPayload)}
		holds(v, library, libPayload)
		holds(v, tool, libPayload)
	})
	add("softened", "run-sequence that fails softly, and what comes behind it", sign(update(append([]suit.Command{
		{Code: suit.DirectiveRunSequence, Argument: &suit.Sequence{Commands: []suit.Command{
			with(suit.Parameters{SoftFailure: ptr(true)}), do(suit.ConditionAbort)}}},
	}, written(payload)...)...), nil), nil)
	severedText := update(written(payload)...)
	severedText.Text = suit.Text{"en": {ManifestDescription: "Says hello to the world, which is trusted"}}
	if err := severedText.MakeSeverable(suit.SectionText); err != nil {
		panic(err)
	}
	add("text-severed", "a manifest whose text was severed", must(sign(severedText, nil).Sever(suit.SectionText)), nil)
	dependency := func(v *testvectors.Vector) { holds(v, library, libPayload) }
	add("dependency-integrated", "a dependency, whose envelope is integrated", dependent(), dependency)
	lib := libraryEnvelope()
	add("dependency-fetched", "a dependency, whose envelope is fetched", sign(dependentOn(lib, location), nil), func(v *testvectors.Vector) {
		dependency(v)
		v.Fetch = map[string]testvectors.Hex{location: must(lib.Encode(true))}
	})
	s.encryptedUpdates(add)
	s.refusedUpdates()
}

func (s *set) encryptedUpdates(add func(name, covers string, e *suit.Envelope, change func(*testvectors.Vector))) {
	for _, c := range []struct {
		name, covers string
		content      cosekit.Algorithm
		to           []cosekit.Recipient
		inline       bool
	}{
		{"a128kw-a128gcm", "A128GCM for a secret key (A128KW), written", cosekit.A128GCM, []cosekit.Recipient{deviceKEK.SecretKey}, true},
		{"ecdh-a128gcm", "A128GCM for an agreement key (ECDH-ES+A128KW), written", cosekit.A128GCM, []cosekit.Recipient{deviceECDH.PublicKey()}, true},
		{"ecdh-a128ctr", "A128CTR for an agreement key, fetched and copied", cosekit.A128CTR, []cosekit.Recipient{deviceECDH.PublicKey()}, false},
		{"a128kw-a256ctr", "A256CTR for a secret key, fetched and copied", cosekit.A256CTR, []cosekit.Recipient{deviceKEK.SecretKey}, false},
		{"two-chacha20", "ChaCha20/Poly1305 for a stranger and the device, fetched and copied", cosekit.ChaCha20Poly1305,
			[]cosekit.Recipient{strangerECDH.PublicKey(), deviceECDH.PublicKey()}, false},
	} {
		info, ciphertext := sealed(c.name, c.content, c.to...)
		m := decrypted(info, ciphertext)
		if c.inline {
			m = encryptedInline(info, ciphertext)
		}
		add("encrypted-"+c.name, "a payload that is encrypted: "+c.covers, must(suit.Sign(m, nil, publisherKey)), func(v *testvectors.Vector) {
			v.DecryptionKeys = []string{deviceKEK.name, deviceECDH.name}
			if !c.inline {
				v.Fetch = map[string]testvectors.Hex{location: ciphertext}
				v.Images[staging.String()] = ciphertext
			}
		})
	}
}
