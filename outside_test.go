package tamarack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOutsideTheModule runs the examples of the SUIT packages in a module of somebody
// else, where internal packages cannot be imported: everything that they need to name
// has to be within reach. It needs the go tool, as TestDocumentCommands does.
func TestOutsideTheModule(t *testing.T) {
	if os.Getenv("TAMARACK_TEST_DOCS") == "" {
		t.Skip("set TAMARACK_TEST_DOCS=1 to build a module that uses the SUIT packages")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", []byte("module example.com/outside\n\ngo 1.26.0\n"))
	write("go.work", fmt.Appendf(nil, "go 1.26.0\n\nuse (\n\t.\n\t%q\n)\n", here))
	for _, pkg := range []string{"suit", "suit/author", "suit/processor"} {
		example, err := os.ReadFile(filepath.Join(here, pkg, "example_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(pkg, "example_test.go"), example)
		write(filepath.Join(pkg, "doc.go"), []byte("package "+filepath.Base(pkg)))
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(dir, "go.work"), "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
