package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// referenceRoot is the program with 'tamctl reference-values'.
func referenceRoot(stdout, stderr *bytes.Buffer) *cobra.Command {
	app := &app{stderr: stderr}
	root := rootCommand(app)
	if found, _, err := root.Find([]string{"reference-values"}); err != nil || found == root {
		root.AddCommand(referenceValuesCommand(app))
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root
}

// runReference runs one command in the working folder, as run does.
func runReference(t *testing.T, wantCode int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, fault bytes.Buffer
	root := referenceRoot(&out, &fault)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	code := exitOK
	if err != nil {
		code = exitCode(err)
		fmt.Fprintf(&fault, "tamctl: %v\n", err)
		if next := nextStep(cmd, err); next != "" {
			fmt.Fprintf(&fault, "next: %s\n", next)
		}
	}
	if code != wantCode {
		t.Fatalf("tamctl %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, wantCode, out.String(), fault.String())
	}
	return out.String(), fault.String()
}

func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

// referenceFolder is a working folder with keys and the manifests of two releases.
func referenceFolder(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, key := range []string{"publisher.pem", "provider.pem", "other.pem"} {
		runReference(t, exitOK, "keygen", key)
	}
	for sequence, content := range map[string]string{"3": "hello", "4": "hello again"} {
		writeFile(t, "hello.txt", content)
		runReference(t, exitOK, "suit", "create", "--component", "app/hello", "--sequence", sequence, "--vendor", "example.com", "--class", "thermostat",
			"--payload", "hello.txt", "--integrated", "--version", "1."+sequence, "--key", "publisher.pem", "--out", "hello-"+sequence+".suit")
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReferenceValuesFromManifest(t *testing.T) {
	referenceFolder(t)
	out, _ := runReference(t, exitOK, "reference-values", "from-manifest", "hello-3.suit", "--key", "provider.pem", "--out", "hello-3.corim")
	wants(t, out, "wrote hello-3.corim", "tag app/hello/suit/3, version 3: 2 values", "signed by ", "the signature of the manifest was not checked", "next: tamctl reference-values import hello-3.corim")
	out, _ = runReference(t, exitOK, "reference-values", "from-manifest", "hello-4.suit", "--publisher", "publisher.pub.pem", "--signer", "Example",
		"--not-after", "2999-12-31", "--supersedes", "hello-3.corim", "--key", "provider.pem", "--out", "hello-4.corim")
	wants(t, out, "replaces app/hello/suit/3")
	if strings.Contains(out, "not checked") {
		t.Errorf("the signature was checked:\n%s", out)
	}

	out, _ = runReference(t, exitOK, "reference-values", "show", "hello-4.corim")
	wants(t, out, "app/hello/suit/4", "Example (not verified)", "2999-12-31 00:00:00Z", "app/hello/suit/3", "ABOUT", "class uuid:", "app/hello ", "sha-256:", "…, version 1.4", "app/hello/suit/4@4")
	out, _ = runReference(t, exitOK, "reference-values", "show", "hello-4.corim", "-o", "json")
	var shown shownReferences
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		t.Fatal(err)
	}
	if len(shown.Values) != 2 || shown.Values[0].Key != "app/hello" || len(shown.Values[0].Value) < 64 || shown.NotAfter == nil || shown.NotBefore != nil {
		t.Errorf("shown %+v", shown)
	}

	out, _ = runReference(t, exitOK, "reference-values", "verify", "hello-4.corim", "--key", "other.pub.pem", "--key", "provider.pub.pem")
	wants(t, out, "the reference values are good: tag app/hello/suit/4, version 4, signed by ")
	out, fault := runReference(t, exitUnsound, "reference-values", "verify", "hello-4.corim", "--key", "other.pub.pem", "-o", "json")
	wants(t, out, `"good": false`, `"reason": "CoRIM`)
	wants(t, fault, "hello-4.corim: ", "not signed by a trusted reference-value provider", "next: give the key of its signer")
}

const describedReferences = `
id: acme/roadrunner
version: 2
statements:
  - about: {class-id: "psa.impl-id:0101010101010101010101010101010101010101010101010101010101010101", vendor: Acme}
    values:
      - {key: BL, signer: "0909090909090909090909090909090909090909090909090909090909090909", digest: "sha-256:0202020202020202020202020202020202020202020202020202020202020202"}
      - {key: microcode, min-svn: 72}
      - {key: policy, raw: "0000", mask: "0008"}
    registers: {7: "sha-256:0303030303030303030303030303030303030303030303030303030303030303"}
  - about: {instance: "ueid:01ceebae7b8927a3"}
    keys: [iak.pub.pem]
`

func TestReferenceValuesCreate(t *testing.T) {
	referenceFolder(t)
	if err := os.Mkdir("acme", 0o700); err != nil {
		t.Fatal(err)
	}
	runReference(t, exitOK, "keygen", filepath.Join("acme", "iak.pem"))
	writeFile(t, filepath.Join("acme", "roadrunner.yaml"), describedReferences)
	out, _ := runReference(t, exitOK, "reference-values", "create", "-f", "acme/roadrunner.yaml", "--key", "provider.pem", "--out", "roadrunner.corim")
	wants(t, out, "tag acme/roadrunner, version 2: 4 values and 1 key")
	out, _ = runReference(t, exitOK, "reference-values", "show", "roadrunner.corim")
	wants(t, out, "class bytes:010101010101…, vendor Acme", "BL", "signer:090909090909…", "svn 72 or more", "raw:0000, mask:0008", "7 ", "KEYS OF", "instance ueid:01ceebae7b89…", "public key")
	before, err := os.ReadFile("roadrunner.corim")
	if err != nil {
		t.Fatal(err)
	}
	// Under the older name, the signature is as good.
	runReference(t, exitOK, "reference-values", "create", "-f", "acme/roadrunner.yaml", "--legacy-algorithm", "--key", "provider.pem", "--out", "roadrunner.corim")
	runReference(t, exitOK, "reference-values", "verify", "roadrunner.corim", "--key", "provider.pub.pem")
	if after, err := os.ReadFile("roadrunner.corim"); err != nil || !bytes.Contains(after, []byte{0x01, 0x26}) || bytes.Contains(before[:16], []byte{0x01, 0x26}) {
		t.Errorf("not signed with ES256: %x, %v", after[:16], err)
	}
	// An own file is written over, no other.
	runReference(t, exitOK, "reference-values", "create", "-f", "acme/roadrunner.yaml", "--key", "provider.pem", "--out", "roadrunner.corim")
	_, fault := runReference(t, exitFailure, "reference-values", "create", "-f", "acme/roadrunner.yaml", "--key", "provider.pem", "--out", "hello.txt")
	wants(t, fault, "hello.txt exists, is no CoRIM and is left as it is")
}

func TestReferenceValuesRefuses(t *testing.T) {
	referenceFolder(t)
	writeFile(t, "odd.yaml", "id: x\nversions: 3\n")
	writeFile(t, "empty.yaml", "id: x\n")
	writeFile(t, "missing.yaml", "id: x\nstatements: [{about: {vendor: Acme}, keys: [missing.pem]}]\n")
	writeFile(t, "junk.corim", "\x00\x01")
	runReference(t, exitOK, "reference-values", "from-manifest", "hello-3.suit", "--key", "provider.pem", "--not-before", "2001-01-01", "--not-after", "2001-12-31", "--out", "old.corim")
	runReference(t, exitOK, "suit", "create", "--component", "app/hello", "--sequence", "5", "--vendor", "example.com", "--class", "thermostat",
		"--payload", "hello.txt", "--integrated", "--out", "unsigned.suit")
	made := func(args ...string) []string {
		return append([]string{"reference-values", "from-manifest"}, append(args, "--out", "new.corim")...)
	}
	signed := func(args ...string) []string { return made(append(args, "--key", "provider.pem")...) }
	for _, c := range []struct {
		code  int
		args  []string
		wants []string
	}{
		{exitUsage, []string{"reference-values"}, []string{"say what to do"}},
		{exitUsage, []string{"reference-values", "sho"}, []string{"unknown command", "show"}},
		{exitUsage, []string{"reference-values", "from-manifest", "hello-3.suit"}, []string{"with --out"}},
		{exitUsage, made("hello-3.suit"), []string{"with --key", "tamctl keygen"}},
		{exitUsage, signed(), []string{"want ENVELOPE"}},
		{exitUsage, signed("hello-3.suit", "--not-after", "soon"), []string{"--not-after \"soon\" is no date"}},
		{exitUsage, signed("hello-3.suit", "--not-before", "2027-01-01"), []string{"needs --not-after"}},
		{exitUsage, signed("hello-3.suit", "--not-before", "2027-01-01", "--not-after", "2026-01-01"), []string{"never be good"}},
		{exitFailure, signed("missing.suit"), []string{"missing.suit", "next: check the name"}},
		{exitFailure, signed("provider.pem"), []string{"it is PEM"}},
		{exitFailure, signed("unsigned.suit", "--publisher", "publisher.pub.pem"), []string{"not signed", "next: sign it"}},
		{exitFailure, signed("hello-3.suit", "--publisher", "other.pub.pem"), []string{"hello-3.suit", "with --publisher; --key is the provider's own"}},
		{exitFailure, signed("hello-3.suit", "--supersedes", "junk.corim"), []string{"junk.corim: CoRIM: ", "next: get the file again"}},
		{exitFailure, made("hello-3.suit", "--key", "provider.pub.pem"), []string{"next: name a private key file"}},
		{exitUsage, []string{"reference-values", "create", "--key", "provider.pem", "--out", "new.corim"}, []string{"with -f"}},
		{exitFailure, []string{"reference-values", "create", "-f", "odd.yaml", "--key", "provider.pem", "--out", "new.corim"}, []string{"odd.yaml", "versions", "shows the keys"}},
		{exitFailure, []string{"reference-values", "create", "-f", "empty.yaml", "--key", "provider.pem", "--out", "new.corim"}, []string{"no values and no keys"}},
		{exitFailure, []string{"reference-values", "create", "-f", "missing.yaml", "--key", "provider.pem", "--out", "new.corim"}, []string{"missing.pem", "next: check the name"}},
		{exitFailure, []string{"reference-values", "show", "provider.pub.pem"}, []string{"is no CoRIM: it is PEM"}},
		{exitFailure, []string{"reference-values", "show", "hello-3.suit"}, []string{"it is a SUIT envelope", "next: make reference values of it"}},
		{exitFailure, []string{"reference-values", "show", "odd.yaml"}, []string{"it is text", "reference-values create -f odd.yaml"}},
		{exitUsage, []string{"reference-values", "show", "old.corim", "-o", "xml"}, []string{"xml"}},
		{exitUsage, []string{"reference-values", "verify", "old.corim"}, []string{"with --key FILE"}},
		{exitFailure, []string{"reference-values", "verify", "old.corim", "--key", "provider.pem"}, []string{"public key"}},
		{exitUnsound, []string{"reference-values", "verify", "old.corim", "--key", "provider.pub.pem"}, []string{"valid until 2001-12-31", "next: get a newer file"}},
	} {
		_, fault := runReference(t, c.code, c.args...)
		wants(t, fault, c.wants...)
	}
	if _, err := os.Stat("new.corim"); err == nil {
		t.Error("a file was written although everything was refused")
	}
}

// TestReferenceValuesHelp is TestEveryCommandHasHelpAndAnExample for these commands.
func TestReferenceValuesHelp(t *testing.T) {
	root := referenceRoot(new(bytes.Buffer), new(bytes.Buffer))
	group, _, err := root.Find([]string{"reference-values"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range group.Commands() {
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no help or no example", cmd.CommandPath())
		}
	}
}
