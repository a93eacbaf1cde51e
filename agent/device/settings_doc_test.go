package device

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/attester"
	"github.com/tamarack-tam/tamarack/agent/wasm"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// settingsKeys are the dotted names in config.yaml of all that a structure holds.
func settingsKeys(prefix string, t reflect.Type) (names []string) {
	text := reflect.TypeFor[encoding.TextUnmarshaler]()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Type.Kind() == reflect.Struct && !reflect.PointerTo(f.Type).Implements(text) {
			names = append(names, settingsKeys(prefix+tag+".", f.Type)...)
			continue
		}
		names = append(names, prefix+tag)
	}
	return names
}

// The page about devices has a row for every setting and no other, with the default
// where the program has one.
func TestSettingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/device.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Settings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| (?:`([^`]*)` )?\\| [^|]+ \\|$").FindAllStringSubmatch(section, -1) {
		listed[row[1]] = row[2]
	}
	names := settingsKeys("", reflect.TypeFor[Settings]())
	for _, name := range names {
		if _, ok := listed[name]; !ok {
			t.Errorf("docs/device.md has no row for %s", name)
		}
	}
	for name := range listed {
		if !slices.Contains(names, name) {
			t.Errorf("docs/device.md has a row for %s, which is no setting", name)
		}
	}
	limits, apps := processor.DefaultLimits(), wasm.DefaultLimits()
	for name, want := range map[string]any{
		"tam.numbering": teep.Numbering(0), "manifests.signatures": "any",
		"poll.interval": DefaultPolling.Interval, "poll.jitter": DefaultPolling.Jitter, "poll.timeout": DefaultPolling.Timeout,
		"poll.download-timeout": DefaultPolling.Download, "poll.stall-timeout": DefaultPolling.Stall,
		"manifests.max-download": limits.FetchedBytes, "manifests.max-stored": limits.StoredBytes,
		"tam.attest-max-age": DefaultAttestMaxAge, "attestation.attester": AttesterEAT,
		"attestation.tpm.address": DefaultTPM, "attestation.tpm.pcrs": strings.ReplaceAll(fmt.Sprint(DefaultPCRs), " ", ", "), "attestation.tsm.root": attester.DirectoryTSM,
		"applications.time": apps.Time, "applications.memory-mib": apps.Memory / pagesPerMiB,
	} {
		if got := listed[name]; got != fmt.Sprint(want) {
			t.Errorf("docs/device.md has %q as the default of %s, it is %v", got, name, want)
		}
	}
}
