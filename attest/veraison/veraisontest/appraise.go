package veraisontest

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/veraison/ccatoken"
	"github.com/veraison/ccatoken/realm"
	"github.com/veraison/psatoken"
)

// Device is what was provisioned of one: its trust anchor, and what may run there.
type Device struct {
	ImplementationID, InstanceID []byte
	Key                          crypto.PublicKey // of its attestation key
	Components                   []Component      // the reference values of its software
	Config                       []byte           // of a CCA platform
	Realm                        Realm
}

// Component is a reference value: what Veraison compares of a software component. It
// compares neither version nor signer, and does not miss a component that is left out.
type Component struct {
	Type        string
	Measurement []byte
}

// Realm are the reference values of a CCA realm.
type Realm struct {
	InitialMeasurement, Personalization []byte
	Extensible                          [][]byte
}

// known are the devices that were provisioned.
type known []Device

func (k known) find(implementation, instance *[]byte) *Device {
	for i, d := range k {
		if implementation != nil && instance != nil && bytes.Equal(d.ImplementationID, *implementation) && bytes.Equal(d.InstanceID, *instance) {
			return &k[i]
		}
	}
	return nil
}

// vector holds the values in the order in which Veraison sorts its vectors:
// instance-identity, configuration, executables, file-system, hardware, runtime-opaque,
// storage-opaque, sourced-data.
type vector [8]int8

var elements = [8]string{
	"instance-identity", "configuration", "executables", "file-system",
	"hardware", "runtime-opaque", "storage-opaque", "sourced-data",
}

type submod struct {
	name, policy string
	vector       vector
	problem      string         // why it was refused before it was appraised
	annotated    map[string]any // the claims, where it was appraised
	unversioned  bool           // a component of a CCA platform has no version
}

// claims makes the appraisal; all eight elements stand in it, zeros too.
func (m submod) claims(lie bool) map[string]any {
	values := map[string]int8{}
	worst := int8(0)
	for i, v := range m.vector {
		values[elements[i]] = v
		worst = max(worst, v)
	}
	status := "none"
	switch {
	case lie:
		status = "affirming"
	case worst >= 96:
		status = "contraindicated"
	case worst >= 32:
		status = "warning"
	case worst >= 2:
		status = "affirming"
	}
	claims := map[string]any{
		"ear.status": status, "ear.trustworthiness-vector": values, "ear.appraisal-policy-id": m.policy,
	}
	if m.annotated != nil {
		claims["ear.veraison.annotated-evidence"] = m.annotated
	}
	if m.problem != "" {
		claims["ear.veraison.policy-claims"] = map[string]string{"problem": m.problem}
	}
	return claims
}

// refused is evidence that is not what it says: validly signed, 200, and 99 everywhere.
func refused(name, policy, problem string) []submod {
	return []submod{{name: name, policy: policy, problem: problem, vector: vector{99, 99, 99, 99, 99, 99, 99, 99}}}
}

const (
	psaName, psaPolicy = "PSA_IOT", "policy:PSA_IOT"
	ccaName, ccaPolicy = "ARM_CCA", "policy:ARM_CCA" // of a token that was refused

	noIdentity   = "could not establish identity from evidence"
	noAnchor     = "no trust anchor for evidence"
	badSignature = "integrity validation failed: bad evidence: signature verification failed: verification error"
	badEvidence  = "integrity validation failed: bad evidence: "
)

func (k known) appraisePSA(token, nonce []byte) []submod {
	e, err := psatoken.DecodeAndValidateEvidenceFromCOSE(token)
	if err != nil {
		return refused(psaName, psaPolicy, noIdentity)
	}
	device := k.find(e.GetImplementationID(), e.GetInstanceID())
	if device == nil {
		return refused(psaName, psaPolicy, noAnchor)
	}
	// Freshness comes before the signature.
	if got, err := e.Claims.GetNonce(); err != nil || !bytes.Equal(got, nonce) {
		return refused(psaName, psaPolicy, fmt.Sprintf("%sfreshness: psa-nonce (%x) does not match session nonce (%x)", badEvidence, got, nonce))
	}
	if err := e.Verify(device.Key); err != nil {
		return refused(psaName, psaPolicy, badSignature)
	}
	v := vector{2, 0, 2, 0, 2, 2, 2, 0}
	device.judge(&v, e.Claims)
	return []submod{{name: psaName, policy: psaPolicy, vector: v, annotated: annotate(e.Claims)}}
}

// judge compares software components and the lifecycle.
func (d *Device) judge(v *vector, claims psatoken.IClaims) {
	components, _ := claims.GetSoftwareComponents()
	for _, c := range components {
		kind, _ := c.GetMeasurementType()
		value, _ := c.GetMeasurementValue()
		if !slices.ContainsFunc(d.Components, func(r Component) bool { return r.Type == kind && bytes.Equal(r.Measurement, value) }) {
			v[2] = 33
		}
	}
	cycle, err := claims.GetSecurityLifeCycle()
	if state := psatoken.LifeCycleToState(cycle); err != nil || state != psatoken.StateSecured && state != psatoken.StateNonPSAROTDebug {
		v[0], v[5], v[6] = 96, 96, 96
	}
}

func (k known) appraiseCCA(token, nonce []byte) []submod {
	e, err := ccatoken.DecodeAndValidateEvidenceFromCBOR(withoutCMW(token))
	if err != nil {
		return refused(ccaName, ccaPolicy, noIdentity)
	}
	device := k.find(e.GetImplementationID(), e.GetInstanceID())
	if device == nil {
		return refused(ccaName, ccaPolicy, noAnchor)
	}
	padded := make([]byte, 64)
	copy(padded, nonce)
	if got, err := e.RealmClaims.GetChallenge(); err != nil || !bytes.Equal(got, padded) {
		return refused(ccaName, ccaPolicy, fmt.Sprintf("%sfreshness: realm challenge (%x) does not match session nonce (%x)", badEvidence, got, padded))
	}
	if err := e.Verify(device.Key); err != nil {
		return refused(ccaName, ccaPolicy, badEvidence+err.Error())
	}
	platform := vector{2, 2, 2, 0, 2, 2, 2, 0}
	if config, err := e.PlatformClaims.GetConfig(); err != nil || !bytes.Equal(config, device.Config) {
		platform[1] = 32
	}
	device.judge(&platform, e.PlatformClaims)
	return []submod{
		{name: "CCA_REALM", policy: ccaPolicy, vector: device.Realm.judge(e.RealmClaims), annotated: annotate(e.RealmClaims)},
		{name: "CCA_SSD_PLATFORM", policy: ccaPolicy, vector: platform, annotated: annotate(e.PlatformClaims), unversioned: unversioned(e.PlatformClaims)},
	}
}

func unversioned(claims psatoken.IClaims) bool {
	components, _ := claims.GetSoftwareComponents()
	return slices.ContainsFunc(components, func(c psatoken.ISwComponent) bool {
		_, err := c.GetVersion()
		return err != nil
	})
}

// judge answers as the scheme of services v0.0.2608 does: that of v0.0.2605 finds no
// reference value for any realm; see Behaviour.NoRealms.
func (r Realm) judge(claims realm.IClaims) vector {
	v := vector{2, 0, 2}
	rim, _ := claims.GetInitialMeasurement()
	rpv, _ := claims.GetPersonalizationValue()
	rems, _ := claims.GetExtensibleMeasurements()
	switch {
	case !bytes.Equal(rim, r.InitialMeasurement):
		v[2] = 33
	case !bytes.Equal(rpv, r.Personalization):
		v[2] = 96
	case !slices.EqualFunc(rems, r.Extensible, bytes.Equal):
		v[2] = 3
	}
	return v
}

// withoutCMW turns a CCA token as a conceptual message wrapper has it, tag 907 around
// {label => [content format, token]}, into the older form with tag 399 and bare tokens,
// which is all that the library reads.
func withoutCMW(token []byte) []byte {
	const wrapper, collection = 907, 399
	var tag cosekit.Tag
	if cosekit.Unmarshal(token, &tag) != nil || tag.Number != wrapper {
		return token
	}
	pairs, err := cosekit.Pairs(tag.Content)
	if err != nil {
		return token
	}
	bare := map[int64]cosekit.RawMessage{}
	for _, p := range pairs {
		label, err := cosekit.Int(p.Key)
		if err != nil {
			return token
		}
		parts, err := cosekit.Elements(p.Value)
		if err != nil || len(parts) != 2 {
			return token
		}
		bare[label] = parts[1]
	}
	return cosekit.MustMarshal(cosekit.Tag{Number: collection, Content: cosekit.MustMarshal(bare)})
}

// annotate writes claims as their library does, byte strings in standard base64.
func annotate(claims any) map[string]any {
	data, err := json.Marshal(claims)
	if err != nil {
		return nil
	}
	var annotated map[string]any
	if json.NewDecoder(strings.NewReader(string(data))).Decode(&annotated) != nil {
		return nil
	}
	return annotated
}
