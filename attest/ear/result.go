package ear

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
)

// maxSubmods caps the attesters of one result.
const maxSubmods = 32

// result makes an attest.Result of the verified claims of an EAR (draft-ietf-rats-ear-03
// section 3). Its format is the media type with the profile of the claims, also where the
// one that it came with has none.
func (d dialect) result(s claimsSet, key Key, o Options, mediaType string) (*attest.Result, error) {
	r, err := d.frame(s, key, o)
	if err != nil {
		return nil, err
	}
	profile, _ := s.text("eat_profile") // dialect has read it
	r.Format = attest.MediaType{Type: mediaType, Parameters: map[string]string{"eat_profile": profile}}.String()
	submods, err := d.appraisals(s)
	if err != nil {
		return nil, err
	}
	for _, a := range submods {
		r.Vector = append(r.Vector, a.vector...)
	}
	whole, given, err := s.tier(d.status)
	if err != nil {
		return nil, err
	}
	if given {
		if e, ok := contradiction("", whole, attest.StatusOf(r.Vector)); ok {
			r.Vector = append([]attest.Element{e}, r.Vector...)
		}
	}
	r.Status = attest.StatusOf(r.Vector)
	return r, d.vouch(r, s, submods)
}

// frame reads what surrounds the appraisals, and checks the times and the session's nonce.
func (d dialect) frame(s claimsSet, key Key, o Options) (*attest.Result, error) {
	r := &attest.Result{}
	verifier, err := s.object(d.verifier)
	if err != nil {
		return nil, err
	}
	who := claimsSet{tree: verifier, json: s.json}
	developer, err := who.text("developer")
	if err != nil {
		return nil, err
	}
	build, err := who.text("build")
	if err != nil {
		return nil, err
	}
	r.Verifier = readable(strings.TrimSpace(fmt.Sprintf("%s %s %s", key.Name, developer, build)))
	if r.AppraisedAt, err = s.time("iat"); err != nil {
		return nil, err
	}
	if r.AppraisedAt.IsZero() {
		return nil, fmt.Errorf("%w: no iat", ErrResult)
	}
	if r.Expires, err = s.time("exp"); err != nil {
		return nil, err
	}
	notBefore, err := s.time("nbf")
	if err != nil {
		return nil, err
	}
	times := attest.Claims{IssuedAt: r.AppraisedAt, NotBefore: notBefore, Expires: r.Expires}
	if err := times.CheckTime(o.Now, o.Skew); err != nil {
		return nil, err
	}
	nonce, err := s.nonce()
	if err != nil {
		return nil, err
	}
	if o.Nonce != nil && !bytes.Equal(o.Nonce, nonce) {
		return nil, fmt.Errorf("%w: the result is about another session", attest.ErrNonce)
	}
	return r, nil
}

// appraisals reads the submodules in order of their names.
func (d dialect) appraisals(s claimsSet) ([]appraisal, error) {
	submods, err := s.object("submods")
	if err != nil {
		return nil, err
	}
	if len(submods) == 0 || len(submods) > maxSubmods {
		return nil, fmt.Errorf("%w: %d submods, want 1 to %d", ErrResult, len(submods), maxSubmods)
	}
	var list []appraisal
	for _, name := range slices.Sorted(maps.Keys(submods)) {
		tree, ok := submods[name].(map[string]any)
		if !ok {
			return nil, wrong(fmt.Sprintf("submod %.64q", name), "a map")
		}
		label := name
		if name == "" || readable(name) != name {
			return nil, wrong(fmt.Sprintf("submod %.64q", name), "called by a name of 1 to 200 bytes of text")
		}
		if len(submods) == 1 {
			label = ""
		}
		a, err := d.appraise(label, claimsSet{tree, s.json})
		if err != nil {
			return nil, fmt.Errorf("submod %.64q: %w", name, err)
		}
		list = append(list, a)
	}
	return list, nil
}

// vouch sets the claims that the result affirms: those of TEEP, the nonce and an attested
// key. They are told only where the identity of every submodule is affirmed, and two
// submodules must not tell different ones, for then nobody knows whose they are.
func (d dialect) vouch(r *attest.Result, s claimsSet, submods []appraisal) error {
	var all appraisal
	genuine := true
	for _, a := range submods {
		if err := all.merge(a); err != nil {
			return err
		}
		genuine = genuine && a.genuine
	}
	if !genuine {
		return nil
	}
	r.Claims = &attest.Claims{}
	r.Document = map[string]any{}
	if all.claims != nil {
		r.Claims = all.claims
		r.Document = all.document
	}
	r.Document["ear"] = plainMap(s.tree)
	r.Claims.IssuedAt = r.AppraisedAt
	if all.nonce != nil {
		r.Claims.Nonce = all.nonce
	}
	if r.Claims.Nonce == nil {
		r.Claims.Nonce, _ = s.nonce() // frame has read it
	}
	if all.key != nil {
		r.Claims.Confirmation = attest.Confirmation{Key: all.key}
	}
	return nil
}

// readable makes text from outside fit for logs and screens.
func readable(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
	return fmt.Sprintf("%.200s", text)
}
