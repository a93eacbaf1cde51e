package main

import (
	"strings"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/testvectors"
)

const payload = "hello, trusted world\n"

// description is of a component that is fetched.
func description() *author.Description {
	return &author.Description{
		Component: hello, SequenceNumber: 3,
		VendorDomain: "example.com", ClassInfo: "thermostat rev 2",
		Payload: author.Payload{URIBase: "https://tam.example.com/payloads"},
	}
}

func build(d *author.Description) (*suit.Manifest, map[string][]byte) {
	m, payloads, err := author.CreateFrom(d, strings.NewReader(payload))
	if err != nil {
		panic(err)
	}
	return m, payloads
}

func byURI() *suit.Envelope { return envelopeOf(description(), publisherKey) }

func integrated() *suit.Envelope {
	d := description()
	d.Payload = author.Payload{Integrated: true}
	return envelopeOf(d, publisherKey)
}

func envelopeOf(d *author.Description, signer cosekit.Signer) *suit.Envelope {
	m, payloads := build(d)
	return must(suit.Sign(m, payloads, signer))
}

// full has every element that a description can have.
func full() *suit.Envelope {
	d := description()
	d.DeviceID = uuid.NewSHA1(uuid.NameSpaceDNS, []byte("device"))
	d.Version, d.ReferenceURI = "1.2-rc.3", "https://example.com/hello.suit"
	d.Text = map[string]author.Text{
		"en": {Manifest: "Hello", Update: "Says hello", Component: "A greeting", VendorName: "Example", ModelName: "Thermostat"},
		"de": {Update: "Grüßt"},
	}
	return envelopeOf(d, publisherKey)
}

// severable has its install section and its text in the envelope, their digests in
// the manifest.
func severable() *suit.Envelope {
	m := must(full().UnverifiedManifest())
	encoded := elements(must(m.Encode(false)))
	install, text := suit.SumSHA256(encoded[int64(suit.SectionInstall)]), suit.SumSHA256(encoded[keyText])
	m.Sections[suit.SectionInstall] = suit.Severable{Sequence: m.Sections[suit.SectionInstall].Sequence, Digest: &install}
	m.TextDigest = &text
	return must(suit.Sign(m, nil, publisherKey))
}

// commands has every kind of argument that a command can have.
func commands() *suit.Envelope {
	m, _ := build(description())
	m.Common.Components = []suit.ComponentID{hello, tool}
	uri, slot, soft := "https://example.com/a", uint64(1), true
	sequence := func(commands ...suit.Command) suit.Sequence { return suit.Sequence{Commands: commands} }
	abort := suit.Command{Code: suit.ConditionAbort, Argument: suit.RecordOnFailure}
	retry := sequence(
		suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{URI: &uri, SoftFailure: &soft, ComponentSlot: &slot}},
		suit.Command{Code: suit.DirectiveFetch, Argument: suit.ReportAll},
	)
	all := sequence(
		suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.IndexList{0, 1}},
		suit.Command{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{retry, sequence(abort)}, Optional: true}},
		suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.AllComponents{}},
		suit.Command{Code: suit.DirectiveRunSequence, Argument: &retry},
		suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.Index(1)},
		suit.Command{Code: -4711, Argument: suit.Raw(cosekit.MustMarshal("custom"))},
	)
	unlink := sequence(suit.Command{Code: suit.DirectiveUnlink, Argument: suit.Policy(0)})
	invoke := sequence(suit.Command{Code: suit.DirectiveInvoke, Argument: suit.SysinfoOnFailure})
	m.Sections[suit.SectionInstall] = suit.Severable{Sequence: &all}
	m.Sections[suit.SectionInvoke] = suit.Severable{Sequence: &invoke}
	m.Sections[suit.SectionUninstall] = suit.Severable{Sequence: &unlink}
	m.Extensions = map[int64]cosekit.RawMessage{4711: cosekit.MustMarshal("unknown element")}
	return must(suit.Sign(m, nil, publisherKey))
}

// smallManifest installs nothing and checks what is there.
func smallManifest() []byte {
	m := &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: 3,
		Common: suit.Common{Components: []suit.ComponentID{hello}},
		Sections: map[suit.Section]suit.Severable{suit.SectionValidate: {Sequence: &suit.Sequence{
			Commands: []suit.Command{{Code: suit.ConditionImageMatch, Argument: suit.ReportAll}},
		}}},
	}
	return must(m.Encode(false))
}

// bare is an envelope as it goes into an Update, without tag 107.
func bare(e *suit.Envelope) []byte { return must(e.Encode(false)) }

func (s *set) envelopes() {
	for _, e := range []struct {
		name, covers string
		key          key
		data         []byte
	}{
		{"integrated", "an envelope with an integrated payload", publisherKey, must(integrated().Encode(true))},
		{"by-uri", "an envelope whose payload is fetched from a URI", publisherKey, must(byURI().Encode(true))},
		{"untagged", "an envelope without tag 107, as in an Update", publisherKey, bare(byURI())},
		{"ed25519", "an envelope signed with Ed25519", publisherKeyEd, must(envelopeOf(description(), publisherKeyEd).Encode(true))},
		{"full", "a manifest with device-id, reference-uri, manifest-component-id, set-version and text", publisherKey, must(full().Encode(true))},
		{"severable", "install and text in the envelope, their digests in the manifest", publisherKey, must(severable().Encode(true))},
		{"severed", "install and text cut off, the signature still good", publisherKey, severed(must(severable().Encode(true)))},
		{"commands", "every kind of argument that a command can have, an unknown command and an unknown element", publisherKey, must(commands().Encode(true))},
	} {
		s.valid(envelopeVector(e.name, e.covers, e.key), elementOf(e.data, keyManifest), e.data)
	}
	s.goodBlocks()
	s.family()
	s.refusedEnvelopes()
}

func envelopeVector(name, covers string, k key) testvectors.Vector {
	return testvectors.Vector{
		Name: "suit-envelope/" + name, Kind: testvectors.KindEnvelope, Covers: covers, Keys: []string{k.name},
	}
}
