package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// unlink uninstalls the manifests that the TAM lists, in its order
// (draft-ietf-teep-protocol-26 section 7.2.2). A list that names anything but installed
// manifests, each once, is refused as a whole. Each unlinking is then a step of its own
// that holds at once: whatever ends the list early, a manifest is there or is gone, and
// the next tc-list shows which.
func (a *Agent) unlink(ctx context.Context, unneeded []suit.ComponentID) (reports []*suit.Report, faults []error) {
	if err := a.checkUnneeded(unneeded); err != nil {
		a.observe(StepFailed, "%v", err)
		return nil, []error{err}
	}
	for _, manifest := range unneeded {
		report, err := a.unlinkOne(ctx, manifest)
		if report != nil {
			reports = append(reports, report)
		}
		if err != nil {
			err = fmt.Errorf("%w: %s: %w", ErrUnlink, manifest, err)
			a.observe(StepFailed, "%v", err)
			return reports, []error{err}
		}
	}
	return reports, nil
}

func (a *Agent) checkUnneeded(unneeded []suit.ComponentID) error {
	installed := a.config.Components.Roots()
	for i, manifest := range unneeded {
		switch {
		case !slices.ContainsFunc(installed, manifest.Equal):
			return fmt.Errorf("%w: %s: %w; nothing of the Update was done", ErrUnlink, manifest, processor.ErrNotInstalled)
		case slices.ContainsFunc(unneeded[:i], manifest.Equal):
			return fmt.Errorf("%w: %s is listed twice; nothing of the Update was done", ErrUnlink, manifest)
		}
	}
	return nil
}

// unlinkOne takes one manifest off the device. That it may go is the TAM's decision,
// and the signature of the Update says so. Its uninstall section is the publisher's: it
// runs only if its signer is trusted now as for an installation. The manifest of a
// publisher who is not trusted any more goes without.
func (a *Agent) unlinkOne(ctx context.Context, manifest suit.ComponentID) (*suit.Report, error) {
	envelope, err := a.installed(manifest)
	if err != nil {
		return nil, err
	}
	verified, rights, untrusted := a.authority(envelope)
	if untrusted == nil {
		outcome, err := a.processor.Uninstall(ctx, verified, rights)
		if !errors.Is(err, processor.ErrUnauthorized) {
			if err == nil {
				a.observe(StepUnlinked, "%s", manifest)
			}
			return outcome.Report, err
		}
		untrusted = err
	}
	report := &suit.Report{Reference: suit.Reference{Digest: envelope.Digest()}}
	if err := a.processor.Remove(ctx, manifest); err != nil {
		report.Failure = &suit.ReportFailure{Reason: suit.ReasonOperationFailed}
		return report, err
	}
	a.observe(StepUnlinked, "%s, its uninstall section was not run: %v", manifest, untrusted)
	return report, nil
}
