package processor

import (
	"context"

	"github.com/tamarack-tam/tamarack/suit"
)

// command is what the machine does for one code.
type command struct {
	// run executes the command on the current component. A condition returns what it
	// measured, whether it holds or not.
	run func(ctx context.Context, m *machine, arg suit.Argument) (suit.Parameters, error)
	// shared: the command may stand in the shared sequence, because it changes nothing
	// but parameters (draft-ietf-suit-manifest-37 section 8.4.5).
	shared bool
}

// commands are the ones that this processor knows. Every other one is refused
// before a manifest runs, so a command of the family becomes supported by its entry.
var commands = map[suit.CommandCode]command{
	suit.ConditionVendorIdentifier:   {vendorIdentifier, true},
	suit.ConditionClassIdentifier:    {classIdentifier, true},
	suit.ConditionDeviceIdentifier:   {deviceIdentifier, true},
	suit.ConditionImageMatch:         {imageMatch, true},
	suit.ConditionCheckContent:       {checkContent, true},
	suit.ConditionComponentSlot:      {componentSlot, true},
	suit.ConditionAbort:              {abort, true},
	suit.DirectiveSetComponentIndex:  {setComponentIndex, true},
	suit.DirectiveSetParameters:      {setParameters, true},
	suit.DirectiveOverrideParameters: {overrideParameters, true},
	suit.DirectiveFetch:              {fetch, false},
	suit.DirectiveWrite:              {write, false},
}
