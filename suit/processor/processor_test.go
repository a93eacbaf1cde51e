package processor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

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

// A component id may be empty, and is no name of the manifest then.
func TestEmptyComponentID(t *testing.T) {
	tr := newTrial()
	m := sample(newImage)
	m.ComponentID, m.Common.Components = nil, []suit.ComponentID{{}}
	if _, err := tr.update(t, m); err != nil {
		t.Fatal(err)
	}
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
	other.ComponentID = dataSUIT
	other.Common.Components = []suit.ComponentID{data}
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
	tr.Fetcher = served{}
	tr.succeed(t, sample(newImage), newImage)
	// The same size is not enough.
	tr.host.images[app.Key()] = bytes.ToUpper(newImage)
	tr.fail(t, sample(newImage), ErrFetch)
}

// An integrated payload comes before the network, under its exact key.
func TestIntegratedPayload(t *testing.T) {
	for _, uri := range []string{"#app", location} {
		tr := newTrial()
		tr.Fetcher = served{location: []byte("not this one")}
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
		tr.Limits.Components = 2
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
	tr.Limits.Components = 1
	_, failure := tr.fail(t, manifest(suit.AllComponents{}), ErrUnsupportedComponent)
	if failure.Reason != suit.ReasonComponentUnsupported {
		t.Errorf("reason %v", failure.Reason)
	}
}

func TestCancel(t *testing.T) {
	tr := newTrial()
	ctx, cancel := context.WithCancel(t.Context())
	tr.Fetcher = fetcherFunc(func() io.Reader {
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

// A source without end is left one byte after what the manifest allows.
func TestEndlessPayload(t *testing.T) {
	read := 0
	tr := newTrial()
	tr.Fetcher = fetcherFunc(func() io.Reader {
		return readerFunc(func(p []byte) (int, error) { read += len(p); return len(p), nil })
	})
	tr.fail(t, sample(newImage), ErrLimit)
	if read > len(newImage)+1 {
		t.Errorf("read %d bytes for an image of %d", read, len(newImage))
	}
}

func TestUpdateOverHTTP(t *testing.T) {
	answer := map[string]func(http.ResponseWriter){
		"/good": func(w http.ResponseWriter) { w.Write(newImage) },
		"/truncated": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", strconv.Itoa(len(newImage)))
			w.Write(newImage[:10])
		},
		"/announced": func(w http.ResponseWriter) { w.Write(make([]byte, 1000)) },
		"/chunked": func(w http.ResponseWriter) {
			for range 100 {
				w.Write(newImage)
				http.NewResponseController(w).Flush()
			}
		},
	}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { answer[r.URL.Path](w) })
	for path, want := range map[string]error{
		"/truncated": io.ErrUnexpectedEOF, "/announced": ErrLimit, "/chunked": ErrLimit, "/good": nil,
	} {
		tr := newTrial()
		tr.Fetcher = NewHTTPFetcher(server.Client(), patient)
		m := install(override(suit.Parameters{URI: ptr(server.URL + path)}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch))
		if want == nil {
			tr.succeed(t, m, newImage)
			continue
		}
		if _, failure := tr.fail(t, m, want); failure.Command != suit.DirectiveFetch {
			t.Errorf("%s: failed at %s", path, failure.Command)
		}
	}
}

type fetcherFunc func() io.Reader

func (f fetcherFunc) Fetch(context.Context, Request) (io.ReadCloser, error) {
	return io.NopCloser(f()), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Every fault of the host fails the update; whatever it is, the old state stays.
func TestHostFaults(t *testing.T) {
	broken := errors.New("flash is worn out")
	for _, method := range []string{"Begin", "Sequence", "References", "Floor", "Open", "Create", "Write", "Close", "Commit"} {
		t.Run(method, func(t *testing.T) {
			tr := newTrial()
			tr.host.faults[method] = broken
			_, failure := tr.fail(t, sample(newImage), broken)
			if failure.Reason != suit.ReasonOperationFailed {
				t.Errorf("reason %v", failure.Reason)
			}
		})
	}
	t.Run("Read", func(t *testing.T) { // of an image that the procedure has not stored itself
		tr := newTrial()
		tr.host.faults["Read"] = broken
		m := install(override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(oldImage))}), check(suit.ConditionImageMatch))
		if _, failure := tr.fail(t, m, broken); failure.Reason != suit.ReasonOperationFailed {
			t.Errorf("reason %v", failure.Reason)
		}
	})
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
	tr.Fetcher = served{location: oldImage}
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

// A manifest may be for several classes of devices: each alternative has to check one.
func TestCompatibilityInAlternatives(t *testing.T) {
	class := func(id *uuid.UUID) suit.Sequence {
		return inner(override(suit.Parameters{ClassID: id}), check(suit.ConditionClassIdentifier))
	}
	none, soft := inner(check(suit.ConditionVendorIdentifier)), override(suit.Parameters{SoftFailure: ptr(true)})
	mine, others := class(&device.Class), class(&stranger)
	for _, tt := range []struct {
		name  string
		check suit.Command
		err   error
	}{
		{"one of two classes", tries(others, mine), nil},
		{"other classes", tries(others, others), ErrMismatch},
		{"an alternative for all devices", tries(others, none), ErrIncompatible},
		{"none needed", do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{others, others}, Optional: true}), ErrIncompatible},
		{"in a sequence", runs(mine.Commands...), nil},
		{"in a sequence, another", runs(others.Commands...), ErrMismatch},
		{"in a sequence that forgives", runs(append([]suit.Command{soft}, others.Commands...)...), ErrIncompatible},
		{"in an alternative's sequence", tries(inner(runs(others.Commands...)), inner(runs(mine.Commands...))), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			m := sample(newImage)
			m.Common.Shared.Commands = append(m.Common.Shared.Commands[:2:2], tt.check)
			if tt.err != nil {
				tr.fail(t, m, tt.err)
				return
			}
			tr.succeed(t, m, newImage)
		})
	}
}
