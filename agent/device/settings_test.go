package device

import (
	"os"
	"path/filepath"
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
			s.TAM.ReportKey, s.TAM.EvidenceKey = "tam-reports.pem", "tam-reports.pem"
			s.TAM.Attest, s.TAM.AttestMaxAge = true, time.Minute
			s.Attestation = Attestation{Passport: true}
			switch kind := rapid.SampledFrom([]AttesterKind{AttesterEAT, AttesterPSA, AttesterTPM, AttesterTSM}).Draw(t, "attester"); kind {
			case AttesterPSA:
				s.Attestation = Attestation{Attester: kind, PSA: PSA{ImplementationID: make(HexBytes, 32)}}
			case AttesterTPM:
				s.Attestation = Attestation{Attester: kind, Certificates: "chain.pem", TPM: TPM{Address: "127.0.0.1:2321", PCRs: []uint32{0, 7}, Directory: "ak"}}
			case AttesterTSM:
				s.Attestation = Attestation{Attester: kind, TSM: TSM{Root: "/sys/tsm"}}
			}
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
		{"010001", "040001", "begins with 0x04"},
		{"0d0e0f", "0d0e", "16, 24 or 32"},
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
		{"numbering: iana", "numbering: iana\n  attest-max-age: 1h", "tam.attest to true"},
		{"numbering: iana", "numbering: iana\n  ueid: 0100000000000000000000000000000000", "tam.attest to true"},
		{"numbering: iana", "numbering: iana\n  attest: true\n  ueid: 0102", "a ueid has 7 to 33"},
		{"numbering: iana", "numbering: iana\n  attest: true\n  attest-max-age: -1h", "is negative"},
		{"device:", "attestation: {attester: sgx}\ndevice:", "want eat, psa, tpm or tsm"},
		{"device:", "attestation: {attester: psa}\ndevice:", "implementation-id"},
		{"device:", "attestation: {attester: psa, psa: {implementation-id: 00}}\ndevice:", "1 bytes, a PSA token has 32"},
		{"device:", "attestation: {attester: tsm, certificates: chain.pem}\ndevice:", "attester tsm carries none"},
		{"device:", "attestation: {tpm: {address: /dev/tpm0}}\ndevice:", "the attester is eat"},
		{"device:", "attestation: {attester: tpm, tpm: {pcrs: [0, 24]}}\ndevice:", "attestation.tpm.pcrs[1]: 24, a TPM has 0 to 23"},
		{"device:", "attestation: {attester: tpm, tsm: {root: /x}}\ndevice:", "set attestation.attester to tsm"},
		{"device:", "attestation: {attester: tsm, tpm: {directory: /x}}\ndevice:", "set attestation.attester to tpm"},
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

// TestMistakesSayWhatIsWanted: where it stands, what stands there, and what should.
func TestMistakesSayWhatIsWanted(t *testing.T) {
	for text, want := range map[string]string{
		"conditions: {clock: ture}":                     `line 12, conditions.clock: "ture": want true or false`,
		"conditions:\n  clock: yes":                     `line 13, conditions.clock: "yes": want true or false`,
		"conditions: {battery: {command: cat}}":         "line 12, conditions.battery: want a charge in mWh, or file: and the path where it stands, not keys with values",
		"conditions: {battery: 85%}":                    `line 12, conditions.battery: "85%": want a charge in mWh, such as 3000`,
		"conditions: {authorized: [yes]}":               "line 12, conditions.authorized: want yes, no or a number, or file: and the path where it stands, not a list",
		"conditions: {authorized: perhaps}":             `line 12, conditions.authorized: "perhaps": want yes, no or the highest update-priority`,
		"conditions: {wait: 10}":                        `line 12, conditions.wait: "10": want a time with its unit, such as 10s, 5m or 1h30m`,
		"conditions: [clock]":                           "line 12, conditions: want keys with values, not a list",
		"conditions: {clok: true}":                      "line 12, conditions.clok: unknown key",
		"conditions: {<<: 1}":                           "line 12, conditions: a key that is not plain text: anchors and merges are not read",
		"poll: {interval: 500ms}":                       "line 12, poll.interval: 500ms, at least 1s",
		"poll: {jitter:}":                               "line 12, poll.jitter: want a single value, not nothing",
		"applications: {memory-mib: 0.5}":               `line 12, applications.memory-mib: "0.5": want a whole number`,
		"applications: {memory-mib: 64MiB}":             `line 12, applications.memory-mib: "64MiB": want a whole number`,
		"applications: {memory-mib: 4294967296}":        `line 12, applications.memory-mib: "4294967296": want a whole number up to 4294967295`,
		"manifests: {max-stored: 1e9}":                  `line 12, manifests.max-stored: "1e9": want a whole number`,
		"manifests: {secret-keys: a}":                   "line 12, manifests.secret-keys: want a list such as [first, second], not a single value",
		"manifests:\n  secret-keys:\n  - a\n  - {b: c}": "line 15, manifests.secret-keys[1]: want a single value, not keys with values",
		"manifests: {signatures: both}":                 `line 12, manifests.signatures: signature rule "both": want `,
		"device: {}":                                    `line 12: mapping key "device" already defined`,
		"manifests: {compat: true":                      "line 12: ",
		"--- {}":                                        "more than one YAML document",
	} {
		_, err := ParseSettings([]byte(sound + text + "\n"))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s:\n%v, want\n%s", text, err, want)
		}
	}
	for old, want := range map[string]string{
		"cfbff0d1-9375-5685-968c-48ce8b15ae17": `line 7, device.vendor-id: "Tamarack": want a UUID such as cfbff0d1-9375-5685-968c-48ce8b15ae17`,
		"01000102030405060708090a0b0c0d0e0f":   `line 6, device.ueid: "Tamarack": want hexadecimal digits`,
		"pen:32473":                            `line 9, device.oemid: oemid "Tamarack": write pen:NUMBER, `,
		"iana":                                 `line 4, tam.numbering: unknown TEEP numbering "Tamarack": write iana or pre-iana`,
		"https://tam.example/tam":              "line 3, tam.url: ",
	} {
		_, err := ParseSettings([]byte(strings.Replace(sound, old, "Tamarack", 1)))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n%v, want\n%s", old, err, want)
		}
	}
}

// A section may be there with nothing in it, or have all of its keys commented out.
func TestEmptySections(t *testing.T) {
	s, err := ParseSettings([]byte(sound + "conditions:\n  # clock: true\nmanifests: {}\n"))
	if err != nil || s.Conditions != (Conditions{}) {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestFilesOfTheSettings: what they name is looked for when the device is opened or looked
// at, and everything that is missing is told at once.
func TestFilesOfTheSettings(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	none, bad, long := filepath.Join(dir, "none"), file("bad", "neither key nor certificate"), file("long", strings.Repeat("9", maxFact+1))
	for text, want := range map[string]string{
		"manifests: {secret-keys: [" + none + "]}":      "line 12, manifests.secret-keys[0]: open " + none,
		"manifests: {secret-keys: [" + bad + "]}":       "line 12, manifests.secret-keys[0]: " + bad,
		"conditions: {battery: 'file:" + none + "'}":    "line 12, conditions.battery: open " + none,
		"conditions: {battery: 'file:" + long + "'}":    "line 12, conditions.battery: " + long + " has more than 64 bytes",
		"attestation: {certificates: " + none + "}":     "line 12, attestation.certificates: open " + none,
		"attestation: {certificates: " + bad + "}":      "line 12, attestation.certificates: " + bad + ": no certificate",
		"conditions: {authorized: 'file:" + none + "'}": "line 12, conditions.authorized: open " + none,
	} {
		path := file("config.yaml", sound+text+"\n")
		if _, err := loadSettings(path); err == nil || !strings.HasPrefix(err.Error(), path+": "+want) || !strings.Contains(err.Error(), "; ") {
			t.Errorf("%s:\n%v, want\n%s", text, err, want)
		}
	}
	path := file("config.yaml", strings.Replace(sound, "  numbering", "  ca-file: "+bad+"\n  report-encryption-key: "+bad+"\n  numbering", 1)+
		"conditions: {battery: 'file:"+none+"'}\n")
	_, err := loadSettings(path)
	for _, want := range []string{"line 4, tam.ca-file: " + bad, "line 5, tam.report-encryption-key: " + bad, "line 14, conditions.battery: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want also %s", err, want)
		}
	}
	if _, err := loadSettings(file("config.yaml", sound+"conditions: {battery: 'file:"+file("charge", "900\n")+"'}\n")); err != nil {
		t.Error(err)
	}
}

// TestTimeOfOneManifest: the settings bound all waits of a manifest together, and all of
// its self-tests.
func TestTimeOfOneManifest(t *testing.T) {
	l := Settings{Conditions: Conditions{Wait: 3 * time.Second}, Applications: Applications{Time: 5 * time.Second}}.limits()
	if l.Waiting != 3*time.Second || l.Custom != 10*time.Second {
		t.Errorf("%s of waiting, %s of self-tests", l.Waiting, l.Custom)
	}
}
