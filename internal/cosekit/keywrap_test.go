package cosekit

import (
	"bytes"
	"errors"
	"testing"
)

// The examples of RFC 3394 section 4.
func TestKeyWrap(t *testing.T) {
	tests := []struct{ kek, key, wrapped string }{
		{"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
			"1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
		{"000102030405060708090a0b0c0d0e0f1011121314151617", "00112233445566778899aabbccddeeff",
			"96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
			"28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
	}
	for _, tt := range tests {
		kek, key, wrapped := unhex(t, tt.kek), unhex(t, tt.key), unhex(t, tt.wrapped)
		if got, err := wrapKey(kek, key); err != nil || !bytes.Equal(got, wrapped) {
			t.Errorf("%d bytes: wrapped %x, %v", len(kek), got, err)
		}
		if got, err := unwrapKey(kek, wrapped); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%d bytes: unwrapped %x, %v", len(kek), got, err)
		}
		for i := range wrapped {
			changed := bytes.Clone(wrapped)
			changed[i] ^= 1
			if got, err := unwrapKey(kek, changed); !errors.Is(err, ErrDecrypt) || got != nil {
				t.Fatalf("byte %d changed: %x, %v", i, got, err)
			}
		}
		for n := range wrapped {
			if got, err := unwrapKey(kek, wrapped[:n]); err == nil || got != nil {
				t.Fatalf("cut to %d bytes: %x, %v", n, got, err)
			}
		}
	}
	if _, err := unwrapKey(make([]byte, 15), make([]byte, 24)); !errors.Is(err, ErrKey) {
		t.Errorf("key of 15 bytes: %v", err)
	}
	if _, err := wrapKey(make([]byte, 16), make([]byte, 20)); !errors.Is(err, ErrKey) {
		t.Errorf("wrapping 20 bytes: %v", err)
	}
	if _, err := unwrapKey(make([]byte, 16), make([]byte, maxWrapped+8)); !errors.Is(err, ErrMalformed) {
		t.Errorf("too long: %v", err)
	}
}
