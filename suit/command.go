package suit

import "slices"

// Sequence is a SUIT_Command_Sequence (draft-ietf-suit-manifest-37 section 8.4.6).
type Sequence struct {
	Commands []Command
}

// Ensures reports whether behind the sequence, however it went, the command has been run:
// where there are alternatives, each of them has it.
func (s *Sequence) Ensures(code CommandCode) bool {
	return slices.ContainsFunc(s.Commands, func(c Command) bool {
		switch arg := c.Argument.(type) {
		case *Sequence:
			return !arg.softens() && arg.Ensures(code)
		case *Alternatives:
			lacks := func(s Sequence) bool { return !s.Ensures(code) }
			return !arg.Optional && !slices.ContainsFunc(arg.Sequences, lacks)
		}
		return c.Code == code
	})
}

// softens reports whether conditions that fail may end the sequence quietly.
func (s *Sequence) softens() bool {
	return slices.ContainsFunc(s.Commands, func(c Command) bool {
		p, ok := c.Argument.(*Parameters)
		return ok && p.SoftFailure != nil && *p.SoftFailure
	})
}

// Command is a condition or a directive with its argument.
type Command struct {
	Code CommandCode
	// Offset is where the command begins, as a SUIT_Record reports it: in bytes from the
	// beginning of the sequence that the section holds, also where the command stands in
	// a sequence inside of that. Decoding sets it, encoding ignores it.
	Offset   int
	Argument Argument
}

// Argument is what follows a command in its sequence: [Policy], [Index], [IndexList],
// [AllComponents], *[Parameters], *[Alternatives], *[Sequence], [ParameterSets],
// [ParameterCopies] or [Raw].
type Argument interface {
	encode(depth int) (any, error)
}

// Policy is a SUIT_Rep_Policy: hints about what to report (section 8.4.7).
type Policy uint64

// The bits of a reporting policy.
const (
	RecordOnSuccess  Policy = 1 << 0
	RecordOnFailure  Policy = 1 << 1
	SysinfoOnSuccess Policy = 1 << 2
	SysinfoOnFailure Policy = 1 << 3

	// ReportAll asks for everything, as the examples of the drafts do.
	ReportAll = RecordOnSuccess | RecordOnFailure | SysinfoOnSuccess | SysinfoOnFailure
)

// Index is the argument of set-component-index that selects one component.
type Index uint64

// IndexList selects several components, for each of which the commands that follow are run.
type IndexList []uint64

// AllComponents selects every component (index true).
type AllComponents struct{}

// Alternatives is the argument of try-each (section 8.4.10.2).
type Alternatives struct {
	Sequences []Sequence
	// Optional says that a nil ends the list: where every sequence fails, nothing
	// is done and try-each succeeds.
	Optional bool
}

// ParameterSets is the argument of override-multiple: parameters by component index
// (draft-ietf-suit-update-management, suit-directive-override-multiple). It is
// [Index] and override-parameters for each in ascending order, and leaves the last one
// selected.
type ParameterSets map[uint64]*Parameters

// ParameterCopies is the argument of copy-params: which parameters to take over from
// the component of each index into the current one, in ascending order
// (draft-ietf-suit-update-management, suit-directive-copy-params).
type ParameterCopies map[uint64][]ParameterCode

// Raw is the encoded argument of a command that this package does not know.
type Raw []byte
