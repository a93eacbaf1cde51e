package evidence

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/veraison/ccatoken/platform"
	"github.com/veraison/ccatoken/realm"
	"github.com/veraison/psatoken"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Profiles of the platform's part of a CCA token, before and since Arm's tag URIs.
const (
	ProfileCCA       = platform.ProfileName
	ProfileCCALegacy = platform.LegacyProfileName
)

func isCCAProfile(profile string) bool {
	return profile == ProfileCCA || profile == ProfileCCALegacy
}

// Members of the collection, and its tags as they are encoded. Under 907, since the second
// version of the draft, each member is a CMW record with the content format of
// application/eat+cwt; under 399, and without a tag, the token itself.
const (
	labelPlatformToken = 44234
	labelRealmToken    = 44241
	contentFormatCWT   = 263
)

var (
	tagCollection = []byte{0xd9, 399 >> 8, 399 & 0xff}
	tagRecords    = []byte{0xd9, 907 >> 8, 907 & 0xff}
)

// challengeSize is what a realm's challenge has always; a shorter one is filled up with
// zeros by the realm management monitor.
const (
	challengeSize = 64
	nonceSize     = 32
)

// CCAToken is a CCA attestation token: what the platform says, signed by its attestation
// key, and what the realm says, signed by a key that the platform's token commits to.
// Nothing in it is verified.
type CCAToken struct {
	PlatformToken, RealmToken *Token
	Platform                  Platform
	Config                    []byte
	Realm                     Realm
}

// Realm is what the realm management monitor says of a realm.
type Realm struct {
	Challenge          []byte // 64 bytes
	Personalization    []byte // 64 bytes
	InitialMeasurement []byte
	Extensible         [][]byte
	HashAlgorithm      string
	Key                *ecdsa.PublicKey

	key     []byte // as it came
	keyHash string // name of the hash that the platform's nonce is made with
}

// ParseCCA reads a CCA token: a map of two COSE_Sign1 in any of its forms. What devices
// beside the platform say of themselves without a signature is passed over.
func ParseCCA(_ attest.MediaType, payload []byte) (*CCAToken, error) {
	if len(payload) > attest.MaxTokenSize {
		return nil, fmt.Errorf("%w: token of %d bytes, at most %d", attest.ErrTooLarge, len(payload), attest.MaxTokenSize)
	}
	content, records := bytes.CutPrefix(payload, tagRecords)
	if !records {
		content = bytes.TrimPrefix(payload, tagCollection)
	}
	collection, err := readClaimsSet(content)
	if err != nil {
		return nil, err
	}
	t := &CCAToken{}
	if t.PlatformToken, err = collection.token(labelPlatformToken, records); err != nil {
		return nil, fmt.Errorf("platform token: %w", err)
	}
	if t.RealmToken, err = collection.token(labelRealmToken, records); err != nil {
		return nil, fmt.Errorf("realm token: %w", err)
	}
	if err := t.readPlatform(); err != nil {
		return nil, fmt.Errorf("platform token: %w", err)
	}
	if err := t.readRealm(); err != nil {
		return nil, fmt.Errorf("realm token: %w", err)
	}
	return t, nil
}

func (s claimsSet) token(label int64, record bool) (*Token, error) {
	raw, ok := s[label]
	if !ok {
		return nil, fmt.Errorf("%w: no member %d of the collection", attest.ErrToken, label)
	}
	if record {
		parts, err := cosekit.Elements(raw)
		if err != nil || len(parts) != 2 || attest.PlainItem(parts[0]) != float64(contentFormatCWT) {
			return nil, fmt.Errorf("%w: member %d is no CMW record of content format %d", attest.ErrToken, label, contentFormatCWT)
		}
		raw = parts[1]
	}
	message, err := cosekit.Bytes(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrToken, err)
	}
	return ParseToken(message)
}

func (t *CCAToken) readPlatform() error {
	set, err := readClaimsSet(t.PlatformToken.Payload)
	if err != nil {
		return err
	}
	profile, err := cosekit.Text(set[labelProfile])
	if err != nil || !isCCAProfile(profile) {
		return fmt.Errorf("%w: profile %s is none of a CCA platform", attest.ErrClaims, shown(set[labelProfile]))
	}
	if err := set.want(cosekit.MajorBytes, labelNonce, 256, 2396, 2401); err != nil {
		return err
	}
	claims := &platform.Claims{
		SwComponents:     &psatoken.SwComponents[*psatoken.SwComponent]{},
		CanonicalProfile: profile,
	}
	_, err = guarded(func() (any, error) {
		if err := claims.UnmarshalCBOR(t.PlatformToken.Payload); err != nil {
			return nil, fmt.Errorf("%w: %w", attest.ErrClaims, err)
		}
		if err := claims.Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", attest.ErrClaims, err)
		}
		t.Config, _ = claims.GetConfig()
		t.Platform, err = readPlatform(claims)
		return nil, err
	})
	return err
}

func (t *CCAToken) readRealm() error {
	set, err := readClaimsSet(t.RealmToken.Payload)
	if err != nil {
		return err
	}
	if err := set.want(cosekit.MajorBytes, labelNonce, 44235, 44237, 44238); err != nil {
		return err
	}
	t.Realm, err = guarded(func() (Realm, error) {
		claims, err := realm.DecodeAndValidateClaimsFromCBOR(t.RealmToken.Payload)
		if err != nil {
			return Realm{}, fmt.Errorf("%w: %w", attest.ErrClaims, err)
		}
		return readRealm(claims)
	})
	return err
}

func readRealm(claims realm.IClaims) (r Realm, err error) {
	var errs [7]error
	r.Challenge, errs[0] = claims.GetChallenge()
	r.Personalization, errs[1] = claims.GetPersonalizationValue()
	r.InitialMeasurement, errs[2] = claims.GetInitialMeasurement()
	r.Extensible, errs[3] = claims.GetExtensibleMeasurements()
	r.HashAlgorithm, errs[4] = claims.GetHashAlgID()
	r.key, errs[5] = claims.GetPubKey()
	r.keyHash, errs[6] = claims.GetPubKeyHashAlgID()
	if err := errors.Join(errs[:]...); err != nil {
		return Realm{}, fmt.Errorf("%w: %w", attest.ErrClaims, err)
	}
	_, err = claims.GetProfile()
	raw := errors.Is(err, psatoken.ErrOptionalClaimMissing)
	if err != nil && !raw {
		return Realm{}, fmt.Errorf("%w: %w", attest.ErrClaims, err)
	}
	if r.Key, err = realmKey(r.key, raw); err != nil {
		return Realm{}, fmt.Errorf("%w: key of the realm: %w", attest.ErrClaims, err)
	}
	return r, nil
}

// realmKey reads the key of a realm: a point on P-384 in tokens without a profile, else a
// COSE_Key. The library does not look whether the point of that is on its curve.
func realmKey(encoded []byte, raw bool) (*ecdsa.PublicKey, error) {
	if raw {
		return realm.ECDSAPublicKeyFromRaw(encoded)
	}
	key, err := realm.ECDSAPublicKeyFromCOSEKey(encoded)
	if err != nil {
		return nil, err
	}
	_, err = key.ECDH()
	return key, err
}

// hashes that a platform may commit to the realm's key with.
var hashes = map[string]crypto.Hash{
	"sha-256": crypto.SHA256, "sha-384": crypto.SHA384, "sha-512": crypto.SHA512,
}

// ErrRealmKey: the platform's token commits to another realm key.
var ErrRealmKey = errors.New("the platform does not vouch for the realm's key")

// VerifyRealm checks that the platform's token commits to the realm's key, and the
// signature of that key on the realm's token. The platform's own signature is to be
// checked with PlatformToken.Verify: without it this says nothing.
func (t *CCAToken) VerifyRealm() error {
	hash, ok := hashes[t.Realm.keyHash]
	if !ok {
		return fmt.Errorf("%w: hash %.64q is not known", ErrRealmKey, t.Realm.keyHash)
	}
	h := hash.New()
	h.Write(t.Realm.key)
	if subtle.ConstantTimeCompare(h.Sum(nil), t.Platform.Nonce) != 1 {
		return ErrRealmKey
	}
	return t.RealmToken.Verify(t.Realm.Key)
}

func readCCA(media attest.MediaType, payload []byte) (*Reading, error) {
	token, err := ParseCCA(media, payload)
	if err != nil {
		return nil, err
	}
	return &Reading{Claims: token.Claims(), Hardware: token.Platform.Hardware(), said: token}, nil
}

// Claims are those claims of an EAT that the token has. The nonce is the realm's
// challenge without the zeros that a challenge of 32 bytes is filled up with.
func (t *CCAToken) Claims() *attest.Claims {
	nonce := t.Realm.Challenge
	if bytes.Equal(nonce[nonceSize:], make([]byte, challengeSize-nonceSize)) {
		nonce = nonce[:nonceSize:nonceSize]
	}
	return &attest.Claims{Profile: t.Platform.Profile, Nonce: nonce}
}

// Document writes the claims by their names in draft-ffm-rats-cca-token, as Veraison has
// them.
func (t *CCAToken) Document() map[string]any {
	d := t.Platform.document("cca-platform-", "sw-components", "service-indicator")
	putBytes(d, "cca-platform-challenge", t.Platform.Nonce)
	putBytes(d, "cca-platform-config", t.Config)
	d["cca-platform-lifecycle"] = t.Platform.Lifecycle.State()
	putBytes(d, "cca-realm-challenge", t.Realm.Challenge)
	putBytes(d, "cca-realm-personalization-value", t.Realm.Personalization)
	putBytes(d, "cca-realm-initial-measurement", t.Realm.InitialMeasurement)
	putText(d, "cca-realm-hash-algo-id", t.Realm.HashAlgorithm)
	putBytes(d, "cca-realm-public-key", t.Realm.key)
	list := make([]any, len(t.Realm.Extensible))
	for i, m := range t.Realm.Extensible {
		one := map[string]any{}
		putBytes(one, "value", m)
		list[i] = one["value"]
	}
	d["cca-realm-extensible-measurements"] = list
	return d
}
