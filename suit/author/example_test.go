package author_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
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
	publisher, err := cosekit.GenerateSigner(cosekit.Ed25519)
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
