package processor

import (
	"context"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// procedure is a list of sections (draft-ietf-suit-manifest-37 section 5.3.3,
// draft-ietf-suit-trust-domains).
type procedure struct {
	name     string
	sections []suit.Section
	optional bool // a manifest without any of the sections is fine
	// foreseen are the sections of other procedures, which are looked into already: what
	// could not be run later is refused now.
	foreseen func(*machine) []suit.Section
	// keeps: what is written is to stay, so it must not be in another manifest's way.
	keeps bool
	// admit says whether the root manifest may be processed on the device as it is.
	admit func(context.Context, *machine) *Failure
	// finish makes what the sections did last, and returns what was measured.
	finish func(context.Context, *machine) ([]suit.PropertyClaims, error)
}

var (
	// update is Staging and Installation, then validate (section 8.4.6).
	update = procedure{
		name: "update",
		sections: []suit.Section{
			suit.SectionDependencyResolution, suit.SectionPayloadFetch,
			suit.SectionCandidateVerification, suit.SectionInstall, suit.SectionValidate,
		},
		foreseen: func(m *machine) []suit.Section {
			if m.config.Invoke == nil { // this device never gets there
				return []suit.Section{suit.SectionUninstall}
			}
			return []suit.Section{suit.SectionLoad, suit.SectionInvoke, suit.SectionUninstall}
		},
		keeps:  true,
		admit:  admitUpdate,
		finish: commit,
	}
	validation = procedure{
		name:     "validation",
		sections: []suit.Section{suit.SectionValidate},
		admit:    admitSequenceNumber,
		finish:   settle,
	}
	// invocation writes, in load, what does not outlive it.
	invocation = procedure{
		name:     "invocation",
		sections: []suit.Section{suit.SectionValidate, suit.SectionLoad, suit.SectionInvoke},
		admit:    admitInvocation,
		finish:   settleInvocation,
	}
	uninstallation = procedure{
		name:     "uninstall",
		sections: []suit.Section{suit.SectionUninstall},
		optional: true,
		admit:    admitUninstall,
		finish:   uninstall,
	}
)

// admitSequenceNumber refuses a root manifest that is older than the one it would
// replace (section 6.1). An equal one may be applied again.
func admitSequenceNumber(ctx context.Context, m *machine) *Failure {
	return m.admitNumber(ctx, m.root)
}

func (m *machine) admitNumber(ctx context.Context, of *manifest) *Failure {
	last, known, err := m.tx.Sequence(ctx, of.id)
	if number := of.content.SequenceNumber; err == nil && known && number < last {
		err = fmt.Errorf("%w: %d, that was %d", ErrRollback, number, last)
	}
	if err != nil {
		return of.refusal(keySequenceNumber, of.id, err)
	}
	return nil
}

// admitUpdate also refuses to put another manifest in the place of one that others
// depend on, by its digest.
func admitUpdate(ctx context.Context, m *machine) *Failure {
	if f := admitSequenceNumber(ctx, m); f != nil {
		return f
	}
	if m.root.content.ComponentID == nil { // its id is that of an image
		return nil
	}
	references, err := m.tx.References(ctx, m.root.id)
	if err == nil && len(references) > 0 {
		var installed InstalledManifest
		var known bool
		installed, known, err = m.tx.Installed(ctx, m.root.id)
		if err == nil && !(known && installed.Digest.Equal(m.root.digest())) {
			err = fmt.Errorf("%w: %s; unlink that one first", ErrReferenced, references[0])
		}
	}
	if err != nil {
		return m.root.refusal(keyComponentID, m.root.id, err)
	}
	return nil
}

// admitInvocation refuses to run what is not installed.
func admitInvocation(ctx context.Context, m *machine) *Failure {
	if f := m.admitInstalled(ctx); f != nil {
		return f
	}
	return admitSequenceNumber(ctx, m)
}

// admitUninstall refuses also what others depend on.
func admitUninstall(ctx context.Context, m *machine) *Failure {
	if f := m.admitInstalled(ctx); f != nil {
		return f
	}
	references, err := m.tx.References(ctx, m.root.id)
	references = slices.DeleteFunc(slices.Clone(references), m.root.id.Equal) // a nameless one has the id of its component
	if err == nil && m.root.content.ComponentID != nil && len(references) > 0 {
		err = fmt.Errorf("%w: %s depends on it; uninstall that one first", ErrReferenced, references[0])
	}
	if err != nil {
		return m.root.refusal(keyComponentID, m.root.id, err)
	}
	m.root.leaving = true
	return nil
}

// admitInstalled wants the very manifest to be installed: another version's sections
// know nothing of what this one put there.
func (m *machine) admitInstalled(ctx context.Context) *Failure {
	installed, known, err := m.tx.Installed(ctx, m.root.id)
	switch {
	case err == nil && !known:
		err = ErrNotInstalled
	case err == nil && !installed.Digest.Equal(m.root.digest()):
		err = fmt.Errorf("%w: the installed one has %s", ErrNotInstalled, installed.Digest)
	}
	if err != nil {
		return m.root.refusal(keyComponentID, m.root.id, err)
	}
	return nil
}

// settle measures what was checked.
func settle(ctx context.Context, m *machine) ([]suit.PropertyClaims, error) {
	if err := m.settle(); err != nil {
		return nil, err
	}
	return m.claims(ctx)
}

// settleInvocation wants an invoked image or an error (section 6.3). invoke has checked
// what it ran.
func settleInvocation(ctx context.Context, m *machine) ([]suit.PropertyClaims, error) {
	if m.invoked == 0 {
		return nil, ErrNotInvoked
	}
	return settle(ctx, m)
}

// uninstall removes the manifest and what nothing else references. A dependency that goes
// with it has its own section run, whether it was unlinked or not.
func uninstall(ctx context.Context, m *machine) ([]suit.PropertyClaims, error) {
	if err := m.releaseAll(ctx, m.root); err != nil {
		return nil, err
	}
	if err := m.tx.Commit(ctx, Change{Uninstall: []suit.ComponentID{m.root.id}}); err != nil {
		return nil, fmt.Errorf("uninstall: %w", err)
	}
	return nil, nil
}

// commit makes what was checked the installed state.
func commit(ctx context.Context, m *machine) ([]suit.PropertyClaims, error) {
	if err := m.settleDependencies(); err != nil {
		return nil, err
	}
	claims, err := settle(ctx, m)
	if err != nil {
		return nil, err
	}
	var change Change
	for _, of := range m.dependenciesFirst() {
		installation, err := of.installation(of == m.root)
		if err != nil {
			return nil, err
		}
		change.Install = append(change.Install, installation)
	}
	if err := m.tx.Commit(ctx, change); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return claims, nil
}

func (of *manifest) installation(root bool) (Installation, error) {
	envelope, err := of.verified.Envelope().Encode(true)
	if err != nil {
		return Installation{}, err
	}
	in := Installation{
		Manifest: of.id, Digest: of.digest(), Sequence: of.content.SequenceNumber,
		Version: of.content.SetVersion, Root: root, Envelope: envelope,
	}
	for _, e := range of.table {
		if e.dependency {
			in.Dependencies = append(in.Dependencies, e.id)
			continue
		}
		in.Components = append(in.Components, e.id)
		if !of.determines(e.id) {
			in.Observed = append(in.Observed, e.id)
		}
		if e.metadata != nil {
			if in.Metadata == nil {
				in.Metadata = map[string]*suit.ComponentMetadata{}
			}
			in.Metadata[e.id.Key()] = e.metadata
		}
	}
	return in, nil
}

// settle holds the result of a procedure against the first design goal of section 6.3: an
// error, or a state that was checked against what the author signed.
func (m *machine) settle() error {
	checked := false
	for _, c := range m.order {
		switch {
		case c.dependency:
			continue
		case c.checked:
			checked = true
		case c.writer == nil, m.vouchedByCopy(c, checkedBy):
		case c.deciphered, m.vouchedByCopy(c, decipheredBy):
			if err := m.bend(RuleDecryptedUnchecked, "component %q has no image-match", c.id); err != nil {
				return fmt.Errorf("%w: %w", ErrUnchecked, err)
			}
			checked = true
		default:
			return fmt.Errorf("component %q: %w; the manifest lacks an image-match", c.id, ErrUnchecked)
		}
	}
	if !checked {
		return fmt.Errorf("%w; the manifest lacks an image-match", ErrUnchecked)
	}
	return nil
}

func checkedBy(to *component) *manifest {
	if !to.checked {
		return nil
	}
	return to.voucher
}

func decipheredBy(to *component) *manifest {
	if !to.deciphered {
		return nil
	}
	return to.writer
}

// vouchedByCopy reports whether a copy of the image, decrypted or not, is known to be
// right: then so is what it was made of. by returns whose word that is, nil for nobody's; one
// who may not say what the image itself is does not count.
func (m *machine) vouchedByCopy(c *component, by func(to *component) *manifest) bool {
	return slices.ContainsFunc(m.order, func(to *component) bool {
		if to.from != c || to.fromStage != c.stage {
			return false
		}
		of := by(to)
		return of != nil && of.rights(Access{Component: c.id, Parameter: suit.ParameterImageDigest})
	})
}

// settleDependencies wants every dependency that is to be installed to be the one that
// was checked, in either mode.
func (m *machine) settleDependencies() error {
	for _, of := range m.manifests {
		for i, e := range of.table {
			if e.dependency && of.dependency(i) == nil {
				return fmt.Errorf("dependency %q: %w; the manifest lacks a dependency-integrity", e.id, ErrUnchecked)
			}
		}
	}
	return nil
}

func (m *machine) claims(ctx context.Context) ([]suit.PropertyClaims, error) {
	var claims []suit.PropertyClaims
	for _, c := range m.order {
		if !c.checked || c.dependency {
			continue
		}
		algorithm := suit.SHA256
		if c.measured != nil {
			algorithm = c.measured.digest.Algorithm
		}
		have, err := m.measure(ctx, c, algorithm)
		if err != nil {
			return nil, fmt.Errorf("component %q: %w", c.id, err)
		}
		claims = append(claims, suit.PropertyClaims{Component: c.id, ImageDigest: &have.digest, ImageSize: &have.size})
	}
	return claims, nil
}
