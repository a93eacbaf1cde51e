package cosekit

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"testing"

	"filippo.io/mldsa"
)

var mldsaAlgorithms = []Algorithm{MLDSA44, MLDSA65, MLDSA87}

// akp is the COSE_Key of a seed, with more members or without some.
func akp(t testing.TB, alg Algorithm, seed []byte, change map[int]any) []byte {
	t.Helper()
	key, err := mldsaPrivateKey(alg, seed)
	if err != nil {
		t.Fatal(err)
	}
	members := map[int]any{1: 7, 3: int64(alg), -1: key.(*mldsa.PrivateKey).PublicKey().Bytes()}
	for label, value := range change {
		if members[label] = value; value == nil {
			delete(members, label)
		}
	}
	return MustMarshal(members)
}

// TestMLDSAOfRFC9964 holds the all-zero keys of its appendix, and what they sign
// without randomness, against the published thumbprints and signatures.
func TestMLDSAOfRFC9964(t *testing.T) {
	seed := make([]byte, 32)
	for alg, want := range map[Algorithm]struct {
		thumbprint, signature string // the SHA-256 of the signature
	}{
		MLDSA44: {"b8969ab4b37da9f0684e42647eb8a0be8b5b661ebf5d76f0583bf5b8d3a8059a", "70322443c0af44300780ef1cbd5430f2b9a6d8e7b851f3afd25c36c36087d584"},
		MLDSA65: {"b788acf242f1f1d6532926d816e76e1636874267f2a48c84c4e65789ab80cc02", "c2bc88f954417f756f94b9ae60d7de54b8700348c5b941488e191047bf32d25b"},
		MLDSA87: {"d9bc439f97bd6d4093e68f0f3fcf09c9a97adf888ed7308dd565247a166cb4fa", "c788e2ed7d023ec2244076f0b656a68270a6865a65e74dbd698bae7dc782bbe6"},
	} {
		s, err := NewSignerFromCOSEKey(akp(t, alg, seed, map[int]any{-2: seed}))
		if err != nil {
			t.Fatal(err)
		}
		kid := s.PublicKey().Thumbprint()
		if kid.String() != want.thumbprint {
			t.Errorf("%s: thumbprint %s, want %s", AlgorithmName(alg), kid, want.thumbprint)
		}
		protected := MustMarshal(map[int]any{1: int64(alg), 4: kid[:]})
		message := sigStructure("Signature1", []byte("hello post quantum signatures"), protected)
		signature, err := s.(signer).key.(*mldsa.PrivateKey).SignDeterministic(message, nil)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(signature); hex.EncodeToString(sum[:]) != want.signature {
			t.Errorf("%s: another signature than the published one", AlgorithmName(alg))
		}
		if err := s.PublicKey().VerifyRaw(alg, message, signature); err != nil {
			t.Errorf("%s: %v", AlgorithmName(alg), err)
		}
	}
}

func TestMLDSAKeyRefused(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	pub := make([]byte, 1312)
	for name, key := range map[string][]byte{
		"no alg":          akp(t, MLDSA44, seed, map[int]any{3: nil}),
		"no pub":          akp(t, MLDSA44, seed, map[int]any{-1: nil}),
		"pub not bytes":   akp(t, MLDSA44, seed, map[int]any{-1: 7}),
		"another alg":     akp(t, MLDSA44, seed, map[int]any{3: int64(MLDSA65)}),
		"not an ML-DSA":   akp(t, MLDSA44, seed, map[int]any{3: int64(ESP256)}),
		"alg text":        akp(t, MLDSA44, seed, map[int]any{3: "ML-DSA-44"}),
		"private":         akp(t, MLDSA44, seed, map[int]any{-2: seed}),
		"to sign with":    akp(t, MLDSA44, seed, map[int]any{4: []int{1}}),
		"pub cut":         akp(t, MLDSA44, seed, map[int]any{-1: pub[1:]}),
		"pub too long":    akp(t, MLDSA44, seed, map[int]any{-1: append(pub, 0)}),
		"HSS with an alg": MustMarshal(map[int]any{1: 5, 3: int64(MLDSA44), -1: unhex(t, rfc8554(t)[0].Public)}),
	} {
		if k, err := ParseManifestKey(key); !errors.Is(err, ErrKey) || k != nil {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
	for name, key := range map[string][]byte{
		"no priv":          akp(t, MLDSA44, seed, nil),
		"seed short":       akp(t, MLDSA44, seed, map[int]any{-2: seed[1:]}),
		"expanded":         akp(t, MLDSA44, seed, map[int]any{-2: make([]byte, 2560)}),
		"of another key":   akp(t, MLDSA44, seed, map[int]any{-2: make([]byte, 32)}),
		"of HSS, any priv": MustMarshal(map[int]any{1: 5, -1: unhex(t, rfc8554(t)[0].Public), -4: seed}),
	} {
		if _, err := NewSignerFromCOSEKey(key); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
}

// TestMLDSASignatureChanged flips bits all over a message with a signature.
func TestMLDSASignatureChanged(t *testing.T) {
	for _, alg := range mldsaAlgorithms {
		s := newSigner(t, alg)
		wire := sign1(t, s, []byte("payload"), Form{})
		for i := 0; i < len(wire); i += 1 + i/64 {
			changed := bytes.Clone(wire)
			changed[i] ^= 1 << (i % 8)
			if m, err := Parse(changed); err == nil && m.Verify(s.PublicKey(), AllowLegacy) == nil && !onlyKeyID(m, s) {
				t.Fatalf("%s: byte %d changed and it verifies", AlgorithmName(alg), i)
			}
		}
	}
}

// onlyKeyID reports whether what changed is the unprotected header, which says where to
// look for the key and is not signed.
func onlyKeyID(m *Signed, s Signer) bool {
	kid := s.PublicKey().Thumbprint()
	return !bytes.Equal(m.Signatures[0].KeyID, kid[:])
}

// insistent is the key of a service that has to be told what to sign.
type insistent struct {
	crypto.Signer
	t    *testing.T
	want crypto.Hash
}

func (k insistent) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil || opts.HashFunc() != k.want {
		k.t.Errorf("options %v, want hash %v", opts, k.want)
	}
	return k.Signer.Sign(random, message, opts)
}

func TestSignerPassesOptions(t *testing.T) {
	for _, alg := range append(mldsaAlgorithms, ESP256, Ed25519) {
		var want crypto.Hash
		if alg == ESP256 {
			want = crypto.SHA256
		}
		s, err := NewSigner(insistent{newKey(t, alg), t, want})
		if err != nil {
			t.Fatal(err)
		}
		if err := parse(t, sign1(t, s, []byte("x"), Form{})).Verify(s.PublicKey(), false); err != nil {
			t.Errorf("%s: %v", AlgorithmName(alg), err)
		}
	}
}

// crooked answers with another signature than one of P-256.
type crooked struct {
	crypto.Signer
	answer string
}

func (k crooked) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return hex.DecodeString(k.answer)
}

func TestSignerOfAnotherForm(t *testing.T) {
	for _, answer := range []string{
		"", "3000", "3006020101020101" + "00", "300702010102020101" + "00", "3003020101",
		"3006020101" + "0201ff", "3009020101020101020101", "30080202000102020001", // negative, and with a zero in front
		"3026" + "0221" + "01" + hex.EncodeToString(make([]byte, 32)) + "020101", // 33 bytes
	} {
		s, err := NewSigner(crooked{newKey(t, ESP256), answer})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := Sign1(s, []byte("x"), Form{}); !errors.Is(err, ErrKey) || out != nil {
			t.Errorf("%s: got %v, want ErrKey", answer, err)
		}
	}
}

// TestSignatureCap: a signature longer than any that is read here is refused unread.
func TestSignatureCap(t *testing.T) {
	for size, want := range map[int]error{MaxSignature: nil, MaxSignature + 1: ErrMalformed} {
		wire := MustMarshal(cborTag(TagSign1, []any{[]byte{0xa1, 1, 0x38, 0x2d}, map[int]any{}, []byte("x"), make([]byte, size)}))
		if _, err := Parse(wire); !errors.Is(err, want) {
			t.Errorf("%d bytes: got %v, want %v", size, err, want)
		}
	}
}

// TestTwoDoors: keys that are for manifests do not come in where TEEP's do.
func TestTwoDoors(t *testing.T) {
	manifest := []*PublicKey{}
	for _, alg := range mldsaAlgorithms {
		manifest = append(manifest, newSigner(t, alg).PublicKey())
	}
	hss, err := ParseManifestKey(MustMarshal(map[int]any{1: 5, -1: unhex(t, rfc8554(t)[0].Public)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(manifest, hss) {
		name := AlgorithmName(key.Algorithm())
		if key.SignsTEEP() || !IsPostQuantum(key.Algorithm()) {
			t.Errorf("%s signs TEEP, or is not post-quantum", name)
		}
		for form, data := range map[string][]byte{"COSE_Key": key.COSEKey(), "PEM": key.PEM()} {
			got, err := ReadManifestKey(data)
			if err != nil || !got.Equal(key) || got.Algorithm() != key.Algorithm() {
				t.Errorf("%s, %s: %v", name, form, err)
			}
			if got, err := ReadPublicKey(data); !errors.Is(err, ErrKey) || got != nil {
				t.Errorf("%s, %s at the other door: %v", name, form, err)
			}
		}
		if got, err := ParsePublicKey(key.COSEKey()); !errors.Is(err, ErrKey) || got != nil {
			t.Errorf("%s at the other door: %v", name, err)
		}
		var decoded PublicKey
		if err := Unmarshal(key.COSEKey(), &decoded); !errors.Is(err, ErrKey) {
			t.Errorf("%s decoded: %v", name, err)
		}
		claims := Form{CWTClaims: ConfirmationHeader(key)}
		if _, err := parse(t, sign1(t, newSigner(t, Ed25519), []byte("x"), claims)).Signatures[0].ConfirmationKey(); !errors.Is(err, ErrKey) {
			t.Errorf("%s as a confirmation key: %v", name, err)
		}
	}
	for _, alg := range []Algorithm{ESP256, Ed25519} {
		key := newSigner(t, alg).PublicKey()
		if got, err := ReadManifestKey(key.PEM()); err != nil || !got.Equal(key) || !got.SignsTEEP() || IsPostQuantum(alg) {
			t.Errorf("%s: %v", AlgorithmName(alg), err)
		}
	}
}

func TestTwoDoorsForPrivateKeys(t *testing.T) {
	for _, alg := range mldsaAlgorithms {
		data, err := EncodePrivateKey(newKey(t, alg))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := ParseManifestSigner(data); err != nil || s.Algorithm() != alg {
			t.Errorf("%s: %v", AlgorithmName(alg), err)
		}
		if s, err := ParseSigner(data); !errors.Is(err, ErrKey) || s != nil {
			t.Errorf("%s at the other door: %v", AlgorithmName(alg), err)
		}
		path := t.TempDir() + "/key.pem"
		if _, err := LoadOrCreateSigner(path, alg); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s created for TEEP: %v", AlgorithmName(alg), err)
		}
		made, err := CreateKeyFile(path, alg)
		if err != nil {
			t.Fatal(err)
		}
		if loaded, err := LoadManifestSigner(path); err != nil || !loaded.PublicKey().Equal(made.PublicKey()) {
			t.Errorf("%s: %v", AlgorithmName(alg), err)
		}
		if _, err := LoadSigner(path); !errors.Is(err, ErrKey) {
			t.Errorf("%s loaded for TEEP: %v", AlgorithmName(alg), err)
		}
	}
}

// TestHSSPKIXRefused: only the form of RFC 9802, a raw key without parameters.
func TestHSSPKIXRefused(t *testing.T) {
	key, err := newHSS(unhex(t, rfc8554(t)[0].Public))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(key.PEM())
	for at := range block.Bytes {
		changed := bytes.Clone(block.Bytes)
		changed[at] ^= 0x80
		if got, err := parsePKIX(changed); err == nil && got.Equal(key) {
			t.Errorf("byte %d changed, and it is the same key", at)
		}
	}
	for n := range block.Bytes {
		if _, err := parsePKIX(block.Bytes[:n]); !errors.Is(err, ErrKey) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := parsePKIX(append(bytes.Clone(block.Bytes), 0)); !errors.Is(err, ErrKey) {
		t.Errorf("a byte behind it: %v", err)
	}
	encoded := unhex(t, rfc8554(t)[0].Public)
	for name, info := range map[string]subjectPublicKeyInfo{
		"parameters": {pkix.AlgorithmIdentifier{Algorithm: oidHSS, Parameters: asn1.NullRawValue}, asn1.BitString{Bytes: encoded, BitLength: 480}},
		"479 bits":   {pkix.AlgorithmIdentifier{Algorithm: oidHSS}, asn1.BitString{Bytes: append(bytes.Clone(encoded[:59]), 0), BitLength: 479}},
	} {
		der, err := asn1.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePKIX(der); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
