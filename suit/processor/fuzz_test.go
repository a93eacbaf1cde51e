package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

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
	if len(tr.host.manifests) > 0 {
		return fmt.Errorf("left %v", tr.host.manifests)
	}
	return nil
}

// FuzzProcess takes manifests of every shape, signed by someone who may do anything,
// through all procedures on devices of every kind.
func FuzzProcess(f *testing.F) {
	for i, m := range seeds(f) {
		encoded, err := m.Encode(true)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded, uint16(i*37))
	}
	l := inLib(f, library(libImage), libImage)
	tree := newTrial().dependent(f, l)
	encoded, err := tree.Encode(true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded, uint16(0))
	f.Fuzz(func(t *testing.T, encoded []byte, kind uint16) {
		m, err := suit.DecodeManifest(encoded)
		if err != nil {
			return
		}
		envelope, err := suit.Sign(m, map[string][]byte{"#tc": helloTA, "#lib/suit": l.envelope}, author)
		if err != nil {
			return
		}
		v, err := envelope.Verify(suit.KeyList{author.PublicKey()}, false)
		if err != nil {
			t.Fatal(err)
		}
		tr := deviceOf(kind)
		before := tr.host.snapshot()
		updated, _, err := process(t.Context(), tr, v)
		if err != nil {
			t.Fatal(err)
		}
		if err := onlyVouched(tr.host, before, m, library(libImage)); err != nil {
			t.Fatal(err)
		}
		installed := tr.host.snapshot()
		if _, err := tr.processor().Invoke(t.Context(), v, tr.rights); err == nil && !updated {
			t.Fatal("invoked what is not installed")
		}
		if err := tr.host.same(installed); err != nil {
			t.Fatalf("invoke: %v", err)
		}
		if err := uninstallAgain(t.Context(), tr, v, updated); err != nil {
			t.Fatal(err)
		}
	})
}

// deviceOf makes a device whose answers are the bits of kind.
func deviceOf(kind uint16) *trial {
	tr := newTrial()
	bit := func(i int) bool { return kind>>i&1 == 1 }
	tr.Fetcher = webFiles
	tr.Limits.Components, tr.Limits.Commands = 8, 500
	tr.host.resumes, tr.metadata = bit(0), bit(1)
	if bit(2) {
		tr.Mode = Compat
	}
	if bit(3) {
		tr.slot = ptr(uint64(kind >> 4 & 1))
	}
	if bit(5) {
		tr.Circumstances = Circumstances{
			Clock:     func() time.Time { return time.Unix(1<<30, 0) },
			Battery:   func(context.Context) (uint64, error) { return uint64(kind), nil },
			Authorize: func(context.Context, *int64) error { return nil },
			Wait:      func(context.Context, *suit.WaitInfo) error { return nil },
		}
	}
	if bit(6) {
		tr.Invoke = (&runner{}).invoke
	}
	if bit(7) {
		tr.Custom = map[suit.CommandCode]CustomCommand{-300: {Condition: bit(8), Run: func(context.Context, CustomCall) error { return nil }}}
	}
	if bit(9) {
		tr.Authority = nil
	}
	if faults := []string{"Open", "Read", "Create", "Write", "Close", "Swap", "Version"}; bit(10) {
		tr.host.faults[faults[int(kind>>11)%len(faults)]] = errors.New("flash is worn out")
	}
	return tr
}

// onlyVouched holds every image that a manifest brought against the digests and contents
// that are signed, those of its dependency included. A swap moves what was there.
func onlyVouched(host, before *memory, manifests ...*suit.Manifest) error {
	known := [][]byte{}
	for _, image := range before.images {
		known = append(known, image)
	}
	digests := []suit.Digest{}
	collect := func(p *suit.Parameters) {
		if p.Content != nil {
			known = append(known, p.Content)
		}
		if p.ImageDigest != nil {
			digests = append(digests, *p.ImageDigest)
		}
	}
	for _, m := range manifests {
		if m.Common.Shared != nil {
			eachParameters(m.Common.Shared, collect)
		}
		for _, body := range m.Sections {
			if body.Sequence != nil {
				eachParameters(body.Sequence, collect)
			}
		}
	}
	for key, image := range host.images {
		if slices.ContainsFunc(known, func(one []byte) bool { return bytes.Equal(one, image) }) {
			continue
		}
		if !slices.ContainsFunc(digests, func(d suit.Digest) bool { return digestOf(d.Algorithm, image).Equal(d) }) {
			return fmt.Errorf("%x holds %q, which nothing vouches for", key, image)
		}
	}
	return nil
}

func digestOf(algorithm suit.DigestAlgorithm, image []byte) suit.Digest {
	h, ok := algorithm.New()
	if !ok {
		return suit.Digest{}
	}
	h.Write(image)
	return suit.Digest{Algorithm: algorithm, Bytes: h.Sum(nil)}
}

func eachParameters(sequence *suit.Sequence, f func(*suit.Parameters)) {
	for _, c := range sequence.Commands {
		switch arg := c.Argument.(type) {
		case *suit.Parameters:
			f(arg)
		case suit.ParameterSets:
			for _, p := range arg {
				f(p)
			}
		case *suit.Sequence:
			eachParameters(arg, f)
		case *suit.Alternatives:
			for i := range arg.Sequences {
				eachParameters(&arg.Sequences[i], f)
			}
		}
	}
}

// seeds are manifests of this package's tests and, where they are at hand, the
// published ones.
func seeds(f *testing.F) []*suit.Manifest {
	manifests := []*suit.Manifest{
		sample(newImage),
		removable(check(suit.DirectiveUnlink)),
		install(override(suit.Parameters{Content: newImage}), check(suit.DirectiveWrite), check(suit.ConditionCheckContent)),
		invocable(check(suit.DirectiveInvoke)),
		two(index(0), override(suit.Parameters{SourceComponent: ptr(uint64(1)), Content: newImage}), check(suit.DirectiveWrite), check(suit.DirectiveSwap), check(suit.DirectiveCopy), check(suit.ConditionImageMatch)),
		two(index(0), tries(inner(check(suit.ConditionVersion)), inner(runs(override(suit.Parameters{SoftFailure: ptr(true), UseBefore: ptr(uint64(1))}), check(suit.ConditionUseBefore)))), check(suit.ConditionMinimumBattery)),
		two(do(suit.DirectiveOverrideMultiple, suit.ParameterSets{0: {Content: newImage}}), do(suit.DirectiveCopyParams, suit.ParameterCopies{0: {suit.ParameterContent}}), check(suit.DirectiveWrite), check(suit.ConditionImageNotMatch)),
		install(do(suit.DirectiveSetComponentIndex, suit.AllComponents{}), override(suit.Parameters{URI: ptr("#tc")}), check(suit.DirectiveFetch)),
		install(do(suit.DirectiveSetParameters, &suit.Parameters{DeviceID: &device.Device}), check(suit.ConditionDeviceIdentifier), check(suit.ConditionAbort)),
	}
	if os.Getenv("TEEP_VECTORS") == "" {
		return manifests
	}
	for _, family := range []string{"suit-manifest", "teep", "suit-trust-domains", "suit-firmware-encryption"} {
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

// Sequences of commands in any order and any nesting, on two components, end in the old
// state, or in images that the manifest vouches for by their digests or contents.
func TestAnySequenceEndsInAKnownState(t *testing.T) {
	images := [][]byte{newImage, oldImage, []byte("third"), {}}
	payloads := map[string][]byte{}
	for i, image := range images {
		payloads[fmt.Sprintf("#%d", i)] = image
	}
	successes := 0
	rapid.Check(t, func(r *rapid.T) {
		some := func(label string) int { return rapid.IntRange(0, len(images)-1).Draw(r, label) }
		m := two(append([]suit.Command{
			do(suit.DirectiveSetComponentIndex, suit.AllComponents{}),
			override(suit.Parameters{
				Content: images[some("content")], URI: ptr(fmt.Sprintf("#%d", some("uri"))),
				ImageDigest: ptr(suit.SumSHA256(images[some("digest")])), SourceComponent: ptr(uint64(1)),
			}), index(0),
		}, anyCommands(r, images, 12, 2)...)...)
		m.Common.Shared.Commands[1] = override(suit.Parameters{VendorID: &device.Vendor, ClassID: &device.Class})
		tr := newTrial()
		tr.integrated = payloads
		before := tr.host.snapshot()
		updated, _, err := process(t.Context(), tr, authentic(t, m, payloads))
		if err != nil {
			r.Fatal(err)
		}
		if err := onlyVouched(tr.host, before, m); err != nil {
			r.Fatal(err)
		}
		if updated {
			successes++
		}
	})
	if successes == 0 {
		t.Error("no sequence succeeded: the test shows nothing")
	}
}

func anyCommands(r *rapid.T, images [][]byte, most, depth int) []suit.Command {
	n := rapid.IntRange(1, most).Draw(r, "commands")
	commands := make([]suit.Command, n)
	for i := range commands {
		commands[i] = anyCommand(r, images, depth)
	}
	return commands
}

func anyCommand(r *rapid.T, images [][]byte, depth int) suit.Command {
	sequence := func() suit.Sequence { return inner(anyCommands(r, images, 4, depth-1)...) }
	kinds := 9
	if depth > 0 {
		kinds = 11
	}
	var p suit.Parameters
	image := rapid.SampledFrom(images).Draw(r, "image")
	switch rapid.IntRange(0, kinds-1).Draw(r, "kind") {
	case 0, 1:
		return check(rapid.SampledFrom([]suit.CommandCode{
			suit.DirectiveFetch, suit.DirectiveWrite, suit.DirectiveCopy, suit.DirectiveSwap,
		}).Draw(r, "store"))
	case 2, 3:
		return check(rapid.SampledFrom([]suit.CommandCode{
			suit.ConditionImageMatch, suit.ConditionCheckContent, suit.ConditionImageNotMatch,
		}).Draw(r, "condition"))
	case 4:
		return do(suit.DirectiveSetComponentIndex, rapid.SampledFrom([]suit.Argument{
			suit.Index(0), suit.Index(1), suit.AllComponents{}, suit.IndexList{1, 0},
		}).Draw(r, "index"))
	case 5:
		p.Content = image
	case 6:
		p.SourceComponent = ptr(uint64(rapid.IntRange(0, 1).Draw(r, "source")))
	case 7:
		p.URI = ptr(fmt.Sprintf("#%d", rapid.IntRange(0, len(images)-1).Draw(r, "uri")))
	case 8:
		p.ImageDigest = ptr(suit.SumSHA256(image))
		if rapid.Bool().Draw(r, "with size") {
			p.ImageSize = ptr(uint64(len(image)))
		}
	case 9:
		return tries(sequence(), sequence())
	case 10:
		s := sequence()
		return runs(append([]suit.Command{override(suit.Parameters{SoftFailure: ptr(rapid.Bool().Draw(r, "soft"))})}, s.Commands...)...)
	}
	code := rapid.SampledFrom([]suit.CommandCode{suit.DirectiveOverrideParameters, suit.DirectiveSetParameters}).Draw(r, "code")
	return do(code, &p)
}
