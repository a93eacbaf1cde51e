package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Where the public key cannot be written, the private one does not stay either. The
// longer of the two names is longer than file systems allow.
func TestKeyPairIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, strings.Repeat("k", 250))
	if _, err := makeKeyFiles(private, signing(cosekit.ESP256)); err == nil || !strings.Contains(err.Error(), "write "+publicPath(private)) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
