package suit

import (
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Keys of a SUIT_Wait_Event and a SUIT_Component_Metadata
// (draft-ietf-suit-update-management-14 appendix A).
const (
	waitAuthorization = 1
	waitPower         = 2
	waitNetwork       = 3
	waitOtherDevice   = 4
	waitTime          = 5
	waitTimeOfDay     = 6
	waitDayOfWeek     = 7
	waitTimeOfDayUTC  = 8
	waitDayOfWeekUTC  = 9

	metaPermissions = 1
	metaUsers       = 2
	metaGroups      = 3
	metaRoles       = 4
	metaFileType    = 5
	metaModified    = 6
	metaCreated     = 7
	metaCreator     = 8
)

var (
	waitStep = namer(map[int64]string{
		waitAuthorization: "authorization", waitPower: "power", waitNetwork: "network",
		waitOtherDevice: "other-device-version", waitTime: "time", waitTimeOfDay: "time-of-day",
		waitDayOfWeek: "day-of-week", waitTimeOfDayUTC: "time-of-day-utc", waitDayOfWeekUTC: "day-of-week-utc",
	})
	metaStep = namer(map[int64]string{
		metaPermissions: "default-permissions", metaUsers: "user-permissions",
		metaGroups: "group-permissions", metaRoles: "role-permissions", metaFileType: "file-type",
		metaModified: "modification-time", metaCreated: "creation-time", metaCreator: "creator",
	})
)

// CBOR tags of the values.
const (
	tagEpochTime = 1
	tagUUID      = 37
)

// The last second that RFC 3339 can write, in the year 9999.
const maxSeconds = 253402300799

const (
	secondsOfDay = 24 * 60 * 60
	daysOfWeek   = 7
)

// decodeVersionNumbers reads a SUIT_Condition_Version_Comparison_Value.
func decodeVersionNumbers(raw []byte) ([]int64, error) {
	items, err := cosekit.Elements(raw)
	switch {
	case err != nil:
		return nil, err
	case len(items) == 0:
		return nil, malformed("empty version")
	case len(items) > MaxVersionNumbers:
		return nil, overLimit("version of %d numbers, at most %d", len(items), MaxVersionNumbers)
	}
	v := make([]int64, len(items))
	for i, item := range items {
		if v[i], err = cosekit.Int(item); err != nil {
			return nil, err
		}
	}
	if v[0] < 0 {
		return nil, malformed("version that begins with a pre-release")
	}
	return v, nil
}

func decodeVersionMatch(raw []byte) (VersionMatch, error) {
	var v VersionMatch
	parts, err := cosekit.Elements(raw)
	if err != nil {
		return v, err
	}
	if len(parts) != 2 {
		return v, malformed("array of %d elements, want comparison and version", len(parts))
	}
	comparison, err := cosekit.Uint(parts[0])
	if err != nil {
		return v, err
	}
	if v.Comparison = Comparison(comparison); comparisonSigns[v.Comparison] == "" {
		return v, malformed("%s is not defined", v.Comparison)
	}
	v.Version, err = decodeVersionNumbers(parts[1])
	return v, err
}

// MarshalCBOR encodes [comparison, version].
func (v VersionMatch) MarshalCBOR() ([]byte, error) {
	return cosekit.Marshal([]any{uint64(v.Comparison), v.Version})
}

func decodeWaitInfo(raw []byte) (WaitInfo, error) {
	var w WaitInfo
	events := 0
	err := decodeIntMap(raw, true, waitStep, func(key int64, value []byte) error {
		events++
		return w.set(key, value)
	})
	if err == nil && events == 0 {
		err = malformed("nothing to wait for")
	}
	return w, err
}

func (w *WaitInfo) set(key int64, value []byte) error {
	switch key {
	case waitAuthorization:
		n, err := cosekit.Int(value)
		return putNew(&w.Authorization, n, err)
	case waitPower:
		n, err := cosekit.Int(value)
		return putNew(&w.Power, n, err)
	case waitNetwork:
		n, err := cosekit.Int(value)
		return putNew(&w.Network, n, err)
	case waitOtherDevice:
		other, err := decodeOtherDevice(value)
		return putNew(&w.OtherDevice, other, err)
	case waitTime:
		at, err := decodeSeconds(value)
		return putNew(&w.Time, at, err)
	case waitTimeOfDay:
		n, err := decodeBelow(value, secondsOfDay)
		return putNew(&w.TimeOfDay, n, err)
	case waitDayOfWeek:
		n, err := decodeBelow(value, daysOfWeek)
		return putNew(&w.DayOfWeek, n, err)
	case waitTimeOfDayUTC:
		n, err := decodeBelow(value, secondsOfDay)
		return putNew(&w.TimeOfDayUTC, n, err)
	case waitDayOfWeekUTC:
		n, err := decodeBelow(value, daysOfWeek)
		return putNew(&w.DayOfWeekUTC, n, err)
	}
	keep(&w.Other, key, value)
	return nil
}

// MarshalCBOR encodes the map of events.
func (w WaitInfo) MarshalCBOR() ([]byte, error) {
	out := map[int64]any{}
	add(out, waitAuthorization, w.Authorization)
	add(out, waitPower, w.Power)
	add(out, waitNetwork, w.Network)
	add(out, waitTimeOfDay, w.TimeOfDay)
	add(out, waitDayOfWeek, w.DayOfWeek)
	add(out, waitTimeOfDayUTC, w.TimeOfDayUTC)
	add(out, waitDayOfWeekUTC, w.DayOfWeekUTC)
	if w.OtherDevice != nil {
		out[waitOtherDevice] = []any{w.OtherDevice.Device, w.OtherDevice.Matches}
	}
	if w.Time != nil {
		out[waitTime] = w.Time.Unix()
	}
	if err := addExtensions(out, w.Other); err != nil {
		return nil, err
	}
	return cosekit.Marshal(out)
}

// decodeOtherDevice reads [bstr, [+ SUIT_Parameter_Version_Match]].
func decodeOtherDevice(raw []byte) (OtherDeviceVersion, error) {
	var o OtherDeviceVersion
	parts, err := cosekit.Elements(raw)
	if err != nil {
		return o, err
	}
	if len(parts) != 2 {
		return o, malformed("array of %d elements, want device and versions", len(parts))
	}
	if o.Device, err = cosekit.Bytes(parts[0]); err != nil {
		return o, err
	}
	items, err := cosekit.Elements(parts[1])
	if err != nil {
		return o, err
	}
	if len(items) == 0 || len(items) > MaxVersionMatches {
		return o, malformed("%d versions to match, want 1 to %d", len(items), MaxVersionMatches)
	}
	o.Matches = make([]VersionMatch, len(items))
	for i, item := range items {
		if o.Matches[i], err = decodeVersionMatch(item); err != nil {
			return o, at(fmt.Sprintf("[%d]", i), err)
		}
	}
	return o, nil
}

func decodeSeconds(raw []byte) (time.Time, error) {
	n, err := cosekit.Uint(raw)
	if err == nil && n > maxSeconds {
		err = overLimit("time beyond the year 9999")
	}
	return time.Unix(int64(n), 0).UTC(), err
}

func decodeBelow(raw []byte, end uint64) (uint64, error) {
	n, err := cosekit.Uint(raw)
	if err == nil && n >= end {
		err = malformed("%d, want less than %d", n, end)
	}
	return n, err
}

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

// decodeTagged returns the content of a tag of that number.
func decodeTagged(raw []byte, number uint64) ([]byte, error) {
	if cosekit.Major(raw) != cosekit.MajorTag {
		return nil, malformed("want tag %d", number)
	}
	var tag cosekit.Tag
	if err := cosekit.UnmarshalValid(raw, &tag); err != nil {
		return nil, err
	}
	if tag.Number != number {
		return nil, malformed("tag %d, want %d", tag.Number, number)
	}
	return tag.Content, nil
}

// add puts an optional element into a map that is to be encoded.
func add[T any](out map[int64]any, key int64, value *T) {
	if value != nil {
		out[key] = *value
	}
}

// wrapped encodes as a byte string around the encoding of its content.
type wrapped struct{ content any }

func (w wrapped) MarshalCBOR() ([]byte, error) {
	inner, err := cosekit.Marshal(w.content)
	if err != nil {
		return nil, err
	}
	return cosekit.Marshal(inner)
}

// inString makes a reader of the content of a byte string one of the string.
func inString[T any](read func([]byte) (T, error)) func([]byte) (T, error) {
	return func(raw []byte) (T, error) {
		inner, err := decodeWrapped(raw)
		if err != nil {
			var none T
			return none, err
		}
		return read(inner)
	}
}

// inBytes is the wire form of what inString reads.
func inBytes[T any](v T) any { return wrapped{v} }
