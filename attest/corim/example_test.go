package corim_test

import (
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
)

// What a maker says of the boot loader of a PSA device, and how an appraisal asks for it.
func Example() {
	d, err := corim.ParseDescription([]byte(`
id: acme/roadrunner
version: 3
statements:
  - about: {class-id: "psa.impl-id:` + strings.Repeat("61", 32) + `", vendor: Acme}
    values:
      - key: BL
        signer: "` + strings.Repeat("ac", 32) + `"
        version: 2.1.0
        digest: "sha-256:` + strings.Repeat("87", 32) + `"
`))
	if err != nil {
		log.Fatal(err)
	}
	made, err := d.Make(nil)
	if err != nil {
		log.Fatal(err)
	}
	// A file that came from somebody else would be signed, and verified here.
	raw, err := made.Encode()
	if err != nil {
		log.Fatal(err)
	}
	file, err := corim.Read(raw)
	if err != nil {
		log.Fatal(err)
	}
	base, err := corim.NewBase([]*corim.File{file}, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	implementation := corim.ID{Kind: corim.KindImplID, Value: []byte(strings.Repeat("a", 32))}
	for _, r := range base.References(corim.Environment{ClassID: implementation}) {
		fmt.Printf("%s %s: %s %x… by %x… (%s)\n", r.Key, r.Version, r.Digests[0].Algorithm, r.Digests[0].Value[:2], r.Signer[:2], r.Source)
	}
	// Output:
	// BL 2.1.0: sha-256 8787… by acac… (acme/roadrunner@3)
}
