package suit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The structures of draft-ietf-suit-update-management-14.

// Comparison is how the version at hand is compared with that of a manifest
// (SUIT_Condition_Version_Comparison_Types).
type Comparison uint64

// The comparisons: the version at hand is … than that of the manifest.
const (
	Greater        Comparison = 1
	GreaterOrEqual Comparison = 2
	Equal          Comparison = 3
	LesserOrEqual  Comparison = 4
	Lesser         Comparison = 5
)

var comparisonSigns = map[Comparison]string{
	Greater: ">", GreaterOrEqual: ">=", Equal: "=", LesserOrEqual: "<=", Lesser: "<",
}

// String returns the sign that suit-text-version-required has for it, ">=".
func (c Comparison) String() string {
	if sign, ok := comparisonSigns[c]; ok {
		return sign
	}
	return fmt.Sprintf("comparison %d", uint64(c))
}

// VersionMatch is a SUIT_Parameter_Version_Match.
type VersionMatch struct {
	Comparison Comparison
	Version    []int64
}

// String writes comparison and version, ">=1.2.3".
func (v VersionMatch) String() string { return v.Comparison.String() + FormatVersion(v.Version) }

// WaitInfo is a SUIT_Wait_Event: all that is set has to hold, one at least. A nil
// field is unset.
type WaitInfo struct {
	Authorization *int64 // update priority that has to be authorised
	Power         *int64 // what the numbers mean is for the deployment to say
	Network       *int64 // likewise
	OtherDevice   *OtherDeviceVersion
	Time          *time.Time // whole seconds
	TimeOfDay     *uint64    // seconds since midnight, local
	DayOfWeek     *uint64    // days since Sunday, local
	TimeOfDayUTC  *uint64
	DayOfWeekUTC  *uint64
	// Other holds every further event as it came. What is not understood cannot be
	// waited for.
	Other map[int64]cosekit.RawMessage
}

// OtherDeviceVersion waits for another device to have a version.
type OtherDeviceVersion struct {
	Device  []byte
	Matches []VersionMatch
}

// ComponentMetadata is a SUIT_Component_Metadata: how a file is to be stored.
type ComponentMetadata struct {
	Permissions *Permissions // of everybody who has none of his own
	Users       []ActorPermissions
	Groups      []ActorPermissions
	Roles       []ActorPermissions
	FileType    *FileType  // nil: a regular file
	Modified    *time.Time // whole seconds
	Created     *time.Time // whole seconds
	Creator     *ActorID
	Other       map[int64]cosekit.RawMessage
}

// Permissions are SUIT_meta_permissions, a set of bits.
type Permissions uint16

// The permissions.
const (
	TraverseExecute Permissions = 1 << iota
	CreateWrite
	ListRead
	CreateDirectoryAppend
	ReadAttributes
	ReadPermissions
	ChangePermissions
	ChangeOwner
	WriteAttributes
	RecursiveDelete
	Delete
	Synchronize
	ReadExtendedAttributes
	WriteExtendedAttributes

	allPermissions = 1<<14 - 1
)

// ActorPermissions is one entry of a SUIT_meta_permission_map.
type ActorPermissions struct {
	Actor       ActorID
	Permissions Permissions
}

// FileType is the kind of a file.
type FileType uint64

// The file types.
const (
	RegularFile  FileType = 1
	Directory    FileType = 2
	SymbolicLink FileType = 3
)

// String names the file type, "directory".
func (t FileType) String() string {
	switch t {
	case RegularFile:
		return "regular file"
	case Directory:
		return "directory"
	case SymbolicLink:
		return "symbolic link"
	}
	return fmt.Sprintf("file type %d", uint64(t))
}

// ActorID is a SUIT_meta_actor_id, a user, group or role; one field is set.
type ActorID struct {
	UUID   *uuid.UUID
	Bytes  []byte
	Text   string
	Number *int64
}

// String writes the name, the number, the UUID, or the bytes as 0x and hexadecimal
// digits.
func (a ActorID) String() string {
	switch {
	case a.UUID != nil:
		return a.UUID.String()
	case a.Number != nil:
		return fmt.Sprint(*a.Number)
	case a.Bytes != nil:
		return fmt.Sprintf("0x%x", a.Bytes)
	}
	return strconv.Quote(a.Text)
}
