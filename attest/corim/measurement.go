package corim

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Measurement keys with a meaning of their own (draft-fdb-rats-psa-endorsements,
// draft-ydb-rats-cca-endorsements). The first two do not become Reference.Key: there, the
// label of the component does.
const (
	keyPSAComponent = "psa.software-component"
	keyCCAComponent = "cca.software-component"

	KeyPlatformConfig = "cca.platform-config"
	KeyRIM            = "cca.rim"
	KeyRPV            = "cca.rpv"
)

// realmRegisters are the keys under which veraison/corim v1.1.2 has a realm's values in
// integrity registers.
var realmRegisters = map[string]string{
	"rim": KeyRIM, "rem0": "cca.rem0", "rem1": "cca.rem1", "rem2": "cca.rem2", "rem3": "cca.rem3",
}

// measurement-values-map labels that are compared.
const (
	mvalVersion   = 0
	mvalSVN       = 1
	mvalDigests   = 2
	mvalRaw       = 4
	mvalMask      = 5
	mvalName      = 11
	mvalKeys      = 13
	mvalRegisters = 14
)

// readMeasurement reads a measurement-map:
//
//	measurement-map = { ? 0 => mkey, 1 => mval, ? 2 => authorized-by }
//
// Each integrity register becomes a Reference of its own.
func readMeasurement(item []byte) ([]Reference, error) {
	f, err := readFields(item)
	if err != nil {
		return nil, err
	}
	if err := f.only("measurement", 0, 1); err != nil {
		return nil, err
	}
	if f[1] == nil {
		return nil, fmt.Errorf("%w: measurement without a value", ErrMalformed)
	}
	var r Reference
	component := false
	if key, ok := f[0]; ok {
		if component, err = r.readKey(key); err != nil {
			return nil, within("mkey", err)
		}
	}
	values, err := readFields(f[1])
	if err != nil {
		return nil, within("mval", err)
	}
	return r.readValues(values, component)
}

// readKey reads a $measured-element-type-choice. component is true where the label of a
// software component is among the values.
func (r *Reference) readKey(item []byte) (component bool, err error) {
	number, content, isTagged := tagged(item)
	switch {
	case !isTagged && cosekit.Major(item) == cosekit.MajorText:
		if r.Key, err = name(item); r.Key == keyPSAComponent || r.Key == keyCCAComponent {
			r.Key, component = "", true
		}
		return component, err
	case !isTagged:
		n, err := cosekit.Uint(item)
		r.Key = strconv.FormatUint(n, 10)
		return false, err
	case number == tagPSARefValID:
		return false, r.readPSARefValID(content)
	case number == tagCCAPlatformConf:
		r.Key = KeyPlatformConfig
		r.Version, err = name(content)
		return false, err
	}
	id, err := readID(item)
	if err != nil {
		return false, err
	}
	r.Key, err = id.text()
	return false, err
}

// text is the identifier as people write it.
func (id ID) text() (string, error) {
	switch id.Kind {
	case KindUUID:
		return uuid.UUID(id.Value).String(), nil
	case KindOID:
		var oid asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(append([]byte{asn1.TagOID, byte(len(id.Value))}, id.Value...), &oid); err != nil || len(id.Value) > 127 {
			return "", fmt.Errorf("%w: no OID", ErrMalformed)
		}
		return oid.String(), nil
	}
	return "", fmt.Errorf("%w: key of kind %s", errUnread, id.Kind)
}

// readPSARefValID reads the measurement key of the older PSA profile:
//
//	601({ ? 1 => label tstr, ? 4 => version tstr, 5 => signer-id bstr })
func (r *Reference) readPSARefValID(item []byte) error {
	f, err := readFields(item)
	if err != nil {
		return err
	}
	if err := f.only("psa.refval-id", 1, 4, 5); err != nil {
		return err
	}
	if r.Key, _, err = optional(f, 1, "label", name); err != nil {
		return err
	}
	if r.Version, _, err = optional(f, 4, "version", name); err != nil {
		return err
	}
	r.Signer, _, err = optional(f, 5, "signer-id", signerID)
	return err
}

func signerID(item []byte) ([]byte, error) {
	id, err := cosekit.Bytes(item)
	if err != nil {
		return nil, err
	}
	switch len(id) {
	case 32, 48, 64:
		return id, nil
	}
	return nil, fmt.Errorf("%w: signer-id of %d bytes, want 32, 48 or 64", ErrMalformed, len(id))
}

// readValues reads a measurement-values-map. A member that nothing compares makes it
// errUnread: without that member, the statement would allow more.
func (r *Reference) readValues(f fields, component bool) ([]Reference, error) {
	if len(f) == 0 {
		return nil, fmt.Errorf("%w: measurement without a value", ErrMalformed)
	}
	if err := f.only("measurement value", mvalVersion, mvalSVN, mvalDigests, mvalRaw, mvalMask, mvalName, mvalKeys, mvalRegisters); err != nil {
		return nil, err
	}
	if err := r.readNames(f, component); err != nil {
		return nil, err
	}
	if item, ok := f[mvalSVN]; ok {
		if err := r.readSVN(item); err != nil {
			return nil, within("svn", err)
		}
	}
	var err error
	if r.Digests, _, err = optional(f, mvalDigests, "digests", readDigests); err != nil {
		return nil, err
	}
	if err := r.readRaw(f); err != nil {
		return nil, within("raw-value", err)
	}
	registers, _, err := optional(f, mvalRegisters, "integrity-registers", r.readRegisters)
	if err != nil {
		return nil, err
	}
	if len(registers) > 0 && r.Digests == nil && r.Raw == nil && r.SVN == nil && r.MinSVN == nil {
		return registers, nil
	}
	return append([]Reference{*r}, registers...), nil
}

// readNames reads version, name and the signer of a software component.
func (r *Reference) readNames(f fields, component bool) error {
	version, there, err := optional(f, mvalVersion, "version", readVersion)
	if err != nil {
		return err
	}
	if there {
		r.Version = version
	}
	label, there, err := optional(f, mvalName, "name", name)
	switch {
	case err != nil:
		return err
	case there && r.Key != "":
		return fmt.Errorf("%w: measurement with a name beside its key", errUnread)
	case there:
		r.Key = label
	}
	if item, ok := f[mvalKeys]; ok {
		if !component || r.Signer != nil {
			return fmt.Errorf("%w: measurement of keys", errUnread)
		}
		return within("cryptokeys", r.readSigner(item))
	}
	return nil
}

func (r *Reference) readSigner(item []byte) error {
	keys, err := cosekit.Elements(item)
	if err != nil {
		return err
	}
	if len(keys) != 1 {
		return fmt.Errorf("%w: %d of them, want the one signer-id", ErrMalformed, len(keys))
	}
	number, content, _ := tagged(keys[0])
	if number != tagBytes {
		return fmt.Errorf("%w: signer-id under tag %d", errUnread, number)
	}
	r.Signer, err = signerID(content)
	return err
}

// readVersion reads a version-map: { 0 => version tstr, ? 1 => scheme }.
func readVersion(item []byte) (string, error) {
	f, err := readFields(item)
	if err != nil {
		return "", err
	}
	if f[0] == nil {
		return "", fmt.Errorf("%w: version-map without a version", ErrMalformed)
	}
	return name(f[0])
}

// readSVN reads svn-type-choice: svn / 552(svn) / 553(min-svn).
func (r *Reference) readSVN(item []byte) error {
	number, content, isTagged := tagged(item)
	n, err := cosekit.Uint(content)
	switch {
	case err != nil:
		return err
	case !isTagged || number == tagSVN:
		r.SVN = &n
	case number == tagMinSVN:
		r.MinSVN = &n
	default:
		return fmt.Errorf("%w: tag %d", errUnread, number)
	}
	return nil
}

// readRaw reads 560(bytes), with a mask beside it in older files, or 563([value, mask]).
func (r *Reference) readRaw(f fields) error {
	item, there := f[mvalRaw]
	mask, masked := f[mvalMask]
	if !there {
		if masked {
			return fmt.Errorf("%w: a mask without a value", ErrMalformed)
		}
		return nil
	}
	number, content, _ := tagged(item)
	switch number {
	case tagBytes:
	case tagMaskedRaw:
		parts, err := cosekit.Elements(content)
		if err != nil {
			return err
		}
		if len(parts) != 2 || masked {
			return fmt.Errorf("%w: want one value and one mask", ErrMalformed)
		}
		content, mask, masked = parts[0], parts[1], true
	default:
		return fmt.Errorf("%w: value under tag %d", errUnread, number)
	}
	var err error
	if r.Raw, err = cosekit.Bytes(content); err != nil {
		return err
	}
	if !masked {
		return nil
	}
	if r.Mask, err = cosekit.Bytes(mask); err != nil {
		return within("mask", err)
	}
	if len(r.Mask) != len(r.Raw) {
		return fmt.Errorf("%w: mask of %d bytes over a value of %d", ErrMalformed, len(r.Mask), len(r.Raw))
	}
	if len(bytes.Trim(r.Mask, "\x00")) == 0 {
		return fmt.Errorf("%w: a mask without a bit, under which every value would be good", ErrMalformed)
	}
	return nil
}

// readRegisters reads integrity-registers: { + uint / tstr => digests-type }.
func (r *Reference) readRegisters(item []byte) ([]Reference, error) {
	pairs, err := cosekit.Pairs(item)
	if err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%w: none", ErrMalformed)
	}
	registers := make([]Reference, len(pairs))
	for i, p := range pairs {
		key, err := registerKey(p.Key)
		if err != nil {
			return nil, err
		}
		digests, err := readDigests(p.Value)
		if err != nil {
			return nil, within("register "+key, err)
		}
		if r.Key != "" {
			key = r.Key + "/" + key
		} else if known, ok := realmRegisters[key]; ok {
			key = known
		}
		registers[i] = Reference{Key: key, Version: r.Version, Digests: digests}
	}
	return registers, nil
}

func registerKey(item []byte) (string, error) {
	if cosekit.Major(item) == cosekit.MajorText {
		return name(item)
	}
	n, err := cosekit.Uint(item)
	return strconv.FormatUint(n, 10), err
}
