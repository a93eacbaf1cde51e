package cosekit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func sign1(tb testing.TB, s Signer, payload []byte, form Form) []byte {
	tb.Helper()
	wire, err := Sign1(s, payload, form)
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

func parse(tb testing.TB, wire []byte) *Signed {
	tb.Helper()
	s, err := Parse(wire)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// craft makes a COSE_Sign1 around any headers at all, with a signature that is right.
func craft(tb testing.TB, s Signer, protected []byte, unprotected any, payload []byte) []byte {
	tb.Helper()
	sig, err := s.Sign(rand.Reader, MustMarshal([]any{"Signature1", protected, []byte{}, payload}))
	if err != nil {
		tb.Fatal(err)
	}
	return MustMarshal(cborTag(TagSign1, []any{protected, unprotected, payload, sig}))
}

// craftSign makes a COSE_Sign of one signer, likewise.
func craftSign(tb testing.TB, s Signer, body, protected []byte, unprotected any, payload []byte) []byte {
	tb.Helper()
	sig, err := s.Sign(rand.Reader, MustMarshal([]any{"Signature", body, protected, []byte{}, payload}))
	if err != nil {
		tb.Fatal(err)
	}
	return MustMarshal(cborTag(TagSign, []any{body, map[int]any{}, payload, []any{[]any{protected, unprotected, sig}}}))
}

func cborTag(number uint64, content any) Tag {
	return Tag{Number: number, Content: MustMarshal(content)}
}

func TestSignAndVerify(t *testing.T) {
	payload := []byte("payload")
	for _, alg := range append(mldsaAlgorithms, ESP256, Ed25519) {
		s, other := newSigner(t, alg), newSigner(t, alg)
		for _, form := range []Form{{}, {Untagged: true}, {Detached: true}, {CWTClaims: ConfirmationHeader(s.PublicKey())}} {
			t.Run(fmt.Sprintf("%s %+v", AlgorithmName(alg), form), func(t *testing.T) {
				one := sign1(t, s, payload, form)
				many, err := Sign([]Signer{other, s}, payload, form)
				if err != nil {
					t.Fatal(err)
				}
				for _, wire := range [][]byte{one, many} {
					checkSigned(t, parse(t, wire), payload, form, s, newSigner(t, alg))
				}
			})
		}
	}
}

func checkSigned(t *testing.T, m *Signed, payload []byte, form Form, s, stranger Signer) {
	t.Helper()
	if m.Tagged == form.Untagged {
		t.Errorf("tagged %v", m.Tagged)
	}
	verify := func(key *PublicKey) error { return m.Verify(key, false) }
	if form.Detached {
		verify = func(key *PublicKey) error { return m.VerifyDetached(payload, key, false) }
		if err := m.VerifyDetached([]byte("other"), s.PublicKey(), false); !errors.Is(err, ErrSignature) {
			t.Errorf("other content: got %v, want ErrSignature", err)
		}
		if err := m.VerifyDetached(nil, s.PublicKey(), false); !errors.Is(err, ErrSignature) {
			t.Errorf("no content: got %v, want ErrSignature", err)
		}
		if err := m.Verify(s.PublicKey(), false); !errors.Is(err, ErrMalformed) {
			t.Errorf("Verify of a detached payload: got %v, want ErrMalformed", err)
		}
	} else {
		if !bytes.Equal(m.Payload, payload) {
			t.Errorf("payload %q", m.Payload)
		}
		if err := m.VerifyDetached(payload, s.PublicKey(), false); !errors.Is(err, ErrMalformed) {
			t.Errorf("VerifyDetached of an attached payload: got %v, want ErrMalformed", err)
		}
	}
	if err := verify(s.PublicKey()); err != nil {
		t.Error(err)
	}
	if err := verify(stranger.PublicKey()); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: got %v, want ErrSignature", err)
	}
	if err := verify(nil); !errors.Is(err, ErrKey) {
		t.Errorf("no key: got %v, want ErrKey", err)
	}
	if kid, ok := m.Thumbprint(); ok == m.Multi || ok && kid != s.PublicKey().Thumbprint() {
		t.Errorf("Thumbprint() = %s, %v", kid, ok)
	}
}

func TestSignedByEveryAlgorithm(t *testing.T) {
	p256, ed, quantumSafe := newSigner(t, ESP256), newSigner(t, Ed25519), newSigner(t, MLDSA65)
	wire, err := Sign([]Signer{p256, ed, quantumSafe}, []byte("x"), Form{})
	if err != nil {
		t.Fatal(err)
	}
	m := parse(t, wire)
	for _, s := range []Signer{p256, ed, quantumSafe} {
		if err := m.Verify(s.PublicKey(), false); err != nil {
			t.Errorf("%s: %v", AlgorithmName(s.Algorithm()), err)
		}
	}
	if _, err := Sign(nil, []byte("x"), Form{}); err == nil {
		t.Error("signed by nobody")
	}
	if _, err := Sign1(ed, nil, Form{}); err == nil {
		t.Error("signed no payload")
	}
}

func TestLegacyAlgorithms(t *testing.T) {
	tests := []struct {
		named, key Algorithm
	}{{LegacyES256, ESP256}, {LegacyEdDSA, Ed25519}}
	for _, tt := range tests {
		s := newSigner(t, tt.key)
		m := parse(t, craft(t, s, MustMarshal(map[int]any{1: tt.named}), map[int]any{}, []byte("x")))
		if err := m.Verify(s.PublicKey(), AllowLegacy); err != nil {
			t.Errorf("%s where allowed: %v", AlgorithmName(tt.named), err)
		}
		if err := m.Verify(s.PublicKey(), false); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s where not allowed: got %v, want ErrAlgorithm", AlgorithmName(tt.named), err)
		}
	}
}

func TestAlgorithmMustFitTheKey(t *testing.T) {
	for _, tt := range []struct{ named, key Algorithm }{
		{Ed25519, ESP256}, {ESP256, Ed25519}, {LegacyEdDSA, ESP256}, {LegacyES256, Ed25519}, {-35, ESP256}, {0, ESP256}, {5, ESP256},
		{MLDSA44, ESP256}, {HSSLMS, Ed25519}, {ESP256, MLDSA44}, {LegacyES256, MLDSA44}, {MLDSA65, MLDSA44}, {HSSLMS, MLDSA87},
	} {
		s := newSigner(t, tt.key)
		m := parse(t, craft(t, s, MustMarshal(map[int]any{1: tt.named}), map[int]any{}, []byte("x")))
		if err := m.Verify(s.PublicKey(), AllowLegacy); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("%s under a key for %s: got %v, want ErrAlgorithm", AlgorithmName(tt.named), AlgorithmName(tt.key), err)
		}
	}
}

// TestParseRefuses holds messages whose signature is right.
func TestParseRefuses(t *testing.T) {
	s := newSigner(t, ESP256)
	kid := s.PublicKey().thumbprint[:]
	none := map[int]any{}
	alg := func(more string, n byte) []byte { return unhex(t, fmt.Sprintf("%02x 0128", 0xa1+n)+more) }
	tests := []struct {
		name        string
		protected   []byte
		unprotected any
		want        error
	}{
		{"alg only unprotected", nil, map[int]any{1: ESP256}, ErrAlgorithm},
		{"alg only unprotected beside an empty map", unhex(t, "a0"), map[int]any{1: ESP256}, ErrAlgorithm},
		{"no alg", nil, none, ErrAlgorithm},
		{"alg in both", alg("", 0), map[int]any{1: ESP256}, ErrMalformed},
		{"alg that is text", unhex(t, "a1 01 65 4553323536"), none, ErrAlgorithm},
		{"alg null", unhex(t, "a1 01 f6"), none, ErrMalformed},
		{"kid in both", alg("04 41aa", 1), map[int]any{4: []byte{0xaa}}, ErrMalformed},
		{"another label in both", alg("1903e7 00", 1), map[int]any{999: 0}, ErrMalformed},
		{"a text label in both", alg("6161 00", 1), map[string]any{"a": 0}, ErrMalformed},
		{"kid that is text", alg("", 0), map[int]any{4: "key"}, ErrMalformed},
		{"kid null", alg("", 0), map[int]any{4: nil}, ErrMalformed},
		{"unknown crit", alg("02 81 1903e7 1903e7 00", 2), none, ErrCritical},
		{"unknown text crit", alg("02 81 6161 6161 00", 2), none, ErrCritical},
		{"crit that names itself", alg("02 81 02", 1), none, ErrCritical},
		{"one unknown crit of two", alg("02 82 01 10 10 00", 2), none, ErrCritical},
		{"crit of an absent label", alg("02 81 04", 1), map[int]any{4: kid}, ErrMalformed},
		{"empty crit", alg("02 80", 1), none, ErrMalformed},
		{"crit that is no array", alg("02 01", 1), none, ErrMalformed},
		{"crit of an array", alg("02 81 80", 1), none, ErrMalformed},
		{"crit unprotected", alg("", 0), map[int]any{2: []int{1}}, ErrMalformed},
		{"duplicate key in the protected header", unhex(t, "a2 0128 0128"), none, ErrMalformed},
		{"duplicate key inside the protected header", alg("0f a2 0101 0101", 1), none, ErrMalformed},
		{"longer key in the protected header", unhex(t, "a1 180128"), none, ErrMalformed},
		{"indefinite protected header", unhex(t, "bf 0128 ff"), none, ErrMalformed},
		{"trailing byte in the protected header", alg("00", 0), none, ErrMalformed},
		{"protected header that is no map", unhex(t, "80"), none, ErrMalformed},
		{"protected header beyond the depth", alg("0f"+nest(MaxDepth), 1), none, ErrMalformed},
		{"element bomb in the protected header", alg("0f 991001"+strings.Repeat("00", 4097), 1), none, ErrMalformed},
		{"length bomb in the protected header", alg("0f 9affffffff", 1), none, ErrMalformed},
		{"duplicate key in the unprotected header", alg("", 0), RawMessage(unhex(t, "a2 0441aa 0441aa")), ErrMalformed},
		{"duplicate key inside the unprotected header", alg("", 0), RawMessage(unhex(t, "a1 05 a2 0101 0102")), ErrMalformed},
		{"unprotected header that is no map", alg("", 0), []int{}, ErrMalformed},
		{"protected header over the cap", MustMarshal(map[int]any{1: ESP256, 99: make([]byte, MaxHeader)}), none, ErrMalformed},
		{"unprotected header over the cap", alg("", 0), map[int]any{99: make([]byte, MaxHeader)}, ErrMalformed},
		{"byte string label", alg("41aa 00", 1), none, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, wire := range map[string][]byte{
				"COSE_Sign1": craft(t, s, tt.protected, tt.unprotected, []byte("x")),
				"COSE_Sign":  craftSign(t, s, nil, tt.protected, tt.unprotected, []byte("x")),
			} {
				if _, err := Parse(wire); !errors.Is(err, tt.want) {
					t.Errorf("%s: got %v, want %v", kind, err, tt.want)
				}
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	s := newSigner(t, ESP256)
	kid := s.PublicKey().thumbprint[:]
	for name, headers := range map[string][2]any{
		"no kid":               {"a10128", map[int]any{}},
		"kid protected":        {"a201280458 20" + s.PublicKey().Thumbprint().String(), map[int]any{}},
		"kid unprotected":      {"a10128", map[int]any{4: kid}},
		"kid of another kind":  {"a10128", map[int]any{4: []byte("11")}},
		"known crit":           {"a20128028101", map[int]any{}},
		"large unprotected":    {"a10128", map[int]any{99: make([]byte, MaxHeader-10)}},
		"unknown not critical": {"a201281903e700", map[int]any{998: "x"}},
		"map out of order":     {"a204410101 28", map[int]any{}},
	} {
		protected := unhex(t, headers[0].(string))
		for _, wire := range [][]byte{
			craft(t, s, protected, headers[1], []byte("x")),
			craftSign(t, s, nil, protected, headers[1], []byte("x")),
		} {
			m := parse(t, wire)
			if err := m.Verify(s.PublicKey(), false); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			agree(t, wire, m)
		}
	}
}

func TestParseRefusesStructures(t *testing.T) {
	s := newSigner(t, ESP256)
	good := parseParts(t, sign1(t, s, []byte("x"), Form{Untagged: true}))
	many, err := Sign([]Signer{s}, []byte("x"), Form{Untagged: true})
	if err != nil {
		t.Fatal(err)
	}
	sign := parseParts(t, many)
	signature := parseParts(t, sign[3])[0]
	with := func(parts []RawMessage, i int, item string) []RawMessage {
		parts = append([]RawMessage{}, parts...)
		parts[i] = unhex(t, item)
		return parts
	}
	repeat := func(n int) []RawMessage {
		return []RawMessage{sign[0], sign[1], sign[2], MustMarshal(bytesOf(signature, n))}
	}
	for name, v := range map[string]any{
		"empty array":                   []int{},
		"three elements":                good[:3],
		"five elements":                 append(append([]RawMessage{}, good...), good[3]),
		"a map":                         map[int]int{},
		"another tag":                   cborTag(17, good),
		"COSE_Sign1 under 98":           cborTag(TagSign, good),
		"COSE_Sign under 18":            cborTag(TagSign1, sign),
		"two tags":                      cborTag(TagSign1, cborTag(TagSign1, good)),
		"payload undefined":             with(good, 2, "f7"),
		"payload text":                  with(good, 2, "6178"),
		"payload tagged":                with(good, 2, "c641aa"),
		"payload an array of numbers":   with(good, 2, "8101"),
		"signature empty":               with(good, 3, "40"),
		"signature null":                with(good, 3, "f6"),
		"signature text":                with(good, 3, "6178"),
		"protected null":                with(good, 0, "f6"),
		"protected a map":               with(good, 0, "a10128"),
		"protected truncated":           with(good, 0, "42a101"),
		"COSE_Sign without signatures":  with(sign, 3, "80"),
		"COSE_Sign with a null":         with(sign, 3, "81f6"),
		"COSE_Sign with an empty array": with(sign, 3, "8180"),
		"COSE_Sign with an empty one":   with(sign, 3, "818343a10128a040"),
		"COSE_Sign body critical":       with(sign, 0, "4aa202811903e71903e700"),
		"too many signatures":           repeat(MaxSignatures + 1),
	} {
		want := ErrMalformed
		if name == "COSE_Sign body critical" {
			want = ErrCritical
		}
		if _, err := Parse(MustMarshal(v)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	if err := parse(t, MustMarshal(repeat(MaxSignatures))).Verify(s.PublicKey(), false); err != nil {
		t.Errorf("as many signatures as allowed: %v", err)
	}
}

func parseParts(t *testing.T, item []byte) []RawMessage {
	t.Helper()
	parts, err := Elements(item)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func bytesOf(item RawMessage, n int) []RawMessage {
	var list []RawMessage
	for range n {
		list = append(list, item)
	}
	return list
}

func TestTruncatedAndChanged(t *testing.T) {
	for _, alg := range []Algorithm{ESP256, Ed25519} {
		s := newSigner(t, alg)
		key := s.PublicKey()
		many, err := Sign([]Signer{s}, []byte("payload"), Form{})
		if err != nil {
			t.Fatal(err)
		}
		for _, wire := range [][]byte{sign1(t, s, []byte("payload"), Form{}), many} {
			for n := range wire {
				if _, err := Parse(wire[:n]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("cut to %d bytes: got %v, want ErrMalformed", n, err)
				}
			}
			if _, err := Parse(append(bytes.Clone(wire), 0)); !errors.Is(err, ErrMalformed) {
				t.Errorf("trailing byte: got %v, want ErrMalformed", err)
			}
			for i := range wire {
				for bit := range 8 {
					changed := bytes.Clone(wire)
					changed[i] ^= 1 << bit
					m, err := Parse(changed)
					if err != nil || m.Verify(key, AllowLegacy) != nil {
						continue
					}
					// Only the unprotected header is not signed.
					if !bytes.Equal(m.Payload, []byte("payload")) || bytes.Equal(m.Signatures[0].KeyID, key.thumbprint[:]) {
						t.Fatalf("byte %d bit %d changed, and it verifies", i, bit)
					}
				}
			}
		}
	}
}

func TestParseDoesNotAlias(t *testing.T) {
	s := newSigner(t, ESP256)
	many, err := Sign([]Signer{s}, []byte("payload"), Form{CWTClaims: ConfirmationHeader(s.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	for _, wire := range [][]byte{sign1(t, s, []byte("payload"), Form{CWTClaims: ConfirmationHeader(s.PublicKey())}), many} {
		m := parse(t, wire)
		clear(wire)
		if err := m.Verify(s.PublicKey(), false); err != nil || string(m.Payload) != "payload" {
			t.Errorf("the message changed with the buffer it came from: %v", err)
		}
		if key, err := m.Signatures[0].ConfirmationKey(); err != nil || !key.Equal(s.PublicKey()) {
			t.Errorf("the claims changed with the buffer: %v", err)
		}
	}
}

func TestVerifyConcurrently(t *testing.T) {
	s, other := newSigner(t, ESP256), newSigner(t, Ed25519)
	wire, err := Sign([]Signer{s, other}, []byte("payload"), Form{})
	if err != nil {
		t.Fatal(err)
	}
	m := parse(t, wire)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, key := range []*PublicKey{s.PublicKey(), other.PublicKey()} {
				if err := m.Verify(key, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAnotherKeyIDIsPassedOver(t *testing.T) {
	s, other := newSigner(t, ESP256), newSigner(t, ESP256)
	kid := other.PublicKey().thumbprint[:]
	m := parse(t, craft(t, s, unhex(t, "a10128"), map[int]any{4: kid}, []byte("x")))
	if err := m.Verify(s.PublicKey(), false); !errors.Is(err, ErrSignature) {
		t.Errorf("signed by this key, naming another: got %v, want ErrSignature", err)
	}
}

func TestConfirmationKey(t *testing.T) {
	s := newSigner(t, Ed25519)
	m := parse(t, sign1(t, s, []byte("x"), Form{CWTClaims: ConfirmationHeader(s.PublicKey())}))
	key, err := m.Signatures[0].ConfirmationKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(key, false); err != nil {
		t.Error(err)
	}
	if want := MustMarshal(map[int]any{8: map[int]any{1: s.PublicKey()}}); !bytes.Equal(m.Signatures[0].CWTClaims, want) {
		t.Errorf("claims %x, want %x", m.Signatures[0].CWTClaims, want)
	}
	for name, header := range map[string]string{
		"no claims":             "a10132",
		"claims are no map":     "a201320f80",
		"no cnf":                "a201320fa10101",
		"cnf is no map":         "a201320fa10801",
		"cnf has a kid only":    "a201320fa108a10341aa",
		"cnf has no usable key": "a201320fa108a101a10104",
	} {
		m := parse(t, craft(t, s, unhex(t, header), map[int]any{}, []byte("x")))
		if _, err := m.Signatures[0].ConfirmationKey(); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
	unprotected := craft(t, s, unhex(t, "a10132"), map[int]any{15: ConfirmationHeader(s.PublicKey())}, []byte("x"))
	if _, err := parse(t, unprotected).Signatures[0].ConfirmationKey(); !errors.Is(err, ErrKey) {
		t.Errorf("unprotected claims: got %v, want ErrKey", err)
	}
}

// FuzzParse: what parses tells the truth about itself and never verifies under a
// key that was made after it.
func FuzzParse(f *testing.F) {
	p256, ed := newSigner(f, ESP256), newSigner(f, Ed25519)
	f.Add(sign1(f, p256, []byte("payload"), Form{}))
	f.Add(sign1(f, ed, []byte("payload"), Form{Untagged: true, Detached: true}))
	f.Add(sign1(f, ed, []byte("payload"), Form{CWTClaims: ConfirmationHeader(ed.PublicKey())}))
	for _, claims := range oddCWTClaims() {
		f.Add(sign1(f, ed, []byte("payload"), Form{CWTClaims: claims}))
	}
	many, err := Sign([]Signer{p256, ed}, []byte("payload"), Form{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(many)
	for _, data := range vectorFiles(f) {
		f.Add(data)
	}
	stranger := newSigner(f, ESP256).PublicKey()
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrAlgorithm) && !errors.Is(err, ErrCritical) {
				t.Fatalf("refused without a sentinel: %v", err)
			}
			return
		}
		if len(m.Signatures) == 0 || len(m.Signatures) > MaxSignatures || !m.Multi && len(m.Signatures) != 1 {
			t.Fatalf("%d signatures", len(m.Signatures))
		}
		if m.Verify(stranger, AllowLegacy) == nil {
			t.Fatal("verified under a key that nobody signed with")
		}
		agree(t, data, m)
		for _, s := range m.Signatures {
			if _, err := s.ConfirmationKey(); err != nil && !errors.Is(err, ErrKey) {
				t.Fatalf("confirmation key: %v", err)
			}
		}
	})
}
