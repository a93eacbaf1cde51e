package inspect

import "github.com/tamarack-tam/tamarack/internal/cosekit"

const secCoSWID = "RFC 9393 section 2"

func looksCoSWID(it item) bool {
	tagID, ok := it.get(0)
	return ok && (tagID.isText() || tagID.isBytes()) && it.has(1, item.isText)
}

// coswidNames are the members of a CoSWID; a number means the same at every level.
var coswidNames = map[int64]string{
	0: "tag-id", 1: "software-name", 2: "entity", 3: "evidence", 4: "link", 5: "software-meta", 6: "payload",
	7: "hash", 8: "corpus", 9: "patch", 10: "media", 11: "supplemental", 12: "tag-version", 13: "software-version",
	14: "version-scheme", 15: "lang", 16: "directory", 17: "file", 18: "process", 19: "resource", 20: "size",
	21: "file-version", 22: "key", 23: "location", 24: "fs-name", 25: "root", 26: "path-elements",
	27: "process-name", 28: "pid", 29: "type", 31: "entity-name", 32: "reg-id", 33: "role", 34: "thumbprint",
	35: "date", 36: "device-id", 37: "artifact", 38: "href", 39: "ownership", 40: "rel", 41: "media-type",
	42: "use", 43: "activation-status", 44: "channel-type", 45: "colloquial-version", 46: "description",
	47: "edition", 48: "entitlement-data-required", 49: "entitlement-key", 50: "generator", 51: "persistent-id",
	52: "product", 53: "product-family", 54: "revision", 55: "summary", 56: "unspsc-code", 57: "unspsc-version",
}

var (
	coswidRoles  = map[int64]string{1: "tag-creator", 2: "software-creator", 3: "aggregator", 4: "distributor", 5: "licensor", 6: "maintainer"}
	coswidHashes = map[int64]string{1: "sha-256", 2: "sha-256-128", 7: "sha-384", 8: "sha-512", 9: "sha3-224", 10: "sha3-256", 11: "sha3-384", 12: "sha3-512"}
)

// coswid shows a concise-swid-tag.
func coswid(r *reader, it item) Node { return mapBy(coswidMember)(r, it) }

func coswidMember(key item) field {
	label, ok := key.integer()
	if !ok {
		return field{}
	}
	hash := tuple(2, field{"algorithm", table(coswidHashes)}, field{"value", digits})
	f := field{coswidNames[label], coswidValue}
	switch label {
	case 7, 34:
		f.show = hash
	case 14:
		f.show = either(item.isText, plain, table(versionSchemes))
	case 33:
		f.show = coswidRole
	case 35:
		f.show = epoch
	}
	return f
}

func coswidRole(r *reader, it item) Node {
	if it.isArray() {
		return arrayOf(coswidRole)(r, it)
	}
	return either(item.isText, plain, table(coswidRoles))(r, it)
}

// coswidValue shows one thing or an array of such: CoSWID writes both.
func coswidValue(r *reader, it item) Node {
	switch it.major {
	case cosekit.MajorMap:
		return coswid(r, it)
	case cosekit.MajorArray:
		return arrayOf(coswidValue)(r, it)
	}
	return plain(r, it)
}
