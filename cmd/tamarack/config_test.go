package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tamarack.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	file := writeConfig(t, `
data: from-file
teep:
  listen: 127.0.0.1:1
  endpoints:
    - path: /old
      numbering: pre-iana
      debug: true
      legacy_algorithms: true
      first_request: eddsa
      freshness: timestamp
      try_keys: [0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20]
attestation: {max_age: 36h}
`)
	c, err := LoadConfig(file,
		[]string{"TAMARACK_DATA=from-env", "TAMARACK_TEEP_LISTEN=127.0.0.1:2", "HOME=/root"},
		map[string]string{"teep.listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "from-env" || c.TEEP.Listen != "127.0.0.1:3" || c.Attestation.MaxAge != 36*time.Hour {
		t.Errorf("got data %q, listen %q, max age %v", c.Data, c.TEEP.Listen, c.Attestation.MaxAge)
	}
	if len(c.TEEP.Endpoints) != 1 || c.TEEP.Endpoints[0].Numbering != teep.PreIANA || !c.TEEP.Endpoints[0].Debug {
		t.Errorf("endpoints %+v", c.TEEP.Endpoints)
	}
	if ep := c.endpoints()[0]; ep.FirstRequest != cosekit.LegacyEdDSA || ep.Freshness != teep.FreshnessTimestamp || len(ep.TryKeys) != 1 || ep.TryKeys[0][31] != 0x20 {
		t.Errorf("endpoint %+v", ep)
	}
	if c.API.TokenFile != filepath.Join("from-env", "admin.token") {
		t.Errorf("token file %q", c.API.TokenFile)
	}
}

func TestConfigRefusals(t *testing.T) {
	tests := map[string]struct {
		file  string
		env   []string
		flags map[string]string
		want  string
	}{
		"unknown key in file":      {file: "teep: {lissten: x}", want: "lissten"},
		"not YAML":                 {file: "teep: [", want: "configuration"},
		"unknown environment":      {env: []string{"TAMARACK_TEEP_LISTN=x"}, want: "TAMARACK_TEEP_LISTN names no key"},
		"bad duration":             {flags: map[string]string{"attestation.max_age": "soon"}, want: "--attestation.max_age"},
		"bad choice":               {flags: map[string]string{"attestation.admission": "all"}, want: `attestation.admission: "all" is not one of`},
		"bad numbering":            {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: /a, numbering: guess}]"}, want: "TAMARACK_TEEP_ENDPOINTS"},
		"address without port":     {flags: map[string]string{"api.listen": "localhost"}, want: "api.listen"},
		"metrics without port":     {flags: map[string]string{"metrics.listen": "localhost"}, want: "metrics.listen"},
		"endpoint over payloads":   {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: /payloads/x}]"}, want: "/payloads is taken"},
		"endpoint with a wildcard": {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: '/t/:id'}]"}, want: "not a plain path"},
		"endpoint twice":           {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: /a}, {path: /a}]"}, want: "there twice"},
		"ES256 without leave":      {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: /a, first_request: es256}]"}, want: "must allow legacy algorithms"},
		"timestamps, token first":  {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: /a, freshness: timestamp, first_contact: token}]"}, want: "first contact"},
		"another freshness":        {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: /a, freshness: epoch}]"}, want: `freshness: "epoch" is not one of nonce, timestamp`},
		"a key that is none":       {env: []string{"TAMARACK_TEEP_ENDPOINTS=[{path: /a, try_keys: [abc]}]"}, want: "try_keys"},
		"no endpoint":              {env: []string{"TAMARACK_TEEP_ENDPOINTS=[]"}, want: "at least one"},
		"API beyond loopback":      {flags: map[string]string{"api.listen": "0.0.0.0:8778"}, want: "in the clear"},
		"public URL without host":  {flags: map[string]string{"teep.public_url": "/payloads"}, want: "teep.public_url"},
		"every address, no URL":    {flags: map[string]string{"teep.listen": "0.0.0.0:8777"}, want: "teep.public_url"},
		"port out of range":        {flags: map[string]string{"api.listen": "127.0.0.1:99999"}, want: "not host:port"},
		"number for a duration":    {flags: map[string]string{"attestation.max_age": "3"}, want: "such as 90s"},
		"half of TLS":              {flags: map[string]string{"teep.tls_cert": "a.pem"}, want: "go together"},
		"zero lifetime":            {flags: map[string]string{"sessions.token_lifetime": "0s"}, want: "must be above 0"},
		"two faults at once":       {flags: map[string]string{"data": "", "log.level": "loud"}, want: "log.level"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := ""
			if tt.file != "" {
				file = writeConfig(t, tt.file)
			}
			_, err := LoadConfig(file, tt.env, tt.flags)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"), nil, nil); err == nil {
		t.Error("a missing file was accepted")
	}
}

// Every key must be settable from the text that 'config keys' shows for it.
func TestConfigKeysRoundTrip(t *testing.T) {
	want := DefaultConfig()
	flags := map[string]string{}
	for _, k := range want.keys() {
		if k.doc == "" {
			t.Errorf("key %s has no doc", k.name)
		}
		flags[k.name] = k.text()
	}
	got, err := LoadConfig("", nil, flags)
	if err != nil {
		t.Fatal(err)
	}
	got.API.TokenFile = ""
	for i, k := range got.keys() {
		if k.text() != want.keys()[i].text() {
			t.Errorf("%s: %s became %s", k.name, want.keys()[i].text(), k.text())
		}
	}
}

// The page for operators has a row for every key, with its default, and for every
// member of an endpoint and of a verifier.
func TestConfigKeysAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults := DefaultConfig()
	var rows []string
	for _, k := range defaults.keys() {
		if k.value.Kind() == reflect.Slice {
			rows = append(rows, fmt.Sprintf("\n| `%s` | ", k.name))
			continue
		}
		rows = append(rows, fmt.Sprintf("\n| `%s` | `%s` | %s |\n", k.name, k.text(), k.doc))
	}
	for _, member := range append(leaves("", reflect.ValueOf(EndpointConfig{})), leaves("", reflect.ValueOf(VerifierConfig{}))...) {
		rows = append(rows, fmt.Sprintf("\n| `%s` | ", member.name))
	}
	for _, row := range rows {
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/operations.md has no row%s", row)
		}
	}
}

// The help shows a text as it is given, and no default where there is none.
func TestConfigFlagsShowPlainDefaults(t *testing.T) {
	cmd := &cobra.Command{}
	configFlags(cmd, nil)
	help := cmd.Flags().FlagUsages()
	for _, want := range []string{`(default "127.0.0.1:8778")`, `(default "24h0m0s")`, "list of endpoints, as YAML (default "} {
		if !strings.Contains(help, want) {
			t.Errorf("%s is not in\n%s", want, help)
		}
	}
	if strings.Contains(help, `(default "\"`) {
		t.Errorf("a default with two pairs of quotes:\n%s", help)
	}
}
