package inspect

import (
	"bytes"
	"crypto"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// repeatable signs with ML-DSA without randomness.
type repeatable struct{ *mldsa.PrivateKey }

func (k repeatable) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.SignDeterministic(message, opts)
}

func postQuantumSigner(t testing.TB) cosekit.Signer {
	t.Helper()
	key := must[*mldsa.PrivateKey](t)(mldsa.NewPrivateKey(mldsa.MLDSA44(), bytes.Repeat([]byte("q"), mldsa.PrivateKeySize)))
	return must[cosekit.Signer](t)(cosekit.NewSigner(repeatable{key}))
}

func macKey(t testing.TB) *cosekit.SecretKey {
	t.Helper()
	return must[*cosekit.SecretKey](t)(cosekit.NewSecretKey(bytes.Repeat([]byte("m"), 32), []byte("mac")))
}

// encryptionInfo is a COSE_Encrypt for a device, with the agreement key, and for who
// has a secret.
func encryptionInfo(t testing.TB, content cosekit.Algorithm) []byte {
	t.Helper()
	secret := must[*cosekit.SecretKey](t)(cosekit.NewSecretKey(bytes.Repeat([]byte("k"), 16), []byte("kek")))
	e := cosekit.Encryption{
		Content: content, Context: cosekit.PayloadEncryption,
		Recipients: []cosekit.Recipient{secret, agreementKey(t).PublicKey()},
	}.Reproducible(strings.NewReader(strings.Repeat("random", 100)))
	return must[[]byte](t)(e.Encrypt(io.Discard, strings.NewReader("secret")))
}

func agreementKey(t testing.TB) cosekit.AgreementKey {
	t.Helper()
	return must[cosekit.AgreementKey](t)(cosekit.NewAgreementKeyFromCOSEKey(unhex(t,
		"a5010220012158205886cd61dd875862e5aaa820e7a15274c968a9bc96048ddcace32f50c3651ba3"+
			"2258209eed8125e932cd60c0ead3650d0a485cf726d378d1b016ed4298b2961e258f1b"+
			"23582060fe6dd6d85d5740a5349b6f91267eeac5ba81b8cb53ee249e4b4eb102c476b3")))
}

func ptr[T any](v T) *T { return &v }

// familyEnvelope has what the drafts beside the base manifest add, signed thrice.
func familyEnvelope(t testing.TB) []byte {
	t.Helper()
	digest := suit.SumSHA256([]byte("Hello"))
	lib := suit.ComponentID{[]byte("lib"), []byte("suit")}
	parameters := func(p suit.Parameters) suit.Command {
		return suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &p}
	}
	command := func(code suit.CommandCode) suit.Command { return suit.Command{Code: code, Argument: suit.ReportAll} }
	one := suit.Sequence{Commands: []suit.Command{parameters(suit.Parameters{ComponentSlot: ptr(uint64(0))}), command(suit.ConditionComponentSlot)}}
	install := &suit.Sequence{Commands: []suit.Command{
		{Code: suit.DirectiveSetComponentIndex, Argument: suit.Index(2)},
		command(suit.DirectiveProcessDependency),
		{Code: suit.DirectiveSetComponentIndex, Argument: suit.IndexList{0, 1}},
		parameters(suit.Parameters{
			UseBefore: ptr(uint64(1800000000)), MinimumBattery: ptr(uint64(500)), UpdatePriority: ptr(int64(-1)),
			Version: &suit.VersionMatch{Comparison: suit.GreaterOrEqual, Version: []int64{1, 2, -1, 3}},
			WaitInfo: &suit.WaitInfo{
				Authorization: ptr(int64(2)), Time: ptr(time.Unix(1800000000, 0)), TimeOfDay: ptr(uint64(3600)), DayOfWeekUTC: ptr(uint64(6)),
				OtherDevice: &suit.OtherDeviceVersion{Device: []byte("gateway"), Matches: []suit.VersionMatch{{Comparison: suit.Lesser, Version: []int64{2}}}},
			},
			Metadata: &suit.ComponentMetadata{
				Permissions: ptr(suit.ListRead | suit.TraverseExecute), FileType: ptr(suit.RegularFile), Created: ptr(time.Unix(1700000000, 0)),
				Users: []suit.ActorPermissions{{Actor: suit.ActorID{Text: "root"}, Permissions: suit.CreateWrite}}, Creator: &suit.ActorID{Number: ptr(int64(42))},
			},
			EncryptionInfo: encryptionInfo(t, cosekit.A128CTR),
			Other:          map[suit.ParameterCode]cosekit.RawMessage{-4711: cosekit.MustMarshal("private")},
		}),
		{Code: suit.DirectiveOverrideMultiple, Argument: suit.ParameterSets{0: {ImageDigest: &digest}, 1: {SourceComponent: ptr(uint64(0))}}},
		{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{0: {suit.ParameterImageDigest, suit.ParameterVersion}}},
		{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Sequences: []suit.Sequence{one, one}, Optional: true}},
		command(suit.DirectiveWait), command(suit.DirectiveSwap), command(suit.DirectiveUnlink), command(suit.ConditionUpdateAuthorized),
		{Code: -257, Argument: suit.ReportAll},
	}}
	m := &suit.Manifest{
		Version: 1, SequenceNumber: 7, ComponentID: append(slices.Clone(helloComponent), []byte("suit")),
		Common: suit.Common{
			Components:   []suit.ComponentID{helloComponent, {[]byte("app"), []byte("spare")}},
			Dependencies: []suit.Dependency{{Index: 2, Prefix: lib}},
		},
		Sections: map[suit.Section]suit.Severable{suit.SectionInstall: {Sequence: install}},
		Text: suit.Text{"en": {Components: []suit.ComponentText{{
			Component: helloComponent, VendorName: "Example", VersionRequired: ">=1.2", CurrentVersion: "1.1",
		}}}},
		CoSWID: cosekit.MustMarshal(map[int]any{0: "example.com/hello", 1: "Hello", 12: 0, 2: map[int]any{31: "Example", 33: 1}}),
	}
	e := must[*suit.Envelope](t)(suit.NewEnvelope(m, map[string][]byte{"#lib": helloEnvelope(t)}))
	e = must[*suit.Envelope](t)(e.Sign(signer(t, 0)))
	e = must[*suit.Envelope](t)(e.Countersign(postQuantumSigner(t)))
	e = must[*suit.Envelope](t)(e.Authenticate(macKey(t)))
	return must[[]byte](t)(e.Encode(true))
}

func familyReport() *suit.Report {
	return &suit.Report{
		Reference: suit.Reference{URI: "https://example.com/hello.suit", Digest: suit.SumSHA256([]byte("m"))},
		Failure: &suit.ReportFailure{Code: -257, Reason: suit.ReasonCommandUnsupported, Record: suit.Record{
			ManifestID: []uint64{2}, Section: suit.SectionValidate, Offset: 3,
		}},
		Capabilities: &suit.Capabilities{
			Components: []suit.ComponentCapability{{ID: suit.ComponentID{[]byte("app")}, Wildcard: true}},
			Commands:   []suit.CommandCode{suit.ConditionVersion, -257, 99}, Parameters: []suit.ParameterCode{suit.ParameterWaitInfo},
			Algorithms: []cosekit.Algorithm{cosekit.Algorithm(suit.SHA256), cosekit.MLDSA65, cosekit.A128CTR},
			Envelope:   []int64{2, 3, 20, 4711}, Manifest: []int64{5, 6, 24}, Common: []int64{1, 2, 4}, Text: []int64{1, 2}, ComponentText: []int64{7, 8}, Dependency: []int64{1},
			Paths: []suit.PathCapability{{Path: []int64{3, 3, 1}, Keys: []int64{1, 3}}, {Path: []int64{3, 4711}, Keys: []int64{1}}},
		},
		Extensions: map[int64]cosekit.RawMessage{suit.ReportBentRules: cosekit.MustMarshal([]string{"no dependency-integrity"})},
	}
}

// TestGoldenSUIT holds what is shown of the whole SUIT family against files.
func TestGoldenSUIT(t *testing.T) {
	keys := Options{
		Keys:    []*Key{NewKey(signer(t, 0).PublicKey()), NewKey(postQuantumSigner(t).PublicKey())},
		MACKeys: []*cosekit.SecretKey{macKey(t)},
	}
	encryption := cosekit.Encryption{Content: cosekit.A128GCM, Recipients: []cosekit.Recipient{agreementKey(t).PublicKey()}}.
		Reproducible(strings.NewReader(strings.Repeat("random", 100)))
	asReport := keys
	asReport.As = KindReport
	for _, c := range []struct {
		name string
		data []byte
		opts Options
	}{
		{"suit-family", familyEnvelope(t), keys},
		{"suit-report", must[[]byte](t)(suit.SignReport(familyReport(), signer(t, 0))), keys},
		{"suit-report-encrypted", must[[]byte](t)(suit.SignEncryptedReport(familyReport(), encryption, signer(t, 0))), asReport},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(c.data, c.opts))
			var text strings.Builder
			if err := r.WriteText(&text, false); err != nil {
				t.Fatal(err)
			}
			golden(t, c.name+".txt", text.String())
			golden(t, c.name+".json", string(must[[]byte](t)(json.MarshalIndent(r, "", "  ")))+"\n")
			if !r.Sound() || slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Verdict == Unsupported }) {
				t.Errorf("not sound: %+v", r.Checks)
			}
			if slices.ContainsFunc(r.Opinions, func(o Opinion) bool { return !o.Accepted }) {
				t.Errorf("refused: %+v", r.Opinions)
			}
		})
	}
}
