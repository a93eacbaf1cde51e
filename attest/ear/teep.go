package ear

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// readTEEP reads an EAT with the profile of TEEP (draft-ietf-teep-protocol-26 section 5).
// It has no vector: a verifier affirms by issuing it, and says for how long with exp.
func readTEEP(payload []byte, key Key, o Options) (*attest.Result, error) {
	claims, err := attest.DecodeClaims(payload)
	if err == nil && claims.Profile != "" && claims.Profile != attest.ProfileTEEP {
		err = fmt.Errorf("%w: the media type has profile %q, the claims have %.100q", ErrResult, attest.ProfileTEEP, claims.Profile)
	}
	if err == nil {
		err = claims.CheckProfile(o.Nonce != nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResult, err)
	}
	if err := claims.CheckTime(o.Now, o.Skew); err != nil {
		return nil, err
	}
	if o.Nonce != nil {
		if err := claims.CheckNonce(o.Nonce); err != nil {
			return nil, err
		}
	}
	r := &attest.Result{
		Verifier: key.Name, Claims: claims, Document: claims.Document(),
		AppraisedAt: claims.IssuedAt, Expires: claims.Expires, Format: MediaTypeTEEP,
	}
	for _, name := range attest.ElementNames {
		e := attest.Element{Name: name, Reason: "an EAT in the profile of TEEP says nothing about it"}
		if name == attest.InstanceIdentity {
			e.Value, e.Reason = 2, "issued as an attestation result by "+key.label()
		}
		r.Vector = append(r.Vector, e)
	}
	r.Status = attest.StatusOf(r.Vector)
	return r, nil
}

// label names the key for people.
func (k Key) label() string {
	if k.Name != "" {
		return k.Name
	}
	thumbprint, err := k.Thumbprint()
	if err != nil {
		return "an unknown verifier"
	}
	return "the verifier with key " + thumbprint.String()
}

// claims reads ear_teep_claims (draft-ietf-rats-ear-03 section 4.4): nil where there are
// none. Those of JSON are written in CBOR first, so that both are held against the same
// rules.
func (d dialect) claims(s claimsSet) (*attest.Claims, map[string]any, error) {
	v, ok := s.tree[d.teepClaims]
	if !ok {
		return nil, nil, nil
	}
	raw, ok := v.(cosekit.RawMessage)
	if tree, isObject := v.(map[string]any); isObject && s.json {
		var err error
		if raw, err = encodeTEEP(claimsSet{tree, true}); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", d.teepClaims, err)
		}
	} else if !ok {
		return nil, nil, wrong(d.teepClaims, "a map")
	}
	claims, err := attest.DecodeClaims(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrResult, d.teepClaims, err)
	}
	// They have no cnf: what came under its label is no word of the verifier about a key.
	claims.Confirmation = attest.Confirmation{}
	return claims, claims.Document(), nil
}

// encodeTEEP writes the members that ear_teep_claims may have in CBOR.
func encodeTEEP(s claimsSet) (cosekit.RawMessage, error) {
	set := map[int64]any{}
	for label, name := range map[int64]string{10: "eat_nonce", 256: "ueid", 258: "oemid", 259: "hwmodel"} {
		if number, ok := s.tree[name].(int64); ok && name == "oemid" {
			set[label] = number // an enterprise number
			continue
		}
		b, err := s.bytes(name)
		if err != nil {
			return nil, err
		}
		if b != nil {
			set[label] = b
		}
	}
	if version, ok := s.tree["hwversion"]; ok {
		set[260] = version
	}
	if v, ok := s.tree["manifests"]; ok {
		manifests, err := binaryManifests(v)
		if err != nil {
			return nil, err
		}
		set[272] = manifests
	}
	return cosekit.Marshal(set)
}

// binaryManifests turns [content format, base64url] into [content format, bytes] (RFC 9711
// section 4.2.15).
func binaryManifests(v any) ([]any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, wrong("manifests", "an array")
	}
	manifests := []any{}
	for _, v := range list {
		entry, ok := v.([]any)
		if !ok || len(entry) != 2 {
			return nil, wrong("an entry of manifests", "content format and body")
		}
		body, err := claimsSet{map[string]any{"manifest": entry[1]}, true}.bytes("manifest")
		if err != nil {
			return nil, err
		}
		manifests = append(manifests, []any{entry[0], body})
	}
	return manifests, nil
}
