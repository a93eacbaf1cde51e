package processor_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// A device whose components are files in a directory takes a manifest. Package
// agent/tee is the Host; another device implements processor.Host itself.
func Example() {
	publisher, err := suit.GenerateSigner(suit.Ed25519)
	if err != nil {
		log.Fatal(err)
	}
	description, err := author.Parse([]byte(`
component: app/hello
sequence-number: 1
vendor-domain: example.com
class-info: lamp
payload: {content: hello, inline: true}
`))
	if err != nil {
		log.Fatal(err)
	}
	envelope, err := author.Sign(description, publisher)
	if err != nil {
		log.Fatal(err)
	}

	dir, err := os.MkdirTemp("", "device")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	vendor := author.VendorID("example.com")
	store, err := tee.Open(dir, processor.Identity{Vendor: vendor, Class: author.ClassID(vendor, "lamp")})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	verified, err := envelope.Verify(suit.KeyList{publisher.PublicKey()}, false)
	if err != nil {
		log.Fatal(err)
	}
	device := processor.New(processor.Config{Host: store, Limits: processor.DefaultLimits()})
	mayInstall := func(a processor.Access) bool { return a.Component.HasPrefix(suit.ComponentID{[]byte("app")}) }
	outcome, err := device.Update(context.Background(), verified, mayInstall)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range outcome.Components {
		fmt.Println(c.Component, *c.ImageSize, c.ImageDigest)
	}
	// Output:
	// app/hello 5 sha-256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
}
