package inspect

import (
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
)

const (
	secWait     = "draft-ietf-suit-update-management-14 section 4.5"
	secMetadata = "draft-ietf-suit-update-management-14 section 4.6"
)

// matched shows a version match, and says it in one line: ">=1.2".
func matched(r *reader, it item) Node {
	n := versionMatch(r, it)
	if !looksVersionMatch(it) {
		return n
	}
	numbers, _ := integers(it.items[1])
	n.Text = suit.VersionMatch{Comparison: suit.Comparison(it.items[0].arg), Version: numbers}.String()
	return n
}

// waitInfo shows a SUIT_Wait_Event.
var waitInfo = inSection(secWait, mapOf(labels{
	1: {"authorization", number}, 2: {"power", number}, 3: {"network", number},
	4: {"other-device-version", tuple(2, field{"other-device", words}, field{"other-device-version", arrayOf(matched)})},
	5: {"time", epoch},
	6: {"time-of-day", timeOfDay}, 7: {"day-of-week", dayOfWeek},
	8: {"time-of-day-utc", timeOfDay}, 9: {"day-of-week-utc", dayOfWeek},
}))

var number = names(func(int64) string { return "" })

// timeOfDay shows seconds since midnight, dayOfWeek days since Sunday.
func timeOfDay(r *reader, it item) Node {
	const day = 24 * 60 * 60
	return names(func(n int64) string {
		if n < 0 || n >= day {
			r.lint(SeverityError, secWait, "%d seconds since midnight, of %d", n, day)
			return ""
		}
		return time.Unix(n, 0).UTC().Format(time.TimeOnly)
	})(r, it)
}

func dayOfWeek(r *reader, it item) Node {
	return names(func(n int64) string {
		if n < int64(time.Sunday) || n > int64(time.Saturday) {
			r.lint(SeverityError, secWait, "day %d of the week", n)
			return ""
		}
		return time.Weekday(n).String()
	})(r, it)
}

// metadata shows a SUIT_Component_Metadata.
var metadata = inSection(secMetadata, mapOf(labels{
	1: {"default-permissions", permissions},
	2: {"user-permissions", actorPermissions}, 3: {"group-permissions", actorPermissions}, 4: {"role-permissions", actorPermissions},
	5: {"file-type", names(func(n int64) string { return suit.FileType(n).String() })},
	6: {"modification-time", epoch}, 7: {"creation-time", epoch},
	8: {"creator", actor},
}))

// permissionBits are the SUIT_meta_permission_bits, the lowest first.
var permissionBits = []string{
	"traverse_exec", "create_write", "list_read", "createdir_append", "read_attr", "read_perm", "change_perm",
	"change_owner", "write_attr", "recurse_delete", "delete", "sync", "read_attr_ex", "write_attr_ex",
}

func permissions(r *reader, it item) Node {
	return names(func(n int64) string {
		if n == 0 {
			return "none"
		}
		return strings.Join(bits(n, permissionBits), ", ")
	})(r, it)
}

// bits names the bits that are set, and says so where others are.
func bits(n int64, known []string) []string {
	var set []string
	for i, name := range known {
		if n&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if n < 0 || n >= 1<<len(known) {
		set = append(set, "bits that are not registered")
	}
	return set
}

// actorPermissions shows a SUIT_meta_permission_map.
var actorPermissions = mapBy(func(key item) field {
	inner, _ := key.untagged()
	name := actor(&reader{}, key).Text
	if inner.isText() {
		name = printable(string(inner.content))
	}
	return field{name, permissions}
})

// actor shows a SUIT_meta_actor_id: a tagged UUID, bytes, a text or a number.
func actor(r *reader, it item) Node {
	inner, tags := it.untagged()
	if len(tags) == 0 {
		return either(item.isBytes, digits, plain)(r, it)
	}
	uuid := identifier(r, inner)
	uuid.Tags = tags
	return uuid
}

// inSection reads an object that a section of its own describes.
func inSection(section string, show shape) shape {
	return func(r *reader, it item) Node {
		around := r.section
		r.section = section
		n := show(r, it)
		r.section = around
		return n
	}
}

// parameterName and commandName tell what is private from what nobody knows.
func parameterName(n int64) string {
	if code := suit.ParameterCode(n); !code.IsCustom() {
		return code.String()
	}
	return "private parameter"
}

func commandName(n int64) string {
	if code := suit.CommandCode(n); !code.IsCustom() {
		return code.String()
	}
	return "private command"
}
