package suit

import (
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Keys of a SUIT_Wait_Event (draft-ietf-suit-update-management-14 appendix A).
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
)

var waitStep = namer(map[int64]string{
	waitAuthorization: "authorization", waitPower: "power", waitNetwork: "network",
	waitOtherDevice: "other-device-version", waitTime: "time", waitTimeOfDay: "time-of-day",
	waitDayOfWeek: "day-of-week", waitTimeOfDayUTC: "time-of-day-utc", waitDayOfWeekUTC: "day-of-week-utc",
})

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
	return v, CheckVersion(v)
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
