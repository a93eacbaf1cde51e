package device

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TestSettingsRoundTrip draws identifiers of all kinds, among them hexadecimal ones
// that YAML would take for numbers ("0e10", "017").
func TestSettingsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.SampledFrom([]byte("0123456789abcdef"))
		if rapid.Bool().Draw(t, "numeric") {
			digits = rapid.SampledFrom([]byte("0123456789e"))
		}
		hex := func(n int) string { return string(rapid.SliceOfN(digits, n, n).Draw(t, "hex")) }
		var ueid HexBytes
		if err := ueid.UnmarshalText([]byte("01" + hex(32))); err != nil {
			t.Fatal(err)
		}
		oemid, err := ParseOEMID(rapid.SampledFrom([]string{"pen:32473", "ieee:" + hex(6), hex(32)}).Draw(t, "oemid"))
		if err != nil {
			t.Fatal(err)
		}
		s := Settings{
			TAM:  TAM{URL: "https://tam.example/tam", Numbering: teep.Numbering(rapid.IntRange(0, 1).Draw(t, "numbering"))},
			Poll: Polling{Interval: time.Minute, Timeout: 90 * time.Second, Download: time.Hour, Stall: 20 * time.Second},
			Identity: Identity{
				UEID: ueid, Vendor: uuid.New(), Class: uuid.New(), OEMID: oemid,
				Model: rapid.SampledFrom([]string{"lamp", "1", "true", "null", "a: b", "é"}).Draw(t, "model"), HWVersion: "1.0",
			},
		}
		if rapid.Bool().Draw(t, "conditions") {
			s.Manifests = Manifests{
				Signatures: SignatureRule(suit.ClassicalAndPostQuantum), Compat: true, MaxDownload: 1, MaxStored: 2, SecretKeys: []string{"a", "b"},
			}
			s.Conditions = Conditions{
				Battery:    rapid.SampledFrom([]*Source{nil, {Value: "1000"}, {File: "/run/battery"}}).Draw(t, "battery"),
				Authorized: rapid.SampledFrom([]*Source{nil, {Value: "yes"}, {Value: "-3"}, {File: "/run/authorized"}}).Draw(t, "authorized"),
				Clock:      rapid.Bool().Draw(t, "clock"), Wait: time.Minute,
			}
			s.Applications = Applications{Time: time.Second, Memory: 8}
			s.TAM.ReportKey = "tam-reports.pem"
		}
		if rapid.Bool().Draw(t, "device id") {
			id := uuid.New()
			s.Identity.Device = &id
		}
		data, err := yaml.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSettings(data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if !reflect.DeepEqual(got, s) {
			t.Fatalf("read back as %+v, wrote %+v\n%s", got, s, data)
		}
	})
}

const sound = `
tam:
  url: https://tam.example/tam
  numbering: iana
device:
  ueid: 01000102030405060708090a0b0c0d0e0f
  vendor-id: cfbff0d1-9375-5685-968c-48ce8b15ae17
  class-id: 7fd968df-da31-5a19-b454-35f5cb2264c7
  oemid: pen:32473
  model: lamp
  hwversion: "1"
`

// TestConditionsAsPeopleWriteThem: YAML has types of its own for them.
func TestConditionsAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]Source{
		"yes": {Value: "yes"}, "no": {Value: "no"}, "true": {Value: "true"}, "3": {Value: "3"}, `"3"`: {Value: "3"}, "-3": {Value: "-3"},
		"file:/run/x": {File: "/run/x"},
	} {
		s, err := ParseSettings([]byte(sound + "conditions: {authorized: " + text + "}\n"))
		if err != nil || s.Conditions.Authorized == nil || *s.Conditions.Authorized != want {
			t.Errorf("%s: %+v, %v", text, s.Conditions.Authorized, err)
		}
	}
}

func TestSettingsRefused(t *testing.T) {
	if s, err := ParseSettings([]byte(sound)); err != nil || s.Poll != DefaultPolling {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"tam:", "tams:", "tams"},
		{"  numbering: iana", "  numbering: iana\n  colour: red", "colour"},
		{"numbering: iana", "numbering: roman", "roman"},
		{"https://tam.example/tam", "http://tam.example/tam", "loopback"},
		{"https://tam.example/tam", "ftp://tam.example/tam", "https"},
		{"010001", "040001", "type 0x04"},
		{"0d0e0f", "0d0e", "17, 25 or 33"},
		{"0d0e0f", "0d0e0g", "hexadecimal"},
		{"cfbff0d1-9375-5685-968c-48ce8b15ae17", "00000000-0000-0000-0000-000000000000", "vendor-id"},
		{"  oemid: pen:32473\n", "", "oemid"},
		{"pen:32473", "32473", "oemid"},
		{"model: lamp", "model: " + strings.Repeat("x", 33), "model"},
		{`hwversion: "1"`, `hwversion: ""`, "hwversion"},
		{`hwversion: "1"`, "hwversion: " + strings.Repeat("9", 65), "hwversion"},
		{"device:", "poll: {interval: 10ms}\ndevice:", "poll.interval"},
		{"device:", "poll: {jitter: -1s}\ndevice:", "poll.jitter"},
		{"device:", "poll: {timeout: 0s}\ndevice:", "poll.timeout"},
		{"device:", "poll: {download-timeout: 0s}\ndevice:", "poll.download-timeout"},
		{"device:", "poll: {stall-timeout: 0s}\ndevice:", "poll.stall-timeout"},
		{"device:", "manifests: {signatures: all}\ndevice:", "classical+post-quantum"},
		{"device:", "manifests: {compat: perhaps}\ndevice:", "compat"},
		{"device:", "manifests: {max-download: -1}\ndevice:", "max-download"},
		{"device:", "manifests: {colour: red}\ndevice:", "colour"},
		{"device:", "conditions: {battery: full}\ndevice:", "conditions.battery"},
		{"device:", "conditions: {battery: \"file:\"}\ndevice:", "names no file"},
		{"device:", "conditions: {authorized: perhaps}\ndevice:", "conditions.authorized"},
		{"device:", "conditions: {authorized: 1.5}\ndevice:", "conditions.authorized"},
		{"device:", "conditions: {wait: -1s}\ndevice:", "conditions.wait"},
		{"device:", "conditions: {colour: red}\ndevice:", "colour"},
		{"device:", "applications: {time: -1s}\ndevice:", "applications.time"},
		{"device:", "applications: {memory-mib: 4097}\ndevice:", "applications.memory-mib"},
	} {
		text := strings.Replace(sound, tt.old, tt.new, 1)
		if text == sound {
			t.Fatalf("%q is not in the sound settings", tt.old)
		}
		if _, err := ParseSettings([]byte(text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want a word about %q", tt.new, err, tt.want)
		}
	}
}
