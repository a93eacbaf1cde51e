package local

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// appraisePSA appraises a PSA token (RFC 9783): signed by the attestation key of the
// instance that it names, in answer to our challenge, by a root of trust that keeps its
// secrets, with the software that its maker has released.
func (v *Verifier) appraisePSA(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	media, err := attest.ParseMediaType(e.Format)
	if err != nil {
		return nil, err
	}
	token, err := evidence.ParsePSA(media, e.Payload)
	if err != nil {
		return nil, err
	}
	base, err := v.references(ctx)
	if err != nil {
		return nil, err
	}
	now := v.options.Clock()
	a := newAppraisal("")
	s, err := v.authenticatePlatform(ctx, base, anchor.FormatPSA, token.Token, token.Platform, now)
	if err != nil {
		return nil, err
	}
	a.find(attest.InstanceIdentity, s.value, "%s", s.reason)
	if s.candidate == nil {
		return conclude(e, now, nil, a), nil
	}
	if err := checkChallenge(token.Nonce, e.Challenge); err != nil {
		a.find(attest.InstanceIdentity, notAcceptable, "%s", err)
	}
	about := implementation(token.Platform)
	v.appraisePlatform(a, s.candidate, base.References(about), token.Platform)
	signed, err := s.genuine(token.Claims(), token.Document(), token.Platform)
	if err != nil {
		return nil, err
	}
	return conclude(e, now, signed, a), nil
}

// genuine is what may be said of the token of a platform that the candidate has signed. The
// hardware is named by its instance id, as a remote verifier names it, if that can be nobody
// else's: the key is endorsed or certified for this instance, or the instance id is made of
// the key. A key that is merely registered, or good for a whole class, could sign any
// instance id, so the hardware is named by the key then.
func (s authenticated) genuine(claims *attest.Claims, document map[string]any, p evidence.Platform) (*genuineEvidence, error) {
	hardware, err := thumbprint(s.key)
	if err != nil {
		return nil, err
	}
	if s.instance || equal(hardware[:], p.InstanceID[1:]) {
		hardware = p.Hardware()
	}
	claims.UEID = s.ueid
	return &genuineEvidence{claims, document, hardware}, nil
}

// implementation is the environment of a platform in CoRIM files: the class is the
// implementation id, the instance the instance id (draft-fdb-rats-psa-endorsements).
func implementation(p evidence.Platform) corim.Environment {
	return corim.Environment{
		ClassID:  corim.ID{Kind: corim.KindImplID, Value: p.ImplementationID},
		Instance: ueidOf(p.InstanceID),
	}
}

// authenticatePlatform finds the key that signed the token of a platform. An endorsed key
// goes by the ids in the token; a registered one by kid, or by the instance id where that
// is made of the key's thumbprint.
func (v *Verifier) authenticatePlatform(ctx context.Context, base *corim.Base, format anchor.Format, token *evidence.Token, p evidence.Platform, now time.Time) (authenticated, error) {
	s := signer{format: format, chain: token.Chain, environment: implementation(p)}
	for _, name := range [][]byte{token.KeyID, p.InstanceID[1:]} {
		if len(name) == len(cosekit.Thumbprint{}) && !slices.Contains(s.thumbprints, cosekit.Thumbprint(name)) {
			s.thumbprints = append(s.thumbprints, cosekit.Thumbprint(name))
		}
	}
	candidates, refused, err := v.candidates(ctx, base, s, now)
	if err != nil {
		return authenticated{}, err
	}
	if len(candidates) == 0 && refused.value == notRecognized && s.chain == nil {
		refused.reason = fmt.Sprintf("no attestation key is endorsed or registered for instance %x of implementation %x", p.InstanceID, p.ImplementationID)
	}
	c, f := signedBy(candidates, refused, token.Verify)
	if c != nil {
		// Whichever way the key was found, the hardware keeps its name.
		c.instance = slices.ContainsFunc(candidates, func(other candidate) bool {
			return (other.instance || equal(other.ueid, p.InstanceID)) && sameKey(other.key, c.key)
		})
		c.class = slices.ContainsFunc(candidates, func(other candidate) bool { return other.class && sameKey(other.key, c.key) })
	}
	if c != nil && c.ueid != nil && len(c.ueid) == len(p.InstanceID) && !equal(c.ueid, p.InstanceID) {
		f = finding{notAcceptable, fmt.Sprintf("the certificate is of device %x, the token is of instance %x", c.ueid, p.InstanceID)}
	}
	return authenticated{c, f}, nil
}

// checkChallenge compares the nonce of evidence that has no other sign of its time.
func checkChallenge(nonce, challenge []byte) error {
	switch {
	case challenge == nil:
		return fmt.Errorf("%w: the format has no time of its own, and there is no challenge to answer", attest.ErrStale)
	case subtle.ConstantTimeCompare(nonce, challenge) != 1:
		return attest.ErrNonce
	}
	return nil
}

// appraisePlatform fills in what a genuine token of a platform says of it. The claims of
// the lifecycle follow the appraisal of Veraison, but for debugging: it lets whoever holds
// the device speak in the name of its software, so a warning stays.
//
// The hardware is genuine only if the maker says so of this key. One that an operator has
// registered may sign any implementation id.
func (v *Verifier) appraisePlatform(a *appraisal, by *candidate, references []corim.Reference, p evidence.Platform) {
	switch {
	case len(references) == 0:
		a.find(attest.Hardware, 0, "not appraised: no reference values for implementation %x", p.ImplementationID)
	case by.class:
		a.find(attest.Hardware, genuine, "the key is endorsed for implementation %x, which reference values know", p.ImplementationID)
	default:
		a.find(attest.Hardware, 0, "not appraised: no maker vouches that the key is one of implementation %x", p.ImplementationID)
	}
	state := p.Lifecycle.State()
	switch {
	case !p.Lifecycle.Secured():
		a.find(attest.InstanceIdentity, notTrustworthy, "security lifecycle %s: the root of trust does not keep its keys to itself", state)
		a.find(attest.Configuration, contraindicated, "security lifecycle %s", state)
		a.find(attest.RuntimeOpaque, secretsVisible, "security lifecycle %s: memory can be looked into", state)
		a.find(attest.StorageOpaque, secretsVisible, "security lifecycle %s: stored secrets can be read", state)
	case p.Lifecycle.Debugged():
		a.find(attest.Configuration, unsafeConfig, "security lifecycle %s: software outside the root of trust can be debugged", state)
		fallthrough
	default:
		a.find(attest.Configuration, approved, "security lifecycle %s", state)
		a.find(attest.RuntimeOpaque, secretsProtected, "security lifecycle %s: the root of trust shields its memory", state)
		a.find(attest.StorageOpaque, secretsProtected, "security lifecycle %s: secrets are kept under hardware keys", state)
	}
	v.measureComponents(a, references, p.Components)
}
