package processor

import (
	"context"
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
)

// Processor executes manifests on one device.
type Processor struct {
	config Config
}

// New makes a processor.
func New(c Config) *Processor { return &Processor{c} }

// Outcome is what a procedure found, whether it succeeded or not.
type Outcome struct {
	// Report is for the sender of the manifest; it is unsigned and has no nonce yet.
	Report *suit.Report
	// Components holds digest and size, measured, of every image that a successful
	// procedure checked.
	Components []suit.PropertyClaims
	// Bent are the rules that Compat has bent, each once.
	Bent []Rule
}

// procedure is a list of sections (draft-ietf-suit-manifest-37 section 5.3.3,
// draft-ietf-suit-trust-domains). The sections of the family that belong to it but
// cannot be executed yet are refused.
type procedure struct {
	name     string
	sections []suit.Section
	optional bool           // a manifest without any of the sections is fine
	foreseen []suit.Section // checked now, executed by another procedure
	refused  []suit.Section
	// admit says whether the manifest may be processed on the device as it is.
	admit func(context.Context, *machine, *suit.Verified) *Failure
	// finish makes what the sections did last, and returns what was measured.
	finish func(context.Context, *machine, *suit.Verified) ([]suit.PropertyClaims, error)
}

var (
	update = procedure{
		name:     "update",
		sections: []suit.Section{suit.SectionPayloadFetch, suit.SectionInstall, suit.SectionValidate},
		foreseen: []suit.Section{suit.SectionUninstall},
		refused:  []suit.Section{suit.SectionDependencyResolution, suit.SectionCandidateVerification},
		admit:    admitSequenceNumber,
		finish:   commit,
	}
	validation = procedure{
		name:     "validation",
		sections: []suit.Section{suit.SectionValidate},
		admit:    admitSequenceNumber,
		finish:   settle,
	}
	uninstallation = procedure{
		name:     "uninstall",
		sections: []suit.Section{suit.SectionUninstall},
		optional: true,
		admit:    admitInstalled,
		finish:   uninstall,
	}
)

// Update runs the Update procedure: payload-fetch, install and validate. The images
// of the manifest and its sequence number are on the device when it returns nil, and
// nothing of them when it returns an error, which is a *Failure. The outcome holds
// the report in both cases. rights are those of the signer.
func (p *Processor) Update(ctx context.Context, v *suit.Verified, rights Rights) (*Outcome, error) {
	return p.execute(ctx, update, v, rights)
}

// Validate runs the validate section, the first of the Invocation procedure, on what
// is installed. It changes nothing.
func (p *Processor) Validate(ctx context.Context, v *suit.Verified, rights Rights) (*Outcome, error) {
	return p.execute(ctx, validation, v, rights)
}

// Uninstall runs the uninstall section of an installed manifest and removes the
// manifest (draft-ietf-suit-trust-domains, suit-uninstall). A component goes with the last
// manifest that references it, whether the section unlinks it or not: an image that no
// manifest vouches for does not stay. A manifest without the section is removed too.
// ErrNotInstalled where the device has another manifest of that id, or none. Errors
// are a *Failure and leave the device as it was; rights are those of the signer.
func (p *Processor) Uninstall(ctx context.Context, v *suit.Verified, rights Rights) (*Outcome, error) {
	return p.execute(ctx, uninstallation, v, rights)
}

// Remove is Uninstall without a look into the manifest. It is for one whose signer is
// not trusted any more: nothing of it may run, and it has to be possible to get rid of
// it on the word of somebody who may decide that.
func (p *Processor) Remove(ctx context.Context, manifest suit.ComponentID) error {
	tx, err := p.config.Host.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := tx.Commit(ctx, Change{Uninstall: []suit.ComponentID{manifest}}); err != nil {
		return errors.Join(fmt.Errorf("remove manifest %s: %w", manifest, err), tx.Rollback())
	}
	return tx.Rollback()
}

func (p *Processor) execute(ctx context.Context, proc procedure, v *suit.Verified, rights Rights) (*Outcome, error) {
	m := p.machine(v)
	claims, failure := m.process(ctx, proc, v, rights)
	outcome := &Outcome{Report: m.trace.report(v, claims, failure), Components: claims}
	if failure != nil {
		return outcome, failure
	}
	return outcome, nil
}

// machine starts with no parameter set (section 6.1).
func (p *Processor) machine(v *suit.Verified) *machine {
	m := &machine{host: p.config.Host, fetcher: p.config.Fetcher, limits: p.config.Limits, manifest: v.Manifest(), integrated: v.Integrated}
	m.slots, _ = p.config.Host.(Slotted)
	for _, id := range m.manifest.Common.Components {
		m.components = append(m.components, component{id: id})
	}
	return m
}

// process takes the manifest through the checks, the sections and the commit.
func (m *machine) process(ctx context.Context, proc procedure, v *suit.Verified, rights Rights) (claims []suit.PropertyClaims, failure *Failure) {
	if failure = m.check(proc, rights); failure != nil {
		return nil, failure
	}
	var err error
	if m.tx, err = m.host.Begin(ctx); err != nil {
		return nil, refusal(keyManifest, fmt.Errorf("begin: %w", err))
	}
	defer func() {
		err := m.tx.Rollback()
		switch {
		case err != nil && failure == nil:
			claims, failure = nil, refusal(keyManifest, fmt.Errorf("roll back: %w", err))
		case err != nil:
			failure.Err = errors.Join(failure.Err, fmt.Errorf("roll back: %w", err))
		}
	}()
	if failure = proc.admit(ctx, m, v); failure != nil {
		return nil, failure
	}
	if failure = m.run(ctx, proc.sections); failure != nil {
		return nil, failure
	}
	if claims, err = proc.finish(ctx, m, v); err != nil {
		last := proc.sections[len(proc.sections)-1]
		return nil, refusal(last, err)
	}
	return claims, nil
}

// admitSequenceNumber refuses a manifest that is older than the one it would replace
// (section 6.1). An equal one may be applied again.
func admitSequenceNumber(ctx context.Context, m *machine, _ *suit.Verified) *Failure {
	id := m.manifestID()
	installed, known, err := m.tx.Sequence(ctx, id)
	if err == nil && known && m.manifest.SequenceNumber < installed {
		err = fmt.Errorf("%w: %d, that was %d", ErrRollback, m.manifest.SequenceNumber, installed)
	}
	if err != nil {
		return &Failure{Reason: reasonFor(err), Section: keySequenceNumber, ID: id, Err: err}
	}
	return nil
}

// admitInstalled refuses to uninstall what is not installed: another version's section
// knows nothing of what this one put there.
func admitInstalled(ctx context.Context, m *machine, v *suit.Verified) *Failure {
	id := m.manifestID()
	installed, known, err := m.tx.Installed(ctx, id)
	switch {
	case err == nil && !known:
		err = ErrNotInstalled
	case err == nil && !installed.Digest.Equal(v.Digest()):
		err = fmt.Errorf("%w: the installed one has %s", ErrNotInstalled, installed.Digest)
	}
	if err != nil {
		return &Failure{Reason: reasonFor(err), Section: keyComponentID, ID: id, Err: err}
	}
	return nil
}

// manifestID names the manifest on the device.
func (m *machine) manifestID() suit.ComponentID {
	if m.manifest.ComponentID != nil {
		return m.manifest.ComponentID
	}
	return m.manifest.Common.Components[0]
}

// settle measures what was checked.
func settle(ctx context.Context, m *machine, _ *suit.Verified) ([]suit.PropertyClaims, error) {
	if err := m.settle(); err != nil {
		return nil, err
	}
	return m.claims(ctx)
}

// uninstall removes the manifest and what nothing else references.
func uninstall(ctx context.Context, m *machine, _ *suit.Verified) ([]suit.PropertyClaims, error) {
	if err := m.tx.Commit(ctx, Change{Uninstall: []suit.ComponentID{m.manifestID()}}); err != nil {
		return nil, fmt.Errorf("uninstall: %w", err)
	}
	return nil, nil
}

// commit makes what was checked the installed state.
func commit(ctx context.Context, m *machine, v *suit.Verified) ([]suit.PropertyClaims, error) {
	claims, err := settle(ctx, m, v)
	if err != nil {
		return nil, err
	}
	envelope, err := v.Envelope().Encode(true)
	if err != nil {
		return nil, err
	}
	err = m.tx.Commit(ctx, Change{Install: []Installation{{
		Manifest:   m.manifestID(),
		Digest:     v.Digest(),
		Sequence:   m.manifest.SequenceNumber,
		Components: m.manifest.Common.Components,
		Version:    m.manifest.SetVersion,
		Root:       true,
		Envelope:   envelope,
	}}})
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return claims, nil
}

func (m *machine) claims(ctx context.Context) ([]suit.PropertyClaims, error) {
	var claims []suit.PropertyClaims
	for i := range m.components {
		c := &m.components[i]
		if !c.checked {
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
