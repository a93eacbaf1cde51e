package tam

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// replayed is a report in words. All of it is the device's word.
type replayed struct {
	Lines   []string // what it says of each command and component, in order
	Failure string   // the line that tells why the procedure ended; empty where it completed
}

// Caps of what is said in words.
const (
	maxReplayLine  = 1 << 10 // bytes
	maxReplayLines = 512
)

// replay holds a report against the manifest that it is about, which was published
// here, and against those that this one depends on.
func replay(r ManifestReader, report *suit.Report) (replayed, error) {
	l := library{r: r, books: map[string]*book{}}
	m, err := r.Manifest(report.Reference.Digest)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return replayed{}, err
	}
	root := l.open(m.Digest)
	if root == nil {
		return unplayed(report), l.fault
	}
	statements, err := suit.Explain(report, root.envelope, func(path []uint64) *suit.Envelope {
		return l.dependency(root, m.Dependencies, path)
	}, author.CommandNames)
	if err != nil {
		return unplayed(report), l.fault
	}
	var out replayed
	for _, s := range statements {
		line := cut(s.Text)
		if s.Failed {
			out.Failure = line
		}
		out.Lines = append(out.Lines, line)
	}
	if out.Failure == "" && !report.Succeeded() && len(out.Lines) > 0 {
		out.Failure = out.Lines[len(out.Lines)-1] // it does not fit the manifest
	}
	out.Lines = append(out.Lines, leftOutWords(report)...)
	out.Lines = append(out.Lines, bentWords(report)...)
	out.Lines = append(out.Lines, capabilityWords(report.Capabilities)...)
	if more := len(out.Lines) - maxReplayLines; more > 0 {
		out.Lines = append(out.Lines[:maxReplayLines], fmt.Sprintf("%d more lines", more))
	}
	return out, l.fault
}

// unplayed is a report whose manifest is not at hand.
func unplayed(report *suit.Report) replayed {
	f := report.Failure
	if f == nil {
		return replayed{Lines: []string{"the procedure has completed"}}
	}
	words := fmt.Sprintf("%s in %s at byte %d, component %d", f.Reason, f.Record.Section, f.Record.Offset, f.Record.ComponentIndex)
	return replayed{Lines: []string{words}, Failure: words}
}

func cut(line string) string {
	if len(line) <= maxReplayLine {
		return line
	}
	return strings.ToValidUTF8(line[:maxReplayLine], "") + "…"
}

func bentWords(report *suit.Report) []string {
	raw, ok := report.Extensions[suit.ReportBentRules]
	if !ok {
		return nil
	}
	var rules []string
	if err := cosekit.Unmarshal(raw, &rules); err != nil {
		return nil // somebody else's extension
	}
	var lines []string
	for _, rule := range rules {
		lines = append(lines, cut(fmt.Sprintf("the device has bent the rule %q", rule)))
	}
	return lines
}

// leftOutWords say that the report is not about every command.
func leftOutWords(report *suit.Report) []string {
	raw, ok := report.Extensions[suit.ReportLeftOut]
	if !ok {
		return nil
	}
	n, err := cosekit.Uint(raw)
	if err != nil {
		return nil // somebody else's extension
	}
	return []string{fmt.Sprintf("the device has left %d records out", n)}
}

// capabilityWords say what the device can do, which it tells where a manifest asks for more.
func capabilityWords(c *suit.Capabilities) []string {
	if c == nil {
		return nil
	}
	var lines []string
	add := func(what string, names []string) {
		if len(names) > 0 {
			lines = append(lines, cut(fmt.Sprintf("the device supports the %s %s", what, strings.Join(names, ", "))))
		}
	}
	add("components", words(c.Components))
	add("commands", words(c.Commands))
	add("parameters", words(c.Parameters))
	var algorithms []string
	for _, a := range c.Algorithms {
		algorithms = append(algorithms, cosekit.AlgorithmName(a))
	}
	add("algorithms", algorithms)
	return lines
}

func words[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, item := range list {
		out[i] = item.String()
	}
	return out
}

// library finds the envelopes of a published tree.
type library struct {
	r     ManifestReader
	books map[string]*book // by digest; nil for one that is not at hand
	fault error
}

// book is an envelope of the tree. Each is decoded once, however often a report names it.
type book struct {
	envelope *suit.Envelope
	digest   suit.Digest
	table    []suit.TableEntry
	opened   bool // the envelopes inside are in the library
}

// open returns the envelope of a manifest, and takes those inside of it in; nil where it is
// not at hand.
func (l *library) open(digest suit.Digest) *book {
	key := digest.String()
	b, looked := l.books[key]
	if !looked {
		b = l.stored(digest)
		l.books[key] = b
	}
	if b == nil || b.opened {
		return b
	}
	b.opened = true
	if m, err := b.envelope.UnverifiedManifest(); err == nil {
		b.table, _ = m.Common.Table() // without one it has no dependency
	}
	for _, name := range b.envelope.IntegratedNames() {
		payload, _ := b.envelope.UnverifiedIntegrated(name)
		inner, err := suit.Decode(payload)
		if err != nil {
			continue // not an envelope
		}
		own, err := inner.MeasureDigest()
		if err != nil {
			continue
		}
		if _, known := l.books[own.String()]; !known {
			l.books[own.String()] = &book{envelope: inner, digest: own}
		}
	}
	return b
}

func (l *library) stored(digest suit.Digest) *book {
	raw, err := l.r.Envelope(digest)
	if err != nil {
		if !errors.Is(err, ErrNotFound) {
			l.fault = err
		}
		return nil
	}
	e, err := suit.Decode(raw)
	if err != nil {
		return nil
	}
	return &book{envelope: e, digest: digest}
}

// dependency returns the envelope at a path of dependency indices from the root; nil
// where it cannot be told. No manifest depends on itself, so no path leads past one twice.
func (l *library) dependency(root *book, dependencies []Dependency, path []uint64) *suit.Envelope {
	if len(path) > maxDependencyDepth {
		return nil
	}
	at, way := root, []suit.Digest{root.digest}
	for _, index := range path {
		if index >= uint64(len(at.table)) || !at.table[index].Dependency {
			return nil
		}
		digest, ok := single(dependencies, at.table[index].ID)
		if !ok || slices.ContainsFunc(way, digest.Equal) {
			return nil
		}
		if at = l.open(digest); at == nil {
			return nil
		}
		way = append(way, digest)
	}
	return at.envelope
}

// single returns the manifest that is stored under the id, unless the device chooses
// between several.
func single(list []Dependency, id suit.ComponentID) (digest suit.Digest, ok bool) {
	for _, d := range list {
		if !d.Component.Equal(id) {
			continue
		}
		if ok {
			return suit.Digest{}, false
		}
		digest, ok = d.Digest, true
	}
	return digest, ok
}
