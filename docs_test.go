package tamarack

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/expr"
)

// documents are those with commands, and what a reader must see, in this order.
var documents = map[string][]string{
	"docs/quickstart.md": {
		`wrote publisher.pem`,
		`pending`,
		`installed +app/hello`,
		`state: +claimed`,
		`state: +confirmed`,
		`72ac20e546361954cc0bd9407a2c3c2742cf6929f666534c698b0bd4c57b88d5`, // teep-agent status
		`72ac20e546361954cc0bd9407a2c3c2742cf6929f666534c698b0bd4c57b88d5  hello.txt`,
		`sequence-not-above`,
		`refused, with exit code 3`,
		`manifest.refused`,
	},
	"docs/giving-up.md": {
		`/old \(pre-iana\)`,
		`"device-pending"`,
		`The TAM has nothing for this device`,
		`installed +app/hello`,
		`numbering pre-iana`,
		`state: +confirmed`,
		`still-required`,
		`refused, with exit code 3`,
		`must not have +app/hello`,
		`unlinked +app/hello/suit`,
		`state: +unlinked`,
		`"nothing-to-do"`,
		`state: +removed`,
		`may have +app/hello`,
		`will be asked to unlink app/hello`,
		`2 entries in tc-list, 0 requested, 1 unneeded`,
		`unlinked +app/hello/suit`,
		`components +none`,
		`state: +removed`,
		`removal.ordered`,
		`removal.confirmed`,
	},
	"docs/suit.md": {
		`wrote publisher-pq.pem`,
		`wrote config.suit`,
		`next: tamctl manifest publish config.suit`,
		`wrote hello.suit`,
		`warning +unsigned`,
		`signed hello.suit`,
		`countersigned hello.suit`,
		`nothing to say`,
		`valid +signature +ESP256 +publisher.pub.pem`,
		`valid +signature +ML-DSA-65 +publisher-pq.pub.pem`,
		`the manifest is authentic: sha-256:`,
		`SUIT_Envelope, [0-9]+ bytes`,
		`107\({2: <<`,
		`minimum-battery +0 +app/hello +ok +minimum-battery 600 mWh`,
		`validate +[0-9]+ +self-test +0 +app/hello +ok`,
		`app/hello --self-test: exit code 0`,
		`app/hello: exit code 0`,
		`  \| Hello, Trusted World!`,
		`Installed now`,
		`app/hello/config +17 bytes`,
		`accepted: app/hello/suit sequence 1 is installed and was invoked`,
		`image-match +0 +app/hello +failed +condition not met: image is sha-256:`,
		`install\[[0-9]\].image-match on app/hello failed, the condition does not hold`,
		`the payload is another one than that of the manifest`,
		`refused, with exit code 3`,
		`the sequence number goes up from 1 to 2`,
		`the image of app/hello/config is sha-256:`,
		`app/hello/config +15 bytes`,
		`refused before any command, at sequence-number`,
		`raise the sequence number`,
		`refused, with exit code 3`,
		`devices fetch secret.conf.enc`,
		`copy +0 +app/secret +ok`,
		`took out +text`,
		`severed +element`,
		`the same as before`,
		`unlink +0 +app/hello +ok`,
		`Installed now\n`,
	},
	"docs/attestation.md": {
		`device CA: +Factory 2`,
		`policy lamps is in force as version 1`,
		`evidence +application/eat\+cwt`,
		`accepted .* 010001020304`,
		`not\s+signed\s+by\s+a\s+trusted`,
		`tamctl\s+reference-provider add`,
		`refused, with exit code 3`,
		`app/hello/suit/1 +1 `,
		`installed +app/hello`,
		`instance-identity +2 +affirming +signed by the key of certificate`,
		`image-digest of app/hello: as it should be`,
		`devices: +1\n`,
		`there\s+is\s+no\s+field\s+"state"`,
		`refused, with exit code 3`,
		`makes a difference to 0 of 1 devices`,
		`policy hall-3 is in force as version 1`,
		`installed +app/hello`,
		`contraindicated +quarantine +policy-quarantined`,
		`image-digest\s+of\s+app/hello\s+is\s+not\s+what\s+the\s+reference\s+values\s+\(app/hello/suit/1@1\)\s+say`,
		`  is +sha-256:05d04237`,
		`  reference +sha-256:72ac20e5`,
		`state: +accepted`,
		`evidence accepted by policy hall-3@1`,
		`failed: +once: policy-quarantined`,
		`is quarantined`,
		`is accepted`,
		`tag example/gate, version 1: 1 value`,
		`evidence +application/vnd.tamarack.bound-evidence\+cbor`,
		`ERR_ATTESTATION_REQUIRED`,
		`refused, with exit code 3`,
		`teep-agent\s+is\s+not\s+what\s+the\s+reference\s+values\s+\(example/gate@2\)\s+say`,
		`passes until .* with the faults of attestation 9`,
		`end +the TAM has nothing more to say`,
		`contraindicated +accept +-`,
		`has no exception`,
		`demand +the TAM has to attest itself`,
		`evidence +application/eat\+cwt`,
		`reports +[0-9a-f]{64} +tamarack-data/keys/tam-reports.pub.pem`,
		`retired +[0-9a-f]{64}, still decrypts`,
		`verifier: +this TAM`,
		`passport +kept, [0-9]+ bytes`,
		`evidence +the passport`,
		`affirming +accept`,
		`policy-quarantined`,
		`attestation: +5`,
		`COSE_Sign1`,
		`attestation.failed`,
	},
	"docs/inspect.md": {
		`SUIT_Envelope, [0-9]+ bytes`,
		`valid +digest SHA-256 at /authentication/digest`,
		`valid +signature ESP256`,
		`Tamarack accepts the SUIT_Envelope as it is encoded`,
		`invalid +digest`,
		`Tamarack refuses the SUIT_Envelope at /: digest does not match`,
		`exit code 5`,
		`TEEP Success`,
		`TEEP Error`,
		`--numbering pre-iana fits this message better`,
		`TEEP Success, 21 bytes, numbering pre-iana`,
		`107\({2: <<`,
		`"verdict": "valid"`,
	},
}

// TestDocumentCommands runs every ```sh block of a document, in order, in one
// shell, in a copy of the repository. A block marked ```sh serve runs beside the
// others until the document ends; the next block starts when it prints "ready".
// It needs the go tool and a minute, so it runs where TAMARACK_TEST_DOCS is set.
func TestDocumentCommands(t *testing.T) {
	if os.Getenv("TAMARACK_TEST_DOCS") == "" {
		t.Skip("set TAMARACK_TEST_DOCS=1 to run the commands of the documents")
	}
	for doc, wanted := range documents {
		t.Run(doc, func(t *testing.T) {
			text, err := os.ReadFile(doc)
			if err != nil {
				t.Fatal(err)
			}
			blocks := shellBlocks(string(text))
			if len(blocks) == 0 {
				t.Fatal("no commands found")
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
				t.Fatal(err)
			}
			said := runBlocks(t, dir, blocks)
			for _, want := range wanted {
				found := regexp.MustCompile(want).FindStringIndex(said)
				if found == nil {
					t.Fatalf("no %q in what is left of the output:\n%s", want, said)
				}
				said = said[found[1]:]
			}
		})
	}
}

type block struct {
	line     int
	commands string
	serve    bool
}

func shellBlocks(text string) []block {
	var blocks []block
	var current *block
	for i, line := range strings.Split(text, "\n") {
		switch {
		case current == nil && (line == "```sh" || line == "```sh serve"):
			current = &block{line: i + 2, serve: line == "```sh serve"}
		case current != nil && line == "```":
			blocks = append(blocks, *current)
			current = nil
		case current != nil:
			current.commands += line + "\n"
		}
	}
	return blocks
}

// runBlocks joins the blocks into one script, so that cd and export carry over
// from block to block as they do for a reader.
func runBlocks(t *testing.T, dir string, blocks []block) string {
	var script strings.Builder
	script.WriteString("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n")
	for i, b := range blocks {
		if !b.serve {
			fmt.Fprintf(&script, "echo '-- line %d'\n%s", b.line, b.commands)
			continue
		}
		fifo := filepath.Join(dir, fmt.Sprintf("serve-%d", i))
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&script, "( exec %s ) >'%s' 2>&1 &\n", strings.TrimSpace(b.commands), fifo)
		fmt.Fprintf(&script, "exec %d<'%s'\n", 20+i, fifo)
		fmt.Fprintf(&script, "up=; while read -r -u %d said; do echo \"$said\"; case $said in *ready*) up=1; break;; esac; done; [ $up ]\n", 20+i)
		fmt.Fprintf(&script, "cat <&%d &\n", 20+i)
	}
	// The documents name the default ports; here others may have them.
	devices, operators := freeAddress(t), freeAddress(t)
	text := strings.NewReplacer("127.0.0.1:8777", devices, "127.0.0.1:8778", operators).Replace(script.String())
	cmd := exec.CommandContext(t.Context(), "bash", "-c", text)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"TAMARACK_TEEP_LISTEN="+devices, "TAMARACK_API_LISTEN="+operators, "TAMARACK_METRICS_LISTEN="+freeAddress(t), "TAMCTL_SERVER=http://"+operators)
	out, err := cmd.CombinedOutput()
	t.Logf("\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Everything that the texts of policies and selectors know stands in docs/attestation.md.
func TestPolicyLanguageIsDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/attestation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range expr.Reference() {
		name := regexp.QuoteMeta(strings.TrimSuffix(e.Name, ")"))
		if !regexp.MustCompile("[`]"+name).Match(text) && e.Name != "device" && e.Name != "result" {
			t.Errorf("docs/attestation.md says nothing of %s, which %s know", e.Name, e.In)
		}
	}
}

// Every key of a description and every rule of lint stands in docs/suit.md, as the
// sources of suit/author have them.
func TestSUITDocumentIsComplete(t *testing.T) {
	text, err := os.ReadFile("docs/suit.md")
	if err != nil {
		t.Fatal(err)
	}
	for pattern, files := range map[string]string{
		`"([a-z-]+)":\s`: "suit/author/keys.go",
		`find\((?:Error|Warning|Note|severity), "([a-z-]+)"`: "suit/author/lint*.go",
	} {
		paths, err := filepath.Glob(files)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, path := range paths {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1) {
				found++
				if !strings.Contains(string(text), "`"+match[1]+"`") {
					t.Errorf("docs/suit.md says nothing of %s (%s)", match[1], path)
				}
			}
		}
		if found < 20 {
			t.Errorf("only %d names found in %s: is the pattern still right?", found, files)
		}
	}
}
