package main

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/metrics"
)

// keyFile is a public key of a verifier.
func keyFile(t *testing.T) string {
	t.Helper()
	signer, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "verifier.pub.pem")
	if err := os.WriteFile(file, signer.PublicKey().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestVerifiersOfConfig(t *testing.T) {
	key := keyFile(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	thumbprint := strings.Repeat("0a", 32)
	good := func(more string) string {
		return fmt.Sprintf(`{name: one, url: "https://one.example", key_files: [%s]%s}`, key, more)
	}
	for name, tt := range map[string]struct{ list, want string }{
		"with a file":        {good(""), ""},
		"with a thumbprint":  {`{name: one, url: "https://one.example", key_thumbprint: ` + thumbprint + `}`, ""},
		"all members":        {good(`, media_types: ["application/psa-attestation-token"], timeout: 3s, attempts: 2, concurrency: 4`), ""},
		"two, by format":     {good(`, media_types: ["application/a"]`) + `, ` + strings.Replace(good(`, media_types: ["application/b"]`), "one", "two", 1), ""},
		"no name":            {strings.Replace(good(""), "name: one", `name: ""`, 1), "a name of its own"},
		"a name twice":       {good("") + ", " + good(`, media_types: ["application/b"]`), `verifiers[1].name: "one"`},
		"no key":             {`{name: one, url: "https://one.example"}`, "either key_files or key_thumbprint"},
		"both keys":          {good(`, key_thumbprint: ` + thumbprint), "either key_files or key_thumbprint"},
		"no thumbprint":      {`{name: one, url: "https://one.example", key_thumbprint: abc}`, "thumbprint"},
		"no such file":       {strings.Replace(good(""), key, "/nowhere/x.pem", 1), "/nowhere/x.pem"},
		"no key in the file": {strings.Replace(good(""), key, empty, 1), empty},
		"no URL":             {strings.Replace(good(""), "https://one.example", "one.example", 1), "URL"},
		"no CA file":         {good(`, ca_file: /nowhere/ca.pem`), "/nowhere/ca.pem"},
		"no CA in the file":  {good(`, ca_file: ` + empty), "no certificate in PEM"},
		"no media type":      {good(`, media_types: ["psa"]`), "media type"},
		"a negative limit":   {good(`, attempts: -1`), "negative"},
		"unknown member":     {good(`, keyfile: x`), "keyfile"},
		"a format twice":     {good("") + `, ` + strings.Replace(good(""), "one", "two", 1), "verifiers[1].media_types: application/psa-attestation-token goes to another"},
		"spelled otherwise": {good(`, media_types: ["application/x; a=b; c=d"]`) + `, ` +
			strings.Replace(good(`, media_types: ["Application/X;c=\"d\";a=b"]`), "one", "two", 1), "goes to another"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LoadConfig("", []string{"TAMARACK_ATTESTATION_VERIFIERS=[" + tt.list + "]"}, nil)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "VERIFIERS") && !strings.Contains(err.Error(), "attestation.verifiers[") {
				t.Errorf("got %v, want an error about the verifiers with %q", err, tt.want)
			}
		})
	}
}

// Evidence goes to the remote verifier that takes its format, all else to the built-in
// one, and what nobody takes to nobody.
func TestVerifiersRoute(t *testing.T) {
	c, err := LoadConfig("", []string{fmt.Sprintf(`TAMARACK_ATTESTATION_VERIFIERS=[{name: far, url: "http://127.0.0.1:1", key_files: [%s], attempts: 1, media_types: [application/psa-attestation-token]}]`, keyFile(t))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{log: slog.New(slog.DiscardHandler), metrics: metrics.New()}
	verifier, err := s.verifiers(c.Attestation, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, client := range s.remote {
			client.Close()
		}
	}()
	for format, want := range map[string]string{
		"application/psa-attestation-token":                       "far: ",
		`application/eat-cwt; profile="http://arm.com/psa/2.0.0"`: "far: ", // the same format by another name
		"application/psa-attestation-token; x=1":                  "far: ",
		attest.EvidenceMediaType:                                  "not evidence of its format", // in the words of the built-in one
		"application/vnd.example":                                 "evidence format not supported: application/vnd.example",
	} {
		_, err := verifier.Appraise(t.Context(), attest.Evidence{Format: format, Payload: []byte{0xd2, 0x84}, Challenge: make([]byte, 32)})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", format, err, want)
		}
	}
}

// A media type that is no format of evidence would leave all of it to the built-in verifier,
// in silence.
func TestForeignFormatsAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		v    VerifierConfig
		want string
	}{
		"default": {VerifierConfig{}, "PSA and CCA tokens"},
		"known":   {VerifierConfig{MediaTypes: []string{"application/psa-attestation-token"}}, "application/psa-attestation-token"},
		"slip":    {VerifierConfig{MediaTypes: []string{"application/psa"}}, "application/psa; unknown here, so never sent: application/psa"},
	} {
		if got := tt.v.takes(); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestDigestOfExecutable(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := digestOfExecutable(); err != nil || got != sha256.Sum256(content) {
		t.Errorf("%x, %v", got, err)
	}
}
