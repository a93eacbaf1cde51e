package inspect

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/teep"
)

// Options say how to read an object.
type Options struct {
	// As forces a kind; empty to see by itself.
	As Kind
	// Numbering is that of TEEP messages. It is never guessed.
	Numbering teep.Numbering
	// Keys are the public keys that signatures are judged with, MACKeys the secrets
	// for MACs, ExternalAAD what is authenticated beside the object.
	Keys        []*Key
	MACKeys     [][]byte
	ExternalAAD []byte
}

// Result is all that was found. Its JSON is a stable shape: members may be added,
// none changes its meaning (docs/inspect.md).
type Result struct {
	Kind        Kind            `json:"kind"` // of the innermost object, without the COSE structures around it
	Description string          `json:"description"`
	Size        int             `json:"size"` // bytes
	Numbering   *teep.Numbering `json:"numbering,omitempty"`
	Tree        Node            `json:"tree"`
	Checks      []Check         `json:"checks,omitempty"`
	Lint        []Lint          `json:"lint,omitempty"`
	// Opinions are those of Tamarack's decoders: about the object, and about those
	// inside of it.
	Opinions []Opinion `json:"opinions,omitempty"`
}

// Opinion is what the strict decoder for an object says. It looks at the encoding;
// whether a signature holds is in the checks.
type Opinion struct {
	Path     string `json:"path"`
	Kind     Kind   `json:"kind"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason,omitempty"`
}

// Inspect reads one object, binary as [ReadInput] returns it. An error means that
// it could not be read at all; all that is merely wrong stands in the Result.
func Inspect(data []byte, opts Options) (*Result, error) {
	if len(data) > MaxInput {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), MaxInput)
	}
	r := &reader{opts: opts, result: &Result{Size: len(data)}, budget: maxItems, section: "RFC 8949 section 3"}
	if looksJWT(data) {
		r.result.Tree = r.jwt(data)
		r.result.Tree.holds = opts.As
	} else {
		it, err := parse(data, &r.budget, 0)
		if err != nil {
			return nil, err
		}
		if rest := len(data) - len(it.raw); rest > 0 {
			r.lint(SeverityError, secWellFormed, "%s behind the end of the object", byteCount(rest))
		}
		r.lintEncoding(it)
		show := guess
		if opts.As != "" {
			show = as(opts.As)
		}
		r.result.Tree = show(r, it)
		r.result.Tree.raw = data // with what stands behind it
	}
	r.ask(&r.result.Tree, 0)
	r.conclude()
	return r.result, nil
}

// conclude names the whole.
func (r *reader) conclude() {
	var around []string
	n := &r.result.Tree
	for n.Kind.isCOSE() {
		content := n.child("payload")
		if content == nil || content.Kind == "" {
			break
		}
		around = append([]string{kinds[n.Kind].title}, around...)
		n = content
	}
	r.result.Kind = n.Kind
	if n.Kind == "" {
		r.result.Kind = KindCBOR
	}
	title := kinds[r.result.Kind].title
	if r.result.Kind == KindTEEP {
		r.result.Numbering = &r.opts.Numbering
		if n.Text != "" {
			title = "TEEP " + n.Text
		}
	}
	if len(around) > 0 {
		title += " in a " + strings.Join(around, " in a ")
	}
	r.result.Description = title
}

const maxOpinions = 64

// ask gathers the opinions of the strict decoders. A COSE structure and its content
// are one object for them, that which it should be where nobody can read it; a
// structure without known content is asked about only where it is the whole.
func (r *reader) ask(n *Node, depth int) {
	kind, inside := n.Kind, n
	content := n.child("payload")
	switch {
	case kind.isCOSE() && content != nil && content.Kind != "":
		kind, inside = content.Kind, content
	case n.holds != "":
		kind = n.holds
	case kind.isCOSE() && depth > 0:
		kind = ""
	}
	if strict := kinds[kind].strict; strict != nil && len(r.result.Opinions) < maxOpinions {
		o := Opinion{Path: n.path, Kind: kind, Accepted: true}
		if err := strict(r.opts.Numbering, n.raw); err != nil {
			o.Accepted, o.Reason = false, err.Error()
		}
		r.result.Opinions = append(r.result.Opinions, o)
	}
	for i := range inside.Items {
		r.ask(&inside.Items[i], depth+1)
	}
}

// Sound reports whether no signature, MAC or digest was found wrong.
func (r *Result) Sound() bool {
	for _, c := range r.Checks {
		if c.Verdict == Invalid {
			return false
		}
	}
	return true
}

// signed reports whether there is a signature or MAC, and none is false.
func (r *Result) signed() bool {
	return r.Sound() && slices.ContainsFunc(r.Checks, func(c Check) bool { return c.What != "digest" })
}

// WriteText writes the result for people; full writes long strings whole.
func (r *Result) WriteText(w io.Writer, full bool) error {
	buffered := bufio.NewWriter(w)
	p := &printer{w: buffered, full: full}
	p.printf("%s, %d bytes", r.Description, r.Size)
	if r.Numbering != nil {
		p.printf(", numbering %s", *r.Numbering)
	}
	p.printf("\n\n")
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
		p.printf("  %-11s %s", c.Verdict, c.What)
		if c.Algorithm != "" {
			p.printf(" %s", printable(c.Algorithm))
		}
		p.printf(" at %s", printable(c.Path))
		if c.Detail != "" {
			p.printf(": %s", printable(c.Detail))
		}
		p.printf("\n")
	}
}

func (p *printer) lint(list []Lint) {
	if len(list) > 0 {
		p.printf("\nLint\n")
	}
	for _, l := range list {
		p.printf("  %-7s %s: %s [%s]\n", l.Severity, printable(l.Path), printable(l.Message), l.Section)
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
			p.printf("Tamarack refuses the %s at %s: %s\n", kinds[o.Kind].title, printable(o.Path), printable(o.Reason))
		case o.Path == "/":
			p.printf("%s\n", r.acceptance(o.Kind))
		}
	}
	if !whole {
		p.printf("Tamarack reads no object of this kind by itself.\n")
	}
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
