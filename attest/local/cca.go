package local

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/devices/anchor"
)

// Submodules of a CCA token in the trust vector.
const (
	platformSubmod = "CCA_PLATFORM"
	realmSubmod    = "CCA_REALM"
)

// appraiseCCA appraises a CCA token (draft-ffm-rats-cca-token): the platform like a PSA
// token, and the realm by the key that the platform vouches for.
func (v *Verifier) appraiseCCA(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	media, err := attest.ParseMediaType(e.Format)
	if err != nil {
		return nil, err
	}
	token, err := evidence.ParseCCA(media, e.Payload)
	if err != nil {
		return nil, err
	}
	base, err := v.references(ctx)
	if err != nil {
		return nil, err
	}
	now := v.options.Clock()
	platform, realm := newAppraisal(platformSubmod), newAppraisal(realmSubmod)
	s, err := v.authenticatePlatform(ctx, base, anchor.FormatCCA, token.PlatformToken, token.Platform, now)
	if err != nil {
		return nil, err
	}
	platform.find(attest.InstanceIdentity, s.value, "%s", s.reason)
	if s.candidate == nil {
		realm.find(attest.InstanceIdentity, notRecognized, "nobody trusted vouches for the platform, which vouches for the realm")
		return conclude(e, now, nil, platform, realm), nil
	}
	if err := token.VerifyRealm(); err != nil {
		realm.find(attest.InstanceIdentity, notGenuine, "%s", err)
		return conclude(e, now, nil, platform, realm), nil
	}
	realm.find(attest.InstanceIdentity, recognized, "signed by the key that the platform vouches for")
	claims := token.Claims()
	if err := checkChallenge(claims.Nonce, e.Challenge); err != nil {
		realm.find(attest.InstanceIdentity, notAcceptable, "%s", err)
	}
	references := base.References(implementation(token.Platform))
	v.appraisePlatform(platform, s.candidate, references, token.Platform)
	measureConfig(platform, references, token.Config)
	measureRealm(realm, base, token.Realm)
	signed, err := s.genuine(claims, token.Document(), token.Platform)
	if err != nil {
		return nil, err
	}
	return conclude(e, now, signed, platform, realm), nil
}

// measureConfig holds the configuration of the platform against reference values, where
// there are any.
func measureConfig(a *appraisal, references []corim.Reference, config []byte) {
	compareRaw(a, attest.Configuration, "platform configuration", withKey(references, corim.KeyPlatformConfig), config)
}

// withKey picks the reference values of one measurement.
func withKey(references []corim.Reference, key string) []corim.Reference {
	var list []corim.Reference
	for _, r := range references {
		if isReference(r) && r.Key == key {
			list = append(list, r)
		}
	}
	return list
}

// compareRaw holds a value against raw reference values, where there are any.
func compareRaw(a *appraisal, element, name string, references []corim.Reference, value []byte) {
	c := attest.Comparison{Element: element, Name: name, Measured: hex.EncodeToString(value)}
	for _, r := range references {
		if r.Raw == nil || c.Match {
			continue
		}
		c.Expected, c.Source = expect(c.Expected, hex.EncodeToString(r.Raw)), r.Source
		c.Match = equalUnder(r.Mask, value, r.Raw)
	}
	a.compare(c)
	if c.Expected != nil && !c.Match {
		a.find(element, contraindicated, "%s is %s, which is no reference value of it", name, c.Measured)
	}
}

// measureRealm holds a realm against the reference values of its initial measurement,
// which is its class. Personalization is compared where there are values for it. All of
// that makes the realm one that was approved when it booted; where the extensible
// measurements are as expected too, one that is approved as it runs.
func measureRealm(a *appraisal, base *corim.Base, r evidence.Realm) {
	rim := corim.ID{Kind: corim.KindBytes, Value: r.InitialMeasurement}
	references := base.References(corim.Environment{ClassID: rim, Instance: rim})
	if matched, known := compareDigest(a, "initial measurement", withKey(references, corim.KeyRIM), r.InitialMeasurement); !known {
		a.find(attest.Executables, unrecognized, "there is no reference value of initial measurement %x", r.InitialMeasurement)
	} else if matched {
		a.find(attest.Executables, approvedAtBoot, "initial measurement %x is a reference value", r.InitialMeasurement)
	}
	// Older files have the personalization value without a key.
	personal := append(withKey(references, corim.KeyRPV), withKey(references, "")...)
	compareRaw(a, attest.Executables, "personalization value", personal, r.Personalization)
	var open []string
	for i, measured := range r.Extensible {
		name := fmt.Sprintf("extensible measurement %d", i)
		if matched, _ := compareDigest(a, name, withKey(references, fmt.Sprintf("cca.rem%d", i)), measured); !matched {
			open = append(open, name)
		}
	}
	if f := a.findings[attest.Executables]; f.value != approvedAtBoot {
		return
	}
	if open == nil {
		a.findings[attest.Executables] = finding{approved, "initial and extensible measurements are reference values"}
		return
	}
	a.findings[attest.Executables] = finding{approvedAtBoot, fmt.Sprintf("the initial measurement is a reference value; nothing is known of %s", strings.Join(open, ", "))}
}

// compareDigest holds a measured value against the digests of reference values. known says
// whether there are some; a value that is none of them is contraindicated.
func compareDigest(a *appraisal, name string, references []corim.Reference, value []byte) (matched, known bool) {
	c := attest.Comparison{Element: attest.Executables, Name: name, Measured: hex.EncodeToString(value)}
	for _, r := range references {
		for _, d := range r.Digests {
			if c.Match {
				break
			}
			c.Expected, c.Source = expect(c.Expected, hex.EncodeToString(d.Value)), r.Source
			c.Match = equal(d.Value, value)
		}
	}
	a.compare(c)
	if known = c.Expected != nil; known && !c.Match {
		a.find(attest.Executables, contraindicated, "%s is %s, which is no reference value of it", name, c.Measured)
	}
	return c.Match, known
}
