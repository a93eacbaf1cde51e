package agent_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
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

// FuzzTAMAttestation gives an agent that demands it arbitrary attestation of its TAM: it is
// not believed, nothing is answered, and the next session is as good as new.
func FuzzTAMAttestation(f *testing.F) {
	w := newWary(f)
	for _, p := range []*teep.AttestationPayload{evidence(f, w.claims(challenge), w.attester), w.result(w.claims(challenge), w.verifier)} {
		f.Add(p.Format, p.Payload)
	}
	f.Add(`application/eat+jwt; eat_profile="`+attest.ProfileEAR03+`"`, []byte("eyJhbGciOiJub25lIn0.e30."))
	f.Fuzz(func(t *testing.T, format string, payload []byte) {
		w.t, w.events = t, nil
		q := query(teep.ItemTrustedComponents)
		w.agent.Begin()
		w.demanded(q)
		q.Attestation = &teep.AttestationPayload{Format: format, Payload: payload}
		wire, err := teep.Seal(w.numbering, q, w.tam)
		if err != nil {
			t.Skip("no message")
		}
		if answer, err := w.deliver(wire); answer != nil || !errors.Is(err, agent.ErrTAMAttestation) {
			t.Fatalf("answer %+v, %v", answer, err)
		}
	})
}

// FuzzPassport passes arbitrary results back: the Update succeeds, and what an agent that
// trusts no verifier keeps is what came; one that trusts another keeps nothing.
func FuzzPassport(f *testing.F) {
	worlds := map[bool]*wary{true: newTraveller(f, true), false: newTraveller(f, false)}
	stranger := newTraveller(f, false)
	f.Add("", stranger.result(stranger.about(), stranger.verifier).Payload)
	f.Add(`application/eat+jwt; eat_profile="`+attest.ProfileEAR03+`"`, []byte("eyJhbGciOiJub25lIn0.e30."))
	var count uint64
	f.Fuzz(func(t *testing.T, format string, payload []byte) {
		for unread, w := range worlds {
			w.t, w.events = t, nil
			count++
			u := &teep.Update{Token: binary.BigEndian.AppendUint64(nil, count), Attestation: &teep.AttestationPayload{Format: format, Payload: payload}}
			wire, err := teep.Seal(w.numbering, u, w.tam)
			if err != nil {
				t.Skip("no message")
			}
			answer, err := w.deliver(wire)
			s, ok := answer.(*teep.Success)
			if !ok || err != nil {
				t.Fatalf("answer %+v, %v", answer, err)
			}
			kept, err := w.store.Papers()
			if err != nil || s.Msg == "" && (!unread || !bytes.Equal(kept.Passport.Payload, payload)) {
				t.Fatalf("said %q, kept %+v, %v", s.Msg, kept.Passport, err)
			}
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
