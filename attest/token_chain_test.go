package attest

import (
	"bytes"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TestSignEATWithChain: the certificates travel beside the signature, which holds as
// without them.
func TestSignEATWithChain(t *testing.T) {
	claims, signer := goodClaims(t), testSigner(t, 2)
	leaf, ca := []byte("certificate of the leaf"), []byte("certificate of the CA")
	for name, tt := range map[string]struct {
		chain []*x509.Certificate
		want  any
	}{
		"one":     {[]*x509.Certificate{{Raw: leaf}}, leaf},
		"several": {[]*x509.Certificate{{Raw: leaf}, {Raw: ca}}, []any{leaf, ca}},
	} {
		token, err := SignEAT(claims, signer, tt.chain...)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := cosekit.Elements(token)
		if err != nil {
			t.Fatal(err)
		}
		kid := signer.PublicKey().Thumbprint()
		if want := cosekit.MustMarshal(map[int64]any{4: kid[:], 33: tt.want}); !bytes.Equal(parts[1], want) {
			t.Errorf("%s: header %x, want %x", name, []byte(parts[1]), want)
		}
		eat, err := ParseEAT(token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if named, ok := eat.KeyID(); !ok || named != kid {
			t.Errorf("%s: kid %s, %t", name, named, ok)
		}
		if _, err := eat.Verify(signer.PublicKey(), false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	large := &x509.Certificate{Raw: make([]byte, cosekit.MaxHeader)}
	if _, err := SignEAT(claims, signer, large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a certificate that no reader takes: %v", err)
	}
}
