package local_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// trusted looks attestation keys up in a store of anchors.
type trusted struct{ store anchor.Store }

func (k trusted) AttestationKey(_ context.Context, key cosekit.Thumbprint) (anchor.Anchor, error) {
	return k.store.Lookup(key, anchor.Attester, time.Now())
}

// A device attests its TEEP key; the TAM appraises that and holds the result against
// the message that it came with.
func Example() {
	attestationKey, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		log.Fatal(err)
	}
	teepKey, err := cosekit.GenerateSigner(cosekit.Ed25519)
	if err != nil {
		log.Fatal(err)
	}
	challenge := []byte("32 random bytes in real life ...")

	// On the device.
	token, err := attest.SignEAT(&attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge,
		UEID: []byte("\x01 sixteen bytes .."), OEMID: cosekit.MustMarshal(32473),
		HWModel: []byte("board"), HWVersion: "1.0",
		Confirmation: attest.Confirmation{Key: teepKey.PublicKey()},
		Manifests:    []attest.ManifestRef{}, // nothing installed yet
		IssuedAt:     time.Now(),
	}, attestationKey)
	if err != nil {
		log.Fatal(err)
	}

	// At the TAM.
	store, err := anchor.NewStore(anchor.Anchor{Key: attestationKey.PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}})
	if err != nil {
		log.Fatal(err)
	}
	verifier := local.New(local.KeysOnly(trusted{store}), local.Options{Skew: 30 * time.Second})
	result, err := verifier.Appraise(context.Background(), attest.Evidence{
		Format: attest.EvidenceMediaType, Payload: token, Challenge: challenge,
	})
	if err != nil {
		log.Fatal(err)
	}
	err = attest.Bind(result, attest.Binding{
		Challenge: challenge, Key: teepKey.PublicKey(), Now: time.Now(), Skew: 30 * time.Second,
	})
	fmt.Println(result.Status, err)
	// Output: affirming <nil>
}
