package cosekit

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func newSecret(tb testing.TB, k, kid []byte) *SecretKey {
	tb.Helper()
	key, err := NewSecretKey(k, kid)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// addressee is a recipient with the keys that it decrypts with.
type addressee struct {
	recipient Recipient
	keys      DecryptionKeys
	alg       Algorithm
}

func addressees(tb testing.TB) map[string]addressee {
	tb.Helper()
	all := map[string]addressee{}
	for alg, size := range keyWraps {
		k := newSecret(tb, noise(size), []byte{0xa1, byte(size)})
		all[AlgorithmName(alg)] = addressee{k, DecryptionKeys{Secrets: []*SecretKey{k}}, alg}
	}
	k := newAgreement(tb)
	all["ECDH"] = addressee{k.PublicKey(), DecryptionKeys{Agreements: []AgreementKey{k}}, ECDHESA128KW}
	return all
}

func TestRoundTrip(t *testing.T) {
	all := addressees(t)
	var everybody []Recipient
	for _, a := range all {
		everybody = append(everybody, a.recipient)
	}
	for _, alg := range contentAlgorithms() {
		for name, a := range all {
			t.Run(AlgorithmName(alg)+"/"+name, func(t *testing.T) {
				for _, n := range []int{0, 1, 1000, pieceSize + 1} {
					checkRoundTrip(t, Encryption{Content: alg, Context: PayloadEncryption, Recipients: []Recipient{a.recipient}}, a, noise(n))
				}
				checkRoundTrip(t, Encryption{Content: alg, Context: ReportEncryption, Recipients: everybody}, a, noise(100))
			})
		}
	}
}

func checkRoundTrip(t *testing.T, e Encryption, a addressee, plaintext []byte) {
	t.Helper()
	var ciphertext bytes.Buffer
	info, err := e.Encrypt(&ciphertext, bytes.NewReader(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	detached, err := ParseEncrypted(info)
	if err != nil {
		t.Fatal(err)
	}
	if detached.Ciphertext != nil || detached.Direct || detached.Content != e.Content || len(detached.Recipients) != len(e.Recipients) {
		t.Errorf("parsed %+v", detached)
	}
	r, err := detached.Decrypt(a.keys, e.Context, &ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plaintext) {
		t.Errorf("%d bytes decrypted of %d (%v)", len(got), len(plaintext), err)
	}
	if _, err := detached.Open(a.keys, e.Context); !errors.Is(err, ErrMalformed) {
		t.Errorf("opened without a ciphertext: %v", err)
	}
	sealed, err := e.Seal(plaintext)
	if err != nil {
		t.Fatal(err)
	}
	attached := parseEncrypted(t, sealed)
	for range 2 { // opening leaves the message as it was
		if got, err := attached.Open(a.keys, e.Context); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes opened of %d (%v)", len(got), len(plaintext), err)
		}
	}
	if _, err := attached.Decrypt(a.keys, e.Context, &ciphertext); !errors.Is(err, ErrMalformed) {
		t.Errorf("two ciphertexts: %v", err)
	}
}

func parseEncrypted(tb testing.TB, data []byte) *Encrypted {
	tb.Helper()
	e, err := ParseEncrypted(data)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// TestLayout holds what Encrypt writes against the layout of the examples in
// draft-ietf-suit-firmware-encryption sections 6.1.2, 6.1.3, 6.2.2 and 6.2.3.
func TestLayout(t *testing.T) {
	kek, agreement := newSecret(t, noise(16), []byte("kid-1")), newAgreement(t).PublicKey()
	wrapped := []any{[]byte{}, map[int64]any{headerAlg: A128KW, headerKeyID: []byte("kid-1")}, make([]byte, 24)}
	agreed := []any{unhex(t, "a101381c"), map[int64]any{headerEphemeral: RawMessage(agreement.COSEKey()), headerKeyID: agreement.thumbprint[:]}, make([]byte, 24)}
	for name, tt := range map[string]struct {
		content   Algorithm
		recipient Recipient
		want      []any
	}{
		"AES-KW, GCM": {A128GCM, kek, []any{unhex(t, "a10101"), map[int64]any{headerIV: make([]byte, 12)}, nil, []any{wrapped}}},
		"AES-KW, CTR": {A128CTR, kek, []any{[]byte{}, map[int64]any{headerAlg: A128CTR, headerIV: make([]byte, 16)}, nil, []any{wrapped}}},
		"ECDH, GCM":   {A128GCM, agreement, []any{unhex(t, "a10101"), map[int64]any{headerIV: make([]byte, 12)}, nil, []any{agreed}}},
		"ECDH, CTR":   {A128CTR, agreement, []any{[]byte{}, map[int64]any{headerAlg: A128CTR, headerIV: make([]byte, 16)}, nil, []any{agreed}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := Encryption{Content: tt.content, Context: PayloadEncryption, Recipients: []Recipient{tt.recipient}}
			info, err := e.Encrypt(io.Discard, strings.NewReader("plaintext"))
			if err != nil {
				t.Fatal(err)
			}
			want := MustMarshal(Tag{Number: TagEncrypt, Content: MustMarshal(tt.want)})
			if len(info) != len(want) {
				t.Fatalf("%d bytes, want %d:\n%x\n%x", len(info), len(want), info, want)
			}
			// All but what is drawn anew: the IV, the wrapped key, the ephemeral key.
			m := parseEncrypted(t, info)
			drawn := [][]byte{m.iv, m.Recipients[0].wrapped}
			if e := m.Recipients[0].ephemeral; e != nil {
				drawn = append(drawn, e)
			}
			for _, part := range drawn {
				at := bytes.Index(info, part)
				copy(want[at:], part)
			}
			if !bytes.Equal(info, want) {
				t.Errorf("layout\n%x, want\n%x", info, want)
			}
		})
	}
}

func TestEverySecretIsFresh(t *testing.T) {
	e := Encryption{Content: A128GCM, Context: PayloadEncryption, Recipients: []Recipient{newAgreement(t).PublicKey(), newAgreement(t).PublicKey()}}
	seen := map[string]bool{}
	for range 3 {
		sealed, err := e.Seal([]byte("the same"))
		if err != nil {
			t.Fatal(err)
		}
		m := parseEncrypted(t, sealed)
		for _, part := range [][]byte{m.iv, m.Ciphertext, m.Recipients[0].ephemeral, m.Recipients[0].wrapped, m.Recipients[1].ephemeral, m.Recipients[1].wrapped} {
			if seen[string(part)] {
				t.Errorf("%x again", part)
			}
			seen[string(part)] = true
		}
	}
}

func TestReproducible(t *testing.T) {
	e := Encryption{Content: A256GCM, Context: PayloadEncryption, Recipients: []Recipient{newAgreement(t).PublicKey()}}
	seal := func(seed byte) []byte {
		t.Helper()
		sealed, err := e.Reproducible(rand.NewChaCha8([32]byte{seed})).Seal([]byte("example"))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	if !bytes.Equal(seal(1), seal(1)) {
		t.Error("not the same again")
	}
	if bytes.Equal(seal(1), seal(2)) {
		t.Error("the same from another source")
	}
	for n := range 60 { // a source that ends anywhere
		if _, err := e.Reproducible(bytes.NewReader(noise(n))).Seal(nil); err == nil {
			t.Errorf("sealed with %d random bytes", n)
		}
	}
}

func TestEncryptRefuses(t *testing.T) {
	kek, agreement := newSecret(t, noise(16), nil), newAgreement(t).PublicKey()
	for name, tt := range map[string]struct {
		e    Encryption
		want error
	}{
		"no recipient":         {Encryption{Content: A128GCM, Context: PayloadEncryption}, ErrKey},
		"too many":             {Encryption{A128GCM, PayloadEncryption, slices.Repeat([]Recipient{kek}, MaxRecipients+1), nil}, ErrKey},
		"nil":                  {Encryption{A128GCM, PayloadEncryption, []Recipient{kek, nil}, nil}, ErrKey},
		"nil secret":           {Encryption{A128GCM, PayloadEncryption, []Recipient{(*SecretKey)(nil)}, nil}, ErrKey},
		"nil public key":       {Encryption{A128GCM, PayloadEncryption, []Recipient{(*AgreementPublicKey)(nil)}, nil}, ErrKey},
		"secret for HMAC only": {Encryption{A128GCM, PayloadEncryption, []Recipient{newSecret(t, noise(64), nil)}, nil}, ErrKey},
		"no content algorithm": {Encryption{0, PayloadEncryption, []Recipient{kek}, nil}, ErrAlgorithm},
		"a key wrap":           {Encryption{A128KW, PayloadEncryption, []Recipient{kek}, nil}, ErrAlgorithm},
		"no context":           {Encryption{A128GCM, "", []Recipient{agreement}, nil}, ErrAlgorithm},
	} {
		var out bytes.Buffer
		info, err := tt.e.Encrypt(&out, strings.NewReader("plaintext"))
		if !errors.Is(err, tt.want) || info != nil || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes written", name, err, out.Len())
		}
		if sealed, err := tt.e.Seal(nil); !errors.Is(err, tt.want) || sealed != nil {
			t.Errorf("%s: sealed: %v", name, err)
		}
	}
}

// message is a COSE_Encrypt in parts, to be spoilt.
type message struct {
	tag       uint64 // 0 for none
	protected any
	headers   map[int64]any
	payload   any
	recipient []any
	more      []any // recipients
}

func (m message) encode() []byte {
	parts := []any{m.protected, m.headers, m.payload}
	if m.recipient != nil {
		parts = append(parts, append([]any{m.recipient}, m.more...))
	}
	data := MustMarshal(parts)
	if m.tag != 0 {
		data = MustMarshal(Tag{Number: m.tag, Content: data})
	}
	return data
}

// crafted is a message that opens to "plaintext", and the keys that it opens with.
func crafted(t *testing.T, alg Algorithm) (message, DecryptionKeys) {
	t.Helper()
	kek := newSecret(t, noise(16), []byte("kid-1"))
	e := Encryption{Content: alg, Context: PayloadEncryption, Recipients: []Recipient{kek}}
	sealed, err := e.Seal([]byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	p := parseEncrypted(t, sealed)
	m := message{
		tag:       TagEncrypt,
		protected: p.protected,
		headers:   map[int64]any{headerIV: p.iv},
		payload:   p.Ciphertext,
		recipient: []any{[]byte{}, map[int64]any{headerAlg: A128KW, headerKeyID: []byte("kid-1")}, p.Recipients[0].wrapped},
	}
	if !authenticates(alg) {
		m.headers[headerAlg] = alg
	}
	return m, DecryptionKeys{Secrets: []*SecretKey{kek}}
}

func TestParseEncryptedRefuses(t *testing.T) {
	header := func(m *message, label int64, value any) { m.headers[label] = value }
	theirs := func(m *message, label int64, value any) { m.recipient[1].(map[int64]any)[label] = value }
	agree := func(m *message, protected string) map[int64]any {
		m.recipient[0] = unhex(t, protected)
		headers := map[int64]any{headerEphemeral: RawMessage(newAgreement(t).PublicKey().COSEKey())}
		m.recipient[1] = headers
		return headers
	}
	tests := []struct {
		name  string
		alg   Algorithm
		spoil func(*message)
		want  error
	}{
		{"as it is", A128GCM, func(m *message) {}, nil},
		{"untagged", A128GCM, func(m *message) { m.tag = 0 }, nil},
		{"detached", A128GCM, func(m *message) { m.payload = nil }, nil},
		{"IV in the protected header", A128GCM, func(m *message) {
			m.protected, m.headers = MustMarshal(map[int64]any{1: 1, 5: noise(12)}), map[int64]any{}
		}, nil},
		{"a label that nobody knows", A128GCM, func(m *message) { header(m, 4711, "x") }, nil},
		{"CTR with an encoded empty map", A128CTR, func(m *message) { m.protected = unhex(t, "a0") }, nil},
		{"key wrap with an encoded empty map", A128GCM, func(m *message) { m.recipient[0] = unhex(t, "a0") }, nil},

		{"another tag", A128GCM, func(m *message) { m.tag = TagMAC }, ErrMalformed},
		{"the tag of COSE_Encrypt0", A128GCM, func(m *message) { m.tag = TagEncrypt0 }, ErrMalformed},
		{"recipients missing", A128GCM, func(m *message) { m.recipient = nil }, ErrMalformed},
		{"no alg", A128GCM, func(m *message) { m.protected = []byte{} }, ErrAlgorithm},
		{"alg is text", A128GCM, func(m *message) { m.protected = unhex(t, "a1016141") }, ErrAlgorithm},
		{"AES-CCM", A128GCM, func(m *message) { m.protected = unhex(t, "a1010a") }, ErrAlgorithm},
		{"alg unprotected", A128GCM, func(m *message) { m.protected = []byte{}; header(m, headerAlg, A128GCM) }, ErrAlgorithm},
		{"alg in both", A128GCM, func(m *message) { header(m, headerAlg, A128GCM) }, ErrMalformed},
		{"CTR in the protected header", A128CTR, func(m *message) {
			m.protected = MustMarshal(map[int64]any{1: A128CTR})
			delete(m.headers, headerAlg)
		}, ErrMalformed},
		{"IV in both", A128GCM, func(m *message) { m.protected = MustMarshal(map[int64]any{1: 1, 5: noise(12)}) }, ErrMalformed},
		{"no IV", A128GCM, func(m *message) { m.headers = map[int64]any{} }, ErrMalformed},
		{"IV of 16 bytes for GCM", A128GCM, func(m *message) { header(m, headerIV, noise(16)) }, ErrMalformed},
		{"IV of 12 bytes for CTR", A128CTR, func(m *message) { header(m, headerIV, noise(12)) }, ErrMalformed},
		{"empty IV", ChaCha20Poly1305, func(m *message) { header(m, headerIV, []byte{}) }, ErrMalformed},
		{"IV is text", A128GCM, func(m *message) { header(m, headerIV, "abcdefghijkl") }, ErrMalformed},
		{"partial IV", A128GCM, func(m *message) { header(m, headerPartialIV, []byte{1}) }, ErrMalformed},
		{"kid is a number", A128GCM, func(m *message) { header(m, headerKeyID, 1) }, ErrMalformed},
		{"critical and unknown", A128GCM, func(m *message) { m.protected = unhex(t, "a3 0101 028118 63 1863 00") }, ErrCritical},
		{"critical and text", A128GCM, func(m *message) { m.protected = unhex(t, "a2 0101 02816161") }, ErrCritical},
		{"critical and known", A128GCM, func(m *message) { m.protected = unhex(t, "a2 0101 028101") }, nil},
		{"critical and missing", A128GCM, func(m *message) { m.protected = unhex(t, "a2 0101 028105") }, ErrMalformed},
		{"crit empty", A128GCM, func(m *message) { m.protected = unhex(t, "a2 0101 0280") }, ErrMalformed},
		{"crit unprotected", A128GCM, func(m *message) { header(m, headerCrit, []int{1}) }, ErrMalformed},
		{"protected is a map", A128GCM, func(m *message) { m.protected = map[int]int{1: 1} }, ErrMalformed},
		{"protected holds an array", A128GCM, func(m *message) { m.protected = unhex(t, "8101") }, ErrMalformed},
		{"duplicate in the protected header", A128GCM, func(m *message) { m.protected = unhex(t, "a201010101") }, ErrMalformed},
		{"huge protected header", A128GCM, func(m *message) { m.protected = MustMarshal(map[int]any{1: 1, 99: noise(MaxHeader)}) }, ErrMalformed},
		{"huge unprotected header", A128GCM, func(m *message) { header(m, 99, noise(MaxHeader)) }, ErrMalformed},
		{"ciphertext is text", A128GCM, func(m *message) { m.payload = "text" }, ErrMalformed},
		{"ciphertext is a map", A128GCM, func(m *message) { m.payload = map[int]int{} }, ErrMalformed},

		{"17 recipients", A128GCM, func(m *message) { m.more = slices.Repeat([]any{m.recipient}, MaxRecipients) }, ErrMalformed},
		{"16 recipients", A128GCM, func(m *message) { m.more = slices.Repeat([]any{m.recipient}, MaxRecipients-1) }, nil},
		{"recipient of two parts", A128GCM, func(m *message) { m.recipient = m.recipient[:2] }, ErrMalformed},
		{"recipient is a number", A128GCM, func(m *message) { m.more = []any{1} }, ErrMalformed},
		{"wrapped key of another size", A128GCM, func(m *message) { m.recipient[2] = noise(40) }, ErrMalformed},
		{"no wrapped key", A128GCM, func(m *message) { m.recipient[2] = nil }, ErrMalformed},
		{"key wrap with a protected header", A128GCM, func(m *message) { m.recipient[0] = unhex(t, "a10122"); m.recipient[1] = map[int]int{} }, ErrMalformed},
		{"their kid is a number", A128GCM, func(m *message) { theirs(m, headerKeyID, 1) }, ErrMalformed},
		{"agreement", A128GCM, func(m *message) { agree(m, "a101381c") }, nil},
		{"agreement with a salt", A128GCM, func(m *message) { agree(m, "a101381c")[headerSalt] = noise(8) }, nil},
		{"agreement without an ephemeral key", A128GCM, func(m *message) { delete(agree(m, "a101381c"), headerEphemeral) }, ErrMalformed},
		{"agreement with alg unprotected", A128GCM, func(m *message) { agree(m, "")[headerAlg] = ECDHESA128KW }, ErrMalformed},
		{"salt is text", A128GCM, func(m *message) { agree(m, "a101381c")[headerSalt] = "salt" }, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := crafted(t, tt.alg)
			tt.spoil(&m)
			e, err := ParseEncrypted(m.encode())
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil && e != nil {
				t.Error("a message beside the error")
			}
		})
	}
	for _, data := range []string{"", "f6", "80", "84", "d860", "d86080", "8440a0f680", "8540a0f68080", "d8608440a0f6", "d860f6"} {
		if _, err := ParseEncrypted(unhex(t, data)); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s: %v", data, err)
		}
	}
}

// TestRecipientsOfOthers: what is no use here does not stand in the way of what is.
func TestRecipientsOfOthers(t *testing.T) {
	for name, other := range map[string][]any{
		"direct":           {[]byte{}, map[int64]any{headerAlg: -6}, []byte{}},
		"no alg":           {[]byte{}, map[int64]any{}, []byte{}},
		"alg is text":      {[]byte{}, map[int64]any{headerAlg: "HPKE"}, []byte{}},
		"HPKE":             {MustMarshal(map[int64]any{1: 35}), map[int64]any{-4: noise(65)}, noise(32)},
		"another curve":    {unhex(t, "a101381c"), map[int64]any{headerEphemeral: map[int]any{1: 2, -1: 2, -2: noise(48), -3: noise(48)}}, noise(24)},
		"critical":         {unhex(t, "a3 01381c 02811863 186300"), map[int64]any{headerKeyID: []byte("them")}, noise(24)},
		"of recipients":    {[]byte{}, map[int64]any{headerAlg: A128KW}, noise(24), []any{}},
		"wrapped for them": {[]byte{}, map[int64]any{headerAlg: A128KW, headerKeyID: noise(32)}, noise(24)},
		"wrapped by guess": {[]byte{}, map[int64]any{headerAlg: A128KW}, noise(24)},
	} {
		t.Run(name, func(t *testing.T) {
			m, keys := crafted(t, A128GCM)
			keys.Agreements = []AgreementKey{newAgreement(t)}
			m.more = []any{m.recipient}
			m.recipient = other
			e := parseEncrypted(t, m.encode())
			if got, err := e.Open(keys, PayloadEncryption); err != nil || string(got) != "plaintext" {
				t.Errorf("%q, %v", got, err)
			}
			m.more = nil
			e = parseEncrypted(t, m.encode())
			want := ErrNoDecryptionKey
			if name == "another curve" {
				want = ErrMalformed
			}
			if _, err := e.Open(keys, PayloadEncryption); !errors.Is(err, want) {
				t.Errorf("alone: %v, want %v", err, want)
			}
		})
	}
}

func TestChoiceOfKey(t *testing.T) {
	m, right := crafted(t, A128GCM)
	var others []*SecretKey
	for i := range 20 {
		others = append(others, newSecret(t, bytes.Repeat([]byte{byte(i + 1)}, 16), fmt.Appendf(nil, "other-%d", i)))
	}
	unnamed := func(kid any) []byte {
		theirs := map[int64]any{headerAlg: A128KW}
		if kid != nil {
			theirs[headerKeyID] = kid
		}
		m := m
		m.recipient = []any{[]byte{}, theirs, m.recipient[2]}
		return m.encode()
	}
	key := right.Secrets[0]
	nested := m
	nested.recipient = append(slices.Clone(m.recipient), []any{})
	thumbprint := key.Thumbprint()
	nameless, forHMAC := newSecret(t, noise(16), nil), newSecret(t, noise(16), []byte("kid-1"))
	forHMAC.alg = HMAC256
	spoilt := newSecret(t, noise(17)[1:], []byte("kid-1")) // has the right name
	var nobodys []*SecretKey
	for i := range maxUnwraps {
		nobodys = append(nobodys, newSecret(t, bytes.Repeat([]byte{byte(i + 1)}, 16), nil))
	}
	for name, tt := range map[string]struct {
		data []byte
		keys []*SecretKey
		want error
	}{
		"named behind nameless":      {m.encode(), append(nobodys, key), nil},
		"named among many":           {m.encode(), append(slices.Clone(others), key), nil},
		"named by thumbprint":        {unnamed(thumbprint[:]), append(slices.Clone(others), key), nil},
		"named by another's kid":     {unnamed([]byte("other-3")), append(slices.Clone(others), key), ErrDecrypt},
		"another's thumbprint":       {unnamed(noise(32)), []*SecretKey{key}, ErrNoDecryptionKey},
		"a kid that is not known":    {unnamed([]byte("who")), []*SecretKey{others[0], nameless}, nil},
		"the kid of nobody":          {unnamed([]byte("who")), []*SecretKey{others[0], key}, ErrNoDecryptionKey},
		"a key for something else":   {m.encode(), []*SecretKey{forHMAC}, ErrNoDecryptionKey},
		"no kid":                     {unnamed(nil), []*SecretKey{others[0], key}, nil},
		"the eighth":                 {unnamed(nil), append(slices.Clone(others[:maxUnwraps-1]), key), nil},
		"the ninth":                  {unnamed(nil), append(slices.Clone(others[:maxUnwraps]), key), ErrNoDecryptionKey},
		"two of the same name":       {m.encode(), []*SecretKey{spoilt, key}, nil},
		"wrong one of the same name": {m.encode(), []*SecretKey{spoilt}, ErrDecrypt},
		"with recipients of its own": {nested.encode(), []*SecretKey{key}, ErrNoDecryptionKey},
		"of another size":            {unnamed(nil), []*SecretKey{newSecret(t, noise(32), nil)}, ErrNoDecryptionKey},
		"none":                       {m.encode(), nil, ErrNoDecryptionKey},
	} {
		got, err := parseEncrypted(t, tt.data).Open(DecryptionKeys{Secrets: tt.keys}, PayloadEncryption)
		if !errors.Is(err, tt.want) || (tt.want == nil) != (string(got) == "plaintext") {
			t.Errorf("%s: %q, %v, want %v", name, got, err, tt.want)
		}
		if tt.want == ErrNoDecryptionKey && errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: %v is both", name, err)
		}
	}
}

// TestThumbprintOfAnother: a recipient that names the key of somebody else is not tried.
func TestThumbprintOfAnother(t *testing.T) {
	k := newAgreement(t)
	sealed, err := Encryption{Content: A128GCM, Context: PayloadEncryption, Recipients: []Recipient{k.PublicKey()}}.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := parseEncrypted(t, sealed)
	keys := DecryptionKeys{Agreements: []AgreementKey{newAgreement(t), k}}
	for name, tt := range map[string]struct {
		kid  []byte
		want error
	}{
		"its own": {e.Recipients[0].KeyID, nil},
		"another": {noise(32), ErrNoDecryptionKey},
		"a name":  {[]byte("kid-2"), nil},
		"none":    {nil, nil},
	} {
		e.Recipients[0].KeyID = tt.kid
		if _, err := e.Open(keys, PayloadEncryption); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestSalt: one that stands in the headers goes into the key derivation (RFC 9053
// section 5.1).
func TestSalt(t *testing.T) {
	k, ephemeral, protected, salt := newAgreement(t), newAgreement(t), unhex(t, "a101381d"), []byte("salt")
	secret, err := ephemeral.SharedSecret(k.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	kek, err := hkdf.Key(sha256.New, secret, salt, string(kdfContext(A192KW, protected, PayloadEncryption)), 24)
	if err != nil {
		t.Fatal(err)
	}
	m, keys := crafted(t, A128GCM)
	cek, err := parseEncrypted(t, m.encode()).unwrap(keys, PayloadEncryption)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := wrapKey(kek, cek)
	if err != nil {
		t.Fatal(err)
	}
	headers := map[int64]any{headerEphemeral: RawMessage(ephemeral.PublicKey().COSEKey()), headerSalt: salt}
	m.recipient = []any{protected, headers, wrapped}
	keys = DecryptionKeys{Agreements: []AgreementKey{k}}
	if got, err := parseEncrypted(t, m.encode()).Open(keys, PayloadEncryption); err != nil || string(got) != "plaintext" {
		t.Errorf("%q, %v", got, err)
	}
	headers[headerSalt] = []byte("pepper")
	if _, err := parseEncrypted(t, m.encode()).Open(keys, PayloadEncryption); !errors.Is(err, ErrNoDecryptionKey) {
		t.Errorf("with another salt: %v", err)
	}
}

func TestErrorNamesTheRecipients(t *testing.T) {
	m, _ := crafted(t, A128GCM)
	m.more = []any{m.recipient}
	_, err := parseEncrypted(t, m.encode()).Open(DecryptionKeys{}, PayloadEncryption)
	if err == nil || !strings.Contains(err.Error(), "6b69642d31 and 1 others") {
		t.Errorf("got %v", err)
	}
}

func TestWrongContextDoesNotDecrypt(t *testing.T) {
	contexts := []KDFContext{PayloadEncryption, ReportEncryption, EATEncryption, "", "SUIT Payload Encryption "}
	k := newAgreement(t)
	for _, alg := range contentAlgorithms() {
		for _, made := range contexts[:3] {
			sealed, err := Encryption{Content: alg, Context: made, Recipients: []Recipient{k.PublicKey()}}.Seal(noise(40))
			if err != nil {
				t.Fatal(err)
			}
			for _, read := range contexts {
				_, err := parseEncrypted(t, sealed).Open(DecryptionKeys{Agreements: []AgreementKey{k}}, read)
				if read == made && err != nil || read != made && !errors.Is(err, ErrDecrypt) {
					t.Errorf("%s: made as %q, read as %q: %v", AlgorithmName(alg), made, read, err)
				}
			}
		}
	}
}

// TestFlippedBits: under an AEAD a changed message never gives another plaintext, and
// gives none at all unless what was changed is the unprotected header of a recipient,
// which only helps to find the key.
func TestFlippedBits(t *testing.T) {
	plaintext := []byte("the plaintext")
	for _, alg := range contentAlgorithms() {
		if !authenticates(alg) {
			continue
		}
		for name, a := range addressees(t) {
			sealed, err := Encryption{Content: alg, Context: PayloadEncryption, Recipients: []Recipient{a.recipient}}.Seal(plaintext)
			if err != nil {
				t.Fatal(err)
			}
			parts := parseParts(t, parseParts(t, parseParts(t, sealed[2:])[3])[0])
			from := bytes.LastIndex(sealed, parts[1])
			for i := range sealed {
				for bit := range 8 {
					changed := bytes.Clone(sealed)
					changed[i] ^= 1 << bit
					e, err := ParseEncrypted(changed)
					if err != nil {
						continue
					}
					var got []byte
					if e.Ciphertext != nil {
						got, err = e.Open(a.keys, PayloadEncryption)
					} else {
						t.Fatalf("%s/%s: byte %d: the ciphertext is gone", AlgorithmName(alg), name, i)
					}
					hint := from <= i && i < from+len(parts[1])
					if err == nil && (!hint || !bytes.Equal(got, plaintext)) {
						t.Errorf("%s/%s: byte %d bit %d: %q", AlgorithmName(alg), name, i, bit, got)
					}
				}
			}
		}
	}
}

func TestTruncatedInfo(t *testing.T) {
	m, _ := crafted(t, A128GCM)
	whole := m.encode()
	for n := range whole {
		if _, err := ParseEncrypted(whole[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := ParseEncrypted(append(whole, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestEncrypt0(t *testing.T) {
	secret, other := newSecret(t, noise(16), []byte("mine")), newSecret(t, make([]byte, 16), []byte("other"))
	iv, protected := noise(12), unhex(t, "a10101")
	pass, err := newCipherPass(A128GCM, secret.k, iv, encStructure("Encrypt0", protected))
	if err != nil {
		t.Fatal(err)
	}
	ciphertext, err := pass.sealAll([]byte("plaintext"))
	if err != nil {
		t.Fatal(err)
	}
	m := message{tag: TagEncrypt0, protected: protected, headers: map[int64]any{headerIV: iv, headerKeyID: []byte("mine")}, payload: ciphertext}
	keys := DecryptionKeys{Secrets: []*SecretKey{other, newSecret(t, noise(32), nil), secret}}
	for name, tt := range map[string]struct {
		spoil func(*message)
		keys  DecryptionKeys
		want  error
	}{
		"named":              {func(m *message) {}, keys, nil},
		"untagged":           {func(m *message) { m.tag = 0 }, keys, nil},
		"unnamed, one fits":  {func(m *message) { delete(m.headers, headerKeyID) }, DecryptionKeys{Secrets: keys.Secrets[1:]}, nil},
		"unnamed, two fit":   {func(m *message) { delete(m.headers, headerKeyID) }, keys, ErrNoDecryptionKey},
		"for another":        {func(m *message) { m.headers[headerKeyID] = []byte("other") }, keys, ErrDecrypt},
		"no key":             {func(m *message) {}, DecryptionKeys{Agreements: []AgreementKey{newAgreement(t)}}, ErrNoDecryptionKey},
		"changed ciphertext": {func(m *message) { m.payload = append(noise(1), ciphertext[1:]...) }, keys, ErrDecrypt},
	} {
		m := m
		m.headers = maps.Clone(m.headers)
		tt.spoil(&m)
		e := parseEncrypted(t, m.encode())
		if !e.Direct {
			t.Errorf("%s: not direct", name)
		}
		got, err := e.Open(tt.keys, ReportEncryption)
		if !errors.Is(err, tt.want) || (tt.want == nil) != (string(got) == "plaintext") {
			t.Errorf("%s: %q, %v, want %v", name, got, err, tt.want)
		}
	}
}

func TestParseEncryptedDoesNotAlias(t *testing.T) {
	m, keys := crafted(t, A128GCM)
	data := m.encode()
	e := parseEncrypted(t, data)
	clear(data)
	if got, err := e.Open(keys, PayloadEncryption); err != nil || string(got) != "plaintext" {
		t.Errorf("%q, %v", got, err)
	}
}

// broken is a key in a token that does not answer.
type broken struct{ AgreementKey }

var errToken = errors.New("token unplugged")

func (broken) SharedSecret(*AgreementPublicKey) ([]byte, error) { return nil, errToken }

func TestTokenThatFails(t *testing.T) {
	k := newAgreement(t)
	sealed, err := Encryption{Content: A128GCM, Context: PayloadEncryption, Recipients: []Recipient{k.PublicKey()}}.Seal(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parseEncrypted(t, sealed).Open(DecryptionKeys{Agreements: []AgreementKey{broken{k}}}, PayloadEncryption)
	if !errors.Is(err, ErrNoDecryptionKey) || !errors.Is(err, errToken) {
		t.Errorf("got %v", err)
	}
}

// encryptedSeeds are messages for fuzzing: our own of every kind, and the published.
func encryptedSeeds(f *testing.F, all map[string]addressee) [][]byte {
	seeds := vectorFiles(f)
	if dir := os.Getenv("TEEP_VECTORS"); dir != "" {
		for _, kind := range []string{"aes-kw-aes-gcm", "aes-kw-aes-ctr", "es-ecdh-aes-gcm", "es-ecdh-aes-ctr"} {
			seed, err := os.ReadFile(filepath.Join(dir, "suit-firmware-encryption", "encryption-info-"+kind+".cbor"))
			if err != nil {
				f.Fatal(err)
			}
			seeds = append(seeds, seed)
		}
	}
	for _, alg := range contentAlgorithms() {
		for _, a := range all {
			sealed, err := Encryption{Content: alg, Context: PayloadEncryption, Recipients: []Recipient{a.recipient}}.Seal([]byte("plaintext"))
			if err != nil {
				f.Fatal(err)
			}
			seeds = append(seeds, sealed)
		}
	}
	return seeds
}

// FuzzParseEncrypted parses and opens whatever comes. An AEAD opens to what was sealed
// or not at all.
func FuzzParseEncrypted(f *testing.F) {
	all := addressees(f)
	var keys DecryptionKeys
	for _, a := range all {
		keys.Secrets = append(keys.Secrets, a.keys.Secrets...)
		keys.Agreements = append(keys.Agreements, a.keys.Agreements...)
	}
	for _, seed := range encryptedSeeds(f, all) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		e, err := ParseEncrypted(data)
		if !bytes.Equal(before, data) {
			t.Error("the input has changed")
		}
		if err != nil {
			if e != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrAlgorithm) && !errors.Is(err, ErrCritical) {
				t.Errorf("%v, %v", e, err)
			}
			return
		}
		if e.Direct != (len(e.Recipients) == 0) || len(e.Recipients) > MaxRecipients {
			t.Errorf("%d recipients", len(e.Recipients))
		}
		var plaintext []byte
		if e.Ciphertext != nil {
			plaintext, err = e.Open(keys, PayloadEncryption)
		} else if r, begun := e.Decrypt(keys, PayloadEncryption, bytes.NewReader(data)); begun == nil {
			plaintext, err = io.ReadAll(r)
		} else {
			err = begun
		}
		switch {
		case err == nil && e.Integrity() && string(plaintext) != "plaintext":
			t.Errorf("forged: %q", plaintext)
		case err != nil && !errors.Is(err, ErrDecrypt) && !errors.Is(err, ErrNoDecryptionKey) && !errors.Is(err, ErrMalformed):
			t.Errorf("no sentinel: %v", err)
		}
	})
}
