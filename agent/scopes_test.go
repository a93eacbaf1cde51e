package agent_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/teep"
)

const (
	secretImage    = "for this device alone"
	ciphertextName = "#image"
	authorName     = "#author"
)

func plain(code suit.CommandCode) suit.Command {
	return suit.Command{Code: code, Argument: suit.Policy(0)}
}

func index(i uint64) suit.Command {
	return suit.Command{Code: suit.DirectiveSetComponentIndex, Argument: suit.Index(i)}
}

func override(p suit.Parameters) suit.Command {
	return suit.Command{Code: suit.DirectiveOverrideParameters, Argument: &p}
}

func commands(list ...suit.Command) *suit.Sequence { return &suit.Sequence{Commands: list} }

// forLamps checks vendor and class with the parameters of the component.
func forLamps(component uint64) *suit.Sequence {
	vendorID := author.VendorID(vendor)
	classID := author.ClassID(vendorID, class)
	return commands(index(component), override(suit.Parameters{VendorID: &vendorID, ClassID: &classID}),
		plain(suit.ConditionVendorIdentifier), plain(suit.ConditionClassIdentifier))
}

// encrypted is the author's manifest of an image that a distributor encrypts: it has the
// digests of ciphertext and image, and neither a key nor where the ciphertext is.
func encrypted(t *testing.T, ciphertext []byte) *suit.Manifest {
	source, cipherSize, imageSize := uint64(1), uint64(len(ciphertext)), uint64(len(secretImage))
	cipherDigest, imageDigest := suit.SumSHA256(ciphertext), suit.SumSHA256([]byte(secretImage))
	return &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: 1,
		Common: suit.Common{Components: []suit.ComponentID{id(t, "app/hello"), id(t, "app/hello/encrypted")}, Shared: forLamps(0)},
		Sections: map[suit.Section]suit.Severable{suit.SectionInstall: {Sequence: commands(
			index(1), override(suit.Parameters{ImageDigest: &cipherDigest, ImageSize: &cipherSize}),
			plain(suit.DirectiveFetch), plain(suit.ConditionImageMatch),
			index(0), override(suit.Parameters{SourceComponent: &source}), plain(suit.DirectiveCopy),
			override(suit.Parameters{ImageDigest: &imageDigest, ImageSize: &imageSize}), plain(suit.ConditionImageMatch),
		)}},
	}
}

// distributed is the distributor's manifest, which carries that of the author. Before that
// it sets what stands in install.
func distributed(t *testing.T, authors []byte, install []suit.Command) *suit.Manifest {
	e, err := suit.Decode(authors)
	if err != nil {
		t.Fatal(err)
	}
	digest, uri := e.Digest(), authorName
	return &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: 7, ComponentID: id(t, "mirror/hello"),
		Common: suit.Common{
			Components:   []suit.ComponentID{id(t, "app/hello"), id(t, "app/hello/encrypted")},
			Dependencies: []suit.Dependency{{Index: 2, Prefix: id(t, "app/hello/suit")}},
			Shared:       forLamps(2),
		},
		Sections: map[suit.Section]suit.Severable{suit.SectionInstall: {Sequence: commands(slices.Concat([]suit.Command{
			index(2), override(suit.Parameters{ImageDigest: &digest, URI: &uri}), plain(suit.DirectiveFetch), plain(suit.ConditionDependencyIntegrity),
		}, install, []suit.Command{index(2), plain(suit.DirectiveProcessDependency)})...)}},
	}
}

func (w *world) suit(m *suit.Manifest, payloads map[string][]byte, signer cosekit.Signer) []byte {
	w.t.Helper()
	e, err := suit.Sign(m, payloads, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := e.Encode(false)
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// TestScopes: a distributor who may only carry the author's manifest and set encryption-info
// and uri on the author's components does that, and nothing else
// (draft-ietf-suit-trust-domains, Overriding Encryption Info).
func TestScopes(t *testing.T) {
	kek, err := cosekit.NewSecretKey(bytes.Repeat([]byte{7}, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	made, err := author.Encrypt(&out, strings.NewReader(secretImage), cosekit.A128GCM, kek)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, uri, other := out.Bytes(), ciphertextName, suit.SumSHA256([]byte("another image"))
	given := []suit.Command{
		index(0), override(suit.Parameters{EncryptionInfo: made.Info}),
		index(1), override(suit.Parameters{URI: &uri}),
	}
	for name, tt := range map[string]struct {
		scope   string
		more    []suit.Command
		allowed bool
	}{
		"as it may":                   {"parameters=encryption-info,uri", nil, true},
		"image-digest":                {"parameters=encryption-info,uri", []suit.Command{override(suit.Parameters{ImageDigest: &other})}, false},
		"image-digest unless set":     {"parameters=encryption-info,uri", []suit.Command{{Code: suit.DirectiveSetParameters, Argument: &suit.Parameters{ImageDigest: &other}}}, false},
		"image-digest by copying":     {"parameters=encryption-info,uri", []suit.Command{{Code: suit.DirectiveCopyParams, Argument: suit.ParameterCopies{2: {suit.ParameterImageDigest}}}}, false},
		"vendor-id":                   {"parameters=encryption-info,uri", forLamps(0).Commands, false},
		"fetch":                       {"parameters=encryption-info,uri", []suit.Command{plain(suit.DirectiveFetch)}, false},
		"fetch in an alternative":     {"parameters=encryption-info,uri", []suit.Command{{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Optional: true, Sequences: []suit.Sequence{*commands(plain(suit.ConditionAbort)), *commands(plain(suit.ConditionAbort), plain(suit.DirectiveFetch))}}}}, false},
		"write":                       {"parameters=encryption-info,uri,content", []suit.Command{override(suit.Parameters{Content: []byte("x")}), plain(suit.DirectiveWrite)}, false},
		"copy":                        {"parameters=encryption-info,uri,source-component", []suit.Command{index(0), override(suit.Parameters{SourceComponent: new(uint64)}), plain(suit.DirectiveCopy)}, false},
		"encryption-info":             {"parameters=uri", nil, false},
		"uri":                         {"parameters=encryption-info", nil, false},
		"conditions and alternatives": {"parameters=encryption-info,uri", []suit.Command{{Code: suit.DirectiveTryEach, Argument: &suit.Alternatives{Optional: true, Sequences: []suit.Sequence{*commands(plain(suit.ConditionImageMatch)), *commands(plain(suit.ConditionAbort))}}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			distributor := generate(t, cosekit.ESP256)
			w := newWorld(t, func(c *agent.Config) {
				c.Processing.Keys = cosekit.DecryptionKeys{Secrets: []*cosekit.SecretKey{kek}}
				a := anchor.Anchor{Key: distributor.PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner}}
				for _, text := range []string{"mirror", "app/hello/suit", "app commands=process-dependency " + tt.scope} {
					s, err := anchor.ParseScope(text)
					if err != nil {
						t.Fatal(err)
					}
					a.Constraints.Admit(s)
				}
				if c.Anchors, err = c.Anchors.With(a); err != nil {
					t.Fatal(err)
				}
			})
			deliver := func(signer cosekit.Signer) (teep.Message, error) {
				authors := w.suit(encrypted(t, ciphertext), map[string][]byte{ciphertextName: ciphertext}, w.publisher)
				m := distributed(t, authors, slices.Concat(given, tt.more))
				return w.deliver(w.seal(&teep.Update{Token: token, Manifests: [][]byte{w.suit(m, map[string][]byte{authorName: authors}, signer)}}, w.tam))
			}
			answer, err := deliver(distributor)
			if tt.allowed {
				want := "app/hello " + suit.SumSHA256([]byte(secretImage)).String() + "\n"
				if _, ok := answer.(*teep.Success); !ok || err != nil || !strings.Contains(w.installed(), want) {
					t.Errorf("%+v, %v, holds %s", answer, err, w.installed())
				}
				return
			}
			refused, ok := answer.(*teep.Error)
			if !ok || !errors.Is(err, agent.ErrManifest) || w.installed() != "" {
				t.Fatalf("%+v, %v, holds %s", answer, err, w.installed())
			}
			if f := w.reports(refused.SUITReports)[0].Failure; f == nil || f.Reason != suit.ReasonComponentUnauthorised {
				t.Errorf("report %+v: %v", f, err)
			}
		})
	}
}
