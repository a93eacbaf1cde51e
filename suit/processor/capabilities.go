package processor

import (
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Capabilities says what manifests can ask for on this device
// (draft-ietf-suit-report-18 section 6).
func (p *Processor) Capabilities() *suit.Capabilities {
	m := newMachine(p.config, &update)
	out := &suit.Capabilities{
		Components: p.components(),
		Commands:   slices.Sorted(maps.Keys(commands)),
		Parameters: p.parameters(m),
		Algorithms: p.algorithms(),
		Envelope: []int64{
			int64(suit.SectionAuthentication), 3, extensionCoSWID, int64(suit.SectionDependencyResolution),
			int64(suit.SectionPayloadFetch), int64(suit.SectionCandidateVerification), int64(suit.SectionInstall), 23,
		},
		Manifest: []int64{
			int64(keyVersion), int64(keySequenceNumber), 3, 4, int64(keyComponentID), 6, extensionCoSWID, 23,
		},
		Common: []int64{2, 4},
		// Nothing of the text is acted on, and all that is registered is read.
		Text:          []int64{1, 2, 3, 4},
		ComponentText: []int64{1, 2, 3, 4, 5, 6, 7, 8},
	}
	out.Commands = slices.DeleteFunc(out.Commands, func(code suit.CommandCode) bool {
		return m.lacks(code) != "" || p.unknowing(code)
	})
	for _, section := range slices.Concat(update.sections, uninstallation.sections) {
		out.Manifest = append(out.Manifest, int64(section))
	}
	if p.config.Invoke != nil {
		out.Manifest = append(out.Manifest, int64(suit.SectionLoad), int64(suit.SectionInvoke))
	}
	if p.config.Authority != nil {
		out.Common = append(out.Common, 1) // and no prefix for the components of a dependency
	}
	slices.Sort(out.Manifest)
	slices.Sort(out.Common)
	for code := range p.config.Custom {
		if code.IsCustom() {
			out.Commands = append(out.Commands, code)
		}
	}
	slices.Sort(out.Commands)
	return out
}

// components are those that the Host names, or all.
func (p *Processor) components() []suit.ComponentCapability {
	if host, ok := p.config.Host.(Selective); ok {
		if list := host.Components(); len(list) > 0 {
			return list
		}
	}
	return []suit.ComponentCapability{{ID: suit.ComponentID{}, Wildcard: true}}
}

// unknowing tells the conditions that hold nowhere on this device, as it does not know what
// they are about. A manifest with one is run all the same: there may be an alternative.
func (p *Processor) unknowing(code suit.CommandCode) bool {
	about := p.config.Circumstances
	switch code {
	case suit.ConditionUseBefore:
		return about.Clock == nil
	case suit.ConditionMinimumBattery:
		return about.Battery == nil
	case suit.ConditionUpdateAuthorized:
		return about.Authorize == nil
	}
	return false
}

// parameters are those that a command here reads.
func (p *Processor) parameters(m *machine) []suit.ParameterCode {
	list := []suit.ParameterCode{
		suit.ParameterVendorID, suit.ParameterClassID, suit.ParameterDeviceID, suit.ParameterImageDigest,
		suit.ParameterImageSize, suit.ParameterStrictOrder, suit.ParameterSoftFailure, suit.ParameterContent,
		suit.ParameterURI, suit.ParameterSourceComponent, suit.ParameterFetchArguments, suit.ParameterVersion,
	}
	for code, has := range map[suit.ParameterCode]bool{
		suit.ParameterComponentSlot:     m.slots != nil,
		suit.ParameterEncryptionInfo:    !p.config.Keys.Empty(),
		suit.ParameterInvokeArgs:        p.config.Invoke != nil,
		suit.ParameterWaitInfo:          p.config.Circumstances.Wait != nil,
		suit.ParameterComponentMetadata: m.metadata != nil,
		suit.ParameterUseBefore:         !p.unknowing(suit.ConditionUseBefore),
		suit.ParameterMinimumBattery:    !p.unknowing(suit.ConditionMinimumBattery),
		suit.ParameterUpdatePriority:    !p.unknowing(suit.ConditionUpdateAuthorized),
	} {
		if has {
			list = append(list, code)
		}
	}
	slices.Sort(list)
	return list
}

// algorithms are those of digests, of signatures and, as far as there are keys, of encryption.
func (p *Processor) algorithms() []cosekit.Algorithm {
	list := append([]cosekit.Algorithm{
		cosekit.Algorithm(suit.SHA256), cosekit.Algorithm(suit.SHAKE128), cosekit.Algorithm(suit.SHA384),
		cosekit.Algorithm(suit.SHA512), cosekit.Algorithm(suit.SHAKE256),
	}, p.config.Signatures...)
	if len(p.config.Keys.Secrets) > 0 {
		list = append(list, cosekit.A128KW, cosekit.A192KW, cosekit.A256KW)
	}
	if len(p.config.Keys.Agreements) > 0 {
		list = append(list, cosekit.ECDHESA128KW, cosekit.ECDHESA192KW, cosekit.ECDHESA256KW)
	}
	if !p.config.Keys.Empty() {
		list = append(list, cosekit.A128GCM, cosekit.A192GCM, cosekit.A256GCM, cosekit.ChaCha20Poly1305,
			cosekit.A128CTR, cosekit.A192CTR, cosekit.A256CTR)
	}
	return list
}
