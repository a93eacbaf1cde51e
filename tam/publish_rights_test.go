package tam_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
)

// trustWithin makes a publisher for what the scopes say.
func (w *world) trustWithin(title string, scopes ...string) cosekit.Signer {
	w.t.Helper()
	s := signer(w.t, cosekit.ESP256)
	a := anchor.Anchor{Key: s.PublicKey(), Title: title, Purposes: []anchor.Purpose{anchor.TCSigner}}
	for _, text := range scopes {
		scope, err := anchor.ParseScope(text)
		if err != nil {
			w.t.Fatal(err)
		}
		a.Constraints.Admit(scope)
	}
	if err := a.Validate(); err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx tam.Tx) error { return tx.AddAnchor(a) })
	return s
}

// TestPublishWithinCommands: a distributor carries the author's manifest and sets what it
// is allowed to set. For all else the refusal names the first command, in whatever section
// and sequence it stands.
func TestPublishWithinCommands(t *testing.T) {
	policy := suit.Policy(0)
	plain := func(code suit.CommandCode) suit.Command { return argued(code, policy) }
	set := func(p suit.Parameters) suit.Command { return argued(suit.DirectiveOverrideParameters, &p) }
	digest, uri, inside := sum("hello"), "https://mirror.example/hello", "#author"
	app, other := argued(suit.DirectiveSetComponentIndex, suit.Index(0)), argued(suit.DirectiveSetComponentIndex, suit.Index(1))
	nested := func(commands ...suit.Command) *suit.Alternatives {
		return &suit.Alternatives{Optional: true, Sequences: []suit.Sequence{{Commands: []suit.Command{plain(suit.ConditionAbort)}}, {Commands: commands}}}
	}
	swap := []suit.Command{
		other, argued(suit.DirectiveOverrideParameters, &suit.Parameters{SourceComponent: new(uint64), ImageDigest: &digest, URI: &uri}),
		plain(suit.DirectiveFetch), plain(suit.DirectiveSwap),
	}
	for name, tt := range map[string]struct {
		section  suit.Section // install where it is zero
		commands []suit.Command
		after    bool   // they stand behind those that carry the author's manifest
		says     string // of the refusal; empty where it is published
	}{
		"its parameters":         {commands: []suit.Command{app, set(suit.Parameters{URI: &uri})}},
		"soft failure":           {commands: []suit.Command{app, argued(suit.DirectiveTryEach, nested(set(suit.Parameters{SoftFailure: new(bool)})))}},
		"conditions":             {commands: []suit.Command{app, plain(suit.ConditionVendorIdentifier)}},
		"image-digest":           {commands: []suit.Command{app, set(suit.Parameters{URI: &uri, ImageDigest: &digest})}, says: "install[1].override-parameters: publisher \"distributor\" (%) may not set image-digest of app/hello"},
		"image-digest by set":    {commands: []suit.Command{app, argued(suit.DirectiveSetParameters, &suit.Parameters{ImageDigest: &digest})}, says: "install[1].set-parameters: publisher \"distributor\" (%) may not set image-digest of app/hello"},
		"fetch":                  {commands: []suit.Command{app, set(suit.Parameters{URI: &uri}), plain(suit.DirectiveFetch)}, says: "install[2].fetch: publisher \"distributor\" (%) may not use fetch on app/hello"},
		"fetch for all":          {section: suit.SectionLoad, commands: []suit.Command{argued(suit.DirectiveSetComponentIndex, suit.AllComponents{}), plain(suit.DirectiveFetch)}, says: "load[1].fetch: "},
		"fetch for a list":       {section: suit.SectionLoad, commands: []suit.Command{argued(suit.DirectiveSetComponentIndex, suit.IndexList{1, 0}), plain(suit.DirectiveFetch)}, says: "load[1].fetch: "},
		"write":                  {section: suit.SectionLoad, commands: []suit.Command{app, plain(suit.DirectiveWrite)}, says: "load[1].write: "},
		"copy":                   {section: suit.SectionLoad, commands: []suit.Command{app, plain(suit.DirectiveCopy)}, says: "load[1].copy: "},
		"by several":             {commands: []suit.Command{argued(suit.DirectiveOverrideMultiple, suit.ParameterSets{0: {Content: []byte("x")}, 1: {URI: &uri}})}, says: "install[0].override-multiple: publisher \"distributor\" (%) may not set content of app/hello"},
		"behind several":         {commands: []suit.Command{argued(suit.DirectiveOverrideMultiple, suit.ParameterSets{0: {URI: &uri}, 1: {URI: &uri}}), set(suit.Parameters{ImageDigest: &digest})}},
		"by copying":             {commands: []suit.Command{other, set(suit.Parameters{ImageDigest: &digest}), app, argued(suit.DirectiveCopyParams, suit.ParameterCopies{1: {suit.ParameterImageDigest}})}, says: "install[3].copy-params: publisher \"distributor\" (%) may not set image-digest of app/hello"},
		"by swap":                {commands: swap, after: true, says: "install[8].swap: publisher \"distributor\" (%) may not use swap on app/hello"},
		"where nobody comes":     {commands: []suit.Command{app, argued(suit.DirectiveTryEach, nested(plain(suit.ConditionAbort), argued(suit.DirectiveRunSequence, &suit.Sequence{Commands: []suit.Command{plain(suit.DirectiveWrite)}})))}, says: "install[1].try-each[1][1].run-sequence[0].write: "},
		"in the shared sequence": {section: suit.SectionShared, commands: []suit.Command{app, set(suit.Parameters{VendorID: &uuid.UUID{1}})}, says: "shared-sequence[1].override-parameters: publisher \"distributor\" (%) may not set vendor-id"},
		"at its invocation":      {section: suit.SectionInvoke, commands: []suit.Command{app, plain(suit.DirectiveInvoke)}, says: "invoke[1].invoke: "},
		"at its end":             {section: suit.SectionUninstall, commands: []suit.Command{app, plain(suit.DirectiveUnlink)}, says: "uninstall[1].unlink: "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			author := w.trustFor(cosekit.Ed25519, "app")
			distributor := w.trustWithin("distributor", "dist", "app/hello/suit", "app commands=process-dependency parameters=uri,encryption-info")
			inner := w.envelope(&tree{sequence: 1, images: map[string]string{"app/hello": "hello"}, signers: []cosekit.Signer{author}})
			decoded, err := suit.Decode(inner)
			if err != nil {
				t.Fatal(err)
			}
			carried := decoded.Digest()
			carry := []suit.Command{
				argued(suit.DirectiveSetComponentIndex, suit.Index(2)),
				set(suit.Parameters{ImageDigest: &carried, URI: &inside}), plain(suit.DirectiveFetch),
				plain(suit.ConditionDependencyIntegrity), plain(suit.DirectiveProcessDependency),
			}
			m := &suit.Manifest{
				Version: suit.ManifestVersion, SequenceNumber: 2, ComponentID: component("dist/hello"),
				Common: suit.Common{
					Components:   []suit.ComponentID{component("app/hello"), component("dist/own")},
					Dependencies: []suit.Dependency{{Index: 2, Prefix: component("app/hello/suit")}},
				},
				Sections: map[suit.Section]suit.Severable{},
			}
			install := carry
			switch tt.section {
			case suit.SectionShared:
				m.Common.Shared = &suit.Sequence{Commands: tt.commands}
			case 0:
				if install = slices.Concat(tt.commands, carry); tt.after {
					install = slices.Concat(carry, tt.commands)
				}
			default:
				m.Sections[tt.section] = suit.Severable{Sequence: &suit.Sequence{Commands: tt.commands}}
			}
			m.Sections[suit.SectionInstall] = suit.Severable{Sequence: &suit.Sequence{Commands: install}}
			_, _, err = w.fleet().PublishManifest(t.Context(), "operator:test", w.signed(m, map[string][]byte{inside: inner}, []cosekit.Signer{distributor}))
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := strings.ReplaceAll(tt.says, "%", distributor.PublicKey().Thumbprint().String())
			if !errors.Is(err, tam.ErrSignerNotAllowed) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %s", err, want)
			}
			// Whoever has no scope is held to nothing of that.
			_, _, err = w.fleet().PublishManifest(t.Context(), "operator:test", w.signed(m, map[string][]byte{inside: inner}, nil))
			if errors.Is(err, tam.ErrSignerNotAllowed) {
				t.Error(err)
			}
		})
	}
}

// TestPublishWithinCommandsOfDependency: the signer of a dependency is held to its scopes
// as well, and the refusal tells whose command it is.
func TestPublishWithinCommandsOfDependency(t *testing.T) {
	w := newWorld(t)
	narrow := w.trustWithin("narrow", "lib commands=copy")
	inner := w.envelope(&tree{sequence: 1, images: map[string]string{"lib/a": "a"}, signers: []cosekit.Signer{narrow}})
	root := &tree{id: "app/suit", sequence: 1, images: map[string]string{"app/a": "a"}, needs: []need{{id: "lib/suit", envelope: inner}}}
	_, _, err := w.fleet().PublishManifest(t.Context(), "operator:test", w.envelope(root))
	if !errors.Is(err, tam.ErrSignerNotAllowed) || !strings.Contains(err.Error(), "may not use fetch on lib/a; it is of dependency sha-256:") {
		t.Errorf("%v", err)
	}
}
