package inspect

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
)

// WriteText writes the result for people; full writes long strings whole.
func (r *Result) WriteText(w io.Writer, full bool) error {
	buffered := bufio.NewWriter(w)
	p := &printer{w: buffered, full: full}
	headline := fmt.Sprintf("%s, %s", r.Description, byteCount(r.Size))
	if r.Numbering != nil {
		headline += fmt.Sprintf(", numbering %s", *r.Numbering)
	}
	p.line("", headline)
	p.printf("\n")
	top := r.Tree
	if top.Name == "" {
		top.Name = "object"
	}
	p.node(&top, 0)
	p.checks(r.Checks)
	p.lint(r.Lint)
	p.opinions(r)
	if p.err != nil {
		return p.err
	}
	return buffered.Flush()
}

func (p *printer) checks(list []Check) {
	if len(list) > 0 {
		p.printf("\nChecks\n")
	}
	for _, c := range list {
		said := c.What
		if c.Algorithm != "" {
			said += " " + c.Algorithm
		}
		said += " at " + c.Path
		if c.Detail != "" {
			said += ": " + c.Detail
		}
		p.line(fmt.Sprintf("  %-11s ", c.Verdict), said)
	}
}

func (p *printer) lint(list []Lint) {
	if len(list) > 0 {
		p.printf("\nLint\n")
	}
	for _, l := range list {
		p.line(fmt.Sprintf("  %-7s ", l.Severity), fmt.Sprintf("%s: %s [%s]", l.Path, l.Message, l.Section))
	}
}

// signable are the objects that nobody acts on without a signature.
var signable = []Kind{KindTEEP, KindEnvelope, KindReport, KindEAT}

// opinions writes what was refused, or what the acceptance of the whole is worth. The
// decoders know nothing of keys, so a false signature is no matter of theirs.
func (p *printer) opinions(r *Result) {
	p.printf("\n")
	whole := false
	for _, o := range r.Opinions {
		whole = whole || o.Path == "/"
		switch {
		case !o.Accepted:
			p.line("", fmt.Sprintf("Tamarack refuses the %s at %s: %s", kinds[o.Kind].title, o.Path, oneLine(o.Reason)))
		case o.Path == "/":
			p.line("", r.acceptance(o.Kind))
		}
	}
	if !whole {
		p.line("", cmp.Or(elsewhere[r.Kind], "Tamarack reads no object of this kind by itself."))
	}
}

// elsewhere says where Tamarack's strict decoder of a kind looks, if it does not here.
var elsewhere = map[Kind]string{
	KindCoRIM:    "Tamarack's own decoder of reference values is behind 'tamctl reference-values show'.",
	KindEAR:      "Tamarack's own decoder of results needs to know whom to believe; it looks when an agent or a verifier sends one.",
	KindBound:    "Tamarack's own decoder of evidence needs to know the format; it looks when an agent sends it.",
	KindBundle:   "Tamarack's own decoder of evidence needs to know the format; it looks when an agent sends it.",
	KindPlatform: "Tamarack's own decoder of evidence needs to know the format; it looks when an agent sends it.",
}

// acceptance says what it is worth that the strict decoder accepts the whole.
func (r *Result) acceptance(kind Kind) string {
	title := kinds[kind].title
	content := r.Tree.child("payload")
	switch {
	case !r.Sound():
		return fmt.Sprintf("Tamarack accepts how the %s is encoded, and refuses what is invalid above.", title)
	case r.faulty():
		return fmt.Sprintf("Tamarack's decoder accepts the %s by itself; mind the errors above.", title)
	case content != nil && content.Kind.isEncrypted(), r.Tree.Kind.isEncrypted() && !kind.isEncrypted():
		return fmt.Sprintf("Tamarack accepts the structure around the %s, which is encrypted.", title)
	case kind.isEncrypted():
		return fmt.Sprintf("Tamarack accepts the %s; nobody has decrypted it here.", title)
	case kind.isCOSE() && content != nil && content.Type == "null":
		return fmt.Sprintf("Tamarack accepts the %s; its payload is not in it.", title)
	case kind.isCOSE():
		return fmt.Sprintf("Tamarack accepts the %s; its payload is nothing that Tamarack reads.", title)
	case !r.signed() && slices.Contains(signable, kind):
		return fmt.Sprintf("Tamarack accepts the %s as it is encoded; nothing signs it.", title)
	}
	return fmt.Sprintf("Tamarack accepts the %s as it is encoded.", title)
}

// faulty reports whether a lint is an error.
func (r *Result) faulty() bool {
	return slices.ContainsFunc(r.Lint, func(l Lint) bool { return l.Severity == SeverityError })
}
