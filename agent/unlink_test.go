package agent_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// nextToken makes an Update another one than those before it.
func (w *world) nextToken() []byte {
	token = bytes.Clone(token)
	token[0]++
	return token
}

func (w *world) unlinking(manifests ...string) *teep.Update {
	w.t.Helper()
	u := &teep.Update{Token: w.nextToken()}
	for _, m := range manifests {
		u.UnneededManifests = append(u.UnneededManifests, id(w.t, m))
	}
	return u
}

// holding is a world in which these components are installed.
func holding(t *testing.T, components ...string) *world {
	t.Helper()
	w := newWorld(t)
	for _, c := range components {
		u := w.update(release{component: c, sequence: 1, image: "image of " + c, signer: w.publisher})
		u.Token = w.nextToken()
		must[*teep.Success](w, u)
	}
	return w
}

func TestUnlink(t *testing.T) {
	w := holding(t, "a", "b", "c")
	envelope := w.envelope(release{component: "a", sequence: 1, image: "image of a", signer: w.publisher})
	u := w.unlinking("a/suit", "c/suit")
	u.Manifests = w.update(release{component: "d", sequence: 1, image: "image of d", signer: w.publisher}).Manifests
	s := must[*teep.Success](w, u)
	reports := w.reports(s.SUITReports)
	if len(reports) != 3 || !bytes.Equal(s.Token, u.Token) {
		t.Fatalf("answer %+v", s)
	}
	signed, err := suit.Decode(envelope)
	if err != nil {
		t.Fatal(err)
	}
	if first := reports[0]; !first.Succeeded() || !first.Reference.Digest.Equal(signed.Digest()) || !ran(first, suit.SectionUninstall) {
		t.Errorf("report %+v, want one of the uninstall section of %s", first, signed.Digest())
	}
	if ran(reports[2], suit.SectionUninstall) || !ran(reports[2], suit.SectionInstall) {
		t.Errorf("report of the installation: %+v", reports[2])
	}
	want := "b " + suit.SumSHA256([]byte("image of b")).String() + "\nd " + suit.SumSHA256([]byte("image of d")).String() + "\n"
	if got := w.installed(); got != want {
		t.Errorf("installed\n%swant\n%s", got, want)
	}
	for _, gone := range []string{"image of a", "image of c"} {
		if strings.Contains(w.tree(), gone) {
			t.Errorf("bytes of %q are left", gone)
		}
	}
	if r := must[*teep.QueryResponse](w, query(teep.ItemTrustedComponents)); len(r.TCList) != 4 {
		t.Errorf("tc-list %+v", r.TCList)
	}
	// The same Update again is a replay: what came back since stays.
	again := w.update(release{component: "a", sequence: 1, image: "image of a", signer: w.publisher})
	wire := w.seal(u, w.tam)
	again.Token = w.nextToken()
	must[*teep.Success](w, again)
	before := w.tree()
	if answer, err := w.deliver(wire); answer != nil || !errors.Is(err, agent.ErrReplayed) {
		t.Errorf("replay: %+v, %v", answer, err)
	}
	if w.tree() != before {
		t.Error("the replay changed the store")
	}
}

// ran reports whether a command of the section left a record.
func ran(r *suit.Report, section suit.Section) bool {
	return slices.ContainsFunc(r.Entries, func(e suit.ReportEntry) bool {
		record, ok := e.(suit.Record)
		return ok && record.Section == section
	})
}

// TestUnlinkRefused: a list that is wrong anywhere does nothing at all, and no manifest
// of the Update is processed.
func TestUnlinkRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		list []string
		says string
	}{
		"unknown":                   {[]string{"x/suit"}, "x/suit"},
		"unknown after a known one": {[]string{"a/suit", "x/suit"}, "x/suit"},
		"component, not manifest":   {[]string{"a"}, "a: manifest is not installed"},
		"twice":                     {[]string{"a/suit", "a/suit"}, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			w := holding(t, "a", "b")
			before, installed := w.tree("index"), w.installed()
			u := w.unlinking(tt.list...)
			u.Manifests = w.update(release{component: "d", sequence: 1, image: "d", signer: w.publisher}).Manifests
			e := w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, agent.ErrUnlink)
			if !bytes.Equal(e.Token, u.Token) || !strings.Contains(e.ErrMsg, tt.says) || e.SUITReports != nil {
				t.Errorf("answer %+v", e)
			}
			if w.tree("index") != before || w.installed() != installed {
				t.Error("the store changed")
			}
		})
	}
}

// TestUnlinkByAStranger: only a TAM that the device trusts can have anything removed.
func TestUnlinkByAStranger(t *testing.T) {
	w := holding(t, "a")
	before := w.tree()
	for name, signer := range map[string]cosekit.Signer{"stranger": w.mallory, "publisher": w.publisher, "former TAM": w.stranger} {
		if answer, err := w.deliver(w.seal(w.unlinking("a/suit"), signer)); answer != nil || !errors.Is(err, agent.ErrUntrustedTAM) {
			t.Errorf("%s: %+v, %v", name, answer, err)
		}
	}
	if w.tree() != before {
		t.Error("the store changed")
	}
}

// stubborn cannot uninstall one manifest.
type stubborn struct {
	agent.Components
	manifest suit.ComponentID
}

func (s stubborn) Envelope(manifest suit.ComponentID) ([]byte, error) {
	if manifest.Equal(s.manifest) {
		return nil, errors.New("flash is worn out")
	}
	return s.Components.Envelope(manifest)
}

// TestUnlinkThatFailsHalfWay: what is gone stays gone and is reported, and nothing
// comes after the fault.
func TestUnlinkThatFailsHalfWay(t *testing.T) {
	w := newWorld(t, func(c *agent.Config) { c.Components = stubborn{c.Components, id(t, "b/suit")} })
	for _, c := range []string{"a", "b", "c"} {
		u := w.update(release{component: c, sequence: 1, image: c, signer: w.publisher})
		u.Token = w.nextToken()
		must[*teep.Success](w, u)
	}
	u := w.unlinking("a/suit", "b/suit", "c/suit")
	u.Manifests = w.update(release{component: "d", sequence: 1, image: "d", signer: w.publisher}).Manifests
	e := w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, agent.ErrUnlink)
	if r := w.reports(e.SUITReports); len(r) != 1 || !r[0].Succeeded() {
		t.Errorf("reports %+v", r)
	}
	if !strings.Contains(e.ErrMsg, "b/suit") {
		t.Errorf("message %q", e.ErrMsg)
	}
	want := "b " + suit.SumSHA256([]byte("b")).String() + "\nc " + suit.SumSHA256([]byte("c")).String() + "\n"
	if got := w.installed(); got != want {
		t.Errorf("installed\n%swant\n%s", got, want)
	}
}

// TestUnlinkOfAFormerPublisher: its uninstall section does not run, and it goes all the
// same.
func TestUnlinkOfAFormerPublisher(t *testing.T) {
	for name, anchors := range map[string]func(w *world) []anchor.Anchor{
		"not trusted at all": func(*world) []anchor.Anchor { return nil },
		"without rights to it": func(w *world) []anchor.Anchor {
			return []anchor.Anchor{{Key: w.publisher.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner},
				Constraints: anchor.Constraints{Components: []suit.ComponentID{id(w.t, "elsewhere")}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var config agent.Config
			w := newWorld(t, func(c *agent.Config) { config = *c })
			u := w.update(release{component: "a", sequence: 1, image: "image of a", signer: w.publisher})
			u.Token = w.nextToken()
			must[*teep.Success](w, u)
			store, err := anchor.NewStore(append(anchors(w), anchor.Anchor{Key: w.tam.PublicKey(), Purposes: []anchor.Purpose{anchor.TAM}})...)
			if err != nil {
				t.Fatal(err)
			}
			config.Anchors = store
			if w.agent, err = agent.New(config); err != nil {
				t.Fatal(err)
			}
			s := must[*teep.Success](w, w.unlinking("a/suit"))
			if r := w.reports(s.SUITReports); len(r) != 1 || !r[0].Succeeded() || len(r[0].Entries) > 0 {
				t.Errorf("reports %+v", r)
			}
			if w.installed() != "" || strings.Contains(w.tree(), "image of a") {
				t.Error("it is still there")
			}
		})
	}
}

func TestUnrequestTA(t *testing.T) {
	w := holding(t, "app/hello")
	unneeded := func(want ...suit.ComponentID) {
		t.Helper()
		r := must[*teep.QueryResponse](w, query(teep.ItemTrustedComponents))
		if !slices.EqualFunc(r.UnneededManifests, want, suit.ComponentID.Equal) {
			t.Errorf("unneeded %v, want %v", r.UnneededManifests, want)
		}
	}
	unneeded()
	hello, own := id(t, "app/hello"), id(t, "app/hello/suit")
	for i, want := range []string{"https://tam.example/tam", ""} {
		if uri, err := w.agent.UnrequestTA(hello); uri != want || err != nil {
			t.Errorf("UnrequestTA %d: %q, %v", i, uri, err)
		}
	}
	unneeded(own)
	if uri, err := w.agent.RequestTA(teep.RequestedTC{Component: hello}); uri != "" || err != nil {
		t.Errorf("RequestTA: %q, %v", uri, err)
	}
	unneeded()
	if _, err := w.agent.UnrequestTA(hello); err != nil {
		t.Fatal(err)
	}
	must[*teep.Success](w, w.unlinking("app/hello/suit"))
	unneeded()
}

// withoutPayload is what a TAM sends to an agent that has the binary: the envelope
// without its integrated payloads, which no signature covers.
func (w *world) withoutPayload(r release) *teep.Update {
	w.t.Helper()
	r.spoil = func(payloads map[string][]byte) { clear(payloads) }
	u := w.update(r)
	u.Token = w.nextToken()
	return u
}

func TestHaveBinary(t *testing.T) {
	w := holding(t, "app/hello")
	two, three := uint64(2), uint64(3)
	hello := id(t, "app/hello")
	if _, err := w.agent.RequestTA(teep.RequestedTC{Component: hello, HaveBinary: true}); err == nil {
		t.Error("have-binary without a sequence number")
	}
	if _, err := w.agent.RequestTA(teep.RequestedTC{Component: id(t, "app/x"), MinSequence: &two, HaveBinary: true}); !errors.Is(err, processor.ErrNoImage) {
		t.Errorf("a binary that is not there: %v", err)
	}
	requested := func() []teep.RequestedTC {
		t.Helper()
		return must[*teep.QueryResponse](w, query(0)).RequestedTCs
	}
	if _, err := w.agent.RequestTA(teep.RequestedTC{Component: hello, MinSequence: &two, HaveBinary: true}); err != nil {
		t.Fatal(err)
	}
	if r := requested(); len(r) != 1 || !r[0].HaveBinary || *r[0].MinSequence != 2 {
		t.Fatalf("requested %+v", r)
	}
	must[*teep.Success](w, w.withoutPayload(release{component: "app/hello", sequence: 2, image: "image of app/hello", signer: w.publisher}))
	if r := requested(); len(r) != 0 {
		t.Errorf("still requested %+v", r)
	}
	// A manifest for another image: the payload is needed after all.
	if _, err := w.agent.RequestTA(teep.RequestedTC{Component: hello, MinSequence: &three, HaveBinary: true}); err != nil {
		t.Fatal(err)
	}
	before := w.installed()
	u := w.withoutPayload(release{component: "app/hello", sequence: 3, image: "another image", signer: w.publisher})
	w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, processor.ErrFetch)
	if w.installed() != before {
		t.Error("the store changed")
	}
	if r := requested(); len(r) != 1 || r[0].HaveBinary || *r[0].MinSequence != 3 {
		t.Errorf("requested %+v, want it with its payload", r)
	}
}

// TestSUITReports: what a boot would find, under the token of the request.
func TestSUITReports(t *testing.T) {
	w := holding(t, "a", "b")
	if r := must[*teep.QueryResponse](w, query(teep.ItemTrustedComponents)); r.SUITReports != nil {
		t.Error("reports that nobody asked for")
	}
	r := must[*teep.QueryResponse](w, query(teep.ItemSUITReports))
	reports := w.reports(r.SUITReports)
	if len(reports) != 2 || !reports[0].Succeeded() || !reports[1].Succeeded() {
		t.Fatalf("reports %+v", reports)
	}
	image := reports[1].Properties()
	if len(image) != 1 || !image[0].Component.Equal(id(t, "b")) || !image[0].ImageDigest.Equal(suit.SumSHA256([]byte("image of b"))) {
		t.Errorf("measured %+v", image)
	}
	w.tamper("image of b", "imago of b")
	reports = w.reports(must[*teep.QueryResponse](w, query(teep.ItemSUITReports)).SUITReports)
	if !reports[0].Succeeded() || reports[1].Succeeded() || reports[1].Failure.Reason != suit.ReasonConditionFailed {
		t.Errorf("after tampering: %+v", reports)
	}
	// In answer to a challenge there is no token, and the evidence is what is fresh.
	with := must[*teep.QueryResponse](w, query(teep.ItemAttestation|teep.ItemSUITReports))
	signed, err := suit.OpenReport(with.SUITReports[0])
	if err != nil {
		t.Fatal(err)
	}
	if report, err := signed.Verify(w.reportKey.PublicKey(), false); err != nil || report.Nonce != nil {
		t.Errorf("%+v, %v", report, err)
	}
}

// One Update that unlinks a component's manifest, and installs an older image of it under
// another name, does the first and not the second.
func TestUnlinkOpensNoWayBack(t *testing.T) {
	w := newWorld(t)
	must[*teep.Success](w, w.update(release{component: "app/hello", name: "pub/v2", sequence: 10, image: "ten", signer: w.publisher}))
	u := w.unlinking("pub/v2")
	for _, name := range []string{"pub/v1", "-"} {
		old := w.update(release{component: "app/hello", name: name, sequence: 1, image: "one", signer: w.publisher})
		u.Manifests = append(u.Manifests, old.Manifests...)
	}
	e := w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, agent.ErrManifest)
	reports := w.reports(e.SUITReports)
	if len(reports) != 3 || !reports[0].Succeeded() || reports[1].Succeeded() || reports[2].Succeeded() {
		t.Errorf("reports %+v, agent said %q", reports, e.ErrMsg)
	}
	if got := w.store.Manifests(); len(got) != 0 {
		t.Errorf("installed %v", got)
	}
	must[*teep.Success](w, w.update(release{component: "app/hello", name: "pub/v1", sequence: 10, image: "one", signer: w.publisher}))
}

// changed is the release with another manifest in its envelope.
func (w *world) changed(r release, change func(*suit.Manifest)) *teep.Update {
	w.t.Helper()
	e, err := suit.Decode(w.envelope(r))
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := e.UnverifiedManifest()
	if err != nil {
		w.t.Fatal(err)
	}
	change(m)
	payloads := map[string][]byte{}
	for _, name := range e.IntegratedNames() {
		payloads[name], _ = e.UnverifiedIntegrated(name)
	}
	if e, err = suit.Sign(m, payloads, r.signer); err != nil {
		w.t.Fatal(err)
	}
	encoded, err := e.Encode(true)
	if err != nil {
		w.t.Fatal(err)
	}
	return &teep.Update{Token: w.nextToken(), Manifests: [][]byte{encoded}}
}

// TestUninstallSectionHasNoVeto: the TAM decides that a manifest goes, and what else of
// its Update is done.
func TestUninstallSectionHasNoVeto(t *testing.T) {
	at := now
	later := uint64(now.Add(time.Hour).Unix())
	expire := []suit.Command{
		{Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{UseBefore: &later}},
		{Code: suit.ConditionUseBefore, Argument: suit.Policy(0)},
	}
	librarian := generate(t, cosekit.Ed25519)
	for name, tt := range map[string]struct {
		change func(*suit.Manifest)
		needs  *release
		says   string
	}{
		"it aborts": {func(m *suit.Manifest) {
			m.Sections[suit.SectionUninstall] = suit.Severable{Sequence: &suit.Sequence{Commands: []suit.Command{
				{Code: suit.ConditionAbort, Argument: suit.Policy(0)},
			}}}
		}, nil, "abort"},
		"it has expired": {func(m *suit.Manifest) {
			m.Common.Shared.Commands = append(m.Common.Shared.Commands, expire...)
		}, nil, "condition not met"},
		"the signer of what it depends on has expired": {func(*suit.Manifest) {}, &release{
			component: "app/lib", sequence: 1, image: "library", signer: librarian,
		}, "dependency is not authentic"},
	} {
		t.Run(name, func(t *testing.T) {
			at = now
			clock := func() time.Time { return at }
			w := newWorld(t, func(c *agent.Config) {
				c.Clock, c.Processing.Circumstances.Clock = clock, clock
				var err error
				c.Anchors, err = c.Anchors.With(anchor.Anchor{Key: librarian.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner}, NotAfter: now.Add(time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
			})
			r := release{component: "app/hello", sequence: 1, image: "hello", signer: w.publisher}
			if tt.needs != nil {
				r.describe = w.depending(*tt.needs)
			}
			must[*teep.Success](w, w.changed(r, tt.change))
			at = now.Add(2 * time.Hour)
			u := w.unlinking("app/hello/suit")
			u.Manifests = w.update(release{component: "d", sequence: 1, image: "d", signer: w.publisher}).Manifests
			s := must[*teep.Success](w, u)
			if reports := w.reports(s.SUITReports); len(reports) != 2 || !reports[0].Succeeded() || ran(reports[0], suit.SectionUninstall) {
				t.Errorf("reports %+v", reports)
			}
			if !strings.Contains(s.Msg, "app/hello/suit went without its uninstall section") || !strings.Contains(s.Msg, tt.says) {
				t.Errorf("message %q", s.Msg)
			}
			if got := w.installed(); got != "d "+suit.SumSHA256([]byte("d")).String()+"\n" {
				t.Errorf("installed\n%s", got)
			}
		})
	}
}
