package ear

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Form is how an Issuer writes results.
type Form int

// The forms. Only FormTEEP carries the agent's key, so that another TAM can bind it to a
// message: a passport (RFC 9334 section 5.1).
const (
	FormTEEP Form = iota // EAT with the profile of TEEP, CBOR
	FormCWT              // EAR, draft-ietf-rats-ear-03, CBOR
	FormJWT              // the same, JSON
)

// Issuer signs results of the built-in verifier. Set all fields; it may be used by many
// goroutines.
type Issuer struct {
	Signer   cosekit.Signer // P-256 or Ed25519
	Form     Form
	Lifetime time.Duration // of a result, from when it is issued
	Clock    func() time.Time
	// Developer and Build name the verifier in an EAR.
	Developer, Build string
}

// ErrIssue: a result that cannot be passed on.
var ErrIssue = errors.New("no attestation result can be issued")

// Issue signs a result that attest.Bind has accepted and that is affirming. It passes on
// who the device is and which manifests it has; nothing else that the evidence says.
func (i *Issuer) Issue(r *attest.Result) (*teep.AttestationPayload, error) {
	if err := r.Affirmed(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIssue, err)
	}
	now := i.Clock()
	var format string
	var token []byte
	var err error
	switch i.Form {
	case FormTEEP:
		format = MediaTypeTEEP
		token, err = i.passport(r.Claims, now)
	case FormCWT:
		format = MediaTypeCWT
		token, err = i.cwt(r, now)
	case FormJWT:
		format = MediaTypeJWT
		token, err = i.jwt(r, now)
	default:
		err = fmt.Errorf("form %d is not known", i.Form)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIssue, err)
	}
	return &teep.AttestationPayload{Format: format, Payload: token}, nil
}

// passport makes an EAT with the profile of TEEP (draft-ietf-teep-protocol-26 section 5).
func (i *Issuer) passport(c *attest.Claims, now time.Time) ([]byte, error) {
	out := identity(c)
	out.Profile, out.Nonce, out.Confirmation = attest.ProfileTEEP, c.Nonce, c.Confirmation
	out.IssuedAt, out.Expires = now, now.Add(i.Lifetime)
	if err := out.CheckProfile(false); err != nil {
		return nil, err
	}
	return attest.SignEAT(out, i.Signer)
}

// identity is what ear_teep_claims may hold, besides the nonce.
func identity(c *attest.Claims) *attest.Claims {
	return &attest.Claims{
		UEID: c.UEID, OEMID: c.OEMID, HWModel: c.HWModel, HWVersion: c.HWVersion,
		Manifests: c.Manifests, OtherManifests: c.OtherManifests,
	}
}

func (i *Issuer) cwt(r *attest.Result, now time.Time) ([]byte, error) {
	vectors, first, err := bySubmod(r.Vector)
	if err != nil {
		return nil, err
	}
	submods := map[string]map[int]any{}
	for submod, vector := range vectors {
		values := map[int]int8{}
		for label, name := range vectorOrder {
			if value, ok := vector[name]; ok {
				values[label] = value
			}
		}
		submods[submod] = map[int]any{1000: int8(attest.Affirming), 1001: values}
	}
	claims, err := teepClaims(r.Claims)
	if err != nil {
		return nil, err
	}
	submods[first][65000] = cosekit.RawMessage(claims)
	if r.Claims.Nonce != nil {
		submods[first][10] = r.Claims.Nonce
	}
	payload, err := cosekit.Marshal(map[int]any{
		265: attest.ProfileEAR03, 6: now.Unix(), 4: now.Add(i.Lifetime).Unix(),
		1004: map[int]string{0: i.Developer, 1: i.Build}, 266: submods,
	})
	if err != nil {
		return nil, err
	}
	return cosekit.Sign1(i.Signer, payload, cosekit.Form{})
}

func (i *Issuer) jwt(r *attest.Result, now time.Time) ([]byte, error) {
	vectors, first, err := bySubmod(r.Vector)
	if err != nil {
		return nil, err
	}
	submods := map[string]map[string]any{}
	for submod, vector := range vectors {
		submods[submod] = map[string]any{"ear_status": attest.Affirming.String(), "ear_trustworthiness_vector": vector}
	}
	if submods[first]["ear_teep_claims"], err = jsonTEEPClaims(r.Claims); err != nil {
		return nil, err
	}
	if r.Claims.Nonce != nil {
		submods[first]["eat_nonce"] = base64url(r.Claims.Nonce)
	}
	return i.sign(map[string]any{
		"eat_profile": attest.ProfileEAR03, "iat": now.Unix(), "exp": now.Add(i.Lifetime).Unix(),
		"ear_verifier_id": map[string]string{"developer": i.Developer, "build": i.Build},
		"submods":         submods,
	})
}

// sign makes a JWT (RFC 7519). The signatures of cosekit are laid out as JOSE wants them.
func (i *Issuer) sign(claims any) ([]byte, error) {
	key := i.Signer.PublicKey()
	header := map[string]string{"typ": "JWT", "alg": string(es256.jose), "kid": key.Thumbprint().String()}
	if key.Algorithm() == cosekit.Ed25519 {
		header["alg"] = string(eddsa.jose)
	}
	var token []byte
	for _, part := range []any{header, claims} {
		encoded, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		token = append(append(token, base64url(encoded)...), '.')
	}
	token = token[:len(token)-1]
	signature, err := i.Signer.Sign(rand.Reader, token)
	if err != nil {
		return nil, err
	}
	return append(append(token, '.'), base64url(signature)...), nil
}

// soleSubmod is the label of the attester of a result with one.
const soleSubmod = "TEE"

// bySubmod sorts the claims that a vector makes by submodule, and tells the first, which
// speaks for the device. Names that are no element of AR4SI are for us, not for others.
func bySubmod(vector []attest.Element) (submods map[string]map[string]int8, first string, err error) {
	submods = map[string]map[string]int8{}
	for _, e := range vector {
		label := e.Submod
		if label == "" {
			label = soleSubmod
		}
		if submods[label] == nil {
			submods[label] = map[string]int8{}
		}
		if e.Value != 0 && slices.Contains(attest.ElementNames[:], e.Name) {
			submods[label][e.Name] = e.Value
		}
	}
	for _, label := range slices.Sorted(maps.Keys(submods)) {
		if len(submods[label]) == 0 {
			return nil, "", fmt.Errorf("nothing that AR4SI has a name for is affirmed of %s", label)
		}
		first = cmp.Or(first, label)
	}
	return submods, first, nil
}

// teepClaims encodes ear_teep_claims.
func teepClaims(c *attest.Claims) ([]byte, error) {
	out := identity(c)
	out.Nonce = c.Nonce
	return attest.EncodeClaims(out)
}

func jsonTEEPClaims(c *attest.Claims) (map[string]any, error) {
	encoded, err := teepClaims(c)
	if err != nil {
		return nil, err
	}
	tree, err := readItem(encoded, claimNames)
	if err != nil {
		return nil, err
	}
	object, _ := textual(tree).(map[string]any)
	return object, nil
}

// textual writes byte strings as JSON has them in an EAT.
func textual(v any) any {
	switch v := v.(type) {
	case []byte:
		return base64url(v)
	case []any:
		for i := range v {
			v[i] = textual(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = textual(v[name])
		}
	}
	return v
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
