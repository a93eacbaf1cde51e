package processor

import (
	"errors"
	"fmt"
	"maps"
	"math"
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

// maxSequenceNumber is what TAMs can store: nobody could publish what comes behind a higher one.
const maxSequenceNumber = math.MaxInt64

// check refuses what could not be executed, or may not be, before anything is
// (draft-ietf-suit-manifest-37 sections 6.1 and 6.2). Of the sections of other
// procedures, those are looked into that the manifest will need later.
func (m *machine) check(of *manifest) *Failure {
	if version := of.content.Version; version != suit.ManifestVersion {
		return of.refusal(keyVersion, nil, fmt.Errorf("%w: %d, want %d", ErrVersion, version, suit.ManifestVersion))
	}
	if number := of.content.SequenceNumber; m.proc.keeps && number > maxSequenceNumber {
		return of.refusal(keySequenceNumber, nil, fmt.Errorf("%w: sequence number %d, at most %d", ErrLimit, number, uint64(maxSequenceNumber)))
	}
	if id := of.content.ComponentID; of == m.root && id != nil && !of.rights(Access{Component: id}) {
		return of.refusal(keyComponentID, id, ErrUnauthorized)
	}
	if f := m.checkElements(of); f != nil {
		return f
	}
	sections := append([]suit.Section{suit.SectionShared}, m.proc.sections...)
	if m.proc.foreseen != nil {
		sections = append(sections, m.proc.foreseen(m)...)
	}
	for _, section := range sections {
		if sequence, ok := of.content.Section(section); ok {
			if f := m.checkSection(of, section, sequence); f != nil {
				return f
			}
		}
	}
	return m.checkCompatibility(of)
}

// checkElements refuses parts of the manifest that would have to be acted on.
func (m *machine) checkElements(of *manifest) *Failure {
	for _, d := range of.content.Common.Dependencies {
		if d.Prefix != nil && d.Index < uint64(len(of.content.Common.Components)) {
			// It would be one for all components of the dependency.
			return of.refusal(suit.SectionShared, nil, fmt.Errorf("%w: prefix %s of dependency %d, which has an id", ErrUnsupportedElement, d.Prefix, d.Index))
		}
		for key := range d.Extensions {
			return of.refusal(suit.SectionShared, nil, fmt.Errorf("%w: key %d of dependency %d", ErrUnsupportedElement, key, d.Index))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(of.content.Common.Extensions)) {
		return of.refusal(suit.SectionShared, nil, fmt.Errorf("%w: key %d of common", ErrUnsupportedElement, key))
	}
	for _, key := range slices.Sorted(maps.Keys(of.content.Extensions)) {
		if key != extensionCoSWID {
			return of.refusal(suit.Section(key), nil, fmt.Errorf("%w: key %d", ErrUnsupportedElement, key))
		}
	}
	present := 0
	for _, section := range m.proc.sections {
		element, ok := of.content.Sections[section]
		if ok && element.Sequence == nil {
			return of.refusal(section, nil, fmt.Errorf("%w: %s", ErrSevered, section))
		}
		if ok {
			present++
		}
	}
	if present == 0 && of == m.root && !m.proc.optional {
		err := fmt.Errorf("%w: the manifest has no section for the %s procedure", ErrUnsupportedElement, m.proc.name)
		return of.refusal(keyManifest, nil, err)
	}
	return nil
}

// checkCompatibility wants the shared sequence to check vendor and class (section
// 6.2): without them the manifest would run on every device that trusts its signer.
func (m *machine) checkCompatibility(of *manifest) *Failure {
	for _, code := range []suit.CommandCode{suit.ConditionVendorIdentifier, suit.ConditionClassIdentifier} {
		if shared := of.content.Common.Shared; shared != nil && shared.Ensures(code) {
			continue
		}
		if err := m.bend(RuleCompatibility, "no %s in the shared sequence", code); err != nil {
			return of.refusal(suit.SectionShared, nil, fmt.Errorf("%w: %w", ErrIncompatible, err))
		}
	}
	return nil
}

// checker walks the commands of one section as they would be executed: which components
// they are for is known without running them.
type checker struct {
	*machine
	of      *manifest
	section suit.Section
}

func (m *machine) checkSection(of *manifest, section suit.Section, sequence *suit.Sequence) *Failure {
	k := &checker{machine: m, of: of, section: section}
	first := sequence.Commands[0]
	if n := len(of.table); n > 1 && first.Code != suit.DirectiveSetComponentIndex && first.Code != suit.DirectiveOverrideMultiple {
		err := fmt.Errorf("%w: with %d components a sequence begins with set-component-index", ErrUnsupportedCommand, n)
		return k.failure(first, 0, err)
	}
	return k.sequence(sequence, []int{0}, 0)
}

func (k *checker) failure(c suit.Command, component int, err error) *Failure {
	return &Failure{
		Reason: reasonFor(err), Manifest: k.of.path, Section: k.section, Command: c.Code, Offset: c.Offset,
		Component: component, name: k.config.Names.Of(c.Code), Err: err,
	}
}

func (k *checker) sequence(sequence *suit.Sequence, selected []int, depth int) *Failure {
	for _, c := range sequence.Commands {
		first := selected[0]
		if depth > k.config.Limits.Depth {
			return k.failure(c, first, fmt.Errorf("%w: sequences %d deep, at most %d", ErrLimit, depth, k.config.Limits.Depth))
		}
		var err error
		if selected, err = k.command(c, selected, depth); err != nil {
			return k.failure(c, first, err)
		}
		var nested []suit.Sequence
		switch arg := c.Argument.(type) {
		case *suit.Sequence:
			nested = []suit.Sequence{*arg}
		case *suit.Alternatives:
			nested = arg.Sequences
		}
		for i := range nested {
			if f := k.sequence(&nested[i], selected, depth+1); f != nil {
				return f
			}
		}
	}
	return nil
}

// command returns what is selected behind the command.
func (k *checker) command(c suit.Command, selected []int, depth int) ([]int, error) {
	if err := k.supported(c, selected); err != nil {
		return nil, err
	}
	switch arg := c.Argument.(type) {
	case suit.Index, suit.IndexList, suit.AllComponents:
		indices, err := k.of.indices(arg)
		slices.Sort(indices)
		return slices.Compact(indices), err
	case *suit.Parameters:
		if arg.SoftFailure != nil && depth == 0 {
			return nil, fmt.Errorf("%w: soft-failure outside try-each and run-sequence", ErrAbort)
		}
		return selected, errors.Join(k.allowed(selected, c.Code), k.parameters(arg, selected))
	case suit.ParameterSets:
		return k.parameterSets(arg, selected, c.Code)
	case suit.ParameterCopies:
		return selected, errors.Join(k.allowed(selected, c.Code), k.parameterCopies(arg, selected))
	}
	return selected, k.allowed(selected, c.Code)
}

// supported tells whether the device can do that, there.
func (k *checker) supported(c suit.Command, selected []int) error {
	if c.Code.IsCustom() {
		if _, ok := k.config.Custom[c.Code]; !ok || k.section == suit.SectionShared {
			return fmt.Errorf("%w: a custom one, in %s", ErrUnsupportedCommand, k.section)
		}
		return nil
	}
	known, ok := commands[c.Code]
	switch {
	case !ok:
		return ErrUnsupportedCommand
	case c.Code == suit.DirectiveUnlink && storing.allows(k.section):
		if err := k.bend(RuleUnlink, "in %s", k.section); err != nil {
			return fmt.Errorf("%w: %w", ErrUnsupportedCommand, err)
		}
		return nil
	case !known.where.allows(k.section):
		return fmt.Errorf("%w: not in %s", ErrUnsupportedCommand, k.section)
	}
	if lacks := k.lacks(c.Code); lacks != "" {
		return fmt.Errorf("%w: %s", ErrUnsupportedCommand, lacks)
	}
	switch c.Code {
	case suit.DirectiveProcessDependency, suit.ConditionDependencyIntegrity:
		if !slices.ContainsFunc(selected, func(i int) bool { return k.of.table[i].dependency }) {
			return ErrNotDependency
		}
	}
	return nil
}

// lacks says why the device cannot execute a command that this package knows.
func (m *machine) lacks(code suit.CommandCode) string {
	switch {
	case code == suit.ConditionComponentSlot && m.slots == nil:
		return "the device has no slots"
	case code == suit.DirectiveInvoke && m.config.Invoke == nil:
		return "the device invokes nothing"
	case code == suit.DirectiveWait && m.config.Circumstances.Wait == nil:
		return "the device cannot wait"
	}
	return ""
}

// allowed asks for the right to a command on each of the components.
func (k *checker) allowed(selected []int, code suit.CommandCode) error {
	for _, i := range selected {
		if code == suit.DirectiveProcessDependency && !k.of.table[i].dependency {
			continue // nothing is done to it
		}
		id := k.of.table[i].id
		if !k.of.rights(Access{Component: id, Command: code}) {
			return fmt.Errorf("%w: %s on %q", ErrUnauthorized, code, id)
		}
	}
	return nil
}
