package storetest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

func (s suite) manifests() {
	envelope := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // bigger than most, once
	for n, c := range oddComponents {
		want := manifest(n, c, uint64(n))
		want.Targets = append(want.Targets, tam.Target{Component: component("b"), ImageDigest: digest(1)})
		want.Size = int64(len(envelope))
		s.update(func(tx tam.Tx) error { return tx.AddManifest(want, envelope) })
		s.view(func(r tam.Reader) error {
			got, err := r.Manifest(want.Digest)
			s.same("Manifest", manifestText(got), manifestText(want))
			kept, err2 := r.Envelope(want.Digest)
			if !bytes.Equal(kept, envelope) {
				s.Errorf("envelope of %d bytes comes back different, with %d", len(envelope), len(kept))
			}
			return errors.Join(err, err2)
		})
		envelope = []byte{0, byte(n)}
	}
	s.composedManifest()
	other := suit.Digest{Algorithm: suit.SHAKE128, Bytes: digest(1).Bytes}
	s.notFound(map[string]func(tam.Reader) error{
		"unknown manifest":            func(r tam.Reader) error { _, err := r.Manifest(digest(99)); return err },
		"unknown envelope":            func(r tam.Reader) error { _, err := r.Envelope(digest(99)); return err },
		"manifest of other algorithm": func(r tam.Reader) error { _, err := r.Manifest(other); return err },
		"envelope of other algorithm": func(r tam.Reader) error { _, err := r.Envelope(other); return err },
		"zero digest":                 func(r tam.Reader) error { _, err := r.Manifest(suit.Digest{}); return err },
	})
}

// A manifest is found by its dependencies, and comes back with them and its signatures.
func (s suite) composedManifest() {
	want := composed(50, component("app"), 50)
	s.update(func(tx tam.Tx) error { return tx.AddManifest(want, []byte("env")) })
	s.view(func(r tam.Reader) error {
		got, err := r.Manifest(want.Digest)
		s.same("Manifest with dependencies", manifestText(got), manifestText(want))
		for _, d := range want.Dependencies {
			list, err2 := r.ManifestsFor(d.Component, 1)
			s.same("ManifestsFor a dependency", textOf(manifestText, list), manifestText(want))
			err = errors.Join(err, err2)
		}
		return err
	})
}

func (s suite) manifestRefusals() {
	known := manifest(1, component("a"), 5)
	s.update(func(tx tam.Tx) error { return tx.AddManifest(known, []byte("env")) })
	sameDigest := manifest(1, component("b"), 6)
	sameSequence := manifest(2, component("a"), 5)
	add := func(m tam.Manifest, envelope string) func(tam.Tx) error {
		return func(tx tam.Tx) error { return tx.AddManifest(m, []byte(envelope)) }
	}
	s.refused("the digest of another", tam.ErrExists, add(sameDigest, "env"))
	s.refused("the sequence number of another", tam.ErrExists, add(sameSequence, "env"))
	s.refused("no envelope", nil, add(manifest(3, component("c"), 1), ""))
	s.refused("no digest", nil, add(tam.Manifest{Component: component("c")}, "env"))

	// A refusal leaves the transaction usable, and nothing of what was refused.
	fine := manifest(4, component("b"), 5)
	s.update(func(tx tam.Tx) error {
		s.wantError("known sequence number", tx.AddManifest(sameSequence, []byte("env")), tam.ErrExists)
		return tx.AddManifest(fine, []byte("env"))
	})
	s.view(func(r tam.Reader) error {
		for _, m := range []tam.Manifest{known, fine} {
			got, err := r.ManifestsFor(m.Component, 10)
			if err != nil {
				return err
			}
			s.same("ManifestsFor", textOf(manifestText, got), manifestText(m))
		}
		return nil
	})
	s.notFound(map[string]func(tam.Reader) error{
		"refused envelope": func(r tam.Reader) error { _, err := r.Envelope(sameSequence.Digest); return err },
	})
}

func (s suite) manifestsFor() {
	lib := component("lib")
	var added []tam.Manifest
	for n, sequence := range []uint64{3, 1<<64 - 1, 0, 256, 255, 1 << 63} {
		added = append(added, manifest(n, component("app"), sequence))
	}
	added[0].Targets = append(added[0].Targets, tam.Target{Component: lib, ImageDigest: digest(1)}, tam.Target{Component: lib, ImageDigest: digest(2)})
	added = append(added, manifest(20, lib, 4))
	added[6].Targets = nil
	s.update(func(tx tam.Tx) error {
		for _, m := range added {
			if err := tx.AddManifest(m, []byte("env")); err != nil {
				return err
			}
		}
		return nil
	})
	want := []tam.Manifest{added[1], added[5], added[3], added[4], added[0], added[2]}
	s.view(func(r tam.Reader) error {
		for _, limit := range []int{1, 4, 6, 100} {
			got, err := r.ManifestsFor(component("app"), limit)
			if err != nil {
				return err
			}
			s.same("ManifestsFor its component", textOf(manifestText, got), textOf(manifestText, want[:min(limit, len(want))]))
		}
		got, err := r.ManifestsFor(lib, 10)
		s.same("ManifestsFor a target", textOf(manifestText, got), textOf(manifestText, []tam.Manifest{added[6], added[0]}))
		latest, err3 := r.LatestManifest(lib)
		s.same("LatestManifest, whatever else installs it", manifestText(latest), manifestText(added[6]))
		latest, err4 := r.LatestManifest(added[0].Component)
		s.same("LatestManifest", manifestText(latest), manifestText(added[1]))
		_, err5 := r.LatestManifest(suit.ComponentID{[]byte("app")})
		s.wantError("LatestManifest of a prefix", err5, tam.ErrNotFound)
		none, err2 := r.ManifestsFor(suit.ComponentID{[]byte("app")}, 10)
		s.same("ManifestsFor a prefix", textOf(manifestText, none), "")
		return errors.Join(err, err2, err3, err4)
	})
	s.badLimits("ManifestsFor", func(r tam.Reader, limit int) error { _, err := r.ManifestsFor(lib, limit); return err })
}

func (s suite) manifestPages() {
	var want []tam.Manifest
	for n := range 11 {
		m := manifest(n, component("app"), uint64(n))
		s.update(func(tx tam.Tx) error { return tx.AddManifest(m, []byte("env")) })
		want = append(want, m)
	}
	slices.SortFunc(want, func(a, b tam.Manifest) int { return bytes.Compare(a.Digest.Bytes, b.Digest.Bytes) })
	var got []tam.Manifest
	s.view(func(r tam.Reader) error {
		for after := ""; ; after = hex.EncodeToString(got[len(got)-1].Digest.Bytes) {
			page, err := r.Manifests(tam.Page{After: after, Limit: 4})
			if err != nil || len(page) == 0 {
				return err
			}
			got = append(got, page...)
		}
	})
	s.same("Manifests", textOf(manifestText, got), textOf(manifestText, want))
	s.badLimits("Manifests", func(r tam.Reader, limit int) error { _, err := r.Manifests(tam.Page{Limit: limit}); return err })
	s.view(func(r tam.Reader) error {
		_, err := r.Manifests(tam.Page{After: "not hexadecimal", Limit: 1})
		s.wantError("a cursor that is none", err, nil)
		return nil
	})
}

func (s suite) anchors() {
	both, plain := trusted(1, anchor.TCSigner, anchor.Attester), anchor.Anchor{Key: publicKey(2), Purposes: []anchor.Purpose{anchor.Attester}}
	s.update(func(tx tam.Tx) error { return errors.Join(tx.AddAnchor(both), tx.AddAnchor(plain)) })
	sorted := []anchor.Anchor{both, plain}
	slices.SortFunc(sorted, func(a, b anchor.Anchor) int {
		x, y := a.Key.Thumbprint(), b.Key.Thumbprint()
		return bytes.Compare(x[:], y[:])
	})
	s.view(func(r tam.Reader) error {
		for _, want := range sorted {
			got, err := r.Anchor(want.Key.Thumbprint())
			if err != nil {
				return err
			}
			s.same("Anchor", anchorText(got), anchorText(want))
		}
		for purpose, want := range map[anchor.Purpose][]anchor.Anchor{anchor.TCSigner: {both}, anchor.Attester: sorted, anchor.TAM: nil} {
			got, err := r.Anchors(purpose)
			if err != nil {
				return err
			}
			s.same("Anchors for "+string(purpose), textOf(anchorText, got), textOf(anchorText, want))
		}
		return nil
	})
	unknown := func(r tam.Reader) error { _, err := r.Anchor(publicKey(3).Thumbprint()); return err }
	s.notFound(map[string]func(tam.Reader) error{"unknown anchor": unknown})

	add := func(a anchor.Anchor) func(tam.Tx) error { return func(tx tam.Tx) error { return tx.AddAnchor(a) } }
	s.refused("a known key", tam.ErrExists, add(trusted(2, anchor.TAM)))
	s.refused("a purpose twice", nil, add(trusted(3, anchor.TAM, anchor.TAM)))
	s.refused("no purpose", nil, add(trusted(3)))
	s.refused("no key", nil, add(anchor.Anchor{Purposes: []anchor.Purpose{anchor.TAM}}))
	unreadable := trusted(3, anchor.Manager)
	unreadable.Constraints.Grants = []anchor.Purpose{"\xff"}
	s.refused("constraints that cannot be read back", nil, add(unreadable))
}
