package processor

import (
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Capabilities says what manifests can ask for on this device
// (draft-ietf-suit-report-18 section 5). What is out of this package's sight the caller
// narrows: the components, of which the Host is asked one by one, and the algorithms of
// signatures.
func (p *Processor) Capabilities() *suit.Capabilities {
	m := newMachine(p.config, &update)
	out := &suit.Capabilities{
		Components: []suit.ComponentCapability{{ID: suit.ComponentID{}, Wildcard: true}},
		Commands:   slices.Sorted(maps.Keys(commands)),
		Parameters: p.parameters(m),
		Algorithms: p.algorithms(),
		Manifest: []int64{
			int64(keyVersion), int64(keySequenceNumber), 3, 4, int64(keyComponentID), 6, extensionCoSWID, 23,
		},
		Common: []int64{2, 4},
	}
	out.Commands = slices.DeleteFunc(out.Commands, func(code suit.CommandCode) bool { return m.lacks(code) != "" })
	for _, section := range slices.Concat(update.sections, uninstallation.sections) {
		out.Manifest = append(out.Manifest, int64(section))
	}
	if p.config.Invoke != nil {
		out.Manifest = append(out.Manifest, int64(suit.SectionLoad), int64(suit.SectionInvoke))
	}
	if p.config.Authority != nil {
		out.Common, out.Dependency = append(out.Common, 1), []int64{1}
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

// parameters are those that a command here reads.
func (p *Processor) parameters(m *machine) []suit.ParameterCode {
	list := []suit.ParameterCode{
		suit.ParameterVendorID, suit.ParameterClassID, suit.ParameterDeviceID, suit.ParameterImageDigest,
		suit.ParameterImageSize, suit.ParameterStrictOrder, suit.ParameterSoftFailure, suit.ParameterContent,
		suit.ParameterURI, suit.ParameterSourceComponent, suit.ParameterFetchArguments, suit.ParameterUseBefore,
		suit.ParameterMinimumBattery, suit.ParameterUpdatePriority, suit.ParameterVersion,
	}
	for code, has := range map[suit.ParameterCode]bool{
		suit.ParameterComponentSlot:     m.slots != nil,
		suit.ParameterEncryptionInfo:    !p.config.Keys.Empty(),
		suit.ParameterInvokeArgs:        p.config.Invoke != nil,
		suit.ParameterWaitInfo:          p.config.Circumstances.Wait != nil,
		suit.ParameterComponentMetadata: m.metadata != nil,
	} {
		if has {
			list = append(list, code)
		}
	}
	slices.Sort(list)
	return list
}

// algorithms are those of digests and, as far as there are keys, of encryption.
func (p *Processor) algorithms() []cosekit.Algorithm {
	list := []cosekit.Algorithm{
		cosekit.Algorithm(suit.SHA256), cosekit.Algorithm(suit.SHAKE128), cosekit.Algorithm(suit.SHA384),
		cosekit.Algorithm(suit.SHA512), cosekit.Algorithm(suit.SHAKE256),
	}
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
