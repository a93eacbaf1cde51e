package processor

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
)

// invocable is the sample with an invoke section.
func invocable(commands ...suit.Command) *suit.Manifest {
	m := sample(newImage)
	m.Sections[suit.SectionInvoke] = sequence(commands...)
	return m
}

// runner notes what it was called with.
type runner struct {
	images, args []string
	err          error
}

func (r *runner) invoke(_ context.Context, i Invocation) error {
	image, size, err := i.Open()
	if err != nil {
		return err
	}
	defer image.Close()
	content, err := io.ReadAll(image)
	if err != nil || uint64(len(content)) != size {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	r.images, r.args = append(r.images, string(content)), append(r.args, string(i.Args))
	return r.err
}

func (tr *trial) invoke(t *testing.T, m *suit.Manifest) (*Outcome, error) {
	t.Helper()
	return tr.processor().Invoke(t.Context(), authentic(t, m, tr.integrated), tr.rights)
}

func TestInvoke(t *testing.T) {
	args := override(suit.Parameters{InvokeArgs: []byte("--fast")})
	load := func(m *suit.Manifest, commands ...suit.Command) *suit.Manifest {
		m.Sections[suit.SectionLoad] = sequence(commands...)
		return m
	}
	broken := errors.New("exit status 1")
	for _, tt := range []struct {
		name     string
		manifest *suit.Manifest
		arrange  func(*trial, *runner) // after the update
		images   []string
		err      error
		command  suit.CommandCode
	}{
		{name: "invoke", manifest: invocable(args, check(suit.DirectiveInvoke)), images: []string{string(newImage)}},
		{name: "twice", manifest: invocable(args, check(suit.DirectiveInvoke), check(suit.ConditionImageMatch), check(suit.DirectiveInvoke)), images: []string{string(newImage), string(newImage)}},
		{name: "what load wrote", manifest: load(invocable(args, check(suit.DirectiveInvoke)), override(suit.Parameters{Content: []byte("loaded")}), check(suit.DirectiveWrite)),
			images: []string{"loaded"}},
		{name: "image changed since", manifest: invocable(args, check(suit.DirectiveInvoke)), arrange: func(tr *trial, _ *runner) { tr.host.images[app.Key()] = oldImage },
			err: ErrMismatch, command: suit.ConditionImageMatch},
		{name: "loaded and not checked", manifest: load(invocable(args, check(suit.DirectiveInvoke)), override(suit.Parameters{URI: ptr("https://example.org/more"), ImageDigest: ptr(suit.SumSHA256(oldImage))}), check(suit.DirectiveFetch)),
			err: ErrUnchecked, command: suit.DirectiveInvoke},
		{name: "nothing invoked", manifest: invocable(args), err: ErrNotInvoked},
		{name: "it fails", manifest: invocable(args, check(suit.DirectiveInvoke)), arrange: func(_ *trial, r *runner) { r.err = broken }, images: []string{string(newImage)}, err: broken, command: suit.DirectiveInvoke},
		{name: "a failure is not softened", manifest: invocable(args, tries(inner(check(suit.DirectiveInvoke)), inner(check(suit.DirectiveInvoke)))),
			arrange: func(_ *trial, r *runner) { r.err = broken }, images: []string{string(newImage)}, err: broken, command: suit.DirectiveInvoke},
		{name: "not installed", manifest: invocable(args, check(suit.DirectiveInvoke)), arrange: func(tr *trial, _ *runner) { clear(tr.host.manifests) }, err: ErrNotInstalled},
		{name: "no right", manifest: invocable(args, check(suit.DirectiveInvoke)), arrange: func(tr *trial, _ *runner) {
			tr.rights = func(a Access) bool { return a.Command != suit.DirectiveInvoke }
		}, err: ErrUnauthorized, command: suit.DirectiveInvoke},
		{name: "cannot invoke", manifest: invocable(args, check(suit.DirectiveInvoke)), arrange: func(tr *trial, _ *runner) { tr.Invoke = nil },
			err: ErrUnsupportedCommand, command: suit.DirectiveInvoke},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, r := newTrial(), &runner{}
			tr.Fetcher = served{location: newImage, "https://example.org/more": oldImage[1:]}
			tr.Invoke = r.invoke
			tr.succeed(t, tt.manifest, newImage)
			if tt.arrange != nil {
				tt.arrange(tr, r)
			}
			before := tr.host.snapshot()
			outcome, err := tr.invoke(t, tt.manifest)
			if !slices.Equal(r.images, tt.images) || len(r.args) > 0 && r.args[0] != "--fast" {
				t.Errorf("invoked %q with %q", r.images, r.args)
			}
			if tt.err != nil {
				if failure := tr.unchanged(t, before, err, tt.err); failure.Command != tt.command {
					t.Errorf("failed at %s", failure.Command)
				}
				return
			}
			if err != nil || !outcome.Report.Succeeded() {
				t.Error(err)
			}
			if err := tr.host.same(before); err != nil {
				t.Error(err)
			}
		})
	}
}

// What could not be invoked later is not installed, on a device that invokes.
func TestInvokeIsForeseen(t *testing.T) {
	for _, c := range []suit.Command{check(suit.DirectiveWrite), check(suit.DirectiveUnlink), check(99)} {
		tr := newTrial()
		tr.Invoke = (&runner{}).invoke
		if _, failure := tr.fail(t, invocable(c), ErrUnsupportedCommand); failure.Section != suit.SectionInvoke {
			t.Errorf("refused in %s", failure.Section)
		}
	}
	for _, section := range []suit.Section{suit.SectionInstall, suit.SectionLoad, suit.SectionUninstall} {
		tr := newTrial()
		tr.Invoke = (&runner{}).invoke
		m := sample(newImage)
		m.Sections[section] = sequence(check(suit.DirectiveInvoke))
		tr.fail(t, m, ErrUnsupportedCommand)
	}
}
