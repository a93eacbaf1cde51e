package inspect

import (
	"fmt"
	"strconv"

	"github.com/tamarack-tam/tamarack/suit"
)

const (
	secSUITTags       = "draft-ietf-suit-manifest-37 section 11"
	secSUITEnvelope   = "draft-ietf-suit-manifest-37 section 8.2"
	secSUITAuth       = "draft-ietf-suit-manifest-37 section 8.3"
	secSUITManifest   = "draft-ietf-suit-manifest-37 section 8.4"
	secSUITText       = "draft-ietf-suit-manifest-37 section 8.4.4"
	secSUITSections   = "draft-ietf-suit-manifest-37 section 8.4.6"
	secSUITParameters = "draft-ietf-suit-manifest-37 section 8.4.8"
	secSUITSevered    = "draft-ietf-suit-manifest-37 section 8.6"
	secSUITDigest     = "draft-ietf-suit-manifest-37 section 10"
	secVersion        = "draft-ietf-suit-update-management-14 section 4.4"
)

// Keys of envelope and manifest.
const (
	keyAuthentication = 2
	keyManifest       = 3
	keyCommon         = 3
	keyCoSWID         = 14
	keyTexts          = 23
)

// Keys of common, and of a dependency.
const (
	keyDependencies = 1
	keyComponents   = 2
	keyPrefix       = 1
)

func looksEnvelope(it item) bool {
	return it.has(keyManifest, item.isBytes) && it.has(keyAuthentication, item.isBytes)
}

func looksManifest(it item) bool {
	return it.has(1, item.isUint) && it.has(2, item.isUint) && it.has(keyCommon, item.isBytes)
}

// severable are the manifest keys that an envelope may carry (section 8.6).
var severable = []suit.Section{
	keyCoSWID, suit.SectionDependencyResolution, suit.SectionPayloadFetch,
	suit.SectionCandidateVerification, suit.SectionInstall, keyTexts,
}

// sectionFields are the members that a manifest and an envelope have alike.
func sectionFields() labels {
	known := labels{
		keyCoSWID: {"coswid", wrapped(as(KindCoSWID))},
		keyTexts:  {"text", wrapped(suitText)},
	}
	for _, s := range []suit.Section{
		suit.SectionValidate, suit.SectionLoad, suit.SectionInvoke, suit.SectionDependencyResolution,
		suit.SectionPayloadFetch, suit.SectionCandidateVerification, suit.SectionInstall, suit.SectionUninstall,
	} {
		known[int64(s)] = field{s.String(), wrapped(sequence)}
	}
	return known
}

// severableFields are those of them that an envelope may carry.
func severableFields() labels {
	known := sectionFields()
	for _, s := range []suit.Section{suit.SectionValidate, suit.SectionLoad, suit.SectionInvoke, suit.SectionUninstall} {
		delete(known, int64(s))
	}
	return known
}

// envelope shows a SUIT_Envelope, recomputes the digests and judges the signatures.
func envelope(r *reader, it item) Node {
	known := severableFields()
	inside, _ := it.get(keyManifest)
	known[keyAuthentication] = field{"authentication", wrapped(authentication(inside))}
	known[keyManifest] = field{"manifest", wrapped(as(KindManifest))}
	around := r.components
	r.components = componentsOf(inside)
	n := mapBy(func(key item) field {
		if key.isText() {
			return field{"integrated " + printable(string(key.content)), integrated}
		}
		label, _ := key.integer()
		return known[label]
	})(r, it)
	r.components = around
	r.lintEnvelope(it)
	r.severed(it, inside)
	return n
}

// integrated is a payload, or the envelope of a dependency.
func integrated(r *reader, it item) Node { return payload(r, it) }

func (r *reader) lintEnvelope(it item) {
	auth, manifest := -1, -1
	for i := 0; it.isMap() && i < len(it.items); i += 2 {
		switch {
		case it.items[i].is(keyAuthentication):
			auth = i
		case it.items[i].is(keyManifest):
			manifest = i
		}
	}
	switch {
	case manifest < 0:
		r.lint(SeverityError, secSUITEnvelope, "no manifest")
	case auth < 0:
		r.lint(SeverityError, secSUITAuth, "no authentication wrapper")
	case auth > manifest:
		r.lint(SeverityError, secSUITEnvelope, "the authentication wrapper stands behind the manifest")
	}
}

// authentication shows the digest of the manifest, compares it, and shows the blocks
// that sign it.
func authentication(manifest item) shape {
	return func(r *reader, it item) Node {
		if !it.isArray() || len(it.items) == 0 {
			return r.unfit(it, "an authentication wrapper, an array that begins with a digest")
		}
		signedDigest := it.items[0]
		n := Node{Type: "array"}
		n.Items = append(n.Items, r.named(field{"digest", wrapped(func(r *reader, it item) Node {
			if isDigest(it) && manifest.isBytes() {
				r.measure(digestOf(it), headOf(manifest.content))
			}
			return digest(r, it)
		})}, signedDigest))
		for i, block := range it.items[1:] {
			n.Items = append(n.Items, r.named(field{
				"block " + strconv.Itoa(i), wrapped(authenticationBlock(signedDigest.content)),
			}, block))
		}
		if len(it.items) == 1 {
			r.lint(SeverityWarning, secSUITAuth, "the envelope is not signed")
		}
		return n
	}
}

// authenticationBlock shows a COSE structure whose detached payload is the digest.
func authenticationBlock(digest []byte) shape {
	return func(r *reader, it item) Node {
		kind, ok := kindOf(it)
		if !ok || !kind.isCOSE() {
			return r.unfit(it, "an authentication block, a COSE structure")
		}
		if _, tags := it.untagged(); len(tags) == 0 {
			r.lint(SeverityError, secSUITAuth, "authentication block without a tag")
		}
		return r.cose(kind, it, coseContext{detached: append([]byte{}, digest...), section: secSUITAuth})
	}
}

// severed compares what the envelope carries with the digests in the manifest.
func (r *reader) severed(it, manifest item) {
	m, ok := r.peek(manifest)
	if !ok {
		return
	}
	for _, key := range severable {
		inManifest, described := m.get(int64(key))
		element, carried := it.get(int64(key))
		name := sectionFields()[int64(key)].name
		switch {
		case carried && described && isDigest(inManifest) && element.isBytes():
			r.within(name, func() { r.measure(digestOf(inManifest), headOf(element.content)) })
		case carried:
			r.lint(SeverityError, secSUITSevered, "%s is in the envelope, and the manifest has no digest of it", name)
		case described && isDigest(inManifest):
			r.lint(SeverityNote, secSUITSevered, "%s is severed, only its digest is here", name)
		}
	}
}

// peek parses what a byte string holds without showing it.
func (r *reader) peek(it item) (item, bool) {
	if !it.isBytes() {
		return item{}, false
	}
	inner, err := parseWhole(it.content, &r.budget, len(r.path))
	if err != nil {
		return item{}, false
	}
	inner, _ = inner.untagged()
	return inner, true
}

func manifestFields() labels {
	known := sectionFields()
	for _, key := range severable {
		f := known[int64(key)]
		known[int64(key)] = field{f.name, either(item.isArray, digest, f.show)}
	}
	known[1] = field{"manifest-version", uinteg}
	known[2] = field{"manifest-sequence-number", uinteg}
	known[keyCommon] = field{"common", wrapped(common)}
	known[4] = field{"reference-uri", text}
	known[5] = field{"manifest-component-id", componentID}
	known[6] = field{"set-version", maybeWrapped(version)}
	return known
}

// manifest shows a SUIT_Manifest.
func manifest(r *reader, it item) Node {
	around := r.components
	if len(around) == 0 {
		r.components = componentsInside(r, it)
	}
	n := mapOf(manifestFields())(r, it)
	r.components = around
	r.lintManifest(it)
	return n
}

// oldSections are the manifest keys of drafts before -28, by what they meant.
var oldSections = map[int64]string{
	10: "validate (now 7)", 11: "load (now 8)", 12: "run (now invoke, 9)", 13: "text (now 23)", 17: "install (now 20)",
}

func (r *reader) lintManifest(it item) {
	for i := 0; it.isMap() && i < len(it.items); i += 2 {
		label, ok := it.items[i].integer()
		if old, stale := oldSections[label]; ok && stale {
			r.lint(SeverityWarning, secSUITSections, "stale key %d: it was %s", label, old)
		}
	}
	invoke, _ := it.get(int64(suit.SectionInvoke))
	_, installs := it.get(int64(suit.SectionInstall))
	if seq, ok := r.peek(invoke); ok && !installs && fetches(seq) {
		r.lint(SeverityWarning, secSUITSections, "stale key 9: the sequence stores something, as install did there before draft -17 (now 20); 9 is invoke")
	}
	if v, ok := it.get(1); ok && !v.is(suit.ManifestVersion) {
		r.lint(SeverityError, "draft-ietf-suit-manifest-37 section 8.4.1", "manifest version is not %d", suit.ManifestVersion)
	}
}

// fetches reports whether a sequence fetches, copies or writes.
func fetches(seq item) bool {
	for i := 0; seq.isArray() && i < len(seq.items); i += 2 {
		switch code, _ := seq.items[i].integer(); suit.CommandCode(code) {
		case suit.DirectiveFetch, suit.DirectiveCopy, suit.DirectiveWrite:
			return true
		}
	}
	return false
}

var dependencyFields = labels{keyPrefix: {"prefix", componentID}}

func commonFields() labels {
	return labels{
		keyDependencies: {"dependencies", mapBy(func(item) field { return field{"", mapOf(dependencyFields)} })},
		keyComponents:   {"components", arrayOf(componentID)},
		4:               {"shared-sequence", wrapped(sequence)},
	}
}

func common(r *reader, it item) Node { return mapOf(commonFields())(r, it) }

// componentsOf lists the components of the manifest in a byte string, as paths.
func componentsOf(wrappedManifest item) []string {
	quiet := &reader{budget: maxItems}
	m, ok := quiet.peek(wrappedManifest)
	if !ok {
		return nil
	}
	return componentsInside(quiet, m)
}

// componentsInside names what the component indices of a manifest point into: the
// components that are listed, then the dependencies beyond them by their prefix
// ([suit.Common.Table]).
func componentsInside(r *reader, manifest item) []string {
	c, _ := manifest.get(keyCommon)
	c, _ = r.peek(c)
	list, _ := c.get(keyComponents)
	var paths []string
	for _, id := range list.items {
		paths = append(paths, pathOf(id))
	}
	dependencies, _ := c.get(keyDependencies)
	for i := 0; dependencies.isMap() && i < len(dependencies.items); i += 2 {
		prefix, named := dependencies.items[i+1].get(keyPrefix)
		if named && dependencies.items[i].is(int64(len(paths))) {
			paths = append(paths, pathOf(prefix))
		}
	}
	return paths
}

// pathOf is the path of a component id, or empty for what is none.
func pathOf(id item) string {
	if !isComponentID(id) {
		return ""
	}
	return componentID(&reader{}, id).Text
}

func looksText(it item) bool {
	return it.isMap() && len(it.items) > 0 && isComponentID(it.items[0]) && it.items[1].isMap() ||
		it.isMap() && len(it.items) > 0 && it.items[0].isText() && it.items[1].isMap() &&
			it.items[1].has(1, item.isText)
}

var componentTextFields = labels{
	1: {"vendor-name", text}, 2: {"model-name", text}, 3: {"vendor-domain", text}, 4: {"model-info", text},
	5: {"component-description", text}, 6: {"component-version", text},
	7: {"version-required", text}, 8: {"current-version", text},
}

var textFields = labels{
	1: {"manifest-description", text}, 2: {"update-description", text},
	3: {"manifest-json-source", text}, 4: {"manifest-yaml-source", text},
}

// suitText shows a SUIT_Text_Map, or the texts of one language.
func suitText(r *reader, it item) Node {
	components := mapOf(componentTextFields)
	language := func(key item) field {
		if isComponentID(key) {
			return field{componentID(r, key).Text, components}
		}
		label, _ := key.integer()
		return textFields[label]
	}
	return mapBy(func(key item) field {
		if key.isText() {
			return field{printable(string(key.content)), mapBy(language)}
		}
		return language(key)
	})(r, it)
}

func looksDigest(it item) bool {
	if !isDigest(it) || len(it.items[1].content) < 16 {
		return false
	}
	_, ok := digestOf(it).Algorithm.New()
	return ok
}

// looksVersion is a guess: few arrays of small integers are anything else here.
func looksVersion(it item) bool {
	numbers, ok := integers(it)
	if !ok || len(numbers) < 2 || len(numbers) > 8 || numbers[0] < 0 {
		return false
	}
	for _, n := range numbers {
		if n < -3 || n > 1<<20 {
			return false
		}
	}
	return true
}

func looksVersionMatch(it item) bool {
	return it.isArray() && len(it.items) == 2 && it.items[0].isUint() &&
		comparisons[int64(min(it.items[0].arg, 9))] != "" && it.items[1].all(func(e item) bool { _, ok := e.integer(); return ok })
}

// componentAt names what a component index points to.
func (r *reader) componentAt(index int64) string {
	if index >= 0 && index < int64(len(r.components)) && r.components[index] != "" {
		return r.components[index]
	}
	return fmt.Sprintf("component %d", index)
}
