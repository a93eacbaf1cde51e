package inspect

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// FuzzInspect: no input makes the reader panic, and what it writes is bounded by what
// it reads.
func FuzzInspect(f *testing.F) {
	for _, data := range [][]byte{
		helloEnvelope(f), evidence(f), result(f), successMessage(f), jwtResult(), signer(f, 0).PublicKey().COSEKey(),
		familyEnvelope(f), must[[]byte](f)(familyReport().Encode()), referenceValues(f), boundEvidence(f, nil), localtest.NewCCA("one").Token(make([]byte, 64), nil, nil),
	} {
		f.Add(data, "")
	}
	if root := os.Getenv("TEEP_VECTORS"); root != "" {
		files, err := filepath.Glob(filepath.Join(root, "*", "*.cbor"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no vectors in %s: %v", root, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, "")
		}
	}
	for _, kind := range Kinds() {
		f.Add([]byte{0xa0}, string(kind))
	}
	keys := []*Key{NewKey(signer(f, 0).PublicKey())}
	f.Fuzz(func(t *testing.T, data []byte, as string) {
		kind, err := ParseKind(as)
		if err != nil {
			kind = ""
		}
		if len(data) > 1<<12 {
			return
		}
		if input, err := ReadInput(strings.NewReader(string(data))); err == nil {
			data = input
		}
		for _, numbering := range []teep.Numbering{teep.IANA, teep.PreIANA} {
			r, err := Inspect(data, Options{As: kind, Numbering: numbering, Keys: keys, MACKeys: []*cosekit.SecretKey{secretKey(t, make([]byte, 32))}})
			if err != nil {
				continue
			}
			var text strings.Builder
			if err := r.WriteText(&text, true); err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if most := 1 << 21; text.Len() > most || len(encoded) > most {
				t.Errorf("%d bytes become %d of text and %d of JSON", len(data), text.Len(), len(encoded))
			}
		}
		if out, err := Diagnose(data); err == nil && len(out) > 1<<18 {
			t.Errorf("%d bytes become %d of diagnostic notation", len(data), len(out))
		}
	})
}
