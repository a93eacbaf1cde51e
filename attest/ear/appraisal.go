package ear

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// appraisal is an EAR-appraisal (draft-ietf-rats-ear-03 section 3.1), recomputed.
type appraisal struct {
	vector   []attest.Element
	genuine  bool // the identity of the attester is affirmed
	nonce    []byte
	claims   *attest.Claims
	document map[string]any
	key      *cosekit.PublicKey
}

func (d dialect) appraise(submod string, s claimsSet) (a appraisal, err error) {
	claimed, given, err := s.tier(d.status)
	switch {
	case err != nil:
		return a, err
	case !given:
		return a, fmt.Errorf("%w: no %s", ErrResult, d.status)
	}
	if a.vector, err = d.elements(submod, s); err != nil {
		return a, err
	}
	if e, ok := contradiction(submod, claimed, attest.StatusOf(a.vector)); ok {
		a.vector = append([]attest.Element{e}, a.vector...)
	}
	for _, e := range a.vector {
		a.genuine = a.genuine || e.Name == attest.InstanceIdentity && e.Tier() == attest.Affirming
	}
	if a.nonce, err = s.nonce(); err != nil {
		return a, err
	}
	if a.key, err = d.attestedKey(s); err != nil {
		return a, err
	}
	a.claims, a.document, err = d.claims(s)
	if err == nil && a.claims != nil && a.claims.Nonce != nil {
		err = agree("nonce", &a.nonce, a.claims.Nonce, bytes.Equal)
	}
	return a, err
}

// merge adds what another submodule says about the device.
func (a *appraisal) merge(b appraisal) error {
	if a.claims != nil && b.claims != nil {
		return fmt.Errorf("%w: two submods have TEEP claims, of which device is not to be told", ErrResult)
	}
	if b.claims != nil {
		a.claims, a.document = b.claims, b.document
	}
	if b.nonce != nil {
		if err := agree("nonce", &a.nonce, b.nonce, bytes.Equal); err != nil {
			return err
		}
	}
	if b.key != nil {
		return agree("attested key", &a.key, b.key, (*cosekit.PublicKey).Equal)
	}
	return nil
}

// agree sets a value that is told once, or twice alike.
func agree[T []byte | *cosekit.PublicKey](what string, have *T, told T, equal func(a, b T) bool) error {
	if *have != nil && !equal(*have, told) {
		return fmt.Errorf("%w: it tells the %s twice, differently", ErrResult, what)
	}
	*have = told
	return nil
}

// elements reads a trustworthiness vector. Elements that it leaves out have the value 0;
// those of names that are not known here count by their tier.
func (d dialect) elements(submod string, s claimsSet) ([]attest.Element, error) {
	values, err := s.object(d.vector)
	if err != nil || values == nil {
		return nil, err
	}
	problem := d.problem(s)
	names := slices.Clone(attest.ElementNames[:])
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var vector []attest.Element
	for _, name := range names {
		e := attest.Element{Submod: submod, Name: readable(name)}
		if v, ok := values[name]; ok {
			n, ok := v.(int64)
			if !ok || n < math.MinInt8 || n > math.MaxInt8 {
				return nil, wrong(fmt.Sprintf("element %.64q of the vector", name), "an integer of 8 bits")
			}
			e.Value = int8(n)
		}
		if e.Reason = meaning(e); problem != "" && e.Tier() > attest.Affirming {
			e.Reason += ": " + problem
		}
		vector = append(vector, e)
	}
	return vector, nil
}

// problem is why Veraison refused evidence before it appraised it.
func (d dialect) problem(s claimsSet) string {
	claims, _ := s.tree[d.policyClaims].(map[string]any)
	problem, _ := claims["problem"].(string)
	return readable(problem)
}

// contradiction is the element that says where the status and the vector differ, so that
// the worse of the two counts in every recomputation of the vector: also where the
// vector was left out.
func contradiction(submod string, claimed, recomputed attest.Status) (attest.Element, bool) {
	if claimed == recomputed {
		return attest.Element{}, false
	}
	e := attest.Element{Submod: submod, Name: "status", Value: int8(max(claimed, recomputed))}
	if e.Tier() == attest.Affirming {
		e.Value = 1 // the other one is none
	}
	e.Reason = fmt.Sprintf("the verifier says %s over a vector that is %s", claimed, recomputed)
	return e, true
}

// attestedKey reads the key that Veraison found attested. Keys of kinds that sign no
// TEEP message are passed over.
func (d dialect) attestedKey(s claimsSet) (*cosekit.PublicKey, error) {
	object, err := s.object(d.keyAttestation)
	if err != nil || object == nil {
		return nil, err
	}
	der, err := claimsSet{object, s.json}.bytes("akpub")
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, nil
	}
	key, err := cosekit.NewPublicKey(public)
	if err != nil || !key.SignsTEEP() {
		return nil, nil
	}
	return key, nil
}
