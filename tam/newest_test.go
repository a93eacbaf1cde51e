package tam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// planWorld is a store with one device, planned for without any session.
type planWorld struct {
	*world
	input   tam.PlanInput
	planner tam.NewestPlanner
}

func newPlanWorld(t testing.TB) *planWorld {
	w := newWorld(t)
	d := devices.Device{ID: "one", UEID: []byte("a device"), State: devices.Accepted, CreatedAt: w.now.Now(), UpdatedAt: w.now.Now()}
	w.update(func(tx tam.Tx) error { return tx.PutDevice(d) })
	return &planWorld{world: w, input: tam.PlanInput{Device: d, Now: w.now.Now()}}
}

func (w *planWorld) require(target string) {
	w.update(func(tx tam.Tx) error {
		return tx.PutRequirement(devices.Requirement{Device: "one", Component: component(target), CreatedAt: w.now.Now()})
	})
}

func (w *planWorld) remove(target string) {
	w.update(func(tx tam.Tx) error {
		return tx.PutRemoval(devices.Removal{Device: "one", Component: component(target), CreatedAt: w.now.Now()})
	})
}

func (w *planWorld) holds(c suit.ComponentID, d suit.Digest) {
	w.input.Inventory = append(w.input.Inventory, devices.InventoryItem{Component: c, Digest: d, Since: w.now.Now()})
}

func (w *planWorld) status(m tam.Manifest, state devices.ComponentState, retryAfter time.Time) {
	w.update(func(tx tam.Tx) error {
		return tx.PutComponentStatus(devices.ComponentStatus{
			Device: "one", Component: m.Component, Manifest: m.Digest, Sequence: m.Sequence, State: state, Attempts: 1, RetryAfter: retryAfter, Since: w.now.Now(),
		})
	})
}

// plan tells the plan in words: "app/one 2" for each manifest, then the notes.
func (w *planWorld) plan() (offers []string, notes string) {
	w.t.Helper()
	var plan tam.Plan
	w.view(func(r tam.Reader) (err error) {
		plan, err = w.planner.Plan(r, w.input)
		return err
	})
	for _, m := range plan.Unneeded {
		name, _ := strings.CutSuffix(m.Component.String(), "/manifest")
		offers = append(offers, "unlink "+name)
	}
	for _, m := range plan.Offers {
		name, _ := strings.CutSuffix(m.Component.String(), "/manifest")
		offer := fmt.Sprintf("%s %d", name, m.Sequence)
		if m.WithoutPayload {
			offer += " without payload"
		}
		offers = append(offers, offer)
	}
	for _, n := range plan.Notes {
		notes += fmt.Sprintf("%s: %s\n", n.Component, n.Text)
	}
	return offers, notes
}

func sequence(n uint64) *uint64 { return &n }

func TestNewestPlanner(t *testing.T) {
	stranger := signer(t, cosekit.ESP256).PublicKey()
	narrow := signer(t, cosekit.ESP256).PublicKey()
	narrowly := func(w *planWorld, notAfter time.Time, purpose anchor.Purpose, prefix string) func(*tam.Manifest) {
		a := anchor.Anchor{Key: narrow, Title: "narrow", Purposes: []anchor.Purpose{purpose}, NotAfter: notAfter}
		if prefix != "" {
			a.Constraints.Components = []suit.ComponentID{component(prefix)}
		}
		w.update(func(tx tam.Tx) error { return tx.AddAnchor(a) })
		return func(m *tam.Manifest) { m.Signer = narrow.Thumbprint() }
	}
	for _, c := range []struct {
		name   string
		set    func(*planWorld)
		offers []string
		note   string
	}{
		{"nothing wanted", func(w *planWorld) { w.publish("app/a", 1, "a") }, nil, ""},
		{"required, nothing published", func(w *planWorld) { w.require("app/a") }, nil, "app/a: no manifest is published for it"},
		{"required", func(w *planWorld) { w.publish("app/a", 1, "a"); w.require("app/a") }, []string{"app/a 1"}, ""},
		{"required by its manifest component id", func(w *planWorld) { w.publish("app/a", 1, "a"); w.require("app/a/manifest") }, []string{"app/a 1"}, ""},
		{"both ids, one offer", func(w *planWorld) {
			w.publish("app/a", 1, "a")
			w.require("app/a/manifest")
			w.require("app/a")
		}, []string{"app/a 1"}, ""},
		{"the newest", func(w *planWorld) {
			w.publish("app/a", 1, "a")
			w.publish("app/a", 10, "c")
			w.publish("app/a", 9, "b")
			w.require("app/a")
		}, []string{"app/a 10"}, ""},
		{"installed and out of date", func(w *planWorld) { w.publish("app/a", 2, "new"); w.holds(component("app/a"), sum("old")) }, []string{"app/a 2"}, ""},
		{"installed, by the image", func(w *planWorld) { w.publish("app/a", 2, "new"); w.holds(component("app/a"), sum("new")) }, nil, "sequence 2 is installed"},
		{"installed, by the manifest", func(w *planWorld) {
			m := w.publish("app/a", 2, "new")
			w.holds(m.Component, m.Digest)
		}, nil, "sequence 2 is installed"},
		{"the image is there, by an older manifest", func(w *planWorld) {
			w.holds(component("app/a/manifest"), w.publish("app/a", 1, "same").Digest)
			w.publish("app/a", 2, "same")
			w.holds(component("app/a"), sum("same"))
		}, []string{"app/a 2"}, ""},
		{"the image is there, by the list of another manifest, and was claimed", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "same"), devices.Claimed, time.Time{})
			w.holds(component("app/a/manifest"), sum("something else"))
			w.holds(component("app/a"), sum("same"))
		}, nil, "sequence 2 is installed"},
		{"the manifest is there, the image is another", func(w *planWorld) {
			m := w.publish("app/a", 2, "new")
			w.holds(m.Component, m.Digest)
			w.holds(component("app/a"), sum("bent"))
		}, []string{"app/a 2"}, ""},
		{"listed without digest, claimed", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "new"), devices.Claimed, time.Time{})
			w.holds(component("app/a"), suit.Digest{})
		}, nil, "sequence 2 is installed"},
		{"listed without digest, never claimed", func(w *planWorld) { w.publish("app/a", 2, "new"); w.holds(component("app/a"), suit.Digest{}) }, []string{"app/a 2"}, ""},
		{"confirmed once, gone now, required", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "new"), devices.Confirmed, time.Time{})
			w.require("app/a")
		}, []string{"app/a 2"}, ""},
		{"confirmed once, gone now, not required", func(w *planWorld) { w.status(w.publish("app/a", 2, "new"), devices.Confirmed, time.Time{}) }, nil, ""},
		{"requested", func(w *planWorld) {
			w.publish("app/a", 2, "a")
			w.input.Requested = []teep.RequestedTC{{Component: component("app/a"), MinSequence: sequence(2)}}
		}, []string{"app/a 2"}, ""},
		{"requested newer than there is", func(w *planWorld) {
			w.publish("app/a", 2, "a")
			w.input.Requested = []teep.RequestedTC{{Component: component("app/a"), MinSequence: sequence(3)}, {Component: component("app/a")}}
		}, nil, "the device asks for sequence 3 or higher, there is 2"},
		{"requested without its payload", func(w *planWorld) {
			w.publish("app/a", 2, "a")
			w.input.Requested = []teep.RequestedTC{{Component: component("app/a/manifest"), MinSequence: sequence(1), HaveBinary: true}}
		}, []string{"app/a 2 without payload"}, ""},
		{"required, the device has its binary", func(w *planWorld) {
			w.publish("app/a", 2, "a")
			w.require("app/a")
			w.input.Requested = []teep.RequestedTC{{Component: component("app/a"), MinSequence: sequence(1), HaveBinary: true}}
		}, []string{"app/a 2 without payload"}, ""},
		{"requested without its payload, which another target needs", func(w *planWorld) {
			w.publish("app/a", 2, "a", func(m *tam.Manifest) {
				m.Targets = append(m.Targets, tam.Target{Component: component("app/b"), ImageDigest: sum("b")})
			})
			w.input.Requested = []teep.RequestedTC{{Component: component("app/a"), MinSequence: sequence(1), HaveBinary: true}}
		}, nil, "the device has its binary, but not that of app/b"},
		{"requested without its payload, another target is fetched", func(w *planWorld) {
			w.publish("app/a", 2, "a", func(m *tam.Manifest) {
				m.Targets = append(m.Targets, tam.Target{Component: component("app/b"), ImageDigest: sum("b"), URI: "https://example.com/b"})
			})
			w.input.Requested = []teep.RequestedTC{{Component: component("app/a"), MinSequence: sequence(1), HaveBinary: true}}
		}, []string{"app/a 2 without payload"}, ""},
		{"ordered gone", func(w *planWorld) {
			w.publish("app/a", 2, "a")
			w.remove("app/a")
			w.holds(component("app/a"), sum("old"))
		}, []string{"unlink app/a"}, "app/a: it is being removed"},
		{"ordered gone, not there, asked for", func(w *planWorld) {
			w.publish("app/a", 2, "a")
			w.remove("app/a")
			w.input.Requested = []teep.RequestedTC{{Component: component("app/a")}}
		}, nil, "app/a: its removal is ordered"},
		{"ordered gone, nothing published", func(w *planWorld) {
			w.remove("app/a")
			w.holds(component("app/a"), sum("old"))
		}, nil, "app/a: to be removed, but no manifest for it is published here"},
		{"ordered gone, two manifests install it, one is held", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "a"), devices.Confirmed, time.Time{})
			w.publish("app/b", 2, "a", func(m *tam.Manifest) { m.Targets[0].Component = component("app/a") })
			w.remove("app/a")
			w.holds(component("app/a"), sum("a"))
		}, []string{"unlink app/a"}, ""},
		{"ordered gone, two manifests install it, who knows which is held", func(w *planWorld) {
			w.publish("app/a", 2, "a")
			w.publish("app/b", 1, "a", func(m *tam.Manifest) { m.Targets[0].Component = component("app/a") })
			w.remove("app/a")
			w.holds(component("app/a"), sum("a"))
		}, []string{"unlink app/a", "unlink app/b"}, ""},
		{"ordered gone, two manifests install it, the agent lists one", func(w *planWorld) {
			a := w.publish("app/a", 2, "a")
			w.status(w.publish("app/b", 1, "a", func(m *tam.Manifest) { m.Targets[0].Component = component("app/a") }), devices.Confirmed, time.Time{})
			w.remove("app/a")
			w.holds(component("app/a"), sum("a"))
			w.holds(a.Component, a.Digest)
		}, []string{"unlink app/a"}, ""},
		{"ordered gone, one of two is unlinked, the other was tried", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "a"), devices.RemovalFailed, time.Time{})
			w.status(w.publish("app/b", 3, "a", func(m *tam.Manifest) { m.Targets[0].Component = component("app/a") }), devices.Unlinked, time.Time{})
			w.remove("app/a")
			w.holds(component("app/a"), sum("a"))
		}, []string{"unlink app/a"}, "app/b/manifest: its removal was tried before and waits for an Update of its own"},
		{"a removal that failed goes alone", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "a"), devices.RemovalFailed, time.Time{})
			w.remove("app/a")
			w.holds(component("app/a"), sum("a"))
			w.status(w.publish("app/c", 2, "c"), devices.Failed, time.Time{})
			w.require("app/c")
		}, []string{"unlink app/a"}, "app/c/manifest: sequence 2 waits: the removal of app/a/manifest goes alone"},
		{"a removal that failed does not go before what was never tried", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "a"), devices.RemovalFailed, time.Time{})
			w.remove("app/a")
			w.holds(component("app/a"), sum("a"))
			w.publish("app/c", 2, "c")
			w.require("app/c")
		}, []string{"app/c 2"}, "app/a/manifest: its removal was tried before"},
		{"no longer needed, its removal rests, there is a newer one", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "a"), devices.RemovalFailed, w.now.Now().Add(time.Second))
			w.holds(component("app/a"), sum("older"))
			w.input.Unneeded = []suit.ComponentID{component("app/a/manifest")}
		}, nil, "app/a: it is being removed"},
		{"removals are bounded", func(w *planWorld) {
			w.planner.MaxManifests = 1
			for _, name := range []string{"app/a", "app/b"} {
				w.publish(name, 1, name)
				w.remove(name)
				w.holds(component(name), sum("old"))
			}
		}, []string{"unlink app/a"}, "app/b/manifest: its removal waits for the next Update"},
		{"a removal rests", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "a"), devices.RemovalFailed, w.now.Now().Add(time.Second))
			w.remove("app/a")
			w.holds(component("app/a"), sum("a"))
		}, nil, "its removal rests until"},
		{"a removal failed, and is no obstacle to an update", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "a"), devices.RemovalFailed, w.now.Now().Add(time.Second))
			w.require("app/a")
		}, []string{"app/a 2"}, ""},
		{"unknown signer", func(w *planWorld) {
			w.publish("app/a", 1, "a", func(m *tam.Manifest) { m.Signer = stranger.Thumbprint() })
			w.require("app/a")
		}, nil, "its signer is no publisher any more"},
		{"unknown signer of the newest", func(w *planWorld) {
			w.publish("app/a", 2, "b", func(m *tam.Manifest) { m.Signer = stranger.Thumbprint() })
			w.publish("app/a", 1, "a")
			w.require("app/a")
		}, []string{"app/a 1"}, ""},
		{"unknown signer of the newest, which is installed", func(w *planWorld) {
			m := w.publish("app/a", 2, "b", func(m *tam.Manifest) { m.Signer = stranger.Thumbprint() })
			w.holds(m.Component, m.Digest)
			w.publish("app/a", 1, "a")
		}, nil, "sequence 1 is below the installed 2"},
		{"below what was confirmed", func(w *planWorld) {
			m := w.publish("app/a", 2, "b", func(m *tam.Manifest) { m.Signer = stranger.Thumbprint() })
			w.status(m, devices.Confirmed, time.Time{})
			w.publish("app/a", 1, "a")
			w.require("app/a")
		}, nil, "sequence 1 is below the installed 2"},
		{"signer is an attester", func(w *planWorld) {
			w.publish("app/a", 1, "a", narrowly(w, time.Time{}, anchor.Attester, ""))
			w.require("app/a")
		}, nil, "not trusted for this purpose"},
		{"signer has expired", func(w *planWorld) {
			w.publish("app/a", 1, "a", narrowly(w, w.now.Now().Add(-time.Hour), anchor.TCSigner, ""))
			w.require("app/a")
		}, nil, "has ended"},
		{"signer has rights over the manifest only", func(w *planWorld) {
			w.publish("app/a", 1, "a", narrowly(w, time.Time{}, anchor.TCSigner, "app/a/manifest"))
			w.require("app/a")
		}, nil, "its signer may not publish app/a"},
		{"signer has rights elsewhere", func(w *planWorld) {
			w.publish("app/a", 1, "a", narrowly(w, time.Time{}, anchor.TCSigner, "app/b"))
			w.require("app/a")
		}, nil, "its signer may not publish app/a/manifest"},
		{"resting", func(w *planWorld) {
			w.publish("app/a", 1, "a")
			w.status(w.publish("app/a", 2, "b"), devices.Failed, w.now.Now().Add(time.Second))
			w.require("app/a")
		}, nil, "sequence 2 rests until"},
		{"rested", func(w *planWorld) {
			w.status(w.publish("app/a", 2, "b"), devices.Failed, w.now.Now())
			w.require("app/a")
		}, []string{"app/a 2"}, ""},
		{"an older one failed", func(w *planWorld) {
			w.status(w.publish("app/a", 1, "a"), devices.Failed, w.now.Now().Add(time.Hour))
			w.publish("app/a", 2, "b")
			w.require("app/a")
		}, []string{"app/a 2"}, ""},
		{"too large for any Update", func(w *planWorld) {
			w.publish("app/a", 1, "a", func(m *tam.Manifest) { m.Size = 800 << 10 })
			w.require("app/a")
		}, nil, "publish its payload apart"},
		{"in order: required, requested, installed", func(w *planWorld) {
			for _, name := range []string{"z", "y", "x", "w"} {
				w.publish("app/"+name, 1, name)
			}
			w.holds(component("app/w"), sum("old"))
			w.input.Requested = []teep.RequestedTC{{Component: component("app/x")}}
			w.require("app/z")
			w.require("app/y")
		}, []string{"app/y 1", "app/z 1", "app/x 1", "app/w 1"}, ""},
		{"count is bounded", func(w *planWorld) {
			w.planner.MaxManifests = 1
			w.publish("app/a", 1, "a")
			w.publish("app/b", 1, "b")
			w.require("app/a")
			w.require("app/b")
		}, []string{"app/a 1"}, "app/b: sequence 1 waits for the next Update"},
		{"bytes are bounded", func(w *planWorld) {
			w.planner.MaxBytes = 100
			for _, name := range []string{"a", "b", "c"} {
				size := map[string]int64{"a": 60, "b": 50, "c": 40}[name]
				w.publish("app/"+name, 1, name, func(m *tam.Manifest) { m.Size = size })
				w.require("app/" + name)
			}
		}, []string{"app/a 1", "app/c 1"}, "app/b: sequence 1 waits for the next Update"},
		{"what an agent lists is bounded", func(w *planWorld) {
			for i := range 300 {
				w.holds(component(fmt.Sprintf("app/%03d", i)), sum("old"))
			}
			w.publish("app/000", 1, "a")
			w.publish("app/299", 1, "a")
		}, []string{"app/000 1"}, "not considered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newPlanWorld(t)
			c.set(w)
			offers, notes := w.plan()
			if !slices.Equal(offers, c.offers) {
				t.Errorf("offers %q, want %q; %s", offers, c.offers, notes)
			}
			expectContains(t, "notes", notes, c.note)
			again, _ := w.plan()
			if !slices.Equal(again, offers) {
				t.Errorf("the same plan again: %q, before %q", again, offers)
			}
		})
	}
}
