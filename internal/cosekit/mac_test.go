package cosekit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func secretKey(tb testing.TB, k, kid string) *SecretKey {
	tb.Helper()
	var id []byte
	if kid != "" {
		id = []byte(kid)
	}
	key, err := NewSecretKey(unhex(tb, k), id)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

const (
	secretA = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	secretB = "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100"
)

func TestMac0(t *testing.T) {
	key, stranger := secretKey(t, secretA, ""), secretKey(t, secretB, "")
	for _, payload := range [][]byte{{}, []byte("payload"), make([]byte, 70000)} {
		for _, form := range []Form{{}, {Untagged: true}, {Detached: true}, {CWTClaims: RawMessage{0xa0}}} {
			wire, err := Mac0(key, payload, form)
			if err != nil {
				t.Fatal(err)
			}
			m, err := ParseMAC(wire)
			if err != nil {
				t.Fatal(err)
			}
			verify, other := m.Verify, func(k *SecretKey) error { return m.VerifyDetached(payload, k) }
			if form.Detached {
				verify, other = other, verify
			}
			if err := verify(key); err != nil {
				t.Errorf("%+v: %v", form, err)
			}
			if err := verify(stranger); !errors.Is(err, ErrMAC) {
				t.Errorf("%+v under another key: %v", form, err)
			}
			if err := other(key); !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v the other way: %v", form, err)
			}
			if m.Tagged == form.Untagged || m.Multi || m.Algorithm != HMAC256 || len(m.KeyIDs) != 1 || !bytes.Equal(m.KeyIDs[0], key.KeyID()) {
				t.Errorf("%+v: parsed %+v", form, m)
			}
		}
	}
	if _, err := Mac0(key, nil, Form{}); err == nil {
		t.Error("no payload is taken")
	}
	if _, err := Mac0(nil, []byte("x"), Form{}); !errors.Is(err, ErrKey) {
		t.Errorf("no key: %v", err)
	}
	if _, err := Parse(mac0(t, key, Form{Untagged: true})); !errors.Is(err, ErrAlgorithm) && err != nil {
		t.Errorf("an untagged COSE_Mac0 as a signature: %v", err)
	}
}

func mac0(tb testing.TB, key *SecretKey, form Form) []byte {
	tb.Helper()
	wire, err := Mac0(key, []byte("payload"), form)
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

// TestMACChanged: whatever changes, it does not verify, but for the kid, which says
// where to look for the key.
func TestMACChanged(t *testing.T) {
	key := secretKey(t, secretA, "")
	wire := mac0(t, key, Form{})
	for i := range wire {
		for bit := range 8 {
			changed := bytes.Clone(wire)
			changed[i] ^= 1 << bit
			m, err := ParseMAC(changed)
			if err != nil || m.Verify(key) != nil {
				continue
			}
			if len(m.KeyIDs) == 1 && bytes.Equal(m.KeyIDs[0], key.KeyID()) {
				t.Fatalf("bit %d of byte %d changed and it verifies", bit, i)
			}
		}
		if _, err := ParseMAC(wire[:i]); err == nil {
			t.Fatalf("cut to %d bytes and it parses", i)
		}
	}
}

// craftMAC makes a COSE_Mac over "payload".
func craftMAC(tb testing.TB, secret string, recipients any) []byte {
	tb.Helper()
	protected := []byte{0xa1, 1, 5}
	tag := macs[HMAC256].tag(unhex(tb, secret), sigStructure("MAC", []byte("payload"), protected))
	return MustMarshal(cborTag(TagMAC, []any{protected, map[int]any{}, []byte("payload"), tag, recipients}))
}

func TestMACRecipients(t *testing.T) {
	kek := secretKey(t, secretB, "kek")
	wrap := func(secret string) []byte {
		wrapped, err := wrapKey(unhex(t, secretB), unhex(t, secret))
		if err != nil {
			t.Fatal(err)
		}
		return wrapped
	}
	recipient := func(alg int, kid string, wrapped []byte) []any {
		headers := map[int]any{1: alg}
		if kid != "" {
			headers[4] = []byte(kid)
		}
		return []any{[]byte{}, headers, wrapped}
	}
	foreign := []any{[]byte{0xa1, 1, 0x38, 0x1c}, map[int]any{}, make([]byte, 40)} // ECDH-ES+A128KW
	good := wrap(secretA)
	changed := bytes.Clone(good)
	changed[9] ^= 1
	ask := func(key *SecretKey, recipients ...any) error {
		m, err := ParseMAC(craftMAC(t, secretA, recipients))
		if err != nil {
			return err
		}
		return m.Verify(key)
	}
	direct := secretKey(t, secretA, "")
	short, err := ParseMAC(craftMAC(t, secretA[:32], []any{recipient(-5, "", wrap(secretA[:32]))}))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  error
		want error
	}{
		"direct":                       {ask(direct, recipient(-6, "", nil)), nil}, // with null for its key
		"direct with an empty string":  {ask(direct, recipient(-6, "", []byte{})), nil},
		"direct with a kid":            {ask(direct, recipient(-6, "mine", []byte{})), nil},
		"direct with a key":            {ask(direct, recipient(-6, "", good)), ErrMalformed},
		"direct, another key":          {ask(kek, recipient(-6, "", []byte{})), ErrMAC},
		"two direct":                   {ask(direct, recipient(-6, "", []byte{}), recipient(-6, "", []byte{})), ErrMalformed},
		"wrapped":                      {ask(kek, recipient(-5, "kek", good)), nil},
		"wrapped, no kid":              {ask(kek, recipient(-5, "", good)), nil},
		"wrapped, for another":         {ask(kek, recipient(-5, "other", good)), ErrMAC},
		"wrapped, behind a foreign":    {ask(kek, foreign, recipient(-5, "kek", good)), nil},
		"foreign only":                 {ask(kek, foreign), ErrAlgorithm},
		"wrapped, changed":             {ask(kek, recipient(-5, "kek", changed)), ErrMAC},
		"wrapped, cut":                 {ask(kek, recipient(-5, "kek", good[:39])), ErrMAC},
		"wrapped, as A128KW":           {ask(kek, recipient(-3, "kek", good)), ErrKey},
		"wrapped, another secret":      {ask(kek, recipient(-5, "kek", wrap(secretB))), ErrMAC},
		"wrapped, a short secret":      {short.Verify(kek), ErrMAC},
		"no recipient":                 {ask(kek), ErrMalformed},
		"17 recipients":                {ask(kek, bytesOf17(recipient(-5, "kek", good))...), ErrMalformed},
		"a recipient that is no array": {ask(kek, 7), ErrMalformed},
		"a kid that is text":           {ask(kek, []any{[]byte{}, map[int]any{1: -5, 4: "kek"}, good}), ErrMalformed},
		"a protected header":           {ask(kek, []any{[]byte{0xa1, 1, 0x24}, map[int]any{}, good}), ErrAlgorithm},
	} {
		if !errors.Is(c.got, c.want) || c.want == nil && c.got != nil {
			t.Errorf("%s: got %v, want %v", name, c.got, c.want)
		}
	}
}

func bytesOf17(one any) (all []any) {
	for range 17 {
		all = append(all, one)
	}
	return all
}

func TestParseMACRefuses(t *testing.T) {
	tag := make([]byte, 32)
	good := []byte{0xa1, 1, 5}
	mac := func(number uint64, content ...any) []byte {
		if number == 0 {
			return MustMarshal(content)
		}
		return MustMarshal(cborTag(number, content))
	}
	none := map[int]any{}
	for name, c := range map[string]struct {
		wire []byte
		want error
	}{
		"nothing":                {nil, ErrMalformed},
		"a map":                  {MustMarshal(none), ErrMalformed},
		"a COSE_Sign1":           {mac(TagSign1, good, none, []byte("x"), tag), ErrMalformed},
		"a COSE_Mac without any": {mac(TagMAC, good, none, []byte("x"), tag), ErrMalformed},
		"a COSE_Mac0 with some":  {mac(TagMAC0, good, none, []byte("x"), tag, []any{}), ErrMalformed},
		"3 elements":             {mac(0, good, none, []byte("x")), ErrMalformed},
		"text for a payload":     {mac(0, good, none, "x", tag), ErrMalformed},
		"a short tag":            {mac(0, good, none, []byte("x"), tag[:31]), ErrMalformed},
		"a long tag":             {mac(0, good, none, []byte("x"), append(tag, 0)), ErrMalformed},
		"no tag":                 {mac(0, good, none, []byte("x"), nil), ErrMalformed},
		"alg unprotected":        {mac(0, []byte{}, map[int]any{1: 5}, []byte("x"), tag), ErrAlgorithm},
		"no alg":                 {mac(0, []byte{}, none, []byte("x"), tag), ErrAlgorithm},
		"HMAC 256/64":            {mac(0, []byte{0xa1, 1, 4}, none, []byte("x"), tag[:8]), ErrAlgorithm},
		"ESP256":                 {mac(0, []byte{0xa1, 1, 0x28}, none, []byte("x"), tag), ErrAlgorithm},
		"an unknown critical":    {mac(0, []byte{0xa3, 1, 5, 2, 0x81, 0x18, 99, 0x18, 99, 0}, none, []byte("x"), tag), ErrCritical},
		"kid in both":            {mac(0, []byte{0xa2, 1, 5, 4, 0x41, 1}, map[int]any{4: []byte{2}}, []byte("x"), tag), ErrMalformed},
		"protected no map":       {mac(0, []byte{7}, none, []byte("x"), tag), ErrMalformed},
		"a large header":         {mac(0, good, map[int]any{99: make([]byte, MaxHeader)}, []byte("x"), tag), ErrMalformed},
		"recipients no array":    {mac(TagMAC, good, none, []byte("x"), tag, none), ErrMalformed},
	} {
		if m, err := ParseMAC(c.wire); !errors.Is(err, c.want) || m != nil {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// TestPublishedMACs: the examples of cose-wg that authenticate with HMAC 256/256 as it
// is taken here.
func TestPublishedMACs(t *testing.T) {
	dir := vectorDir(t, "cose")
	outcomes := map[string]error{
		"mac0-test.HMac-01":     nil,
		"mac0-test.mac-fail-01": ErrMalformed, // another tag
		"mac0-test.mac-fail-02": ErrMAC,       // changed tag
		"mac0-test.mac-fail-03": ErrAlgorithm, // an algorithm that does not exist
		"mac0-test.mac-fail-04": ErrAlgorithm, // an algorithm that is text
		"mac0-test.mac-fail-06": ErrMAC,       // protected header added
		"mac0-test.mac-fail-07": ErrMAC,       // protected header removed
		"mac0-test.mac-pass-01": ErrAlgorithm, // alg stands in the unprotected header only
		"mac0-test.mac-pass-02": ErrAlgorithm,
		"mac0-test.mac-pass-03": ErrAlgorithm,
	}
	key := secretKey(t, "849b57219dae48de646d07dbb533566e976686457c1491be3a76dcea6c427188", "our-secret")
	for name, want := range outcomes {
		data, err := os.ReadFile(filepath.Join(dir, name+".cbor"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseMAC(data)
		if err == nil {
			err = m.Verify(key)
		}
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
}

// TestPublishedMACOfEnvelope verifies the authentication block of an envelope of
// draft-ietf-suit-firmware-encryption section 9 over its digest.
func TestPublishedMACOfEnvelope(t *testing.T) {
	dir := vectorDir(t, "suit-firmware-encryption")
	key, err := ParseSecretKey(unhex(t, "a201042058206161616161616161616161616161616161616161616161616161616161616161"))
	if err != nil {
		t.Fatal(err)
	}
	if got := key.Thumbprint().String(); got != "afd825175fa704a13bfa717d45e0d76b8d6a4d7106e1c78635a211acdd488df0" {
		t.Errorf("thumbprint %s", got)
	}
	for _, name := range []string{"manifest-aes-kw-content", "manifest-aes-kw", "manifest-aes-kw-slot"} {
		data, err := os.ReadFile(filepath.Join(dir, name+".cbor"))
		if err != nil {
			t.Fatal(err)
		}
		wrapper, err := member(data[2:], 2)
		if err != nil {
			t.Fatal(err)
		}
		parts := parseParts(t, stringContent(wrapper))
		m, err := ParseMAC(stringContent(parts[1]))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.VerifyDetached(stringContent(parts[0]), key); err != nil || len(m.KeyIDs) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseMAC: what parses and verifies says what was authenticated.
func FuzzParseMAC(f *testing.F) {
	key := secretKey(f, secretA, "")
	f.Add(mac0(f, key, Form{}))
	f.Add(mac0(f, key, Form{Untagged: true, CWTClaims: RawMessage{0xa0}}))
	f.Add(craftMAC(f, secretA, []any{[]any{[]byte{}, map[int]any{1: -6}, []byte{}}}))
	for _, data := range vectorFiles(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMAC(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrAlgorithm) && !errors.Is(err, ErrCritical) {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if m.Payload != nil && m.Verify(key) == nil && string(m.Payload) != "payload" {
			t.Fatalf("verifies over %x", m.Payload)
		}
		_ = m.VerifyDetached([]byte("x"), key)
	})
}

func TestSecretKeyRefused(t *testing.T) {
	k := unhex(t, secretA)
	for name, members := range map[string]map[int]any{
		"no kty":         {-1: k},
		"kty EC2":        {1: 2, -1: k},
		"no k":           {1: 4},
		"k text":         {1: 4, -1: secretA},
		"15 bytes":       {1: 4, -1: k[:15]},
		"65 bytes":       {1: 4, -1: make([]byte, 65)},
		"an empty kid":   {1: 4, -1: k, 2: []byte{}},
		"a long kid":     {1: 4, -1: k, 2: make([]byte, 65)},
		"kid text":       {1: 4, -1: k, 2: "kid"},
		"alg text":       {1: 4, -1: k, 3: "HS256"},
		"alg 0":          {1: 4, -1: k, 3: 0},
		"alg A128KW":     {1: 4, -1: k, 3: -3},
		"key_ops number": {1: 4, -1: k, 4: 9},
	} {
		key, err := ParseSecretKey(MustMarshal(members))
		if !errors.Is(err, ErrKey) || key != nil {
			t.Errorf("%s: got %v, %v, want ErrKey", name, key, err)
		}
		if err != nil && bytes.Contains([]byte(err.Error()), []byte(secretA[:8])) {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
}

// TestSecretKeyForOneUse: what a key says of itself holds.
func TestSecretKeyForOneUse(t *testing.T) {
	k := unhex(t, secretA)
	parse := func(members map[int]any) *SecretKey {
		members[1], members[-1] = 4, k
		key, err := ParseSecretKey(MustMarshal(members))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	wire := mac0(t, secretKey(t, secretA, ""), Form{})
	wrapped := func(key *SecretKey) error { _, err := key.forUse(A256KW, opUnwrapKey); return err }
	for name, c := range map[string]struct {
		key                *SecretKey
		make, verify, wrap error
	}{
		"any":         {parse(map[int]any{}), nil, nil, nil},
		"HMAC":        {parse(map[int]any{3: 5}), nil, nil, ErrKey},
		"A256KW":      {parse(map[int]any{3: -5}), ErrKey, ErrKey, nil},
		"MAC verify":  {parse(map[int]any{4: []int{10}}), ErrKey, nil, ErrKey},
		"MAC both":    {parse(map[int]any{3: 5, 4: []int{9, 10}}), nil, nil, ErrKey},
		"unwrap":      {parse(map[int]any{4: []any{"x", 6}}), ErrKey, ErrKey, nil},
		"nothing":     {parse(map[int]any{4: []int{}}), ErrKey, ErrKey, ErrKey},
		"another alg": {parse(map[int]any{3: 6}), ErrKey, ErrKey, ErrKey},
	} {
		m, err := ParseMAC(wire)
		if err != nil {
			t.Fatal(err)
		}
		_, made := Mac0(c.key, []byte("x"), Form{})
		for i, pair := range [][2]error{{made, c.make}, {m.Verify(c.key), c.verify}, {wrapped(c.key), c.wrap}} {
			if got, want := pair[0], pair[1]; !errors.Is(got, want) || want == nil && got != nil {
				t.Errorf("%s, use %d: got %v, want %v", name, i, got, want)
			}
		}
	}
}

func TestSecretKeyIsNotPrinted(t *testing.T) {
	key := secretKey(t, secretA, "kid")
	for _, text := range printed(key) {
		for _, form := range []string{secretA[8:16], hex.EncodeToString([]byte(secretA))[:16], "4 5 6 7", "0x04, 0x05"} {
			if bytes.Contains([]byte(text), []byte(form)) {
				t.Errorf("printed: %s", text)
			}
		}
	}
}

func TestSecretKeyFiles(t *testing.T) {
	dir := t.TempDir()
	for alg, size := range map[Algorithm]int{HMAC256: 32, A128KW: 16, A192KW: 24, A256KW: 32} {
		path := filepath.Join(dir, AlgorithmName(alg)[:2]+AlgorithmName(alg)[2:4]+".key")
		made, err := CreateSecretKeyFile(path, alg)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := LoadSecretKey(path)
		if err != nil || loaded.Thumbprint() != made.Thumbprint() || len(loaded.k) != size || loaded.alg != alg {
			t.Errorf("%s: %v, %v", AlgorithmName(alg), loaded, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v: %v", info.Mode(), err)
		}
		if _, err := CreateSecretKeyFile(path, alg); !errors.Is(err, os.ErrExist) {
			t.Errorf("over a file: %v", err)
		}
	}
	if _, err := CreateSecretKeyFile(filepath.Join(dir, "x"), ESP256); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("for ESP256: %v", err)
	}
	binary := filepath.Join(dir, "binary")
	want := secretKey(t, secretA, "")
	if err := os.WriteFile(binary, MustMarshal(map[int]any{1: 4, -1: want.k}), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadSecretKey(binary); err != nil || got.Thumbprint() != want.Thumbprint() {
		t.Errorf("binary: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "a bare secret": secretA, "text": "secret"} {
		path := filepath.Join(dir, "bad "+name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadSecretKey(path)
		if !errors.Is(err, ErrKey) || !bytes.Contains([]byte(err.Error()), []byte(path)) || bytes.Contains([]byte(err.Error()), []byte(secretA[:8])) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func printed(key *SecretKey) (texts []string) {
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "value", *key)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "value", *key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, key), fmt.Sprintf(verb, []*SecretKey{key}), fmt.Sprintf(verb, *key))
	}
	return append(texts, log.String())
}
