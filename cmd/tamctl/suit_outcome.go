package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/lines"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// simulated is what a simulation shows; its JSON form is stable.
type simulated struct {
	Device     simulatedIdentity    `json:"device"`
	Manifest   *simulatedManifest   `json:"manifest,omitempty"` // nil where it is not authentic
	Refused    string               `json:"refused,omitempty"`  // why it is not
	Procedures []simulatedProcedure `json:"procedures"`
	Components []simulatedComponent `json:"components"` // installed afterwards
}

type simulatedIdentity struct {
	Folder string     `json:"folder"`
	Vendor uuid.UUID  `json:"vendor"`
	Class  uuid.UUID  `json:"class"`
	Device *uuid.UUID `json:"device,omitempty"`
}

type simulatedManifest struct {
	ID       suit.ComponentID `json:"id"`
	Sequence uint64           `json:"sequence"`
	Digest   string           `json:"digest"`
	Signers  []string         `json:"signers"` // key files
}

type simulatedProcedure struct {
	Name    string          `json:"name"` // update, invoke or uninstall
	Steps   []simulatedStep `json:"steps"`
	Runs    []simulatedRun  `json:"runs,omitempty"`
	Bent    []string        `json:"bent,omitempty"` // rules, by --compat
	Report  []string        `json:"report"`         // in words
	Failure string          `json:"failure,omitempty"`
}

// simulatedStep is one command that has ended.
type simulatedStep struct {
	Manifest  []uint64          `json:"manifest,omitempty"` // path of dependency indices
	Section   string            `json:"section"`
	Offset    int               `json:"offset"` // bytes from the beginning of its section
	Depth     int               `json:"depth"`  // of nested sequences
	Command   string            `json:"command"`
	Index     int               `json:"index"`
	Component suit.ComponentID  `json:"component"`
	Outcome   string            `json:"outcome"` // ok, softened or failed
	Measured  map[string]string `json:"measured,omitempty"`
	Note      string            `json:"note,omitempty"`
	Error     string            `json:"error,omitempty"`
}

// simulatedRun is an application that ran.
type simulatedRun struct {
	Component suit.ComponentID `json:"component"`
	Arguments []string         `json:"arguments,omitempty"`
	ExitCode  uint32           `json:"exit_code"`
	Output    string           `json:"output"`
	Error     string           `json:"error,omitempty"`
}

type simulatedComponent struct {
	ID        suit.ComponentID   `json:"id"`
	Size      uint64             `json:"size"`
	Digest    string             `json:"digest"`
	Manifests []suit.ComponentID `json:"manifests"`
	Sequence  uint64             `json:"sequence"`
	Version   string             `json:"version,omitempty"`
}

func (d *simulator) describe(v *suit.Verified) {
	m := &simulatedManifest{ID: v.Manifest().ComponentID, Sequence: v.Manifest().SequenceNumber, Digest: v.Digest().String()}
	for _, signer := range v.Signers() {
		m.Signers = append(m.Signers, d.publishers.files[signer])
	}
	d.result.Manifest = m
}

func newSimulatedStep(s processor.Step) simulatedStep {
	out := simulatedStep{
		Manifest: s.Manifest, Section: s.Section.String(), Offset: s.Offset, Depth: s.Depth, Command: s.Name,
		Index: s.Index, Component: s.Component, Outcome: "ok", Note: s.Note,
	}
	for _, code := range s.Measured.Codes() {
		if out.Measured == nil {
			out.Measured = map[string]string{}
		}
		out.Measured[code.String()] = s.Measured.Format(code)
	}
	switch {
	case s.Softened:
		out.Outcome = "softened"
	case s.Err != nil:
		out.Outcome = "failed"
	}
	// A command around the one that failed has the same error.
	if failure, ok := s.Err.(*processor.Failure); ok && failure.Offset == s.Offset && failure.Section == s.Section && failure.Command == s.Command {
		out.Error = oneLine(failure.Err)
	}
	return out
}

// write shows it to people. Blocks are aligned each by itself.
func (r *simulated) write(t *tabwriter.Writer, verbose bool) {
	fact(t, "device", r.Device.Folder)
	fact(t, "  vendor", r.Device.Vendor.String())
	fact(t, "  class", r.Device.Class.String())
	if r.Device.Device != nil {
		fact(t, "  id", r.Device.Device.String())
	}
	if m := r.Manifest; m != nil {
		fact(t, "manifest", fmt.Sprintf("%s sequence %d", cmp.Or(m.ID.String(), "(without a name)"), m.Sequence))
		fact(t, "  digest", m.Digest)
		fact(t, "  signed by", strings.Join(m.Signers, ", "))
	}
	for i := range r.Procedures {
		r.Procedures[i].write(t, verbose)
	}
	r.writeInstalled(t)
	if done := r.accepted(); done != "" {
		heading(t, done)
	}
}

// accepted is the end of what went well; empty where something did not.
func (r *simulated) accepted() string {
	if r.Manifest == nil || len(r.Procedures) == 0 {
		return ""
	}
	var done []string
	for _, p := range r.Procedures {
		if p.Failure != "" {
			return ""
		}
		done = append(done, pastProcedures[p.Name])
	}
	return fmt.Sprintf("accepted: %s sequence %d is %s", cmp.Or(r.Manifest.ID.String(), "the manifest"), r.Manifest.Sequence, strings.Join(done, " and "))
}

var pastProcedures = map[string]string{"update": "installed", "invoke": "was invoked", "uninstall": "uninstalled"}

func (r *simulated) writeInstalled(t *tabwriter.Writer) {
	heading(t, "Installed now")
	if len(r.Components) == 0 {
		row(t, "  nothing")
		return
	}
	row(t, "  COMPONENT", "SIZE", "SHA-256", "SEQUENCE", "MANIFEST")
	for _, c := range r.Components {
		row(t, "  "+c.ID.String(), size(c.Size), shortened(strings.TrimPrefix(c.Digest, "sha-256:")), c.Sequence, joined(c.Manifests))
	}
}

// heading begins a block, which is aligned by itself.
func heading(t *tabwriter.Writer, title string) {
	t.Flush()
	fmt.Fprintf(t, "\n%s\n", title)
	t.Flush()
}

func joined(ids []suit.ComponentID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return strings.Join(names, ", ")
}

func (p *simulatedProcedure) write(t *tabwriter.Writer, verbose bool) {
	heading(t, strings.ToUpper(p.Name[:1])+p.Name[1:])
	if len(p.Steps) == 0 {
		row(t, "  no command ran")
	} else {
		row(t, "  SECTION", "BYTE", "COMMAND", "INDEX", "COMPONENT", "OUTCOME")
	}
	told := map[string]bool{}
	for _, s := range p.Steps {
		// The shared sequence runs before every section.
		if key := fmt.Sprint(s.Manifest, s.Section, s.Offset, s.Index); !verbose && s.Outcome == "ok" && s.Section == suit.SectionShared.String() {
			if told[key] {
				continue
			}
			told[key] = true
		}
		section := "  " + s.Section
		if len(s.Manifest) > 0 {
			section = fmt.Sprintf("  %v %s", s.Manifest, s.Section)
		}
		cells := []any{section, s.Offset, strings.Repeat("  ", s.Depth) + s.Command, s.Index, s.Component, s.told(verbose)}
		if s.Command == suit.DirectiveSetComponentIndex.String() { // it was another one before
			cells[3], cells[4] = "", ""
		}
		row(t, cells...)
	}
	for _, run := range p.Runs {
		run.write(t)
	}
	if len(p.Bent) > 0 {
		heading(t, "Rules bent by --compat")
		for _, rule := range p.Bent {
			row(t, "  "+rule)
		}
	}
	if p.Failure == "" && !verbose {
		return
	}
	heading(t, "Report")
	for _, said := range p.Report {
		fmt.Fprintln(t, lines.Fold("  "+shortened(said), 4))
	}
}

// told is the outcome with its detail, of which the beginning is enough: the report has the
// reason whole. It is one cell, because not every row has a detail.
func (s *simulatedStep) told(verbose bool) string {
	const width = 48
	detail := s.detail()
	if runes := []rune(detail); len(runes) > width && !verbose {
		detail = string(runes[:width-1]) + "…"
	}
	return strings.TrimSpace(fmt.Sprintf("%-8s  %s", s.Outcome, detail))
}

// detail is what was measured and why.
func (s *simulatedStep) detail() string {
	var parts []string
	if s.Note != "" {
		parts = append(parts, s.Note)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Measured)) {
		parts = append(parts, name+" "+s.Measured[name])
	}
	if s.Error != "" {
		parts = []string{s.Error}
	}
	return shortened(strings.Join(parts, ", "))
}

func (r *simulatedRun) write(t *tabwriter.Writer) {
	said := fmt.Sprintf("exit code %d", r.ExitCode)
	if r.Error != "" {
		said = r.Error
	}
	heading(t, fmt.Sprintf("%s: %s", strings.TrimSpace(r.Component.String()+" "+strings.Join(r.Arguments, " ")), said))
	for line := range strings.Lines(strings.ToValidUTF8(r.Output, string(utf8.RuneError))) {
		fmt.Fprintf(t, "  | %s\n", printable(strings.TrimSuffix(line, "\n")))
	}
}

var longDigits = regexp.MustCompile(`[0-9a-f]{64,}`)

// shortened leaves of a digest the digits that tell it from others.
func shortened(text string) string {
	return longDigits.ReplaceAllStringFunc(text, func(digits string) string { return elided(digits, false) })
}
