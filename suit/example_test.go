package suit_test

import (
	"fmt"
	"log"

	"github.com/tamarack-tam/tamarack/suit"
)

// manifest installs the integrated payload "#payload" into app/hello.
func manifest(payload []byte) *suit.Manifest {
	digest, size, uri := suit.SumSHA256(payload), uint64(len(payload)), "#payload"
	return &suit.Manifest{
		Version:        suit.ManifestVersion,
		SequenceNumber: 1,
		Common:         suit.Common{Components: []suit.ComponentID{{[]byte("app"), []byte("hello")}}},
		Sections: map[suit.Section]suit.Severable{
			suit.SectionInstall: {Sequence: &suit.Sequence{Commands: []suit.Command{
				{Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{ImageDigest: &digest, ImageSize: &size, URI: &uri}},
				{Code: suit.DirectiveFetch, Argument: suit.ReportAll},
				{Code: suit.ConditionImageMatch, Argument: suit.ReportAll},
			}}},
		},
	}
}

// A publisher signs an envelope, a device verifies it.
func Example() {
	publisher, err := suit.GenerateSigner(suit.ESP256)
	if err != nil {
		log.Fatal(err)
	}
	payload := []byte("hello")
	signed, err := suit.Sign(manifest(payload), map[string][]byte{"#payload": payload}, publisher)
	if err != nil {
		log.Fatal(err)
	}
	file, err := signed.Encode(true)
	if err != nil {
		log.Fatal(err)
	}

	envelope, err := suit.Decode(file)
	if err != nil {
		log.Fatal(err)
	}
	verified, err := envelope.Verify(suit.KeyList{publisher.PublicKey()}, false)
	if err != nil {
		log.Fatal(err)
	}
	m := verified.Manifest()
	fmt.Println(m.Common.Components[0], "sequence number", m.SequenceNumber)
	install, _ := m.Section(suit.SectionInstall)
	for _, command := range install.Commands {
		fmt.Println(command.Code)
	}
	// Output:
	// app/hello sequence number 1
	// override-parameters
	// fetch
	// image-match
}

// Without a key that is trusted there is no way to the manifest.
func ExampleEnvelope_Verify_refused() {
	stranger, err := suit.GenerateSigner(suit.ESP256)
	if err != nil {
		log.Fatal(err)
	}
	envelope, err := suit.Sign(manifest([]byte("hello")), nil, stranger)
	if err != nil {
		log.Fatal(err)
	}
	_, err = envelope.Verify(suit.KeyList{}, false)
	fmt.Println(err)
	// Output:
	// envelope.authentication-wrapper: no signature by an acceptable key: block 0 (COSE_Sign1): the signer is not known
}

// A fault is named by its place in the manifest.
func ExampleDecodeManifest() {
	m := manifest([]byte("hello"))
	m.Sections[suit.SectionInstall].Sequence.Commands[1].Argument = suit.AllComponents{}
	_, err := m.Encode(false)
	fmt.Println(err)
	// Output:
	// manifest.install[1].fetch: malformed: not an unsigned integer
}
