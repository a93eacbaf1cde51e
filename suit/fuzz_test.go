package suit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// addSeeds adds every published example of the SUIT family, where they are at hand.
func addSeeds(f *testing.F) {
	f.Helper()
	for _, data := range publishedExamples(f) {
		f.Add(data)
	}
}

func publishedExamples(f *testing.F) (examples [][]byte) {
	f.Helper()
	root := os.Getenv("TEEP_VECTORS")
	if root == "" {
		return nil
	}
	for _, pattern := range []string{"suit-*/*.cbor", "teep/suit_*.cbor", "teep/update.manifest.cbor"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			examples = append(examples, data)
		}
	}
	return examples
}

// FuzzDecode holds envelopes and the manifests inside them to one encoding: what
// was decoded encodes to something that decodes to the same.
func FuzzDecode(f *testing.F) {
	addSeeds(f)
	s := newSigner(f, cosekit.Ed25519)
	for _, m := range []*Manifest{smallManifest(), fullManifest(), severedManifest(f), everySeverable(f), two()} {
		m.Sections[SectionPayloadFetch] = m.Sections[SectionValidate]
		e, err := Sign(m, smallPayloads, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded(f, e))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode(data)
		if err != nil {
			return
		}
		raw, err := e.Encode(e.Tagged())
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		again, err := Decode(raw)
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("decode-encode-decode gives %+v (%v), want %+v", again, err, e)
		}
		if _, err := e.Verify(KeyList{}, cosekit.AllowLegacy); err == nil {
			t.Fatal("verified without a key")
		}
		checkManifest(t, e.manifest)
		checkSevering(t, e)
	})
}

// FuzzVerify looks behind a valid signature: whatever stands in the envelope is signed as
// it is, and with heal its severed elements are the ones that the manifest names.
func FuzzVerify(f *testing.F) {
	s := newSigner(f, cosekit.Ed25519)
	for _, data := range publishedExamples(f) {
		f.Add(data, false, uint(0))
	}
	for i, m := range []*Manifest{smallManifest(), fullManifest(), severedManifest(f), everySeverable(f), two()} {
		e, err := Sign(m, smallPayloads, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded(f, e), i%2 == 0, uint(i*99))
		f.Add(encoded(f, e), i%2 != 0, uint(i*77))
	}
	other := must[*Envelope](f)(Sign(everySeverable(f), nil, s))
	other.elements[int64(SectionInstall)] = wrap([]any{14, 15})
	other.elements[int64(SectionText)] = wrap(rawMap{"en": rawMap{1: "another"}})
	f.Add(encoded(f, other), false, uint(7))
	f.Add(encoded(f, other), true, uint(7))
	f.Fuzz(func(t *testing.T, data []byte, heal bool, flip uint) {
		e, err := Decode(data)
		if err != nil {
			return
		}
		if e = forge(t, e, heal, s); e == nil {
			return
		}
		keys := KeyList{s.PublicKey()}
		v, err := e.Verify(keys, false)
		m, fault := e.UnverifiedManifest()
		if (err == nil) != (fault == nil) {
			t.Fatalf("verified: %v, read unverified: %v", err, fault)
		}
		if err != nil {
			return
		}
		if !reflect.DeepEqual(v.Manifest(), m) {
			t.Fatalf("verified %+v, unverified it is %+v", v.Manifest(), m)
		}
		for _, section := range severableElements {
			content, carried := e.Element(section)
			if d := v.Manifest().elementDigest(section); carried && d != nil && checkDigest(*d, content) != nil {
				t.Fatalf("%s is not the one that is signed", section)
			}
		}
		changed := *e
		changed.manifest = bytes.Clone(e.manifest)
		changed.manifest[flip%uint(len(e.manifest))] ^= 1 << (flip % 7)
		if _, err := changed.Verify(keys, false); !errors.Is(err, ErrDigest) {
			t.Fatalf("verifies after a change: %v", err)
		}
	})
}

// forge makes the digests right and signs what comes of it; nil where that is no manifest.
func forge(t *testing.T, e *Envelope, heal bool, s cosekit.Signer) *Envelope {
	t.Helper()
	out := *e
	out.blocks = nil
	if heal {
		m, err := decodeManifest(e.manifest)
		if err != nil {
			return nil
		}
		for _, section := range severableElements {
			if content, carried := e.Element(section); carried && m.elementDigest(section) != nil {
				*m.elementDigest(section) = must[Digest](t)(sumWrapped(SHA256, content))
			}
		}
		out.manifest = must[[]byte](t)(m.encode())
	}
	var err error
	if out.digest, err = sumWrapped(SHA256, out.manifest); err != nil {
		t.Fatal(err)
	}
	out.signed = cosekit.MustMarshal(out.digest)
	return must[*Envelope](t)(out.addSignature(s))
}

// checkSevering takes out all that can be severed and puts it back.
func checkSevering(t *testing.T, e *Envelope) {
	if _, err := e.UnverifiedManifest(); err != nil {
		return
	}
	bare, err := e.Sever()
	if err != nil {
		t.Fatal(err)
	}
	severed, err := bare.Severed()
	if err != nil {
		t.Fatalf("a manifest that was read: %v", err)
	}
	for _, s := range severed {
		content, carried := e.Element(s)
		if !carried {
			continue
		}
		if bare, err = bare.Restore(s, content); err != nil {
			t.Fatalf("%s was taken out and does not go back: %v", s, err)
		}
	}
	if !reflect.DeepEqual(bare, e) {
		t.Fatalf("severed and restored: %+v, want %+v", bare, e)
	}
}

// FuzzManifest is FuzzDecode for what stands inside the envelope.
func FuzzManifest(f *testing.F) {
	for _, data := range publishedExamples(f) {
		if e, err := Decode(data); err == nil {
			f.Add(e.manifest)
		}
	}
	for _, m := range []*Manifest{smallManifest(), fullManifest(), severedManifest(f)} {
		raw, err := m.Encode(true)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(checkManifest)
}

func checkManifest(t *testing.T, data []byte) {
	m, err := DecodeManifest(data)
	if err != nil {
		return
	}
	raw, err := m.Encode(false)
	if err != nil {
		t.Fatalf("what was decoded does not encode: %v", err)
	}
	again, err := DecodeManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if fixpoint, err := again.Encode(false); err != nil || !bytes.Equal(fixpoint, raw) {
		t.Fatalf("encoding is not a fixpoint (%v):\n%x\n%x", err, raw, fixpoint)
	}
	// Offsets are those of an encoding, and heads may be longer than they need to be.
	clearOffsets(m)
	clearOffsets(again)
	if !reflect.DeepEqual(m, again) {
		t.Fatalf("decode-encode-decode gives\n%+v, want\n%+v", again, m)
	}
}

func FuzzReport(f *testing.F) {
	addSeeds(f)
	s := newSigner(f, cosekit.Ed25519)
	for _, r := range []*Report{successReport(), failureReport()} {
		raw, err := r.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		if raw, err = SignReport(r, s); err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(must[[]byte](f)(AuthenticateReport(r, newSecret(f, 1, ""))))
		e := cosekit.Encryption{Content: cosekit.A128CTR, Recipients: []cosekit.Recipient{fuzzKey(f)}}
		f.Add(must[[]byte](f)(SignEncryptedReport(r, e, s)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		opened, err := OpenReport(data)
		if err != nil {
			return
		}
		if _, err := opened.Verify(newSigner(t, cosekit.Ed25519).PublicKey(), cosekit.AllowLegacy); err == nil {
			t.Fatal("verifies under a new key")
		}
		if _, err := opened.VerifyMAC(newSecret(t, 2, "")); err == nil {
			t.Fatal("verifies under a new secret")
		}
		r, err := opened.WithKeys(cosekit.DecryptionKeys{Secrets: []*cosekit.SecretKey{fuzzKey(t)}}).Unverified()
		if err != nil {
			return
		}
		raw, err := r.Encode()
		if err != nil {
			t.Fatalf("what was decoded does not encode: %v", err)
		}
		again, err := DecodeReport(raw)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("decode-encode-decode gives %+v (%v), want %+v", again, err, r)
		}
		if fixpoint, err := again.Encode(); err != nil || !bytes.Equal(fixpoint, raw) {
			t.Fatalf("encoding is not a fixpoint (%v)", err)
		}
	})
}

// fuzzKey decrypts the encrypted seeds, so that changes of their ciphertext, which
// AES-CTR does not notice, are read.
func fuzzKey(t testing.TB) *cosekit.SecretKey {
	t.Helper()
	return must[*cosekit.SecretKey](t)(cosekit.NewSecretKey(make([]byte, 16), []byte("k")))
}
