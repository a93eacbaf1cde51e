package processor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func inner(commands ...suit.Command) suit.Sequence { return suit.Sequence{Commands: commands} }

func runs(commands ...suit.Command) suit.Command {
	return do(suit.DirectiveRunSequence, &suit.Sequence{Commands: commands})
}

func tries(sequences ...suit.Sequence) suit.Command {
	return do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: sequences})
}

// two is the sample with a second component, and the shared sequence for both.
func two(commands ...suit.Command) *suit.Manifest {
	m := sample(newImage)
	m.Common.Components = []suit.ComponentID{app, data}
	all := do(suit.DirectiveSetComponentIndex, suit.AllComponents{})
	m.Common.Shared.Commands = append([]suit.Command{all}, m.Common.Shared.Commands...)
	m.Sections[suit.SectionInstall] = sequence(commands...)
	delete(m.Sections, suit.SectionValidate)
	return m
}

// secret decrypts, with recipient for whom it was encrypted.
func secret(t testing.TB) (*cosekit.SecretKey, cosekit.DecryptionKeys) {
	key, err := cosekit.NewSecretKey(bytes.Repeat([]byte{7}, 16), []byte("device"))
	if err != nil {
		t.Fatal(err)
	}
	return key, cosekit.DecryptionKeys{Secrets: []*cosekit.SecretKey{key}}
}

func encrypt(t testing.TB, content cosekit.Algorithm, plain []byte) (ciphertext, info []byte) {
	t.Helper()
	key, _ := secret(t)
	var out bytes.Buffer
	info, err := cosekit.Encryption{Content: content, Context: cosekit.PayloadEncryption, Recipients: []cosekit.Recipient{key}}.
		Encrypt(&out, bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), info
}

func TestFamily(t *testing.T) {
	all := do(suit.DirectiveSetComponentIndex, suit.AllComponents{})
	abort, match := check(suit.ConditionAbort), check(suit.ConditionImageMatch)
	fetched := inner(override(suit.Parameters{URI: &location}), check(suit.DirectiveFetch))
	written := func(content []byte) []suit.Command {
		return []suit.Command{override(suit.Parameters{Content: content}), check(suit.DirectiveWrite)}
	}
	both := written(newImage)
	soft := func(v bool) suit.Command { return override(suit.Parameters{SoftFailure: &v}) }
	strict := func(v bool) suit.Command { return override(suit.Parameters{StrictOrder: &v}) }
	from := func(i uint64) suit.Command { return override(suit.Parameters{SourceComponent: &i}) }
	gcm, gcmInfo := encrypt(t, cosekit.A128GCM, newImage)
	ctr, ctrInfo := encrypt(t, cosekit.A128CTR, newImage)
	_, keys := secret(t)
	decrypts := func(tr *trial) { tr.Keys = keys }
	now := func(tr *trial) { tr.Circumstances.Clock = func() time.Time { return time.Unix(1000, 0) } }
	battery := func(tr *trial) {
		tr.Circumstances.Battery = func(context.Context) (uint64, error) { return 50, nil }
	}
	authorised := func(limit int64) func(*trial) {
		return func(tr *trial) {
			tr.Circumstances.Authorize = func(_ context.Context, priority *int64) error {
				if priority == nil || *priority > limit {
					return errors.New("the user says no")
				}
				return nil
			}
		}
	}
	waits := func(err error) func(*trial) {
		return func(tr *trial) { tr.Circumstances.Wait = func(context.Context, *suit.WaitInfo) error { return err } }
	}
	installed := func(version ...int64) func(*trial) {
		return func(tr *trial) { tr.host.versions[app.Key()] = version }
	}
	version := func(how suit.Comparison, v ...int64) []suit.Command {
		return append([]suit.Command{index(0), override(suit.Parameters{Version: &suit.VersionMatch{Comparison: how, Version: v}}), check(suit.ConditionVersion)}, written(newImage)...)
	}
	custom := func(condition bool, err error) func(*trial) {
		return func(tr *trial) {
			tr.Custom = map[suit.CommandCode]CustomCommand{-300: {Condition: condition, Run: func(_ context.Context, call CustomCall) error {
				if !call.Component.Equal(app) || call.Parameters.ImageDigest == nil || !bytes.Equal(call.Parameters.Other[-301], []byte{5}) || call.Argument == nil {
					return errors.New("incomplete call")
				}
				return err
			}}}
		}
	}
	hint := override(suit.Parameters{Other: map[suit.ParameterCode]cosekit.RawMessage{-301: {5}}})
	customRun := do(-300, suit.Raw{0x07})

	for _, tt := range []struct {
		name    string
		install []suit.Command
		arrange func(*trial)
		code    suit.CommandCode // that fails
		err     error            // nil: component 0 has the new image
		other   []byte           // image of component 1
	}{
		// Component index.
		{name: "both written", install: append([]suit.Command{all}, both...), other: newImage},
		{name: "listed", install: append([]suit.Command{do(suit.DirectiveSetComponentIndex, suit.IndexList{1, 0})}, both...), other: newImage},
		{name: "sequence for each", install: []suit.Command{all, runs(both...)}, other: newImage},
		{name: "index inside stays inside", install: append([]suit.Command{index(0), runs(index(1), runs(written(oldImage)...), match)}, both...), err: ErrMismatch, code: suit.ConditionImageMatch},
		{name: "index inside ends inside", install: append([]suit.Command{index(0), runs(append([]suit.Command{index(1)}, both...)...)}, both...), other: newImage},
		{name: "alternatives for each", install: []suit.Command{all, override(suit.Parameters{ComponentSlot: ptr(uint64(0))}),
			index(1), override(suit.Parameters{ComponentSlot: ptr(uint64(1))}), all,
			tries(inner(append([]suit.Command{check(suit.ConditionComponentSlot)}, both...)...), inner(written(oldImage)...))},
			arrange: func(tr *trial) { tr.slot = ptr(uint64(0)) }, other: oldImage},

		// try-each.
		{name: "second alternative", install: []suit.Command{index(0), tries(inner(abort), inner(both...))}},
		{name: "first alternative", install: []suit.Command{index(0), tries(inner(both...), inner(written(oldImage)...))}},
		{name: "no alternative", install: []suit.Command{index(0), tries(inner(abort), inner(abort))}, err: ErrAbort, code: suit.DirectiveTryEach},
		{name: "none is needed", install: append([]suit.Command{index(0), do(suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{inner(abort), inner(abort)}, Optional: true})}, both...)},
		{name: "a directive is not softened", install: []suit.Command{index(0), tries(inner(check(suit.DirectiveFetch)), inner(both...))}, err: ErrMissingParameter, code: suit.DirectiveFetch},
		{name: "hard failure in an alternative", install: []suit.Command{index(0), tries(inner(soft(false), abort), inner(both...))}, err: ErrAbort, code: suit.ConditionAbort},
		{name: "hard failure outside", install: []suit.Command{index(0), tries(inner(tries(inner(soft(false), abort), inner(both...))), inner(both...))}, err: ErrAbort, code: suit.ConditionAbort},
		{name: "hard failure far outside", install: []suit.Command{index(0), tries(inner(runs(soft(true), tries(inner(soft(false), abort), inner(both...)))), inner(both...))}, err: ErrAbort, code: suit.ConditionAbort},
		{name: "no alternative, but one outside", install: []suit.Command{index(0), tries(inner(tries(inner(abort), inner(abort))), inner(both...))}},
		{name: "sequence that fails, but an alternative", install: []suit.Command{index(0), tries(inner(runs(soft(false), abort)), inner(both...))}},
		{name: "alternatives in alternatives", install: []suit.Command{index(0), tries(inner(tries(inner(abort), inner(abort))), inner(both...))}},
		{name: "storage is not softened", install: []suit.Command{index(0), tries(inner(match), inner(both...))},
			arrange: func(tr *trial) { tr.host.faults["Open"] = errors.ErrUnsupported }, err: errors.ErrUnsupported, code: suit.ConditionImageMatch},

		// run-sequence and soft-failure.
		{name: "failure in a sequence", install: []suit.Command{index(0), runs(abort)}, err: ErrAbort, code: suit.ConditionAbort},
		{name: "soft failure in a sequence", install: append([]suit.Command{index(0), runs(soft(true), abort, check(suit.DirectiveFetch))}, both...)},
		{name: "soft failure is not inherited", install: append([]suit.Command{index(0), runs(soft(true), runs(abort), check(suit.DirectiveFetch))}, both...)},
		{name: "soft failure ends with its sequence", install: []suit.Command{index(0), runs(runs(soft(true)), abort)}, err: ErrAbort, code: suit.ConditionAbort},
		{name: "soft failure taken back", install: []suit.Command{index(0), runs(soft(true), soft(false), abort)}, err: ErrAbort, code: suit.ConditionAbort},
		{name: "soft failure set once", install: []suit.Command{index(0), runs(soft(false), do(suit.DirectiveSetParameters, &suit.Parameters{SoftFailure: ptr(true)}), abort)}, err: ErrAbort, code: suit.ConditionAbort},
		{name: "soft failure where unset", install: append([]suit.Command{index(0), runs(do(suit.DirectiveSetParameters, &suit.Parameters{SoftFailure: ptr(true)}), abort)}, both...)},
		{name: "directive in a soft sequence", install: []suit.Command{index(0), runs(soft(true), check(suit.DirectiveFetch))}, err: ErrMissingParameter, code: suit.DirectiveFetch},

		// strict-order.
		{name: "read what was written", install: append([]suit.Command{index(1)}, append(both, index(0), from(1), check(suit.DirectiveCopy), match)...), other: newImage},
		{name: "read what was written, order open", install: append([]suit.Command{index(1), strict(false)}, append(both, index(0), from(1), check(suit.DirectiveCopy), match)...), err: ErrOrder, code: suit.DirectiveCopy},
		{name: "write what was read, order open", install: append([]suit.Command{index(0), strict(false), from(1), check(suit.DirectiveCopy), index(1)}, both...), err: ErrOrder, code: suit.DirectiveWrite,
			arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }},
		{name: "in an alternative, order open", install: []suit.Command{index(1), strict(false), tries(inner(both...), inner(both...)), index(0), from(1), check(suit.DirectiveCopy), match}, err: ErrOrder, code: suit.DirectiveCopy},
		{name: "order closed in between", install: append([]suit.Command{index(1), strict(false)}, append(both, strict(true), index(0), from(1), check(suit.DirectiveCopy), match)...), other: newImage},
		{name: "swap, order open", install: []suit.Command{index(0), strict(false), from(1), check(suit.DirectiveSwap)}, err: ErrOrder, code: suit.DirectiveSwap,
			arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }},
		{name: "sequences side by side", install: []suit.Command{index(0), strict(false), runs(append([]suit.Command{index(0)}, both...)...), runs(append([]suit.Command{index(1)}, both...)...)}, other: newImage},
		{name: "sequence without an index", install: []suit.Command{index(0), strict(false), runs(both...)}, err: ErrOrder, code: suit.DirectiveRunSequence},
		{name: "sequence of two indices", install: []suit.Command{index(0), strict(false), runs(append([]suit.Command{index(0), index(1)}, both...)...)}, err: ErrOrder, code: suit.DirectiveSetComponentIndex},
		{name: "sequence for each, order open", install: []suit.Command{all, strict(false), runs(both...)}, other: newImage},
		{name: "sequence for each with an index", install: []suit.Command{all, strict(false), runs(append([]suit.Command{index(0)}, both...)...)}, err: ErrOrder, code: suit.DirectiveSetComponentIndex},

		// Parameters.
		{name: "override-multiple", install: []suit.Command{do(suit.DirectiveOverrideMultiple, suit.ParameterSets{0: {Content: newImage}, 1: {Content: oldImage}}), all, check(suit.DirectiveWrite)}, other: oldImage},
		{name: "override-multiple selects the last", install: append([]suit.Command{do(suit.DirectiveOverrideMultiple, suit.ParameterSets{0: {Content: newImage}, 1: {Content: oldImage}}), check(suit.DirectiveWrite), index(0)}, both...), other: oldImage},
		{name: "override-multiple out of range", install: []suit.Command{do(suit.DirectiveOverrideMultiple, suit.ParameterSets{2: {Content: newImage}})}, err: ErrUnsupportedComponent, code: suit.DirectiveOverrideMultiple},
		{name: "copy-params", install: []suit.Command{index(1), override(suit.Parameters{Content: newImage}), index(0), do(suit.DirectiveCopyParams, suit.ParameterCopies{1: {suit.ParameterContent}}), check(suit.DirectiveWrite)}},
		{name: "copy-params of what is not set", install: append([]suit.Command{index(0), do(suit.DirectiveCopyParams, suit.ParameterCopies{1: {suit.ParameterContent}})}, both...), err: ErrMissingParameter, code: suit.DirectiveCopyParams},
		{name: "copy-params out of range", install: []suit.Command{index(0), do(suit.DirectiveCopyParams, suit.ParameterCopies{2: {suit.ParameterContent}})}, err: ErrUnsupportedComponent, code: suit.DirectiveCopyParams},
		{name: "copy-params of soft-failure", install: []suit.Command{index(0), do(suit.DirectiveCopyParams, suit.ParameterCopies{1: {suit.ParameterSoftFailure}})}, err: ErrUnsupportedParameter, code: suit.DirectiveCopyParams},
		{name: "copied source-component", install: []suit.Command{index(1), from(1), index(0), do(suit.DirectiveCopyParams, suit.ParameterCopies{1: {suit.ParameterSourceComponent}}), check(suit.DirectiveCopy), match},
			arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }, other: newImage},

		// copy and swap.
		{name: "copy", install: []suit.Command{index(0), from(1), check(suit.DirectiveCopy), match}, arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }, other: newImage},
		{name: "copy from nowhere", install: []suit.Command{index(0), check(suit.DirectiveCopy)}, err: ErrMissingParameter, code: suit.DirectiveCopy},
		{name: "copy of itself", install: []suit.Command{index(0), from(0), check(suit.DirectiveCopy)}, err: ErrUnsupportedParameter, code: suit.DirectiveCopy},
		{name: "copy of nothing", install: []suit.Command{index(0), from(1), check(suit.DirectiveCopy), match}, err: ErrNoImage, code: suit.DirectiveCopy},
		{name: "copy unchecked", install: []suit.Command{index(0), from(1), check(suit.DirectiveCopy)}, arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }, err: ErrUnchecked},
		{name: "copy of what was checked", install: []suit.Command{index(1), match, index(0), from(1), check(suit.DirectiveCopy)}, arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }, other: newImage},
		{name: "staged and copied", install: slices.Concat([]suit.Command{index(1)}, fetched.Commands, []suit.Command{index(0), from(1), check(suit.DirectiveCopy), match}), other: newImage},
		{name: "staged, copied, and changed", install: slices.Concat([]suit.Command{index(1)}, fetched.Commands, []suit.Command{index(0), from(1), check(suit.DirectiveCopy), match, index(1),
			override(suit.Parameters{URI: ptr("https://example.org/more")}), override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(oldImage))}), check(suit.DirectiveFetch)}),
			arrange: func(tr *trial) { tr.Fetcher = served{location: newImage, "https://example.org/more": []byte("third")} }, err: ErrUnchecked},
		{name: "swap", install: []suit.Command{index(0), from(1), check(suit.DirectiveSwap), match}, arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }, other: oldImage},
		{name: "swap unchecked", install: []suit.Command{index(0), from(1), check(suit.DirectiveSwap)}, arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage }, err: ErrUnchecked},
		{name: "swap voids what was checked", install: slices.Concat([]suit.Command{index(0)}, both, []suit.Command{index(1), from(0), check(suit.DirectiveSwap)}),
			arrange: func(tr *trial) { tr.host.images[data.Key()] = oldImage }, err: ErrUnchecked},
		{name: "swap moves what was not checked", install: slices.Concat([]suit.Command{index(0)}, fetched.Commands, []suit.Command{
			override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(oldImage))}), from(1), check(suit.DirectiveSwap), match}),
			arrange: func(tr *trial) { tr.host.images[data.Key()] = oldImage }, err: ErrUnchecked},
		{name: "swap with nothing", install: []suit.Command{index(0), from(1), check(suit.DirectiveSwap)}, err: ErrNoImage, code: suit.DirectiveSwap},
		{name: "swap without a right", install: []suit.Command{index(0), from(1), check(suit.DirectiveSwap)}, err: ErrUnauthorized, code: suit.DirectiveSwap,
			arrange: func(tr *trial) {
				tr.host.images[data.Key()] = newImage
				tr.rights = func(a Access) bool { return !(a.Component.Equal(data) && a.Command == suit.DirectiveSwap) }
			}},
		{name: "too much stored", install: append([]suit.Command{all}, both...), arrange: func(tr *trial) { tr.Limits.StoredBytes = uint64(2*len(newImage) - 1) }, err: ErrLimit, code: suit.DirectiveWrite},
		{name: "too much swapped", install: []suit.Command{index(0), from(1), check(suit.DirectiveSwap)}, err: ErrLimit, code: suit.DirectiveSwap,
			arrange: func(tr *trial) { tr.host.images[data.Key()] = newImage; tr.Limits.StoredBytes = 40 }},

		// Encryption.
		{name: "write decrypts", install: []suit.Command{index(0), override(suit.Parameters{Content: gcm, EncryptionInfo: gcmInfo}), check(suit.DirectiveWrite), match}, arrange: decrypts},
		{name: "write decrypts in counter mode", install: []suit.Command{index(0), override(suit.Parameters{Content: ctr, EncryptionInfo: ctrInfo}), check(suit.DirectiveWrite), match}, arrange: decrypts},
		{name: "write of forged ciphertext", install: []suit.Command{index(0), override(suit.Parameters{Content: append([]byte{1}, gcm[1:]...), EncryptionInfo: gcmInfo}), check(suit.DirectiveWrite), match}, arrange: decrypts, err: cosekit.ErrDecrypt, code: suit.DirectiveWrite},
		{name: "copy decrypts", install: []suit.Command{index(1), override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(gcm))}), match, index(0), from(1), override(suit.Parameters{EncryptionInfo: gcmInfo}), check(suit.DirectiveCopy), match},
			arrange: func(tr *trial) { decrypts(tr); tr.host.images[data.Key()] = gcm }, other: gcm},
		{name: "copy decrypts in counter mode what was checked", install: []suit.Command{index(1), override(suit.Parameters{ImageDigest: ptr(suit.SumSHA256(ctr))}), match, index(0), from(1), override(suit.Parameters{EncryptionInfo: ctrInfo}), check(suit.DirectiveCopy)},
			arrange: func(tr *trial) { decrypts(tr); tr.host.images[data.Key()] = ctr }, other: ctr},
		{name: "copy decrypts in counter mode what was not", install: []suit.Command{index(0), from(1), override(suit.Parameters{EncryptionInfo: ctrInfo}), check(suit.DirectiveCopy)},
			arrange: func(tr *trial) { decrypts(tr); tr.host.images[data.Key()] = ctr }, err: ErrUnchecked},
		{name: "copy of forged ciphertext", install: []suit.Command{index(0), from(1), override(suit.Parameters{EncryptionInfo: gcmInfo}), check(suit.DirectiveCopy), match},
			arrange: func(tr *trial) { decrypts(tr); tr.host.images[data.Key()] = append([]byte{1}, gcm[1:]...) }, err: cosekit.ErrDecrypt, code: suit.DirectiveCopy},
		{name: "forged in counter mode", install: []suit.Command{index(0), from(1), override(suit.Parameters{EncryptionInfo: ctrInfo}), check(suit.DirectiveCopy), match},
			arrange: func(tr *trial) { decrypts(tr); tr.host.images[data.Key()] = append([]byte{1}, ctr[1:]...) }, err: ErrMismatch, code: suit.ConditionImageMatch},
		{name: "staged ciphertext", install: []suit.Command{index(1), override(suit.Parameters{URI: ptr("https://example.org/gcm"), ImageSize: ptr(uint64(len(gcm)))}), check(suit.DirectiveFetch), index(0), from(1), override(suit.Parameters{EncryptionInfo: gcmInfo}), check(suit.DirectiveCopy), match},
			arrange: func(tr *trial) { decrypts(tr); tr.Fetcher = served{"https://example.org/gcm": gcm} }, other: gcm},
		{name: "decrypted without a digest", install: []suit.Command{index(0), from(1), override(suit.Parameters{EncryptionInfo: gcmInfo}), check(suit.DirectiveCopy)},
			arrange: func(tr *trial) { decrypts(tr); tr.host.images[data.Key()] = gcm }, err: ErrRule},
		{name: "fetch does not decrypt", install: []suit.Command{index(0), override(suit.Parameters{EncryptionInfo: gcmInfo, URI: ptr("https://example.org/gcm")}), check(suit.DirectiveFetch), match},
			arrange: func(tr *trial) { decrypts(tr); tr.Fetcher = served{"https://example.org/gcm": gcm} }, err: ErrRule, code: suit.DirectiveFetch},
		{name: "for another device", install: []suit.Command{index(0), override(suit.Parameters{Content: gcm, EncryptionInfo: gcmInfo}), check(suit.DirectiveWrite)},
			arrange: func(tr *trial) {
				other, err := cosekit.NewSecretKey(bytes.Repeat([]byte{8}, 16), []byte("other"))
				tr.Keys.Secrets = []*cosekit.SecretKey{other}
				if err != nil {
					tr.Keys.Secrets = nil
				}
			}, err: cosekit.ErrNoDecryptionKey, code: suit.DirectiveWrite},

		// Circumstances.
		{name: "before the date", install: append([]suit.Command{index(0), override(suit.Parameters{UseBefore: ptr(uint64(1001))}), check(suit.ConditionUseBefore)}, both...), arrange: now},
		{name: "on the date", install: []suit.Command{index(0), override(suit.Parameters{UseBefore: ptr(uint64(1000))}), check(suit.ConditionUseBefore)}, arrange: now, err: ErrMismatch, code: suit.ConditionUseBefore},
		{name: "no date", install: []suit.Command{index(0), check(suit.ConditionUseBefore)}, arrange: now, err: ErrMissingParameter, code: suit.ConditionUseBefore},
		{name: "no clock", install: []suit.Command{index(0), override(suit.Parameters{UseBefore: ptr(uint64(1001))}), check(suit.ConditionUseBefore)}, err: ErrUnknown, code: suit.ConditionUseBefore},
		{name: "no clock, but an alternative", install: []suit.Command{index(0), override(suit.Parameters{UseBefore: ptr(uint64(1001))}), tries(inner(check(suit.ConditionUseBefore)), inner(both...))}},
		{name: "battery", install: append([]suit.Command{index(0), override(suit.Parameters{MinimumBattery: ptr(uint64(50))}), check(suit.ConditionMinimumBattery)}, both...), arrange: battery},
		{name: "battery too low", install: []suit.Command{index(0), override(suit.Parameters{MinimumBattery: ptr(uint64(51))}), check(suit.ConditionMinimumBattery)}, arrange: battery, err: ErrMismatch, code: suit.ConditionMinimumBattery},
		{name: "battery not known", install: []suit.Command{index(0), override(suit.Parameters{MinimumBattery: ptr(uint64(0))}), check(suit.ConditionMinimumBattery)}, err: ErrUnknown, code: suit.ConditionMinimumBattery},
		{name: "battery not asked for", install: []suit.Command{index(0), check(suit.ConditionMinimumBattery)}, arrange: battery, err: ErrMissingParameter, code: suit.ConditionMinimumBattery},
		{name: "authorised", install: append([]suit.Command{index(0), override(suit.Parameters{UpdatePriority: ptr(int64(-1))}), check(suit.ConditionUpdateAuthorized)}, both...), arrange: authorised(0)},
		{name: "not authorised", install: []suit.Command{index(0), override(suit.Parameters{UpdatePriority: ptr(int64(1))}), check(suit.ConditionUpdateAuthorized)}, arrange: authorised(0), err: ErrMismatch, code: suit.ConditionUpdateAuthorized},
		{name: "nobody to authorise", install: []suit.Command{index(0), check(suit.ConditionUpdateAuthorized)}, err: ErrUnknown, code: suit.ConditionUpdateAuthorized},
		{name: "waited", install: append([]suit.Command{index(0), override(suit.Parameters{WaitInfo: &suit.WaitInfo{Power: ptr(int64(1))}}), check(suit.DirectiveWait)}, both...), arrange: waits(nil)},
		{name: "waited in vain", install: []suit.Command{index(0), override(suit.Parameters{WaitInfo: &suit.WaitInfo{Power: ptr(int64(1))}}), tries(inner(check(suit.DirectiveWait)), inner(both...))}, arrange: waits(ErrMismatch), err: ErrMismatch, code: suit.DirectiveWait},
		{name: "nothing to wait for", install: []suit.Command{index(0), check(suit.DirectiveWait)}, arrange: waits(nil), err: ErrMissingParameter, code: suit.DirectiveWait},
		{name: "version", install: version(suit.GreaterOrEqual, 1, 2), arrange: installed(1, 2, 3)},
		{name: "version too low", install: version(suit.Greater, 1, 2), arrange: installed(1, 2, 3), err: ErrMismatch, code: suit.ConditionVersion},
		{name: "version unknown", install: version(suit.GreaterOrEqual, 0), err: ErrUnknown, code: suit.ConditionVersion},
		{name: "version not asked for", install: []suit.Command{index(0), check(suit.ConditionVersion)}, arrange: installed(1), err: ErrMissingParameter, code: suit.ConditionVersion},
		{name: "version of nothing", install: version(suit.GreaterOrEqual, 0), arrange: func(tr *trial) { clear(tr.host.images) }, err: ErrNoImage, code: suit.ConditionVersion},
		{name: "version of what was just written", install: append([]suit.Command{index(0)}, append(both, version(suit.Equal, 4, 5)...)...), arrange: installed(1)},

		// Images.
		{name: "another image", install: append([]suit.Command{index(0), check(suit.ConditionImageNotMatch)}, both...)},
		{name: "the same image", install: []suit.Command{index(0), check(suit.ConditionImageNotMatch)}, arrange: func(tr *trial) { tr.host.images[app.Key()] = newImage }, err: ErrMismatch, code: suit.ConditionImageNotMatch},
		{name: "no image to tell from", install: []suit.Command{index(0), check(suit.ConditionImageNotMatch)}, arrange: func(tr *trial) { clear(tr.host.images) }, err: ErrNoImage, code: suit.ConditionImageNotMatch},
		{name: "not a dependency", install: []suit.Command{index(0), check(suit.ConditionIsDependency)}, err: ErrNotDependency, code: suit.ConditionIsDependency},
		{name: "vendor as a number", install: append([]suit.Command{index(0), override(suit.Parameters{VendorPEN: []byte{0x83, 0x55}}), check(suit.ConditionVendorIdentifier)}, both...),
			arrange: func(tr *trial) { tr.host.identity.VendorPEN = []byte{0x83, 0x55} }},
		{name: "another number", install: []suit.Command{index(0), override(suit.Parameters{VendorPEN: []byte{0x83, 0x55}}), check(suit.ConditionVendorIdentifier)},
			arrange: func(tr *trial) { tr.host.identity.VendorPEN = []byte{0x83, 0x56} }, err: ErrMismatch, code: suit.ConditionVendorIdentifier},
		{name: "no number", install: []suit.Command{index(0), override(suit.Parameters{VendorPEN: []byte{0x83, 0x55}}), check(suit.ConditionVendorIdentifier)}, err: ErrMismatch, code: suit.ConditionVendorIdentifier},

		// Custom commands.
		{name: "custom directive", install: append([]suit.Command{index(0), hint, customRun}, both...), arrange: custom(false, nil)},
		{name: "custom directive fails", install: []suit.Command{index(0), hint, tries(inner(customRun), inner(both...))}, arrange: custom(false, errors.ErrUnsupported), err: errors.ErrUnsupported, code: -300},
		{name: "custom condition fails", install: []suit.Command{index(0), hint, customRun}, arrange: custom(true, errors.ErrUnsupported), err: ErrMismatch, code: -300},
		{name: "custom condition with an alternative", install: []suit.Command{index(0), hint, tries(inner(customRun), inner(both...))}, arrange: custom(true, errors.ErrUnsupported)},

		// Shapes.
		{name: "sequence without end", install: []suit.Command{all, runs(runs(runs(both...), runs(both...)), runs(both...))}, arrange: func(tr *trial) { tr.Limits.Commands = 29 }, err: ErrLimit, code: suit.DirectiveWrite},
		{name: "the same index again and again", install: append([]suit.Command{do(suit.DirectiveSetComponentIndex, suit.IndexList(make([]uint64, 200)))}, both...), arrange: func(tr *trial) { tr.Limits.Commands = 100 }, err: ErrLimit, code: suit.DirectiveOverrideParameters},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial()
			if tt.arrange != nil {
				tt.arrange(tr)
			}
			m := two(tt.install...)
			m.SetVersion = []int64{4, 5}
			if tt.err == nil {
				tr.succeed(t, m, newImage)
				if got := tr.host.images[data.Key()]; !bytes.Equal(got, tt.other) {
					t.Errorf("component 1 holds %q, want %q", got, tt.other)
				}
				return
			}
			_, failure := tr.fail(t, m, tt.err)
			if failure.Command != tt.code {
				t.Errorf("failed at %s, want %s: %v", failure.Command, tt.code, failure)
			}
		})
	}
}

// versionCase has the names of the published ones.
type versionCase struct {
	Op                  suit.Comparison
	Manifest, Component []int64
	Expect              bool
}

func TestCompareVersion(t *testing.T) {
	cases := []versionCase{
		{suit.Equal, []int64{1, 2}, []int64{1}, false}, // undefined
		{suit.LesserOrEqual, []int64{1, 2}, []int64{1}, false},
		{suit.GreaterOrEqual, []int64{1, 2}, []int64{2}, true}, // decided before
		{suit.Lesser, []int64{2, 0}, []int64{1}, true},
		{suit.Greater, []int64{1, 2}, []int64{1, 2, 3}, false},
		{suit.LesserOrEqual, []int64{1, 2}, []int64{1, 2, 3}, true},
		{suit.LesserOrEqual, []int64{1, 2}, []int64{1, 3}, false},
		{suit.Equal, nil, []int64{1}, false},
		{suit.Equal, nil, nil, false},
		{0, []int64{1}, []int64{1}, false},
		{6, []int64{1}, []int64{1}, false},
		{suit.Greater, []int64{2, 0, -3}, []int64{2, 0, -2}, true},
	}
	if root := os.Getenv("TEEP_VECTORS"); root != "" {
		index, err := os.ReadFile(filepath.Join(root, "suit-update-management", "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		published := struct {
			Cases []versionCase `json:"comparison_cases"`
		}{}
		if err := json.Unmarshal(index, &published); err != nil || len(published.Cases) == 0 {
			t.Fatal(err)
		}
		cases = append(cases, published.Cases...)
	}
	for _, tt := range cases {
		if got := compareVersion(tt.Op, tt.Component, tt.Manifest); got != tt.Expect {
			t.Errorf("%v %s %v: %v", tt.Component, tt.Op, tt.Manifest, got)
		}
	}
}

func TestComponentMetadata(t *testing.T) {
	tr := newTrial()
	tr.metadata = true
	want := &suit.ComponentMetadata{Permissions: ptr(suit.Permissions(5))}
	tr.succeed(t, install(override(suit.Parameters{URI: &location, Metadata: want}), check(suit.DirectiveFetch), check(suit.ConditionImageMatch)), newImage)
	if got := tr.host.last.Install[0].Metadata[app.Key()]; got == nil || *got.Permissions != 5 {
		t.Errorf("metadata %+v", got)
	}
	// It is applied when the image is stored: later is too late.
	tr.succeed(t, install(override(suit.Parameters{Content: newImage}), check(suit.DirectiveWrite), override(suit.Parameters{Metadata: want})), newImage)
	if got := tr.host.last.Install[0].Metadata; got != nil {
		t.Errorf("metadata %+v", got)
	}
}

// In compatibility mode fetch decrypts, as a template of trust domains has it.
func TestFetchDecrypts(t *testing.T) {
	for name, tt := range map[string]struct {
		content cosekit.Algorithm
		match   bool
		bent    []Rule
		err     error
	}{
		"gcm":            {cosekit.A128GCM, true, []Rule{RuleFetchDecrypts}, nil},
		"gcm, unchecked": {cosekit.A128GCM, false, []Rule{RuleFetchDecrypts, RuleDecryptedUnchecked}, nil},
		"ctr":            {cosekit.A128CTR, true, []Rule{RuleFetchDecrypts}, nil},
		"ctr, unchecked": {cosekit.A128CTR, false, nil, ErrUnchecked},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTrial()
			tr.Mode = Compat
			_, tr.Keys = secret(t)
			ciphertext, info := encrypt(t, tt.content, newImage)
			tr.Fetcher = served{location: ciphertext}
			commands := []suit.Command{override(suit.Parameters{URI: &location, EncryptionInfo: info}), check(suit.DirectiveFetch)}
			if tt.match {
				commands = append(commands, check(suit.ConditionImageMatch))
			}
			m := install(commands...)
			delete(m.Sections, suit.SectionValidate)
			if tt.err != nil {
				tr.fail(t, m, tt.err)
				return
			}
			if outcome := tr.succeed(t, m, newImage); !slices.Equal(outcome.Bent, tt.bent) {
				t.Errorf("bent %q", outcome.Bent)
			}
		})
	}
}
