package tam_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/tamarack-tam/tamarack/tam"
)

// Every reason stands in the page for operators, and in the list that bounds metrics.
func TestReasonsAreDocumented(t *testing.T) {
	source, err := os.ReadFile("reasons.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	var declared, listed, documented []string
	for _, m := range regexp.MustCompile(`(?m)^\tReason\w+ +Reason = "([a-z-]+)"`).FindAllSubmatch(source, -1) {
		declared = append(declared, string(m[1]))
	}
	for _, s := range []string{"pending", "rejected", "quarantined", "retired"} {
		declared = append(declared, "device-"+s)
	}
	for _, r := range tam.Reasons() {
		listed = append(listed, string(r))
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| .+ \\| .+ \\|$").FindAllSubmatch(page, -1) {
		documented = append(documented, string(m[1]))
	}
	for _, list := range [][]string{declared, listed, documented} {
		slices.Sort(list)
	}
	if !slices.Equal(listed, declared) {
		t.Errorf("Reasons() has\n%q, reasons.go\n%q", listed, declared)
	}
	if !slices.Equal(documented, declared) {
		t.Errorf("docs/reasons.md has\n%q, reasons.go\n%q", documented, declared)
	}
}
