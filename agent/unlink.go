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
func (a *Agent) unlink(ctx context.Context, unneeded []suit.ComponentID) (done outcome) {
	if err := a.checkUnneeded(unneeded); err != nil {
		a.observe(StepFailed, "%v", err)
		return outcome{faults: []error{err}}
	}
	for _, manifest := range unneeded {
		report, left, err := a.unlinkOne(ctx, manifest)
		if report != nil {
			done.reports = append(done.reports, report)
		}
		switch {
		case err != nil:
			err = &fault{ErrUnlink, manifest.String(), err}
			a.observe(StepFailed, "%v", err)
			done.faults = []error{err}
			return done
		case left != nil:
			const format = "%s went without its uninstall section: %v"
			a.observe(StepUnlinked, format, manifest, left)
			done.notes = append(done.notes, fmt.Sprintf(format, manifest, reason(left)))
		default:
			a.observe(StepUnlinked, "%s", manifest)
		}
	}
	return done
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
// runs only if its signer, and those of what it depends on, are trusted now as for an
// installation, and it has no veto. Where it does not come to a good end the manifest
// goes without, and left says why. What keeps it is another manifest that depends on it.
func (a *Agent) unlinkOne(ctx context.Context, manifest suit.ComponentID) (report *suit.Report, left, err error) {
	envelope, err := a.installed(manifest)
	if err != nil {
		return nil, nil, err
	}
	verified, rights, left := a.authority(envelope)
	if left == nil {
		outcome, err := a.processor.Uninstall(ctx, verified, rights)
		if err == nil || ctx.Err() != nil || errors.Is(err, processor.ErrReferenced) {
			return outcome.Report, nil, err
		}
		left = err
	}
	report = &suit.Report{Reference: suit.Reference{Digest: envelope.Digest()}}
	if err := a.processor.Remove(ctx, manifest); err != nil {
		report.Failure = &suit.ReportFailure{Reason: suit.ReasonOperationFailed}
		return report, nil, err
	}
	return report, left, nil
}
