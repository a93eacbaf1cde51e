package tamarack

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tamarack-tam/tamarack/"

// layers is the house of docs/concepts.md, lowest first. A package imports only
// packages of lower layers.
var layers = [][]string{
	{"internal/cosekit", "internal/cosekit/hsstest", "internal/expr", "internal/lines"},
	{"suit"},
	{"teep", "attest", "devices/anchor", "suit/processor", "suit/author"},
	{"attest/evidence", "attest/ear", "attest/corim", "attest/policy", "internal/inspect"},
	{"attest/local", "attest/local/localtest", "attest/veraison", "attest/veraison/veraisontest"},
	{"devices"},
	{"tam/audit"},
	{"tam", "agent"},
	{"tam/teephttp", "tam/metrics", "tam/rollout", "agent/attester", "agent/broker", "agent/tee", "agent/wasm"},
	{"tam/anchors", "agent/device", "agent/wasm/sample"},
	{"tam/store", "tam/storetest", "tam/api", "tam/api/client", "tam/webhook"},
	{"tam/console"},
	{"testvectors"},
	{"testvectors/gen", "cmd/tamarack", "cmd/tamctl", "cmd/teep-agent"},
}

// only names the packages that may import a package from outside, or the
// packages that may not.
var only = map[string]func(pkg string) bool{
	"github.com/gin-gonic/gin": oneOf("tam/teephttp", "tam/api", "tam/console"),
	"database/sql":             oneOf("tam/store"),
	"github.com/prometheus/client_golang/prometheus": oneOf("tam/metrics"),
	// What tests hold the product against is no part of it.
	"github.com/google/go-sev-guest/verify": oneOf(),
	"github.com/google/go-tdx-guest/verify": oneOf(),
	"github.com/veraison/corim/corim":       oneOf(),
	"github.com/veraison/corim/comid":       oneOf(),
	"os":                                    noneOf("suit", "teep", "devices/anchor"),
	"net":                                   noneOf("suit", "teep", "devices/anchor"),
	"net/http":                              noneOf("suit", "teep", "devices/anchor", "tam", "agent"),
}

func oneOf(list ...string) func(string) bool {
	return func(pkg string) bool { return slices.Contains(list, pkg) }
}

func noneOf(list ...string) func(string) bool {
	return func(pkg string) bool { return !slices.Contains(list, pkg) }
}

func TestLayers(t *testing.T) {
	rank := map[string]int{}
	for i, layer := range layers {
		for _, pkg := range layer {
			rank[pkg] = i
		}
	}
	for pkg, imports := range productImports(t) {
		level, known := rank[pkg]
		if !known {
			t.Errorf("package %s stands in no layer: add it to the table and to docs/concepts.md", pkg)
			continue
		}
		for _, imp := range imports {
			if allowed, ok := only[imp]; ok && !allowed(pkg) {
				t.Errorf("%s imports %s, which is not for it", pkg, imp)
			}
			inner, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if below, ok := rank[inner]; ok && below >= level {
				t.Errorf("%s imports %s, which does not stand below it", pkg, inner)
			}
			if crosses(pkg, inner) {
				t.Errorf("%s imports %s: the two sides meet only in messages", pkg, inner)
			}
		}
	}
}

// crosses reports whether one side of the protocol would reach into the other,
// or the operators' CLI past its API client.
func crosses(pkg, imp string) bool {
	switch {
	case in(pkg, "tam"):
		return in(imp, "agent")
	case in(pkg, "agent"), in(pkg, "cmd/teep-agent"):
		return in(imp, "tam")
	case in(pkg, "cmd/tamctl"):
		// A simulated device is a component store, and applications that run.
		return in(imp, "agent") && imp != "agent/tee" && imp != "agent/wasm" || in(imp, "tam") && imp != "tam/api/client"
	}
	return false
}

func in(pkg, tree string) bool { return pkg == tree || strings.HasPrefix(pkg, tree+"/") }

// productImports returns the imports of every package, tests left out.
func productImports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[pkg] = append(found[pkg], imp)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no packages found")
	}
	return found
}
