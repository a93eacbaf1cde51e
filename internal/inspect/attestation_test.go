package inspect

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	formats "github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// referenceValues is a signed CoRIM.
func referenceValues(t testing.TB) []byte {
	t.Helper()
	u := &corim.Unsigned{
		ID: "acme/roadrunner", Version: 3, Replaces: []string{"acme/prototype"},
		References: []corim.Reference{{
			Environment: corim.Environment{ClassID: corim.ID{Kind: corim.KindUUID, Value: []byte("0123456789abcdef")}, Vendor: "Acme"},
			Key:         "app/hello", Version: "1.2", Digests: []corim.Digest{{Algorithm: "sha-256", Value: make([]byte, 32)}},
		}},
		Keys: []corim.AttestKey{{Environment: corim.Environment{Instance: corim.ID{Kind: corim.KindUEID, Value: []byte("\x01234567")}}, Public: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public()}},
	}
	return must[[]byte](t)(u.Sign(signer(t, 2), "Acme"))
}

// boundEvidence is a bundle around what looks like a PSA token over that nonce; nil for
// the digest of the claims set.
func boundEvidence(t testing.TB, nonce []byte) []byte {
	t.Helper()
	set := must[[]byte](t)(attest.EncodeClaims(&attest.Claims{
		Nonce: []byte("0123456789abcdef"), UEID: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Confirmation: attest.Confirmation{Key: signer(t, 1).PublicKey()},
	}))
	if nonce == nil {
		digest := sha512.Sum512(set)
		nonce = digest[:]
	}
	token := must[[]byte](t)(cosekit.Sign1(signer(t, 2), cosekit.MustMarshal(map[int]any{
		265: "tag:psacertified.org,2023:psa#tfm", 10: nonce, 256: slices.Concat([]byte{1}, make([]byte, 32)), 2394: 1, 2395: 0x3000,
		2396: make([]byte, 32), 2399: []any{map[int]any{1: "BL", 2: make([]byte, 32), 5: make([]byte, 32)}},
	}), cosekit.Form{}))
	return must[[]byte](t)(formats.EncodeBundle(set, token))
}

func TestGoldenAttestation(t *testing.T) {
	for name, data := range map[string][]byte{"corim": referenceValues(t), "bound-evidence": boundEvidence(t, nil)} {
		t.Run(name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(data, Options{Keys: []*Key{NewKey(signer(t, 2).PublicKey())}}))
			var text strings.Builder
			if err := r.WriteText(&text, false); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", text.String())
			golden(t, name+".json", string(must[[]byte](t)(json.MarshalIndent(r, "", "  ")))+"\n")
			if !r.Sound() || !r.signed() || r.Kind != Kind(name) && name == "corim" || len(r.Lint) > 0 {
				t.Errorf("kind %s, checks %+v, lint %+v", r.Kind, r.Checks, r.Lint)
			}
		})
	}
}

// The digest that binds a bundle is looked for.
func TestBoundEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		data  []byte
		sound bool
	}{
		"SHA-512":      {boundEvidence(t, nil), true},
		"another":      {boundEvidence(t, make([]byte, 32)), false},
		"of a TPM":     {tpmBundle(t), true},
		"of a library": {bundleOf(t, localtest.NewPSA("one")), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(c.data, Options{}))
			if r.Kind != KindBound || r.Sound() != c.sound || r.Tree.Items[1].Kind == KindEnvelope {
				t.Errorf("%s, sound %t: %+v", r.Kind, r.Sound(), r.Checks)
			}
		})
	}
}

// tpmBundle is a bundle around a quote, whose labels are those of an envelope.
func tpmBundle(t testing.TB) []byte {
	t.Helper()
	tpm := localtest.NewTPM(must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	claims := &attest.Claims{Nonce: make([]byte, 32), UEID: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Confirmation: attest.Confirmation{Key: signer(t, 1).PublicKey()}}
	return localtest.Bundle(claims, "application/vnd.tamarack.tpm2-quote+cbor", func(nonce []byte) []byte {
		return must[[]byte](t)(must[formats.TPMEvidence](t)(tpm.Quote(nonce)).Encode())
	}).Payload
}

func bundleOf(t testing.TB, psa *localtest.PSA) []byte {
	t.Helper()
	claims := &attest.Claims{Nonce: make([]byte, 32), UEID: []byte{1, 2, 3, 4, 5, 6, 7, 8}, Confirmation: attest.Confirmation{Key: signer(t, 1).PublicKey()}}
	return localtest.Bundle(claims, `application/eat+cwt; eat_profile="tag:psacertified.org,2023:psa#tfm"`, func(nonce []byte) []byte { return psa.Token(nonce) }).Payload
}

// Every kind of evidence and reference values of this project is known.
func TestKindsOfAttestation(t *testing.T) {
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("one")
	nonce := make([]byte, 64)
	plain := must[[]byte](t)((&corim.Unsigned{ID: "a", Version: 1, References: []corim.Reference{{
		Environment: corim.Environment{Vendor: "A"}, Key: "k", Digests: []corim.Digest{{Algorithm: "sha-256", Value: nonce[:32]}},
	}}}).Encode())
	now := time.Now()
	maker := localtest.NewMaker("maker", now)
	snp, tdx := localtest.NewSNP(maker, formats.VCEK, "one"), localtest.NewTDX(maker, "one")
	snp.Certify()
	tdx.Certify()
	quote := must[formats.TPMEvidence](t)(localtest.NewTPM(must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))).Quote(nonce[:32]))
	for name, c := range map[string]struct {
		data []byte
		kind Kind
	}{
		"TPM":            {must[[]byte](t)(quote.Encode()), KindTPM},
		"SEV-SNP":        {must[[]byte](t)(snp.Report(nonce).Encode()), KindSNP},
		"TDX":            {must[[]byte](t)(tdx.Quote(nonce).Encode()), KindTDX},
		"PSA":            {psa.Token(nonce[:32]), KindPlatform},
		"PSA, legacy":    {psa.Token1(nonce[:32]), KindPlatform},
		"CCA":            {cca.Token(nonce, nil, nil), KindPlatform},
		"CoRIM":          {referenceValues(t), KindCoRIM},
		"unsigned CoRIM": {plain, KindCoRIM},
		"without a tag":  {plain[3:], KindCoRIM}, // d901f5
	} {
		t.Run(name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(c.data, Options{}))
			if r.Kind != c.kind || r.faulty() {
				t.Errorf("%s, want %s: %+v", r.Kind, c.kind, r.Lint)
			}
		})
	}
}

// The signature of a result in JSON is judged like any other.
func TestJWTSignature(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	key, other := NewKey(signer(t, 0).PublicKey()), NewKey(signer(t, 1).PublicKey())
	jwt := func(header string, change func(string) string) []byte {
		signed := encode([]byte(header)) + "." + encode([]byte(`{"eat_profile":"tag:github.com,2023:veraison/ear"}`))
		signature := must[[]byte](t)(signer(t, 0).Sign(nil, []byte(signed)))
		if change != nil {
			signed = change(signed)
		}
		return []byte(signed + "." + encode(signature))
	}
	for name, c := range map[string]struct {
		data []byte
		keys []*Key
		want Verdict
	}{
		"right":       {jwt(`{"alg":"EdDSA"}`, nil), []*Key{other, key}, Valid},
		"with a kid":  {jwt(`{"alg":"EdDSA","kid":"verifier-1"}`, nil), []*Key{key}, Valid},
		"another key": {jwt(`{"alg":"EdDSA"}`, nil), []*Key{other}, Invalid},
		"changed": {jwt(`{"alg":"EdDSA"}`, func(s string) string {
			header, _, _ := strings.Cut(s, ".")
			return header + "." + encode([]byte(`{"eat_profile":"tag:github.com,2023:veraison/ear","iat":1}`))
		}), []*Key{key}, Invalid},
		"without a key":     {jwt(`{"alg":"EdDSA"}`, nil), nil, NoKey},
		"another algorithm": {jwt(`{"alg":"ES256"}`, nil), []*Key{key}, Invalid},
		"alg none":          {jwt(`{"alg":"none"}`, nil), []*Key{key}, Unsupported},
		"HMAC":              {jwt(`{"alg":"HS256"}`, nil), []*Key{key}, Unsupported},
		"no alg":            {jwt(`{"typ":"JWT"}`, nil), []*Key{key}, Unsupported},
		"alg of a number":   {jwt(`{"alg":-8}`, nil), []*Key{key}, Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			r := must[*Result](t)(Inspect(c.data, Options{Keys: c.keys}))
			if r.Kind != KindEAR || len(r.Checks) != 1 || r.Checks[0].Verdict != c.want {
				t.Errorf("%s: %+v, want %s", r.Kind, r.Checks, c.want)
			}
		})
	}
}

// Of encrypted evidence the recipients are shown: to which key it is. --as says what should
// be in it.
func TestEncryptedEAT(t *testing.T) {
	to := must[cosekit.AgreementKey](t)(cosekit.GenerateAgreementKey()).PublicKey()
	encryption := cosekit.Encryption{Content: cosekit.A128GCM, Context: cosekit.EATEncryption, Recipients: []cosekit.Recipient{to}}
	data := must[[]byte](t)(encryption.Seal(evidence(t)))
	for as, want := range map[Kind][]string{
		"":      {"COSE_Encrypt, ", "nobody has decrypted it here"},
		KindEAT: {"EAT claims in a COSE_Encrypt, ", "accepts the structure around the EAT claims, which is encrypted"},
	} {
		r := must[*Result](t)(Inspect(data, Options{As: as}))
		var text strings.Builder
		if err := r.WriteText(&text, true); err != nil {
			t.Fatal(err)
		}
		for _, part := range append(want, "ECDH-ES+A128KW", to.Thumbprint().String()) {
			if !strings.Contains(text.String(), part) {
				t.Errorf("as %q: no %q in\n%s", as, part, text.String())
			}
		}
	}
}
