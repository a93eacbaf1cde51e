// Command gen makes the vectors of package testvectors in the current folder. Its
// keys are stated and its signatures deterministic, so every run gives the same bytes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "testvectors:", err)
		os.Exit(1)
	}
}

// run writes every file, and removes the vectors of before that are none any more.
func run(dir string) error {
	made := generate()
	old, err := vectorFiles(dir)
	if err != nil {
		return err
	}
	for _, path := range old {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if _, keep := made[filepath.ToSlash(name)]; keep {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for name, data := range made {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// vectorFiles lists what is a vector by its name.
func vectorFiles(dir string) ([]string, error) {
	var all []string
	for _, pattern := range []string{"*.cbor", "*.jwt"} {
		found, err := filepath.Glob(filepath.Join(dir, "*", pattern))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}
