package corim

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// CBOR tags (draft-ietf-rats-corim section 13, and those that only veraison/corim has).
const (
	tagUUID            = 37
	tagOID             = 111
	tagUnsignedOld     = 500
	tagUnsigned        = 501
	tagSignedOld       = 502
	tagCoSWID          = 505
	tagCoMID           = 506
	tagCoTL            = 508
	tagUEID            = 550
	tagSVN             = 552
	tagMinSVN          = 553
	tagPKIXKey         = 554
	tagPKIXCert        = 555
	tagPKIXCertPath    = 556
	tagCOSEKey         = 558
	tagBytes           = 560
	tagDERCert         = 562
	tagMaskedRaw       = 563
	tagImplID          = 600
	tagPSARefValID     = 601
	tagCCAPlatformConf = 602
)

// readEnvironment reads an environment-map:
//
//	environment-map = non-empty<{ ? 0 => class-map, ? 1 => instance, ? 2 => group }>
func readEnvironment(item []byte) (Environment, error) {
	var e Environment
	f, err := readFields(item)
	if err != nil {
		return e, err
	}
	if len(f) == 0 {
		return e, fmt.Errorf("%w: empty environment", ErrMalformed)
	}
	if err := f.only("environment", 0, 1, 2); err != nil {
		return e, err
	}
	if class, ok := f[0]; ok {
		if err := e.readClass(class); err != nil {
			return e, within("class", err)
		}
	}
	if e.Instance, _, err = optional(f, 1, "instance", readID); err != nil {
		return e, err
	}
	e.Group, _, err = optional(f, 2, "group", readID)
	return e, err
}

// readClass reads a class-map:
//
//	class-map = non-empty<{ ? 0 => class-id, ? 1 => vendor tstr, ? 2 => model tstr,
//	                        ? 3 => layer uint, ? 4 => index uint }>
func (e *Environment) readClass(item []byte) error {
	f, err := readFields(item)
	if err != nil {
		return err
	}
	if len(f) == 0 {
		return fmt.Errorf("%w: empty", ErrMalformed)
	}
	if err := f.only("class", 0, 1, 2, 3, 4); err != nil {
		return err
	}
	if e.ClassID, _, err = optional(f, 0, "class-id", readID); err != nil {
		return err
	}
	if e.Vendor, _, err = optional(f, 1, "vendor", name); err != nil {
		return err
	}
	if e.Model, _, err = optional(f, 2, "model", name); err != nil {
		return err
	}
	if e.Layer, err = pointer(f, 3, "layer", cosekit.Uint); err != nil {
		return err
	}
	e.Index, err = pointer(f, 4, "index", cosekit.Uint)
	return err
}

// idKinds are the tags of identifiers with the sizes that they may have.
var idKinds = map[uint64]struct {
	kind     string
	min, max int
}{
	tagUUID: {KindUUID, 16, 16}, tagOID: {KindOID, 1, 255}, tagUEID: {KindUEID, 7, 33},
	tagBytes: {KindBytes, 1, MaxName}, tagImplID: {KindImplID, 32, 32},
}

// readID reads a class id, an instance or a group: all of them are tagged.
func readID(item []byte) (ID, error) {
	number, content, ok := tagged(item)
	if !ok {
		return ID{}, fmt.Errorf("%w: an identifier without a tag that says its kind", ErrMalformed)
	}
	known, ok := idKinds[number]
	if !ok {
		if len(content) > MaxName {
			return ID{}, fmt.Errorf("%w: identifier of %d bytes, at most %d", ErrTooLarge, len(content), MaxName)
		}
		return ID{fmt.Sprintf("tag-%d", number), content}, nil
	}
	value, err := cosekit.Bytes(content)
	if err != nil {
		return ID{}, within(known.kind, err)
	}
	if len(value) < known.min || len(value) > known.max {
		return ID{}, fmt.Errorf("%w: %s of %d bytes", ErrMalformed, known.kind, len(value))
	}
	return ID{known.kind, value}, nil
}
