package evidence

import (
	"fmt"

	"github.com/veraison/psatoken"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Profiles of PSA tokens: of RFC 9783 section 5, the name that Veraison has for the
// draft before it, and the one of 2019, which has a label and a name of its own.
const (
	ProfilePSA       = "tag:psacertified.org,2023:psa#tfm"
	ProfilePSALegacy = "tag:psacertified.org,2019:psa#legacy"
	profilePSA1      = psatoken.Profile1Name
	profilePSA2      = psatoken.Profile2Name
)

func isPSAProfile(profile string) bool {
	return profile == ProfilePSA || profile == ProfilePSALegacy || profile == profilePSA2
}

// Labels that profiles do not share.
const (
	labelProfile  = 265
	labelNonce    = 10
	labelBootSeed = 268 // in RFC 9783; 2397 in the draft before it
)

// PSAToken is a PSA attestation token. Nothing in it is verified.
type PSAToken struct {
	*Token
	Platform
	ClientID               int32
	BootSeed               []byte
	CertificationReference string
}

// ParsePSA reads a PSA token of any of its profiles; where the media type names one, of
// that.
func ParsePSA(media attest.MediaType, payload []byte) (*PSAToken, error) {
	token, err := ParseToken(payload)
	if err != nil {
		return nil, err
	}
	set, err := readClaimsSet(token.Payload)
	if err != nil {
		return nil, err
	}
	claims, err := set.psaClaims(media)
	if err != nil {
		return nil, err
	}
	t := &PSAToken{Token: token}
	_, err = guarded(func() (any, error) {
		if err := claims.UnmarshalCBOR(token.Payload); err != nil {
			return nil, fmt.Errorf("%w: %w", attest.ErrClaims, err)
		}
		t.Platform, err = readPlatform(claims)
		if err != nil {
			return nil, err
		}
		t.ClientID, _ = claims.GetClientID()
		t.BootSeed, _ = claims.GetBootSeed()
		t.CertificationReference, _ = claims.GetCertificationReference()
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	if t.BootSeed == nil && set[labelBootSeed] != nil {
		if t.BootSeed, err = cosekit.Bytes(set[labelBootSeed]); err != nil {
			return nil, fmt.Errorf("%w: boot seed: %w", attest.ErrClaims, err)
		}
	}
	return t, nil
}

// psaClaimsDecoder is what both profiles of the library are.
type psaClaimsDecoder interface {
	psatoken.IClaims
	UnmarshalCBOR([]byte) error
}

// psaClaims picks the profile that the token itself names. The register of the library is
// not asked: CCA profiles stand in it too, and the one of RFC 9783 does not.
func (s claimsSet) psaClaims(media attest.MediaType) (psaClaimsDecoder, error) {
	named := media.Parameters["eat_profile"] + media.Parameters["profile"]
	components := &psatoken.SwComponents[*psatoken.SwComponent]{}
	raw, ok := s[labelProfile]
	if !ok {
		if named != "" && named != ProfilePSALegacy {
			return nil, fmt.Errorf("%w: the token has no profile, its media type has %.64q", attest.ErrClaims, named)
		}
		return &psatoken.P1Claims{SwComponents: components, CanonicalProfile: profilePSA1},
			s.want(cosekit.MajorBytes, -75003, -75004, -75008, -75009)
	}
	profile, err := cosekit.Text(raw)
	if err != nil || profile != ProfilePSA && profile != profilePSA2 {
		return nil, fmt.Errorf("%w: profile %s is none of a PSA token", attest.ErrClaims, shown(raw))
	}
	if named != "" && named != profile {
		return nil, fmt.Errorf("%w: profile %.64q in a token whose media type has %.64q", attest.ErrClaims, profile, named)
	}
	return &psatoken.P2Claims{SwComponents: components, CanonicalProfile: profile},
		s.want(cosekit.MajorBytes, labelNonce, 256, 2396, 2397, labelBootSeed)
}

func readPSA(media attest.MediaType, payload []byte) (*Reading, error) {
	token, err := ParsePSA(media, payload)
	if err != nil {
		return nil, err
	}
	return &Reading{Claims: token.Claims(), Hardware: token.Hardware(), said: token}, nil
}

// Claims are those claims of an EAT that the token has. Its instance id is no ueid: it
// names the root of trust, not the device as its owner knows it.
func (t *PSAToken) Claims() *attest.Claims {
	return &attest.Claims{Profile: t.Profile, Nonce: t.Nonce}
}

// Document writes the claims by their names in RFC 9783.
func (t *PSAToken) Document() map[string]any {
	d := t.document("psa-", "software-components", "verification-service-indicator")
	putBytes(d, "psa-nonce", t.Nonce)
	putBytes(d, "psa-boot-seed", t.BootSeed)
	putText(d, "psa-certification-reference", t.CertificationReference)
	d["psa-client-id"] = float64(t.ClientID)
	d["psa-security-lifecycle"] = t.Lifecycle.State()
	return d
}
