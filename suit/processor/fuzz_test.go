package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/suit"
)

// process runs both procedures on an authentic manifest and checks what holds for
// every one: a report that can be encoded, and a device that a failed procedure has
// not changed.
func process(ctx context.Context, tr *trial, v *suit.Verified) (updated, validated bool, err error) {
	p := tr.processor()
	run := func(procedure func(context.Context, *suit.Verified, Rights) (*Outcome, error), changes bool) (bool, error) {
		before := tr.host.snapshot()
		outcome, err := procedure(ctx, v, tr.rights)
		if _, encodeErr := outcome.Report.Encode(); encodeErr != nil {
			return false, fmt.Errorf("report: %w", encodeErr)
		}
		var failure *Failure
		if err != nil && !errors.As(err, &failure) {
			return false, fmt.Errorf("not a Failure: %w", err)
		}
		if outcome.Report.Succeeded() != (err == nil) {
			return false, fmt.Errorf("report tells success %v, error is %w", outcome.Report.Succeeded(), err)
		}
		if err == nil && changes {
			before = tr.host.snapshot()
		}
		return err == nil, tr.host.same(before)
	}
	if updated, err = run(p.Update, true); err != nil {
		return updated, false, err
	}
	validated, err = run(p.Validate, false)
	return updated, validated, err
}

// uninstallAgain takes off again what process has updated, if that was a success.
func uninstallAgain(ctx context.Context, tr *trial, v *suit.Verified, updated bool) error {
	before := tr.host.snapshot()
	outcome, err := tr.processor().Uninstall(ctx, v, tr.rights)
	if _, encodeErr := outcome.Report.Encode(); encodeErr != nil {
		return fmt.Errorf("report: %w", encodeErr)
	}
	if err != nil { // conditions of its own may keep it
		return tr.host.same(before)
	}
	if !updated {
		return errors.New("uninstalled what was not installed")
	}
	for _, id := range v.Manifest().Common.Components {
		if tr.host.images[id.Key()] != nil {
			return fmt.Errorf("%s is still there", id)
		}
	}
	return nil
}

// FuzzProcess takes manifests of every shape, signed by someone who may do anything,
// through both procedures.
func FuzzProcess(f *testing.F) {
	for _, m := range seeds(f) {
		encoded, err := m.Encode(true)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		m, err := suit.DecodeManifest(encoded)
		if err != nil {
			return
		}
		envelope, err := suit.Sign(m, map[string][]byte{"#tc": helloTA}, author)
		if err != nil {
			return
		}
		v, err := envelope.Verify(suit.KeyList{author.PublicKey()}, false)
		if err != nil {
			t.Fatal(err)
		}
		tr := newTrial()
		tr.Fetcher = webFiles
		tr.Limits.Components = 3
		updated, _, err := process(t.Context(), tr, v)
		if err != nil {
			t.Fatal(err)
		}
		if err := uninstallAgain(t.Context(), tr, v, updated); err != nil {
			t.Fatal(err)
		}
	})
}

// seeds are manifests of this package's tests and, where they are at hand, the
// published ones.
func seeds(f *testing.F) []*suit.Manifest {
	manifests := []*suit.Manifest{
		sample(newImage),
		removable(check(suit.DirectiveUnlink)),
		install(override(suit.Parameters{Content: newImage}), check(suit.DirectiveWrite), check(suit.ConditionCheckContent)),
		install(do(suit.DirectiveSetComponentIndex, suit.AllComponents{}), override(suit.Parameters{URI: ptr("#tc")}), check(suit.DirectiveFetch)),
		install(do(suit.DirectiveSetParameters, &suit.Parameters{DeviceID: &device.Device}), check(suit.ConditionDeviceIdentifier), check(suit.ConditionAbort)),
	}
	if os.Getenv("TEEP_VECTORS") == "" {
		return manifests
	}
	for _, family := range []string{"suit-manifest", "teep"} {
		files := openVectors(f, family)
		for name := range files.files {
			m, err := files.read(f, name).UnverifiedManifest()
			if err != nil {
				f.Fatal(err)
			}
			manifests = append(manifests, m)
		}
	}
	return manifests
}

// Sequences of supported commands in any order end in the old state, or in an image
// that the manifest vouches for by its digest or its content.
func TestAnySequenceEndsInAKnownState(t *testing.T) {
	images := [][]byte{newImage, oldImage, []byte("third"), {}}
	payloads := map[string][]byte{}
	for i, image := range images {
		payloads[fmt.Sprintf("#%d", i)] = image
	}
	command := rapid.Custom(func(r *rapid.T) suit.Command {
		i := rapid.IntRange(0, len(images)-1).Draw(r, "image")
		var p suit.Parameters
		switch rapid.IntRange(0, 5).Draw(r, "kind") {
		case 0:
			return check(suit.DirectiveFetch)
		case 1:
			return check(suit.ConditionImageMatch)
		case 2:
			return check(rapid.SampledFrom([]suit.CommandCode{suit.DirectiveWrite, suit.ConditionCheckContent}).Draw(r, "content"))
		case 3:
			p.Content = images[i]
		case 4:
			p.URI = ptr(fmt.Sprintf("#%d", i))
		case 5:
			p.ImageDigest = ptr(suit.SumSHA256(images[i]))
			if rapid.Bool().Draw(r, "with size") {
				p.ImageSize = ptr(uint64(len(images[i])))
			}
		}
		code := rapid.SampledFrom([]suit.CommandCode{suit.DirectiveOverrideParameters, suit.DirectiveSetParameters}).Draw(r, "code")
		return do(code, &p)
	})
	successes := 0
	rapid.Check(t, func(r *rapid.T) {
		m := sample(newImage)
		m.Common.Shared.Commands[0] = override(suit.Parameters{VendorID: &device.Vendor, ClassID: &device.Class})
		some := func(label string) int { return rapid.IntRange(0, len(images)-1).Draw(r, label) }
		commands := append([]suit.Command{override(suit.Parameters{
			Content: images[some("content")], URI: ptr(fmt.Sprintf("#%d", some("uri"))),
			ImageDigest: ptr(suit.SumSHA256(images[some("digest")])),
		})}, rapid.SliceOfN(command, 1, 12).Draw(r, "commands")...)
		m.Sections = map[suit.Section]suit.Severable{suit.SectionInstall: sequence(commands...)}
		tr := newTrial()
		tr.integrated = payloads
		updated, _, err := process(t.Context(), tr, authentic(t, m, payloads))
		if err != nil {
			r.Fatal(err)
		}
		if !updated {
			return
		}
		successes++
		installed := tr.host.images[app.Key()]
		for _, c := range commands {
			p, ok := c.Argument.(*suit.Parameters)
			if !ok {
				continue
			}
			if p.ImageDigest != nil && p.ImageDigest.Equal(suit.SumSHA256(installed)) ||
				p.Content != nil && bytes.Equal(p.Content, installed) {
				return
			}
		}
		r.Fatalf("installed %q, which no digest or content vouches for", installed)
	})
	if successes == 0 {
		t.Error("no sequence succeeded: the test shows nothing")
	}
}
