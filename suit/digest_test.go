package suit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// TestDigestAlgorithms holds each algorithm against the digest of "abc" (FIPS 180-4,
// FIPS 202), in the lengths of RFC 9054.
func TestDigestAlgorithms(t *testing.T) {
	for _, tt := range []struct {
		algorithm DigestAlgorithm
		name, abc string
	}{
		{SHA256, "sha-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{SHA384, "sha-384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"},
		{SHA512, "sha-512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
		{SHAKE128, "shake128", "5881092dd818bf5cf8a3ddb793fbcba74097d5c526a6d35f97b83351940f2cc8"},
		{SHAKE256, "shake256", "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739d5a15bef186a5386c75744c0527e1faa9f8726e462a12a4feb06bd8801e751e4"},
	} {
		h, ok := tt.algorithm.New()
		if !ok || tt.algorithm.String() != tt.name {
			t.Errorf("%s: supported %v, named %s", tt.name, ok, tt.algorithm)
			continue
		}
		h.Write([]byte("a"))
		h.Sum(nil) // must not disturb what follows
		h.Write([]byte("bc"))
		sum := h.Sum([]byte{9})
		if sum[0] != 9 || hex.EncodeToString(sum[1:]) != tt.abc || h.Size() != len(sum)-1 {
			t.Errorf("%s: got %x, want %s", tt.name, sum[1:], tt.abc)
		}
	}
	if h, ok := DigestAlgorithm(-17).New(); ok || h != nil {
		t.Error("SHA-256/64 passes for a supported algorithm")
	}
}

func TestDigestCBOR(t *testing.T) {
	d := SumSHA256([]byte("abc"))
	encoded, err := cosekit.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(fromHex(t, "822f5820"), d.Bytes...); !bytes.Equal(encoded, want) {
		t.Errorf("got %x, want %x", encoded, want)
	}
	var got Digest
	if err := cosekit.Unmarshal(encoded, &got); err != nil || !got.Equal(d) {
		t.Errorf("got %s, %v", got, err)
	}
	clear(encoded)
	if !got.Equal(d) {
		t.Error("the digest changed with its buffer")
	}
	// An extension is ignored, an algorithm that is not known kept.
	for item, want := range map[string]Digest{
		"83 2f5820" + hex.EncodeToString(d.Bytes) + "a0": d,
		"82 1903e7 4101": {Algorithm: 999, Bytes: []byte{1}},
	} {
		if err := cosekit.Unmarshal(fromHex(t, item), &got); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %s, %v", item, got, err)
		}
	}
}

func TestDigestRefuses(t *testing.T) {
	for name, item := range map[string]string{
		"null":                 "f6",
		"a byte string":        "4101",
		"empty":                "80",
		"no bytes":             "812f",
		"empty bytes":          "821903e740",
		"bytes null":           "821903e7f6",
		"bytes an array":       "821903e78101",
		"algorithm text":       "8261614101",
		"algorithm null":       "82f64101",
		"SHA-256 of 31 bytes":  "822f581f" + hex.EncodeToString(make([]byte, 31)),
		"SHA-256 of 33 bytes":  "822f5821" + hex.EncodeToString(make([]byte, 33)),
		"SHA-512 of 32 bytes":  "82382b5820" + hex.EncodeToString(make([]byte, 32)),
		"algorithm of 2^64-1":  "821bffffffffffffffff4101",
		"a trailing byte":      "821903e7410100",
		"a duplicate extended": "831903e74101a201010101",
	} {
		d := Digest{Algorithm: 1}
		if err := cosekit.Unmarshal(fromHex(t, item), &d); !errors.Is(err, cosekit.ErrMalformed) || d.Bytes != nil {
			t.Errorf("%s: got %s, %v; want ErrMalformed", name, d, err)
		}
	}
	for _, d := range []Digest{{}, {Algorithm: SHA256}, {Algorithm: SHA256, Bytes: []byte{1}}, {Algorithm: 999}} {
		if b, err := d.MarshalCBOR(); !errors.Is(err, cosekit.ErrMalformed) {
			t.Errorf("%s encodes as %x, %v", d, b, err)
		}
	}
}

func TestDigestCompare(t *testing.T) {
	d := SumSHA256([]byte("abc"))
	if d.Equal(SumSHA256([]byte("abd"))) || d.Equal(Digest{Algorithm: SHAKE128, Bytes: d.Bytes}) || d.Equal(Digest{}) {
		t.Error("different digests are equal")
	}
	if d.IsZero() || !(Digest{}).IsZero() {
		t.Error("IsZero is wrong")
	}
	if got, want := d.String(), "sha-256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := (Digest{Algorithm: -99, Bytes: []byte{1}}).String(), "digest algorithm -99:01"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
