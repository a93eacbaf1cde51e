package agent_test

import (
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// measured is the digest of the one component in fresh evidence.
func (w *world) measured() suit.Digest {
	w.t.Helper()
	r := must[*teep.QueryResponse](w, query(teep.ItemAttestation|teep.ItemTrustedComponents))
	eat, err := attest.ParseEAT(r.Attestation.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	list := eat.UnverifiedClaims().Measured()
	if len(list) != 1 || !list[0].ImageDigest.Equal(*r.TCList[0].ImageDigest) {
		w.t.Fatalf("evidence has %+v, tc-list %+v", list, r.TCList)
	}
	return *list[0].ImageDigest
}

// TestDamagedComponentIsRepaired: evidence tells what its file holds now, whatever was
// done to it, and the manifest that installed it, or a later one, makes it whole again,
// also after the agent was started anew.
func TestDamagedComponentIsRepaired(t *testing.T) {
	const image = "the application"
	for name, damaged := range map[string]string{"changed": "the implant.....", "emptied": "", "longer": image + " and more"} {
		for repair, sequence := range map[string]uint64{"by the same manifest": 1, "by a later one": 2} {
			t.Run(name+" "+repair, func(t *testing.T) {
				w := newWorld(t)
				install := release{component: "app/hello", sequence: 1, image: image, signer: w.publisher}
				must[*teep.Success](w, w.update(install))
				if !w.measured().Equal(suit.SumSHA256([]byte(image))) {
					t.Fatal("not what was installed")
				}
				w.tamper(image, damaged)
				if !w.measured().Equal(suit.SumSHA256([]byte(damaged))) {
					t.Error("evidence does not tell of the damage")
				}
				install.sequence = sequence
				u := w.update(install)
				u.Token = w.nextToken()
				s := must[*teep.Success](w, u)
				if len(s.SUITReports) != 1 {
					t.Errorf("reports %+v", s)
				}
				if !w.measured().Equal(suit.SumSHA256([]byte(image))) {
					t.Error("not repaired")
				}
				if strings.Contains(w.tree(), damaged) && damaged != "" && !strings.HasPrefix(damaged, image) {
					t.Error("the damaged file is still there")
				}
			})
		}
	}
}

// TestStoreOpensDamaged: a damaged component does not keep the next process from telling.
func TestStoreOpensDamaged(t *testing.T) {
	w := newWorld(t)
	must[*teep.Success](w, w.update(release{component: "app/hello", sequence: 1, image: "whole", signer: w.publisher}))
	w.tamper("whole", "broken")
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := tee.Open(w.dir, processor.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	list, err := store.Installed(t.Context())
	if err != nil || len(list) != 1 || !list[0].Digest.Equal(suit.SumSHA256([]byte("broken"))) {
		t.Errorf("%+v, %v", list, err)
	}
}
