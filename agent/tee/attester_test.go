package tee

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func newKey(t testing.TB) cosekit.Signer {
	t.Helper()
	s, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEvidence(t *testing.T) {
	now := time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)
	s := openDisk(t, newDisk())
	key, message := newKey(t), newKey(t)
	device := attest.Claims{
		UEID: append([]byte{1}, make([]byte, 16)...), OEMID: cosekit.MustMarshal(make([]byte, 16)),
		HWModel: []byte("lamp"), HWVersion: "1",
	}
	a := NewAttester(s, key, device, func() time.Time { return now })
	challenge := bytes.Repeat([]byte{7}, 32)
	evidence := func() *attest.Claims {
		t.Helper()
		payload, err := a.Evidence(t.Context(), challenge, message.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		if payload.Format != attest.EvidenceMediaType || attest.IsResult(payload.Format) {
			t.Errorf("format %q", payload.Format)
		}
		token, err := attest.ParseEAT(payload.Payload)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := token.Verify(key.PublicKey(), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(claims.CheckProfile(true), claims.CheckNonce(challenge), claims.CheckTime(now, 0)); err != nil {
			t.Error(err)
		}
		if !claims.Confirmation.Key.Equal(message.PublicKey()) || !bytes.Equal(claims.UEID, device.UEID) {
			t.Errorf("claims %+v", claims)
		}
		return claims
	}
	if c := evidence(); len(c.Manifests) != 0 || len(c.Measurements) != 0 {
		t.Errorf("an empty device claims %+v", c)
	}
	m := manifest(t, component(t, "app/hello"), 1, []byte("hello"))
	if err := install(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	c := evidence()
	if len(c.Manifests) != 1 || !c.Manifests[0].Digest.Equal(m.Digest()) {
		t.Errorf("manifests %+v, want %s", c.Manifests, m.Digest())
	}
	if measured := c.Measured(); len(measured) != 1 || !measured[0].ImageDigest.Equal(suit.SumSHA256([]byte("hello"))) {
		t.Errorf("measured %+v", measured)
	}
	// The next evidence tells what the file says then, not what was installed.
	d := s.files.(*disk)
	d.names[s.view().Components[0].File].data = []byte("tampered")
	if measured := evidence().Measured(); !measured[0].ImageDigest.Equal(suit.SumSHA256([]byte("tampered"))) {
		t.Errorf("after tampering measured %+v", measured)
	}
}
