package inspect

// Sections of draft-ietf-rats-corim, and the tags that say what an item is.
const (
	secCoRIM     = "draft-ietf-rats-corim section 4.1"
	secCoRIMMeta = "draft-ietf-rats-corim section 4.2.2"

	tagCoRIM    = 501
	tagOldCoRIM = 500
	tagCoSWID   = 505
	tagCoMID    = 506
	tagCoTL     = 508

	tagPSARefVal   = 601 // of files before draft-fdb-rats-psa-endorsements-04, not that of an EAT
	tagCCAPlatform = 602 // likewise

	corimTags = 1
)

// looksCoRIM tells a corim-map by its tags, each of which is tagged.
func looksCoRIM(it item) bool {
	_, named := it.get(0)
	return named && it.has(corimTags, func(tags item) bool {
		return len(tags.items) > 0 && tags.all(isCoRIMTag)
	})
}

func isCoRIMTag(it item) bool {
	_, tags := it.untagged()
	return len(tags) > 0 && (tags[0] == tagCoSWID || tags[0] == tagCoMID || tags[0] == tagCoTL)
}

// corimMap shows a corim-map, which tag 501 or a signature is around.
func corimMap(r *reader, it item) Node {
	return mapOf(labels{
		0:         {"id", plain},
		corimTags: {"tags", arrayOf(corimTag)},
		2:         {"dependent-rims", plain},
		3:         {"profile", plain},
		4:         {"rim-validity", rimValidity},
		5:         {"entities", arrayOf(rimEntity)},
	})(r, it)
}

var (
	rimValidity = mapOf(labels{0: {"not-before", epochOrTagged}, 1: {"not-after", epochOrTagged}})
	rimEntity   = mapOf(labels{0: {"entity-name", plain}, 1: {"reg-id", plain}, 2: {"role", plain}})
	corimMeta   = mapOf(labels{
		0: {"signer", mapOf(labels{0: {"signer-name", plain}, 1: {"signer-uri", plain}})},
		1: {"signature-validity", rimValidity},
	})
)

func epochOrTagged(r *reader, it item) Node { return either(item.isUint, epoch, plain)(r, it) }

// corimTag shows one tag of a CoRIM; a CoMID opened.
func corimTag(r *reader, it item) Node {
	inner, tags := it.untagged()
	if len(tags) != 1 || tags[0] != tagCoMID {
		return plain(r, it)
	}
	n := maybeWrapped(comid)(r, inner)
	n.Tags, n.Text = tags, tagNames[tagCoMID]
	return n
}

// comid shows a concise-mid-tag (draft-ietf-rats-corim section 5.1).
func comid(r *reader, it item) Node {
	return mapOf(labels{
		0: {"language", text},
		1: {"tag-identity", mapOf(labels{0: {"tag-id", plain}, 1: {"tag-version", uinteg}})},
		2: {"entities", arrayOf(rimEntity)},
		3: {"linked-tags", arrayOf(mapOf(labels{0: {"linked-tag-id", plain}, 1: {"tag-rel", table(linkedTags)}}))},
		4: {"triples", mapOf(labels{
			0: {"reference-triples", arrayOf(valueTriple)},
			1: {"endorsed-triples", arrayOf(valueTriple)},
			2: {"identity-triples", arrayOf(keyTriple)},
			3: {"attest-key-triples", arrayOf(keyTriple)},
			4: {"dependency-triples", plain}, 5: {"membership-triples", plain}, 6: {"coswid-triples", plain},
			8: {"conditional-endorsement-series-triples", plain}, 10: {"conditional-endorsement-triples", plain},
		})},
	})(r, it)
}

var linkedTags = map[int64]string{0: "supplements", 1: "replaces"}

var (
	environment = mapOf(labels{
		0: {"class", mapOf(labels{
			0: {"class-id", plain}, 1: {"vendor", text}, 2: {"model", text}, 3: {"layer", uinteg}, 4: {"index", uinteg},
		})},
		1: {"instance", plain}, 2: {"group", plain},
	})
	keyTriple = tuple(2, field{"environment", environment}, field{"keys", plain}, field{"conditions", plain})
)

// valueTriple shows an environment and what is measured there.
func valueTriple(r *reader, it item) Node {
	one := mapOf(labels{0: {"mkey", measuredElement}, 1: {"mval", measuredValues}, 2: {"authorized-by", plain}})
	list := either(item.isMap, one, arrayOf(one)) // an early draft has one without an array
	return tuple(2, field{"environment", environment}, field{"measurements", list})(r, it)
}

// measuredElement shows what a measurement is of. Two tags of older files stand for other
// things elsewhere.
func measuredElement(r *reader, it item) Node {
	inner, tags := it.untagged()
	show := plain
	switch {
	case len(tags) == 1 && tags[0] == tagPSARefVal:
		show = mapOf(labels{1: {"label", text}, 4: {"version", text}, 5: {"signer-id", digits}})
	case len(tags) != 1 || tags[0] != tagCCAPlatform:
		return plain(r, it)
	}
	n := show(r, inner)
	n.Tags = tags
	return n
}

func measuredValues(r *reader, it item) Node {
	return mapOf(labels{
		0: {"version", mapOf(labels{0: {"version", text}, 1: {"version-scheme", either(item.isText, plain, table(versionSchemes))}})},
		1: {"svn", plain}, 2: {"digests", arrayOf(namedDigest)}, 3: {"flags", plain}, 4: {"raw-value", plain},
		5: {"raw-value-mask", digits}, 6: {"mac-addr", digits}, 7: {"ip-addr", plain}, 8: {"serial-number", text},
		9: {"ueid", plain}, 10: {"uuid", plain}, 11: {"name", text}, 13: {"cryptokeys", plain},
		14: {"integrity-registers", mapBy(func(key item) field { return field{"", arrayOf(namedDigest)} })},
		15: {"int-range", plain},
	})(r, it)
}

// namedDigests are those of the IANA registry "Named Information Hash Algorithm" (RFC 6920).
var namedDigests = map[int64]string{1: "sha-256", 7: "sha-384", 8: "sha-512", 10: "sha3-256", 11: "sha3-384", 12: "sha3-512"}

var namedDigest = tuple(2, field{"alg", either(item.isText, plain, table(namedDigests))}, field{"val", digits})
