package author

import (
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// builder fills the templates: compatibility check, component download, integrated
// payload, load and invoke of draft-ietf-suit-manifest-37 section 7, dependency and
// uninstall of draft-ietf-suit-trust-domains, decryption by write and copy of
// draft-ietf-suit-firmware-encryption.
type builder struct {
	*Description
	parts        []*part
	dependencies []*dependency
	sections     map[suit.Section]*sequence
}

// sequence is a command sequence in the making.
type sequence struct {
	suit.Sequence
	several  bool // components to select from
	selected int64
}

func (b *builder) newSequence() *sequence {
	components := len(b.dependencies)
	for _, p := range b.parts {
		components += 1 + count(p.Payload.staged())
	}
	return &sequence{several: components > 1, selected: -1}
}

// section returns the sequence of a section, which it begins where there is none.
func (b *builder) section(s suit.Section) *sequence {
	if b.sections[s] == nil {
		b.sections[s] = b.newSequence()
	}
	return b.sections[s]
}

func (s *sequence) add(code suit.CommandCode, argument suit.Argument) {
	s.Commands = append(s.Commands, suit.Command{Code: code, Argument: argument})
}

// at selects a component. A sequence begins so wherever there is more than one.
func (s *sequence) at(index uint64) *sequence {
	if s.several && s.selected != int64(index) {
		s.add(suit.DirectiveSetComponentIndex, suit.Index(index))
		s.selected = int64(index)
	}
	return s
}

func (s *sequence) override(p suit.Parameters) *sequence {
	if len(p.Codes()) > 0 {
		s.add(suit.DirectiveOverrideParameters, &p)
	}
	return s
}

// run adds commands that have only a reporting policy.
func (s *sequence) run(codes ...suit.CommandCode) *sequence {
	for _, code := range codes {
		s.add(code, suit.ReportAll)
	}
	return s
}

func (b *builder) manifest() (*suit.Manifest, error) {
	b.sections = map[suit.Section]*sequence{}
	m := &suit.Manifest{
		Version:        suit.ManifestVersion,
		SequenceNumber: b.SequenceNumber,
		Common:         b.common(),
		ReferenceURI:   b.ReferenceURI,
		ComponentID:    b.manifestComponent(),
		Sections:       map[suit.Section]suit.Severable{},
		Text:           b.text(),
	}
	if err := b.demand(); err != nil {
		return nil, err
	}
	b.process()
	for _, p := range b.parts {
		b.install(p)
	}
	b.start()
	if !b.NoUninstall {
		b.uninstall()
	}
	for s, seq := range b.sections {
		m.Sections[s] = suit.Severable{Sequence: &seq.Sequence}
	}
	return m, b.addElements(m)
}

// common lists the components, and says in the shared sequence for whom the manifest is
// and what the images are. What is said there holds in every section.
func (b *builder) common() suit.Common {
	var c suit.Common
	shared := b.newSequence()
	for _, p := range b.parts {
		c.Components = append(c.Components, p.ID)
		b.describe(shared.at(p.index), p.image)
	}
	for _, p := range b.parts {
		if p.Payload.staged() {
			c.Components = append(c.Components, p.Component.staging())
			b.describe(shared.at(p.staging), p.cipher)
		}
	}
	for _, dep := range b.dependencies {
		c.Dependencies = append(c.Dependencies, suit.Dependency{Index: dep.index, Prefix: dep.id})
		b.describe(shared.at(dep.index), Image{dep.digest, uint64(len(dep.envelope))})
	}
	c.Shared = &shared.Sequence
	return c
}

// describe sets what identifies the image of the component, and before the first one
// checks what identifies the device.
func (b *builder) describe(shared *sequence, image Image) {
	p := suit.Parameters{ImageDigest: &image.Digest, ImageSize: &image.Size}
	if shared.selected > 0 {
		shared.override(p)
		return
	}
	vendor, class := b.vendor(), b.class()
	p.VendorID, p.ClassID = &vendor, &class
	conditions := []suit.CommandCode{suit.ConditionVendorIdentifier, suit.ConditionClassIdentifier}
	if device := b.DeviceID; device != none {
		p.DeviceID = &device
		conditions = append(conditions, suit.ConditionDeviceIdentifier)
	}
	shared.override(p).run(conditions...)
}

// first is the section in which the update procedure begins.
func (b *builder) first() suit.Section {
	if len(b.dependencies) > 0 {
		return suit.SectionDependencyResolution
	}
	if slices.ContainsFunc(b.parts, func(p *part) bool { return p.Payload.staged() }) {
		return suit.SectionPayloadFetch
	}
	return suit.SectionInstall
}

// demand puts conditions and wait where the update begins: not into the shared
// sequence, which would ask for them again whenever the component is invoked.
func (b *builder) demand() error {
	c := &b.Conditions
	var p suit.Parameters
	var codes []suit.CommandCode
	if c.UseBefore != nil {
		seconds := uint64(c.UseBefore.Unix())
		p.UseBefore, codes = &seconds, append(codes, suit.ConditionUseBefore)
	}
	if c.MinimumBattery != nil {
		p.MinimumBattery, codes = c.MinimumBattery, append(codes, suit.ConditionMinimumBattery)
	}
	if c.UpdateAuthorized {
		p.UpdatePriority, codes = c.UpdatePriority, append(codes, suit.ConditionUpdateAuthorized)
	}
	if len(codes) > 0 {
		b.section(b.first()).at(0).override(p).run(codes...)
	}
	if err := b.demandOfComponent(); err != nil {
		return err
	}
	if b.Wait != nil {
		b.section(b.first()).at(0).override(suit.Parameters{WaitInfo: b.Wait}).run(suit.DirectiveWait)
	}
	return nil
}

// demandOfComponent checks what is installed now.
func (b *builder) demandOfComponent() error {
	c := &b.Conditions
	if len(c.Version)+len(c.ImageNotMatch) == 0 {
		return nil
	}
	about := b.part(c.Component)
	seq := b.section(b.first()).at(about.index)
	for _, match := range c.Version {
		seq.override(suit.Parameters{Version: &match}).run(suit.ConditionVersion)
	}
	for i := range c.ImageNotMatch {
		image, err := measureFile(c.ImageNotMatch[i])
		if err != nil {
			return err
		}
		seq.override(suit.Parameters{ImageDigest: &image.Digest}).run(suit.ConditionImageNotMatch)
	}
	if len(c.ImageNotMatch) > 0 { // what follows is about the new image again
		seq.override(suit.Parameters{ImageDigest: &about.image.Digest})
	}
	return nil
}

// part returns the component of that id, or the first where it is nil.
func (b *builder) part(id suit.ComponentID) *part {
	if id == nil {
		return b.parts[0]
	}
	return b.parts[slices.IndexFunc(b.parts, func(p *part) bool { return p.ID.Equal(id) })]
}

// process fetches the dependencies before anything else, and gives each of their
// sections its turn before our own.
func (b *builder) process() {
	for _, dep := range b.dependencies {
		resolution := b.section(suit.SectionDependencyResolution).at(dep.index)
		resolution.override(suit.Parameters{URI: &dep.uri}).run(suit.DirectiveFetch)
		check := []suit.CommandCode{suit.ConditionDependencyIntegrity, suit.DirectiveProcessDependency}
		resolution.run(check...)
		for _, s := range dep.sections() {
			if s != suit.SectionDependencyResolution {
				b.section(s).at(dep.index).run(check...)
			}
		}
	}
}

// install obtains the image, checks it, and checks it again in the validate section.
func (b *builder) install(p *part) {
	if p.Payload.LoadFrom != nil {
		b.section(suit.SectionLoad).at(p.index).override(suit.Parameters{SourceComponent: &p.source.index}).
			run(suit.DirectiveCopy, suit.ConditionImageMatch)
		return
	}
	parameters := suit.Parameters{Metadata: p.Metadata, EncryptionInfo: p.info, ComponentSlot: p.Slot}
	var obtain suit.CommandCode
	switch {
	case p.Payload.staged():
		b.section(suit.SectionPayloadFetch).at(p.staging).override(suit.Parameters{URI: &p.uri}).
			run(suit.DirectiveFetch, suit.ConditionImageMatch)
		parameters.SourceComponent, obtain = &p.staging, suit.DirectiveCopy
	case p.source != nil:
		parameters.SourceComponent, obtain = &p.source.index, suit.DirectiveCopy
	case p.Payload.inline():
		parameters.Content, obtain = p.kept, suit.DirectiveWrite
	default:
		parameters.URI, obtain = &p.uri, suit.DirectiveFetch
	}
	install := b.section(suit.SectionInstall).at(p.index).override(parameters)
	if p.Slot != nil {
		install.run(suit.ConditionComponentSlot)
	}
	install.run(obtain, suit.ConditionImageMatch)
	validate := b.section(suit.SectionValidate).at(p.index).run(suit.ConditionImageMatch)
	if p.SelfTest {
		validate.run(SelfTestCondition)
	}
}

// start transfers control.
func (b *builder) start() {
	if b.Invoke == nil {
		return
	}
	var p suit.Parameters
	if len(b.Invoke.Args) > 0 {
		p.InvokeArgs = cosekit.MustMarshal(b.Invoke.Args)
	}
	b.section(suit.SectionInvoke).at(b.part(b.Invoke.Component).index).override(p).run(suit.DirectiveInvoke)
}

// uninstall unlinks what the manifest references. The dependencies come last: nothing of
// ours needs them any more.
func (b *builder) uninstall() {
	seq := b.section(suit.SectionUninstall)
	for _, p := range b.parts {
		seq.at(p.index).run(suit.DirectiveUnlink)
	}
	for _, p := range b.parts {
		if p.Payload.staged() {
			seq.at(p.staging).run(suit.DirectiveUnlink)
		}
	}
	for _, dep := range b.dependencies {
		seq.at(dep.index).run(suit.DirectiveUnlink)
	}
}
