package agent_test

import (
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestErrMsgHasTheReason, whole, where the reasons of a SUIT_Report are too coarse.
func TestErrMsgHasTheReason(t *testing.T) {
	directory := suit.Directory
	for name, tt := range map[string]struct {
		rule   suit.SignatureRule
		before *release
		after  release
		change func(*suit.Manifest)
		want   string
	}{
		"rollback": {
			before: &release{sequence: 5}, after: release{sequence: 4},
			want: "manifest 1 of 1: sequence number is lower than the last one installed: 4, that was 5",
		},
		"a component of another manifest": {
			before: &release{sequence: 5}, after: release{sequence: 4, name: "other/name"},
			want: "manifest 1 of 1: fetch: component is referenced by another manifest: app/hello/suit; unlink that one first",
		},
		"no second signature": {
			rule: suit.ClassicalAndPostQuantum, after: release{sequence: 1},
			want: "manifest 1 of 1: envelope.authentication-wrapper: not enough signatures: a post-quantum one",
		},
		"metadata": {
			after: release{sequence: 1},
			change: func(m *suit.Manifest) {
				m.Common.Shared.Commands = append(m.Common.Shared.Commands, suit.Command{
					Code: suit.DirectiveOverrideParameters, Argument: &suit.Parameters{Metadata: &suit.ComponentMetadata{FileType: &directory}},
				})
			},
			want: "manifest 1 of 1: override-parameters: parameter not supported: component-metadata: file type",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *agent.Config) { c.Processing.Signatures = tt.rule })
			send := func(r release) *teep.Update {
				r.component, r.image, r.signer = "app/hello", "image of "+r.name, w.publisher
				change := tt.change
				if change == nil {
					change = func(*suit.Manifest) {}
				}
				return w.changed(r, change)
			}
			if tt.before != nil {
				must[*teep.Success](w, send(*tt.before))
			}
			e := w.mustError(w.seal(send(tt.after), w.tam), teep.ManifestProcessingFailed, agent.ErrManifest)
			if !strings.HasPrefix(e.ErrMsg, tt.want) {
				t.Errorf("err-msg %q\nwant %q", e.ErrMsg, tt.want)
			}
		})
	}
}
