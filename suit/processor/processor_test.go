package processor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

var (
	device = Identity{
		Vendor: uuid.MustParse("c0ddd5f1-5243-5660-87db-4f5b0aa26c2f"),
		Class:  uuid.MustParse("db42f709-3d8c-55ba-a8c5-265fc5820f4e"),
		Device: uuid.MustParse("c16efdd8-bb78-5a1a-a8a6-8f1d1c0f6f2b"),
	}
	stranger = uuid.MustParse("00000000-0000-4000-8000-000000000001")

	app      = suit.ComponentID{[]byte("app"), []byte("hello")}
	data     = suit.ComponentID{[]byte("app"), []byte("data")}
	appSUIT  = suit.ComponentID{[]byte("app"), []byte("suit")}
	location = "https://example.org/hello"

	everything Rights = func(suit.ComponentID) bool { return true }
)

var (
	oldImage = []byte("the image that was there before")
	newImage = []byte("the image that the manifest wants")
)

func ptr[T any](v T) *T { return &v }

func do(code suit.CommandCode, arg suit.Argument) suit.Command {
	return suit.Command{Code: code, Argument: arg}
}

// check is a condition, or a directive without an argument of its own.
func check(code suit.CommandCode) suit.Command { return do(code, suit.ReportAll) }

func override(p suit.Parameters) suit.Command {
	return do(suit.DirectiveOverrideParameters, &p)
}

func sequence(commands ...suit.Command) suit.Severable {
	return suit.Severable{Sequence: &suit.Sequence{Commands: commands}}
}

// sample is a manifest that installs image at app/hello from location.
func sample(image []byte) *suit.Manifest {
	return &suit.Manifest{
		Version:        suit.ManifestVersion,
		SequenceNumber: 7,
		ComponentID:    appSUIT,
		Common: suit.Common{
			Components: []suit.ComponentID{app},
			Shared: &suit.Sequence{Commands: []suit.Command{
				override(suit.Parameters{
					VendorID: &device.Vendor, ClassID: &device.Class,
					ImageDigest: ptr(suit.SumSHA256(image)), ImageSize: ptr(uint64(len(image))),
				}),
				check(suit.ConditionVendorIdentifier),
				check(suit.ConditionClassIdentifier),
			}},
		},
		Sections: map[suit.Section]suit.Severable{
			suit.SectionInstall: sequence(
				override(suit.Parameters{URI: &location}),
				check(suit.DirectiveFetch),
				check(suit.ConditionImageMatch),
			),
			suit.SectionValidate: sequence(check(suit.ConditionImageMatch)),
		},
	}
}

// install replaces the install section of the sample.
func install(commands ...suit.Command) *suit.Manifest {
	m := sample(newImage)
	m.Sections[suit.SectionInstall] = sequence(commands...)
	return m
}

// trial is one manifest on one device.
type trial struct {
	host       *memory
	slot       *uint64
	fetcher    Fetcher
	integrated map[string][]byte
	limits     Limits
	rights     Rights
}

func newTrial() *trial {
	host := newMemory(device)
	host.images[app.Key()] = oldImage
	return &trial{host: host, fetcher: served{location: newImage}, limits: DefaultLimits(), rights: everything}
}

func (tr *trial) processor() *Processor {
	var host Host = tr.host
	if tr.slot != nil {
		host = slotted{tr.host, *tr.slot}
	}
	return New(host, tr.fetcher, tr.limits)
}

func (tr *trial) update(t *testing.T, m *suit.Manifest) (*Outcome, error) {
	t.Helper()
	return tr.processor().Update(t.Context(), authentic(t, m, tr.integrated), tr.rights)
}

// succeed updates and wants the image to be installed.
func (tr *trial) succeed(t *testing.T, m *suit.Manifest, image []byte) *Outcome {
	t.Helper()
	outcome, err := tr.update(t, m)
	if err != nil {
		t.Fatal(err)
	}
	if got := tr.host.images[app.Key()]; !bytes.Equal(got, image) {
		t.Errorf("installed %q, want %q", got, image)
	}
	if got := tr.host.manifests[appSUIT.Key()].Sequence; got != m.SequenceNumber {
		t.Errorf("sequence number %d installed, want %d", got, m.SequenceNumber)
	}
	if err := tr.host.same(tr.host.snapshot()); err != nil {
		t.Error(err)
	}
	return outcome
}

// fail updates, wants it to fail with this error and the device to stay as it was.
func (tr *trial) fail(t *testing.T, m *suit.Manifest, want error) (*Outcome, *Failure) {
	t.Helper()
	before := tr.host.snapshot()
	outcome, err := tr.update(t, m)
	return outcome, tr.unchanged(t, before, err, want)
}

func (tr *trial) unchanged(t *testing.T, before *memory, err, want error) *Failure {
	t.Helper()
	var failure *Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want a Failure", err)
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	if err := tr.host.same(before); err != nil {
		t.Error(err)
	}
	return failure
}

func TestUpdateFetches(t *testing.T) {
	tr := newTrial()
	m := sample(newImage)
	tr.succeed(t, m, newImage)
	installed := tr.host.manifests[appSUIT.Key()]
	if !installed.Manifest.Equal(appSUIT) || len(installed.Components) != 1 || !installed.Components[0].Equal(app) {
		t.Errorf("recorded %v with %v", installed.Manifest, installed.Components)
	}
	if !installed.Digest.Equal(authentic(t, m, nil).Digest()) {
		t.Errorf("recorded digest %s", installed.Digest)
	}
}

func TestUpdateInAllSections(t *testing.T) {
	tr := newTrial()
	m := sample(newImage)
	m.Sections[suit.SectionPayloadFetch] = m.Sections[suit.SectionInstall]
	m.Sections[suit.SectionInstall] = sequence(check(suit.ConditionImageMatch))
	tr.succeed(t, m, newImage)
}

// Without a manifest-component-id the manifest is known by its first component.
func TestManifestWithoutComponentID(t *testing.T) {
	tr := newTrial()
	m := sample(newImage)
	m.ComponentID = nil
	if _, err := tr.update(t, m); err != nil {
		t.Fatal(err)
	}
	if tr.host.manifests[app.Key()].Sequence != 7 {
		t.Errorf("recorded %v", tr.host.manifests)
	}
	m.SequenceNumber = 6
	tr.fail(t, m, ErrRollback)
}

// The envelope that the device keeps is still authentic.
func TestRecordedEnvelope(t *testing.T) {
	tr := newTrial()
	tr.integrated = map[string][]byte{"#app": newImage}
	m := install(override(suit.Parameters{URI: ptr("#app")}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch))
	tr.succeed(t, m, newImage)
	kept := tr.host.manifests[appSUIT.Key()].Envelope
	if !verify(t, kept).Digest().Equal(authentic(t, m, nil).Digest()) {
		t.Error("another manifest was kept")
	}
}

func TestSequenceNumber(t *testing.T) {
	tr := newTrial()
	for _, step := range []struct {
		number uint64
		ok     bool
	}{{7, true}, {6, false}, {0, false}, {7, true}, {9, true}, {8, false}} {
		m := sample(newImage)
		m.SequenceNumber = step.number
		if step.ok {
			tr.succeed(t, m, newImage)
			continue
		}
		_, failure := tr.fail(t, m, ErrRollback)
		if failure.Reason != suit.ReasonConditionFailed {
			t.Errorf("reason %v", failure.Reason)
		}
	}
	other := sample(newImage)
	other.SequenceNumber = 1
	other.ComponentID = data
	if _, err := tr.update(t, other); err != nil {
		t.Errorf("another manifest has its own numbers: %v", err)
	}
}

// Validate is for what is installed, and changes nothing.
func TestValidate(t *testing.T) {
	tr := newTrial()
	v := authentic(t, sample(newImage), nil)
	before := tr.host.snapshot()
	_, err := tr.processor().Validate(t.Context(), v, everything)
	failure := tr.unchanged(t, before, err, ErrMismatch)
	if failure.Section != suit.SectionValidate {
		t.Errorf("failed in %s", failure.Section)
	}
	tr.succeed(t, sample(newImage), newImage)
	before = tr.host.snapshot()
	outcome, err := tr.processor().Validate(t.Context(), v, everything)
	if err != nil || len(outcome.Components) != 1 {
		t.Errorf("%v, %v", outcome, err)
	}
	if err := tr.host.same(before); err != nil {
		t.Error(err)
	}
	_, err = tr.processor().Validate(t.Context(), v, nil)
	tr.unchanged(t, before, err, ErrUnauthorized)
}

func TestSkipsFetchOfWhatIsThere(t *testing.T) {
	tr := newTrial()
	tr.host.images[app.Key()] = newImage
	tr.fetcher = served{}
	tr.succeed(t, sample(newImage), newImage)
	// The same size is not enough.
	tr.host.images[app.Key()] = bytes.ToUpper(newImage)
	tr.fail(t, sample(newImage), ErrFetch)
}

// An integrated payload comes before the network, under its exact key.
func TestIntegratedPayload(t *testing.T) {
	for _, uri := range []string{"#app", location} {
		tr := newTrial()
		tr.fetcher = served{location: []byte("not this one")}
		tr.integrated = map[string][]byte{uri: newImage}
		m := install(override(suit.Parameters{URI: &uri}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch))
		tr.succeed(t, m, newImage)
	}
}

func TestSeveralComponents(t *testing.T) {
	one, other := []byte("first image"), []byte("second one")
	manifest := func(index suit.Argument) *suit.Manifest {
		m := sample(nil)
		m.Common.Components = []suit.ComponentID{app, data}
		m.Common.Shared.Commands = []suit.Command{
			do(suit.DirectiveSetComponentIndex, index),
			override(suit.Parameters{VendorID: &device.Vendor, ClassID: &device.Class}),
			check(suit.ConditionVendorIdentifier), check(suit.ConditionClassIdentifier),
			do(suit.DirectiveSetComponentIndex, suit.Index(0)),
			override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(one)), URI: ptr("#one")}),
			do(suit.DirectiveSetComponentIndex, suit.Index(1)),
			override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(other)), URI: ptr("#other")}),
		}
		m.Sections[suit.SectionInstall] = sequence(do(suit.DirectiveSetComponentIndex, index),
			check(suit.DirectiveFetch), check(suit.ConditionImageMatch))
		delete(m.Sections, suit.SectionValidate)
		return m
	}
	for _, index := range []suit.Argument{suit.AllComponents{}, suit.IndexList{1, 0}} {
		tr := newTrial()
		tr.integrated = map[string][]byte{"#one": one, "#other": other}
		tr.limits.Components = 2
		outcome := tr.succeed(t, manifest(index), one)
		if got := tr.host.images[data.Key()]; !bytes.Equal(got, other) {
			t.Errorf("second component %q", got)
		}
		if len(outcome.Components) != 2 {
			t.Errorf("claims %v", outcome.Components)
		}
		// Both change or none does.
		tr.integrated["#other"] = []byte("wrong")
		next := manifest(index)
		next.SequenceNumber++
		tr.host.images[app.Key()], tr.host.images[data.Key()] = oldImage, oldImage
		_, failure := tr.fail(t, next, ErrMismatch)
		if failure.Component != 1 || !failure.ID.Equal(data) {
			t.Errorf("failure of component %d %v", failure.Component, failure.ID)
		}
	}
	tr := newTrial()
	_, failure := tr.fail(t, manifest(suit.AllComponents{}), ErrUnsupportedComponent)
	if failure.Reason != suit.ReasonComponentUnsupported {
		t.Errorf("reason %v", failure.Reason)
	}
}

func TestCancel(t *testing.T) {
	tr := newTrial()
	ctx, cancel := context.WithCancel(t.Context())
	tr.fetcher = fetcherFunc(func() io.Reader {
		return io.MultiReader(bytes.NewReader(newImage[:5]), readerFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() }))
	})
	before := tr.host.snapshot()
	_, err := tr.processor().Update(ctx, authentic(t, sample(newImage), nil), everything)
	failure := tr.unchanged(t, before, err, context.Canceled)
	if failure.Command != suit.DirectiveFetch {
		t.Errorf("failed at %s", failure.Command)
	}
	_, err = tr.processor().Update(ctx, authentic(t, sample(newImage), nil), everything)
	failure = tr.unchanged(t, before, err, context.Canceled)
	if failure.Reason != suit.ReasonOperationFailed {
		t.Errorf("a cancelled condition is reported as %v", failure.Reason)
	}
}

type fetcherFunc func() io.Reader

func (f fetcherFunc) Fetch(context.Context, string, uint64) (io.ReadCloser, error) {
	return io.NopCloser(f()), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Every fault of the host fails the update; whatever it is, the old state stays.
func TestHostFaults(t *testing.T) {
	broken := errors.New("flash is worn out")
	for _, method := range []string{"Begin", "Sequence", "Open", "Read", "Create", "Write", "Close", "Commit"} {
		t.Run(method, func(t *testing.T) {
			tr := newTrial()
			tr.host.faults[method] = broken
			_, failure := tr.fail(t, sample(newImage), broken)
			if failure.Reason != suit.ReasonOperationFailed {
				t.Errorf("reason %v", failure.Reason)
			}
		})
	}
	t.Run("Rollback", func(t *testing.T) {
		tr := newTrial()
		tr.host.faults["Rollback"] = broken
		_, failure := tr.fail(t, install(check(suit.ConditionAbort)), broken)
		if !errors.Is(failure, ErrAbort) {
			t.Errorf("the first fault was lost: %v", failure)
		}
	})
}

func TestFailureMessage(t *testing.T) {
	tr := newTrial()
	tr.fetcher = served{location: oldImage}
	m := sample(newImage)
	m.Common.Shared.Commands[0] = override(suit.Parameters{
		VendorID: &device.Vendor, ClassID: &device.Class, ImageDigest: ptr(suit.SumSHA256(newImage)),
	})
	_, failure := tr.fail(t, m, ErrMismatch)
	for _, part := range []string{"install: image-match at byte ", `"app/hello"`, suit.SumSHA256(oldImage).String(), suit.SumSHA256(newImage).String()} {
		if !strings.Contains(failure.Error(), part) {
			t.Errorf("%q lacks %q", failure.Error(), part)
		}
	}
	section, _ := authentic(t, m, nil).Manifest().Section(suit.SectionInstall)
	i := slices.IndexFunc(section.Commands, func(c suit.Command) bool { return c.Code == suit.ConditionImageMatch })
	if failure.Offset != section.Commands[i].Offset || failure.Offset == 0 {
		t.Errorf("offset %d, want %d", failure.Offset, section.Commands[i].Offset)
	}
}
