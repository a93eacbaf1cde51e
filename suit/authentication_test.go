package suit

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func newSecret(t testing.TB, fill byte, kid string) *cosekit.SecretKey {
	t.Helper()
	var name []byte
	if kid != "" {
		name = []byte(kid)
	}
	key, err := cosekit.NewSecretKey(bytes.Repeat([]byte{fill}, 32), name)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestCountersign(t *testing.T) {
	a, b := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.MLDSA65)
	one := signed(t, a)
	both := must[*Envelope](t)(one.Countersign(b))
	if len(one.blocks) != 1 {
		t.Error("countersigning has changed the envelope that it was asked of")
	}
	both = must[*Envelope](t)(Decode(encoded(t, both)))
	v := must[*Verified](t)(both.Verify(KeyList{b.PublicKey(), a.PublicKey()}, false))
	if got := v.Keys(); len(got) != 2 || !got[0].Equal(a.PublicKey()) || !got[1].Equal(b.PublicKey()) {
		t.Errorf("keys %v", got)
	}
	if !v.Digest().Equal(one.Digest()) {
		t.Error("another digest")
	}
	for _, s := range []cosekit.Signer{a, b} {
		if _, err := both.Countersign(s); !errors.Is(err, ErrSigned) {
			t.Errorf("twice by the same key: %v", err)
		}
	}
	// kid is not protected: without it the key is the same one.
	bare := both.withBlocks(unnamed(t, both.blocks[0], a.PublicKey()))
	if _, err := bare.Countersign(a); !errors.Is(err, ErrSigned) {
		t.Errorf("twice by the same key, which is not named: %v", err)
	}
	if _, err := both.Sign(newSigner(t, cosekit.ESP256)); !errors.Is(err, ErrSigned) {
		t.Errorf("Sign of a signed envelope: %v", err)
	}
	if _, err := both.withBlocks().Countersign(a); !errors.Is(err, ErrNoAuthentication) {
		t.Errorf("Countersign of an unsigned envelope: %v", err)
	}
	spoilt := *both
	spoilt.manifest = bytes.Clone(both.manifest)
	spoilt.manifest[len(spoilt.manifest)-1] ^= 1
	if _, err := spoilt.Countersign(newSigner(t, cosekit.ESP256)); !errors.Is(err, ErrDigest) {
		t.Errorf("Countersign of another manifest: %v", err)
	}
	full := both.withBlocks(slices.Repeat(both.blocks[:1], MaxAuthBlocks)...)
	if _, err := full.Countersign(newSigner(t, cosekit.ESP256)); !errors.Is(err, ErrLimit) {
		t.Errorf("one block too many: %v", err)
	}
}

func TestAuthenticate(t *testing.T) {
	s, key, other := newSigner(t, cosekit.Ed25519), newSecret(t, 1, "device-7"), newSecret(t, 2, "device-8")
	unsigned := must[*Envelope](t)(NewEnvelope(smallManifest(), nil))
	maced := must[*Envelope](t)(unsigned.Authenticate(key))
	maced = must[*Envelope](t)(Decode(encoded(t, maced)))
	ring := KeyRing{SecretList: []*cosekit.SecretKey{other, key}}
	v := must[*Verified](t)(maced.Verify(ring, false))
	if got := v.Signers(); !slices.Equal(got, []cosekit.Thumbprint{key.Thumbprint()}) || v.Keys() != nil {
		t.Errorf("signers %v, keys %v", got, v.Keys())
	}
	if b := v.Blocks()[0]; b.Structure != "COSE_Mac0" || b.Err != nil || string(b.MAC.KeyIDs[0]) != "device-7" {
		t.Errorf("block %+v", b)
	}
	for name, keys := range map[string]Keys{
		"public keys only": KeyList{s.PublicKey()},
		"another secret":   KeyRing{SecretList: []*cosekit.SecretKey{other}},
		"same name":        KeyRing{SecretList: []*cosekit.SecretKey{newSecret(t, 3, "device-7")}},
		"none":             KeyRing{},
	} {
		if _, err := maced.Verify(keys, cosekit.AllowLegacy); !errors.Is(err, ErrNoSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := maced.Authenticate(key); !errors.Is(err, ErrSigned) {
		t.Errorf("twice under the same key: %v", err)
	}
	spoilt := bytes.Clone(maced.blocks[0])
	spoilt[len(spoilt)-1] ^= 1
	if _, err := maced.withBlocks(spoilt).Verify(ring, false); !errors.Is(err, ErrNoSignature) {
		t.Errorf("spoilt: %v", err)
	}
	// A MAC and a signature stand side by side, in either order.
	ring.KeyList = KeyList{s.PublicKey()}
	for _, both := range []*Envelope{
		must[*Envelope](t)(maced.Countersign(s)), must[*Envelope](t)(signed(t, s).Authenticate(key)),
	} {
		v := must[*Verified](t)(both.Verify(ring, false))
		if len(v.Signers()) != 2 || len(v.Keys()) != 1 {
			t.Errorf("signers %v, keys %v", v.Signers(), v.Keys())
		}
	}
}

// A MAC of an attached payload, and one over another digest, say nothing.
func TestMACOfSomethingElse(t *testing.T) {
	key := newSecret(t, 1, "")
	e := must[*Envelope](t)(NewEnvelope(smallManifest(), nil))
	for name, block := range map[string][]byte{
		"attached": must[[]byte](t)(cosekit.Mac0(key, e.signed, cosekit.Form{})),
		"other":    must[[]byte](t)(cosekit.Mac0(key, []byte("x"), cosekit.Form{Detached: true})),
		"untagged": must[[]byte](t)(cosekit.Mac0(key, e.signed, cosekit.Form{Detached: true, Untagged: true})),
	} {
		if _, err := e.withBlocks(block).Verify(KeyRing{SecretList: []*cosekit.SecretKey{key}}, false); !errors.Is(err, ErrNoSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// countedSecrets notes whether the secrets are asked for.
type countedSecrets struct {
	KeyRing
	asked int
}

func (c *countedSecrets) Secrets() []*cosekit.SecretKey { c.asked++; return c.SecretList }

// TestUnnamedMACs: they count with the signatures that name no key.
func TestUnnamedMACs(t *testing.T) {
	s, key := newSigner(t, cosekit.ESP256), newSecret(t, 1, "k")
	e := must[*Envelope](t)(NewEnvelope(smallManifest(), nil))
	mac := must[[]byte](t)(cosekit.Mac0(key, e.signed, cosekit.Form{Detached: true}))
	bare := bytes.Replace(mac, []byte{0xa1, 0x04, 0x41, 'k'}, []byte{0xa0}, 1)
	sig := unnamed(t, e.sign1(t, s, cosekit.Form{Detached: true}), s.PublicKey())
	keys := &countedSecrets{KeyRing: KeyRing{KeyList{s.PublicKey()}, []*cosekit.SecretKey{key}}}
	blocks := append(slices.Repeat([][]byte{bare}, MaxUnnamedSignatures-1), sig)
	v := must[*Verified](t)(e.withBlocks(blocks...).Verify(keys, false))
	if len(v.Signers()) != 2 {
		t.Errorf("signers %v", v.Signers())
	}
	keys.asked = 0
	if _, err := e.withBlocks(append(blocks, bare)...).Verify(keys, false); !errors.Is(err, ErrLimit) || keys.asked != 0 {
		t.Errorf("one more: %v, asked %d times", err, keys.asked)
	}
	if _, err := e.withBlocks(append(blocks, mac)...).Verify(keys, false); err != nil {
		t.Errorf("one more that names its key: %v", err)
	}
}

func TestSignatureRule(t *testing.T) {
	classical, postQuantum, key := newSigner(t, cosekit.Ed25519), newSigner(t, cosekit.MLDSA44), newSecret(t, 1, "")
	e := signed(t, classical)
	pq := must[*Envelope](t)(Sign(smallManifest(), nil, postQuantum))
	keys := KeyRing{KeyList{classical.PublicKey(), postQuantum.PublicKey()}, []*cosekit.SecretKey{key}}
	for _, test := range []struct {
		name     string
		envelope *Envelope
		keys     Keys
		any      error
		both     error
	}{
		{"classical", e, keys, nil, ErrSignatureRule},
		{"post-quantum", pq, keys, nil, ErrSignatureRule},
		{"MAC", must[*Envelope](t)(must[*Envelope](t)(NewEnvelope(smallManifest(), nil)).Authenticate(key)), keys, nil, ErrSignatureRule},
		{"classical and MAC", must[*Envelope](t)(e.Authenticate(key)), keys, nil, ErrSignatureRule},
		{"both", must[*Envelope](t)(e.Countersign(postQuantum)), keys, nil, nil},
		{"both, one of them by a stranger", must[*Envelope](t)(e.Countersign(postQuantum)), keys.KeyList[:1], nil, ErrSignatureRule},
		{"two classical", must[*Envelope](t)(e.Countersign(newSigner(t, cosekit.ESP256))), keys, nil, ErrSignatureRule},
	} {
		v, err := test.envelope.Verify(test.keys, false)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if err := v.Satisfies(AnySignature); !errors.Is(err, test.any) {
			t.Errorf("%s: any: %v", test.name, err)
		}
		if err := v.Satisfies(ClassicalAndPostQuantum); !errors.Is(err, test.both) {
			t.Errorf("%s: both: %v", test.name, err)
		}
		if err := v.Satisfies(7); !errors.Is(err, ErrSignatureRule) {
			t.Errorf("%s: unknown rule: %v", test.name, err)
		}
	}
	for _, rule := range []SignatureRule{AnySignature, ClassicalAndPostQuantum} {
		if got, err := ParseSignatureRule(rule.String()); err != nil || got != rule {
			t.Errorf("%s: %v, %v", rule, got, err)
		}
		if err := rule.Check(nil); !errors.Is(err, ErrSignatureRule) {
			t.Errorf("%s without a key: %v", rule, err)
		}
	}
	if _, err := ParseSignatureRule("both"); err == nil {
		t.Error("a rule called both")
	}
}
