package inspect

import "github.com/tamarack-tam/tamarack/suit"

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
	around := r.section
	r.section = secRecord
	n := tuple(5,
		field{"manifest-id", plain}, field{"manifest-section", names(section)},
		field{"section-offset", uinteg}, field{"component-index", uinteg}, field{"properties", parameters},
	)(r, it)
	r.section = around
	return n
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

func capabilities(r *reader, it item) Node {
	around := r.section
	r.section = secCapabilities
	commands := names(func(n int64) string { return suit.CommandCode(n).String() })
	codes := names(func(n int64) string { return suit.ParameterCode(n).String() })
	n := mapOf(labels{
		1: {"components", arrayOf(either(item.isArray, anyComponent, plain))},
		2: {"commands", arrayOf(commands)}, 3: {"parameters", arrayOf(codes)}, 4: {"algorithms", arrayOf(algorithm)},
		5: {"envelope", plain}, 6: {"manifest", plain}, 7: {"common", plain},
		8: {"text", plain}, 9: {"component-text", plain}, 10: {"dependency", plain},
	})(r, it)
	r.section = around
	return n
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
