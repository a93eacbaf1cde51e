package author

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Severity says how bad a finding is.
type Severity int

// The severities. Devices refuse what has an error, or come to harm by it; a warning is
// what a signer will likely regret.
const (
	Note Severity = iota
	Warning
	Error
)

// String returns the word for people, "warning".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return fmt.Sprintf("severity %d", int(s))
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is wrong with a manifest.
type Finding struct {
	Severity Severity `json:"severity"`
	// Rule is its name, which does not change: "no-image-size".
	Rule string `json:"rule"`
	// Path is where it was found, as in the errors of package suit:
	// "manifest.install[3].fetch".
	Path   string `json:"path"`
	Text   string `json:"text"`
	Advice string `json:"advice"`
}

// Lint looks for what a signer would regret, in an envelope or a bare manifest. It
// trusts nothing and verifies no signature. Findings come in the order of the manifest,
// errors first; none where there is nothing to say.
func Lint(data []byte) []Finding {
	l := &linter{seen: map[string]bool{}}
	if e, m := l.read(data); m != nil {
		l.envelope(e)
		l.manifest(m, e)
		l.procedures(m, e)
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return l.findings
}

// linter gathers findings, each once.
type linter struct {
	findings []Finding
	seen     map[string]bool
}

func (l *linter) find(severity Severity, rule, path, text, advice string) {
	key := rule + "\x00" + path + "\x00" + text
	if l.seen[key] {
		return
	}
	l.seen[key] = true
	l.findings = append(l.findings, Finding{severity, rule, path, text, advice})
}

// manifestTag is the head of tag 1070, a manifest outside an envelope.
var manifestTag = []byte{0xd9, 0x04, 0x2e}

// decode reads an envelope, or else a bare manifest.
func decode(data []byte) (*suit.Envelope, *suit.Manifest, error) {
	if bytes.HasPrefix(data, manifestTag) {
		m, err := suit.DecodeManifest(data)
		return nil, m, err
	}
	e, err := suit.Decode(data)
	if err == nil {
		m, err := e.UnverifiedManifest()
		return e, m, err
	}
	if m, fault := suit.DecodeManifest(data); fault == nil {
		return nil, m, nil
	}
	return nil, nil, err
}

// read returns the manifest, and its envelope where it has one. What does not decode is
// a finding.
func (l *linter) read(data []byte) (*suit.Envelope, *suit.Manifest) {
	e, m, err := decode(data)
	if err == nil {
		return e, m
	}
	if path, unsorted := findUnsorted(data); unsorted {
		l.find(Error, "unsorted-map", path, "the keys of a map are not in deterministic order: "+err.Error(),
			"encode it anew with a deterministic encoder (RFC 8949 section 4.2.1) and sign that; strict devices refuse it")
		return nil, nil
	}
	path, fault := "", err
	if at, ok := err.(*suit.PathError); ok {
		path, fault = at.Path, at.Err
	}
	l.find(Error, "undecodable", path, fault.Error(), "no device takes it: mend that, and encode it anew")
	return nil, nil
}

// maxNesting bounds the search in what did not decode.
const maxNesting = 32

// findUnsorted looks for a map whose keys are not in order, also inside of byte strings:
// a manifest has most of itself there.
func findUnsorted(data []byte) (path string, found bool) {
	if cosekit.Validate(data) != nil {
		return "", false
	}
	return searchUnsorted(data, "", maxNesting)
}

func searchUnsorted(item []byte, path string, depth int) (string, bool) {
	if depth == 0 {
		return "", false
	}
	switch cosekit.Major(item) {
	case cosekit.MajorTag:
		var tag cosekit.Tag
		if cosekit.UnmarshalValid(item, &tag) == nil {
			return searchUnsorted(tag.Content, path, depth-1)
		}
	case cosekit.MajorBytes:
		inner, err := cosekit.Bytes(item)
		if err == nil && len(inner) > 1 && cosekit.Validate(inner) == nil {
			return searchUnsorted(inner, path, depth-1)
		}
	case cosekit.MajorArray:
		elements, _ := cosekit.Elements(item) // none where there is an error
		for i, e := range elements {
			if p, found := searchUnsorted(e, fmt.Sprintf("%s[%d]", path, i), depth-1); found {
				return p, true
			}
		}
	case cosekit.MajorMap:
		pairs, _ := cosekit.Pairs(item) // none where there is an error
		for i, p := range pairs {
			if i > 0 && bytes.Compare(pairs[i-1].Key, p.Key) >= 0 {
				return path, true
			}
		}
		for _, p := range pairs {
			if p, found := searchUnsorted(p.Value, path+"."+keyText(p.Key), depth-1); found {
				return p, true
			}
		}
	}
	return "", false
}

func keyText(key []byte) string {
	if n, err := cosekit.Int(key); err == nil {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("0x%x", key)
}

// envelope looks at what is around the manifest.
func (l *linter) envelope(e *suit.Envelope) {
	if e == nil {
		return
	}
	blocks := e.UnverifiedBlocks()
	if len(blocks) == 0 {
		l.find(Warning, "unsigned", "envelope.authentication-wrapper", "the envelope is not signed",
			"sign it with 'tamctl suit sign' before it is published")
	}
	for i, b := range blocks {
		path := fmt.Sprintf("envelope.authentication-wrapper[%d]", i+1)
		for _, s := range b.Signatures {
			l.signature(path, s)
		}
	}
	if e.Digest().Algorithm != suit.SHA256 {
		l.digestAlgorithm("envelope.authentication-wrapper.digest", e.Digest())
	}
	if d, err := e.MeasureDigest(); err != nil || !d.Equal(e.Digest()) {
		l.find(Error, "digest-mismatch", "envelope.authentication-wrapper.digest", "what is signed is not the manifest that is there",
			"make the envelope anew and sign that")
	}
	severed, _ := e.Severed() // the manifest has been decoded already
	for _, s := range severed {
		l.find(Warning, "severed", "envelope."+s.String(), fmt.Sprintf("%s has been severed and is not in the envelope", s),
			"restore it from the envelope that was signed, unless the devices need it not")
	}
}

func (l *linter) signature(path string, s cosekit.Signature) {
	name := cosekit.AlgorithmName(s.Algorithm)
	switch s.Algorithm {
	case -7, -8:
		l.find(Warning, "legacy-algorithm", path, fmt.Sprintf("the signature algorithm %d says nothing about the curve", int64(s.Algorithm)),
			"sign with ESP256 (-9) or Ed25519 (-19): strict devices refuse the polymorphic algorithms")
	case cosekit.ESP256, cosekit.Ed25519:
	default:
		if !cosekit.IsPostQuantum(s.Algorithm) {
			l.find(Warning, "unknown-algorithm", path, "the signature algorithm is "+name, "sign with ESP256, Ed25519, HSS-LMS or ML-DSA")
		}
	}
}

func (l *linter) digestAlgorithm(path string, d suit.Digest) {
	l.find(Warning, "digest-algorithm", path, fmt.Sprintf("the digest is %s", d.Algorithm),
		"use SHA-256: it is the one that every recipient has")
}
