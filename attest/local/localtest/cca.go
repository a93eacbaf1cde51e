package localtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// CCA is a device with Arm's confidential computing architecture and one realm on it.
type CCA struct {
	Platform        *PSA
	Config          []byte
	RealmKey        Key
	Initial         []byte
	Extensible      [4][]byte
	Personalization []byte // 64 bytes
}

// NewCCA makes a secured platform with a realm.
func NewCCA(name string) *CCA {
	d := &CCA{
		Platform: newPlatform(NewKey(P384, "CPAK "+name), name),
		Config:   []byte{0xcf, 1, 2, 3}, RealmKey: NewKey(P384, "RAK "+name),
		Initial: sum256("realm image"), Personalization: bytes.Repeat([]byte{'p'}, 64),
	}
	for i := range d.Extensible {
		d.Extensible[i] = sum256("extensible " + string(rune('0'+i)))
	}
	return d
}

// Token makes a token of Arm's present profiles. editPlatform and editRealm, each nil for
// none, change claims before they are signed.
func (d *CCA) Token(challenge []byte, editPlatform, editRealm func(map[int]any)) []byte {
	key := d.realmKey()
	commitment := sha256.Sum256(key)
	platform := map[int]any{
		265: evidence.ProfileCCA, 10: commitment[:], 2396: d.Platform.ImplementationID,
		256: d.Platform.InstanceID, 2401: d.Config, 2395: d.Platform.Lifecycle,
		2399: d.Platform.components(), 2402: "sha-256",
	}
	padded := make([]byte, 64)
	copy(padded, challenge)
	realm := map[int]any{
		265: "tag:arm.com,2023:realm#1.0.0", 10: padded, 44235: d.Personalization,
		44238: d.Initial, 44239: d.Extensible, 44236: "sha-256", 44237: key, 44240: "sha-256",
	}
	if editPlatform != nil {
		editPlatform(platform)
	}
	if editRealm != nil {
		editRealm(realm)
	}
	return d.Collect(
		d.Platform.Key.Sign1(cosekit.MustMarshal(platform), nil, d.Platform.Unprotected),
		d.RealmKey.Sign1(cosekit.MustMarshal(realm), nil, nil))
}

// CollectRecords puts two tokens together as CMW records, as the later draft has it.
func (d *CCA) CollectRecords(platform, realm []byte) []byte {
	const formatCWT = 263
	members := map[int]any{44234: []any{formatCWT, platform}, 44241: []any{formatCWT, realm}}
	return cosekit.MustMarshal(cosekit.Tag{Number: 907, Content: cosekit.MustMarshal(members)})
}

// Collect puts two tokens together.
func (d *CCA) Collect(platform, realm []byte) []byte {
	return cosekit.MustMarshal(cosekit.Tag{Number: 399, Content: cosekit.MustMarshal(map[int][]byte{44234: platform, 44241: realm})})
}

// realmKey is the realm's key as a COSE_Key on P-384.
func (d *CCA) realmKey() []byte {
	point, err := d.RealmKey.Public().(*ecdsa.PublicKey).Bytes()
	must(err)
	return cosekit.MustMarshal(map[int]any{1: 2, -1: 2, -2: point[1:49], -3: point[49:]})
}

// Published is what the makers of platform and realm say.
func (d *CCA) Published(tag string) *corim.Unsigned {
	u := d.Platform.Published(tag)
	u.References = append(u.References, corim.Reference{
		Environment: u.References[0].Environment, Key: corim.KeyPlatformConfig, Raw: d.Config,
	})
	realm := corim.Environment{ClassID: corim.ID{Kind: corim.KindBytes, Value: d.Initial}}
	add := func(key string, value []byte) {
		u.References = append(u.References, corim.Reference{
			Environment: realm, Key: key, Digests: []corim.Digest{{Algorithm: "sha-256", Value: value}},
		})
	}
	add(corim.KeyRIM, d.Initial)
	for i, value := range d.Extensible {
		add("cca.rem"+string(rune('0'+i)), value)
	}
	u.References = append(u.References, corim.Reference{Environment: realm, Key: corim.KeyRPV, Raw: d.Personalization})
	return u
}
