package store

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func numberedKey(t *testing.T, n int) *cosekit.PublicKey {
	t.Helper()
	public := make(ed25519.PublicKey, ed25519.PublicKeySize)
	binary.BigEndian.PutUint64(public, uint64(n))
	k, err := cosekit.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyCacheIsBounded(t *testing.T) {
	var c keyCache
	for n := range 3 * keyGeneration {
		want := numberedKey(t, n)
		for range 2 {
			if got, err := c.parse(want.COSEKey()); err != nil || !got.Equal(want) {
				t.Fatalf("key %d: got %v (%v)", n, got, err)
			}
		}
		if kept := len(c.young) + len(c.aged); kept > 2*keyGeneration {
			t.Fatalf("%d keys kept", kept)
		}
	}
	last := numberedKey(t, 3*keyGeneration-1).COSEKey()
	first, err := c.parse(last)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := c.parse(last); err != nil || first != second {
		t.Errorf("parsed again (%v)", err)
	}
}

func TestKeyCacheKeepsNoFaults(t *testing.T) {
	var c keyCache
	for range 2 {
		if _, err := c.parse([]byte{0xa0}); !errors.Is(err, cosekit.ErrKey) {
			t.Errorf("got %v, want ErrKey", err)
		}
	}
	if len(c.young) != 0 {
		t.Error("a key that cannot be parsed was kept")
	}
}

// What an agent signs with is for messages; anchors may have keys for manifests alone.
func TestStoredKeysForManifestsOnly(t *testing.T) {
	signer, err := cosekit.GenerateSigner(cosekit.MLDSA44)
	if err != nil {
		t.Fatal(err)
	}
	key := signer.PublicKey()
	if got, err := keyOf("anchor key", key.COSEKey()); err != nil || !got.Equal(key) {
		t.Errorf("anchor: %v, %v", got, err)
	}
	if got, err := teepKeyOf("agent key", key.COSEKey()); !errors.Is(err, cosekit.ErrKey) {
		t.Errorf("agent: %v, %v", got, err)
	}
	classical := numberedKey(t, 1)
	if got, err := teepKeyOf("agent key", classical.COSEKey()); err != nil || !got.Equal(classical) {
		t.Errorf("agent: %v, %v", got, err)
	}
	if got, err := teepKeyOf("report key", nil); err != nil || got != nil {
		t.Errorf("no report key: %v, %v", got, err)
	}
}

// A column of another type than the program takes it for is a fault, not a zero.
func TestRowFault(t *testing.T) {
	s := openFile(t)
	withWriter(t, s, func(c *conn) {
		tr := &transaction{ctx: t.Context(), conn: c}
		for text, scan := range map[string]func(*row) (any, error){
			`SELECT 1`:     func(r *row) (any, error) { return r.text(), nil },
			`SELECT 'a'`:   func(r *row) (any, error) { return r.bytes(), nil },
			`SELECT NULL`:  func(r *row) (any, error) { return r.int(), nil },
			`SELECT 1 + 1`: func(r *row) (any, error) { return r.int() + r.int(), nil }, // one column
		} {
			c.prepared = append(c.prepared, nil)
			if _, err := list(tr, &statement{len(c.prepared) - 1, text}, scan); err == nil {
				t.Errorf("%s: no error", text)
			}
		}
	})
}
