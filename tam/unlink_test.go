package tam_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// holder is a device whose agent takes an unneeded-manifest-list as ours does: one
// that names a manifest which it does not hold is refused as a whole, each unlinking
// holds at once, the first that fails ends the Update.
type holder struct {
	*device
	manifests []tam.Manifest
	names     bool           // its tc-list names manifests too
	faults    map[string]int // by target: so many uninstall sections are yet to fail
	dies      bool           // once, behind the first manifest that it unlinks
	refused   int            // Updates that it answered with an Error
}

// hold takes a manifest as one that the device has and the TAM knows of.
func (h *holder) hold(m tam.Manifest) {
	h.w.t.Helper()
	h.manifests = append(h.manifests, m)
	id := h.record().ID
	h.w.update(func(tx tam.Tx) error {
		return tx.PutComponentStatus(devices.ComponentStatus{
			Device: id, Component: m.Component, Manifest: m.Digest, Sequence: m.Sequence, State: devices.Confirmed, Since: h.w.now.Now(),
		})
	})
	h.list()
}

// list says what is installed: a target as long as one manifest has it.
func (h *holder) list() {
	clear(h.installed)
	for _, m := range h.manifests {
		for _, target := range m.Targets {
			h.installed[target.Component.String()] = target.ImageDigest
		}
		if h.names {
			h.installed[m.Component.String()] = m.Digest
		}
	}
}

func (h *holder) at(id suit.ComponentID) int {
	return slices.IndexFunc(h.manifests, func(m tam.Manifest) bool { return m.Component.Equal(id) })
}

// process does what an Update says and returns the answer, nil where the agent died.
func (h *holder) process(u *teep.Update) teep.Message {
	defer h.list()
	var reports [][]byte
	failed := &teep.Error{Token: u.Token, Code: teep.ManifestProcessingFailed}
	for _, id := range u.UnneededManifests {
		if h.at(id) < 0 {
			h.refused++
			return failed
		}
	}
	for _, id := range u.UnneededManifests {
		m := h.manifests[h.at(id)]
		target := string(m.Component[1])
		if h.faults[target] > 0 {
			h.faults[target]--
			h.refused++
			failure := &suit.ReportFailure{Reason: suit.ReasonConditionFailed, Record: suit.Record{Section: suit.SectionUninstall}}
			failed.SUITReports = append(reports, h.report(m.Digest, u.Token, failure))
			return failed
		}
		h.manifests = slices.Delete(h.manifests, h.at(id), h.at(id)+1)
		reports = append(reports, h.report(m.Digest, u.Token, nil))
		if h.dies {
			h.dies = false
			return nil
		}
	}
	for _, envelope := range u.Manifests {
		digest := suit.SumSHA256(append([]byte{0xd8, 0x6b}, envelope...))
		h.w.view(func(r tam.Reader) error {
			m, err := r.Manifest(digest)
			h.manifests = append(h.manifests, m)
			return err
		})
		reports = append(reports, h.report(digest, u.Token, nil))
	}
	return &teep.Success{Token: u.Token, SUITReports: reports}
}

// day is a session, a day after the last one.
func (h *holder) day() {
	h.w.t.Helper()
	h.w.now.add(24 * time.Hour)
	answer := h.respond(h.connect())
	for answer.Body != nil {
		switch m := h.open(answer.Body).(type) {
		case *teep.QueryRequest:
			answer = h.respond(m)
		case *teep.Update:
			said := h.process(m)
			if said == nil {
				return
			}
			answer = h.w.process(h.seal(said))
		}
	}
}

// Whatever becomes of the first try, an ordered removal of a component that two
// manifests share comes to its end, and holds up nothing else for long.
func TestSharedComponentIsRemoved(t *testing.T) {
	for _, c := range []struct {
		name    string
		set     func(*holder)
		refused int // Updates, at most
	}{
		{"all goes well", func(*holder) {}, 0},
		{"the second uninstall section fails once", func(h *holder) { h.faults["a"] = 1 }, 1},
		{"the first uninstall section fails once", func(h *holder) { h.faults["b"] = 1 }, 1},
		{"both fail often", func(h *holder) { h.faults["a"], h.faults["b"] = 5, 5 }, 10},
		{"the agent dies behind the first", func(h *holder) { h.dies = true }, 1},
		{"another agent had the first unlinked", func(h *holder) { h.manifests = h.manifests[:1]; h.list() }, 2},
	} {
		for _, names := range []bool{true, false} {
			t.Run(c.name+map[bool]string{true: ", manifests listed", false: ", manifests not listed"}[names], func(t *testing.T) {
				w := newWorld(t)
				a := w.publish("app/a", 1, "image")
				b := w.publish("app/b", 2, "image", func(m *tam.Manifest) { m.Targets[0].Component = component("app/a") })
				w.publish("app/other", 1, "other")
				h := &holder{device: w.device(cosekit.ESP256).enrol(), names: names, faults: map[string]int{}}
				h.hold(a)
				h.hold(b)
				h.orderRemoval("app/a")
				h.require("app/other")
				c.set(h)
				for day := range 60 {
					h.day()
					if day == 3 {
						expect(t, "the other, which is required, is there", h.at(component("app/other/manifest")) >= 0, true)
					}
				}
				expect(t, "a", h.status("app/a").State, devices.Removed)
				if s := h.status("app/b").State; s != devices.Removed && s != devices.Failed { // failed: the evidence did not show it
					t.Errorf("b: %s, want removed", s)
				}
				expect(t, "the other", h.status("app/other").State, devices.Confirmed)
				expect(t, "held", len(h.manifests), 1)
				if h.refused > c.refused {
					t.Errorf("%d Updates were refused, want %d at most", h.refused, c.refused)
				}
			})
		}
	}
}

// A library stays with the application that is left, and is no reason to remove the other
// one again.
func TestSharedLibraryStays(t *testing.T) {
	for _, names := range []bool{true, false} {
		w := newWorld(t)
		with := func(m *tam.Manifest) {
			m.Targets = append(m.Targets, tam.Target{Component: component("lib/c"), ImageDigest: sum("library")})
		}
		h := &holder{device: w.device(cosekit.ESP256).enrol(), names: names, faults: map[string]int{}}
		h.hold(w.publish("app/a", 1, "a", with))
		h.hold(w.publish("app/b", 1, "b", with))
		h.orderRemoval("app/a/manifest")
		for range 5 {
			h.day()
		}
		expect(t, "a", h.status("app/a").State, devices.Removed)
		expect(t, "b", h.status("app/b").State, devices.Confirmed)
		expect(t, "refused Updates", h.refused, 0)
	}
}

// A manifest that never goes is tried alone, and more and more seldom.
func TestStubbornManifest(t *testing.T) {
	w := newWorld(t)
	h := &holder{device: w.device(cosekit.ESP256).enrol(), names: true, faults: map[string]int{"a": 1000}}
	for _, name := range []string{"a", "b", "c"} {
		h.hold(w.publish("app/"+name, 1, name))
		h.orderRemoval("app/" + name)
	}
	w.publish("app/other", 1, "other")
	h.require("app/other")
	for range 8 {
		h.day()
	}
	expect(t, "held", len(h.manifests), 2)
	expect(t, "a", h.status("app/a").State, devices.RemovalFailed)
	expect(t, "b", h.status("app/b").State, devices.Removed)
	expect(t, "c", h.status("app/c").State, devices.Removed)
	expect(t, "the other", h.status("app/other").State, devices.Confirmed)
}
