package suit

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var creator = uuid.MustParse("8d82573a-926d-4754-9353-32dc29997f74")

func fullWaitInfo() *WaitInfo {
	return &WaitInfo{
		Authorization: ptr(int64(-1)), Power: ptr(int64(2)), Network: ptr(int64(3)),
		OtherDevice: &OtherDeviceVersion{Device: []byte("radio"), Matches: []VersionMatch{{Greater, []int64{1}}, {Lesser, []int64{2, 0}}}},
		Time:        ptr(time.Unix(1<<31, 0).UTC()), TimeOfDay: ptr(uint64(secondsOfDay - 1)), DayOfWeek: ptr(uint64(6)),
		TimeOfDayUTC: ptr(uint64(0)), DayOfWeekUTC: ptr(uint64(0)),
		Other: map[int64]cosekit.RawMessage{12: {0xf6}},
	}
}

func fullMetadata() *ComponentMetadata {
	return &ComponentMetadata{
		Permissions: ptr(TraverseExecute | ListRead | WriteExtendedAttributes),
		Users:       []ActorPermissions{{ActorID{Number: ptr(int64(1000))}, ListRead}, {ActorID{Text: "root"}, CreateWrite}},
		Groups:      []ActorPermissions{{ActorID{UUID: &creator}, 0}},
		Roles:       []ActorPermissions{{ActorID{Bytes: []byte{}}, Delete}},
		FileType:    ptr(SymbolicLink), Modified: ptr(time.Unix(0, 0).UTC()), Created: ptr(time.Unix(maxSeconds, 0).UTC()),
		Creator: &ActorID{Number: ptr(int64(-7))},
		Other:   map[int64]cosekit.RawMessage{-1: {0x01}},
	}
}

// The bytes are those of the CDDL, written by hand.
func TestManagementEncoding(t *testing.T) {
	for _, test := range []struct {
		name  string
		value Parameters
		want  string
	}{
		{"use-before", Parameters{UseBefore: ptr(uint64(1))}, "a1 04 01"},
		{"minimum-battery", Parameters{MinimumBattery: ptr(uint64(24))}, "a1 181a 1818"},
		{"update-priority", Parameters{UpdatePriority: ptr(int64(-1))}, "a1 181b 20"},
		{"version", Parameters{Version: &VersionMatch{LesserOrEqual, []int64{1, -1}}}, "a1 181c 45 82 04 82 01 20"},
		{"wait-info", Parameters{WaitInfo: &WaitInfo{Power: ptr(int64(-2)), Time: ptr(time.Unix(5, 0).UTC())}}, "a1 181d 45 a2 02 21 05 05"},
		{"other device", Parameters{WaitInfo: &WaitInfo{OtherDevice: &OtherDeviceVersion{[]byte{7}, []VersionMatch{{Equal, []int64{3}}}}}},
			"a1 181d 4a a1 04 82 41 07 81 82 03 81 03"},
		{"component-metadata", Parameters{Metadata: &ComponentMetadata{
			Permissions: ptr(Permissions(5)), Users: []ActorPermissions{{ActorID{Text: "a"}, 1}}, FileType: ptr(Directory),
			Modified: ptr(time.Unix(9, 0).UTC()), Creator: &ActorID{UUID: &uuid.UUID{}},
		}}, "a1 181e 5821 a5 01 05 02 a1 6161 01 05 02 06 c1 09 08 d825 50 00000000000000000000000000000000"},
		{"empty metadata", Parameters{Metadata: &ComponentMetadata{}}, "a1 181e 41 a0"},
		{"encryption-info", Parameters{EncryptionInfo: []byte{0x80}}, "a1 13 41 80"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := encodeParameters(&test.value)
			if err != nil {
				t.Fatal(err)
			}
			raw := cosekit.MustMarshal(out)
			if !bytes.Equal(raw, fromHex(t, strings.ReplaceAll(test.want, " ", ""))) {
				t.Errorf("%x, want %s", raw, test.want)
			}
			if got, err := decodeParameters(raw, true); err != nil || !reflect.DeepEqual(got, test.value) {
				t.Errorf("%+v (%v), want %+v", got, err, test.value)
			}
		})
	}
}

func TestManagementRefusals(t *testing.T) {
	type list = []any
	for _, test := range []struct {
		name string
		code ParameterCode
		// inner is the content of the byte string; for outer the value itself.
		inner, outer any
		path         string
		want         error
	}{
		{"use-before negative", ParameterUseBefore, nil, -1, "use-before", ErrMalformed},
		{"use-before with a tag", ParameterUseBefore, nil, cosekit.Tag{Number: 1, Content: wrap(5)}, "use-before", ErrMalformed},
		{"battery of text", ParameterMinimumBattery, nil, "5", "minimum-battery", ErrMalformed},
		{"priority of text", ParameterUpdatePriority, nil, "5", "update-priority", ErrMalformed},
		{"bare version", ParameterVersion, nil, list{3, list{1}}, "version", ErrMalformed},
		{"comparison 0", ParameterVersion, list{0, list{1}}, nil, "version", ErrMalformed},
		{"comparison 6", ParameterVersion, list{6, list{1}}, nil, "version", ErrMalformed},
		{"version without numbers", ParameterVersion, list{3, list{}}, nil, "version", ErrMalformed},
		{"version of text", ParameterVersion, list{3, list{"1"}}, nil, "version", ErrMalformed},
		{"version and more", ParameterVersion, list{3, list{1}, 1}, nil, "version", ErrMalformed},
		{"pre-release first", ParameterVersion, list{3, list{-1, 1}}, nil, "version", ErrMalformed},
		{"pre-release -5", ParameterVersion, list{3, list{1, -5, -1, -1}}, nil, "version", ErrMalformed},
		{"two pre-releases", ParameterVersion, list{3, list{1, -1, -1}}, nil, "version", ErrMalformed},
		{"version too long", ParameterVersion, list{3, make([]int, MaxVersionNumbers+1)}, nil, "version", ErrLimit},
		{"nothing to wait for", ParameterWaitInfo, rawMap{}, nil, "wait-info", ErrMalformed},
		{"wait of text", ParameterWaitInfo, rawMap{"1": 1}, nil, "wait-info", ErrMalformed},
		{"network of text", ParameterWaitInfo, rawMap{3: "x"}, nil, "wait-info.network", ErrMalformed},
		{"wait time negative", ParameterWaitInfo, rawMap{5: -1}, nil, "wait-info.time", ErrMalformed},
		{"wait time beyond years", ParameterWaitInfo, rawMap{5: uint64(maxSeconds + 1)}, nil, "wait-info.time", ErrLimit},
		{"25 o'clock", ParameterWaitInfo, rawMap{6: secondsOfDay}, nil, "wait-info.time-of-day", ErrMalformed},
		{"eighth day", ParameterWaitInfo, rawMap{9: 7}, nil, "wait-info.day-of-week-utc", ErrMalformed},
		{"other device without versions", ParameterWaitInfo, rawMap{4: list{[]byte("x"), list{}}}, nil, "wait-info.other-device-version", ErrMalformed},
		{"other device of text", ParameterWaitInfo, rawMap{4: list{"x", list{list{1, list{1}}}}}, nil, "wait-info.other-device-version", ErrMalformed},
		{"other device comparison", ParameterWaitInfo, rawMap{4: list{[]byte("x"), list{list{9, list{1}}}}}, nil, "wait-info.other-device-version[0]", ErrMalformed},
		{"bare metadata", ParameterComponentMetadata, nil, rawMap{1: 1}, "component-metadata", ErrMalformed},
		{"fifteenth permission", ParameterComponentMetadata, rawMap{1: allPermissions + 1}, nil, "component-metadata.default-permissions", ErrMalformed},
		{"no users", ParameterComponentMetadata, rawMap{2: rawMap{}}, nil, "component-metadata.user-permissions", ErrMalformed},
		{"nameless user", ParameterComponentMetadata, rawMap{2: rawMap{"": 1}}, nil, "component-metadata.user-permissions", ErrMalformed},
		{"user with an escape", ParameterComponentMetadata, rawMap{2: rawMap{"\x1b[31m": 1}}, nil, "component-metadata.user-permissions", ErrMalformed},
		{"creator with a line end", ParameterComponentMetadata, rawMap{8: "a\n"}, nil, "component-metadata.creator", ErrMalformed},
		{"permission of a user", ParameterComponentMetadata, rawMap{2: rawMap{"a": -1}}, nil, "component-metadata.user-permissions.\"a\"", ErrMalformed},
		{"group of null", ParameterComponentMetadata, fromHex(t, "a103a1f601"), nil, "component-metadata.group-permissions", ErrMalformed},
		{"file type 4", ParameterComponentMetadata, rawMap{5: 4}, nil, "component-metadata.file-type", ErrMalformed},
		{"time without a tag", ParameterComponentMetadata, rawMap{6: 5}, nil, "component-metadata.modification-time", ErrMalformed},
		{"time of half a second", ParameterComponentMetadata, fromHex(t, "a107c1f93800"), nil, "component-metadata.creation-time", ErrMalformed},
		{"creator of another tag", ParameterComponentMetadata, rawMap{8: cosekit.Tag{Number: 38, Content: wrap("x")}}, nil, "component-metadata.creator", ErrMalformed},
		{"short UUID", ParameterComponentMetadata, rawMap{8: cosekit.Tag{Number: 37, Content: wrap([]byte("x"))}}, nil, "component-metadata.creator", ErrMalformed},
		{"encryption-info that is no CBOR", ParameterEncryptionInfo, nil, []byte{0xff}, "encryption-info", ErrMalformed},
		{"bare encryption-info", ParameterEncryptionInfo, nil, list{1}, "encryption-info", ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			value := test.outer
			if raw, ok := test.inner.([]byte); ok {
				value = raw
			} else if test.inner != nil {
				value = wrap(test.inner)
			}
			_, err := decodeParameters(wrap(rawMap{int64(test.code): value}), true)
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			var at *PathError
			if !errors.As(err, &at) || at.Path != test.path {
				t.Errorf("path of %v, want %s", err, test.path)
			}
		})
	}
}

func TestManagementEncodeRefusals(t *testing.T) {
	for name, p := range map[string]*Parameters{
		"actor without a name":  {Metadata: &ComponentMetadata{Creator: &ActorID{}}},
		"actor with two names":  {Metadata: &ComponentMetadata{Creator: &ActorID{Text: "a", Bytes: []byte{1}}}},
		"user twice":            {Metadata: &ComponentMetadata{Users: []ActorPermissions{{ActorID{Text: "a"}, 1}, {ActorID{Text: "a"}, 2}}}},
		"known event as other":  {WaitInfo: &WaitInfo{Power: ptr(int64(1)), Other: map[int64]cosekit.RawMessage{2: {1}}}},
		"time before 1970":      {WaitInfo: &WaitInfo{Time: ptr(time.Unix(-1, 0))}},
		"nothing to wait for":   {WaitInfo: &WaitInfo{}},
		"empty version":         {Version: &VersionMatch{Equal, nil}},
		"known parameter other": {Other: map[ParameterCode]cosekit.RawMessage{ParameterVersion: {1}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := smallManifest()
			m.Sections[SectionInstall] = Severable{Sequence: seq(Command{Code: DirectiveOverrideParameters, Argument: p})}
			raw, err := m.Encode(false)
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("encoded as %x, %v", raw, err)
			}
		})
	}
}

func TestManagementNames(t *testing.T) {
	for got, want := range map[string]string{
		VersionMatch{GreaterOrEqual, []int64{1, 2, -1}}.String(): ">=1.2-rc",
		Comparison(9).String():                  "comparison 9",
		FileType(9).String():                    "file type 9",
		Directory.String():                      "directory",
		ActorID{Text: "a\n"}.String():           `"a\n"`,
		ActorID{Bytes: []byte{1}}.String():      "0x01",
		ActorID{UUID: &creator}.String():        creator.String(),
		ActorID{Number: ptr(int64(0))}.String(): "0",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
