package agent

import (
	"context"
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
)

// Invoke runs the Invocation procedure of an installed manifest: its sections validate,
// load and invoke (draft-ietf-suit-manifest-37 section 5.3.3). It is for whoever starts
// applications on the device, not for TAMs. Its signers have to be trusted now, as for an
// installation. It returns when control has come back. The report is nil only where no
// manifest of that id is installed.
func (a *Agent) Invoke(ctx context.Context, manifest suit.ComponentID) (*suit.Report, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	envelope, err := a.installed(manifest)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvoke, manifest, err)
	}
	verified, rights, err := a.authority(envelope)
	if err != nil {
		return a.unauthenticated(envelope, err), fmt.Errorf("%w: %s: %w", ErrInvoke, manifest, err)
	}
	outcome, err := a.processor.Invoke(ctx, verified, rights)
	if err != nil {
		return outcome.Report, fmt.Errorf("%w: %s: %w", ErrInvoke, manifest, err)
	}
	a.observe(StepInvoked, "%s", manifest)
	return outcome.Report, nil
}

// Invocable returns the installed manifests that can be invoked.
func (a *Agent) Invocable() ([]suit.ComponentID, error) {
	var list []suit.ComponentID
	for _, manifest := range a.config.Components.Roots() {
		envelope, err := a.installed(manifest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifest, err)
		}
		m, err := envelope.UnverifiedManifest()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", manifest, err)
		}
		if _, ok := m.Section(suit.SectionInvoke); ok {
			list = append(list, manifest)
		}
	}
	return list, nil
}

// installed reads the envelope that an installed manifest came in.
func (a *Agent) installed(manifest suit.ComponentID) (*suit.Envelope, error) {
	data, err := a.config.Components.Envelope(manifest)
	if err != nil {
		return nil, err
	}
	return suit.Decode(data)
}
