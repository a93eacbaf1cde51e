package testvectors_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/testvectors"
)

// victim is an envelope that verifies, and the device that it is for.
type victim struct {
	name     string
	data     []byte
	judge    judge
	identity processor.Identity
	mode     processor.Mode
}

// maxProcessed bounds how many flipped copies of one envelope are processed: each is
// written to a disk. Only where one of two signatures is large there are more.
const maxProcessed = 100

// TestEveryByteFlipped flips each byte of every envelope that this project publishes.
// What still verifies has the manifest that was signed; and no device changes to
// anything but what the envelope as it was brings.
func TestEveryByteFlipped(t *testing.T) {
	if flipAll(t, generatedVictims(t)) == 0 {
		t.Error("none was installed; a byte of a signature that is not needed should not be in the way")
	}
}

// TestEveryByteOfThePublishedFlipped does so with the examples of the drafts, in
// compatibility mode.
func TestEveryByteOfThePublishedFlipped(t *testing.T) { flipAll(t, publishedVictims(t)) }

func flipAll(t *testing.T, victims []victim) (installed int) {
	t.Helper()
	if len(victims) < 15 {
		t.Fatalf("%d envelopes only", len(victims))
	}
	verified := 0
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			n, m := v.flip(t)
			verified, installed = verified+n, installed+m
		})
	}
	t.Logf("%d envelopes; %d flipped copies verify, %d of those that were processed bring what was signed", len(victims), verified, installed)
	return installed
}

func generatedVictims(t *testing.T) (victims []victim) {
	t.Helper()
	index := load(t)
	identity := processor.Identity{Vendor: uuid.UUID(index.Device.VendorID), Class: uuid.UUID(index.Device.ClassID)}
	for _, v := range index.Vectors {
		if (v.Kind == testvectors.KindEnvelope || v.Kind == testvectors.KindUpdate) && v.Outcome == testvectors.Valid {
			victims = append(victims, victim{v.Name, v.Data, judges(t, index, v)[0], identity, processor.Strict})
		}
	}
	return victims
}

// publishedVictims are the examples of the drafts, on the device of their vendor.
func publishedVictims(t *testing.T) (victims []victim) {
	t.Helper()
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		t.Skip("TEEP_VECTORS names no folder with the published examples")
	}
	identity := processor.Identity{
		Vendor: uuid.MustParse("fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe"), Class: uuid.MustParse("1492af14-2569-5e48-bf42-9b2d51f2ab45"),
	}
	for _, family := range []string{"suit-manifest", "suit-trust-domains", "suit-firmware-encryption"} {
		var index struct {
			Keys map[string]struct {
				Public  string `json:"cose_key_public_hex"`
				Private string `json:"cose_key_private_hex"`
				Secret  string `json:"cose_key_secret_hex"`
			}
			Vectors []struct{ Name, File, Kind string }
		}
		data, err := os.ReadFile(filepath.Join(root, family, "index.json"))
		if err := errors.Join(err, json.Unmarshal(data, &index)); err != nil {
			t.Fatal(err)
		}
		j := judge{index: load(t), legacy: cosekit.AllowLegacy}
		unhex := func(s string) []byte {
			b, err := hex.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		for _, k := range index.Keys {
			if secret, err := cosekit.ParseSecretKey(unhex(k.Secret)); err == nil {
				j.ring.SecretList = append(j.ring.SecretList, secret)
				j.decrypt.Secrets = append(j.decrypt.Secrets, secret)
			}
			if key, err := cosekit.ParseManifestKey(unhex(k.Public)); err == nil {
				j.ring.KeyList = append(j.ring.KeyList, key)
			}
			if agreement, err := cosekit.NewAgreementKeyFromCOSEKey(unhex(k.Private)); err == nil {
				j.decrypt.Agreements = append(j.decrypt.Agreements, agreement)
			}
		}
		for _, v := range index.Vectors {
			data, err := os.ReadFile(filepath.Join(root, family, v.File))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.verified(data); v.Kind == "suit-envelope" && err == nil {
				victims = append(victims, victim{family + "/" + v.Name, data, j, identity, processor.Compat})
			}
		}
	}
	return victims
}

func (j judge) verified(data []byte) (*suit.Verified, error) {
	e, err := suit.Decode(data)
	if err != nil {
		return nil, err
	}
	v, err := e.Verify(j.ring, j.legacy)
	if err != nil || j.vector.Rule == "" {
		return v, err
	}
	rule, err := suit.ParseSignatureRule(j.vector.Rule)
	return v, errors.Join(err, v.Satisfies(rule))
}

// flip returns how many flipped copies verify, and how many of those were installed.
func (v victim) flip(t *testing.T) (verified, installed int) {
	original, err := v.judge.verified(v.data)
	if err != nil {
		t.Fatal(err)
	}
	signed := encodedManifest(t, original)
	want, _ := v.installed(t, v.data)
	for i := range v.data {
		spoilt := bytes.Clone(v.data)
		spoilt[i] ^= 1 << (i % 8)
		got, err := v.judge.verified(spoilt)
		if err != nil {
			continue
		}
		if !bytes.Equal(encodedManifest(t, got), signed) || !got.Digest().Equal(original.Digest()) {
			t.Fatalf("byte %d flipped: another manifest verifies", i)
		}
		if verified++; verified > maxProcessed {
			continue
		}
		images, err := v.installed(t, spoilt)
		if err != nil {
			continue // the device is as it was, or there would be no such error
		}
		installed++
		if !maps.Equal(images, want) {
			t.Fatalf("byte %d flipped: the device has %q, the envelope as it was brings %q", i, images, want)
		}
	}
	return verified, installed
}

// encodedManifest is the manifest that was verified, severed elements left out: each is
// held by its digest.
func encodedManifest(t *testing.T, v *suit.Verified) []byte {
	t.Helper()
	data, err := v.Manifest().Encode(false)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// installed processes an envelope on a new device and returns the images that are there
// then, by the names of their files. It fails the test where a refusal leaves a trace.
func (v victim) installed(t *testing.T, data []byte) (map[string]string, error) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "device")
	if err != nil {
		t.Fatal(err)
	}
	store, err := tee.Open(dir, v.identity)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	defer store.Close()
	before := dump(dir)
	j := v.judge
	j.vector.Data, j.mode = data, v.mode
	err = j.install(slotted{store, j.index.Device.Slot})
	after := dump(dir)
	if err != nil && !maps.Equal(before, after) {
		t.Fatalf("refused (%v), and yet the device has changed: %q", err, slices.Sorted(maps.Keys(after)))
	}
	maps.DeleteFunc(after, func(name, _ string) bool { return !strings.HasPrefix(name, "image-") })
	return after, err
}
