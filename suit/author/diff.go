package author

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// Change is one thing that is different for a device that has one manifest and gets
// another.
type Change struct {
	// Kind is what sort of change it is: "sequence-number", "image".
	Kind string `json:"kind"`
	// Subject is the component, dependency, section, condition or language that it is
	// about; empty for the manifest.
	Subject string `json:"subject,omitempty"`
	// Before and After are the values; empty where there is none.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Text   string `json:"text"`
}

// Diff tells what changes for a device that has a and gets b, which are envelopes or
// bare manifests. Nothing is verified. The order is that of the manifest; none where
// both do the same.
func Diff(a, b []byte) ([]Change, error) {
	before, err := readFacts(a)
	if err != nil {
		return nil, fmt.Errorf("the first one: %w", err)
	}
	after, err := readFacts(b)
	if err != nil {
		return nil, fmt.Errorf("the second one: %w", err)
	}
	d := &differ{}
	d.manifest(before, after)
	d.sets("device", before.devices, after.devices, "it was for %s and is not any more", "it is for %s now")
	d.images(before, after)
	d.sets("dependency", before.dependencies, after.dependencies, "it does not depend on %s any more", "it depends on %s now")
	d.sets("condition", before.conditions, after.conditions, "%s is not demanded any more", "%s is demanded now")
	d.sections(before, after)
	d.sets("text", before.text, after.text, "the text %s goes", "the text %s is new")
	d.sets("signer", before.signers, after.signers, "%s does not sign any more", "%s signs now")
	return d.changes, nil
}

// facts are what a manifest means to a device.
type facts struct {
	m            *suit.Manifest
	components   []string // in the order of the list
	images       map[string]*imageFacts
	commands     map[suit.Section][]string
	conditions   []string
	devices      []string
	dependencies []string
	text         []string
	signers      []string
}

// imageFacts are what a component may end with. Alternatives make several of each.
type imageFacts struct{ digests, sizes, sources, metadata []string }

func readFacts(data []byte) (*facts, error) {
	e, m, err := decode(data)
	if err != nil {
		return nil, err
	}
	x := &facts{m: m, images: map[string]*imageFacts{}, commands: map[suit.Section][]string{}}
	for _, id := range m.Common.Components {
		x.components = append(x.components, id.String())
		x.images[id.String()] = &imageFacts{}
	}
	w := &walk{linter: &linter{seen: map[string]bool{}}, steps: maxLintSteps, observe: x.observe}
	w.through(m, e)
	for _, dep := range m.Common.Dependencies {
		x.addDependency(m, dep)
	}
	x.addText()
	if e != nil {
		x.addSigners(e)
	}
	return x, nil
}

// observe gathers what the commands do.
func (x *facts) observe(f *frame, code suit.CommandCode, index int) {
	entry, p := f.table[index], f.track(index).parameters
	name := entry.ID.String()
	if f.invoking && f.section == suit.SectionValidate {
		return // seen already
	}
	if f.section != suit.SectionShared {
		x.commands[f.section] = append(x.commands[f.section], fmt.Sprintf("%s %s", code, name))
	}
	switch code {
	case suit.ConditionVendorIdentifier:
		addTo(&x.devices, "vendor "+vendorText(&p))
	case suit.ConditionClassIdentifier:
		if p.ClassID != nil {
			addTo(&x.devices, "class "+p.ClassID.String())
		}
	case suit.ConditionDeviceIdentifier:
		if p.DeviceID != nil {
			addTo(&x.devices, "device "+p.DeviceID.String())
		}
	case suit.ConditionImageMatch, suit.ConditionDependencyIntegrity:
		if p.ImageDigest != nil && !entry.Dependency {
			addTo(&x.images[name].digests, p.ImageDigest.String())
		}
		if p.ImageDigest != nil && entry.Dependency {
			addTo(&x.dependencies, fmt.Sprintf("%s (%s)", name, p.ImageDigest))
		}
	default:
		if code.IsCondition() || code == suit.DirectiveWait || code.IsCustom() {
			addTo(&x.conditions, strings.TrimSpace(fmt.Sprintf("%s %s of %s", code, demanded(code, &p), name)))
		}
	}
	if slices.Contains(writers, code) && !entry.Dependency {
		x.obtained(f, code, x.images[name], &p)
	}
}

// obtained says where an image comes from and how it is stored.
func (x *facts) obtained(f *frame, code suit.CommandCode, image *imageFacts, p *suit.Parameters) {
	if p.ImageSize != nil {
		addTo(&image.sizes, fmt.Sprintf("%d bytes", *p.ImageSize))
	}
	source := code.String()
	switch {
	case code == suit.DirectiveFetch && p.URI != nil:
		source = *p.URI
	case code == suit.DirectiveWrite:
		source = "the manifest"
	case p.SourceComponent != nil && *p.SourceComponent < uint64(len(f.table)):
		source += " of " + f.table[*p.SourceComponent].ID.String()
	}
	if p.EncryptionInfo != nil {
		source += ", " + encryptionText(p.EncryptionInfo)
	}
	addTo(&image.sources, source)
	if p.Metadata != nil {
		addTo(&image.metadata, suit.SumSHA256(cosekit.MustMarshal(p.Metadata)).String())
	}
}

func encryptionText(info []byte) string {
	e, err := cosekit.ParseEncrypted(info)
	if err != nil {
		return "encrypted"
	}
	var keys []string
	for _, r := range e.Recipients {
		keys = append(keys, fmt.Sprintf("%x", r.KeyID))
	}
	return fmt.Sprintf("encrypted with %s to %s", cosekit.AlgorithmName(e.Content), strings.Join(keys, " and "))
}

func vendorText(p *suit.Parameters) string {
	if p.VendorID != nil {
		return p.VendorID.String()
	}
	return fmt.Sprintf("enterprise 0x%x", p.VendorPEN)
}

// demanded writes the parameter of a condition.
func demanded(code suit.CommandCode, p *suit.Parameters) string {
	switch {
	case code == suit.ConditionUseBefore && p.UseBefore != nil:
		return time.Unix(int64(min(*p.UseBefore, 1<<40)), 0).UTC().Format(time.RFC3339)
	case code == suit.ConditionMinimumBattery && p.MinimumBattery != nil:
		return fmt.Sprintf("%d mWh", *p.MinimumBattery)
	case code == suit.ConditionUpdateAuthorized && p.UpdatePriority != nil:
		return fmt.Sprintf("priority %d", *p.UpdatePriority)
	case code == suit.ConditionVersion && p.Version != nil:
		return p.Version.String()
	case code == suit.ConditionComponentSlot && p.ComponentSlot != nil:
		return fmt.Sprint(*p.ComponentSlot)
	case code == suit.ConditionImageNotMatch && p.ImageDigest != nil:
		return p.ImageDigest.String()
	case code == suit.DirectiveWait && p.WaitInfo != nil:
		return fmt.Sprintf("0x%x", cosekit.MustMarshal(p.WaitInfo))
	}
	return ""
}

// addDependency lists a dependency that no command checks.
func (x *facts) addDependency(m *suit.Manifest, dep suit.Dependency) {
	id := dep.Prefix
	if dep.Index < uint64(len(m.Common.Components)) {
		id = m.Common.Components[dep.Index]
	}
	checked := func(text string) bool { return strings.HasPrefix(text, id.String()+" (") }
	if !slices.ContainsFunc(x.dependencies, checked) {
		addTo(&x.dependencies, id.String()+" (unchecked)")
	}
}

func (x *facts) addText() {
	for _, tag := range slices.Sorted(maps.Keys(x.m.Text)) {
		l := x.m.Text[tag]
		for _, said := range []string{l.ManifestDescription, l.UpdateDescription} {
			if said != "" {
				x.text = append(x.text, fmt.Sprintf("%s: %q", tag, said))
			}
		}
		for _, c := range l.Components {
			for _, said := range []string{c.Description, c.Version} {
				if said != "" {
					x.text = append(x.text, fmt.Sprintf("%s: %s %q", tag, c.Component, said))
				}
			}
		}
	}
}

func (x *facts) addSigners(e *suit.Envelope) {
	for _, b := range e.UnverifiedBlocks() {
		for _, s := range b.Signatures {
			name := "a key without a name"
			if s.KeyID != nil {
				name = fmt.Sprintf("key %x", s.KeyID)
			}
			addTo(&x.signers, fmt.Sprintf("%s (%s)", name, cosekit.AlgorithmName(s.Algorithm)))
		}
		if b.MAC != nil {
			addTo(&x.signers, "a secret key ("+b.Structure+")")
		}
	}
}

func addTo(list *[]string, text string) {
	if !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// differ writes the changes.
type differ struct{ changes []Change }

func (d *differ) add(kind, subject, before, after, format string, args ...any) {
	d.changes = append(d.changes, Change{kind, subject, before, after, fmt.Sprintf(format, args...)})
}

func (d *differ) manifest(a, b *facts) {
	if x, y := a.m.ComponentID, b.m.ComponentID; !x.Equal(y) {
		d.add("manifest", "", x.String(), y.String(), "it is another manifest, %s and not %s: a device keeps both", y, x)
	}
	x, y := a.m.SequenceNumber, b.m.SequenceNumber
	switch before, after := fmt.Sprint(x), fmt.Sprint(y); {
	case y > x:
		d.add("sequence-number", "", before, after, "the sequence number goes up from %d to %d", x, y)
	case y < x:
		d.add("sequence-number", "", before, after, "the sequence number goes down from %d to %d: a device that has the first one refuses the second", x, y)
	case digestOf(a.m) != digestOf(b.m):
		d.add("sequence-number", "", before, after, "the sequence number stays %d although the manifest changes: a device takes either in place of the other", x)
	}
	if x, y := suit.FormatVersion(a.m.SetVersion), suit.FormatVersion(b.m.SetVersion); x != y {
		d.add("version", "", x, y, "the version is %s, that was %s", cmp.Or(y, "none"), cmp.Or(x, "none"))
	}
	if x, y := a.m.ReferenceURI, b.m.ReferenceURI; x != y {
		d.add("reference-uri", "", x, y, "the full manifest is at %s, that was %s", cmp.Or(y, "no address"), cmp.Or(x, "no address"))
	}
}

func digestOf(m *suit.Manifest) string {
	raw, err := m.Encode(false)
	if err != nil {
		return "" // it was decoded, so it can be encoded
	}
	return suit.SumSHA256(raw).String()
}

func (d *differ) images(a, b *facts) {
	for _, name := range a.components {
		if b.images[name] == nil {
			d.add("component-removed", name, strings.Join(a.images[name].digests, " or "), "",
				"%s is not listed any more: it goes when nothing else references it", name)
		}
	}
	for _, name := range b.components {
		x, y := a.images[name], b.images[name]
		if x == nil {
			d.add("component-added", name, "", strings.Join(y.digests, " or "), "%s is new: %s, %s", name,
				cmp.Or(strings.Join(y.sizes, " or "), "size not said"), cmp.Or(strings.Join(y.digests, " or "), "digest not said"))
			continue
		}
		d.values("image", name, "image", x.digests, y.digests)
		d.values("size", name, "size", x.sizes, y.sizes)
		d.values("source", name, "source", x.sources, y.sources)
		d.values("metadata", name, "metadata", x.metadata, y.metadata)
	}
}

func (d *differ) values(kind, name, what string, a, b []string) {
	if !slices.Equal(a, b) {
		before, after := strings.Join(a, " or "), strings.Join(b, " or ")
		d.add(kind, name, before, after, "the %s of %s is %s, that was %s", what, name, cmp.Or(after, "not said"), cmp.Or(before, "not said"))
	}
}

// sets compares lists whose order means nothing.
func (d *differ) sets(kind string, a, b []string, gone, come string) {
	for _, text := range a {
		if !slices.Contains(b, text) {
			d.add(kind, text, text, "", gone, text)
		}
	}
	for _, text := range b {
		if !slices.Contains(a, text) {
			d.add(kind, text, "", text, come, text)
		}
	}
}

// sections compares what is done in each, parameters aside.
func (d *differ) sections(a, b *facts) {
	for _, s := range slices.Concat(updateSections, []suit.Section{suit.SectionLoad, suit.SectionInvoke, suit.SectionUninstall}) {
		_, had := a.m.Sections[s]
		_, has := b.m.Sections[s]
		before, after := strings.Join(a.commands[s], ", "), strings.Join(b.commands[s], ", ")
		switch {
		case had && !has:
			d.add("section", s.String(), before, "", "the section %s is gone", s)
		case has && !had:
			d.add("section", s.String(), "", after, "the section %s is new: %s", s, after)
		case before != after:
			d.add("section", s.String(), before, after, "the section %s does other things: %s", s, after)
		}
	}
}
