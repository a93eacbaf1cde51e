package suit

import (
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The structures of draft-ietf-suit-update-management-14.

// Comparison is how a version is compared with that of a manifest (section 4.4).
type Comparison uint64

// The comparisons: the version at hand is … than that of the manifest.
const (
	Greater        Comparison = 1
	GreaterOrEqual Comparison = 2
	Equal          Comparison = 3
	LesserOrEqual  Comparison = 4
	Lesser         Comparison = 5
)

// VersionMatch is a SUIT_Parameter_Version_Match.
type VersionMatch struct {
	Comparison Comparison
	Version    []int64
}

// WaitInfo is a SUIT_Wait_Event: all that is set has to hold. A nil field is unset.
type WaitInfo struct {
	Authorization *int64 // update priority that has to be authorised
	Power         *int64 // percent or class of supply, as the draft leaves it to the device
	Network       *int64 // kind of network
	OtherDevice   *OtherDeviceVersion
	Time          *time.Time // seconds
	TimeOfDay     *uint64    // seconds since midnight, local
	DayOfWeek     *uint64    // days since Sunday, local
	TimeOfDayUTC  *uint64
	DayOfWeekUTC  *uint64
	Other         map[int64]cosekit.RawMessage
}

// OtherDeviceVersion waits for another device to have a version.
type OtherDeviceVersion struct {
	Device  []byte
	Matches []VersionMatch
}

// ComponentMetadata is a SUIT_Component_Metadata: how a file is to be stored.
type ComponentMetadata struct {
	Permissions *uint16 // the mask for everybody, 14 bits
	Users       map[string]uint16
	Groups      map[string]uint16
	Roles       map[string]uint16
	FileType    *FileType
	Modified    *time.Time
	Created     *time.Time
	Creator     *Creator
	Other       map[int64]cosekit.RawMessage
}

// FileType is the kind of a file.
type FileType uint64

// The file types.
const (
	RegularFile  FileType = 1
	Directory    FileType = 2
	SymbolicLink FileType = 3
)

// Creator names who made a file; one field is set.
type Creator struct {
	UUID   *uuid.UUID
	Bytes  []byte
	Text   string
	Number *int64
}
