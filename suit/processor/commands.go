package processor

import (
	"context"

	"github.com/tamarack-tam/tamarack/suit"
)

// command is what the machine does for one code.
type command struct {
	// run executes the command on the current component. A condition returns what it
	// measured, whether it holds or not.
	run   func(ctx context.Context, f *frame, arg suit.Argument) (suit.Parameters, error)
	where where
	// once: not for each selected component.
	once bool
}

// where says which sequences a command may stand in.
type where int

const (
	// anywhere is for what changes parameters at most, as the shared sequence must
	// (draft-ietf-suit-manifest-37 section 8.4.5).
	anywhere where = iota
	// sections is for what the shared sequence may not have.
	sections
	// storing is for what writes images.
	storing
	// invoking is for what hands control over.
	invoking
	// uninstalling is for what gives images up.
	uninstalling
)

func (w where) allows(section suit.Section) bool {
	switch w {
	case sections:
		return section != suit.SectionShared
	case storing:
		switch section {
		case suit.SectionDependencyResolution, suit.SectionPayloadFetch, suit.SectionInstall, suit.SectionLoad:
			return true
		}
		return false
	case invoking:
		return section == suit.SectionInvoke
	case uninstalling:
		return section == suit.SectionUninstall
	}
	return true
}

// commands are the ones that this processor knows. Every other one is refused before a
// manifest runs. The map is filled in init because try-each runs commands again.
var commands map[suit.CommandCode]command

func init() {
	commands = map[suit.CommandCode]command{
		suit.ConditionVendorIdentifier:    {run: vendorIdentifier, where: anywhere},
		suit.ConditionClassIdentifier:     {run: classIdentifier},
		suit.ConditionDeviceIdentifier:    {run: deviceIdentifier},
		suit.ConditionImageMatch:          {run: imageMatch},
		suit.ConditionImageNotMatch:       {run: imageNotMatch},
		suit.ConditionCheckContent:        {run: checkContent},
		suit.ConditionComponentSlot:       {run: componentSlot},
		suit.ConditionUseBefore:           {run: useBefore},
		suit.ConditionMinimumBattery:      {run: minimumBattery},
		suit.ConditionUpdateAuthorized:    {run: updateAuthorized},
		suit.ConditionVersion:             {run: versionMatch},
		suit.ConditionIsDependency:        {run: isDependency},
		suit.ConditionDependencyIntegrity: {run: dependencyIntegrity},
		suit.ConditionAbort:               {run: abort},
		suit.DirectiveSetComponentIndex:   {run: setComponentIndex, once: true},
		suit.DirectiveSetParameters:       {run: setParameters},
		suit.DirectiveOverrideParameters:  {run: overrideParameters},
		suit.DirectiveOverrideMultiple:    {run: overrideMultiple, once: true},
		suit.DirectiveCopyParams:          {run: copyParams},
		suit.DirectiveTryEach:             {run: tryEach},
		suit.DirectiveRunSequence:         {run: runSequence},
		suit.DirectiveProcessDependency:   {run: processDependency, where: sections},
		suit.DirectiveWait:                {run: wait, where: sections},
		suit.DirectiveFetch:               {run: fetch, where: storing},
		suit.DirectiveWrite:               {run: write, where: storing},
		suit.DirectiveCopy:                {run: copyImage, where: storing},
		suit.DirectiveSwap:                {run: swap, where: storing},
		suit.DirectiveInvoke:              {run: invoke, where: invoking},
		suit.DirectiveUnlink:              {run: unlink, where: uninstalling},
	}
}
