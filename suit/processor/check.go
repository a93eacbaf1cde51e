package processor

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// The manifest keys that a Failure names for what is refused before any sequence runs.
const (
	keyManifest       suit.Section = 0
	keyVersion        suit.Section = 1
	keySequenceNumber suit.Section = 2
	keyComponentID    suit.Section = 5
)

// extensionCoSWID is the manifest key of a software description
// (draft-ietf-suit-update-management): nothing to execute.
const extensionCoSWID = 14

// check refuses what could not be executed, or may not be, before anything is: a
// manifest runs as a whole or not at all (draft-ietf-suit-manifest-37 sections 6.1
// and 6.2). Of the sections of other procedures, those are looked into that the
// manifest will need to get off the device again.
func (m *machine) check(proc procedure, rights Rights) *Failure {
	if m.manifest.Version != suit.ManifestVersion {
		err := fmt.Errorf("%w: %d, want %d", ErrVersion, m.manifest.Version, suit.ManifestVersion)
		return refusal(keyVersion, err)
	}
	if f := m.checkComponents(rights); f != nil {
		return f
	}
	if f := m.checkElements(proc); f != nil {
		return f
	}
	for _, section := range slices.Concat([]suit.Section{suit.SectionShared}, proc.sections, proc.foreseen) {
		sequence, ok := m.manifest.Section(section)
		if !ok {
			continue
		}
		if f := m.checkSequence(section, sequence); f != nil {
			return f
		}
	}
	return m.checkCompatibility()
}

func refusal(key suit.Section, err error) *Failure {
	return &Failure{Reason: reasonFor(err), Section: key, Err: err}
}

// checkComponents holds the component list against the device and the signer's rights.
func (m *machine) checkComponents(rights Rights) *Failure {
	ids := m.manifest.Common.Components
	if len(ids) == 0 {
		return refusal(suit.SectionShared, fmt.Errorf("%w: the manifest names none", ErrUnsupportedComponent))
	}
	if len(ids) > m.limits.Components {
		err := fmt.Errorf("%w: %d components, at most %d", ErrUnsupportedComponent, len(ids), m.limits.Components)
		return refusal(suit.SectionShared, err)
	}
	for i, id := range ids {
		var err error
		if slices.ContainsFunc(ids[:i], id.Equal) {
			err = fmt.Errorf("%w: it is listed twice", ErrUnsupportedComponent)
		} else if rights == nil || !rights(Access{Component: id}) {
			err = ErrUnauthorized
		} else if fault := m.host.Supports(id); fault != nil {
			err = fmt.Errorf("%w: %w", ErrUnsupportedComponent, fault)
		}
		if err != nil {
			return &Failure{Reason: reasonFor(err), Section: suit.SectionShared, Component: i, ID: id, Err: err}
		}
	}
	if id := m.manifest.ComponentID; id != nil && !rights(Access{Component: id}) {
		return &Failure{Reason: suit.ReasonComponentUnauthorised, Section: keyComponentID, ID: id, Err: ErrUnauthorized}
	}
	return nil
}

// checkElements refuses parts of the manifest that would have to be acted on.
func (m *machine) checkElements(proc procedure) *Failure {
	common := m.manifest.Common
	if common.Dependencies != nil {
		return refusal(suit.SectionShared, fmt.Errorf("%w: dependencies", ErrUnsupportedElement))
	}
	for _, key := range slices.Sorted(maps.Keys(common.Extensions)) {
		return refusal(suit.SectionShared, fmt.Errorf("%w: key %d of common", ErrUnsupportedElement, key))
	}
	for _, key := range slices.Sorted(maps.Keys(m.manifest.Extensions)) {
		if key != extensionCoSWID {
			return refusal(suit.Section(key), fmt.Errorf("%w: key %d", ErrUnsupportedElement, key))
		}
	}
	for _, section := range proc.refused {
		if _, present := m.manifest.Sections[section]; present {
			return refusal(section, fmt.Errorf("%w: %s", ErrUnsupportedElement, section))
		}
	}
	present := 0
	for _, section := range proc.sections {
		element, ok := m.manifest.Sections[section]
		if ok && element.Sequence == nil {
			return refusal(section, fmt.Errorf("%w: %s", ErrSevered, section))
		}
		if ok {
			present++
		}
	}
	if present == 0 && !proc.optional {
		err := fmt.Errorf("%w: the manifest has no section for the %s procedure", ErrUnsupportedElement, proc.name)
		return refusal(keyManifest, err)
	}
	return nil
}

// checkSequence walks the commands of one section.
func (m *machine) checkSequence(section suit.Section, sequence *suit.Sequence) *Failure {
	components := len(m.manifest.Common.Components)
	for i, c := range sequence.Commands {
		err := m.checkCommand(section, c)
		if first := i == 0 && c.Code != suit.DirectiveSetComponentIndex; err == nil && first && components > 1 {
			err = fmt.Errorf("%w: with %d components a sequence begins with set-component-index", ErrUnsupportedCommand, components)
		}
		if err != nil {
			return &Failure{Reason: reasonFor(err), Section: section, Command: c.Code, Offset: c.Offset, Err: err}
		}
	}
	return nil
}

func (m *machine) checkCommand(section suit.Section, c suit.Command) error {
	known, ok := commands[c.Code]
	if !ok {
		return ErrUnsupportedCommand
	}
	if !known.where.allows(section) {
		return fmt.Errorf("%w: not in %s", ErrUnsupportedCommand, section)
	}
	if c.Code == suit.ConditionComponentSlot && m.slots == nil {
		return fmt.Errorf("%w: the device has no slots", ErrUnsupportedCommand)
	}
	switch arg := c.Argument.(type) {
	case *suit.Parameters:
		return checkParameters(arg, m.limits)
	case suit.Index, suit.IndexList, suit.AllComponents:
		_, err := m.indices(arg)
		return err
	}
	return nil
}

// checkCompatibility wants the shared sequence to check vendor and class (section
// 6.2): without them the manifest would run on every device that trusts its signer.
func (m *machine) checkCompatibility() *Failure {
	for _, code := range []suit.CommandCode{suit.ConditionVendorIdentifier, suit.ConditionClassIdentifier} {
		shared := m.manifest.Common.Shared
		if shared == nil || !slices.ContainsFunc(shared.Commands, func(c suit.Command) bool { return c.Code == code }) {
			return refusal(suit.SectionShared, fmt.Errorf("%w: no %s in the shared sequence", ErrIncompatible, code))
		}
	}
	return nil
}
