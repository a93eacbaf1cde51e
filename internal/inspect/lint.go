package inspect

import (
	"fmt"
	"unicode/utf8"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Severity says how bad a Lint is.
type Severity string

// The severities.
const (
	// SeverityError: the standard forbids it, and a strict decoder refuses it.
	SeverityError Severity = "error"
	// SeverityWarning: stale, or against the standard in a way that published
	// examples show too.
	SeverityWarning Severity = "warning"
	// SeverityNote: worth knowing.
	SeverityNote Severity = "note"
)

// Lint is one thing that is wrong with an object, or odd.
type Lint struct {
	Severity Severity `json:"severity"`
	Path     string   `json:"path"`
	Message  string   `json:"message"`
	Section  string   `json:"section"` // of the standard that says so
}

const maxLint = 100

// The sections that several lints name.
const (
	secDeterministic = "RFC 8949 section 4.2.1"
	secPreferred     = "RFC 8949 section 4.1"
	secMapKeys       = "RFC 8949 section 5.6"
	secWellFormed    = "RFC 8949 section 5.3"
	secHeaders       = "RFC 9052 section 3"
	secAlgHeader     = "RFC 9052 section 3.1"
)

// lint lists a fault of the item that is being read; without a section it is that of
// the object around it.
func (r *reader) lint(s Severity, section, format string, args ...any) {
	r.lintAt(s, r.here(), section, format, args...)
}

func (r *reader) lintAt(s Severity, path, section, format string, args ...any) {
	if len(r.result.Lint) > maxLint {
		return
	}
	if section == "" {
		section = r.section
	}
	l := Lint{s, path, fmt.Sprintf(format, args...), section}
	if len(r.result.Lint) == maxLint {
		l = Lint{SeverityError, "/", fmt.Sprintf("more than %d faults; the rest is not listed", maxLint), secWellFormed}
	}
	r.result.Lint = append(r.result.Lint, l)
}

// encodingFaults are what can be wrong with an encoding as such, in the order in
// which they are listed.
var encodingFaults = []struct {
	severity         Severity
	message, section string
}{
	faultDuplicate:    {SeverityError, "duplicate map key", secMapKeys},
	faultText:         {SeverityError, "text that is not UTF-8", secWellFormed},
	faultSimple:       {SeverityError, "reserved simple value", "RFC 8949 section 3.3"},
	faultIndefinite:   {SeverityError, "indefinite length", secDeterministic},
	faultNotPreferred: {SeverityWarning, "head longer than needed", secPreferred},
	faultOrder:        {SeverityWarning, "map key out of deterministic order", secDeterministic},
}

const (
	faultDuplicate = iota
	faultText
	faultSimple
	faultIndefinite
	faultNotPreferred
	faultOrder
)

// tally counts the faults of one encoding, each with the place of the first.
type tally [6]struct{ count, first int }

func (t *tally) add(fault, off int) {
	if t[fault].count == 0 {
		t[fault].first = off
	}
	t[fault].count++
}

// lintEncoding lists the faults of one encoded item, one line for each sort.
func (r *reader) lintEncoding(it item) {
	var t tally
	t.walk(it)
	for fault, found := range t {
		if found.count == 0 {
			continue
		}
		f, more := encodingFaults[fault], ""
		if found.count > 1 {
			more = fmt.Sprintf(", the first of %d", found.count)
		}
		r.lint(f.severity, f.section, "%s at byte %d%s", f.message, found.first, more)
	}
}

func (t *tally) walk(it item) {
	if !it.preferred() {
		t.add(faultNotPreferred, it.off)
	}
	if it.indefinite {
		t.add(faultIndefinite, it.off)
	}
	switch it.major {
	case cosekit.MajorText:
		if !utf8.Valid(it.content) {
			t.add(faultText, it.off)
		}
	case cosekit.MajorSimple:
		if it.info == 24 && it.arg < 32 {
			t.add(faultSimple, it.off)
		}
	case cosekit.MajorMap:
		if off, ok := it.sorted(); !ok {
			t.add(faultOrder, off)
		}
		seen := make(map[string]bool, len(it.items)/2)
		for i := 0; i < len(it.items); i += 2 {
			key := it.items[i].canonical()
			if seen[key] {
				t.add(faultDuplicate, it.items[i].off)
			}
			seen[key] = true
		}
	}
	for _, e := range it.items {
		t.walk(e)
	}
}
