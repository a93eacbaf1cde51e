package tam

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Endpoint is a path at which devices meet the TAM, and how messages look there.
// Tokens are bound to it: what one endpoint issued, no other accepts.
type Endpoint struct {
	Path      string // its name, for example "/tam"
	Numbering teep.Numbering
	// FirstRequest is the one algorithm of the first QueryRequest, for agents that
	// cannot parse COSE_Sign; zero means COSE_Sign with a signature for each suite.
	// ES256 and EdDSA are for endpoints with LegacyAlgorithms.
	FirstRequest cosekit.Algorithm
	// LegacyAlgorithms accepts ES256 and EdDSA for ESP256 and Ed25519, and answers in kind.
	LegacyAlgorithms bool
	// Freshness is how evidence shows that it is fresh. With timestamps, QueryRequests
	// ask for evidence and carry neither token nor challenge, so that an agent may
	// also send its QueryResponse unasked.
	Freshness teep.FreshnessMechanism
	// TryKeys are the keys of registered agents that sign without naming their key:
	// each is tried on a message without a usable kid.
	TryKeys []cosekit.Thumbprint
	// FirstContact overrides the policy; empty does not.
	FirstContact FirstContact
	// Passport asks for Attestation Results without a challenge, and takes those of
	// trusted verifiers that are in their time (RFC 9334 section 5.1).
	Passport bool
	// ReturnResults passes the result of every appraisal back in an Update.
	ReturnResults bool
	// Debug returns reasons to the sender.
	Debug bool
}

// maxTryKeys bounds what a message that names no key costs.
const maxTryKeys = 16

func isLegacy(a cosekit.Algorithm) bool { return a == cosekit.LegacyES256 || a == cosekit.LegacyEdDSA }

// plainPath has one spelling only, and no character that a router gives a meaning.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9_-]+)+$`)

// Check says what is wrong with the endpoint.
func (e *Endpoint) Check() error {
	switch {
	case len(e.Path) > 255 || !plainPath.MatchString(e.Path):
		return fmt.Errorf("endpoint %q: the path must be like /tam or /tam/old: letters, digits, - and _, at most 255 bytes", e.Path)
	case isLegacy(e.FirstRequest) && !e.LegacyAlgorithms:
		return fmt.Errorf("endpoint %s: first request signed with %s: the endpoint must allow legacy algorithms", e.Path, cosekit.AlgorithmName(e.FirstRequest))
	case e.FirstRequest != 0 && !isLegacy(e.FirstRequest) && e.FirstRequest != cosekit.ESP256 && e.FirstRequest != cosekit.Ed25519:
		return fmt.Errorf("endpoint %s: first request signed with %s: want ESP256, Ed25519, their legacy names or both", e.Path, cosekit.AlgorithmName(e.FirstRequest))
	case e.Freshness != teep.FreshnessNonce && e.Freshness != teep.FreshnessTimestamp:
		return fmt.Errorf("endpoint %s: %s: want nonce or timestamp", e.Path, e.Freshness)
	case e.Freshness == teep.FreshnessTimestamp && e.FirstContact == TokenFirst:
		return fmt.Errorf("endpoint %s: with timestamps evidence is always asked for; first contact by %q is for nonces", e.Path, TokenFirst)
	case len(e.TryKeys) > maxTryKeys:
		return fmt.Errorf("endpoint %s: %d keys to try, at most %d", e.Path, len(e.TryKeys), maxTryKeys)
	case e.FirstContact != "" && e.FirstContact != TokenFirst && e.FirstContact != ChallengeFirst:
		return fmt.Errorf("endpoint %s: first contact %q: want %q or %q", e.Path, e.FirstContact, TokenFirst, ChallengeFirst)
	}
	return nil
}

// CheckEndpoints checks each, and that no two share a path.
func CheckEndpoints(endpoints []*Endpoint) error {
	if len(endpoints) == 0 {
		return errors.New("no TEEP endpoint")
	}
	seen := make(map[string]bool, len(endpoints))
	for _, e := range endpoints {
		if err := e.Check(); err != nil {
			return err
		}
		if seen[e.Path] {
			return fmt.Errorf("endpoint %s: there are two of this path", e.Path)
		}
		seen[e.Path] = true
	}
	return nil
}

func (e *Endpoint) legacy() cosekit.LegacyPolicy { return cosekit.LegacyPolicy(e.LegacyAlgorithms) }

func (e *Endpoint) firstContact(p Policy) FirstContact {
	if e.Freshness == teep.FreshnessTimestamp {
		return ChallengeFirst
	}
	if e.FirstContact != "" {
		return e.FirstContact
	}
	return p.FirstContact
}
