package inspect

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

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
func (r *reader) signature(s signed) {
	r.check(s.check("signature"), func(c *Check) {
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
				if key.VerifyRaw(algorithm, s.structure, s.value) == nil {
					c.Verdict, c.Key, c.Detail = Valid, key.Thumbprint().String(), "key "+key.Thumbprint().String()
					return
				}
			}
		}
	})
}

// speaks reports whether signatures of the algorithm can be judged. EdDSA stands for
// Ed448 too, whose signatures are longer.
func speaks(a cosekit.Algorithm, signature []byte) bool {
	const ed448Size = 114
	switch a {
	case cosekit.ESP256, cosekit.LegacyES256, cosekit.Ed25519:
		return true
	case cosekit.LegacyEdDSA:
		return len(signature) != ed448Size
	}
	return false
}

// candidates are the keys that a kid may mean: a thumbprint means one, anything else
// may mean any.
func (r *reader) candidates(kid item) []*cosekit.PublicKey {
	if len(kid.content) != len(cosekit.Thumbprint{}) {
		return r.opts.Keys
	}
	for _, key := range r.opts.Keys {
		if t := key.Thumbprint(); bytes.Equal(t[:], kid.content) {
			return []*cosekit.PublicKey{key}
		}
	}
	return nil
}

// mac judges a MAC under the secrets that were given.
func (r *reader) mac(s signed, wrapped bool) {
	const hmac256 = 5 // HMAC 256/256 (RFC 9053 section 3.1)
	r.check(s.check("mac"), func(c *Check) {
		switch {
		case !s.algorithm.is(hmac256):
			c.Verdict, c.Detail = Unsupported, "algorithm not supported"
		case wrapped:
			c.Verdict, c.Detail = Unsupported, "the key is with the recipients, whose keys are not unwrapped here"
		case s.detached:
			c.Verdict, c.Detail = NoPayload, "the payload is detached and not at hand"
		case len(r.opts.MACKeys) == 0:
			c.Verdict, c.Detail = NoKey, "no MAC key given"
		default:
			c.Verdict, c.Detail = Invalid, fmt.Sprintf("does not verify under the MAC keys given (%d tried)", len(r.opts.MACKeys))
			for _, key := range r.opts.MACKeys {
				h := hmac.New(sha256.New, key)
				h.Write(s.structure)
				if hmac.Equal(h.Sum(nil), s.value) {
					c.Verdict, c.Detail = Valid, ""
					return
				}
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
