package processor

import (
	"context"

	"github.com/tamarack-tam/tamarack/suit"
)

// command is what the machine does for one code.
type command struct {
	// run executes the command on the current component. A condition returns what it
	// measured, whether it holds or not.
	run   func(ctx context.Context, m *machine, arg suit.Argument) (suit.Parameters, error)
	where where
}

// where says which sequences a command may stand in.
type where int

const (
	// anywhere is for what changes parameters at most, as the shared sequence must
	// (draft-ietf-suit-manifest-37 section 8.4.5).
	anywhere where = iota
	// updating is for what writes images.
	updating
	// uninstalling is for what gives them up.
	uninstalling
)

func (w where) allows(section suit.Section) bool {
	switch w {
	case updating:
		return section != suit.SectionShared && section != suit.SectionUninstall
	case uninstalling:
		return section == suit.SectionUninstall
	}
	return true
}

// commands are the ones that this processor knows. Every other one is refused
// before a manifest runs, so a command of the family becomes supported by its entry.
var commands = map[suit.CommandCode]command{
	suit.ConditionVendorIdentifier:   {vendorIdentifier, anywhere},
	suit.ConditionClassIdentifier:    {classIdentifier, anywhere},
	suit.ConditionDeviceIdentifier:   {deviceIdentifier, anywhere},
	suit.ConditionImageMatch:         {imageMatch, anywhere},
	suit.ConditionCheckContent:       {checkContent, anywhere},
	suit.ConditionComponentSlot:      {componentSlot, anywhere},
	suit.ConditionAbort:              {abort, anywhere},
	suit.DirectiveSetComponentIndex:  {setComponentIndex, anywhere},
	suit.DirectiveSetParameters:      {setParameters, anywhere},
	suit.DirectiveOverrideParameters: {overrideParameters, anywhere},
	suit.DirectiveFetch:              {fetch, updating},
	suit.DirectiveWrite:              {write, updating},
	suit.DirectiveUnlink:             {unlink, uninstalling},
}
