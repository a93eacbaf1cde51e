package suit

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func newSigner(t testing.TB, alg cosekit.Algorithm) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var smallPayloads = map[string][]byte{"#payload": []byte("payload")}

func signed(t testing.TB, s cosekit.Signer) *Envelope {
	t.Helper()
	e, err := Sign(smallManifest(), smallPayloads, s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func encoded(t testing.TB, e *Envelope) []byte {
	t.Helper()
	raw, err := e.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSignAndVerify(t *testing.T) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		t.Run(cosekit.AlgorithmName(alg), func(t *testing.T) {
			s := newSigner(t, alg)
			for _, tagged := range []bool{false, true} {
				raw, err := signed(t, s).Encode(tagged)
				if err != nil {
					t.Fatal(err)
				}
				e, err := Decode(raw)
				if err != nil || e.Tagged() != tagged {
					t.Fatalf("tagged %v: %v", tagged, err)
				}
				v, err := e.Verify(KeyList{newSigner(t, alg).PublicKey(), s.PublicKey()}, false)
				if err != nil {
					t.Fatal(err)
				}
				checkVerified(t, v, s.PublicKey())
			}
		})
	}
}

func checkVerified(t *testing.T, v *Verified, key *cosekit.PublicKey) {
	t.Helper()
	m := v.Manifest()
	raw, err := m.Encode(false)
	if err != nil {
		t.Fatal(err)
	}
	if want := SumSHA256(wrap(raw)); !v.Digest().Equal(want) {
		t.Errorf("digest %s, want %s", v.Digest(), want)
	}
	clearOffsets(m)
	if !reflect.DeepEqual(m, smallManifest()) {
		t.Errorf("manifest %+v", m)
	}
	if got := v.Signers(); !slices.Equal(got, []cosekit.Thumbprint{key.Thumbprint()}) {
		t.Errorf("signers %v", got)
	}
	if p, ok := v.Integrated("#payload"); !ok || string(p) != "payload" {
		t.Errorf("payload %q, %v", p, ok)
	}
	if p, ok := v.Integrated("payload"); ok {
		t.Errorf("a payload of another name: %q", p)
	}
	b := v.Blocks()[0]
	if b.Structure != "COSE_Sign1" || b.Err != nil || b.Signatures[0].Algorithm != key.Algorithm() {
		t.Errorf("block %+v", b)
	}
}

func TestDecodeDoesNotAlias(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	raw := encoded(t, signed(t, s))
	e, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if _, err := e.Verify(KeyList{s.PublicKey()}, false); err != nil {
		t.Errorf("the envelope changes with the bytes that it was read from: %v", err)
	}
}

func TestTruncation(t *testing.T) {
	raw := encoded(t, signed(t, newSigner(t, cosekit.ESP256)))
	for i := range raw {
		if _, err := Decode(raw[:i]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
	if _, err := Decode(append(raw, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("trailing byte: %v", err)
	}
}

func TestDecodeRefusals(t *testing.T) {
	digest := wrap(SumSHA256(nil))
	wrapper := wrap([][]byte{digest})
	manifest := []byte{0xa0}
	for _, test := range []struct {
		name string
		data []byte
		path string
		want error
	}{
		{"nothing", nil, "envelope", ErrMalformed},
		{"array", wrap([]int{1}), "envelope", ErrMalformed},
		{"another tag", append([]byte{0xd8, 0x6c}, inOrder(2, wrapper, 3, manifest)...), "envelope", ErrMalformed},
		{"tag of a manifest", append(bytes.Clone(manifestTag), inOrder(2, wrapper, 3, manifest)...), "envelope", ErrMalformed},
		{"tagged twice", append([]byte{0xd8, 0x6b, 0xd8, 0x6b}, inOrder(2, wrapper, 3, manifest)...), "envelope", ErrMalformed},
		{"no wrapper", inOrder(3, manifest), "envelope.authentication-wrapper", ErrMalformed},
		{"no manifest", inOrder(2, wrapper), "envelope.manifest", ErrMalformed},
		{"manifest first", inOrder(3, manifest, 2, wrapper), "envelope", ErrMalformed},
		{"key twice", inOrder(2, wrapper, 3, manifest, 3, manifest), "envelope", ErrMalformed},
		{"key of bytes", inOrder(2, wrapper, 3, manifest, []byte("x"), []byte{}), "envelope", ErrMalformed},
		{"bare wrapper", inOrder(2, [][]byte{digest}, 3, manifest), "envelope.authentication-wrapper", ErrMalformed},
		{"bare manifest", inOrder(2, wrapper, 3, rawMap{}), "envelope.manifest", ErrMalformed},
		{"bare element", inOrder(2, wrapper, 3, manifest, 20, []int{1}), "envelope.install", ErrMalformed},
		{"payload of text", inOrder(2, wrapper, 3, manifest, "#a", "b"), `envelope.integrated payload "#a"`, ErrMalformed},
		{"empty wrapper", inOrder(2, wrap([][]byte{}), 3, manifest), "envelope.authentication-wrapper", ErrMalformed},
		{"wrapper of a map", inOrder(2, wrap(rawMap{}), 3, manifest), "envelope.authentication-wrapper", ErrMalformed},
		{"bare digest", inOrder(2, wrap([]any{SumSHA256(nil)}), 3, manifest), "envelope.authentication-wrapper.digest", ErrMalformed},
		{"not a digest", inOrder(2, wrap([][]byte{{0x01}}), 3, manifest), "envelope.authentication-wrapper.digest", ErrMalformed},
		{"bare block", inOrder(2, wrap([]any{digest, 1}), 3, manifest), "envelope.authentication-wrapper.[1]", ErrMalformed},
		{"too many blocks", inOrder(2, wrap(slices.Repeat([][]byte{digest}, MaxAuthBlocks+2)), 3, manifest), "envelope.authentication-wrapper", ErrLimit},
		{"large manifest", inOrder(2, wrapper, 3, make([]byte, MaxManifestSize+1)), "envelope.manifest", ErrLimit},
		{"large element", inOrder(2, wrapper, 3, manifest, 23, make([]byte, MaxManifestSize+1)), "envelope.text", ErrLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Decode(test.data)
			var at *PathError
			if !errors.Is(err, test.want) || !errors.As(err, &at) || at.Path != strings.ReplaceAll(test.path, ".[", "[") {
				t.Errorf("%v, want %s: %v", err, test.path, test.want)
			}
		})
	}
}

// blocks returns the envelope with other authentication blocks.
func (e *Envelope) withBlocks(blocks ...[]byte) *Envelope {
	out := *e
	out.blocks = blocks
	return &out
}

func (e *Envelope) sign1(t testing.TB, s cosekit.Signer, form cosekit.Form) []byte {
	t.Helper()
	block, err := cosekit.Sign1(s, e.signed, form)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func TestVerifyRefusals(t *testing.T) {
	s, stranger := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.ESP256)
	e := signed(t, s)
	detached := cosekit.Form{Detached: true}
	elsewhere := signed(t, s)
	elsewhere.signed = wrap(SumSHA256([]byte("elsewhere")))
	digestOf := func(alg DigestAlgorithm) *Envelope {
		out := *e
		out.digest = Digest{alg, make([]byte, 32)}
		return &out
	}
	mac := wrap(cosekit.Tag{Number: 17, Content: wrap([]any{[]byte{}, rawMap{}, nil, make([]byte, 32)})})
	for _, test := range []struct {
		name     string
		envelope *Envelope
		keys     KeyList
		want     error
		words    string
	}{
		{"no block", e.withBlocks(), KeyList{s.PublicKey()}, ErrNoAuthentication, ""},
		{"no keys", e, nil, ErrNoSignature, "signer is not known"},
		{"another key", e, KeyList{stranger.PublicKey()}, ErrNoSignature, "signer is not known"},
		{"another digest", e.withBlocks(elsewhere.sign1(t, s, detached)), KeyList{s.PublicKey()}, ErrNoSignature, ""},
		{"attached payload", e.withBlocks(e.sign1(t, s, cosekit.Form{})), KeyList{s.PublicKey()}, ErrNoSignature, "attached"},
		{"untagged", e.withBlocks(e.sign1(t, s, cosekit.Form{Untagged: true, Detached: true})), KeyList{s.PublicKey()}, ErrNoSignature, "untagged"},
		{"MAC", e.withBlocks(mac), KeyList{s.PublicKey()}, ErrNoSignature, "COSE_Mac0"},
		{"unknown tag", e.withBlocks([]byte{0xc1, 0x00}), KeyList{s.PublicKey()}, ErrNoSignature, "tag 1"},
		{"garbage", e.withBlocks([]byte{0xff}), KeyList{s.PublicKey()}, ErrNoSignature, "untagged"},
		{"broken COSE_Sign1", e.withBlocks([]byte{0xd2, 0x84}), KeyList{s.PublicKey()}, ErrNoSignature, ""},
		{"unknown digest algorithm", digestOf(-1), KeyList{s.PublicKey()}, ErrDigestAlgorithm, ""},
		{"wrong digest", digestOf(SHA256), KeyList{s.PublicKey()}, ErrDigest, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := test.envelope.Verify(test.keys, false)
			if v != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%v, %v, want %v with %q", v, err, test.want, test.words)
			}
		})
	}
}

// The manifest is parsed after authentication: a broken one that is signed is
// refused for what it is, one that is not for its signature.
func TestVerifyParsesLast(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	e := &Envelope{manifest: []byte("not CBOR"), elements: map[int64][]byte{}}
	e.digest = SumSHA256(wrap(e.manifest))
	e.signed = wrap(e.digest)
	e = e.withBlocks(e.sign1(t, s, cosekit.Form{Detached: true}))
	if _, err := e.Verify(KeyList{}, false); !errors.Is(err, ErrNoSignature) {
		t.Errorf("unknown signer: %v", err)
	}
	if _, err := e.Verify(KeyList{s.PublicKey()}, false); !errors.Is(err, ErrMalformed) {
		t.Errorf("known signer: %v", err)
	}
}

func TestMeasureDigest(t *testing.T) {
	e := signed(t, newSigner(t, cosekit.ESP256))
	if d, err := e.MeasureDigest(); err != nil || !d.Equal(e.Digest()) {
		t.Errorf("%s, %v", d, err)
	}
	e.manifest[0] ^= 1
	if d, err := e.MeasureDigest(); err != nil || d.Equal(e.Digest()) {
		t.Errorf("another manifest: %s, %v", d, err)
	}
}

func TestSeveralBlocks(t *testing.T) {
	a, b, stranger := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.Ed25519), newSigner(t, cosekit.ESP256)
	detached := cosekit.Form{Detached: true}
	e := signed(t, a)
	multi, err := cosekit.Sign([]cosekit.Signer{stranger, b}, e.signed, detached)
	if err != nil {
		t.Fatal(err)
	}
	mac := wrap(cosekit.Tag{Number: 97, Content: wrap([]any{})})
	e = e.withBlocks(mac, e.sign1(t, stranger, detached), multi, e.sign1(t, a, detached), e.sign1(t, a, detached))
	e, err = Decode(encoded(t, e))
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Verify(KeyList{a.PublicKey(), b.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Signers(); !slices.Equal(got, []cosekit.Thumbprint{b.PublicKey().Thumbprint(), a.PublicKey().Thumbprint()}) {
		t.Errorf("signers %v", got)
	}
	var outcome []string
	for _, block := range v.Blocks() {
		word := block.Structure
		if block.Err != nil {
			word += " refused"
		}
		outcome = append(outcome, word)
	}
	want := []string{"COSE_Mac refused", "COSE_Sign1 refused", "COSE_Sign", "COSE_Sign1", "COSE_Sign1"}
	if !slices.Equal(outcome, want) {
		t.Errorf("blocks %q, want %q", outcome, want)
	}
	for _, block := range e.UnverifiedBlocks() {
		if block.Signers != nil {
			t.Errorf("signers without verification: %+v", block)
		}
	}
}

func TestTooManySignatures(t *testing.T) {
	s := newSigner(t, cosekit.Ed25519)
	e := signed(t, s)
	block, err := cosekit.Sign(slices.Repeat([]cosekit.Signer{s}, MaxBlockSignatures+1), e.signed, cosekit.Form{Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.withBlocks(block).Verify(KeyList{s.PublicKey()}, false); !errors.Is(err, ErrLimit) {
		t.Errorf("%v", err)
	}
}

// unnamed takes the kid out of a COSE_Sign1; it is not protected.
func unnamed(t testing.TB, block []byte, key *cosekit.PublicKey) []byte {
	t.Helper()
	kid := key.Thumbprint()
	header := append([]byte{0xa1, 0x04, 0x58, byte(len(kid))}, kid[:]...)
	if !bytes.Contains(block, header) {
		t.Fatal("no kid in the block")
	}
	return bytes.Replace(block, header, []byte{0xa0}, 1)
}

// countedKeys notes how often every key is asked for.
type countedKeys struct {
	KeyList
	all int
}

func (c *countedKeys) All() []*cosekit.PublicKey { c.all++; return c.KeyList }

// TestUnnamedSignatures: each is tried under every key, so there may be few of them.
func TestUnnamedSignatures(t *testing.T) {
	s, stranger := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.ESP256)
	detached := cosekit.Form{Detached: true}
	e := signed(t, s)
	own := unnamed(t, e.sign1(t, s, detached), s.PublicKey())
	foreign := unnamed(t, e.sign1(t, stranger, detached), stranger.PublicKey())
	named := e.sign1(t, stranger, detached)

	blocks := append(slices.Repeat([][]byte{foreign}, MaxUnnamedSignatures-1), named, named, own)
	v, err := e.withBlocks(blocks...).Verify(KeyList{s.PublicKey()}, false)
	if err != nil || !slices.Equal(v.Signers(), []cosekit.Thumbprint{s.PublicKey().Thumbprint()}) {
		t.Fatalf("as many as may be: %v", err)
	}
	keys := &countedKeys{KeyList: KeyList{s.PublicKey()}}
	if _, err := e.withBlocks(append(blocks, own)...).Verify(keys, false); !errors.Is(err, ErrLimit) || keys.all != 0 {
		t.Errorf("one more: %v, tried %d times", err, keys.all)
	}
	foreign = bytes.Clone(foreign)
	foreign[len(foreign)-1] ^= 1
	if _, err := e.withBlocks(foreign).Verify(KeyList{stranger.PublicKey()}, false); !errors.Is(err, ErrNoSignature) {
		t.Errorf("spoilt: %v", err)
	}
}

func TestSignOnlyWhatWasLookedAt(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	unsigned, err := NewEnvelope(smallManifest(), smallPayloads)
	if err != nil {
		t.Fatal(err)
	}
	e, err := unsigned.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(unsigned.blocks) != 0 {
		t.Error("signing changes the envelope that it was given")
	}
	if _, err := e.Sign(s); !errors.Is(err, ErrSigned) {
		t.Errorf("signing twice: %v", err)
	}
	spoilt := *unsigned
	spoilt.digest = SumSHA256(nil)
	if _, err := spoilt.Sign(s); !errors.Is(err, ErrDigest) {
		t.Errorf("wrong digest: %v", err)
	}
	garbage := &Envelope{manifest: []byte{0x01}, elements: map[int64][]byte{}}
	garbage.digest = SumSHA256(wrap(garbage.manifest))
	garbage.signed = wrap(garbage.digest)
	if _, err := garbage.Sign(s); !errors.Is(err, ErrMalformed) {
		t.Errorf("not a manifest: %v", err)
	}
	if _, err := Sign(&Manifest{Sections: map[Section]Severable{SectionLoad: {}}}, nil, s); !errors.Is(err, ErrMalformed) {
		t.Errorf("manifest that does not encode: %v", err)
	}
}
