package tam_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/storetest"
	"github.com/tamarack-tam/tamarack/teep"
)

// FuzzProcessTeepMessage sends what nobody has signed for a registered agent: it
// never is a fault of the TAM, and never changes anything.
func FuzzProcessTeepMessage(f *testing.F) {
	w := newWorld(f, routed, func(c *tam.Config) { c.DecryptionKeys.Agreements = []cosekit.AgreementKey{agreementKey(f)} })
	d := w.device(cosekit.ESP256).enrol()
	stranger := w.device(cosekit.Ed25519)
	q := d.connect()
	f.Add(stranger.seal(&teep.QueryResponse{Token: q.Token}))
	f.Add(stranger.seal(&teep.QueryResponse{Attestation: stranger.evidence(make([]byte, 32))}))
	plain := stranger.evidence(make([]byte, 32))
	plain.Payload = sealedTo(f, w.cfg.DecryptionKeys.Agreements[0], cosekit.EATEncryption, cosekit.A128GCM, plain.Payload)
	f.Add(stranger.seal(&teep.QueryResponse{Attestation: plain}))
	f.Add(stranger.seal(&teep.QueryResponse{Attestation: stranger.bundle(localtest.NewPSA("one"), make([]byte, 32))}))
	for _, form := range []ear.Form{ear.FormTEEP, ear.FormCWT, ear.FormJWT} {
		f.Add(stranger.seal(&teep.QueryResponse{Attestation: (&verifier{w, w.attester}).issue(stranger, form, make([]byte, 32))}))
	}
	f.Add(stranger.seal(demand(q.Token, make([]byte, 32))))
	f.Add(stranger.seal(&teep.Error{Code: teep.PermanentError}))
	f.Add(stranger.seal(&teep.Success{Token: q.Token}))
	addVectors(f)
	before := w.dump()
	f.Fuzz(func(t *testing.T, wire []byte) {
		for _, n := range []teep.Numbering{teep.IANA, teep.PreIANA} {
			ep := &tam.Endpoint{Path: "/tam", Numbering: n, LegacyAlgorithms: true}
			if _, err := w.tam.ProcessTeepMessage(t.Context(), ep, wire); err != nil {
				t.Fatal(err)
			}
		}
		if after := storetest.Dump(t, w.store); after != before {
			t.Fatalf("the store changed:\n%s", after)
		}
	})
}

// addVectors adds the published TEEP messages, where they are at hand.
func addVectors(f *testing.F) {
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		f.Log("TEEP_VECTORS is not set: seeded with own messages only")
		return
	}
	for _, family := range []string{"teep", "teep-iana"} {
		files, err := filepath.Glob(filepath.Join(root, family, "*"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no vectors in %s: %v", family, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				continue // a folder
			}
			if !json.Valid(data) {
				f.Add(data)
			}
		}
	}
}
