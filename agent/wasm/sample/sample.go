package sample

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed sample.wat
var source string

// maxVersion is what the texts in sample.wat have room for.
const maxVersion = 32

// Application makes the module of one version. A healthy one passes its self-test, a
// broken one fails it with exit code 1.
func Application(version string, healthy bool) ([]byte, error) {
	if len(version) > maxVersion || strings.ContainsFunc(version, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\{}`, r) }) {
		return nil, fmt.Errorf("version %q: want at most %d visible characters without quotes", version, maxVersion)
	}
	health, verdict := "0", "passed"
	if !healthy {
		health, verdict = "1", "FAILED"
	}
	return Assemble(strings.NewReplacer("{version}", version, "{health}", health, "{verdict}", verdict).Replace(source))
}
