package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/device"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/tam/teephttp"
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

// compatible are the checks of vendor and class, with the parameters of one component.
func compatible(component uint64) *suit.Sequence {
	vendorID := author.VendorID(fieldVendor)
	classID := author.ClassID(vendorID, fieldClass)
	return &suit.Sequence{Commands: []suit.Command{
		index(component), override(suit.Parameters{VendorID: &vendorID, ClassID: &classID}),
		plain(suit.ConditionVendorIdentifier), plain(suit.ConditionClassIdentifier),
	}}
}

// mirrored is a manifest of the publisher "app" with the digests of an image and of its
// ciphertext, within one of the publisher "mirror" that says where the ciphertext is and how
// it is encrypted, and does what is added there.
func (f *field) mirrored(t *testing.T, n int, image, ciphertext []byte, info []byte, uri string, added ...suit.Command) edition {
	t.Helper()
	sign := func(m *suit.Manifest, payloads map[string][]byte, by string) (suit.Digest, []byte) {
		e, err := suit.Sign(m, payloads, f.publishers[by])
		if err != nil {
			t.Fatal(err)
		}
		raw, err := e.Encode(true)
		if err != nil {
			t.Fatal(err)
		}
		return e.Digest(), raw
	}
	components := []suit.ComponentID{componentID(t, "app/secret"), componentID(t, "app/secret/encrypted")}
	source, size, sealedSize := uint64(1), uint64(len(image)), uint64(len(ciphertext))
	digest, sealed, inside := suit.SumSHA256(image), suit.SumSHA256(ciphertext), "#author"
	install := func(commands ...suit.Command) map[suit.Section]suit.Severable {
		return map[suit.Section]suit.Severable{suit.SectionInstall: {Sequence: &suit.Sequence{Commands: commands}}}
	}
	inner, authors := sign(&suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: uint64(n),
		Common: suit.Common{Components: components, Shared: compatible(0)},
		Sections: install(
			index(1), override(suit.Parameters{ImageDigest: &sealed, ImageSize: &sealedSize}), plain(suit.DirectiveFetch), plain(suit.ConditionImageMatch),
			index(0), override(suit.Parameters{SourceComponent: &source, ImageDigest: &digest, ImageSize: &size}), plain(suit.DirectiveCopy), plain(suit.ConditionImageMatch),
		),
	}, nil, "app")
	outer := &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: uint64(n), ComponentID: componentID(t, "mirror/secret"),
		Common: suit.Common{Components: components, Dependencies: []suit.Dependency{{Index: 2, Prefix: componentID(t, "app/secret/suit")}}, Shared: compatible(2)},
		Sections: install(slices.Concat([]suit.Command{
			index(2), override(suit.Parameters{ImageDigest: &inner, URI: &inside}), plain(suit.DirectiveFetch), plain(suit.ConditionDependencyIntegrity),
			index(0), override(suit.Parameters{EncryptionInfo: info}), index(1), override(suit.Parameters{URI: &uri}),
		}, added, []suit.Command{index(2), plain(suit.DirectiveProcessDependency)})...),
	}
	_, envelope := sign(outer, map[string][]byte{inside: authors}, "mirror")
	return edition{n: n, manifest: outer.ComponentID, envelope: envelope, holds: map[string]string{
		"app/secret": digest.String(), "app/secret/encrypted": sealed.String(),
	}}
}

// TestFamilyMirror: a distributor encrypts an author's image to a device. By its scopes it
// may do that and no more, which the TAM finds at publishing
// (draft-ietf-suit-trust-domains, Overriding Encryption Info).
func TestFamilyMirror(t *testing.T) {
	f := newField(t, suit.AnySignature)
	g := f.enroll(t, nil)
	pem, err := os.ReadFile(device.DecryptionKeyPath(g.dir))
	if err != nil {
		t.Fatal(err)
	}
	key, err := cosekit.ReadAgreementPublicKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.operator.require(t.Context(), g.id, componentID(t, "mirror/secret")); err != nil {
		t.Fatal(err)
	}
	image := []byte("for this device alone")
	var ciphertext bytes.Buffer
	made, err := author.Encrypt(&ciphertext, bytes.NewReader(image), cosekit.A128GCM, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ciphertext")
	if err := os.WriteFile(file, ciphertext.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.operator.upload(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	uri := f.server.teepURL + teephttp.PayloadPath + fmt.Sprintf("%x", suit.SumSHA256(ciphertext.Bytes()).Bytes)
	digest := suit.SumSHA256(image)
	for _, tt := range []struct {
		added []suit.Command
		says  string
	}{
		{[]suit.Command{index(0), override(suit.Parameters{ImageDigest: &digest})}, "install[9].override-parameters: publisher \\\"mirror\\\""},
		{[]suit.Command{plain(suit.DirectiveFetch)}, "install[8].fetch: publisher \\\"mirror\\\""},
	} {
		e := f.mirrored(t, 1, image, ciphertext.Bytes(), made.Info, uri, tt.added...)
		f.refusedAtPublish(t, e, "signer-not-allowed")
		if _, err := f.operator.publish(t.Context(), e.envelope); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("published: %v, want %s", err, tt.says)
		}
	}
	e := f.mirrored(t, 1, image, ciphertext.Bytes(), made.Info, uri)
	f.publish(t, e)
	f.deliver(t, g, e)
}
