package processor

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// removable is the sample with an uninstall section.
func removable(commands ...suit.Command) *suit.Manifest {
	m := sample(newImage)
	m.Sections[suit.SectionUninstall] = sequence(commands...)
	return m
}

func (tr *trial) uninstall(t *testing.T, m *suit.Manifest) (*Outcome, error) {
	t.Helper()
	return tr.processor().Uninstall(t.Context(), authentic(t, m, tr.integrated), tr.rights)
}

func TestUninstall(t *testing.T) {
	for name, m := range map[string]*suit.Manifest{
		"unlink":                      removable(check(suit.DirectiveUnlink)),
		"unlink twice":                removable(check(suit.DirectiveUnlink), check(suit.DirectiveUnlink)),
		"a condition before":          removable(check(suit.ConditionImageMatch), check(suit.DirectiveUnlink)),
		"a section without unlink":    removable(check(suit.ConditionVendorIdentifier)),
		"no uninstall section":        sample(newImage),
		"every component, one by one": removable(do(suit.DirectiveSetComponentIndex, suit.AllComponents{}), check(suit.DirectiveUnlink)),
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			other := []byte("of another manifest")
			tr.host.images[data.Key()] = other
			tr.succeed(t, m, newImage)
			outcome, err := tr.uninstall(t, m)
			if err != nil {
				t.Fatal(err)
			}
			if image, ok := tr.host.images[app.Key()]; ok {
				t.Errorf("image %q is still there", image)
			}
			if !bytes.Equal(tr.host.images[data.Key()], other) {
				t.Error("another component changed")
			}
			if err := tr.host.same(&memory{images: map[string][]byte{data.Key(): other}}); err != nil {
				t.Error(err)
			}
			if _, ok := m.Sections[suit.SectionUninstall]; ok != (len(records(t, outcome.Report)) > 0) {
				t.Errorf("records %+v", outcome.Report.Entries)
			}
			if outcome.Components != nil || !outcome.Report.Succeeded() {
				t.Errorf("outcome %+v", outcome)
			}
			// It is gone once.
			before := tr.host.snapshot()
			_, err = tr.uninstall(t, m)
			tr.unchanged(t, before, err, ErrNotInstalled)
			// The way back to an older one stays closed.
			older := removable(check(suit.DirectiveUnlink))
			older.SequenceNumber = m.SequenceNumber - 1
			tr.fail(t, older, ErrRollback)
			tr.succeed(t, m, newImage)
		})
	}
}

func TestUninstallReports(t *testing.T) {
	tr := newTrial()
	m := removable(check(suit.DirectiveUnlink))
	tr.succeed(t, m, newImage)
	outcome, err := tr.uninstall(t, m)
	if err != nil {
		t.Fatal(err)
	}
	compareRecords(t, records(t, outcome.Report), []suit.Record{
		{Section: suit.SectionShared, Offset: offset(t, m, suit.SectionShared, suit.ConditionVendorIdentifier), Measured: suit.Parameters{VendorID: &device.Vendor}},
		{Section: suit.SectionShared, Offset: offset(t, m, suit.SectionShared, suit.ConditionClassIdentifier), Measured: suit.Parameters{ClassID: &device.Class}},
		{Section: suit.SectionUninstall, Offset: offset(t, m, suit.SectionUninstall, suit.DirectiveUnlink)},
	})
}

func TestUninstallRefused(t *testing.T) {
	newer := removable(check(suit.DirectiveUnlink))
	newer.SequenceNumber++
	unknown := removable(check(suit.DirectiveUnlink))
	unknown.ComponentID = dataSUIT
	for _, tt := range []struct {
		name   string
		change func(tr *trial)
		remove *suit.Manifest // nil for the installed one
		err    error
		reason suit.ReportReason
	}{
		{name: "another version", remove: newer, err: ErrNotInstalled, reason: suit.ReasonOperationFailed},
		{name: "never installed", remove: unknown, err: ErrNotInstalled, reason: suit.ReasonOperationFailed},
		{name: "no rights", change: func(tr *trial) { tr.rights = nil }, err: ErrUnauthorized, reason: suit.ReasonComponentUnauthorised},
		{name: "device of another class", change: func(tr *trial) { tr.host.identity.Class = stranger }, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "store", change: func(tr *trial) { tr.host.faults["Commit"] = ErrFetch }, err: ErrFetch, reason: suit.ReasonOperationFailed},
		{name: "store cannot read", change: func(tr *trial) { tr.host.faults["Installed"] = ErrFetch }, err: ErrFetch, reason: suit.ReasonOperationFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			m := removable(check(suit.DirectiveUnlink))
			tr.succeed(t, m, newImage)
			if tt.change != nil {
				tt.change(tr)
			}
			if tt.remove != nil {
				m = tt.remove
			}
			before := tr.host.snapshot()
			outcome, err := tr.uninstall(t, m)
			failure := tr.unchanged(t, before, err, tt.err)
			if failure.Reason != tt.reason || outcome.Report.Failure == nil || outcome.Report.Failure.Reason != tt.reason {
				t.Errorf("reason %v, want %v", failure.Reason, tt.reason)
			}
		})
	}
}

// What could not be uninstalled is not installed, and a failed condition keeps a
// manifest where it is.
func TestUninstallSection(t *testing.T) {
	for name, c := range map[string]suit.Command{
		"fetch": check(suit.DirectiveFetch), "write": check(suit.DirectiveWrite), "copy": check(suit.DirectiveCopy),
		"unregistered command": check(99),
	} {
		tr := newTrial()
		if _, failure := tr.fail(t, removable(c), ErrUnsupportedCommand); failure.Section != suit.SectionUninstall {
			t.Errorf("%s: refused in %s", name, failure.Section)
		}
	}
	for name, commands := range map[string][]suit.Command{
		"abort":        {check(suit.ConditionAbort)},
		"after unlink": {check(suit.DirectiveUnlink), check(suit.ConditionImageMatch)},
		"its content":  {check(suit.DirectiveUnlink), override(suit.Parameters{Content: newImage}), check(suit.ConditionCheckContent)},
	} {
		tr := newTrial()
		m := removable(commands...)
		tr.succeed(t, m, newImage)
		before := tr.host.snapshot()
		_, err := tr.uninstall(t, m)
		want := ErrNoImage
		if name == "abort" {
			want = ErrAbort
		}
		if failure := tr.unchanged(t, before, err, want); failure.Section != suit.SectionUninstall {
			t.Errorf("%s: failed in %s", name, failure.Section)
		}
	}
}

func TestRemove(t *testing.T) {
	tr := newTrial()
	m := removable(check(suit.ConditionAbort)) // would refuse if it ran
	tr.succeed(t, m, newImage)
	before := tr.host.snapshot()
	p := tr.processor()
	tr.host.faults["Begin"] = ErrFetch
	if err := p.Remove(t.Context(), appSUIT); !errors.Is(err, ErrFetch) {
		t.Error(err)
	}
	delete(tr.host.faults, "Begin")
	if err := p.Remove(t.Context(), dataSUIT); !errors.Is(err, ErrNotInstalled) {
		t.Error(err)
	}
	if err := tr.host.same(before); err != nil {
		t.Error(err)
	}
	if err := p.Remove(t.Context(), appSUIT); err != nil {
		t.Fatal(err)
	}
	if len(tr.host.images)+len(tr.host.manifests) > 0 || tr.host.open {
		t.Errorf("left: %v %v", tr.host.images, tr.host.manifests)
	}
}

// rival is a manifest of another name for the same component.
func rival(number uint64, image []byte) *suit.Manifest {
	m := sample(image)
	m.ComponentID, m.SequenceNumber = dataSUIT, number
	return m
}

// Sequence numbers guard a manifest only against its own name. References guard the
// component while it is installed: no manifest of another name can put an older image there, or any other.
func TestComponentOfAnotherManifest(t *testing.T) {
	for _, number := range []uint64{0, 6, 7, 100} {
		tr := newTrial()
		tr.succeed(t, sample(newImage), newImage)
		tr.Fetcher = served{location: oldImage}
		_, failure := tr.fail(t, rival(number, oldImage), ErrReferenced)
		if failure.Command != suit.DirectiveFetch || failure.Reason != suit.ReasonOperationFailed {
			t.Errorf("failed at %s with reason %v", failure.Command, failure.Reason)
		}
		written := rival(number, oldImage)
		written.Sections[suit.SectionInstall] = sequence(override(suit.Parameters{Content: oldImage}), check(suit.DirectiveWrite))
		if _, failure := tr.fail(t, written, ErrReferenced); failure.Command != suit.DirectiveWrite {
			t.Errorf("failed at %s", failure.Command)
		}
	}
}

// Nor can one once the first manifest is uninstalled, unless its sequence number is no
// lower than that the component came with.
func TestComponentAfterUnlink(t *testing.T) {
	for _, tt := range []struct {
		number uint64
		name   suit.ComponentID // nil for none
		err    error
	}{
		{6, dataSUIT, ErrRollback}, {7, dataSUIT, nil}, {8, dataSUIT, nil},
		{6, nil, ErrRollback}, {7, nil, nil},
		{6, appSUIT, ErrRollback}, {7, appSUIT, nil},
	} {
		tr := newTrial()
		for _, m := range []*suit.Manifest{rival(1, newImage), sample(newImage)} { // 1, then 7
			tr.succeedAs(t, m)
			if _, err := tr.uninstall(t, m); err != nil {
				t.Fatal(err)
			}
		}
		tr.Fetcher = served{location: oldImage}
		m := rival(tt.number, oldImage)
		m.ComponentID = tt.name
		written := rival(tt.number, oldImage)
		written.ComponentID = tt.name
		written.Sections[suit.SectionInstall] = sequence(override(suit.Parameters{Content: oldImage}), check(suit.DirectiveWrite))
		for _, m := range []*suit.Manifest{m, written} {
			if tt.err == nil {
				tr.succeedAs(t, m)
				continue
			}
			if _, failure := tr.fail(t, m, tt.err); failure.Reason != suit.ReasonConditionFailed {
				t.Errorf("sequence %d of %q: reason %v", tt.number, tt.name, failure.Reason)
			}
		}
	}
}

// succeedAs updates with a manifest of any name.
func (tr *trial) succeedAs(t *testing.T, m *suit.Manifest) {
	t.Helper()
	if _, err := tr.update(t, m); err != nil {
		t.Fatalf("sequence %d of %q: %v", m.SequenceNumber, m.ComponentID, err)
	}
}

// A component that two manifests want alike is there until both are gone, and stays as
// it is until one of them is.
func TestSharedComponent(t *testing.T) {
	tr := newTrial()
	first, second := sample(newImage), rival(1, newImage)
	tr.succeed(t, first, newImage)
	if _, err := tr.update(t, second); err != nil {
		t.Fatal(err)
	}
	again := rival(2, newImage) // an update keeps the one reference
	if _, err := tr.update(t, again); err != nil {
		t.Fatal(err)
	}
	if got := tr.host.references(app); len(got) != 2 {
		t.Fatalf("references %v", got)
	}
	next := sample(oldImage)
	next.SequenceNumber++
	tr.Fetcher = served{location: oldImage}
	tr.fail(t, next, ErrReferenced)
	if _, err := tr.uninstall(t, again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(tr.host.images[app.Key()], newImage) {
		t.Error("the component went with the first of two references")
	}
	tr.succeed(t, next, oldImage)
	if _, err := tr.uninstall(t, next); err != nil {
		t.Fatal(err)
	}
	if slices.Contains([]int{len(tr.host.images), len(tr.host.manifests)}, 1) {
		t.Error("something is left")
	}
}

// The drafts have components unlinked before they are overwritten: with a manifest's own
// there is nothing to do then, as its reference goes over to what it installs.
func TestUnlinkBeforeOverwriting(t *testing.T) {
	unlinks := func(tr *trial) *suit.Manifest {
		m := tr.dependent(t, inLib(t, library(libImage), libImage))
		for _, section := range []suit.Section{suit.SectionDependencyResolution, suit.SectionInstall} {
			edit(m, section, func(c []suit.Command) []suit.Command {
				return append([]suit.Command{do(suit.DirectiveSetComponentIndex, suit.AllComponents{}), check(suit.DirectiveUnlink)}, c...)
			})
		}
		return m
	}
	tr := newTrial()
	tr.fail(t, unlinks(tr), ErrRule)
	tr.Mode = Compat
	outcome := tr.succeed(t, unlinks(tr), newImage)
	if !slices.Equal(outcome.Bent, []Rule{RuleUnlink}) {
		t.Errorf("bent %q", outcome.Bent)
	}
	// What others rely on is not altered for it.
	tr.host.manifests[dataSUIT.Key()] = Installation{Manifest: dataSUIT, Root: true, Components: []suit.ComponentID{app}}
	m := unlinks(tr)
	m.Common.Shared.Commands[1] = override(suit.Parameters{VendorID: &device.Vendor, ClassID: &device.Class, ImageDigest: ptr(suit.SumSHA256(oldImage))})
	tr.fail(t, m, ErrReferenced)
	// The shared sequence changes parameters only.
	tr = newTrial()
	tr.Mode = Compat
	m = sample(newImage)
	m.Common.Shared.Commands = append(m.Common.Shared.Commands, check(suit.DirectiveUnlink))
	tr.fail(t, m, ErrUnsupportedCommand)
}
