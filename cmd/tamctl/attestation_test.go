package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func TestWhatIsWrong(t *testing.T) {
	wrong := func(names ...string) (list []client.AttestationChange) {
		for _, name := range names {
			list = append(list, client.AttestationChange{Name: name, Wrong: true, Source: "acme@1"})
		}
		return list
	}
	changed := []client.AttestationChange{{Name: "hwversion", Before: "1", After: "2"}}
	from := client.Appraisal{ID: 1, Accepted: true, Genuine: true}
	for name, c := range map[string]struct {
		to      client.Appraisal
		changes []client.AttestationChange
		want    string
	}{
		"one value":    {client.Appraisal{Genuine: true}, wrong("PCR 7"), "PCR 7 is not what the reference values (acme@1) say. Next: "},
		"two values":   {client.Appraisal{Genuine: true}, wrong("PCR 7", "PCR 8"), "PCR 7 and PCR 8 are not what"},
		"many values":  {client.Appraisal{Genuine: true}, wrong("a", "b", "c", "d", "e"), "a, b, c and 2 more are not what"},
		"all the same": {client.Appraisal{ID: 2, Genuine: true, Accepted: true, Outcome: "accept", Policy: "exception"}, wrong("a"), "a is not what the reference values (acme@1) say, and attestation 2 was accepted all the same: accept by exception."},
		"not genuine":  {client.Appraisal{ID: 2, Reason: "no known key\x1b[2J"}, wrong("a"), "Attestation 2 was not genuine, so nothing that it claims is known: no known key?[2J. Next: "},
		"not accepted": {client.Appraisal{ID: 2, Genuine: true, Reason: "policy"}, changed, "Attestation 2 was not accepted: policy. Next: 'tamctl attestation show 2'"},
		"good":         {client.Appraisal{ID: 2, Genuine: true, Accepted: true}, changed, "Nothing is wrong: attestation 2 was accepted. This changed since attestation 1:"},
		"the same":     {client.Appraisal{ID: 2, Genuine: true, Accepted: true}, nil, "Nothing is wrong: attestation 2 was accepted, and nothing changed since attestation 1."},
	} {
		if got := whatIsWrong(client.AttestationDiff{From: from, To: c.to, Changes: c.changes}, "7f3a"); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What devices, verifiers and other operators wrote is shown, and steers nothing.
func TestAttestationsOfTheHostile(t *testing.T) {
	const bad = "x\x1b[2J\u009b\nnext: all is well"
	about := client.Appraisal{ID: 1, Device: bad, Agent: bad, Reason: bad, Code: bad, Verifier: bad, Policy: bad, Outcome: bad, Format: bad, Status: bad, Genuine: true}
	claims, err := json.Marshal(map[string]any{bad: bad})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("very ", 100)
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	describeAttestation(w, client.AttestationDetail{
		Attestation: about, Claims: claims,
		Vector:      []client.VectorElement{{Submod: bad, Name: bad, Tier: bad, Reason: bad}},
		Comparisons: []client.Comparison{{Name: bad, Submod: bad, Measured: bad, Expected: []string{bad}, Source: bad}},
	})
	describeDiff(w, client.AttestationDiff{From: about, To: about, Changes: []client.AttestationChange{
		{Name: bad, Before: bad, After: "", Expected: []string{bad}, Source: bad, Wrong: true},
	}}, "7f3a")
	describeException(w, client.Exception{Until: time.Unix(1, 0), By: bad, Reason: bad, Covers: []string{bad}})
	describeCount(w, client.AttestationCount{Failed: map[string]uint64{bad: 1}})
	describePolicy(w, client.Policy{Name: bad, Selector: "a\n\tb\x1b[2J", Expression: bad, Remediation: bad, Comment: bad}, []client.Policy{{CreatedBy: bad, Comment: bad}})
	describeTrial(w, client.NewPolicy{Name: bad}, client.PolicyTrial{
		Tried: 1, Devices: []client.TriedDevice{{Device: bad, Then: client.Decision{Outcome: bad, Reason: bad, Until: time.Unix(1, 0)}}},
	}, 20)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u009b") || strings.Contains(out.String(), "\nnext: all is well") {
		t.Errorf("the terminal is steered: %q", out.String())
	}

	out.Reset()
	w = tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	describeAttestation(w, client.AttestationDetail{Vector: []client.VectorElement{{Name: "instance-identity", Value: 96, Tier: "contraindicated", Reason: long}}})
	describeException(w, client.Exception{Until: time.Unix(1, 0), Covers: []string{long}})
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSuffix(line, "\n")) > lines.Width {
			t.Errorf("%q is too wide", line)
		}
	}
}

func TestNamed(t *testing.T) {
	all := []string{"aaaa1", "aaaa2", "bbbb1"}
	name := func(s string) (string, string) { return s, "title of " + s }
	for digits, want := range map[string]string{"bbbb": "bbbb1", "BBBB1": "bbbb1", "aaaa2": "aaaa2"} {
		if got, title, err := named(all, digits, "key", name); err != nil || got != want || title != "title of "+want {
			t.Errorf("%s: %q, %q, %v", digits, got, title, err)
		}
	}
	for digits, code := range map[string]string{"aaaa": "(ambiguous)", "cccc": "(not-found)"} {
		if _, _, err := named(all, digits, "key", name); err == nil || exitCode(err) != exitRefused || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v", digits, err)
		}
	}
}

func TestSelectorTooLong(t *testing.T) {
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("sesame-sesame-sesame-sesame-sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	env := []string{"TAMCTL_SERVER=http://127.0.0.1:1", "TAMCTL_TOKEN_FILE=" + tokenFile}
	exit := run(t.Context(), []string{"device", "list", "-q", strings.Repeat("x", 1<<20)}, env, nil, &stdout, &stderr)
	if exit != exitFailure || !strings.Contains(stderr.String(), "too long for a URL") || !strings.Contains(stderr.String(), "tamctl group set") || stderr.Len() > 1000 {
		t.Errorf("exit %d: %.1000s", exit, stderr.String())
	}
}

// What is not signed is nobody's word, and does not reach the server.
func TestUnsignedReferenceValues(t *testing.T) {
	t.Chdir(t.TempDir())
	d, err := corim.ParseDescription([]byte("id: a\nversion: 1\nstatements:\n  - about: {vendor: Acme}\n    values: [{key: microcode, min-svn: 72}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.Make(nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("a.corim", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if exit := run(t.Context(), []string{"reference-values", "import", "a.corim"}, nil, nil, &stdout, &stderr); exit != exitFailure || !strings.Contains(stderr.String(), "a.corim is not signed") {
		t.Errorf("exit %d: %s", exit, stderr.String())
	}
}
