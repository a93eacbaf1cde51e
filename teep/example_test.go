package teep_test

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// A TAM seals an Update; the agent opens it and gets the message out with the TAM's
// key only.
func Example() {
	tam, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		panic(err)
	}
	wire, err := teep.Seal(teep.IANA, &teep.Update{Token: []byte("one-time"), Manifests: [][]byte{{0xa0}}}, tam)
	if err != nil {
		panic(err)
	}

	envelope, err := teep.Open(teep.IANA, wire)
	if err != nil {
		panic(err)
	}
	kid, named := envelope.KeyID()
	fmt.Println(envelope.Kind(), named && kid == tam.PublicKey().Thumbprint())

	message, err := envelope.Verify(tam.PublicKey(), false)
	if err != nil {
		panic(err)
	}
	update := message.(*teep.Update)
	fmt.Printf("%s: %d manifest\n", update.Token, len(update.Manifests))
	// Output:
	// Update true
	// one-time: 1 manifest
}
