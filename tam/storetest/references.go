package storetest

import (
	"bytes"
	"errors"
	"slices"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/tam"
)

func (s suite) referenceFiles() {
	want := []tam.ReferenceFile{
		referenceFile("a", 0), referenceFile("a", 2), referenceFile("a", 10), referenceFile("a", 1<<64-1), referenceFile("a ☃", 1), referenceFile("b", 1),
	}
	want[5].Raw = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	s.update(func(tx tam.Tx) (err error) {
		for _, f := range slices.Backward(want) {
			err = errors.Join(err, tx.AddReferenceFile(f))
		}
		return err
	})
	for {
		s.view(func(r tam.Reader) error {
			got, err := r.ReferenceFiles()
			s.same("ReferenceFiles", textOf(referenceFileText, got), textOf(referenceFileText, want))
			return err
		})
		if len(want) == 0 {
			break
		}
		gone := want[0]
		want = want[1:]
		known := gone
		known.Raw = []byte("another")
		s.refused("a version that is there", tam.ErrExists, func(tx tam.Tx) error { return tx.AddReferenceFile(known) })
		remove := func(tx tam.Tx) error { return tx.DeleteReferenceFile(gone.ID, gone.Version) }
		s.update(remove)
		s.refused("to delete a file twice", tam.ErrNotFound, remove)
	}
	empty := referenceFile("a", 1)
	empty.Raw = nil
	s.refused("an empty file", nil, func(tx tam.Tx) error { return tx.AddReferenceFile(empty) })
	s.refused("a file without an id", nil, func(tx tam.Tx) error { return tx.AddReferenceFile(referenceFile("", 1)) })
}

func (s suite) deviceCAs() {
	var want []tam.DeviceCA
	for n := range 5 {
		want = append(want, deviceCA(n))
	}
	slices.SortFunc(want, func(a, b tam.DeviceCA) int { return bytes.Compare(a.Fingerprint[:], b.Fingerprint[:]) })
	s.update(func(tx tam.Tx) (err error) {
		for _, ca := range slices.Backward(want) {
			err = errors.Join(err, tx.AddDeviceCA(ca))
		}
		return err
	})
	wanted := func() {
		s.Helper()
		s.view(func(r tam.Reader) error {
			got, err := r.DeviceCAs()
			s.same("DeviceCAs", textOf(deviceCAText, got), textOf(deviceCAText, want))
			return err
		})
	}
	wanted()
	s.refused("a certificate that is there", tam.ErrExists, func(tx tam.Tx) error {
		known := want[0]
		known.Title = "by another name"
		return tx.AddDeviceCA(known)
	})
	remove := func(tx tam.Tx) error { return tx.DeleteDeviceCA(deviceCA(2).Fingerprint) }
	s.update(remove)
	s.refused("to delete a certificate twice", tam.ErrNotFound, remove)
	want = slices.DeleteFunc(want, func(ca tam.DeviceCA) bool { return ca.Fingerprint == deviceCA(2).Fingerprint })
	wanted()

	other := deviceCA(7)
	other.Fingerprint = deviceCA(8).Fingerprint
	s.refused("the fingerprint of another certificate", nil, func(tx tam.Tx) error { return tx.AddDeviceCA(other) })
}

func (s suite) referenceState() int64 {
	s.Helper()
	var state int64
	s.view(func(r tam.Reader) (err error) {
		state, err = r.ReferenceState()
		return err
	})
	return state
}

// The state of the references changes with each of their changes, and with nothing else.
// (What is refused leaves the store as it is, see suite.refused: Dump shows the state.)
func (s suite) referenceStates() {
	attester, signer := trusted(1, anchor.Attester), trusted(2, anchor.TCSigner, anchor.TAM, anchor.Manager)
	for _, step := range []struct {
		what    string
		changes bool
		do      func(tam.Tx) error
	}{
		{"add a file", true, func(tx tam.Tx) error { return tx.AddReferenceFile(referenceFile("a", 1)) }},
		{"delete a file", true, func(tx tam.Tx) error { return tx.DeleteReferenceFile("a", 1) }},
		{"add a CA", true, func(tx tam.Tx) error { return tx.AddDeviceCA(deviceCA(1)) }},
		{"delete a CA", true, func(tx tam.Tx) error { return tx.DeleteDeviceCA(deviceCA(1).Fingerprint) }},
		{"add an attester", true, func(tx tam.Tx) error { return tx.AddAnchor(attester) }},
		{"delete an attester", true, func(tx tam.Tx) error { return tx.DeleteAnchor(attester.Thumbprint()) }},
		{"add a verifier", true, func(tx tam.Tx) error { return tx.AddAnchor(trusted(3, anchor.TAM, anchor.Verifier)) }},
		{"delete a verifier", true, func(tx tam.Tx) error { return tx.DeleteAnchor(publicKey(3).Thumbprint()) }},
		{"add a signer of reference values", true, func(tx tam.Tx) error { return tx.AddAnchor(trusted(4, anchor.ReferenceValues)) }},
		{"delete it", true, func(tx tam.Tx) error { return tx.DeleteAnchor(publicKey(4).Thumbprint()) }},
		{"add a publisher", false, func(tx tam.Tx) error { return tx.AddAnchor(signer) }},
		{"delete a publisher", false, func(tx tam.Tx) error { return tx.DeleteAnchor(signer.Thumbprint()) }},
		{"add a policy", false, func(tx tam.Tx) error { return tx.AddPolicy(policyVersion("a", 1)) }},
		{"put a device", false, func(tx tam.Tx) error { return tx.PutDevice(device(1)) }},
		{"add a file for the next", true, func(tx tam.Tx) error { return tx.AddReferenceFile(referenceFile("a", 1)) }},
		{"try what is refused", false, func(tx tam.Tx) error {
			s.wantError("a known file", tx.AddReferenceFile(referenceFile("a", 1)), tam.ErrExists)
			s.wantError("an unknown file", tx.DeleteReferenceFile("a", 2), tam.ErrNotFound)
			s.wantError("an unknown CA", tx.DeleteDeviceCA(deviceCA(9).Fingerprint), tam.ErrNotFound)
			s.wantError("an unknown anchor", tx.DeleteAnchor(publicKey(9).Thumbprint()), tam.ErrNotFound)
			return nil
		}},
	} {
		before := s.referenceState()
		undone := errors.New("undone")
		s.refused(step.what+", undone", undone, func(tx tam.Tx) error { return errors.Join(step.do(tx), undone) })
		s.update(func(tx tam.Tx) error {
			if err := step.do(tx); err != nil {
				return err
			}
			own, err := tx.ReferenceState()
			if changed := own != before; changed != step.changes {
				s.Errorf("%s: own state %d, before it %d", step.what, own, before)
			}
			return err
		})
		if after := s.referenceState(); after > before != step.changes || after < before {
			s.Errorf("%s: state %d, before it %d", step.what, after, before)
		}
	}
}

// referenceRace changes the references from many goroutines: no two changes make the same
// state, so that whoever keeps what he read under a state never has an old one.
func (s suite) referenceRace() {
	const writers, rounds = 6, 5
	before := s.referenceState()
	together(writers, func(n int) {
		for round := range rounds {
			err := s.store.Update(s.Context(), func(tx tam.Tx) error { return tx.AddDeviceCA(deviceCA(n*rounds + round)) })
			if err != nil {
				s.Error(err)
			}
		}
	})
	together(writers, func(n int) {
		for round := range rounds {
			err := s.store.View(s.Context(), func(r tam.Reader) error { _, err := r.DeviceCAs(); return err })
			if round%2 == 0 {
				err = s.store.Update(s.Context(), func(tx tam.Tx) error { return tx.DeleteDeviceCA(deviceCA(n*rounds + round).Fingerprint) })
			}
			if err != nil {
				s.Error(err)
			}
		}
	})
	const changes = writers * (rounds + (rounds+1)/2)
	if after := s.referenceState(); after != before+changes {
		s.Errorf("state %d after %d changes to %d", after, changes, before)
	}
}

func (s suite) deletedAnchors() {
	gone, left := trusted(1, anchor.TCSigner, anchor.Attester), trusted(2, anchor.Attester)
	s.update(func(tx tam.Tx) error { return errors.Join(tx.AddAnchor(gone), tx.AddAnchor(left)) })
	remove := func(tx tam.Tx) error { return tx.DeleteAnchor(gone.Thumbprint()) }
	s.update(remove)
	s.notFound(map[string]func(tam.Reader) error{
		"deleted anchor": func(r tam.Reader) error { _, err := r.Anchor(gone.Thumbprint()); return err },
	})
	s.view(func(r tam.Reader) error {
		signers, err := r.Anchors(anchor.TCSigner)
		s.same("signers", textOf(anchorText, signers), "")
		attesters, err2 := r.Anchors(anchor.Attester)
		s.same("attesters", textOf(anchorText, attesters), anchorText(left))
		return errors.Join(err, err2)
	})
	s.refused("to delete an anchor twice", tam.ErrNotFound, remove)
	s.update(func(tx tam.Tx) error { return tx.AddAnchor(trusted(1, anchor.Verifier)) })
}
