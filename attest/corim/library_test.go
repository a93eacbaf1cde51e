package corim

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// libraryFile reads test data of veraison/corim where the module cache has it; nothing of
// it is copied here.
func libraryFile(t testing.TB, path string) []byte {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/veraison/corim").Output()
	folder := strings.TrimSpace(string(out))
	if err != nil || folder == "" {
		t.Skipf("the module cache does not have github.com/veraison/corim: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(folder, path))
	if err != nil {
		t.Skipf("the module does not come with its test data: %v", err)
	}
	return raw
}

// asFile puts a bare CoMID into a CoRIM, as veraison/corim does: the tag inside of a byte
// string, profiles in a list.
func asFile(t testing.TB, comid []byte, profile string) *File {
	t.Helper()
	inner := cosekit.MustMarshal(cosekit.Tag{Number: tagCoMID, Content: comid})
	m := map[int]any{0: "a-file", 1: []any{inner}}
	if profile != "" {
		m[3] = []any{taggedItem(32, profile)}
	}
	return readFile(t, cosekit.MustMarshal(m))
}

// TestLibraryFiles reads what veraison/corim ships for its own tests.
func TestLibraryFiles(t *testing.T) {
	for _, c := range []struct {
		path, profile string
		values, keys  int
		labels        string
	}{
		{"cocli/data/comid/comid-psa-refval.cbor", "http://arm.com/psa/iot/1", 3, 0, "BL PRoT ARoT"},
		{"cocli/data/comid/comid-psa-iakpub.cbor", "http://arm.com/psa/iot/1", 0, 2, ""},
		{"cocli/data/comid/comid-cca-refval.cbor", "http://arm.com/cca/ssd/1", 1, 0, KeyPlatformConfig},
		{"cocli/data/comid/comid-cca-mult-refval.cbor", "http://arm.com/cca/ssd/1", 4, 0, "BL PRoT ARoT " + KeyPlatformConfig},
		{"cocli/data/comid/comid-dice-refval.cbor", "", 2, 0, " "},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			f := asFile(t, libraryFile(t, c.path), c.profile)
			var labels []string
			for _, r := range f.References() {
				labels = append(labels, r.Key)
			}
			if len(f.References()) != c.values || len(f.Keys()) != c.keys || strings.Join(labels, " ") != c.labels || len(f.Unread) != 0 {
				t.Errorf("values %q, %d keys, unread %q", labels, len(f.Keys()), f.Unread)
			}
		})
	}
}

// TestLibraryFilesSigned reads a signed file; its signature is one of the library's own
// samples, whose validity is over.
func TestLibraryFilesSigned(t *testing.T) {
	f := readFile(t, libraryFile(t, "cocli/data/corim/signed-corim.cbor"))
	if !f.Signed() || f.SignerName != "ACME Ltd signing key" || f.NotAfter.Year() != 2025 {
		t.Errorf("read %+v", f)
	}
}
