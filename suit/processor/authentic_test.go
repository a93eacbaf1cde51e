package processor

import (
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

var author = func() cosekit.Signer {
	signer, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		panic(err)
	}
	return signer
}()

// authentic signs the manifest and takes it through the one door to a Verified.
func authentic(t testing.TB, m *suit.Manifest, payloads map[string][]byte) *suit.Verified {
	t.Helper()
	return verify(t, signed(t, m, payloads))
}

func signed(t testing.TB, m *suit.Manifest, payloads map[string][]byte) []byte {
	t.Helper()
	envelope, err := suit.Sign(m, payloads, author)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := envelope.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func verify(t testing.TB, encoded []byte) *suit.Verified {
	t.Helper()
	envelope, err := suit.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	v, err := envelope.Verify(suit.KeyList{author.PublicKey()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
