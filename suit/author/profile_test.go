package author

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/tee"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/internal/cosekit/hsstest"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// party has the keys of one side under a profile: its author's, or its device's.
type party struct {
	keys      suit.KeyRing // of the author
	sign      func(*suit.Envelope) (*suit.Envelope, error)
	recipient cosekit.Recipient
	device    cosekit.DecryptionKeys
}

// hssSigner is a cosekit.Signer of an HSS-LMS key.
type hssSigner struct {
	hsstest.Key
	public *cosekit.PublicKey
}

func (s hssSigner) Algorithm() cosekit.Algorithm                     { return cosekit.HSSLMS }
func (s hssSigner) PublicKey() *cosekit.PublicKey                    { return s.public }
func (s hssSigner) Sign(_ io.Reader, message []byte) ([]byte, error) { return s.Key.Sign(message), nil }

func newHSSSigner(t *testing.T) cosekit.Signer {
	t.Helper()
	key := hsstest.Key{hsstest.NewTree(5, 4, "upper "+rand.Text()), hsstest.NewTree(5, 4, "lower "+rand.Text())}
	public, err := cosekit.ParseManifestKey(cosekit.MustMarshal(map[int]any{1: 5, -1: key.Public()}))
	if err != nil {
		t.Fatal(err)
	}
	return hssSigner{key, public}
}

func newSecretKey(t *testing.T, size int) *cosekit.SecretKey {
	t.Helper()
	k := make([]byte, size)
	rand.Read(k)
	key, err := cosekit.NewSecretKey(k, k[:4])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newParty makes keys for the algorithms that the profile names.
func newParty(t *testing.T, profile suit.COSEProfile) party {
	t.Helper()
	var p party
	switch authentication := cosekit.Algorithm(profile[1]); authentication {
	case cosekit.HMAC256:
		key := newSecretKey(t, 32)
		p.keys.SecretList = []*cosekit.SecretKey{key}
		p.sign = func(e *suit.Envelope) (*suit.Envelope, error) { return e.Authenticate(key) }
	default:
		signer := newHSSSigner(t)
		if authentication != cosekit.HSSLMS {
			var err error
			if signer, err = cosekit.GenerateSigner(authentication); err != nil {
				t.Fatal(err)
			}
		}
		p.keys.KeyList = suit.KeyList{signer.PublicKey()}
		p.sign = func(e *suit.Envelope) (*suit.Envelope, error) { return e.Sign(signer) }
	}
	switch exchange := cosekit.Algorithm(profile[2]); exchange {
	case cosekit.ECDHESA128KW:
		key, err := cosekit.GenerateAgreementKey()
		if err != nil {
			t.Fatal(err)
		}
		p.recipient, p.device.Agreements = key.PublicKey(), []cosekit.AgreementKey{key}
	default:
		key := newSecretKey(t, map[cosekit.Algorithm]int{cosekit.A128KW: 16, cosekit.A256KW: 32}[exchange])
		p.recipient, p.device.Secrets = key, []*cosekit.SecretKey{key}
	}
	return p
}

// under returns a device that is provisioned with the keys.
func (p party) under(t *testing.T, files []File) *deviceUnderTest {
	t.Helper()
	vendor := VendorID("example.com")
	opened, err := tee.Open(t.TempDir(), processor.Identity{Vendor: vendor, Class: ClassID(vendor, "thermostat")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	d := &deviceUnderTest{store: store{opened}}
	d.Processor = processor.New(processor.Config{Host: d.store, Limits: processor.DefaultLimits(), Fetcher: web(files), Keys: p.device})
	return d
}

// Each profile of draft-ietf-suit-mti goes all the way: a payload is encrypted, its manifest
// authenticated, and both are taken by a device that has the keys, and by no other.
func TestProfiles(t *testing.T) {
	app := suit.ComponentID{[]byte("app"), []byte("hello")}
	for _, profile := range suit.COSEProfiles() {
		t.Run(profile.String(), func(t *testing.T) {
			own, other := newParty(t, profile), newParty(t, profile)
			path := filepath.Join(t.TempDir(), "hello.wasm")
			plaintext := bytes.Repeat([]byte(payload), 1000)
			if err := os.WriteFile(path, plaintext, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Create(&Description{
				Component: app, SequenceNumber: 1, VendorDomain: "example.com", ClassInfo: "thermostat",
				Payload: Payload{
					File: path, URI: "https://example.com/hello.enc",
					Recipients: []cosekit.Recipient{own.recipient}, ContentAlgorithm: cosekit.Algorithm(profile[3]),
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			data := envelopeBy(t, r, own)
			e, err := suit.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if got := profileOf(t, e, r.Manifest); got != profile {
				t.Errorf("it is of the profile %s", got)
			}
			if found := Lint(data); len(found) > 0 && found[0].Severity == Error {
				t.Error(findings(found))
			}
			if _, err := e.Verify(other.keys, false); !errors.Is(err, suit.ErrNoSignature) {
				t.Errorf("verifies under another key: %v", err)
			}
			v, err := e.Verify(own.keys, false)
			if err != nil {
				t.Fatal(err)
			}
			stranger := other.under(t, r.Files)
			if _, err := stranger.Update(t.Context(), v, all); err == nil || stranger.image(t, app) != "" {
				t.Errorf("another device takes it: %v", err)
			}
			d := own.under(t, r.Files)
			if _, err := d.Update(t.Context(), v, all); err != nil {
				t.Fatal(err)
			}
			if d.image(t, app) != string(plaintext) {
				t.Error("another image was installed")
			}
			spoil(t, r.Files[0].Path)
			fresh := own.under(t, r.Files)
			if _, err := fresh.Update(t.Context(), v, all); err == nil || fresh.image(t, app) != "" {
				t.Errorf("takes a changed ciphertext: %v", err)
			}
		})
	}
}

func envelopeBy(t *testing.T, r *Result, p party) []byte {
	t.Helper()
	e, err := r.Envelope()
	if err == nil {
		e, err = p.sign(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := e.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// profileOf reads the algorithms of an envelope with one authentication block, and of the
// payload's encryption.
func profileOf(t *testing.T, e *suit.Envelope, m *suit.Manifest) suit.COSEProfile {
	t.Helper()
	authentication := cosekit.HMAC256
	if block := e.UnverifiedBlocks()[0]; block.MAC == nil {
		authentication = block.Signatures[0].Algorithm
	}
	for _, c := range *at(m, suit.SectionInstall) {
		if p, ok := c.Argument.(*suit.Parameters); ok && p.EncryptionInfo != nil {
			encrypted, err := cosekit.ParseEncrypted(p.EncryptionInfo)
			if err != nil {
				t.Fatal(err)
			}
			return suit.COSEProfile{
				int64(e.Digest().Algorithm), int64(authentication),
				int64(encrypted.Recipients[0].Algorithm), int64(encrypted.Content),
			}
		}
	}
	t.Fatal("nothing is encrypted")
	return suit.COSEProfile{}
}
