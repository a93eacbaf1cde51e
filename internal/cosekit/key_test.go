package cosekit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The key of RFC 9679 section 6, and keys of both algorithms in pieces.
const (
	rfc9679X     = "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"
	rfc9679Y     = "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"
	rfc9679Thumb = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"
	edX          = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	edD          = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
)

func TestThumbprintOfRFC9679(t *testing.T) {
	// The example carries a kid, which does not count.
	key, err := ParsePublicKey(unhex(t, "a5 0102 2001 215820"+rfc9679X+"225820"+rfc9679Y+"0258246d65726961646f632e6272616e64796275636b406275636b6c616e642e6578616d706c65"))
	if err != nil {
		t.Fatal(err)
	}
	if got := key.Thumbprint().String(); got != rfc9679Thumb {
		t.Errorf("thumbprint %s, want %s", got, rfc9679Thumb)
	}
}

func TestParsePublicKey(t *testing.T) {
	ec, okp := "0102 2001 215820"+rfc9679X, "0101 2006 215820"+edX
	tests := []struct {
		name, key string
		want      error
	}{
		{"P-256", "a4" + ec + "225820" + rfc9679Y, nil},
		{"P-256 with alg ESP256", "a5" + ec + "225820" + rfc9679Y + "0328", nil},
		{"P-256 with alg ES256", "a5" + ec + "225820" + rfc9679Y + "0326", nil},
		{"P-256 with an unknown member", "a5" + ec + "225820" + rfc9679Y + "616101", nil},
		{"P-256 to verify with", "a5" + ec + "225820" + rfc9679Y + "048102", nil},
		{"P-256 to sign with", "a5" + ec + "225820" + rfc9679Y + "048101", ErrKey},
		{"P-256 with key_ops that is no array", "a5" + ec + "225820" + rfc9679Y + "0402", ErrKey},
		{"P-256 with alg Ed25519", "a5" + ec + "225820" + rfc9679Y + "0332", ErrKey},
		{"P-256 with alg null", "a5" + ec + "225820" + rfc9679Y + "03f6", ErrKey},
		{"compressed", "a4" + ec + "22f4", nil},
		{"compressed the other way", "a4" + ec + "22f5", nil},
		{"compressed with null", "a4" + ec + "22f6", ErrKey},
		{"compressed, not on the curve", "a4 0102 2001 215820" + strings.Repeat("ff", 32) + "22f4", ErrKey},
		{"not on the curve", "a4" + ec + "225820" + rfc9679X, ErrKey},
		{"the point at infinity", "a4 0102 2001 215820" + strings.Repeat("00", 32) + "225820" + strings.Repeat("00", 32), ErrKey},
		{"y too long", "a4" + ec + "22582100" + rfc9679Y, ErrKey},
		{"y too short", "a4" + ec + "22581f" + rfc9679Y[2:], ErrKey},
		{"x too short", "a4 0102 2001 21581f" + rfc9679X[2:] + "225820" + rfc9679Y, ErrKey},
		{"x an array", "a4 0102 2001 218101 225820" + rfc9679Y, ErrKey},
		{"no y", "a3" + ec, ErrKey},
		{"no x", "a2 0102 2001", ErrKey},
		{"no crv", "a2 0102 215820" + rfc9679X, ErrKey},
		{"no kty", "a1 2001", ErrKey},
		{"private P-256", "a5" + ec + "225820" + rfc9679Y + "2341aa", ErrKey},
		{"P-384", "a4 0102 2002 215820" + rfc9679X + "225820" + rfc9679Y, ErrKey},
		{"Ed25519", "a3" + okp, nil},
		{"Ed25519 with alg Ed25519", "a4" + okp + "0332", nil},
		{"Ed25519 with alg ES256", "a4" + okp + "0326", ErrKey},
		{"private Ed25519", "a4" + okp + "235820" + edD, ErrKey},
		{"Ed25519 too short", "a3 0101 2006 21581f" + edX[2:], ErrKey},
		{"X25519", "a3 0101 2004 215820" + edX, ErrKey},
		{"Ed25519 curve with kty EC2", "a3 0102 2006 215820" + edX, ErrKey},
		{"symmetric", "a2 0104 2041aa", ErrKey},
		{"duplicate member", "a4" + okp + "0101", ErrKey},
		{"trailing byte", "a3" + okp + "00", ErrKey},
		{"not a map", "80", ErrKey},
		{"empty", "", ErrKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := ParsePublicKey(unhex(t, tt.key))
			if !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil {
				if key != nil {
					t.Error("a key beside the error")
				}
				return
			}
			again, err := ParsePublicKey(key.COSEKey())
			if err != nil || !again.Equal(key) {
				t.Errorf("COSEKey does not parse back: %v", err)
			}
			fromPEM, err := ReadPublicKey(key.PEM())
			if err != nil || !fromPEM.Equal(key) {
				t.Errorf("PEM does not parse back: %v", err)
			}
			var decoded PublicKey
			if err := Unmarshal(MustMarshal(key), &decoded); err != nil || !decoded.Equal(key) {
				t.Errorf("CBOR does not decode back: %v", err)
			}
		})
	}
}

func TestCompressedPointsAreBothSigns(t *testing.T) {
	parse := func(y string) *PublicKey {
		key, err := ParsePublicKey(unhex(t, "a4 0102 2001 215820"+rfc9679X+y))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	full, even, odd := parse("225820"+rfc9679Y), parse("22f4"), parse("22f5")
	if !even.Equal(full) || odd.Equal(full) {
		t.Error("the sign of y is not respected")
	}
}

func TestNewPublicKeyRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.PublicKey{
		"P-384":         &p384.PublicKey,
		"empty EC key":  &ecdsa.PublicKey{},
		"nil EC key":    (*ecdsa.PublicKey)(nil),
		"short Ed25519": ed25519.PublicKey{1, 2, 3},
		"nothing":       nil,
		"a string":      "key",
	} {
		if _, err := NewPublicKey(key); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
}

func TestPublicKeyDoesNotChange(t *testing.T) {
	signer := newSigner(t, Ed25519)
	raw := ed25519.PublicKey(bytes.Clone(signer.PublicKey().key.(ed25519.PublicKey)))
	key, err := NewPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	clear(key.COSEKey())
	wire := sign1(t, signer, []byte("x"), Form{})
	if err := parse(t, wire).Verify(key, false); err != nil {
		t.Errorf("the key changed with what it was made of: %v", err)
	}
	if !key.Equal(signer.PublicKey()) || key.Equal(nil) {
		t.Error("Equal is wrong")
	}
}

func TestThumbprintText(t *testing.T) {
	want := newSigner(t, ESP256).PublicKey().Thumbprint()
	data, err := json.Marshal(map[Thumbprint]Thumbprint{want: want})
	if err != nil {
		t.Fatal(err)
	}
	var got map[Thumbprint]Thumbprint
	if err := json.Unmarshal(data, &got); err != nil || got[want] != want {
		t.Errorf("text does not read back: %v", err)
	}
	for _, s := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 66), strings.Repeat("x", 64)} {
		if _, err := ParseThumbprint(s); !errors.Is(err, ErrKey) {
			t.Errorf("ParseThumbprint(%q): got %v, want ErrKey", s, err)
		}
	}
}

func TestReadPublicKeyRefuses(t *testing.T) {
	private, err := EncodePrivateKey(newKey(t, ESP256))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"nothing":          "",
		"private key":      string(private),
		"broken PEM":       "-----BEGIN PUBLIC KEY-----\nAAAA",
		"broken key":       "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"broken cert":      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"text":             "ssh-ed25519 AAAA",
		"public Ed448 key": "-----BEGIN PUBLIC KEY-----\nMEMwBQYDK2VxAzoAX9dEm1m0Yf0s54fsYWrUah2hNCSFpw4fig6nXYDpZ3jt8SR2m0bHBhvWeD3x5Q9s0foavq/oJWGA\n-----END PUBLIC KEY-----\n",
	} {
		if _, err := ReadPublicKey([]byte(data)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
}

func TestReadCertificate(t *testing.T) {
	for _, alg := range []Algorithm{ESP256, Ed25519} {
		key := newKey(t, alg)
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadPublicKey(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		want, _ := NewPublicKey(key.Public())
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v", AlgorithmName(alg), got, err)
		}
	}
}

// TestSignerElsewhere: the private key of a token or key service is not seen here.
func TestSignerElsewhere(t *testing.T) {
	for _, alg := range []Algorithm{ESP256, Ed25519} {
		s, err := NewSigner(struct{ crypto.Signer }{newKey(t, alg)})
		if err != nil {
			t.Fatal(err)
		}
		if err := parse(t, sign1(t, s, []byte("x"), Form{})).Verify(s.PublicKey(), false); err != nil {
			t.Errorf("%s: %v", AlgorithmName(alg), err)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewSigner(p384); !errors.Is(err, ErrKey) {
		t.Errorf("P-384: got %v, want ErrKey", err)
	}
}

func TestPrivateCOSEKey(t *testing.T) {
	good := "a4 0101 2006 215820" + edX + "235820" + edD
	s, err := NewSignerFromCOSEKey(unhex(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(s.PublicKey().key.(ed25519.PublicKey)); got != edX {
		t.Errorf("public key %s, want %s", got, edX)
	}
	for name, key := range map[string]string{
		"X25519":                    "a4 0101 2004 215820" + edX + "235820" + edD,
		"of another public key":     "a4 0101 2006 215820" + strings.Repeat("00", 32) + "235820" + edD,
		"too short":                 "a4 0101 2006 215820" + edX + "23581f" + edD[2:],
		"public only":               "a3 0101 2006 215820" + edX,
		"zero":                      "a5 0102 2001 215820" + rfc9679X + "225820" + rfc9679Y + "235820" + strings.Repeat("00", 32),
		"of another EC public key":  "a5 0102 2001 215820" + rfc9679X + "225820" + rfc9679Y + "235820" + strings.Repeat("01", 32),
		"no CBOR":                   "ff",
		"over the order of the EC ": "a5 0102 2001 215820" + rfc9679X + "225820" + rfc9679Y + "235820" + strings.Repeat("ff", 32),
	} {
		_, err := NewSignerFromCOSEKey(unhex(t, key))
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
		if err != nil && strings.Contains(err.Error(), edD[:8]) {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	for _, alg := range []Algorithm{ESP256, Ed25519} {
		dir := t.TempDir()
		path := filepath.Join(dir, "key.pem")
		if _, err := LoadSigner(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("no file: got %v", err)
		}
		made, err := LoadOrCreateSigner(path, alg)
		if err != nil {
			t.Fatal(err)
		}
		if made.Algorithm() != alg {
			t.Errorf("algorithm %s, want %s", AlgorithmName(made.Algorithm()), AlgorithmName(alg))
		}
		loaded, err := LoadOrCreateSigner(path, alg)
		if err != nil || !loaded.PublicKey().Equal(made.PublicKey()) {
			t.Errorf("another key the second time: %v", err)
		}
		if _, err := CreateKeyFile(path, alg); !errors.Is(err, fs.ErrExist) {
			t.Errorf("create over a file: got %v, want ErrExist", err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d files beside the key: %v", len(entries)-1, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, want 0600: %v", info.Mode(), err)
		}
	}
}

func TestParseSignerRefuses(t *testing.T) {
	public := newSigner(t, ESP256).PublicKey().PEM()
	const secret = "MC4CAQAwBQYDK2VuBCIE"
	for name, data := range map[string]string{
		"nothing":      "",
		"public key":   string(public),
		"broken":       "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n",
		"another form": "-----BEGIN EC PRIVATE KEY-----\n" + secret + "\n-----END EC PRIVATE KEY-----\n",
	} {
		_, err := ParseSigner([]byte(data))
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateSigner(path, ESP256); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is no key: got %v, want ErrKey with the path", err)
	}
	if _, err := GenerateSigner(LegacyES256); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("a key for ES256: got %v, want ErrAlgorithm", err)
	}
}

func newKey(tb testing.TB, alg Algorithm) crypto.Signer {
	tb.Helper()
	key, err := GenerateKey(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newSigner(tb testing.TB, alg Algorithm) Signer {
	tb.Helper()
	s, err := NewSigner(newKey(tb, alg))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// FuzzParsePublicKey: what parses has an encoding that parses to the same key, and
// that encoding is a fixpoint. The door of TEEP admits what the other does, or nothing.
func FuzzParsePublicKey(f *testing.F) {
	for _, alg := range append(mldsaAlgorithms, ESP256, Ed25519) {
		f.Add(newSigner(f, alg).PublicKey().COSEKey())
		f.Add(newSigner(f, alg).PublicKey().PEM())
	}
	f.Add(unhex(f, "a4 0102 2001 215820"+rfc9679X+"22f5"))
	f.Add(unhex(f, p256Published))
	hss, err := newHSS(unhex(f, rfc8554(f)[0].Public))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(hss.COSEKey())
	f.Add(hss.PEM())
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := ReadManifestKey(data)
		narrow, refusal := ReadPublicKey(data)
		if err != nil {
			if !errors.Is(err, ErrKey) || refusal == nil {
				t.Fatalf("refused with %v, and %v", err, refusal)
			}
			return
		}
		if key.SignsTEEP() != (refusal == nil) || refusal == nil && !narrow.Equal(key) {
			t.Fatalf("%s at the door of TEEP: %v", AlgorithmName(key.Algorithm()), refusal)
		}
		for _, encoded := range [][]byte{key.COSEKey(), key.PEM()} {
			again, err := ReadManifestKey(encoded)
			if err != nil || !again.Equal(key) || !bytes.Equal(again.COSEKey(), key.COSEKey()) {
				t.Fatalf("not a fixpoint: %v", err)
			}
		}
	})
}

// FuzzParseSigner: no error quotes what was read, and what parses signs.
func FuzzParseSigner(f *testing.F) {
	for _, alg := range append(mldsaAlgorithms, ESP256, Ed25519) {
		data, err := EncodePrivateKey(newKey(f, alg))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseManifestSigner(data)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatalf("refused without ErrKey: %v", err)
			}
			return
		}
		if err := parse(t, sign1(t, s, []byte("x"), Form{})).Verify(s.PublicKey(), false); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzReadSecretKey: what is read authenticates, or says what it is for instead.
func FuzzReadSecretKey(f *testing.F) {
	f.Add(MustMarshal(map[int]any{1: 4, -1: unhex(f, secretA)}))
	f.Add([]byte("a3 0104 0305 205820" + secretA))
	f.Add([]byte("a301040305205820" + secretA + "\n"))
	f.Add(MustMarshal(map[int]any{1: 4, 2: []byte("kid"), 3: -5, 4: []int{5, 6}, -1: unhex(f, secretA)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := readSecretKey(data)
		if err != nil {
			if !errors.Is(err, ErrKey) || key != nil {
				t.Fatalf("refused with %v, and %v", err, key)
			}
			return
		}
		wire, err := Mac0(key, []byte("x"), Form{})
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatal(err)
			}
			return
		}
		if m, err := ParseMAC(wire); err != nil || m.Verify(key) != nil && key.ops == nil {
			t.Fatalf("does not verify: %v", err)
		}
	})
}
