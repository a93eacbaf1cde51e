package cosekit

import (
	"bytes"
	"crypto/rand"
	"math"
	"testing"

	"github.com/veraison/go-cose"
)

// recorder keeps what go-cose wants verified.
type recorder struct {
	alg       Algorithm
	content   []byte
	signature []byte
}

func (r *recorder) Algorithm() Algorithm { return r.alg }
func (r *recorder) Verify(content, signature []byte) error {
	r.content, r.signature = content, signature
	return nil
}

// agree holds a message that Parse took against what go-cose makes of it.
func agree(t *testing.T, data []byte, m *Signed) {
	t.Helper()
	_, untagged, err := untag(data, TagSign1, TagSign)
	if err != nil {
		t.Fatal(err)
	}
	payload := m.Payload
	if payload == nil {
		payload = []byte("detached")
	}
	for i, sig := range m.Signatures {
		headers, r, err := askGoCOSE(untagged, m.Multi, i, payload, sig.Algorithm)
		if err != nil {
			t.Fatalf("go-cose refuses %x: %v", data, err)
		}
		want, err := describe(headers)
		if err != nil {
			t.Fatalf("refused when read as a map: %v", err)
		}
		if sig.Algorithm != want.Algorithm || !bytes.Equal(sig.KeyID, want.KeyID) || (sig.KeyID == nil) != (want.KeyID == nil) ||
			!bytes.Equal(sig.CWTClaims, want.CWTClaims) {
			t.Errorf("read %+v, go-cose has %+v", sig, want)
		}
		if got := m.toBeSigned(sig, payload); !bytes.Equal(got, r.content) || !bytes.Equal(sig.signature, r.signature) {
			t.Errorf("verifies %x of\n%x, go-cose %x of\n%x", sig.signature, got, r.signature, r.content)
		}
	}
}

func askGoCOSE(untagged []byte, multi bool, i int, payload []byte, alg Algorithm) (cose.Headers, *recorder, error) {
	r := &recorder{alg: alg}
	if !multi {
		var m cose.UntaggedSign1Message
		if err := m.UnmarshalCBOR(untagged); err != nil {
			return cose.Headers{}, nil, err
		}
		m.Payload = payload
		return m.Headers, r, m.Verify(nil, r)
	}
	var m cose.SignMessage
	if err := m.UnmarshalCBOR(append([]byte{0xd8, TagSign}, untagged...)); err != nil {
		return cose.Headers{}, nil, err
	}
	body := m.Headers.RawProtected
	if len(m.Headers.Protected) == 0 {
		body = RawMessage{0x40}
	}
	one := m.Signatures[i]
	return one.Headers, r, one.Verify(r, body, payload, nil)
}

// oddCWTClaims are well-formed values of the CWT Claims header, some of which go-cose
// does not take.
func oddCWTClaims() (odd []RawMessage) {
	for _, v := range []any{
		uint64(math.MaxInt64), uint64(math.MaxUint64), "text", map[int]any{},
		map[int]any{4: uint64(math.MaxUint64)}, map[int]any{8: map[int]any{1: []any{uint64(1) << 63}}},
	} {
		odd = append(odd, MustMarshal(v))
	}
	return odd
}

// CWT Claims are taken exactly where go-cose takes them.
func TestOddCWTClaims(t *testing.T) {
	s := newSigner(t, Ed25519)
	for _, claims := range oddCWTClaims() {
		wire := sign1(t, s, []byte("x"), Form{CWTClaims: claims, Untagged: true})
		m, err := Parse(wire)
		_, _, refused := askGoCOSE(wire, false, 0, []byte("x"), s.Algorithm())
		if (err != nil) != (refused != nil) {
			t.Errorf("CWT Claims %x: %v, go-cose: %v", []byte(claims), err, refused)
		}
		if err == nil && !bytes.Equal(m.Signatures[0].CWTClaims, claims) {
			t.Errorf("read %x, want %x", m.Signatures[0].CWTClaims, claims)
		}
	}
}

// What is signed without go-cose is what go-cose would have made.
func TestSignsAsGoCOSE(t *testing.T) {
	s := newSigner(t, Ed25519) // whose signatures are deterministic
	kid := s.PublicKey().Thumbprint()
	for _, size := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		payload := make([]byte, size)
		for _, claims := range []RawMessage{nil, ConfirmationHeader(s.PublicKey())} {
			h := cose.Headers{
				Protected:   cose.ProtectedHeader{headerAlg: s.Algorithm()},
				Unprotected: cose.UnprotectedHeader{headerKeyID: kid[:]},
			}
			if claims != nil {
				h.Protected[headerCWTClaims] = claims
			}
			want, err := cose.Sign1(rand.Reader, s, h, payload, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := sign1(t, s, payload, Form{CWTClaims: claims}); !bytes.Equal(got, want) {
				t.Errorf("COSE_Sign1 of %d bytes:\ngot  %x\nwant %x", size, got, want)
			}
			m := cose.NewSignMessage()
			m.Payload, m.Signatures = payload, []*cose.Signature{{Headers: h}}
			if err := m.Sign(rand.Reader, nil, s); err != nil {
				t.Fatal(err)
			}
			if want, err = m.MarshalCBOR(); err != nil {
				t.Fatal(err)
			}
			if got, err := Sign([]Signer{s}, payload, Form{CWTClaims: claims}); err != nil || !bytes.Equal(got, want) {
				t.Errorf("COSE_Sign of %d bytes (%v):\ngot  %x\nwant %x", size, err, got, want)
			}
		}
	}
	if _, err := Sign1(s, []byte("x"), Form{CWTClaims: RawMessage{0xa1}}); err == nil {
		t.Error("signed CWT Claims that are not CBOR")
	}
	if _, err := Sign([]Signer{s}, nil, Form{}); err == nil {
		t.Error("signed no payload")
	}
}
