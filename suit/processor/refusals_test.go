package processor

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func TestCommands(t *testing.T) {
	slot := func(n uint64) *uint64 { return &n }
	fetched := []suit.Command{override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch)}
	after := func(commands ...suit.Command) []suit.Command { return slices.Concat(fetched, commands) }
	before := func(commands ...suit.Command) []suit.Command { return slices.Concat(commands, fetched) }
	for _, tt := range []struct {
		name    string
		install []suit.Command
		arrange func(*trial)
		code    suit.CommandCode // that fails
		err     error            // nil: the update succeeds
		reason  suit.ReportReason
	}{
		{name: "vendor", install: before(override(suit.Parameters{VendorID: &device.Vendor}), check(suit.ConditionVendorIdentifier))},
		{name: "other vendor", install: before(override(suit.Parameters{VendorID: &stranger}), check(suit.ConditionVendorIdentifier)),
			code: suit.ConditionVendorIdentifier, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "class", install: before(override(suit.Parameters{ClassID: &device.Class}), check(suit.ConditionClassIdentifier))},
		{name: "other class", install: before(override(suit.Parameters{ClassID: &stranger}), check(suit.ConditionClassIdentifier)),
			code: suit.ConditionClassIdentifier, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "device", install: before(override(suit.Parameters{DeviceID: &device.Device}), check(suit.ConditionDeviceIdentifier))},
		{name: "other device", install: before(override(suit.Parameters{DeviceID: &stranger}), check(suit.ConditionDeviceIdentifier)),
			code: suit.ConditionDeviceIdentifier, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "device id not set", install: before(check(suit.ConditionDeviceIdentifier)),
			code: suit.ConditionDeviceIdentifier, err: ErrMissingParameter, reason: suit.ReasonConditionFailed},
		{name: "device without an id", install: before(override(suit.Parameters{DeviceID: &uuid.UUID{}}), check(suit.ConditionDeviceIdentifier)),
			arrange: func(tr *trial) { tr.host.identity.Device = uuid.Nil },
			code:    suit.ConditionDeviceIdentifier, err: ErrMismatch, reason: suit.ReasonConditionFailed},

		{name: "image mismatch", install: fetched, arrange: func(tr *trial) { tr.Fetcher = served{location: []byte("another")} },
			code: suit.ConditionImageMatch, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "image of one byte less", install: fetched, arrange: func(tr *trial) { tr.Fetcher = served{location: newImage[1:]} },
			code: suit.ConditionImageMatch, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "no image", install: []suit.Command{check(suit.ConditionImageMatch)}, arrange: func(tr *trial) { clear(tr.host.images) },
			code: suit.ConditionImageMatch, err: ErrNoImage, reason: suit.ReasonConditionFailed},
		{name: "image match before the fetch", install: before(check(suit.ConditionImageMatch)),
			code: suit.ConditionImageMatch, err: ErrMismatch, reason: suit.ReasonConditionFailed},

		{name: "content", install: after(override(suit.Parameters{Content: newImage}), check(suit.ConditionCheckContent))},
		{name: "other content", install: after(override(suit.Parameters{Content: bytes.ToUpper(newImage)}), check(suit.ConditionCheckContent)),
			code: suit.ConditionCheckContent, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "shorter content", install: after(override(suit.Parameters{Content: newImage[:3]}), check(suit.ConditionCheckContent)),
			code: suit.ConditionCheckContent, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "empty content", install: after(override(suit.Parameters{Content: []byte{}}), check(suit.ConditionCheckContent)),
			code: suit.ConditionCheckContent, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "content not set", install: after(check(suit.ConditionCheckContent)),
			code: suit.ConditionCheckContent, err: ErrMissingParameter, reason: suit.ReasonConditionFailed},
		{name: "content of no image", install: before(override(suit.Parameters{Content: newImage}), check(suit.ConditionCheckContent)),
			arrange: func(tr *trial) { clear(tr.host.images) },
			code:    suit.ConditionCheckContent, err: ErrNoImage, reason: suit.ReasonConditionFailed},

		{name: "slot", install: before(override(suit.Parameters{ComponentSlot: slot(1)}), check(suit.ConditionComponentSlot)),
			arrange: func(tr *trial) { tr.slot = slot(1) }},
		{name: "other slot", install: before(override(suit.Parameters{ComponentSlot: slot(0)}), check(suit.ConditionComponentSlot)),
			arrange: func(tr *trial) { tr.slot = slot(1) },
			code:    suit.ConditionComponentSlot, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "slot not set", install: before(check(suit.ConditionComponentSlot)), arrange: func(tr *trial) { tr.slot = slot(1) },
			code: suit.ConditionComponentSlot, err: ErrMissingParameter, reason: suit.ReasonConditionFailed},
		{name: "device without slots", install: before(override(suit.Parameters{ComponentSlot: slot(0)}), check(suit.ConditionComponentSlot)),
			code: suit.ConditionComponentSlot, err: ErrUnsupportedCommand, reason: suit.ReasonCommandUnsupported},

		{name: "abort", install: after(check(suit.ConditionAbort)), code: suit.ConditionAbort, err: ErrAbort, reason: suit.ReasonConditionFailed},

		{name: "index", install: before(do(suit.DirectiveSetComponentIndex, suit.Index(0)))},
		{name: "index of all", install: before(do(suit.DirectiveSetComponentIndex, suit.AllComponents{}))},
		{name: "index list", install: before(do(suit.DirectiveSetComponentIndex, suit.IndexList{0}))},
		{name: "index too high", install: before(do(suit.DirectiveSetComponentIndex, suit.Index(1))),
			code: suit.DirectiveSetComponentIndex, err: ErrUnsupportedComponent, reason: suit.ReasonComponentUnsupported},
		{name: "index list too high", install: before(do(suit.DirectiveSetComponentIndex, suit.IndexList{0, 1 << 63})),
			code: suit.DirectiveSetComponentIndex, err: ErrUnsupportedComponent, reason: suit.ReasonComponentUnsupported},

		{name: "set does not replace", install: after(do(suit.DirectiveSetParameters, &suit.Parameters{ImageDigest: ptr(suit.SumSHA256(oldImage))}),
			check(suit.ConditionImageMatch))},
		{name: "set where unset", install: after(do(suit.DirectiveSetParameters, &suit.Parameters{DeviceID: &stranger}), check(suit.ConditionDeviceIdentifier)),
			code: suit.ConditionDeviceIdentifier, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "override replaces", install: after(override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(oldImage))}), check(suit.ConditionImageMatch)),
			code: suit.ConditionImageMatch, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "strict order", install: before(override(suit.Parameters{StrictOrder: ptr(false)}))},
		{name: "soft failure at the top", install: before(override(suit.Parameters{SoftFailure: ptr(true)})),
			code: suit.DirectiveOverrideParameters, err: ErrAbort, reason: suit.ReasonOperationFailed},
		{name: "soft failure set to false", install: before(do(suit.DirectiveSetParameters, &suit.Parameters{SoftFailure: ptr(false)})),
			code: suit.DirectiveSetParameters, err: ErrAbort, reason: suit.ReasonOperationFailed},

		{name: "uri not set", install: []suit.Command{check(suit.DirectiveFetch), check(suit.ConditionImageMatch)},
			code: suit.DirectiveFetch, err: ErrMissingParameter, reason: suit.ReasonOperationFailed},
		{name: "nothing there", install: fetched, arrange: func(tr *trial) { tr.Fetcher = served{} },
			code: suit.DirectiveFetch, err: ErrFetch, reason: suit.ReasonOperationFailed},
		{name: "no such integrated payload", install: before(override(suit.Parameters{URI: ptr("#none")}), check(suit.DirectiveFetch)),
			code: suit.DirectiveFetch, err: ErrFetch, reason: suit.ReasonOperationFailed},
		{name: "no fetcher", install: fetched, arrange: func(tr *trial) { tr.Fetcher = nil },
			code: suit.DirectiveFetch, err: ErrURI, reason: suit.ReasonOperationFailed},
		{name: "payload of one byte more", install: fetched, arrange: func(tr *trial) { tr.Fetcher = served{location: append([]byte("x"), newImage...)} },
			code: suit.DirectiveFetch, err: ErrLimit, reason: suit.ReasonOperationFailed},
		{name: "integrated payload of one byte more", install: fetched,
			arrange: func(tr *trial) { tr.integrated = map[string][]byte{location: append([]byte("x"), newImage...)} },
			code:    suit.DirectiveFetch, err: ErrLimit, reason: suit.ReasonOperationFailed},
		{name: "payload beyond the device", install: fetched, arrange: func(tr *trial) { tr.Limits.FetchedBytes = uint64(len(newImage)) - 1 },
			code: suit.DirectiveFetch, err: ErrLimit, reason: suit.ReasonOperationFailed},
		{name: "payloads beyond the device together", arrange: func(tr *trial) {
			tr.Limits.FetchedBytes = uint64(len(newImage))
			tr.Fetcher = served{location: newImage, "https://example.org/more": oldImage}
		}, install: before(override(suit.Parameters{URI: ptr("https://example.org/more")}), check(suit.DirectiveFetch)),
			code: suit.DirectiveFetch, err: ErrLimit, reason: suit.ReasonOperationFailed},

		{name: "write", install: []suit.Command{override(suit.Parameters{Content: newImage}), check(suit.DirectiveWrite)}},
		{name: "write without content", install: []suit.Command{check(suit.DirectiveWrite)},
			code: suit.DirectiveWrite, err: ErrMissingParameter, reason: suit.ReasonOperationFailed},
		{name: "write something else", install: []suit.Command{override(suit.Parameters{Content: oldImage}), check(suit.DirectiveWrite), check(suit.ConditionImageMatch)},
			code: suit.ConditionImageMatch, err: ErrMismatch, reason: suit.ReasonConditionFailed},
		{name: "fetch over a written image", install: []suit.Command{
			override(suit.Parameters{Content: oldImage}), check(suit.DirectiveWrite),
			override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch)}},

		{name: "too many commands", install: fetched, arrange: func(tr *trial) { tr.Limits.Commands = 5 },
			code: suit.ConditionImageMatch, err: ErrLimit, reason: suit.ReasonOperationFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			if tt.arrange != nil {
				tt.arrange(tr)
			}
			m := install(tt.install...)
			if tt.err == nil {
				tr.succeed(t, m, newImage)
				return
			}
			outcome, failure := tr.fail(t, m, tt.err)
			if failure.Command != tt.code || failure.Section != suit.SectionInstall || failure.Reason != tt.reason {
				t.Errorf("failed at %s of %s with reason %v, want %s, reason %v", failure.Command, failure.Section, failure.Reason, tt.code, tt.reason)
			}
			if len(outcome.Components) != 0 {
				t.Error("a failed update claims components")
			}
		})
	}
}

// An image that nobody checked does not become the installed one.
func TestUncheckedImage(t *testing.T) {
	unchecked := install(override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch))
	delete(unchecked.Sections, suit.SectionValidate)
	again := install(override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch),
		override(suit.Parameters{URI: ptr("https://example.org/more")}), check(suit.DirectiveFetch))
	delete(again.Sections, suit.SectionValidate)
	nothing := install(override(suit.Parameters{URI: &location}))
	delete(nothing.Sections, suit.SectionValidate)
	for name, m := range map[string]*suit.Manifest{"never": unchecked, "before it changed": again, "nothing to check": nothing} {
		tr := newTrial()
		tr.Fetcher = served{location: newImage, "https://example.org/more": oldImage}
		if name == "before it changed" {
			m.Common.Shared.Commands[0] = override(suit.Parameters{
				VendorID: &device.Vendor, ClassID: &device.Class, ImageDigest: ptr(suit.SumSHA256(newImage)),
			})
		}
		_, failure := tr.fail(t, m, ErrUnchecked)
		if failure.Reason != suit.ReasonConditionFailed {
			t.Errorf("%s: reason %v", name, failure.Reason)
		}
	}
}

// A fetch makes what was known about the image void.
func TestImageIsMeasuredAgain(t *testing.T) {
	for _, tt := range []struct {
		installed, fetched []byte
		err                error
	}{
		{newImage, oldImage, ErrMismatch},
		{oldImage, newImage, nil},
	} {
		tr := newTrial()
		tr.host.images[app.Key()] = tt.installed
		tr.Fetcher = served{location: tt.fetched}
		m := install(
			override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(tt.installed))}),
			check(suit.ConditionImageMatch),
			override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(newImage)), URI: &location}),
			check(suit.DirectiveFetch),
			check(suit.ConditionImageMatch),
		)
		// Without a size the fetch is not spared.
		m.Common.Shared.Commands[0] = override(suit.Parameters{VendorID: &device.Vendor, ClassID: &device.Class})
		delete(m.Sections, suit.SectionValidate)
		if tt.err == nil {
			tr.succeed(t, m, newImage)
		} else {
			tr.fail(t, m, tt.err)
		}
	}
}

// Content stands in the signed manifest: writing it needs no further check.
func TestWrittenContentIsVouchedFor(t *testing.T) {
	tr := newTrial()
	m := install(override(suit.Parameters{Content: newImage}), check(suit.DirectiveWrite))
	delete(m.Sections, suit.SectionValidate)
	tr.succeed(t, m, newImage)
}

// What cannot or may not be executed is refused before the device is touched.
func TestRefusals(t *testing.T) {
	withParameters := func(p suit.Parameters) func(*suit.Manifest, *trial) {
		return func(m *suit.Manifest, _ *trial) {
			// The last command, so that everything before it could have run.
			section := m.Sections[suit.SectionValidate].Sequence
			section.Commands = append(section.Commands, override(p))
		}
	}
	withCommand := func(c suit.Command) func(*suit.Manifest, *trial) {
		return func(m *suit.Manifest, _ *trial) {
			section := m.Sections[suit.SectionValidate].Sequence
			section.Commands = append(section.Commands, c)
		}
	}
	shared := func(c suit.Command) func(*suit.Manifest, *trial) {
		return func(m *suit.Manifest, _ *trial) {
			m.Common.Shared.Commands = append(m.Common.Shared.Commands, c)
		}
	}
	except := func(id suit.ComponentID) Rights {
		return func(a Access) bool { return !id.Equal(a.Component) }
	}
	inner := suit.Sequence{Commands: []suit.Command{check(suit.ConditionAbort)}}
	digest := ptr(suit.SumSHA256([]byte("severed")))
	for _, tt := range []struct {
		name   string
		change func(*suit.Manifest, *trial)
		err    error
		reason suit.ReportReason
	}{
		{"version", func(m *suit.Manifest, _ *trial) { m.Version = 2 }, ErrVersion, suit.ReasonCBORParse},
		{"too many components", func(m *suit.Manifest, tr *trial) {
			tr.Limits.Components = 1
			m.Common.Components = append(m.Common.Components, data)
		}, ErrUnsupportedComponent, suit.ReasonComponentUnsupported},
		{"component twice", func(m *suit.Manifest, tr *trial) {
			tr.Limits.Components = 2
			m.Common.Components = append(m.Common.Components, app)
		}, ErrUnsupportedComponent, suit.ReasonComponentUnsupported},
		{"several components, none selected", func(m *suit.Manifest, tr *trial) {
			tr.Limits.Components = 2
			m.Common.Components = append(m.Common.Components, data)
		}, ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"component unknown", func(_ *suit.Manifest, tr *trial) { tr.host.unknown[app.Key()] = true }, ErrUnsupportedComponent, suit.ReasonComponentUnsupported},
		{"no rights", func(_ *suit.Manifest, tr *trial) { tr.rights = nil }, ErrUnauthorized, suit.ReasonComponentUnauthorised},
		{"no right to the component", func(_ *suit.Manifest, tr *trial) { tr.rights = except(app) }, ErrUnauthorized, suit.ReasonComponentUnauthorised},
		{"no right to the manifest id", func(_ *suit.Manifest, tr *trial) { tr.rights = except(appSUIT) }, ErrUnauthorized, suit.ReasonComponentUnauthorised},
		{"dependencies without authority", func(m *suit.Manifest, tr *trial) {
			tr.Authority = nil
			m.Common.Dependencies = []suit.Dependency{{Index: 1, Prefix: data}}
		}, ErrUnsupportedElement, suit.ReasonCommandUnsupported},
		{"dependency without a place", func(m *suit.Manifest, _ *trial) {
			m.Common.Dependencies = []suit.Dependency{{Index: 1}}
		}, ErrUnsupportedElement, suit.ReasonCBORParse},
		{"dependency on itself", func(m *suit.Manifest, _ *trial) {
			m.Common.Dependencies = []suit.Dependency{{Index: 1, Prefix: appSUIT}}
		}, ErrCycle, suit.ReasonOperationFailed},
		{"its own id as a component", func(m *suit.Manifest, _ *trial) {
			m.Common.Components = append(m.Common.Components, appSUIT)
		}, ErrUnsupportedComponent, suit.ReasonComponentUnsupported},
		{"unknown key of a dependency", func(m *suit.Manifest, _ *trial) {
			m.Common.Dependencies = []suit.Dependency{{Index: 1, Prefix: data, Extensions: map[int64]cosekit.RawMessage{9: {0x01}}}}
		}, ErrUnsupportedElement, suit.ReasonCommandUnsupported},
		{"unknown key of common", func(m *suit.Manifest, _ *trial) {
			m.Common.Extensions = map[int64]cosekit.RawMessage{99: {0x01}}
		}, ErrUnsupportedElement, suit.ReasonCommandUnsupported},
		{"unknown key", func(m *suit.Manifest, _ *trial) { m.Extensions = map[int64]cosekit.RawMessage{99: {0x01}} }, ErrUnsupportedElement, suit.ReasonCommandUnsupported},
		{"nothing to run", func(m *suit.Manifest, _ *trial) { clear(m.Sections) }, ErrUnsupportedElement, suit.ReasonCommandUnsupported},
		{"severed", func(m *suit.Manifest, _ *trial) { m.Sections[suit.SectionInstall] = suit.Severable{Digest: digest} }, ErrSevered, suit.ReasonSeveringUnsupported},
		{"no shared sequence", func(m *suit.Manifest, _ *trial) { m.Common.Shared = nil }, ErrIncompatible, suit.ReasonConditionFailed},
		{"no vendor check", func(m *suit.Manifest, _ *trial) {
			m.Common.Shared.Commands = slices.Delete(m.Common.Shared.Commands, 1, 2)
		}, ErrIncompatible, suit.ReasonConditionFailed},
		{"no class check", func(m *suit.Manifest, _ *trial) {
			m.Common.Shared.Commands = slices.Delete(m.Common.Shared.Commands, 2, 3)
		}, ErrIncompatible, suit.ReasonConditionFailed},
		{"fetch in the shared sequence", shared(check(suit.DirectiveFetch)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"write in the shared sequence", shared(check(suit.DirectiveWrite)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"custom command in the shared sequence", shared(check(-300)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"index out of range in the shared sequence", shared(do(suit.DirectiveSetComponentIndex, suit.Index(3))), ErrUnsupportedComponent, suit.ReasonComponentUnsupported},

		{"copy", withCommand(check(suit.DirectiveCopy)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"swap", withCommand(check(suit.DirectiveSwap)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"invoke", withCommand(check(suit.DirectiveInvoke)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"unlink", withCommand(check(suit.DirectiveUnlink)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"sequences too deep", func(m *suit.Manifest, tr *trial) {
			tr.Limits.Depth = 1
			withCommand(do(suit.DirectiveRunSequence, &suit.Sequence{Commands: []suit.Command{do(suit.DirectiveRunSequence, &inner)}}))(m, tr)
		}, ErrLimit, suit.ReasonOperationFailed},
		{"unknown command in a sequence", withCommand(do(suit.DirectiveRunSequence, &suit.Sequence{Commands: []suit.Command{check(99)}})), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"write in an alternative", withCommand(do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{inner, {Commands: []suit.Command{check(suit.DirectiveWrite)}}}})), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"wait where none can", withCommand(check(suit.DirectiveWait)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"process-dependency of an image", withCommand(check(suit.DirectiveProcessDependency)), ErrNotDependency, suit.ReasonOperationFailed},
		{"dependency-integrity of an image", withCommand(check(suit.ConditionDependencyIntegrity)), ErrNotDependency, suit.ReasonOperationFailed},
		{"process-dependency in the shared sequence", shared(check(suit.DirectiveProcessDependency)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"the reserved custom command", func(m *suit.Manifest, tr *trial) {
			tr.Custom = map[suit.CommandCode]CustomCommand{-256: {Run: func(context.Context, CustomCall) error { return nil }}}
			withCommand(check(-256))(m, tr)
		}, ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"known custom command in the shared sequence", func(m *suit.Manifest, tr *trial) {
			tr.Custom = map[suit.CommandCode]CustomCommand{-300: {Run: func(context.Context, CustomCall) error { return nil }}}
			shared(check(-300))(m, tr)
		}, ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"custom command", withCommand(check(-257)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},
		{"unregistered command", withCommand(check(99)), ErrUnsupportedCommand, suit.ReasonCommandUnsupported},

		{"source-component out of range", withParameters(suit.Parameters{SourceComponent: ptr(uint64(1))}), ErrUnsupportedComponent, suit.ReasonComponentUnsupported},
		{"encryption-info without keys", withParameters(suit.Parameters{EncryptionInfo: []byte{0x01}}), ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"component-metadata without a keeper", withParameters(suit.Parameters{Metadata: &suit.ComponentMetadata{Permissions: ptr(suit.Permissions(1))}}), ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"component-metadata that is not kept", func(m *suit.Manifest, tr *trial) {
			tr.metadata = true
			withParameters(suit.Parameters{Metadata: &suit.ComponentMetadata{Creator: ptr(suit.ActorID{Text: "me"})}})(m, tr)
		}, ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"encryption-info that is none", func(m *suit.Manifest, tr *trial) {
			_, tr.Keys = secret(t)
			withParameters(suit.Parameters{EncryptionInfo: []byte{0x01}})(m, tr)
		}, ErrUnsupportedParameter, suit.ReasonCBORParse},
		{"encryption-info with its ciphertext", func(m *suit.Manifest, tr *trial) {
			var key *cosekit.SecretKey
			key, tr.Keys = secret(t)
			sealed, err := cosekit.Encryption{Content: cosekit.A128GCM, Context: cosekit.PayloadEncryption, Recipients: []cosekit.Recipient{key}}.Seal(newImage)
			if err != nil {
				t.Fatal(err)
			}
			withParameters(suit.Parameters{EncryptionInfo: sealed})(m, tr)
		}, ErrUnsupportedCOSE, suit.ReasonCOSEUnsupported},
		{"unknown event to wait for", func(m *suit.Manifest, tr *trial) {
			withParameters(suit.Parameters{WaitInfo: &suit.WaitInfo{Power: ptr(int64(1)), Other: map[int64]cosekit.RawMessage{99: {0x01}}}})(m, tr)
		}, ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"custom parameter in the shared sequence", func(m *suit.Manifest, tr *trial) {
			tr.Custom = map[suit.CommandCode]CustomCommand{-300: {}}
			shared(override(suit.Parameters{Other: map[suit.ParameterCode]cosekit.RawMessage{-300: {0x01}}}))(m, tr)
		}, ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"the reserved custom parameter", func(m *suit.Manifest, tr *trial) {
			tr.Custom = map[suit.CommandCode]CustomCommand{-300: {}}
			withParameters(suit.Parameters{Other: map[suit.ParameterCode]cosekit.RawMessage{-256: {0x01}}})(m, tr)
		}, ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"long custom parameter", func(m *suit.Manifest, tr *trial) {
			tr.Custom = map[suit.CommandCode]CustomCommand{-300: {}}
			withParameters(suit.Parameters{Other: map[suit.ParameterCode]cosekit.RawMessage{-300: cosekit.MustMarshal(make([]byte, 2000))}})(m, tr)
		}, ErrLimit, suit.ReasonParameterUnsupported},
		{"soft-failure for several components", withCommand(do(suit.DirectiveOverrideMultiple, suit.ParameterSets{0: {SoftFailure: ptr(true)}})), ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"long arguments", withParameters(suit.Parameters{InvokeArgs: make([]byte, 2000)}), ErrLimit, suit.ReasonParameterUnsupported},
		{"custom parameter without commands", withParameters(suit.Parameters{Other: map[suit.ParameterCode]cosekit.RawMessage{-300: {0x01}}}), ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"unregistered parameter", withParameters(suit.Parameters{Other: map[suit.ParameterCode]cosekit.RawMessage{99: {0x01}}}), ErrUnsupportedParameter, suit.ReasonParameterUnsupported},
		{"digest algorithm", withParameters(suit.Parameters{ImageDigest: &suit.Digest{Algorithm: -99, Bytes: []byte{1}}}), suit.ErrDigestAlgorithm, suit.ReasonAlgorithmUnsupported},
		{"long URI", withParameters(suit.Parameters{URI: ptr("https://example.org/" + strings.Repeat("a", 2000))}), ErrLimit, suit.ReasonParameterUnsupported},
		{"long content", withParameters(suit.Parameters{Content: make([]byte, 2000)}), ErrLimit, suit.ReasonParameterUnsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			tr.Limits.URILength, tr.Limits.ParameterBytes = 1000, 1000
			m := sample(newImage)
			tt.change(m, tr)
			// A device that would fail otherwise if it were asked.
			tr.host.faults["Begin"] = ErrFetch
			_, failure := tr.fail(t, m, tt.err)
			if failure.Reason != tt.reason {
				t.Errorf("reason %v, want %v", failure.Reason, tt.reason)
			}
		})
	}
}
