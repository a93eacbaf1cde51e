package processor

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
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
	dataSUIT = suit.ComponentID{[]byte("app"), []byte("data"), []byte("suit")}
	location = "https://example.org/hello"

	everything Rights = func(Access) bool { return true }
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
	Config     // all but the Host
	host       *memory
	slot       *uint64
	metadata   bool
	integrated map[string][]byte
	rights     Rights
}

func newTrial() *trial {
	host := newMemory(device)
	host.images[app.Key()] = oldImage
	return &trial{
		Config: Config{Fetcher: served{location: newImage}, Limits: DefaultLimits(), Authority: trusting},
		host:   host, rights: everything,
	}
}

// trusting is an Authority that lets the author do anything.
var trusting = AuthorityFunc(func(e *suit.Envelope) (*suit.Verified, Rights, error) {
	v, err := e.Verify(suit.KeyList{author.PublicKey()}, false)
	return v, everything, err
})

func (tr *trial) processor() *Processor {
	c := tr.Config
	c.Host = tr.host
	if tr.slot != nil {
		c.Host = slotted{tr.host, *tr.slot}
	}
	if tr.metadata {
		c.Host = keeper{tr.host}
	}
	return New(c)
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

var author = func() cosekit.Signer {
	signer, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		panic(err)
	}
	return signer
}()

// authentic signs the manifest and takes it through the one door to a Verified.
func authentic(t testing.TB, m *suit.Manifest, payloads map[string][]byte) *suit.Verified {
	t.Helper()
	return verify(t, signed(t, m, payloads))
}

func signed(t testing.TB, m *suit.Manifest, payloads map[string][]byte) []byte {
	t.Helper()
	envelope, err := suit.Sign(m, payloads, author)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := envelope.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func verify(t testing.TB, encoded []byte) *suit.Verified {
	t.Helper()
	envelope, err := suit.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	v, err := envelope.Verify(suit.KeyList{author.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
