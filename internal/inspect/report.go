package inspect

import (
	"strconv"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

const (
	secReport       = "draft-ietf-suit-report-18 section 4"
	secRecord       = "draft-ietf-suit-report-18 section 3"
	secCapabilities = "draft-ietf-suit-report-18 section 6"
)

// Keys of a SUIT_Report.
const (
	reportNonce        = 2
	reportRecords      = 3
	reportResult       = 4
	reportCapabilities = 8
	reportReference    = 99

	// Tamarack's own.
	reportBent    = suit.ReportBentRules
	reportLeftOut = suit.ReportLeftOut
)

func looksReport(it item) bool {
	_, reference := it.get(reportReference)
	return reference || it.has(reportRecords, item.isArray) && it.isMap() || isOldReport(it)
}

// isOldReport tells the form of early drafts, which the TEEP draft still shows.
func isOldReport(it item) bool {
	return it.has(1, item.isBytes) && it.has(2, item.isText) && it.has(reportResult, item.isArray)
}

// report shows a SUIT_Report.
func report(r *reader, it item) Node {
	if isOldReport(it) {
		r.lint(SeverityWarning, secReport, "stale form: manifest digest and URI under 1 and 2, and records as maps under 4, where -18 has 99 and arrays under 3")
		return oldReport(r, it)
	}
	return mapOf(labels{
		reportNonce:        {"nonce", digits},
		reportRecords:      {"records", arrayOf(either(item.isMap, propertyClaims, record))},
		reportResult:       {"result", either(item.isBool, plain, failure)},
		reportCapabilities: {"capability-report", maybeWrapped(capabilities)},
		reportReference:    {"reference", reference},
		reportBent:         {"rules bent (Tamarack)", arrayOf(text)},
		reportLeftOut:      {"records left out (Tamarack)", uinteg},
	})(r, it)
}

var oldReport = mapOf(labels{
	1: {"manifest-digest", wrapped(digest)}, 2: {"manifest-uri", text},
	reportResult: {"records", arrayOf(mapOf(labels{
		1: {"manifest-id", plain}, 2: {"manifest-section", names(section)}, 3: {"section-offset", uinteg},
		5: {"dependency-index", plain}, 6: {"failure-reason", plain},
	}))},
})

func section(n int64) string { return suit.Section(n).String() }

// reference shows a SUIT_Reference, [uri, digest], or the map of early drafts.
func reference(r *reader, it item) Node {
	if it.isMap() {
		r.lint(SeverityWarning, secReport, "SUIT_Reference as a map, where -18 has an array")
		return mapOf(labels{0: {"digest", maybeWrapped(digest)}, 1: {"uri", text}})(r, it)
	}
	return tuple(2, field{"uri", text}, field{"digest", maybeWrapped(digest)})(r, it)
}

func looksReference(it item) bool {
	return it.isArray() && len(it.items) == 2 && it.items[0].isText() ||
		it.isMap() && it.has(1, item.isText) && it.has(0, item.isArray)
}

func record(r *reader, it item) Node {
	return inSection(secRecord, tuple(5,
		field{"manifest-id", plain}, field{"manifest-section", names(section)},
		field{"section-offset", uinteg}, field{"component-index", uinteg}, field{"properties", parameters},
	))(r, it)
}

func failure(r *reader, it item) Node {
	return mapOf(labels{
		5: {"result-code", plain},
		6: {"result-record", record},
		7: {"result-reason", names(func(n int64) string { return suit.ReportReason(n).String() })},
	})(r, it)
}

// propertyClaims shows system-property-claims, those of TEEP's tc-list too.
func propertyClaims(r *reader, it item) Node {
	return mapBy(func(key item) field {
		if key.is(0) {
			return field{"component-id", componentID}
		}
		return parameter(key)
	})(r, it)
}

// capabilities shows a SUIT_Capability_Report.
func capabilities(r *reader, it item) Node {
	known := labels{
		1: {"components", arrayOf(either(item.isArray, anyComponent, plain))},
		2: {"commands", arrayOf(names(commandName))}, 3: {"parameters", arrayOf(names(parameterName))}, 4: {"algorithms", arrayOf(algorithm)},
		5: {"envelope", keysOf(envelopeKeys)}, 6: {"manifest", keysOf(manifestKeys)}, 7: {"common", keysOf(commonKeys)},
		8: {"text", keysOf(textKeys)}, 9: {"component-text", keysOf(componentTextKeys)}, 10: {"dependency", keysOf(dependencyKeys)},
	}
	return inSection(secCapabilities, mapBy(func(key item) field {
		if path, ok := integers(key); ok {
			return capabilityPath(path)
		}
		label, _ := key.integer()
		return known[label]
	}))(r, it)
}

func keysOf(known keyNames) shape { return arrayOf(table(known.names)) }

// capabilityPath names the keys that lead, from the envelope, to the structure of which
// the keys are listed.
func capabilityPath(path []int64) field {
	at, steps := envelopeKeys, make([]string, len(path))
	for i, key := range path {
		steps[i] = at.names[key]
		if steps[i] == "" {
			steps[i] = strconv.FormatInt(key, 10)
		}
		at = at.below(key)
	}
	return field{"path " + strings.Join(steps, "."), keysOf(at)}
}

// keyNames are the keys of a structure, and of those below it.
type keyNames struct {
	names map[int64]string
	more  map[int64]*keyNames
}

func (k keyNames) below(key int64) keyNames {
	if more := k.more[key]; more != nil {
		return *more
	}
	return keyNames{}
}

func namesOf(known labels) map[int64]string {
	names := map[int64]string{}
	for key, f := range known {
		names[key] = f.name
	}
	return names
}

// The keys of what a capability report tells of. They are set in init, for the shapes
// that they are the names of hold each other.
var envelopeKeys, manifestKeys, commonKeys, textKeys, componentTextKeys, dependencyKeys keyNames

func init() {
	componentTextKeys.names, textKeys.names = namesOf(componentTextFields), namesOf(textFields)
	dependencyKeys.names = namesOf(dependencyFields)
	commonKeys = keyNames{namesOf(commonFields()), map[int64]*keyNames{keyDependencies: &dependencyKeys}}
	manifestKeys = keyNames{namesOf(manifestFields()), map[int64]*keyNames{keyCommon: &commonKeys, keyTexts: &textKeys}}
	envelopeKeys = keyNames{namesOf(severableFields()), map[int64]*keyNames{keyManifest: &manifestKeys, keyTexts: &textKeys}}
	envelopeKeys.names[keyAuthentication], envelopeKeys.names[keyManifest] = "authentication", "manifest"
}

// anyComponent is a component identifier that may end with true, for all below it.
func anyComponent(r *reader, it item) Node {
	if last := len(it.items) - 1; last >= 0 && it.items[last].isBool() {
		it.items = it.items[:last]
		n := componentID(r, it)
		n.Text += "/*"
		return n
	}
	return componentID(r, it)
}
