package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The committed files are what the generator makes, in whatever process it runs.
func TestCommittedVectorsAreGenerated(t *testing.T) {
	made := generate()
	for name, data := range made {
		committed, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("%v: run go generate ./testvectors", err)
		} else if !bytes.Equal(committed, data) {
			t.Errorf("%s is not what the generator makes: run go generate ./testvectors", name)
		}
	}
	committed, err := vectorFiles("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(committed) != len(made)-1 {
		t.Errorf("%d vectors are committed, %d are generated", len(committed), len(made)-1)
	}
}

func TestRunRemovesWhatIsNoVectorAnyMore(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "teep-iana", "stale.cbor")
	if err := os.Mkdir(filepath.Dir(stale), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte{0}, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", stale, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		t.Error(err)
	}
}
