package testvectors_test

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
	"github.com/tamarack-tam/tamarack/testvectors"
)

func TestIndexAndFilesAreTheSame(t *testing.T) {
	described := map[string]bool{}
	names := map[string]bool{}
	for _, v := range load(t).Vectors {
		if described[v.File] || names[v.Name] {
			t.Errorf("%s (%s) is there twice", v.Name, v.File)
		}
		described[v.File], names[v.Name] = true, true
	}
	err := fs.WalkDir(os.DirFS("."), ".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && (path.Ext(file) == ".cbor" || path.Ext(file) == ".jwt") && !described[file] {
			t.Errorf("%s is not in index.json", file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The keys are what they say, and a recipient never has a private one.
func TestKeysBelongTogether(t *testing.T) {
	index := load(t)
	if !strings.Contains(index.Warning, "TEST ONLY") {
		t.Error("nothing warns of the keys")
	}
	for name, k := range index.Keys {
		thumbprint, alg := belong(t, index, name)
		if string(thumbprint[:]) != string(k.Thumbprint) {
			t.Errorf("%s: thumbprint %s, the index has %x", name, thumbprint, []byte(k.Thumbprint))
		}
		if alg != k.Algorithm && k.Public != nil {
			t.Errorf("%s: algorithm %s, the index has %s", name, alg, k.Algorithm)
		}
		if _, err := cosekit.ParseManifestKey(k.Private); err == nil {
			t.Errorf("%s: the private key passes for a public one", name)
		}
	}
}

// belong holds the parts of a key against each other, and returns what the public part
// says.
func belong(t *testing.T, index *testvectors.Index, name string) (cosekit.Thumbprint, string) {
	t.Helper()
	k := index.Keys[name]
	if secret := secretKey(t, index, name); secret != nil {
		return secret.Thumbprint(), ""
	}
	if k.Algorithm == cosekit.AlgorithmName(cosekit.ECDHESA128KW) {
		private, err := cosekit.NewAgreementKeyFromCOSEKey(k.Private)
		if err != nil || !bytes.Equal(private.PublicKey().COSEKey(), k.Public) {
			t.Fatalf("%s: the private key is another: %v", name, err)
		}
		return private.PublicKey().Thumbprint(), k.Algorithm
	}
	public := publicKey(t, index, name)
	signer, err := cosekit.NewSignerFromCOSEKey(k.Private)
	if err != nil || !signer.PublicKey().Equal(public) {
		t.Fatalf("%s: the private key is another: %v", name, err)
	}
	return public.Thumbprint(), cosekit.AlgorithmName(public.Algorithm())
}

// Every vector is described whole, and there is one for whatever the index can say.
func TestIndexIsComplete(t *testing.T) {
	index := load(t)
	seen := map[any]bool{}
	for _, v := range index.Vectors {
		if v.Covers == "" || (v.Outcome == testvectors.Refused) != (v.Reason != "") ||
			(v.Outcome == testvectors.Valid) != (v.Content != "") || (v.Kind == testvectors.KindCOSEKey) != (v.Keys == nil) {
			t.Errorf("%s is not described whole", v.Name)
		}
		seen[v.Reason], seen[v.Kind] = true, true
		for _, name := range slices.Concat(v.Keys, v.DecryptionKeys) {
			seen[name+" verifies"] = true
		}
		if strings.Contains(v.Name, "encrypted") && v.Kind == testvectors.KindReport && v.Outcome == testvectors.Valid && v.Decrypted == "" {
			t.Errorf("%s does not say what is encrypted", v.Name)
		}
		if v.Kind != testvectors.KindTEEP || v.Outcome != testvectors.Valid {
			continue
		}
		m, err := judges(t, index, v)[0].message()
		if err != nil {
			t.Fatal(err)
		}
		seen[v.Numbering+m.Kind().String()] = true
	}
	for reason := range sentinels {
		if !seen[reason] {
			t.Errorf("no vector is refused for %s", reason)
		}
	}
	for name := range index.Keys {
		if stranger := strings.HasPrefix(name, "stranger"); seen[name+" verifies"] == stranger {
			t.Errorf("key %s: recipients have it: %v", name, !stranger)
		}
	}
	for _, n := range []teep.Numbering{teep.IANA, teep.PreIANA} {
		for k := teep.KindQueryRequest; k <= teep.KindError; k++ {
			if !seen[n.String()+k.String()] {
				t.Errorf("no valid %s in the numbering %s", k, n)
			}
		}
	}
}

// The content that the index shows is what the signature covers.
func TestContentIsWhatIsSigned(t *testing.T) {
	for _, v := range load(t).Vectors {
		if v.Outcome != testvectors.Valid {
			continue
		}
		part := signedPart(t, v)
		content, err := cbor.Diagnose(part)
		if path.Ext(v.File) == ".jwt" {
			content, err = string(part), nil
		}
		if err != nil || content != v.Content {
			t.Errorf("%s holds %s (%v), the index has %s", v.Name, content, err, v.Content)
		}
		if v.Decrypted == "" {
			continue
		}
		report, err := judges(t, load(t), v)[0].openReport()
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := report.Encode()
		if content, _ := cbor.Diagnose(encoded); err != nil || content != v.Decrypted {
			t.Errorf("%s decrypts to %s (%v), the index has %s", v.Name, content, err, v.Decrypted)
		}
	}
}

// signedPart returns the payload of a vector, as our decoders find it.
func signedPart(t *testing.T, v testvectors.Vector) []byte {
	t.Helper()
	payload, err := v.Data, error(nil)
	switch v.Kind {
	case testvectors.KindCOSEKey:
	case testvectors.KindBundle:
		var reading *evidence.Reading
		if reading, err = evidence.Read(v.MediaType, v.Data); err == nil {
			payload, err = attest.EncodeClaims(reading.Claims)
		}
	case testvectors.KindEncryptedEAT:
		var token []byte
		var signed *cosekit.Signed
		if token, err = judges(t, load(t), v)[0].decrypted(); err == nil {
			if signed, err = cosekit.Parse(token); err == nil {
				payload = signed.Payload
			}
		}
	case testvectors.KindEnvelope, testvectors.KindUpdate:
		payload, err = manifest(v.Data)
	default:
		if path.Ext(v.File) == ".jwt" {
			payload, err = base64.RawURLEncoding.DecodeString(strings.Split(string(v.Data), ".")[1])
			break
		}
		if mac, err := cosekit.ParseMAC(v.Data); err == nil {
			return mac.Payload
		}
		var signed *cosekit.Signed
		if signed, err = cosekit.Parse(bytes.TrimPrefix(v.Data, []byte{0xd8, 61})); err == nil { // without a CWT tag
			payload = signed.Payload
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	return payload
}

// manifest returns the manifest of an envelope. Its elements that are severed stay out.
func manifest(data []byte) ([]byte, error) {
	e, err := suit.Decode(data)
	if err != nil {
		return nil, err
	}
	m, err := e.UnverifiedManifest()
	if err != nil {
		return nil, err
	}
	return m.Encode(false)
}
