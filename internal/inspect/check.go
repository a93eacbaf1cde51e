package inspect

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Verdict is the outcome of a check.
type Verdict string

// The verdicts.
const (
	Valid       Verdict = "valid"
	Invalid     Verdict = "invalid"
	NoKey       Verdict = "no-key"      // none was given, or not the one that is named
	Unsupported Verdict = "unsupported" // algorithm
	NoPayload   Verdict = "no-payload"  // it is detached and not here
)

// Check is a signature, a MAC or a digest, and whether it holds.
type Check struct {
	Path      string  `json:"path"`
	What      string  `json:"what"` // signature, mac or digest
	Algorithm string  `json:"algorithm,omitempty"`
	KeyID     string  `json:"kid,omitempty"` // hexadecimal, as the object names it
	Key       string  `json:"key,omitempty"` // thumbprint of the key under which it is valid
	Verdict   Verdict `json:"verdict"`
	Detail    string  `json:"detail,omitempty"`
}

// maxChecks bounds the work: each signature can cost a verification for every key.
const maxChecks = 256

// check files a check. One too many counts as failed, for nobody has looked at it.
func (r *reader) check(c Check, judge func(*Check)) {
	c.Path = r.here()
	switch n := len(r.result.Checks); {
	case n > maxChecks:
		return
	case n == maxChecks:
		c.Verdict, c.Detail = Invalid, fmt.Sprintf("not looked at, for there are more than %d checks", maxChecks)
	default:
		judge(&c)
	}
	r.result.Checks = append(r.result.Checks, c)
}

// signed is what is known of one signature or MAC.
type signed struct {
	algorithm item // integer or text; zero for none
	kid       item // byte string; zero for none
	structure []byte
	value     []byte
	detached  bool // and the content is not at hand
}

func (s signed) check(what string) Check {
	return Check{What: what, Algorithm: algorithmOf(s.algorithm), KeyID: hex.EncodeToString(s.kid.content)}
}

func algorithmOf(it item) string {
	switch n, ok := it.integer(); {
	case it.raw == nil:
		return "no algorithm"
	case ok:
		return algorithmName(n)
	}
	return keyText(it)
}

// signature judges a signature under the keys that were given.
func (r *reader) signature(s signed) { r.signatureAs(s.check("signature"), s) }

// signatureAs is signature for one whose algorithm has another name than in COSE.
func (r *reader) signatureAs(check Check, s signed) {
	r.check(check, func(c *Check) {
		number, _ := s.algorithm.integer()
		algorithm := cosekit.Algorithm(number)
		candidates := r.candidates(s.kid)
		switch {
		case !speaks(algorithm, s.value):
			c.Verdict, c.Detail = Unsupported, "algorithm not supported"
		case s.detached:
			c.Verdict, c.Detail = NoPayload, "the payload is detached and not at hand"
		case len(r.opts.Keys) == 0:
			c.Verdict, c.Detail = NoKey, "no key given"
		case len(candidates) == 0:
			c.Verdict, c.Detail = NoKey, "names a key that was not given"
		default:
			c.Verdict, c.Detail = Invalid, fmt.Sprintf("does not verify under the keys given (%d tried)", len(candidates))
			for _, key := range candidates {
				if key.verifies(algorithm, s.structure, s.value) {
					c.Verdict, c.Key, c.Detail = Valid, key.thumbprint.String(), "key "+key.thumbprint.String()
					return
				}
			}
		}
	})
}

// mac judges a MAC under the secrets that were given. Those of a COSE_Mac come out of
// its recipients; a COSE_Mac0 has none.
func (r *reader) mac(s signed, recipients *item) {
	r.check(s.check("mac"), func(c *Check) {
		number, _ := s.algorithm.integer()
		algorithm := cosekit.Algorithm(number)
		keys, readable := r.opts.MACKeys, true
		if recipients != nil {
			keys, readable = macKeysFor(*recipients, r.opts.MACKeys)
		}
		switch {
		case !cosekit.IsMAC(algorithm):
			c.Verdict, c.Detail = Unsupported, "algorithm not supported"
		case !readable:
			c.Verdict, c.Detail = Unsupported, "the key is with the recipients, in a way that is not read here"
		case s.detached:
			c.Verdict, c.Detail = NoPayload, "the payload is detached and not at hand"
		case len(r.opts.MACKeys) == 0:
			c.Verdict, c.Detail = NoKey, "no MAC key given"
		case len(keys) == 0:
			c.Verdict, c.Detail = NoKey, "no MAC key given unwraps that of a recipient"
		default:
			c.Verdict, c.Detail = Invalid, fmt.Sprintf("does not verify under the MAC keys given (%d tried)", len(keys))
			if slices.ContainsFunc(keys, func(key *cosekit.SecretKey) bool { return key.VerifyRaw(algorithm, s.structure, s.value) == nil }) {
				c.Verdict, c.Detail = Valid, ""
			}
		}
	})
}

// measure compares a digest with the bytes that it is of.
func (r *reader) measure(want suit.Digest, data []byte) {
	r.check(Check{What: "digest", Algorithm: algorithmName(int64(want.Algorithm))}, func(c *Check) {
		h, ok := want.Algorithm.New()
		if !ok {
			c.Verdict, c.Detail = Unsupported, "algorithm not supported"
			return
		}
		h.Write(data)
		if got := h.Sum(nil); !bytes.Equal(got, want.Bytes) {
			c.Verdict, c.Detail = Invalid, fmt.Sprintf("it is %x", got)
			return
		}
		c.Verdict = Valid
	})
}
