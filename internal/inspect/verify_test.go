package inspect

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"hash"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func largeCOSEKey(t testing.TB, key *ecdsa.PublicKey, more m) []byte {
	t.Helper()
	point := must[[]byte](t)(key.Bytes())
	members := m{1: 2, -1: curveNumber(key), -2: point[1 : 1+len(point)/2], -3: point[1+len(point)/2:]}
	for label, value := range more {
		members[label] = value
	}
	return enc(members)
}

func publicPEM(t testing.TB, key *ecdsa.PublicKey) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must[[]byte](t)(x509.MarshalPKIXPublicKey(key))})
}

// TestECDSA judges each algorithm under a key of each curve: those of RFC 9864 hold
// for their own curve only.
func TestECDSA(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		private := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(curve, rand.Reader))
		key := must[*Key](t)(ReadKey(publicPEM(t, &private.PublicKey)))
		for algorithm, a := range ecdsaAlgorithms {
			protected := enc(m{1: int64(algorithm)})
			h := a.hash()
			h.Write(cosekit.MustMarshal([]any{"Signature1", protected, []byte{}, []byte("payload")}))
			r, s, err := ecdsa.Sign(rand.Reader, private, h.Sum(nil))
			if err != nil {
				t.Fatal(err)
			}
			size := (curve.Params().BitSize + 7) / 8
			signature := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
			object := func(signature []byte) []byte {
				return tagged18(arr{protected, m{4: key.thumbprint[:]}, []byte("payload"), signature})
			}
			want := Valid
			if a.curve != nil && a.curve != curve {
				want = Invalid
			}
			broken := bytes.Clone(signature)
			broken[3] ^= 1
			for _, c := range []struct {
				signature []byte
				want      Verdict
			}{{signature, want}, {broken, Invalid}, {signature[1:], Invalid}, {append(signature, 0), Invalid}} {
				result := must[*Result](t)(Inspect(object(c.signature), Options{Keys: []*Key{key}}))
				wantVerdicts(t, result, "signature", c.want)
			}
		}
	}
}

func TestReadKey(t *testing.T) {
	private := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	encoded := largeCOSEKey(t, &private.PublicKey, nil)
	a, b := must[*Key](t)(ReadKey(encoded)), must[*Key](t)(ReadKey(publicPEM(t, &private.PublicKey)))
	if a.thumbprint != b.thumbprint || !a.ec.Equal(b.ec) {
		t.Error("PEM and COSE_Key differ")
	}
	shown := must[*Result](t)(Inspect(encoded, Options{}))
	if got := shown.Tree.child("thumbprint"); got == nil || got.Text != a.thumbprint.String() {
		t.Errorf("thumbprint %s, the tree shows %+v", a.thumbprint, got)
	}
	p224 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, data := range map[string][]byte{
		"nothing": nil, "private": largeCOSEKey(t, &private.PublicKey, m{-4: make([]byte, 48)}),
		"off the curve": largeCOSEKey(t, &private.PublicKey, m{-3: make([]byte, 48)}),
		"short":         largeCOSEKey(t, &private.PublicKey, m{-3: make([]byte, 47)}),
		"no y":          largeCOSEKey(t, &private.PublicKey, m{-3: nil}),
		"type":          largeCOSEKey(t, &private.PublicKey, m{1: 1}),
		"curve":         largeCOSEKey(t, &private.PublicKey, m{-1: 3}),
		"trailing":      append(bytes.Clone(encoded), 0),
		"P-224":         publicPEM(t, &p224.PublicKey),
		"no PKIX":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}),
	} {
		if key, err := ReadKey(data); !errors.Is(err, cosekit.ErrKey) || key != nil {
			t.Errorf("%s: %v, %v", name, key, err)
		}
	}
}

func secretKey(t testing.TB, k []byte) *cosekit.SecretKey {
	t.Helper()
	return must[*cosekit.SecretKey](t)(cosekit.NewSecretKey(k, nil))
}

// TestManifestKeys judges what only manifests are signed with, and shows its keys.
func TestManifestKeys(t *testing.T) {
	for _, algorithm := range []cosekit.Algorithm{cosekit.MLDSA44, cosekit.MLDSA65, cosekit.MLDSA87} {
		s := must[cosekit.Signer](t)(cosekit.GenerateSigner(algorithm))
		encoded := s.PublicKey().COSEKey()
		key := must[*Key](t)(ReadKey(s.PublicKey().PEM()))
		signed := must[[]byte](t)(cosekit.Sign1(s, []byte("payload"), cosekit.Form{}))
		wantVerdicts(t, must[*Result](t)(Inspect(signed, Options{Keys: []*Key{key}})), "signature", Valid)
		wantVerdicts(t, must[*Result](t)(Inspect(signed, Options{})), "signature", NoKey)
		signed[len(signed)-1] ^= 1
		wantVerdicts(t, must[*Result](t)(Inspect(signed, Options{Keys: []*Key{key}})), "signature", Invalid)
		shown := must[*Result](t)(Inspect(encoded, Options{}))
		if got := shown.Tree.child("thumbprint"); shown.Kind != KindKey || got == nil || got.Text != s.PublicKey().Thumbprint().String() || !shown.Opinions[0].Accepted {
			t.Errorf("%s: shown as %s with thumbprint %+v, %+v", cosekit.AlgorithmName(algorithm), shown.Kind, got, shown.Opinions)
		}
	}
	private := must[*Result](t)(Inspect(enc(m{1: 7, 3: -48, -1: make([]byte, 1312), -2: make([]byte, 32)}), Options{}))
	if got := private.Tree.child("priv"); got == nil || got.Value != nil || !strings.Contains(got.Text, "not shown") {
		t.Errorf("private member: %+v", got)
	}
}

// TestMAC judges every HMAC, in a COSE_Mac0 and in COSE_Macs.
func TestMAC(t *testing.T) {
	key := unhex(t, "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
	kek := unhex(t, "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F")
	wrapped := unhex(t, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21")
	recipient := func(alg int, content []byte) arr { return arr{arr{[]byte{}, m{1: alg}, content}} }
	for alg, size := range map[int]int{4: 8, 5: 32, 6: 48, 7: 64} {
		protected := enc(m{1: alg})
		tagOf := func(context string) []byte {
			h := hmac.New(map[int]func() hash.Hash{4: sha256.New, 5: sha256.New, 6: sha512.New384, 7: sha512.New}[alg], key)
			h.Write(cosekit.MustMarshal([]any{context, protected, []byte{}, []byte("payload")}))
			return h.Sum(nil)[:size]
		}
		mac := func(recipients arr) []byte {
			return enc(tag{Number: 97, Content: enc(arr{protected, m{}, []byte("payload"), tagOf("MAC"), recipients})})
		}
		for name, c := range map[string]struct {
			data, key []byte
			want      Verdict
		}{
			"COSE_Mac0":    {enc(tag{Number: 17, Content: enc(arr{protected, m{}, []byte("payload"), tagOf("MAC0")})}), key, Valid},
			"direct":       {mac(recipient(direct, []byte{})), key, Valid},
			"wrong direct": {mac(recipient(direct, []byte{})), kek, Invalid},
			"wrapped":      {mac(recipient(-5, wrapped)), kek, Valid},
			"other kek":    {mac(recipient(-5, wrapped)), key, NoKey},
			"kek size":     {mac(recipient(-3, wrapped)), kek, NoKey},
			"no key":       {mac(recipient(-5, wrapped)), nil, NoKey},
			"ECDH":         {mac(recipient(-31, wrapped)), kek, Unsupported},
			"no recipient": {mac(arr{}), key, Unsupported},
		} {
			var opts Options
			if c.key != nil {
				opts.MACKeys = []*cosekit.SecretKey{secretKey(t, c.key)}
			}
			t.Run(name, func(t *testing.T) {
				wantVerdicts(t, must[*Result](t)(Inspect(c.data, opts)), "mac", c.want)
			})
		}
	}
}
