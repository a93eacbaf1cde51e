package corim

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/mldsa"
	"github.com/veraison/go-cose"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func implID(b byte) ID { return ID{KindBytes, bytes.Repeat([]byte{b}, 32)} }

func sha256Of(b byte) []Digest { return []Digest{{"sha-256", bytes.Repeat([]byte{b}, 32)}} }

func ptr[T any](v T) *T { return &v }

// every is a tag with each kind of statement.
func every(t testing.TB) *Unsigned {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	psa := Environment{ClassID: implID(1), Vendor: "Acme", Model: "RoadRunner"}
	device := Environment{ClassID: implID(1), Instance: ID{KindUEID, append([]byte{1}, bytes.Repeat([]byte{7}, 32)...)}}
	tpm := Environment{ClassID: ID{KindUUID, bytes.Repeat([]byte{3}, 16)}, Layer: ptr(uint64(1)), Index: ptr(uint64(0))}
	return &Unsigned{
		ID: "acme/everything", Version: 3, Replaces: []string{"acme/older"}, Profile: "https://acme.example/profile",
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		References: []Reference{
			{Environment: psa, Key: "BL", Signer: bytes.Repeat([]byte{9}, 32), Version: "2.1.0", Digests: sha256Of(1)},
			{Environment: psa, Key: "PRoT", Signer: bytes.Repeat([]byte{9}, 32), Digests: sha256Of(2)},
			{Environment: psa, Key: KeyPlatformConfig, Raw: []byte{1, 2, 3}},
			{Environment: tpm, Key: "7", Digests: append(sha256Of(3), Digest{"sha-1", bytes.Repeat([]byte{4}, 20)})},
			{Environment: tpm, Key: "policy", Raw: []byte{0, 0}, Mask: []byte{0, 8}},
			{Environment: tpm, Key: "microcode", MinSVN: ptr(uint64(72))},
			{Environment: tpm, SVN: ptr(uint64(0))},
			{Environment: tpm, Key: "certified", Version: "FIPS", Endorsed: true},
		},
		Keys: []AttestKey{{Environment: device, Public: public}},
	}
}

func encoded(t testing.TB, u *Unsigned) []byte {
	t.Helper()
	raw, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func readFile(t testing.TB, raw []byte) *File {
	t.Helper()
	f, err := Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newSigner(t testing.TB, alg cosekit.Algorithm) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publicKey is the key of a signer as the standard library has it.
func publicKey(t testing.TB, s cosekit.Signer) crypto.PublicKey {
	t.Helper()
	block := s.PublicKey().PEM()
	der, err := pkixText(cosekit.MustMarshal(string(block)), "PUBLIC KEY")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRoundTrip writes each kind of statement and reads it again.
func TestRoundTrip(t *testing.T) {
	u := every(t)
	raw := encoded(t, u)
	if again := encoded(t, u); !bytes.Equal(raw, again) {
		t.Error("the encoding differs from one time to the next")
	}
	f := readFile(t, raw)
	if f.ID != u.ID || f.Version != u.Version || f.Profile != u.Profile || !f.NotBefore.Equal(u.NotBefore) || !f.NotAfter.Equal(u.NotAfter) {
		t.Errorf("read %+v", f)
	}
	if !reflect.DeepEqual(f.Replaces(), u.Replaces) || f.Signed() || len(f.Unread) != 0 {
		t.Errorf("replaces %q, signed %v, unread %q", f.Replaces(), f.Signed(), f.Unread)
	}
	want := u.References
	for i := range want {
		want[i].Source = "acme/everything@3"
	}
	if got := f.References(); !reflect.DeepEqual(got, want) {
		t.Errorf("values:\n got %+v\nwant %+v", got, want)
	}
	keys := f.Keys()
	if len(keys) != 1 || !reflect.DeepEqual(keys[0].Public, u.Keys[0].Public) || !reflect.DeepEqual(keys[0].Environment, u.Keys[0].Environment) {
		t.Errorf("keys %+v", keys)
	}
}

func TestSignAndVerify(t *testing.T) {
	stranger := newSigner(t, cosekit.ESP256)
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		for name, s := range map[string]cosekit.Signer{"new name": newSigner(t, alg), "old name": cosekit.UnderLegacyName(newSigner(t, alg))} {
			raw, err := every(t).Sign(s, "Acme")
			if err != nil {
				t.Fatal(err)
			}
			f := readFile(t, raw)
			if f.Signer != "" {
				t.Errorf("%s: a signer before anything was verified: %q", name, f.Signer)
			}
			if err := f.Verify(now, publicKey(t, stranger), publicKey(t, s)); err != nil {
				t.Errorf("%s %s: %v", cosekit.AlgorithmName(alg), name, err)
			}
			if f.SignerName != "Acme" || f.Signer != s.PublicKey().Thumbprint().String() {
				t.Errorf("signed by %q, %q", f.SignerName, f.Signer)
			}
		}
	}
}

// TestVerifyP384 signs as veraison's tools do with the key of the draft's examples.
func TestVerifyP384(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cose.NewSigner(cose.AlgorithmES384, key)
	if err != nil {
		t.Fatal(err)
	}
	m := cose.NewSign1Message()
	m.Payload = encoded(t, every(t))
	m.Headers.Protected = cose.ProtectedHeader{
		cose.HeaderLabelAlgorithm: cose.AlgorithmES384, cose.HeaderLabelContentType: ContentType,
		int64(headerCWTClaims): map[any]any{int64(1): "Acme", int64(4): now.Add(time.Minute).Unix()},
	}
	if err := m.Sign(rand.Reader, nil, signer); err != nil {
		t.Fatal(err)
	}
	raw, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	f := readFile(t, raw)
	if err := f.Verify(now, &key.PublicKey); err != nil {
		t.Fatal(err)
	}
	if f.SignerName != "Acme" || len(f.Signer) != 64 || !f.NotAfter.Equal(now.Add(time.Minute)) {
		t.Errorf("signed by %q, %q, until %v", f.SignerName, f.Signer, f.NotAfter)
	}
	raw[len(raw)-1] ^= 1
	if err := readFile(t, raw).Verify(now, &key.PublicKey); !errors.Is(err, ErrSigner) {
		t.Errorf("a changed signature: %v", err)
	}
}

// TestThumbprintP384 holds the thumbprint against the COSE_Key written by hand.
func TestThumbprintP384(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	h := crypto.SHA256.New()
	for _, part := range [][]byte{{0xa4, 0x01, 0x02, 0x20, 0x02, 0x21, 0x58, 48}, point[1:49], {0x22, 0x58, 48}, point[49:]} {
		h.Write(part)
	}
	if got, err := Thumbprint(&key.PublicKey); err != nil || got != hex.EncodeToString(h.Sum(nil)) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	s, stranger := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.ESP256)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u := every(t)
	raw, err := u.Sign(s, "Acme")
	if err != nil {
		t.Fatal(err)
	}
	trusted := []crypto.PublicKey{publicKey(t, s)}
	private, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	manifestSigner, err := cosekit.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	mldsaKey := private.PublicKey()
	// Sign refuses nothing that a signer can do; whether it is accepted is for Verify.
	manifestSigned, err := u.Sign(manifestSigner, "Acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		raw  []byte
		now  time.Time
		keys []crypto.PublicKey
		want error
		says string
	}{
		{"unsigned", encoded(t, u), now, trusted, ErrUnsigned, "not signed"},
		{"no keys", raw, now, nil, ErrSigner, "no key"},
		{"wrong signer", raw, now, []crypto.PublicKey{publicKey(t, stranger)}, ErrSigner, "trusted reference-value provider"},
		{"key of another curve", raw, now, []crypto.PublicKey{&p384.PublicKey}, ErrSigner, "P-384"},
		{"post-quantum", manifestSigned, now, []crypto.PublicKey{mldsaKey}, ErrSigner, "ML-DSA-44"},
		{"key of no kind", raw, now, []crypto.PublicKey{"key"}, ErrSigner, "key"},
		{"expired", raw, now.Add(2 * time.Hour), trusted, ErrValidity, "valid until 2026-11-22T01:00:00Z"},
		{"not yet valid", raw, now.Add(-2 * time.Hour), trusted, ErrValidity, "valid from 2026-11-21T23:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := readFile(t, c.raw).Verify(c.now, c.keys...)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v that says %q", err, c.want, c.says)
			}
		})
	}
}

// TestEveryFlipIsRefused changes each byte of a signed file in turn, in one bit or another.
func TestEveryFlipIsRefused(t *testing.T) {
	s := newSigner(t, cosekit.Ed25519)
	raw, err := every(t).Sign(s, "Acme")
	if err != nil {
		t.Fatal(err)
	}
	key := publicKey(t, s)
	same := readFile(t, raw)
	for i := range raw {
		for _, bit := range []int{i % 8, (i + 4) % 8} {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			f, err := Read(changed)
			if err != nil || f.Verify(now, key) != nil {
				continue
			}
			if unsignedPart(t, changed) && reflect.DeepEqual(f.References(), same.References()) {
				continue // a label in the unprotected header, which says nothing to anybody
			}
			t.Fatalf("byte %d bit %d: accepted", i, bit)
		}
	}
}

// unsignedPart reports whether the protected header, the payload and the signature are
// exactly those of some file that was signed: only the unprotected header differs.
func unsignedPart(t *testing.T, raw []byte) bool {
	t.Helper()
	_, content, _ := tagged(raw)
	parts, err := cosekit.Elements(content)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := readFields(parts[1])
	return err == nil && fields[4] == nil
}

// TestFormsOfToday reads values as the draft and the profiles of PSA and CCA have them now,
// which is not how they are written here, and as older files have them.
func TestFormsOfToday(t *testing.T) {
	signer := []any{taggedItem(tagBytes, repeated(9))}
	digest := func(alg any, size int) []any { return []any{[]any{alg, make([]byte, size)}} }
	measurement := func(key any, value map[int]any) map[int]any {
		if key == nil {
			return map[int]any{1: value}
		}
		return map[int]any{0: key, 1: value}
	}
	for _, c := range []struct {
		name string
		m    map[int]any
		want []Reference // nil where it is left out
	}{
		{"PSA", measurement(keyPSAComponent, map[int]any{2: digest("sha-256", 32), 11: "BL", 13: signer}), []Reference{{Key: "BL", Signer: repeated(9), Digests: zeros("sha-256", 32)}}},
		{"CCA", measurement(keyCCAComponent, map[int]any{0: map[int]any{0: "1.2", 1: 1}, 2: digest(-43, 48)}), []Reference{{Version: "1.2", Digests: zeros("sha-384", 48)}}},
		{"an older PSA file", measurement(taggedItem(tagPSARefValID, map[int]any{1: "BL", 4: "1.2", 5: repeated(9)}), map[int]any{2: digest("sha512", 64)}), []Reference{{Key: "BL", Version: "1.2", Signer: repeated(9), Digests: zeros("sha-512", 64)}}},
		{"the configuration of a platform", measurement(taggedItem(tagCCAPlatformConf, "cfg"), map[int]any{4: taggedItem(tagBytes, []byte{1})}), []Reference{{Key: KeyPlatformConfig, Version: "cfg", Raw: []byte{1}}}},
		{"an older realm", measurement(nil, map[int]any{14: map[any]any{"rim": digest(7, 48), "rem3": digest(7, 48)}}), []Reference{{Key: KeyRIM, Digests: zeros("sha-384", 48)}, {Key: "cca.rem3", Digests: zeros("sha-384", 48)}}},
		{"an older realm with its personalization", measurement(nil, map[int]any{4: taggedItem(tagBytes, []byte{7}), 14: map[any]any{"rim": digest(7, 48)}}), []Reference{{Raw: []byte{7}}, {Key: KeyRIM, Digests: zeros("sha-384", 48)}}},
		{"registers of a part", measurement("bank", map[int]any{14: map[any]any{4: digest(1, 32), "x": digest(99, 5)}}), []Reference{{Key: "bank/4", Digests: zeros("sha-256", 32)}, {Key: "bank/x", Digests: zeros("algorithm 99", 5)}}},
		{"registers and a value", measurement(nil, map[int]any{1: 5, 14: map[any]any{4: digest(-16, 32)}}), []Reference{{SVN: ptr(uint64(5))}, {Key: "4", Digests: zeros("sha-256", 32)}}},
		{"a name alone", measurement(nil, map[int]any{1: taggedItem(tagMinSVN, 2), 11: "TEE"}), []Reference{{Key: "TEE", MinSVN: ptr(uint64(2))}}},
		{"an OID for a key", measurement(taggedItem(tagOID, []byte{0x2a, 3}), map[int]any{1: 1}), []Reference{{Key: "1.2.3", SVN: ptr(uint64(1))}}},
		{"a name beside a key", measurement("TEE", map[int]any{1: 1, 11: "x"}), nil},
		{"keys that are measured", measurement("TEE", map[int]any{1: 1, 13: signer}), nil},
		{"a raw value of a kind to come", measurement("TEE", map[int]any{4: taggedItem(999, 1)}), nil},
		{"a security version of a kind to come", measurement("TEE", map[int]any{1: taggedItem(999, 1)}), nil},
		{"a key of a kind to come", measurement(taggedItem(999, 1), map[int]any{1: 1}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readMeasurement(cosekit.MustMarshal(c.m))
			if c.want == nil {
				if !errors.Is(err, errUnread) {
					t.Errorf("read %+v, %v", got, err)
				}
				return
			}
			sortByKey := func(all []Reference) {
				slices.SortFunc(all, func(a, b Reference) int { return strings.Compare(a.Key, b.Key) })
			}
			sortByKey(got)
			sortByKey(c.want)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func zeros(alg string, size int) []Digest { return []Digest{{alg, make([]byte, size)}} }

// TestUnread leaves out, as a whole, what has a part that nothing compares.
func TestUnread(t *testing.T) {
	environment := map[int]any{0: map[int]any{1: "Acme"}}
	plain := map[int]any{1: map[int]any{1: 1}}
	flagged := map[int]any{1: map[int]any{1: 1, 3: map[int]any{3: false}}}
	authorized := map[int]any{1: map[int]any{1: 1}, 2: []any{1}}
	triples := map[int]any{
		0: []any{
			[]any{environment, []any{plain, flagged, authorized}},
			[]any{map[int]any{0: map[int]any{1: "Acme", 9: 1}}, []any{plain}},
		},
		3: []any{[]any{environment, []any{taggedItem(557, []any{1, make([]byte, 32)})}}, []any{environment, []any{1}, map[int]any{0: 1}}},
		8: 1,
	}
	comid := cosekit.MustMarshal(map[int]any{1: map[int]any{0: "t"}, 4: triples})
	f := readFile(t, cosekit.MustMarshal(taggedItem(tagUnsigned, map[int]any{
		0: "f", 1: []any{taggedItem(tagCoMID, comid), taggedItem(tagCoSWID, []byte{0xa0})},
	})))
	if got := f.References(); len(got) != 1 || *got[0].SVN != 1 || len(f.Keys()) != 0 {
		t.Errorf("read %+v and %+v", got, f.Keys())
	}
	told := strings.Join(f.Unread, "\n")
	for _, want := range []string{"measurement value with a member 3", "measurement with a member 2", "class with a member 9", "key under tag 557", "keys under conditions", "triples with a member 8", "CoSWID"} {
		if !strings.Contains(told, want) {
			t.Errorf("nothing tells of %q in:\n%s", want, told)
		}
	}
}
