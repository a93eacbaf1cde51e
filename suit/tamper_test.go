package suit

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Whatever byte of an envelope is changed, what verifies has the manifest that was
// signed, and of what can be severed the element that was signed or none. Integrated
// payloads are not under the signature, nor are their names, kid, and blocks that do
// not verify: a payload is held by the image-digest in the manifest.
func TestEveryFlippedByte(t *testing.T) {
	s, second, secret := newSigner(t, cosekit.Ed25519), newSigner(t, cosekit.ESP256), newSecret(t, 1, "k")
	m := everySeverable(t)
	original := must[*Envelope](t)(Sign(m, smallPayloads, s))
	original = must[*Envelope](t)(original.Countersign(second))
	original = must[*Envelope](t)(original.Authenticate(secret))
	keys := KeyRing{KeyList{s.PublicKey()}, []*cosekit.SecretKey{secret}}
	raw := encoded(t, original)
	refused := 0
	for i := range raw {
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
			spoilt := bytes.Clone(raw)
			spoilt[i] ^= flip
			e, err := Decode(spoilt)
			if err != nil {
				refused++
				continue
			}
			v, err := e.Verify(keys, cosekit.AllowLegacy)
			if err != nil {
				refused++
				continue
			}
			if !sameContent(t, v, original) {
				t.Fatalf("byte %d ^ %#x: other content verifies", i, flip)
			}
		}
	}
	if refused < 2*len(raw) {
		t.Errorf("%d of %d changes are refused", refused, 4*len(raw))
	}
}

// sameContent holds what was verified against what was signed.
func sameContent(t *testing.T, v *Verified, original *Envelope) bool {
	t.Helper()
	m := v.Manifest()
	raw, err := m.Encode(false)
	if err != nil || !bytes.Equal(raw, original.manifest) || !v.Digest().Equal(original.Digest()) {
		return false
	}
	for _, s := range severableElements {
		element, err := m.encodeElement(s)
		if want, _ := original.Element(s); err != nil || element != nil && !bytes.Equal(element, want) {
			return false
		}
	}
	payload, there := v.Integrated("#payload")
	image := m.Common.Shared.Commands[0].Argument.(*Parameters).ImageDigest
	return !there || bytes.Equal(payload, smallPayloads["#payload"]) || !SumSHA256(payload).Equal(*image)
}

// The digest is checked before the manifest is looked into.
func TestFlippedManifestIsNotRead(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	original := signed(t, s)
	raw := encoded(t, original)
	manifestAt := bytes.Index(raw, original.manifest)
	for i := range original.manifest {
		spoilt := bytes.Clone(raw)
		spoilt[manifestAt+i] ^= 1
		e, err := Decode(spoilt)
		if err != nil {
			t.Fatalf("the manifest is looked into too early: %v", err)
		}
		if _, err := e.Verify(KeyList{s.PublicKey()}, false); !errors.Is(err, ErrDigest) {
			t.Fatalf("byte %d of the manifest: %v", i, err)
		}
	}
}
