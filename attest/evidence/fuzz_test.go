package evidence_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// FuzzRead reads anything as any format. Whatever is read has claims and a document that
// JSON can write, and a bundle is bound to its claims set.
func FuzzRead(f *testing.F) {
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("one")
	set := cosekit.MustMarshal(map[int]any{259: []byte("modem")})
	bundle := func(format string, token func([]byte) []byte) attest.Evidence {
		return localtest.Bundle(claims(), format, token)
	}
	f.Add(attest.EvidenceMediaType, eat(f))
	f.Add("application/eat-bun+cbor", detached(f, set, -44, sum512(set)))
	f.Add(localtest.PSA1Format, psa.Token1(nonce))
	f.Add(localtest.PSAFormat, psa.Token(nonce))
	f.Add(localtest.CCAFormat, cca.Token(nonce, nil, nil))
	for _, e := range []attest.Evidence{
		bundle(localtest.PSAFormat, func(n []byte) []byte { return psa.Token(n) }),
		bundle(localtest.CCAFormat, func(n []byte) []byte { return cca.Token(n, nil, nil) }),
	} {
		f.Add(e.Format, e.Payload)
	}
	f.Fuzz(func(t *testing.T, format string, payload []byte) {
		r, err := evidence.Read(format, payload)
		if err != nil {
			if r != nil {
				t.Fatalf("both %+v and %v", r, err)
			}
			return
		}
		if r.Claims == nil || r.Document() == nil {
			t.Fatalf("reading %+v", r)
		}
		if _, err := json.Marshal(r.Document()); err != nil {
			t.Fatal(err)
		}
		if r.Inner == nil {
			return
		}
		parts, err := cosekit.Elements(payload)
		if err != nil {
			t.Fatal(err)
		}
		claimsSet, err := cosekit.Bytes(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		digest, err := evidence.BindingDigest(r.Inner.Evidence.Format, claimsSet)
		if err != nil || !bytes.Equal(digest, r.Inner.Reading.Claims.Nonce) {
			t.Fatalf("not bound: %x, %v", digest, err)
		}
	})
}

// FuzzClaims reads any claims set within a token and within a bundle: the decoders behind
// the signature's frame.
func FuzzClaims(f *testing.F) {
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("one")
	for i, token := range [][]byte{psa.Token1(nonce), psa.Token(nonce)} {
		t, err := evidence.ParseToken(token)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i, t.Payload)
	}
	t, err := evidence.ParseCCA(attest.MediaType{}, cca.Token(nonce, nil, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(2, t.PlatformToken.Payload)
	f.Add(3, t.RealmToken.Payload)
	// Nobody verifies here, so one signature does for all.
	frame := func(payload []byte) []byte {
		return cosekit.MustMarshal(cosekit.Tag{Number: 18, Content: cosekit.MustMarshal([]any{[]byte{0xa1, 1, 0x26}, map[int]any{}, payload, make([]byte, 64)})})
	}
	f.Fuzz(func(t *testing.T, what int, payload []byte) {
		format, token := localtest.PSAFormat, frame(payload)
		switch what & 3 {
		case 0:
			format = localtest.PSA1Format
		case 2:
			format, token = localtest.CCAFormat, cca.Collect(token, frame(nil))
		case 3:
			other, err := evidence.ParseCCA(attest.MediaType{}, cca.Token(nonce, nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			format, token = localtest.CCAFormat, cca.Collect(frame(other.PlatformToken.Payload), token)
		}
		r, err := evidence.Read(format, token)
		if err == nil && (r.Claims == nil || len(r.Claims.Nonce) < 32) {
			t.Fatalf("claims %+v", r.Claims)
		}
	})
}
