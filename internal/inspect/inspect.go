package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
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
	MACKeys     []*cosekit.SecretKey
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
	if n.Kind.isEncrypted() && n.holds != "" {
		title = kinds[n.holds].title + " in a " + title
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
	case kind.isCOSE() && content != nil && content.Kind.isEncrypted() && n.holds != "":
		kind, inside = n.holds, content
	case kind.isCOSE() && content != nil && content.Kind != "" && !content.Kind.isCOSE():
		kind, inside = content.Kind, content
	case n.holds != "":
		kind = n.holds
	case kind.isCOSE() && !kind.isEncrypted() && depth > 0:
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
