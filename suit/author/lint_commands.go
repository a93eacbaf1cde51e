package author

import (
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// needs are the parameters that a command fails without.
var needs = map[suit.CommandCode]suit.ParameterCode{
	suit.ConditionVendorIdentifier:    suit.ParameterVendorID,
	suit.ConditionClassIdentifier:     suit.ParameterClassID,
	suit.ConditionDeviceIdentifier:    suit.ParameterDeviceID,
	suit.ConditionImageMatch:          suit.ParameterImageDigest,
	suit.ConditionImageNotMatch:       suit.ParameterImageDigest,
	suit.ConditionDependencyIntegrity: suit.ParameterImageDigest,
	suit.ConditionUseBefore:           suit.ParameterUseBefore,
	suit.ConditionComponentSlot:       suit.ParameterComponentSlot,
	suit.ConditionCheckContent:        suit.ParameterContent,
	suit.ConditionMinimumBattery:      suit.ParameterMinimumBattery,
	suit.ConditionVersion:             suit.ParameterVersion,
	suit.DirectiveWait:                suit.ParameterWaitInfo,
	suit.DirectiveFetch:               suit.ParameterURI,
	suit.DirectiveWrite:               suit.ParameterContent,
	suit.DirectiveCopy:                suit.ParameterSourceComponent,
	suit.DirectiveSwap:                suit.ParameterSourceComponent,
}

// writers change the component.
var writers = []suit.CommandCode{suit.DirectiveFetch, suit.DirectiveWrite, suit.DirectiveCopy, suit.DirectiveSwap}

// command executes one that has only a reporting policy, or that nobody knows.
func (f *frame) command(path string, code suit.CommandCode, index int) {
	if f.steps--; f.steps <= 0 {
		return
	}
	if f.observe != nil && f.depth == 0 {
		f.observe(f, code, index)
	}
	f.where(path, code)
	f.parameter(path, code, index)
	t := f.track(index)
	switch code {
	case suit.ConditionImageMatch:
		t.obtained, t.checked = "", true
	case suit.ConditionDependencyIntegrity:
		t.obtained, t.checked, t.integrity = "", true, true
	case suit.DirectiveProcessDependency:
		f.process(path, index)
		return
	case suit.DirectiveInvoke:
		if !t.checked {
			f.find(Error, "invoke-unchecked", path, fmt.Sprintf("%s is started, and nothing has compared it with a digest", f.table[index].ID),
				"check it with image-match in the validate section")
		}
	case suit.DirectiveUnlink:
		t.unlinked = true
	}
	if slices.Contains(writers, code) {
		t = f.write(path, code, index, t)
	}
	f.keep(index, t)
}

// where says that a command stands in a wrong place.
func (f *frame) where(path string, code suit.CommandCode) {
	known := code.IsCondition() || code.String() != fmt.Sprintf("command %d", int64(code))
	switch {
	case !known && !code.IsCustom():
		f.find(Error, "unknown-command", path, fmt.Sprintf("%s is not registered", code), "devices refuse what they do not know; private commands begin at -257 and go down")
	case f.section == suit.SectionShared && !code.IsCondition():
		f.find(Error, "shared-side-effect", path, "the shared sequence runs before every section and may only set parameters and check",
			"move the command into a section")
	case code == suit.DirectiveUnlink && f.section != suit.SectionUninstall:
		f.find(Error, "misplaced-command", path, fmt.Sprintf("unlink stands in the %s section", f.section), "move it into the uninstall section: what is written anew needs no unlink before")
	case code == suit.DirectiveInvoke && f.section != suit.SectionInvoke:
		f.find(Error, "misplaced-command", path, fmt.Sprintf("invoke stands in the %s section", f.section), "move it into the invoke section: it may not come back")
	case slices.Contains(writers, code) && (f.section == suit.SectionValidate || f.section == suit.SectionInvoke || f.section == suit.SectionUninstall):
		f.find(Error, "misplaced-command", path, fmt.Sprintf("%s changes a component in the %s section", code, f.section), "move it into the install or the load section")
	}
}

// parameter says that a parameter is never set. What a dependent may set for its
// dependency is only worth a note.
func (f *frame) parameter(path string, code suit.CommandCode, index int) {
	parameter, needed := needs[code]
	if t := f.track(index); !needed || t.parameters.Has(parameter) {
		return
	}
	severity, advice := Error, fmt.Sprintf("set %s before", parameter)
	if slices.Contains(writers, code) {
		severity, advice = Note, advice+", unless a manifest that depends on this one does"
	}
	f.find(severity, "missing-parameter", path, fmt.Sprintf("%s is not set for %s", parameter, f.table[index].ID), advice)
}

// write is what any of the writers does to the component.
func (f *frame) write(path string, code suit.CommandCode, index int, t track) track {
	id := f.table[index].ID
	if t.parameters.ImageSize == nil && code != suit.DirectiveSwap {
		f.find(Warning, "no-image-size", path, fmt.Sprintf("the size of %s is not said", id),
			"set image-size: without it a device cannot tell an endless download from a large one")
	}
	f.order(path, code, index, t)
	checked := false
	if from := t.parameters.SourceComponent; from != nil && *from < uint64(len(f.table)) && (code == suit.DirectiveCopy || code == suit.DirectiveSwap) {
		source := f.track(int(*from))
		checked = source.checked
		if code == suit.DirectiveSwap {
			source.obtained, source.checked = path, false
			f.keep(int(*from), source)
		}
	}
	if code == suit.DirectiveCopy && !checked && ctr(t.parameters.EncryptionInfo) {
		f.find(Warning, "ctr-without-digest", path, fmt.Sprintf("%s is decrypted under AES-CTR, and nothing has checked the ciphertext", id),
			"check the source with image-match first: AES-CTR does not notice a change, and a changed ciphertext is decrypted in full")
	}
	t.obtained, t.checked, t.integrity = path, false, false
	if code == suit.DirectiveCopy && checked && t.parameters.EncryptionInfo == nil {
		t.obtained, t.checked = "", true // the copy of a checked image is checked
	}
	return t
}

// order holds payloads to what has to come before them.
func (f *frame) order(path string, code suit.CommandCode, index int, t track) {
	if f.table[index].Dependency {
		return
	}
	if code == suit.DirectiveFetch && t.parameters.EncryptionInfo != nil {
		f.find(Error, "fetch-decrypts", path, fmt.Sprintf("%s is to be decrypted while it is fetched", f.table[index].ID),
			"fetch the ciphertext into a component of its own and copy it from there: devices decrypt on write and copy only")
	}
	for i, entry := range f.table {
		if entry.Dependency && !f.invoking && !f.track(i).integrity {
			f.find(Error, "payload-before-dependency", path, fmt.Sprintf("%s is written before the dependency %s was authenticated", f.table[index].ID, entry.ID),
				"fetch and check every dependency in the dependency-resolution section")
		}
	}
}

// process has the dependency run its part.
func (f *frame) process(path string, index int) {
	entry := f.table[index]
	if !entry.Dependency {
		f.find(Error, "no-dependency", path, fmt.Sprintf("%s is not among the dependencies", entry.ID), "list it, or select the dependency first")
		return
	}
	if !f.track(index).integrity {
		f.find(Error, "dependency-integrity", path, fmt.Sprintf("the dependency %s is processed before it was authenticated", entry.ID),
			"put dependency-integrity before process-dependency, in each procedure")
	}
	if !slices.Contains(f.processed[index], f.section) {
		f.processed[index] = append(f.processed[index], f.section)
	}
	if dep := f.dependency(index); dep != nil {
		f.known[index] = dep
		dep.run(f.section)
	}
}
