package author

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

// manifest looks at what is not executed.
func (l *linter) manifest(m *suit.Manifest, e *suit.Envelope) {
	if m.Version != suit.ManifestVersion {
		l.find(Error, "manifest-version", "manifest.version", fmt.Sprintf("the version of the manifest format is %d", m.Version),
			fmt.Sprintf("the format of today is version %d", suit.ManifestVersion))
	}
	if m.SequenceNumber == 0 {
		l.find(Warning, "sequence-number", "manifest.sequence-number", "the sequence number is 0",
			"begin with 1, and give each manifest that follows more: devices refuse a lower one than they have")
	}
	if m.ComponentID == nil {
		l.find(Warning, "unnamed-manifest", "manifest.manifest-component-id", "the manifest has no name",
			"set manifest-component-id: without it the manifest can be neither delivered by TEEP nor uninstalled by name")
	} else {
		l.componentID("manifest.manifest-component-id", m.ComponentID)
	}
	l.uri("manifest.reference-uri", m.ReferenceURI)
	l.components(m)
	l.text(m)
	for _, s := range slices.Sorted(maps.Keys(m.Sections)) {
		if d := m.Sections[s].Digest; d != nil && d.Algorithm != suit.SHA256 {
			l.digestAlgorithm("manifest."+s.String(), *d)
		}
	}
	if _, ok := m.Sections[suit.SectionUninstall]; !ok {
		l.find(Warning, "no-uninstall", "manifest.uninstall", "there is no uninstall section",
			"unlink every component there: the section cannot be added later to what is installed")
	}
	obtains := []suit.Section{suit.SectionDependencyResolution, suit.SectionPayloadFetch, suit.SectionInstall, suit.SectionValidate}
	if !slices.ContainsFunc(obtains, func(s suit.Section) bool { _, ok := m.Sections[s]; return ok }) {
		l.find(Error, "nothing-to-do", "manifest", "no section belongs to the update procedure", "add an install and a validate section")
	}
	l.integrated(m, e)
}

func (l *linter) components(m *suit.Manifest) {
	table, err := m.Common.Table()
	if err != nil {
		l.find(Error, "dependency-index", "manifest.common.dependencies", err.Error(),
			"number the dependencies behind the components, without a gap, each with a prefix")
	}
	for _, d := range m.Common.Dependencies {
		if d.Prefix != nil && d.Index < uint64(len(m.Common.Components)) {
			l.find(Error, "dependency-prefix", fmt.Sprintf("manifest.common.dependencies[%d]", d.Index),
				fmt.Sprintf("the dependency is a component already, and has the prefix %s", d.Prefix),
				"leave out the prefix, or number the dependency behind the components: devices do not put a dependency's components below a prefix")
		}
	}
	for i, entry := range table {
		path := fmt.Sprintf("manifest.common.components[%d]", i)
		if i >= len(m.Common.Components) {
			path = fmt.Sprintf("manifest.common.dependencies[%d]", i)
		}
		l.componentID(path, entry.ID)
		same := func(other suit.TableEntry) bool { return other.ID.Equal(entry.ID) }
		if slices.ContainsFunc(table[:i], same) || entry.ID.Equal(m.ComponentID) {
			l.find(Error, "component-twice", path, fmt.Sprintf("%s is there twice", entry.ID), "give each component, dependency and manifest an id of its own")
		}
	}
}

// componentID looks for names that a device with a file system could stumble over.
func (l *linter) componentID(path string, id suit.ComponentID) {
	if len(id) == 0 {
		l.find(Error, "component-id", path, "the component id is empty", "name the component, for example app/hello: an empty id is a device's only component at best")
	}
	for _, segment := range id {
		s := string(segment)
		if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\\\x00") {
			l.find(Error, "component-id", path, fmt.Sprintf("the segment %q could be read as a path", s), "devices that keep components as files refuse it: choose a plain name")
		}
	}
	if size := len(id.Key()); size > suit.MaxComponentSize/2 || len(id) > suit.MaxComponentSegments/2 {
		l.find(Warning, "component-id", path, fmt.Sprintf("the id has %d segments in %d bytes", len(id), size),
			"choose a shorter one: it stands in each inventory and each report")
	}
}

func (l *linter) text(m *suit.Manifest) {
	for _, tag := range slices.Sorted(maps.Keys(m.Text)) {
		for _, c := range m.Text[tag].Components {
			path := fmt.Sprintf("manifest.text.%s.%s", tag, c.Component)
			if c.Version == "" {
				l.find(Note, "text-version", path, fmt.Sprintf("the text does not say which version of %s this is", c.Component), "set its version: people cannot read digests")
			}
		}
	}
}

// uri looks for transport in the clear. Digests protect the payload there, but everybody
// sees who gets which update.
func (l *linter) uri(path, text string) {
	u, err := url.Parse(text)
	if err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		l.find(Warning, "http-uri", path, fmt.Sprintf("%s is fetched in the clear", text), "serve it by https: the agents of this project fetch nothing else")
	}
}

// integrated compares the payloads in the envelope with the names that are fetched.
func (l *linter) integrated(m *suit.Manifest, e *suit.Envelope) {
	if e == nil {
		return
	}
	names := e.IntegratedNames()
	fetched := map[string]bool{}
	for _, s := range append(slices.Sorted(maps.Keys(m.Sections)), suit.SectionShared) {
		seq, ok := m.Section(s)
		if !ok {
			continue
		}
		eachCommand(seq, "manifest."+s.String(), func(path string, c suit.Command) {
			for _, p := range parametersOf(c) {
				if p.URI == nil {
					continue
				}
				fetched[*p.URI] = true
				if strings.HasPrefix(*p.URI, "#") && !slices.Contains(names, *p.URI) {
					l.find(Error, "integrated-missing", path, fmt.Sprintf("%s is not in the envelope", *p.URI), "add the integrated payload")
				}
			}
		})
	}
	if severed, _ := e.Severed(); len(severed) > 0 || len(m.Common.Dependencies) > 0 {
		return // what is not here, or is a dependency's, may fetch them
	}
	for _, name := range names {
		if !fetched[name] {
			l.find(Warning, "integrated-unused", "envelope."+name, fmt.Sprintf("nothing fetches %s", name), "leave it out: the signature does not cover it")
		}
	}
}

// eachCommand visits the commands of a sequence and of those inside it.
func eachCommand(seq *suit.Sequence, path string, visit func(path string, c suit.Command)) {
	for i, c := range seq.Commands {
		at := fmt.Sprintf("%s[%d].%s", path, i, c.Code)
		visit(at, c)
		switch arg := c.Argument.(type) {
		case *suit.Sequence:
			eachCommand(arg, at, visit)
		case *suit.Alternatives:
			for k := range arg.Sequences {
				eachCommand(&arg.Sequences[k], fmt.Sprintf("%s[%d]", at, k), visit)
			}
		}
	}
}

// parametersOf returns all that a command sets.
func parametersOf(c suit.Command) []*suit.Parameters {
	switch arg := c.Argument.(type) {
	case *suit.Parameters:
		return []*suit.Parameters{arg}
	case suit.ParameterSets:
		var list []*suit.Parameters
		for _, i := range slices.Sorted(maps.Keys(arg)) {
			list = append(list, arg[i])
		}
		return list
	}
	return nil
}
