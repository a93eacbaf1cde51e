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

// Update runs the Update procedure: dependency-resolution, payload-fetch,
// candidate-verification, install and validate, each on the dependencies before their
// dependents. The images of the manifests and their sequence numbers are on the device
// when it returns nil, and nothing of them when it returns an error, which is a *Failure.
// The outcome holds the report in both cases. rights are those of the signer.
func (p *Processor) Update(ctx context.Context, v *suit.Verified, rights Rights) (*Outcome, error) {
	return p.execute(ctx, &update, v, rights)
}

// Validate runs the validate section, the first of the Invocation procedure, on what
// is installed. It changes nothing.
func (p *Processor) Validate(ctx context.Context, v *suit.Verified, rights Rights) (*Outcome, error) {
	return p.execute(ctx, &validation, v, rights)
}

// Invoke runs the Invocation procedure of an installed manifest: validate, load and
// invoke. It returns when what was invoked has; an image that was not checked before in
// the same procedure is not run. What load wrote is gone afterwards. ErrNotInstalled where
// the device has another manifest of that id, or none.
func (p *Processor) Invoke(ctx context.Context, v *suit.Verified, rights Rights) (*Outcome, error) {
	return p.execute(ctx, &invocation, v, rights)
}

// Uninstall runs the uninstall section of an installed manifest and removes the
// manifest (draft-ietf-suit-trust-domains, suit-uninstall). A component goes with the last
// manifest that references it, whether the section unlinks it or not: an image that no
// manifest vouches for does not stay. A manifest without the section is removed too.
// ErrNotInstalled where the device has another manifest of that id, or none;
// ErrReferenced where another manifest depends on it. Errors are a *Failure and leave the
// device as it was; rights are those of the signer.
func (p *Processor) Uninstall(ctx context.Context, v *suit.Verified, rights Rights) (*Outcome, error) {
	return p.execute(ctx, &uninstallation, v, rights)
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

func (p *Processor) execute(ctx context.Context, proc *procedure, v *suit.Verified, rights Rights) (*Outcome, error) {
	m := newMachine(p.config, proc)
	claims, failure := m.process(ctx, v, rights)
	outcome := &Outcome{Report: m.trace.report(v, claims, failure, m.bent), Components: claims, Bent: m.bent}
	if failure == nil {
		return outcome, nil
	}
	if unsupported(failure.Reason) {
		outcome.Report.Capabilities = p.Capabilities()
	}
	return outcome, failure
}

// process takes the manifest through the checks, the sections and what comes last.
func (m *machine) process(ctx context.Context, v *suit.Verified, rights Rights) (claims []suit.PropertyClaims, failure *Failure) {
	m.root = &manifest{content: v.Manifest(), verified: v, rights: rights}
	if failure = m.enter(m.root); failure != nil {
		return nil, failure
	}
	last := m.proc.sections[len(m.proc.sections)-1]
	var err error
	if m.tx, err = m.config.Host.Begin(ctx); err != nil {
		return nil, m.root.refusal(keyManifest, nil, fmt.Errorf("begin: %w", err))
	}
	defer func() {
		err := m.tx.Rollback()
		switch {
		case err != nil && failure == nil:
			claims, failure = nil, m.root.refusal(last, nil, fmt.Errorf("roll back: %w", err))
		case err != nil:
			failure.Err = errors.Join(failure.Err, fmt.Errorf("roll back: %w", err))
		}
	}()
	if failure = m.proc.admit(ctx, m); failure != nil {
		return nil, failure
	}
	if failure = m.run(ctx); failure != nil {
		return nil, failure
	}
	if claims, err = m.proc.finish(ctx, m); err != nil {
		return nil, m.root.failed(last, err)
	}
	return claims, nil
}
