package tee

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/teep"
)

// largestDevice has every claim as large as it may be.
var largestDevice = attest.Claims{
	UEID: bytes.Repeat([]byte{1}, 33), OEMID: cosekit.MustMarshal(make([]byte, 16)),
	HWModel: bytes.Repeat([]byte{'m'}, 32), HWVersion: strings.Repeat("9", 64),
}

// published is a verified manifest with a reference URI and, where own is not nil, a
// name of its own.
func published(t testing.TB, uri string, own, id suit.ComponentID) *suit.Verified {
	t.Helper()
	m, payloads, err := author.CreateFrom(&author.Description{
		Component: id, SequenceNumber: 1, VendorDomain: vendor, ClassInfo: class,
		Payload: author.Payload{Integrated: true},
	}, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	m.ReferenceURI = uri
	if own != nil {
		m.ComponentID = own
	}
	envelope, err := suit.Sign(m, payloads, publisher)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := envelope.Verify(suit.KeyList{publisher.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return verified
}

// TestFullStoreStillAnswers installs what a publisher may think of until the store
// refuses. The device must then be able to answer its TAM, and to make room again.
func TestFullStoreStillAnswers(t *testing.T) {
	numbered := func(i int) []byte { return []byte{byte(i >> 8), byte(i)} }
	for _, tt := range []struct {
		name string
		fit  int // as many are there from the start
		next func(i int) *suit.Verified
	}{
		{"long URIs", 0, func(i int) *suit.Verified {
			return published(t, strings.Repeat("u", suit.MaxURILength), nil, suit.ComponentID{numbered(i)})
		}},
		{"long names", 95, func(i int) *suit.Verified {
			return published(t, "", nil, suit.ComponentID{append(numbered(i), make([]byte, 480)...)})
		}},
		{"names of many parts", 350, func(i int) *suit.Verified {
			id := suit.ComponentID{numbered(i)}
			for range suit.MaxComponentSegments - 2 {
				id = append(id, []byte{1})
			}
			return published(t, "", nil, id)
		}},
		{"long names of manifests", 415, func(i int) *suit.Verified {
			own := suit.ComponentID{append(numbered(i), make([]byte, suit.MaxComponentSize-6)...)}
			return published(t, "", own, suit.ComponentID{numbered(i)})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			installed := preinstall(t, s, tt.fit, tt.next)
			for full := false; !full; {
				m := tt.next(len(installed))
				files, before := len(d.names), s.view()
				switch err := install(t.Context(), s, m); {
				case err == nil:
					installed = append(installed, m)
				case !errors.Is(err, ErrFull):
					t.Fatalf("manifest %d: %v", len(installed), err)
				default:
					t.Logf("manifest %d: %v", len(installed), err)
					if full = true; len(d.names) != files || s.view() != before {
						t.Error("the refused manifest has left something")
					}
				}
			}
			makeNotes(t, s)
			s = openDisk(t, d.reboot(aftermaths[1]))
			answers(t, s)
			for _, m := range installed[len(installed)-2:] {
				if err := uninstall(t.Context(), s, m); err != nil {
					t.Fatal(err)
				}
			}
			if err := install(t.Context(), s, tt.next(len(installed))); err != nil {
				t.Errorf("there is room again: %v", err)
			}
		})
	}
}

// TestFullStoreOfTrees is the same with trees, of which one part or another is as large as
// a publisher can make it.
func TestFullStoreOfTrees(t *testing.T) {
	long := func(kind string, i, n int) string {
		return fmt.Sprintf("%s-%d-%d-%s", kind, i, n, strings.Repeat("x", suit.MaxComponentSize-20))
	}
	for name, next := range map[string]func(i int) []part{
		"long names": func(i int) []part {
			lib := part{long("lib", i, 0), 1, false, map[string]string{long("z", i, 0): "z"}, nil}
			return []part{lib, {long("app", i, 0), 1, true, map[string]string{long("x", i, 0): "x", long("y", i, 0): "y"}, []string{lib.name}}}
		},
		"shared images": func(i int) []part {
			app := part{fmt.Sprint("app-", i), 1, true, map[string]string{}, nil}
			for n := range 20 {
				app.images[fmt.Sprint("x-", n)] = map[bool]string{true: "x"}[i == 0]
			}
			return []part{app}
		},
		"dependencies that never came": func(i int) []part {
			app := part{fmt.Sprint("app-", i), 1, true, nil, nil}
			for n := range suit.MaxDependencies {
				app.needs = append(app.needs, long("lib", i, n))
			}
			return []part{app}
		},
		"components without images": func(i int) []part {
			app := part{fmt.Sprint("app-", i), 1, true, map[string]string{}, nil}
			for n := range suit.MaxComponents {
				app.images[long("x", i, n)] = ""
			}
			return []part{app}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			n := 0
			for full := false; !full; {
				files, before := len(d.names), s.view()
				switch err := commit(t, s, nil, next(n)...); {
				case err == nil:
					n++
				case !errors.Is(err, ErrFull):
					t.Fatalf("tree %d: %v", n, err)
				default:
					t.Logf("tree %d: %v", n, err)
					if full = true; len(d.names) != files || s.view() != before {
						t.Error("the refused tree has left something")
					}
				}
			}
			makeNotes(t, s)
			s = openDisk(t, d.reboot(aftermaths[1]))
			answers(t, s)
			for _, root := range s.Roots()[n-2:] {
				mustCommit(t, s, []string{root.String()})
			}
			mustCommit(t, s, nil, next(n)...)
		})
	}
}

// preinstall enters the first n manifests at once: one by one they take their time.
func preinstall(t *testing.T, s *Store, n int, next func(i int) *suit.Verified) []*suit.Verified {
	t.Helper()
	list := make([]*suit.Verified, n)
	err := s.change(func(x *index) error {
		for i := range list {
			list[i] = next(i)
			m := list[i].Manifest()
			id, own := m.Common.Components[0], m.ComponentID
			image, envelope := fileName(imagePrefix, id, 0, -i), fileName(envelopePrefix, own, 0, -i)
			data, err := list[i].Envelope().Encode(true)
			if err := errors.Join(err, writeFile(s.files, image, nil), writeFile(s.files, envelope, data)); err != nil {
				return err
			}
			x.putImage(id, image)
			x.putManifest(installation(t, list[i]), envelope)
		}
		x.raiseFloors()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// makeNotes lets the store remember all that it may have to.
func makeNotes(t *testing.T, s *Store) {
	t.Helper()
	err := s.change(func(next *index) error {
		for i := range maxUpdates {
			next.Updates = append(next.Updates, slices.Repeat([]byte{byte(i)}, 32))
		}
		for _, m := range next.Manifests {
			if m.Root {
				next.Unneeded = append(next.Unneeded, m.ID)
			}
		}
		for i := range maxRequests {
			id := suit.ComponentID{append([]byte{byte(i)}, make([]byte, suit.MaxComponentSize-5)...)}
			next.Requests = append(next.Requests, requestEntry{Component: id})
		}
		for i := range maxFloors - len(next.Floors) {
			id := suit.ComponentID{append([]byte{byte(i), byte(i >> 8), 1}, make([]byte, suit.MaxComponentSize-7)...)}
			next.Floors = append([]floorEntry{{id, math.MaxUint64}}, next.Floors...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if fresh, err := s.AcceptUpdate([32]byte{1, 2}); !fresh || err != nil {
		t.Errorf("an Update: fresh %v, %v", fresh, err)
	}
	if err := s.RecordPoll(Poll{Outcome: strings.Repeat("o", maxOutcome)}); err != nil {
		t.Error(err)
	}
}

// maxMessage is what a TAM takes.
const maxMessage = 1 << 20

// answers makes the largest QueryResponse that the store may come to.
func answers(t *testing.T, s *Store) {
	t.Helper()
	key, message := newKey(t), newKey(t)
	a := NewAttester(s, key, largestDevice, func() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) })
	evidence, err := a.Evidence(t.Context(), make([]byte, 64), message.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	token, err := attest.ParseEAT(evidence.Payload)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := token.Verify(key.PublicKey(), false)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Manifests()); len(claims.Manifests) != n {
		t.Errorf("evidence of %d manifests, %d are installed", len(claims.Manifests), n)
	}
	measured, err := s.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wire, err := teep.Seal(teep.IANA, &teep.QueryResponse{
		Token: make([]byte, 64), Attestation: evidence, TCList: measured,
		RequestedTCs: s.Requests(), UnneededManifests: s.Unneeded(),
	}, message)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := teep.Open(teep.IANA, wire); err != nil || len(wire) > maxMessage {
		t.Errorf("QueryResponse of %d bytes, at most %d: %v", len(wire), maxMessage, err)
	}
}

// TestIndexThatCouldNotBeReadAgain: too large, and with names that no decoder takes.
func TestIndexThatCouldNotBeReadAgain(t *testing.T) {
	wishes := func(id suit.ComponentID) func(*index) error {
		return func(next *index) error {
			for range maxRequests {
				next.Requests = append(next.Requests, requestEntry{Component: id})
			}
			return nil
		}
	}
	for name, edit := range map[string]func(*index) error{
		"large": wishes(suit.ComponentID{make([]byte, maxIndexSize/maxRequests)}),
		"parts": wishes(make(suit.ComponentID, suit.MaxComponentSegments+1)),
	} {
		d := newDisk()
		s := openDisk(t, d)
		if err := s.change(edit); !errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
		if d.names[indexName] != nil || len(s.Requests()) != 0 {
			t.Errorf("%s: the refused change has left something", name)
		}
		checkTidy(t, d, s)
		openDisk(t, d.reboot(aftermaths[1]))
	}
}

// TestLongNameIsNotRequested: one that came from the command line, not from a decoder.
func TestLongNameIsNotRequested(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	added, err := s.Request(teep.RequestedTC{Component: suit.ComponentID{make([]byte, suit.MaxComponentSize)}})
	if added || err == nil {
		t.Errorf("added %v, %v", added, err)
	}
	openDisk(t, d.reboot(aftermaths[1]))
}

// A store has room for every component until it is full: then for those that it has.
func TestComponentsWhereFull(t *testing.T) {
	s := openDisk(t, newDisk())
	if list := s.Components(); list != nil {
		t.Errorf("%d components of an empty store", len(list))
	}
	for i := range maxComponents {
		s.index.Components = append(s.index.Components, componentEntry{ID: numbered(i)})
	}
	list := s.Components()
	if len(list) != maxComponents || list[1].Wildcard || s.Supports(list[1].ID) != nil || s.Supports(numbered(maxComponents)) == nil {
		t.Errorf("%d components of a full store", len(list))
	}
}
