package veraisontest

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/veraison/ccatoken"
	"github.com/veraison/psatoken"
)

// Device is what was provisioned of one: its trust anchor, and what may run there.
type Device struct {
	ImplementationID, InstanceID []byte
	Key                          crypto.PublicKey // of its attestation key
	Measurements                 [][]byte         // of its software components, the reference values
	// Of a CCA realm; nil elsewhere.
	InitialMeasurement []byte
	Config             []byte
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

	noIdentity    = "could not establish identity from evidence"
	noAnchor      = "no trust anchor for evidence"
	badSignature  = "integrity validation failed: bad evidence: signature verification failed: verification error"
	badEvidence   = "integrity validation failed: bad evidence: "
	decommisioned = 0x6000
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
		if value, err := c.GetMeasurementValue(); err != nil || !contains(d.Measurements, value) {
			v[2] = 33
		}
	}
	if cycle, err := claims.GetSecurityLifeCycle(); err != nil || cycle >= decommisioned {
		v[0], v[5], v[6] = 96, 96, 96
	}
}

func (k known) appraiseCCA(token, nonce []byte) []submod {
	e, err := ccatoken.DecodeAndValidateEvidenceFromCBOR(token)
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
	realm, platform := vector{2, 0, 2}, vector{2, 2, 2, 0, 2, 2, 2, 0}
	if rim, err := e.RealmClaims.GetInitialMeasurement(); err != nil || !bytes.Equal(rim, device.InitialMeasurement) {
		realm[2] = 33
	}
	if config, err := e.PlatformClaims.GetConfig(); err != nil || !bytes.Equal(config, device.Config) {
		platform[1] = 32
	}
	device.judge(&platform, e.PlatformClaims)
	return []submod{
		{name: "CCA_REALM", policy: ccaPolicy, vector: realm, annotated: annotate(e.RealmClaims)},
		{name: "CCA_SSD_PLATFORM", policy: ccaPolicy, vector: platform, annotated: annotate(e.PlatformClaims)},
	}
}

func contains(list [][]byte, value []byte) bool {
	for _, v := range list {
		if bytes.Equal(v, value) {
			return true
		}
	}
	return false
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
