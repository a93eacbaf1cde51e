package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// tamctl runs the program in this process.
func tamctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(t.Context(), args, nil, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// alternatives is a manifest that tries one image after the other.
func alternatives(images ...string) *suit.Manifest {
	vendor := author.VendorID("example.com")
	class := author.ClassID(vendor, "lamp")
	command := func(code suit.CommandCode, argument suit.Argument) suit.Command {
		return suit.Command{Code: code, Argument: argument}
	}
	digest := suit.SumSHA256([]byte("second"))
	shared := suit.Sequence{Commands: []suit.Command{
		command(suit.DirectiveOverrideParameters, &suit.Parameters{VendorID: &vendor, ClassID: &class, ImageDigest: &digest}),
		command(suit.ConditionVendorIdentifier, suit.ReportAll), command(suit.ConditionClassIdentifier, suit.ReportAll),
	}}
	var tries suit.Alternatives
	for _, image := range images {
		size := uint64(len(image))
		tries.Sequences = append(tries.Sequences, suit.Sequence{Commands: []suit.Command{
			command(suit.DirectiveOverrideParameters, &suit.Parameters{Content: []byte(image), ImageSize: &size}),
			command(suit.DirectiveWrite, suit.ReportAll), command(suit.ConditionImageMatch, suit.ReportAll),
		}})
	}
	return &suit.Manifest{
		Version: suit.ManifestVersion, SequenceNumber: 1,
		Common: suit.Common{Components: []suit.ComponentID{{[]byte("app")}}, Shared: &shared},
		Sections: map[suit.Section]suit.Severable{suit.SectionInstall: {Sequence: &suit.Sequence{Commands: []suit.Command{
			command(suit.DirectiveTryEach, &tries),
		}}}},
	}
}

// A condition that a try-each forgives is told as softened, with its reason, and indented
// below the try-each that comes behind it.
func TestSimulateTellsWhatIsSoftened(t *testing.T) {
	t.Chdir(t.TempDir())
	signer, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("publisher.pub.pem", signer.PublicKey().PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, images := range map[string][]string{"good.suit": {"first", "second"}, "bad.suit": {"first", "third"}} {
		envelope, err := suit.Sign(alternatives(images...), nil, signer)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeEnvelope(name, envelope); err != nil {
			t.Fatal(err)
		}
	}
	simulate := []string{"suit", "simulate", "good.suit", "--device", "bench", "--vendor", "example.com", "--class", "lamp", "--key", "publisher.pub.pem"}
	code, out, fault := tamctl(t, append(simulate, "-o", "json")...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, fault)
	}
	var told simulated
	if err := json.Unmarshal([]byte(out), &told); err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	for _, s := range told.Procedures[0].Steps {
		if s.Section == "install" {
			outcomes = append(outcomes, strings.Repeat(">", s.Depth)+s.Command+" "+s.Outcome)
		}
		if s.Outcome == "softened" && !strings.Contains(s.Error, "condition not met") {
			t.Errorf("softened for %q", s.Error)
		}
	}
	want := ">override-parameters ok,>write ok,>image-match softened,>override-parameters ok,>write ok,>image-match ok,try-each ok"
	if got := strings.Join(outcomes, ","); got != want {
		t.Errorf("outcomes %s\nwant     %s", got, want)
	}
	simulate[2] = "bad.suit"
	code, out, fault = tamctl(t, simulate...)
	if code != exitRefused || !strings.Contains(out, "try-each") || !strings.Contains(fault, "no alternative succeeds") {
		t.Errorf("exit code %d: %s\n%s", code, out, fault)
	}
}

func TestSimulateOverTheNetwork(t *testing.T) {
	t.Chdir(t.TempDir())
	served := "hello"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, served) }))
	defer server.Close()
	if err := os.WriteFile("hello.txt", []byte(served), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"keygen", "publisher.pem"},
		{"suit", "create", "--component", "app", "--sequence", "1", "--vendor", "example.com", "--class", "lamp",
			"--payload", "hello.txt", "--uri", server.URL + "/hello", "--key", "publisher.pem", "--out", "hello.suit"},
	} {
		if code, _, fault := tamctl(t, args...); code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, fault)
		}
	}
	simulate := []string{"suit", "simulate", "hello.suit", "--device", "bench", "--vendor", "example.com", "--class", "lamp", "--key", "publisher.pub.pem", "--fetch-from", "network"}
	if code, out, fault := tamctl(t, simulate...); code != exitOK || !strings.Contains(out, "app        5 bytes") {
		t.Errorf("exit code %d: %s%s", code, out, fault)
	}
	served, simulate[4] = "others", "another"
	if code, _, fault := tamctl(t, simulate...); code != exitRefused || !strings.Contains(fault, "limit exceeded") {
		t.Errorf("a payload of another size: exit code %d: %s", code, fault)
	}
}

// The published examples are signed with ES256, which counts only where it is allowed.
func TestVerifyOfPublishedExamples(t *testing.T) {
	vectors := os.Getenv("TEEP_VECTORS")
	if vectors == "" {
		t.Skip("set TEEP_VECTORS to the folder of the published vectors")
	}
	key := filepath.Join(t.TempDir(), "anchor.pub.pem")
	index, err := os.ReadFile(filepath.Join(vectors, "suit-manifest", "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var known struct {
		Keys map[string]struct {
			PEM string `json:"pem_public"`
		}
	}
	if err := json.Unmarshal(index, &known); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte(known.Keys["trust-anchor-p256"].PEM), 0o644); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(vectors, "suit-manifest", "*-signed*.cbor"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range paths {
		if code, _, fault := tamctl(t, "suit", "verify", path, "--key", key, "--allow-legacy"); code != exitOK {
			t.Errorf("%s: exit code %d: %s", path, code, fault)
		}
		code, _, fault := tamctl(t, "suit", "verify", path, "--key", key)
		if code != exitUnsound || !strings.Contains(fault, "next: --allow-legacy") {
			t.Errorf("%s without --allow-legacy: exit code %d: %s", path, code, fault)
		}
	}
}
