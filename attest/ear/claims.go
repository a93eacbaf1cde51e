package ear

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// claimsSet reads the claims of a result, or of an appraisal in it. Each reader wants a
// claim to be what its specification says; each has a form for absent claims.
type claimsSet struct {
	tree map[string]any
	json bool // byte strings are base64url, tiers have names
}

func wrong(name, want string) error { return fmt.Errorf("%w: %s is not %s", ErrResult, name, want) }

// text returns "" for an absent claim.
func (s claimsSet) text(name string) (string, error) {
	v, ok := s.tree[name]
	if !ok {
		return "", nil
	}
	text, ok := v.(string)
	if !ok {
		return "", wrong(name, "text")
	}
	return text, nil
}

// latest is the end of the year 9999; a later time cannot be written in RFC 3339.
const latest = 253402300799

// time reads whole seconds: EAT has no others (RFC 9711 section 4.3.1).
func (s claimsSet) time(name string) (time.Time, error) {
	v, ok := s.tree[name]
	if !ok {
		return time.Time{}, nil
	}
	seconds, ok := v.(int64)
	if !ok || seconds < 0 || seconds > latest {
		return time.Time{}, wrong(name, "a time in whole seconds")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// bytes returns nil for an absent claim. Veraison pads its base64url, RFC 9711 does not.
func (s claimsSet) bytes(name string) ([]byte, error) {
	v, ok := s.tree[name]
	if !ok {
		return nil, nil
	}
	if text, ok := v.(string); ok && s.json {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil {
			return nil, wrong(name, "base64url")
		}
		return b, nil
	}
	b, ok := v.([]byte)
	if !ok {
		return nil, wrong(name, "a byte string")
	}
	return b, nil
}

// nonce reads eat_nonce: one, of 8 to 64 bytes.
func (s claimsSet) nonce() ([]byte, error) {
	if _, several := s.tree["eat_nonce"].([]any); several {
		return nil, fmt.Errorf("%w: an array of nonces, want a single one", ErrResult)
	}
	nonce, err := s.bytes("eat_nonce")
	if err == nil && nonce != nil && (len(nonce) < 8 || len(nonce) > 64) {
		return nil, fmt.Errorf("%w: eat_nonce of %d bytes, want 8 to 64", ErrResult, len(nonce))
	}
	return nonce, err
}

// object returns nil for an absent claim.
func (s claimsSet) object(name string) (map[string]any, error) {
	v, ok := s.tree[name]
	if !ok {
		return nil, nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, wrong(name, "a map")
	}
	return object, nil
}

// tier reads a status: a name in JSON, a number in CBOR (draft-ietf-rats-ear-03).
func (s claimsSet) tier(name string) (tier attest.Status, ok bool, err error) {
	v, ok := s.tree[name]
	if !ok {
		return attest.None, false, nil
	}
	for _, tier := range []attest.Status{attest.None, attest.Affirming, attest.Warning, attest.Contraindicated} {
		if s.json && v == tier.String() || !s.json && v == int64(tier) {
			return tier, true, nil
		}
	}
	return attest.None, false, wrong(name, "a trustworthiness tier")
}

// dialect returns the names that the set's profile gives to claims. The profile of the
// media type, where it has one, must be that of the claims.
func (s claimsSet) dialect(media string, known ...string) (dialect, error) {
	profile, err := s.text("eat_profile")
	switch {
	case err != nil:
		return dialect{}, err
	case media != "" && media != profile:
		return dialect{}, fmt.Errorf("%w: the media type has profile %.100q, the claims have %.100q", ErrResult, media, profile)
	case !slices.Contains(known, profile):
		return dialect{}, fmt.Errorf("%w: profile %.100q is not read here; want one of %q", ErrResult, profile, known)
	case profile == attest.ProfileEARVeraison:
		return veraisonNames, nil
	}
	return draftNames, nil
}

// dialect is what claims are called.
type dialect struct {
	status, vector, verifier, teepClaims, policyClaims, keyAttestation string
}

var (
	draftNames = dialect{
		"ear_status", "ear_trustworthiness_vector", "ear_verifier_id", "ear_teep_claims",
		"ear_veraison_policy_claims", "ear_veraison_key_attestation",
	}
	veraisonNames = dialect{
		"ear.status", "ear.trustworthiness-vector", "ear.verifier-id", "ear.teep-claims",
		"ear.veraison.policy-claims", "ear.veraison.key-attestation",
	}
)

// plain returns a value in the types of encoding/json, byte strings as hexadecimal digits.
func plain(v any) any {
	switch v := v.(type) {
	case []byte:
		return hex.EncodeToString(v)
	case int64:
		return float64(v)
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return v.String() // too large
		}
		return f
	case float32:
		return plain(float64(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v) // JSON has none
		}
		return v
	case uint64:
		return float64(v)
	case tagged:
		return plain(v.content)
	case cosekit.RawMessage:
		content, err := readItem(v, claimNames)
		if err != nil {
			return hex.EncodeToString(v)
		}
		return plain(content)
	case []any:
		array := make([]any, len(v))
		for i := range v {
			array[i] = plain(v[i])
		}
		return array
	case map[string]any:
		return plainMap(v)
	case string, bool, nil:
		return v
	}
	return fmt.Sprint(v) // a simple value of CBOR
}

func plainMap(m map[string]any) map[string]any {
	object := make(map[string]any, len(m))
	for name, v := range m {
		object[name] = plain(v)
	}
	return object
}
