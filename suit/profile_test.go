package suit

import (
	"slices"
	"strings"
	"testing"
)

func TestCOSEProfileNames(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range COSEProfiles() {
		name := p.String()
		if got, err := ParseCOSEProfile(name); err != nil || got != p || seen[name] || !strings.HasPrefix(name, "suit-sha256-") {
			t.Errorf("%s is read as %v, %v", name, got, err)
		}
		seen[name] = true
	}
	if len(seen) != 6 || !slices.Contains(COSEProfiles(), COSEProfile{-16, -46, -5, -65532}) {
		t.Errorf("profiles %v", COSEProfiles())
	}
	if got := (COSEProfile{-16, -9, -29, 3}).String(); got != "[-16 -9 -29 3]" {
		t.Errorf("another profile is %s", got)
	}
	for _, name := range []string{"", "[-16 -9 -29 3]", "SUIT-SHA256-ESP256-ECDH-A128GCM"} {
		if got, err := ParseCOSEProfile(name); err == nil {
			t.Errorf("%q is read as %v", name, got)
		}
	}
}
