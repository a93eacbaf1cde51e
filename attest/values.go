package attest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/veraison/eat"
)

// hasTag reports whether a valid item holds a tag at any level. The heads of
// nested items follow one another, so there is no need to descend.
func hasTag(item []byte) bool {
	for len(item) > 0 {
		major := cosekit.Major(item)
		if major == cosekit.MajorTag {
			return true
		}
		size, arg := 1, uint64(item[0]&0x1f)
		if arg >= 24 {
			size += 1 << (arg - 24)
			var wide [8]byte
			copy(wide[9-size:], item[1:size])
			arg = binary.BigEndian.Uint64(wide[:])
		}
		if major == cosekit.MajorBytes || major == cosekit.MajorText {
			size += int(arg)
		}
		item = item[size:]
	}
	return false
}

func byteString(raw cosekit.RawMessage, least, most int) ([]byte, error) {
	b, err := cosekit.Bytes(raw)
	if err != nil {
		return nil, err
	}
	if len(b) < least || len(b) > most {
		return nil, fmt.Errorf("%d bytes, want %d to %d", len(b), least, most)
	}
	return b, nil
}

func decodeNonce(raw cosekit.RawMessage) ([]byte, error) {
	if cosekit.Major(raw) == cosekit.MajorArray {
		return nil, errors.New("an array of nonces; the EAT profile of TEEP wants a single one")
	}
	return byteString(raw, eat.MinNonceSize, eat.MaxNonceSize)
}

// decodeOEMID reads an enterprise number, an IEEE identifier of 3 bytes or a random
// one of 16 (RFC 9711 section 4.2.3), and returns it in preferred encoding.
func decodeOEMID(raw cosekit.RawMessage) ([]byte, error) {
	if cosekit.Major(raw) != cosekit.MajorBytes {
		number, err := cosekit.Int(raw)
		if err != nil {
			return nil, err
		}
		return cosekit.Marshal(number)
	}
	id, err := byteString(raw, 3, 16)
	if err != nil {
		return nil, err
	}
	if len(id) != 3 && len(id) != 16 {
		return nil, fmt.Errorf("%d bytes, want 3 or 16", len(id))
	}
	return cosekit.Marshal(id)
}

func decodeVersion(raw cosekit.RawMessage) (string, error) {
	parts, err := cosekit.Elements(raw)
	if err != nil {
		return "", err
	}
	if len(parts) == 0 || cosekit.Major(parts[0]) != cosekit.MajorText {
		return "", errors.New("does not start with a text")
	}
	var v eat.Version
	if err := v.UnmarshalCBOR(raw); err != nil {
		return "", err
	}
	if v.Version == "" {
		return "", errors.New("empty version")
	}
	return v.Version, nil
}

// decodeProfile leaves a URI as it came: eat.Profile would write it anew, and
// profiles are compared byte by byte.
func decodeProfile(raw cosekit.RawMessage) (string, error) {
	var p eat.Profile
	if err := p.UnmarshalCBOR(raw); err != nil {
		return "", err
	}
	if p.IsOID() {
		return p.Get()
	}
	return cosekit.Text(raw)
}

func encodeProfile(profile string) (any, error) {
	p, err := eat.NewProfile(profile)
	if err != nil || p.IsOID() {
		return p, err
	}
	return profile, nil
}

// latest is the end of year 9999; a later time cannot be written in RFC 3339.
const latest = 253402300799

// decodeTime reads whole seconds, the only form that RFC 9711 section 4.3.1 allows
// for iat. For exp and nbf it is the only one of use.
func decodeTime(raw cosekit.RawMessage) (time.Time, error) {
	seconds, err := cosekit.Uint(raw)
	if err != nil {
		return time.Time{}, err
	}
	if seconds > latest {
		return time.Time{}, fmt.Errorf("%d seconds lie beyond the year 9999", seconds)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

// Members of cnf (RFC 8747 section 3.1, RFC 9679).
const (
	cnfCOSEKey    int64 = 1
	cnfKeyID      int64 = 3
	cnfThumbprint int64 = 5
)

// decodeCnf reads the members that it knows and ignores the rest, as RFC 8747
// section 3.1 says. Members that contradict one another are refused.
func decodeCnf(raw cosekit.RawMessage) (Confirmation, error) {
	pairs, err := cosekit.Pairs(raw)
	if err != nil {
		return Confirmation{}, err
	}
	var c Confirmation
	var thumbprint []byte
	for _, p := range pairs {
		label, err := cosekit.Int(p.Key)
		if err != nil {
			continue // a label that is text, or too large to be known
		}
		switch label {
		case cnfCOSEKey:
			c.Key, err = cosekit.ParsePublicKey(p.Value)
		case cnfKeyID:
			c.KeyID, err = byteString(p.Value, 1, 64)
		case cnfThumbprint:
			thumbprint, err = byteString(p.Value, len(cosekit.Thumbprint{}), len(cosekit.Thumbprint{}))
		}
		if err != nil {
			return Confirmation{}, fmt.Errorf("member %d: %w", label, err)
		}
	}
	switch {
	case c.KeyID == nil:
		c.KeyID = thumbprint
	case thumbprint != nil && !bytes.Equal(c.KeyID, thumbprint):
		return Confirmation{}, errors.New("kid and ckt name different keys")
	}
	if c.Key == nil && c.KeyID == nil {
		return Confirmation{}, errors.New("neither carries a COSE_Key nor names one")
	}
	return c, nil
}

func (c Confirmation) members() map[int64]any {
	m := map[int64]any{}
	if c.Key != nil {
		m[cnfCOSEKey] = c.Key
	}
	if c.KeyID != nil {
		m[cnfKeyID] = c.KeyID
	}
	return m
}
