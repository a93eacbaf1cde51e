package suit

import (
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Keys of a SUIT_Component_Metadata (draft-ietf-suit-update-management-14 appendix A).
const (
	metaPermissions = 1
	metaUsers       = 2
	metaGroups      = 3
	metaRoles       = 4
	metaFileType    = 5
	metaModified    = 6
	metaCreated     = 7
	metaCreator     = 8
)

var metaStep = namer(map[int64]string{
	metaPermissions: "default-permissions", metaUsers: "user-permissions",
	metaGroups: "group-permissions", metaRoles: "role-permissions", metaFileType: "file-type",
	metaModified: "modification-time", metaCreated: "creation-time", metaCreator: "creator",
})

func decodeMetadata(raw []byte) (ComponentMetadata, error) {
	var c ComponentMetadata
	err := decodeIntMap(raw, true, metaStep, c.set)
	return c, err
}

func (c *ComponentMetadata) set(key int64, value []byte) error {
	switch key {
	case metaPermissions:
		p, err := decodePermissions(value)
		return putNew(&c.Permissions, p, err)
	case metaUsers:
		list, err := decodePermissionMap(value)
		return put(&c.Users, list, err)
	case metaGroups:
		list, err := decodePermissionMap(value)
		return put(&c.Groups, list, err)
	case metaRoles:
		list, err := decodePermissionMap(value)
		return put(&c.Roles, list, err)
	case metaFileType:
		t, err := decodeFileType(value)
		return putNew(&c.FileType, t, err)
	case metaModified:
		at, err := decodeEpochTime(value)
		return putNew(&c.Modified, at, err)
	case metaCreated:
		at, err := decodeEpochTime(value)
		return putNew(&c.Created, at, err)
	case metaCreator:
		a, err := decodeActorID(value)
		return putNew(&c.Creator, a, err)
	}
	keep(&c.Other, key, value)
	return nil
}

// MarshalCBOR encodes the map.
func (c ComponentMetadata) MarshalCBOR() ([]byte, error) {
	out := map[int64]any{}
	add(out, metaPermissions, c.Permissions)
	add(out, metaFileType, c.FileType)
	add(out, metaCreator, c.Creator)
	for key, list := range map[int64][]ActorPermissions{metaUsers: c.Users, metaGroups: c.Groups, metaRoles: c.Roles} {
		if list == nil {
			continue
		}
		entries, err := encodePermissionMap(list)
		if err != nil {
			return nil, at(metaStep(key), err)
		}
		out[key] = entries
	}
	for key, t := range map[int64]*time.Time{metaModified: c.Modified, metaCreated: c.Created} {
		if t != nil {
			out[key] = cosekit.Tag{Number: tagEpochTime, Content: cosekit.MustMarshal(t.Unix())}
		}
	}
	if err := addExtensions(out, c.Other); err != nil {
		return nil, err
	}
	return cosekit.Marshal(out)
}

func decodePermissions(raw []byte) (Permissions, error) {
	bits, err := cosekit.Uint(raw)
	if err == nil && bits > allPermissions {
		err = malformed("permissions %#x, bits are defined up to %#x", bits, allPermissions)
	}
	return Permissions(bits), err
}

func decodeFileType(raw []byte) (FileType, error) {
	n, err := cosekit.Uint(raw)
	if t := FileType(n); err == nil && (t < RegularFile || t > SymbolicLink) {
		err = malformed("%s is not defined", t)
	}
	return FileType(n), err
}

func decodePermissionMap(raw []byte) ([]ActorPermissions, error) {
	var list []ActorPermissions
	err := decodeMap(raw, true, func(key, value []byte) error {
		if len(list) == MaxActors {
			return overLimit("more than %d actors", MaxActors)
		}
		actor, err := decodeActorID(key)
		if err != nil {
			return err
		}
		p, err := decodePermissions(value)
		list = append(list, ActorPermissions{actor, p})
		return at(actor.String(), err)
	})
	if err == nil && len(list) == 0 {
		err = malformed("no actor in the map")
	}
	return list, err
}

func encodePermissionMap(list []ActorPermissions) (map[itemKey]Permissions, error) {
	out := map[itemKey]Permissions{}
	for _, one := range list {
		key, err := one.Actor.MarshalCBOR()
		if err != nil {
			return nil, err
		}
		if _, twice := out[itemKey(key)]; twice {
			return nil, malformed("%s twice", one.Actor)
		}
		out[itemKey(key)] = one.Permissions
	}
	return out, nil
}

// decodeEpochTime reads #6.1(uint).
func decodeEpochTime(raw []byte) (time.Time, error) {
	content, err := decodeTagged(raw, tagEpochTime)
	if err != nil {
		return time.Time{}, err
	}
	return decodeSeconds(content)
}

func decodeActorID(raw []byte) (ActorID, error) {
	var a ActorID
	switch cosekit.Major(raw) {
	case cosekit.MajorTag:
		content, err := decodeTagged(raw, tagUUID)
		if err != nil {
			return a, err
		}
		id, err := decodeUUID(content)
		return a, putNew(&a.UUID, id, err)
	case cosekit.MajorBytes:
		b, err := cosekit.Bytes(raw)
		return ActorID{Bytes: b}, err
	case cosekit.MajorText:
		s, err := cosekit.Text(raw)
		if err == nil && s == "" {
			err = malformed("actor without a name")
		}
		if err == nil {
			err = checkGraphic(s) // section 4.6
		}
		return ActorID{Text: s}, err
	}
	n, err := cosekit.Int(raw)
	return ActorID{Number: &n}, err
}

// MarshalCBOR encodes the one form that is set.
func (a ActorID) MarshalCBOR() ([]byte, error) {
	var forms []any
	if a.UUID != nil {
		forms = append(forms, cosekit.Tag{Number: tagUUID, Content: cosekit.MustMarshal(a.UUID[:])})
	}
	if a.Bytes != nil {
		forms = append(forms, a.Bytes)
	}
	if a.Text != "" {
		forms = append(forms, a.Text)
	}
	if a.Number != nil {
		forms = append(forms, *a.Number)
	}
	if len(forms) != 1 {
		return nil, malformed("actor with %d names, want one", len(forms))
	}
	return cosekit.Marshal(forms[0])
}
