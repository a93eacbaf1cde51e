package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

// TestHaveBinary: have-binary shows until it is met, and is no hold on the image: one
// that the manifest has by URI is fetched.
func TestHaveBinary(t *testing.T) {
	f := newFakeTAM(t)
	dir := f.initDevice(t)
	poll := func() {
		t.Helper()
		if out, code := execute(t, "poll", "--dir", dir); code != exitOK || f.faults != nil {
			t.Fatalf("exit %d, TAM found %v\n%s", code, f.faults, out)
		}
	}
	f.publish(t, 1, []byte("hello"), f.publisher)
	poll()
	if out, code := execute(t, "request", "app/hello", "--dir", dir, "--min-sequence", "2", "--have-binary"); code != exitOK {
		t.Fatal(out)
	}
	if out, _ := execute(t, "status", "--dir", dir); !strings.Contains(out, "app/hello  sequence 2 or newer, have-binary\n") {
		t.Errorf("status:\n%s", out)
	}
	if out, _ := execute(t, "status", "--dir", dir, "-o", "json"); !strings.Contains(out, `"have_binary": true`) {
		t.Errorf("status:\n%s", out)
	}
	image := []byte("another image")
	f.publish(t, 2, image, f.publisher)
	poll()
	sum := sha256.Sum256(image)
	if out, _ := execute(t, "status", "--dir", dir); !strings.Contains(out, hex.EncodeToString(sum[:])) || strings.Contains(out, "requested") {
		t.Errorf("status:\n%s", out)
	}
}
