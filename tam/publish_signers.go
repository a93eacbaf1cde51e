package tam

import (
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Signature says for which components somebody has signed.
type Signature struct {
	Signer     cosekit.Thumbprint
	Components []suit.ComponentID
}

// signatures are those that a manifest was published with.
func (m Manifest) signatures() []Signature {
	if m.Signatures != nil {
		return m.Signatures
	}
	return []Signature{{m.Signer, m.touches()}}
}

// sign finds who vouches for a manifest and for each of its dependencies: publishers
// of now, with rights over all components that it names and all that it does with them, and
// over its own id. That of a dependency is its dependent's choice; devices want both signers to have a right to it.
func (f *Fleet) sign(r AnchorReader, m *Manifest, t *tree) error {
	m.Signatures = nil
	for i, member := range t.members {
		var components []suit.ComponentID
		if i == 0 {
			components = append(components, m.Component)
		}
		for _, d := range m.Dependencies {
			if d.Digest.Equal(member.digest) {
				components = append(components, d.Component)
			}
		}
		for _, e := range member.table {
			components = append(components, t.ids[e.number])
		}
		signers, err := f.signers(r, member.verified, func(a anchor.Anchor) error {
			if err := mayPublish(a, components, f.config.Clock()); err != nil {
				return err
			}
			return t.mayUse(a, member)
		})
		if err != nil {
			return fmt.Errorf("%w%s", err, ofDependency(i, member.digest))
		}
		for _, s := range signers {
			m.Signatures = append(m.Signatures, Signature{s, components})
		}
	}
	m.Signer = m.Signatures[0].Signer
	if len(m.Signatures) == 1 && sameComponents(m.Signatures[0].Components, m.touches()) {
		m.Signatures = nil
	}
	return nil
}

func ofDependency(i int, digest suit.Digest) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("; it is of dependency %s", digest)
}

func sameComponents(a, b []suit.ComponentID) bool {
	within := func(a, b []suit.ComponentID) bool {
		return !slices.ContainsFunc(a, func(c suit.ComponentID) bool { return !slices.ContainsFunc(b, c.Equal) })
	}
	return within(a, b) && within(b, a)
}

// signers returns as few signers as the rule asks for, of those that have the rights.
func (f *Fleet) signers(r AnchorReader, v *suit.Verified, rights func(anchor.Anchor) error) ([]cosekit.Thumbprint, error) {
	refusal := fmt.Errorf("%w", ErrUnknownSigner)
	var entitled []*cosekit.PublicKey
	for _, key := range v.Keys() {
		a, err := r.Anchor(key.Thumbprint())
		if err != nil {
			return nil, err
		}
		if err := rights(a); err != nil {
			refusal = err
			continue
		}
		entitled = append(entitled, key)
	}
	if len(entitled) == 0 {
		return nil, refusal
	}
	if err := f.config.Signatures.Check(entitled); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignatureMissing, err)
	}
	for i := len(entitled) - 1; i >= 0; i-- {
		if fewer := slices.Concat(entitled[:i], entitled[i+1:]); f.config.Signatures.Check(fewer) == nil {
			entitled = fewer
		}
	}
	var signers []cosekit.Thumbprint
	for _, key := range entitled {
		signers = append(signers, key.Thumbprint())
	}
	return signers, nil
}

func mayPublish(a anchor.Anchor, components []suit.ComponentID, now time.Time) error {
	if err := a.Allows(anchor.TCSigner, now); err != nil {
		return fmt.Errorf("%w: %w", ErrSignerNotAllowed, err)
	}
	for _, c := range components {
		if !a.MayPublish(c) {
			return fmt.Errorf("%w: publisher %q (%s) may not sign for %s", ErrSignerNotAllowed, a.Title, a.Key.Thumbprint(), c)
		}
	}
	return nil
}

// belowOthers warns of components for which a manifest of another name has a higher
// sequence number: a device that had that one refuses this one, until the floor of the
// component is behind it.
func belowOthers(r ManifestReader, m Manifest) (warnings []string, err error) {
	const looked = 16 // manifests of one component
	warned := map[string]bool{}
	for _, t := range m.Targets {
		list, err := r.ManifestsFor(t.Component, looked)
		if err != nil {
			return nil, err
		}
		for _, other := range list { // the highest first
			if other.Sequence <= m.Sequence || warned[t.Component.Key()] {
				break
			}
			if !other.Component.Equal(m.Component) {
				warned[t.Component.Key()] = true
				warnings = append(warnings, fmt.Sprintf("%s: manifest %s has installed it with sequence number %d; a device that had that one refuses %d",
					t.Component, other.Component, other.Sequence, m.Sequence))
			}
		}
	}
	return warnings, nil
}
