package localtest

import (
	"bytes"
	"crypto/sha256"
	"maps"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Media types of what the devices make.
const (
	PSA1Format = "application/psa-attestation-token"
	PSAFormat  = `application/eat+cwt; eat_profile="` + evidence.ProfilePSA + `"`
	CCAFormat  = `application/eat-collection; profile="` + evidence.ProfileCCALegacy + `"`
)

// Secured is the security lifecycle of a device in the field.
const Secured = 0x3000

// PSA is a device with a PSA root of trust (RFC 9783), or the platform of a CCA device.
type PSA struct {
	Key              Key
	InstanceID       []byte // 33 bytes
	ImplementationID []byte // 32 bytes
	Lifecycle        uint16
	Components       []evidence.SoftwareComponent
	// Unprotected goes into the unprotected header of each token, such as x5chain.
	Unprotected map[int]any
}

// NewPSA makes a secured device with a bootloader and a PSA root of trust. Devices of
// different names are of one implementation and have their own keys and ids.
func NewPSA(name string) *PSA {
	return newPlatform(NewKey(P256, "IAK "+name), name)
}

func newPlatform(key Key, name string) *PSA {
	return &PSA{
		Key:              key,
		InstanceID:       append([]byte{1}, sum256("instance "+name)...),
		ImplementationID: sum256("implementation"),
		Lifecycle:        Secured,
		Components: []evidence.SoftwareComponent{
			{Type: "BL", Version: "1.4.0", Value: sum256("bootloader"), Signer: sum256("signer")},
			{Type: "PRoT", Version: "2.0.1", Value: sum256("root of trust"), Signer: sum256("signer")},
		},
	}
}

func sum256(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// Token makes a token of the profile of RFC 9783. Edits are made to the claims before
// they are signed.
func (d *PSA) Token(nonce []byte, edits ...func(map[int]any)) []byte {
	return d.sign(map[int]any{
		265: evidence.ProfilePSA, 10: nonce, 256: d.InstanceID, 2396: d.ImplementationID,
		2394: 1, 2395: d.Lifecycle, 268: sum256("boot seed"), 2399: d.components(),
	}, edits)
}

// Token1 makes a token of the profile of 2019.
func (d *PSA) Token1(nonce []byte, edits ...func(map[int]any)) []byte {
	return d.sign(map[int]any{
		-75000: "PSA_IOT_PROFILE_1", -75008: nonce, -75009: d.InstanceID, -75003: d.ImplementationID,
		-75001: 1, -75002: d.Lifecycle, -75004: sum256("boot seed"), -75006: d.components(),
	}, edits)
}

func (d *PSA) sign(claims map[int]any, edits []func(map[int]any)) []byte {
	for _, edit := range edits {
		edit(claims)
	}
	return d.Key.Sign1(cosekit.MustMarshal(claims), nil, d.Unprotected)
}

func (d *PSA) components() []any {
	var list []any
	for _, c := range d.Components {
		list = append(list, map[int]any{1: c.Type, 2: c.Value, 4: c.Version, 5: c.Signer})
	}
	return list
}

// Published is what the maker says of the device: its key and the software that it has
// now, as a CoRIM with one tag.
func (d *PSA) Published(tag string) *corim.Unsigned {
	class := corim.ID{Kind: corim.KindImplID, Value: d.ImplementationID}
	u := &corim.Unsigned{ID: tag, Version: 1}
	for _, c := range d.Components {
		u.References = append(u.References, corim.Reference{
			Environment: corim.Environment{ClassID: class},
			Key:         c.Type, Version: c.Version, Signer: c.Signer,
			Digests: []corim.Digest{{Algorithm: "sha-256", Value: c.Value}},
		})
	}
	u.Keys = []corim.AttestKey{{
		Environment: corim.Environment{ClassID: class, Instance: corim.ID{Kind: corim.KindUEID, Value: d.InstanceID}},
		Public:      d.Key.Public(),
	}}
	return u
}

// Bundle makes a bound bundle: token gets the nonce that commits to the claims.
func Bundle(claims *attest.Claims, inner string, token func(nonce []byte) []byte) attest.Evidence {
	set, err := attest.EncodeClaims(claims)
	must(err)
	nonce, err := evidence.BindingDigest(inner, set)
	must(err)
	payload, err := evidence.EncodeBundle(set, token(nonce))
	must(err)
	return attest.Evidence{
		Format: evidence.BundleFormat(inner), Payload: payload, Challenge: bytes.Clone(claims.Nonce),
	}
}

// Without returns an edit that takes claims away.
func Without(labels ...int) func(map[int]any) {
	return func(claims map[int]any) {
		maps.DeleteFunc(claims, func(label int, _ any) bool {
			for _, l := range labels {
				if l == label {
					return true
				}
			}
			return false
		})
	}
}
