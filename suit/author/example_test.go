package author_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// From a description and a payload to a signed envelope.
func ExampleCreateFrom() {
	d, err := author.Parse([]byte(`
component: app/hello
sequence-number: 1
vendor-domain: example.com
class-info: thermostat rev 2
payload:
  uri-base: https://tam.example.com/payloads
`))
	if err != nil {
		log.Fatal(err)
	}
	m, payloads, err := author.CreateFrom(d, strings.NewReader("hello"))
	if err != nil {
		log.Fatal(err)
	}
	publisher, err := suit.GenerateSigner(suit.Ed25519)
	if err != nil {
		log.Fatal(err)
	}
	envelope, err := suit.Sign(m, payloads, publisher)
	if err != nil {
		log.Fatal(err)
	}
	verified, err := envelope.Verify(suit.KeyList{publisher.PublicKey()}, false)
	if err != nil {
		log.Fatal(err)
	}
	m = verified.Manifest()
	install, _ := m.Section(suit.SectionInstall)
	fmt.Println(m.ComponentID)
	fmt.Println(*install.Commands[0].Argument.(*suit.Parameters).URI)
	// Output:
	// app/hello/suit
	// https://tam.example.com/payloads/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
}

// What a signer would come to regret is refused with the way out.
func ExampleCreateFrom_refused() {
	d := &author.Description{
		Component:      suit.ComponentID{[]byte("app"), []byte("hello")},
		SequenceNumber: 1,
		VendorDomain:   "example.com",
		Payload:        author.Payload{Integrated: true},
	}
	_, _, err := author.CreateFrom(d, strings.NewReader("hello"))
	fmt.Println(err)
	// Output:
	// description not usable: give class-info or class-id: without a class every device of the vendor would install the payload
}

// A payload in the manifest, and what a linter has to say of it without a signature.
func ExampleLint() {
	d, err := author.Parse([]byte(`
components:
  - {id: app/motd, payload: {content: "welcome"}}
  - {id: app/motd/backup, payload: {copy-from: app/motd}}
sequence-number: 1
vendor-domain: example.com
class-info: thermostat rev 2
uninstall: false
`))
	if err != nil {
		log.Fatal(err)
	}
	made, err := author.Create(d)
	if err != nil {
		log.Fatal(err)
	}
	envelope, err := made.Envelope()
	if err != nil {
		log.Fatal(err)
	}
	data, err := envelope.Encode(true)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range author.Lint(data) {
		fmt.Printf("%s: %s: %s\n", f.Severity, f.Rule, f.Text)
	}
	// Output:
	// warning: unsigned: the envelope is not signed
	// warning: no-uninstall: there is no uninstall section
}

// What a device with the first manifest sees of the second one.
func ExampleDiff() {
	make := func(sequence uint64, version, content string) []byte {
		made, err := author.Create(&author.Description{
			Component:      suit.ComponentID{[]byte("app"), []byte("motd")},
			SequenceNumber: sequence, Version: version,
			VendorDomain: "example.com", ClassInfo: "thermostat",
			Payload: author.Payload{Content: content},
		})
		if err != nil {
			log.Fatal(err)
		}
		data, err := made.Manifest.Encode(true)
		if err != nil {
			log.Fatal(err)
		}
		return data
	}
	changes, err := author.Diff(make(4, "1.1", "hello"), make(3, "1.0", "hello!"))
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range changes {
		if c.Kind != "image" {
			fmt.Println(c.Text)
		}
	}
	// Output:
	// the sequence number goes down from 4 to 3: a device that has the first one refuses the second
	// the version is 1.0, that was 1.1
	// the size of app/motd is 6 bytes, that was 5 bytes
}
