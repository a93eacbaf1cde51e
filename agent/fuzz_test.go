package agent_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// FuzzProcessTeepMessage gives the agent arbitrary bytes, as they come and as the
// payload of its own TAM. Whatever they are: it does not panic, an answer is a message
// that its key verifies, a stranger gets none but an Error that names nothing, and a
// refusal leaves the store alone.
func FuzzProcessTeepMessage(f *testing.F) {
	w := newWorld(f)
	release := release{component: "app/hello", sequence: 1, image: "hello", signer: w.publisher}
	for _, m := range []teep.Message{
		query(teep.ItemTrustedComponents), query(teep.ItemAttestation | teep.ItemTrustedComponents),
		w.update(release), w.unlinking("app/hello/suit"), &teep.Update{ErrCode: teep.AttestationRequired, ErrMsg: "no"}, &teep.Success{Token: token},
	} {
		payload, err := teep.Encode(teep.IANA, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload, true)
		f.Add(w.seal(m, w.tam), false)
	}
	addVectors(f)
	f.Fuzz(func(t *testing.T, data []byte, signed bool) {
		w.t, w.events = t, nil
		wire := data
		if signed {
			var err error
			if wire, err = cosekit.Sign1(w.tam, data, cosekit.Form{}); err != nil {
				t.Skip("not signable")
			}
		}
		files := w.tree("index")
		answer, err := w.deliver(wire)
		if answer == nil && err == nil {
			t.Fatal("neither answer nor reason")
		}
		if errors.Is(err, agent.ErrRefused) || errors.Is(err, agent.ErrUntrustedTAM) || errors.Is(err, agent.ErrReplayed) {
			if w.tree("index") != files {
				t.Fatalf("the store changed in spite of %v", err)
			}
		}
		if _, refused := answer.(*teep.Error); err != nil && answer != nil && !refused && !errors.As(err, new(*agent.TAMError)) {
			t.Fatalf("%T beside %v", answer, err)
		}
	})
}

// addVectors seeds the published TEEP messages.
func addVectors(f *testing.F) {
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		f.Log("TEEP_VECTORS is not set: no published examples among the seeds")
		return
	}
	for _, family := range []string{"teep", "teep-iana"} {
		err := filepath.WalkDir(filepath.Join(root, family), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) == ".json" {
				return err
			}
			data, err := os.ReadFile(path)
			f.Add(data, false)
			f.Add(data, true)
			return err
		})
		if err != nil {
			f.Fatal(err)
		}
	}
}
