package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/veraison/psatoken"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Platform is what an Arm root of trust says of itself: the claims that a PSA token and
// the platform's part of a CCA token share. A field is zero where its claim is absent.
type Platform struct {
	Profile          string
	Nonce            []byte
	InstanceID       []byte // a UEID of 33 bytes
	ImplementationID []byte // 32 bytes
	Lifecycle        Lifecycle
	Components       []SoftwareComponent
	// ServiceIndicator says where a verifier is to be found. It is for people.
	ServiceIndicator string
}

// SoftwareComponent is an entry of the software components claim (RFC 9783 section
// 4.4.1).
type SoftwareComponent struct {
	Type, Version, Description string
	Value, Signer              []byte
}

// Name names the component for people and for reference values.
func (s SoftwareComponent) Name() string {
	if s.Type == "" {
		return "software component without a type"
	}
	return s.Type
}

// Lifecycle is the security lifecycle claim (RFC 9783 section 4.3.1).
type Lifecycle uint16

// State is the name of the state that the value lies in.
func (l Lifecycle) State() string { return psatoken.LifeCycleToState(uint16(l)).String() }

// Secured reports whether the root of trust keeps its secrets in this state: it is
// secured, or only what stands outside it can be debugged.
func (l Lifecycle) Secured() bool {
	state := psatoken.LifeCycleToState(uint16(l))
	return state == psatoken.StateSecured || state == psatoken.StateNonPSAROTDebug
}

// Debugged reports whether something on the device can be debugged although its root of
// trust is whole.
func (l Lifecycle) Debugged() bool {
	return psatoken.LifeCycleToState(uint16(l)) == psatoken.StateNonPSAROTDebug
}

// Hardware names the root of trust: the SHA-256 of its instance id, which stays as long as it
// lives (RFC 9783 section 4.2.1), behind the name of the claim, so that a PSA and a CCA root of
// trust with one id are two. It identifies the hardware only if the key that signed is
// vouched for as the key of this very instance; anybody else's token may say the same.
func (p Platform) Hardware() cosekit.Thumbprint {
	claim := "psa-instance-id"
	if isCCAProfile(p.Profile) {
		claim = "cca-platform-instance-id"
	}
	return sha256.Sum256(append([]byte(claim), p.InstanceID...))
}

// readPlatform takes the claims out of the library's hands. All are checked there.
func readPlatform(claims psatoken.IClaims) (Platform, error) {
	if err := claims.Validate(); err != nil {
		return Platform{}, fmt.Errorf("%w: %w", attest.ErrClaims, err)
	}
	var p Platform
	lifecycle, errLifecycle := claims.GetSecurityLifeCycle()
	components, errComponents := claims.GetSoftwareComponents()
	var errs [4]error
	p.Profile, errs[0] = claims.GetProfile()
	p.Nonce, errs[1] = claims.GetNonce()
	p.InstanceID, errs[2] = claims.GetInstID()
	p.ImplementationID, errs[3] = claims.GetImplID()
	if err := errors.Join(append(errs[:], errLifecycle, errComponents)...); err != nil {
		return Platform{}, fmt.Errorf("%w: %w", attest.ErrClaims, err)
	}
	p.Lifecycle = Lifecycle(lifecycle)
	p.ServiceIndicator, _ = claims.GetVSI()
	for _, c := range components {
		p.Components = append(p.Components, readComponent(c))
	}
	return p, nil
}

// readComponent reads a component that was validated: what is missing is optional.
func readComponent(c psatoken.ISwComponent) SoftwareComponent {
	var s SoftwareComponent
	s.Type, _ = c.GetMeasurementType()
	s.Version, _ = c.GetVersion()
	s.Description, _ = c.GetMeasurementDesc()
	s.Value, _ = c.GetMeasurementValue()
	s.Signer, _ = c.GetSignerID()
	return s
}

// document writes the claims by their names, which begin with a prefix. The claim with the
// software has another name in each format, and so has the indicator.
func (p Platform) document(prefix, software, indicator string) map[string]any {
	d := map[string]any{}
	putText(d, prefix+"profile", p.Profile)
	putBytes(d, prefix+"instance-id", p.InstanceID)
	putBytes(d, prefix+"implementation-id", p.ImplementationID)
	putText(d, prefix+indicator, p.ServiceIndicator)
	components := []any{}
	for _, c := range p.Components {
		one := map[string]any{}
		putText(one, "measurement-type", c.Type)
		putText(one, "version", c.Version)
		putText(one, "measurement-description", c.Description)
		putBytes(one, "measurement-value", c.Value)
		putBytes(one, "signer-id", c.Signer)
		components = append(components, one)
	}
	d[prefix+software] = components
	return d
}

func putText(d map[string]any, name, s string) {
	if s != "" {
		d[name] = s
	}
}

func putBytes(d map[string]any, name string, b []byte) {
	if b != nil {
		d[name] = hex.EncodeToString(b)
	}
}

// claimsSet is a claims set before it goes to a library that would take duplicate keys,
// and arrays for byte strings.
type claimsSet map[int64]cosekit.RawMessage

func readClaimsSet(payload []byte) (claimsSet, error) {
	if err := cosekit.Validate(payload); err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrClaims, err)
	}
	pairs, err := cosekit.Pairs(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrClaims, err)
	}
	set := claimsSet{}
	for _, p := range pairs {
		if label, err := cosekit.Int(p.Key); err == nil {
			set[label] = p.Value
		}
	}
	return set, nil
}

// want checks the major types of claims that are present.
func (s claimsSet) want(major cosekit.MajorType, labels ...int64) error {
	for _, label := range labels {
		if raw, ok := s[label]; ok && cosekit.Major(raw) != major {
			return fmt.Errorf("%w: claim %d is %s, want %s", attest.ErrClaims, label, cosekit.Major(raw), major)
		}
	}
	return nil
}

// guarded runs the code of a library on what came from somebody else: a panic there is a
// fault of what was sent.
func guarded[T any](call func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: its decoder gave up on it", attest.ErrClaims)
		}
	}()
	return call()
}
