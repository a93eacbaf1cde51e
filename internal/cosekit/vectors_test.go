package cosekit

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// vectorDir returns a family of the published examples, or skips.
func vectorDir(tb testing.TB, family string) string {
	tb.Helper()
	dir := os.Getenv("TEEP_VECTORS")
	if dir == "" {
		tb.Skip("TEEP_VECTORS is not set: it names the folder of the published examples")
	}
	return filepath.Join(dir, family)
}

// vectorFiles returns every COSE example, or none, to seed fuzzing.
func vectorFiles(tb testing.TB) [][]byte {
	tb.Helper()
	dir := os.Getenv("TEEP_VECTORS")
	if dir == "" {
		return nil
	}
	paths, err := filepath.Glob(filepath.Join(dir, "cose", "*.cbor"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no COSE examples in %s (%v)", dir, err)
	}
	var files [][]byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, data)
	}
	return files
}

type vectorKey struct {
	Public     string `json:"cose_key_hex"`
	Private    string `json:"cose_key_private_hex"`
	PublicHex  string `json:"cose_key_public_hex"`
	Thumbprint string `json:"thumbprint_sha256"`
}

type vectorIndex struct {
	Keys    map[string]vectorKey `json:"keys"`
	Vectors []struct {
		Name   string `json:"name"`
		File   string `json:"file"`
		Expect struct {
			Keys      map[string]vectorKey `json:"keys"`
			Plaintext string               `json:"plaintext"`
		} `json:"expect"`
	} `json:"vectors"`
}

func readIndex(t *testing.T, dir string) vectorIndex {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index vectorIndex
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	return index
}

// signatureVectors says what becomes of each signature example of cose-wg/Examples
// when legacy algorithms are allowed. nil: it verifies.
var signatureVectors = map[string]error{
	"ecdsa.ecdsa-01":     nil,
	"ecdsa.ecdsa-sig-01": nil,
	"eddsa.eddsa-01":     nil,
	"eddsa.eddsa-sig-01": nil,

	"hashsig.hashsig-01":    nil,
	"hashsig.hsssig-sig-01": nil,

	// Not supported: P-384, P-521, P-256 with SHA-512, Ed448.
	"ecdsa.ecdsa-02":     ErrKey,
	"ecdsa.ecdsa-03":     ErrKey,
	"ecdsa.ecdsa-04":     ErrAlgorithm,
	"ecdsa.ecdsa-sig-02": ErrKey,
	"ecdsa.ecdsa-sig-03": ErrKey,
	"ecdsa.ecdsa-sig-04": ErrAlgorithm,
	"eddsa.eddsa-02":     ErrKey,
	"eddsa.eddsa-sig-02": ErrKey,

	"sign-test.ecdsa-01":     nil,
	"sign-test.sign-fail-01": ErrMalformed, // another tag
	"sign-test.sign-fail-02": ErrSignature, // changed signature
	"sign-test.sign-fail-03": ErrAlgorithm, // an algorithm that does not exist
	"sign-test.sign-fail-04": ErrAlgorithm, // an algorithm that is text
	"sign-test.sign-fail-06": ErrSignature, // protected header added
	"sign-test.sign-fail-07": ErrSignature, // protected header removed
	"sign-test.sign-pass-01": nil,          // body header is an encoded empty map
	"sign-test.sign-pass-02": ErrSignature, // valid with external_aad only; ours is empty
	"sign-test.sign-pass-03": nil,          // untagged

	"sign1-test.sign-fail-01": ErrMalformed,
	"sign1-test.sign-fail-02": ErrSignature,
	"sign1-test.sign-fail-03": ErrAlgorithm,
	"sign1-test.sign-fail-04": ErrAlgorithm,
	"sign1-test.sign-fail-06": ErrSignature,
	"sign1-test.sign-fail-07": ErrSignature,
	"sign1-test.sign-pass-01": ErrAlgorithm, // alg stands in the unprotected header only
	"sign1-test.sign-pass-02": ErrSignature, // valid with external_aad only
	"sign1-test.sign-pass-03": nil,          // untagged
}

// otherVectors are no signatures. An untagged COSE_Mac0 has the shape of an untagged
// COSE_Sign1 and is told from it by its algorithm.
var otherVectors = map[string]error{
	"mac0-test.mac-pass-03": ErrAlgorithm,
}

func TestPublishedMessages(t *testing.T) {
	dir := vectorDir(t, "cose")
	index := readIndex(t, dir)
	seen := 0
	for _, v := range index.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, v.File))
			if err != nil {
				t.Fatal(err)
			}
			want, isSignature := signatureVectors[v.Name]
			if !isSignature {
				if want, isSignature = otherVectors[v.Name]; !isSignature {
					want = ErrMalformed
				}
				if err := verifyPublished(t, data, p256Published); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				return
			}
			seen++
			key := p256Published
			for _, k := range v.Expect.Keys {
				key = k.Public
			}
			if err := verifyPublished(t, data, key); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	if seen != len(signatureVectors) {
		t.Errorf("%d signature examples in the index, the table has %d", seen, len(signatureVectors))
	}
}

// p256Published is the key of most of the examples.
const p256Published = "a401022001215820bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff" +
	"22582020138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e"

// verifyPublished returns what Parse, ParsePublicKey or Verify refuse the message
// for. Without leave for legacy algorithms none may verify: the examples are old.
func verifyPublished(t *testing.T, data []byte, coseKey string) error {
	t.Helper()
	s, err := Parse(data)
	if err != nil {
		return err
	}
	key, err := ParseManifestKey(unhex(t, coseKey))
	if err != nil {
		return err
	}
	if key.SignsTEEP() && s.Verify(key, false) == nil {
		t.Error("verified although legacy algorithms are not allowed")
	}
	if err := s.Verify(key, AllowLegacy); err != nil {
		return err
	}
	if got := string(s.Payload); got != "This is the content." {
		t.Errorf("payload %q", got)
	}
	return nil
}

func TestPublishedKeys(t *testing.T) {
	for _, family := range []string{"teep", "suit-manifest", "suit-firmware-encryption", "suit-trust-domains", "suit-report"} {
		index := readIndex(t, vectorDir(t, family))
		for name, k := range index.Keys {
			if k.PublicHex == "" || k.Thumbprint == "" {
				continue // symmetric, or of a kind that has no thumbprint there
			}
			t.Run(family+"/"+name, func(t *testing.T) {
				key, err := ParsePublicKey(unhex(t, k.PublicHex))
				if err != nil {
					t.Fatal(err)
				}
				if got := key.Thumbprint().String(); got != k.Thumbprint {
					t.Errorf("thumbprint %s, want %s", got, k.Thumbprint)
				}
				if got := hex.EncodeToString(key.COSEKey()); got != k.PublicHex {
					t.Errorf("encoded %s, want %s", got, k.PublicHex)
				}
				if k.Private == "" {
					return
				}
				s, err := NewSignerFromCOSEKey(unhex(t, k.Private))
				if err != nil {
					t.Fatal(err)
				}
				if !s.PublicKey().Equal(key) {
					t.Error("the private key has another public key")
				}
			})
		}
	}
}
