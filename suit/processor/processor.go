package processor

import (
	"context"
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
)

// Processor executes manifests on one device.
type Processor struct {
	host    Host
	fetcher Fetcher
	limits  Limits
}

// New makes a processor. Without a fetcher, nil, manifests can use integrated
// payloads only.
func New(host Host, fetcher Fetcher, limits Limits) *Processor {
	return &Processor{host, fetcher, limits}
}

// Outcome is what a procedure found, whether it succeeded or not.
type Outcome struct {
	// Report is for the sender of the manifest; it is unsigned and has no nonce yet.
	Report *suit.Report
	// Components holds digest and size, measured, of every image that a successful
	// procedure checked.
	Components []suit.PropertyClaims
}

// procedure is a list of sections (draft-ietf-suit-manifest-37 section 5.3.3,
// draft-ietf-suit-trust-domains). The sections of the family that belong to it but
// cannot be executed yet are refused.
type procedure struct {
	name     string
	sections []suit.Section
	refused  []suit.Section
	installs bool // what it wrote is committed
}

var (
	update = procedure{
		name:     "update",
		sections: []suit.Section{suit.SectionPayloadFetch, suit.SectionInstall, suit.SectionValidate},
		refused:  []suit.Section{suit.SectionDependencyResolution, suit.SectionCandidateVerification},
		installs: true,
	}
	validation = procedure{
		name:     "validation",
		sections: []suit.Section{suit.SectionValidate},
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
	m := &machine{host: p.host, fetcher: p.fetcher, limits: p.limits, manifest: v.Manifest(), integrated: v.Integrated}
	m.slots, _ = p.host.(Slotted)
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
	if failure = m.checkSequenceNumber(ctx); failure != nil {
		return nil, failure
	}
	if failure = m.run(ctx, proc.sections); failure != nil {
		return nil, failure
	}
	if claims, err = m.finish(ctx, proc, v); err != nil {
		last := proc.sections[len(proc.sections)-1]
		return nil, refusal(last, err)
	}
	return claims, nil
}

// checkSequenceNumber refuses a manifest that is older than the one it would replace
// (section 6.1). An equal one may be applied again.
func (m *machine) checkSequenceNumber(ctx context.Context) *Failure {
	id := m.manifestID()
	installed, known, err := m.tx.Sequence(ctx, id)
	if err == nil && known && m.manifest.SequenceNumber < installed {
		err = fmt.Errorf("%w: %d, installed is %d", ErrRollback, m.manifest.SequenceNumber, installed)
	}
	if err != nil {
		return &Failure{Reason: reasonFor(err), Section: keySequenceNumber, ID: id, Err: err}
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

// finish measures what was checked and, in a procedure that installs, commits it.
func (m *machine) finish(ctx context.Context, proc procedure, v *suit.Verified) ([]suit.PropertyClaims, error) {
	if err := m.settle(); err != nil {
		return nil, err
	}
	claims, err := m.claims(ctx)
	if err != nil || !proc.installs {
		return claims, err
	}
	envelope, err := v.Envelope().Encode(true)
	if err != nil {
		return nil, err
	}
	err = m.tx.Commit(ctx, Installation{
		Manifest:   m.manifestID(),
		Digest:     v.Digest(),
		Sequence:   m.manifest.SequenceNumber,
		Components: m.manifest.Common.Components,
		Envelope:   envelope,
	})
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
