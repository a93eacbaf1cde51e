package agent_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

func (w *world) update(releases ...release) *teep.Update {
	w.t.Helper()
	u := &teep.Update{Token: token}
	for _, r := range releases {
		u.Manifests = append(u.Manifests, w.envelope(r))
	}
	return u
}

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	for sequence, image := range []string{"zero", "one", "two"} {
		s := must[*teep.Success](w, w.update(
			release{component: "app/hello", sequence: uint64(sequence + 1), image: image, signer: w.publisher},
			release{component: "app/narrow/x", sequence: uint64(sequence + 1), image: "n" + image, signer: w.narrow},
		))
		if !bytes.Equal(s.Token, token) {
			t.Errorf("token %x", s.Token)
		}
		for i, r := range w.reports(s.SUITReports) {
			if !r.Succeeded() {
				t.Errorf("report %d: %+v", i, r.Failure)
			}
		}
		want := "app/hello " + suit.SumSHA256([]byte(image)).String() + "\n" +
			"app/narrow/x " + suit.SumSHA256([]byte("n"+image)).String() + "\n"
		if got := w.installed(); got != want {
			t.Errorf("installed\n%swant\n%s", got, want)
		}
	}
}

// TestReportKey: reports are signed with a key of their own, which they carry.
func TestReportKey(t *testing.T) {
	w := newWorld(t)
	s := must[*teep.Success](w, w.update(release{component: "a", sequence: 1, image: "x", signer: w.publisher}))
	report, err := suit.OpenReport(s.SUITReports[0])
	if err != nil {
		t.Fatal(err)
	}
	if kid, ok := report.KeyID(); !ok || kid != w.reportKey.PublicKey().Thumbprint() {
		t.Errorf("report names key %s", kid)
	}
	if _, err := report.Verify(w.key.PublicKey(), false); err == nil {
		t.Error("the report verifies under the message key")
	}
}

func TestManifestRefused(t *testing.T) {
	installed := func(w *world) release {
		return release{component: "app/hello", sequence: 5, image: "five", signer: w.publisher}
	}
	tests := []struct {
		name    string
		release func(w *world) release
		change  func(envelope []byte) []byte
		reason  suit.ReportReason
	}{
		{"unsigned", func(w *world) release { return release{signer: nil} }, nil, suit.ReasonUnauthorised},
		{"wrong signer", func(w *world) release { return release{signer: w.mallory} }, nil, suit.ReasonUnauthorised},
		{"signed by the TAM", func(w *world) release { return release{signer: w.tam} }, nil, suit.ReasonUnauthorised},
		{"signer without rights to the component", func(w *world) release { return release{signer: w.narrow} }, nil, suit.ReasonComponentUnauthorised},
		{"signer for devices of another vendor", func(w *world) release { return release{signer: w.retired} }, nil, suit.ReasonComponentUnauthorised},
		{"lower sequence", func(w *world) release { return release{signer: w.publisher, sequence: 4} }, nil, suit.ReasonConditionFailed},
		{"no manifest-component-id", func(w *world) release { return release{signer: w.publisher, name: "-"} }, nil, suit.ReasonConditionFailed},
		{"other class", func(w *world) release { return release{signer: w.publisher, class: "toaster"} }, nil, suit.ReasonConditionFailed},
		{"payload that does not match", func(w *world) release {
			return release{signer: w.publisher, spoil: func(p map[string][]byte) {
				for name := range p {
					p[name] = []byte("SIX!")[:3]
				}
			}}
		}, nil, suit.ReasonConditionFailed},
		{"payload that is too long", func(w *world) release {
			return release{signer: w.publisher, spoil: func(p map[string][]byte) {
				for name := range p {
					p[name] = []byte("six and more")
				}
			}}
		}, nil, suit.ReasonOperationFailed},
		{"no payload", func(w *world) release {
			return release{signer: w.publisher, spoil: func(p map[string][]byte) { clear(p) }}
		}, nil, suit.ReasonOperationFailed},
		{"manifest that is not the signed one", func(w *world) release { return release{signer: w.publisher} },
			func(e []byte) []byte { return bytes.Replace(e, []byte("app"), []byte("apq"), 1) }, suit.ReasonUnauthorised},
		{"algorithm that is not supported", func(w *world) release { return release{signer: w.publisher} },
			func(e []byte) []byte {
				return bytes.Replace(e, []byte{0x43, 0xa1, 0x01, 0x32}, []byte{0x43, 0xa1, 0x01, 0x33}, 1)
			},
			suit.ReasonAlgorithmUnsupported},
		{"algorithm of old", func(w *world) release { return release{signer: w.publisher} },
			func(e []byte) []byte {
				return bytes.Replace(e, []byte{0x43, 0xa1, 0x01, 0x32}, []byte{0x43, 0xa1, 0x01, 0x27}, 1)
			},
			suit.ReasonAlgorithmUnsupported},
		{"structure that is not supported", func(w *world) release { return release{signer: w.publisher} },
			func(e []byte) []byte {
				return bytes.Replace(e, []byte{0xd2, 0x84, 0x43, 0xa1, 0x01}, []byte{0xd0, 0x84, 0x43, 0xa1, 0x01}, 1)
			},
			suit.ReasonCOSEUnsupported},
		{"not an envelope", func(w *world) release { return release{signer: w.publisher} },
			func([]byte) []byte { return []byte{0xa0} }, -1},
		{"truncated envelope", func(w *world) release { return release{signer: w.publisher} },
			func(e []byte) []byte { return e[:len(e)/2] }, -1},
		{"trailing byte", func(w *world) release { return release{signer: w.publisher} },
			func(e []byte) []byte { return append(e, 0) }, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			must[*teep.Success](w, w.update(installed(w)))
			// The index remembers that the Update was accepted; nothing else may change.
			files, components := w.tree("index"), w.installed()
			r := tt.release(w)
			r.component, r.image = "app/hello", "six"
			if r.sequence == 0 {
				r.sequence = 6
			}
			envelope := w.envelope(r)
			if tt.change != nil {
				envelope = tt.change(envelope)
			}
			u := &teep.Update{Token: token, Manifests: [][]byte{envelope}}
			e := w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, agent.ErrManifest)
			if !bytes.Equal(e.Token, token) {
				t.Errorf("token %x", e.Token)
			}
			reports := w.reports(e.SUITReports)
			switch {
			case tt.reason == -1 && len(reports) != 0:
				t.Errorf("a report on nothing: %+v", reports[0])
			case (tt.reason == suit.ReasonAlgorithmUnsupported || tt.reason == suit.ReasonCOSEUnsupported) &&
				(reports[0].Capabilities == nil || !slices.Contains(reports[0].Capabilities.Algorithms, cosekit.HSSLMS)):
				t.Errorf("what the device supports: %+v", reports[0].Capabilities)
			case tt.reason != -1 && (len(reports) != 1 || reports[0].Failure == nil || reports[0].Failure.Reason != tt.reason):
				t.Errorf("reports %+v, want reason %s; agent said %q", reports, tt.reason, e.ErrMsg)
			}
			if w.tree("index") != files || w.installed() != components {
				t.Error("the component store changed")
			}
			// The refusal holds nothing up.
			good := release{component: "app/hello", sequence: 6, image: "six", signer: w.publisher}
			must[*teep.Success](w, w.update(good))
		})
	}
}

func TestOneFailureAmongSeveral(t *testing.T) {
	w := newWorld(t)
	u := w.update(
		release{component: "a", sequence: 1, image: "a", signer: w.mallory},
		release{component: "b", sequence: 1, image: "b", signer: w.publisher},
	)
	e := w.mustError(w.seal(u, w.tam), teep.ManifestProcessingFailed, agent.ErrManifest)
	reports := w.reports(e.SUITReports)
	if len(reports) != 2 || reports[0].Succeeded() || !reports[1].Succeeded() {
		t.Errorf("reports %+v", reports)
	}
	if want := "b " + suit.SumSHA256([]byte("b")).String() + "\n"; w.installed() != want {
		t.Errorf("installed %q", w.installed())
	}
}

func TestMessageRefused(t *testing.T) {
	w := newWorld(t)
	good := w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher})
	wire := w.seal(good, w.tam)
	plain, err := teep.Encode(w.numbering, good)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"empty":               {},
		"unsigned":            plain,
		"truncated":           wire[:len(wire)/2],
		"trailing byte":       append(bytes.Clone(wire), 0),
		"duplicate key":       w.signed([]byte{0x82, 3, 0xa2, 22, 1, 22, 1}, w.tam),
		"unknown type":        w.signed([]byte{0x82, 9, 0xa0}, w.tam),
		"no array":            w.signed([]byte{0xa0}, w.tam),
		"empty manifest-list": w.signed([]byte{0x82, 3, 0xa1, 9, 0x80}, w.tam),
		"a device's message":  w.seal(&teep.Success{Token: token}, w.tam),
		"indefinite length":   w.signed([]byte{0x9f, 3, 0xa0, 0xff}, w.tam),
	}
	before := w.tree()
	for name, wire := range tests {
		e := w.mustError(wire, teep.PermanentError, agent.ErrRefused)
		if e.Token != nil || e.ErrMsg == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	for i := range wire {
		answer, err := w.deliver(wire[:i])
		if e, ok := answer.(*teep.Error); !ok || e.Code != teep.PermanentError || err == nil {
			t.Fatalf("cut at %d: %+v, %v", i, answer, err)
		}
	}
	// The other key of the TAM is trusted, but not what was agreed on.
	if e := w.mustError(w.seal(good, w.tamEd), teep.PermanentError, agent.ErrRefused); !bytes.Equal(e.Token, token) {
		t.Errorf("other cipher suite: %+v", e)
	}
	if w.tree() != before {
		t.Error("the store changed")
	}
}

func TestReplayedUpdate(t *testing.T) {
	w := newWorld(t)
	u := w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher})
	must[*teep.Success](w, u)
	before := w.tree()
	again := w.seal(u, w.tam)
	// Whoever replays can change the kid, which no signature covers, without harm to it.
	var parts []cosekit.RawMessage
	if err := cosekit.Unmarshal(again[1:], &parts); err != nil {
		t.Fatal(err)
	}
	parts[1] = []byte{0xa0}
	bare := append([]byte{again[0]}, cosekit.MustMarshal(parts)...)
	for name, wire := range map[string][]byte{"same": again, "without kid": bare} {
		answer, err := w.deliver(wire)
		if answer != nil || !errors.Is(err, agent.ErrReplayed) {
			t.Errorf("%s: answer %+v, error %v", name, answer, err)
		}
	}
	if w.tree() != before {
		t.Error("the store changed")
	}
	// Another token makes it another Update; the same sequence number may come again.
	u.Token = bytes.Repeat([]byte{1}, 16)
	must[*teep.Success](w, u)
}

func TestUpdateThatSaysNo(t *testing.T) {
	w := newWorld(t)
	u := &teep.Update{Token: token, ErrCode: teep.AttestationRequired, ErrMsg: "unknown attestation key"}
	for range 2 { // it changes nothing, so it may come again
		answer, err := w.deliver(w.seal(u, w.tam))
		var told *agent.TAMError
		if answer != nil || !errors.As(err, &told) || told.Code != teep.AttestationRequired {
			t.Errorf("answer %+v, error %v", answer, err)
		}
	}
	// With manifests, they are processed and answered; the word of the TAM is not lost.
	u = w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher})
	u.ErrCode = teep.AttestationRequired
	answer, err := w.deliver(w.seal(u, w.tam))
	if _, ok := answer.(*teep.Success); !ok || !errors.As(err, new(*agent.TAMError)) {
		t.Errorf("answer %+v, error %v", answer, err)
	}
}

func TestUpdateWithNothingToDo(t *testing.T) {
	w := newWorld(t)
	before := w.tree()
	u := &teep.Update{Token: token, Attestation: &teep.AttestationPayload{Payload: []byte{0xa0}}}
	if s := must[*teep.Success](w, u); !bytes.Equal(s.Token, token) || s.SUITReports != nil {
		t.Errorf("%+v", s)
	}
	if w.tree() != before {
		t.Error("the store changed")
	}
}

// forgetful cannot write.
type forgetful struct{ agent.Memory }

func (forgetful) AcceptUpdate([sha256.Size]byte) (bool, error) {
	return false, errors.New("disk full")
}

func TestUpdateThatCannotBeRemembered(t *testing.T) {
	w := newWorld(t, func(c *agent.Config) { c.Memory = forgetful{c.Memory} })
	before := w.tree()
	u := w.update(release{component: "a", sequence: 1, image: "a", signer: w.publisher})
	w.mustError(w.seal(u, w.tam), teep.TemporaryError, agent.ErrRefused)
	if w.tree() != before {
		t.Error("a manifest was processed all the same")
	}
}

// TestNoRoomInTheEvidence: the device stays able to attest itself, and says why it
// takes no more.
func TestNoRoomInTheEvidence(t *testing.T) {
	w := newWorld(t)
	var releases []release
	for i := range 20 {
		releases = append(releases, release{
			component: fmt.Sprintf("app/%d", i), sequence: 1, image: "x", signer: w.publisher, uri: strings.Repeat("u", suit.MaxURILength),
		})
	}
	refusal := w.mustError(w.seal(w.update(releases...), w.tam), teep.ManifestProcessingFailed, tee.ErrFull)
	if !strings.Contains(refusal.ErrMsg, "no room in the evidence, unlink something first") {
		t.Errorf("err-msg %q", refusal.ErrMsg)
	}
	failed := 0
	for _, r := range w.reports(refusal.SUITReports) {
		if !r.Succeeded() {
			failed++
		}
	}
	if n := len(w.store.Manifests()); failed == 0 || n != len(releases)-failed {
		t.Errorf("%d manifests are installed, %d of %d have failed", n, failed, len(releases))
	}
	if r := must[*teep.QueryResponse](w, query(teep.ItemAttestation|teep.ItemTrustedComponents)); r.Attestation == nil {
		t.Error("no evidence")
	}
}
