package cosekit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// encryptionIndex is what the tests below read of an index.json.
type encryptionIndex struct {
	Keys map[string]struct {
		Private string `json:"cose_key_private_hex"`
		Secret  string `json:"secret_hex"`
	} `json:"keys"`
	Vectors []encryptionVector `json:"vectors"`
}

type encryptionVector struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Kind   string `json:"kind"`
	Expect struct {
		Ciphertext string `json:"ciphertext_file"`
		Hex        string `json:"plaintext_hex"`
		Plaintext  string `json:"plaintext"`
		CEK        string `json:"cek"`
		KEK        string `json:"kek"`
		KDF        string `json:"kdf_context"`
		Keys       map[string]struct {
			Private string `json:"cose_key_private_hex"`
			Secret  string `json:"secret_hex"`
		} `json:"keys"`
	} `json:"expect"`
	Facts struct {
		Recipients []publishedRecipient `json:"recipients"`
		Infos      []struct {
			Recipients []publishedRecipient `json:"recipients"`
		} `json:"encryption_infos"`
	} `json:"facts"`
}

type publishedRecipient struct {
	CEK string `json:"cek"`
	KEK string `json:"kek"`
	KDF string `json:"kdf_context"`
}

func readEncryptionIndex(t *testing.T, dir string) encryptionIndex {
	t.Helper()
	var index encryptionIndex
	if err := json.Unmarshal(readVector(t, dir, "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	return index
}

func readVector(t *testing.T, dir, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func publishedKeys(t *testing.T, private, secret string) (keys DecryptionKeys) {
	t.Helper()
	if private != "" {
		k, err := NewAgreementKeyFromCOSEKey(unhex(t, private))
		if err != nil {
			t.Fatal(err)
		}
		keys.Agreements = append(keys.Agreements, k)
	}
	if secret != "" {
		keys.Secrets = append(keys.Secrets, newSecret(t, unhex(t, secret), nil))
	}
	return keys
}

// TestPublishedEncryptionInfo decrypts the examples of draft-ietf-suit-firmware-
// encryption and holds the keys on the way against those that its authors had.
func TestPublishedEncryptionInfo(t *testing.T) {
	dir := vectorDir(t, "suit-firmware-encryption")
	index := readEncryptionIndex(t, dir)
	keys := publishedKeys(t, index.Keys["device-p256"].Private, index.Keys["kek-a128"].Secret)
	strangers := DecryptionKeys{
		Secrets:    []*SecretKey{newSecret(t, noise(16), nil)},
		Agreements: []AgreementKey{newAgreement(t)},
	}
	seen := 0
	for _, v := range index.Vectors {
		if v.Kind != "cose-encrypt" {
			continue
		}
		seen++
		t.Run(v.Name, func(t *testing.T) {
			e, err := ParseEncrypted(readVector(t, dir, v.File))
			if err != nil {
				t.Fatal(err)
			}
			ciphertext := readVector(t, dir, v.Expect.Ciphertext)
			r, err := e.Decrypt(keys, PayloadEncryption, bytes.NewReader(ciphertext))
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err := io.ReadAll(r)
			if err != nil || hex.EncodeToString(plaintext) != v.Expect.Hex {
				t.Errorf("plaintext %q (%v)", plaintext, err)
			}
			checkKeys(t, e, keys, v.Facts.Recipients)
			if _, err := e.Decrypt(strangers, PayloadEncryption, bytes.NewReader(ciphertext)); !errors.Is(err, ErrNoDecryptionKey) && !errors.Is(err, ErrDecrypt) {
				t.Errorf("under other keys: %v", err)
			}
			if e.Integrity() != strings.HasSuffix(v.Name, "gcm") {
				t.Errorf("integrity %v", e.Integrity())
			}
		})
	}
	if seen != 4 {
		t.Errorf("%d examples, want 4", seen)
	}
}

// checkKeys holds the keys of each recipient against the published ones.
func checkKeys(t *testing.T, e *Encrypted, keys DecryptionKeys, want []publishedRecipient) {
	t.Helper()
	if len(e.Recipients) != len(want) || len(want) == 0 {
		t.Fatalf("%d recipients, want %d", len(e.Recipients), len(want))
	}
	for i, w := range want {
		r := e.Recipients[i]
		cek, err := e.unwrap(keys, PayloadEncryption)
		if err != nil || hex.EncodeToString(cek) != w.CEK {
			t.Errorf("content encryption key %x (%v), want %s", cek, err, w.CEK)
		}
		if w.KEK == "" {
			continue
		}
		if got := hex.EncodeToString(kdfContext(agreements[r.Algorithm], r.protected, PayloadEncryption)); got != w.KDF {
			t.Errorf("KDF context %s, want %s", got, w.KDF)
		}
		kek, err := r.derive(keys.Agreements[0], agreements[r.Algorithm], PayloadEncryption)
		if err != nil || hex.EncodeToString(kek) != w.KEK {
			t.Errorf("key-encryption key %x (%v), want %s", kek, err, w.KEK)
		}
		for _, context := range []KDFContext{ReportEncryption, EATEncryption, ""} {
			if _, err := e.unwrap(keys, context); !errors.Is(err, ErrNoDecryptionKey) && !errors.Is(err, ErrDecrypt) {
				t.Errorf("unwraps in the context %q: %v", context, err)
			}
		}
	}
}

// TestPublishedInfoInEnvelopes unwraps the keys of every encryption info that stands in
// a published envelope, of which some name keys by kids like "kid-2".
func TestPublishedInfoInEnvelopes(t *testing.T) {
	seen := 0
	for _, family := range []string{"suit-firmware-encryption", "teep"} {
		dir := vectorDir(t, family)
		index := readEncryptionIndex(t, dir)
		keys := publishedKeys(t, index.Keys["device-p256"].Private, index.Keys["kek-a128"].Secret)
		for _, v := range index.Vectors {
			if len(v.Facts.Infos) == 0 {
				continue
			}
			seen++
			t.Run(v.Name, func(t *testing.T) {
				envelope := readVector(t, dir, v.File)
				at := bytes.Index(envelope, []byte{0xd8, TagEncrypt, 0x84})
				if at < 0 {
					t.Fatal("no COSE_Encrypt in the envelope")
				}
				info, _, err := cut(envelope[at:])
				if err != nil {
					t.Fatal(err)
				}
				e, err := ParseEncrypted(info)
				if err != nil {
					t.Fatal(err)
				}
				checkKeys(t, e, keys, v.Facts.Infos[0].Recipients)
			})
		}
	}
	if seen != 6 {
		t.Errorf("%d envelopes with an encryption info, want 6", seen)
	}
}

func TestPublishedKDFContext(t *testing.T) {
	want := readVector(t, vectorDir(t, "suit-firmware-encryption"), "kdf-context-a128kw.cbor")
	if got := kdfContext(A128KW, unhex(t, "a101381c"), PayloadEncryption); !bytes.Equal(got, want) {
		t.Errorf("KDF context %x, want %x", got, want)
	}
}

// wrapVectors are the examples of cose-wg/Examples with AES Key Wrap and with ECDH-ES
// and key wrap. Those that are no COSE_Encrypt are MACs: AES-CBC-MAC (14, 15) and HMAC
// with SHA-512 (7), neither of which is spoken here.
var wrapVectors = map[string]Algorithm{
	"aes-wrap.aes-wrap-128-01": 0, "aes-wrap.aes-wrap-128-02": 0, "aes-wrap.aes-wrap-128-03": 0,
	"aes-wrap.aes-wrap-128-04": A128GCM, "aes-wrap.aes-wrap-128-05": A192GCM,
	"aes-wrap.aes-wrap-256-01": 0, "aes-wrap.aes-wrap-256-02": 0, "aes-wrap.aes-wrap-256-03": 0,
	"aes-wrap.aes-wrap-256-04": A128GCM, "aes-wrap.aes-wrap-256-05": A192GCM,
	"ecdh-wrap.p256-wrap-128-01": A128GCM, "ecdh-wrap.p256-wrap-128-02": A256GCM, "ecdh-wrap.p256-wrap-128-03": 0,
	"ecdh-wrap.p256-wrap-256-01": A128GCM, "ecdh-wrap.p256-wrap-256-02": A256GCM, "ecdh-wrap.p256-wrap-256-03": 0,
}

func TestPublishedKeyWraps(t *testing.T) {
	dir := vectorDir(t, "cose")
	seen := 0
	for _, v := range readEncryptionIndex(t, dir).Vectors {
		if !strings.HasPrefix(v.Name, "aes-wrap.") && !strings.HasPrefix(v.Name, "ecdh-wrap.") {
			continue
		}
		seen++
		t.Run(v.Name, func(t *testing.T) {
			data := readVector(t, dir, v.File)
			recipient := v.Expect.Keys["recipient"]
			keys := publishedKeys(t, recipient.Private, recipient.Secret)
			checkPublishedRecipient(t, data, keys, v)
			e, err := ParseEncrypted(data)
			if wrapVectors[v.Name] == 0 {
				if !errors.Is(err, ErrMalformed) {
					t.Errorf("a COSE_Mac: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.Content != wrapVectors[v.Name] {
				t.Errorf("content algorithm %s", AlgorithmName(e.Content))
			}
			plaintext, err := e.Open(keys, "")
			if err != nil || string(plaintext) != v.Expect.Plaintext {
				t.Errorf("plaintext %q (%v)", plaintext, err)
			}
		})
	}
	if seen != len(wrapVectors) {
		t.Errorf("%d examples, the table has %d", seen, len(wrapVectors))
	}
}

// checkPublishedRecipient unwraps the key of the first recipient, of a COSE_Mac too.
func checkPublishedRecipient(t *testing.T, data []byte, keys DecryptionKeys, v encryptionVector) {
	t.Helper()
	h, err := readHead(data)
	if err != nil {
		t.Fatal(err)
	}
	parts := parseParts(t, data[h.size:])
	var r EncryptedRecipient
	if err := r.read(parseParts(t, parts[len(parts)-1])[0], len(v.Expect.CEK)/2); err != nil {
		t.Fatal(err)
	}
	ways, _ := r.ways(keys, "")
	if len(ways) != 1 {
		t.Fatalf("%d ways to the key-encryption key", len(ways))
	}
	kek, err := ways[0]()
	if err != nil || v.Expect.KEK != "" && hex.EncodeToString(kek) != v.Expect.KEK {
		t.Errorf("key-encryption key %x (%v), want %s", kek, err, v.Expect.KEK)
	}
	if v.Expect.KDF != "" {
		if got := hex.EncodeToString(kdfContext(agreements[r.Algorithm], r.protected, "")); got != v.Expect.KDF {
			t.Errorf("KDF context %s, want %s", got, v.Expect.KDF)
		}
	}
	if cek, err := r.open(ways[0]); err != nil || hex.EncodeToString(cek) != v.Expect.CEK {
		t.Errorf("unwrapped %x (%v), want %s", cek, err, v.Expect.CEK)
	}
}
