package suit

import (
	"fmt"
	"strconv"
	"strings"
)

// Pre-release identifiers of draft-ietf-suit-update-management-14 section 4.4.1.
var preReleases = map[string]int64{"rc": -1, "beta": -2, "alpha": -3}

// ParseVersion turns a version in the manner of semantic versioning, "1.2.3" or
// "1.2-rc.3", into the array of a suit-set-version
// (draft-ietf-suit-update-management-14 section 4.4.1). There is no place in the
// array for build metadata ("+…").
func ParseVersion(s string) ([]int64, error) {
	refused := func(why string) error { return fmt.Errorf("version %q: %s", s, why) }
	release, pre, isPre := strings.Cut(s, "-")
	version, ok := appendNumbers(nil, release)
	if !ok {
		return nil, refused("want numbers separated by dots, for example 1.2.3 or 1.2-rc.3")
	}
	if !isPre {
		return version, nil
	}
	name, number, numbered := strings.Cut(pre, ".")
	code, known := preReleases[name]
	if !known {
		return nil, refused("a pre-release is one of alpha, beta, rc")
	}
	version = append(version, code)
	if numbered {
		if version, ok = appendNumbers(version, number); !ok {
			return nil, refused("want numbers behind " + name + ".")
		}
	}
	return version, nil
}

func appendNumbers(version []int64, s string) ([]int64, bool) {
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 || strings.HasPrefix(part, "+") {
			return nil, false
		}
		version = append(version, n)
	}
	return version, true
}

// FormatVersion writes the form that ParseVersion reads; an unknown negative number
// stays a number.
func FormatVersion(version []int64) string {
	var b strings.Builder
	for i, n := range version {
		name := ""
		for known, code := range preReleases {
			if n == code {
				name = known
			}
		}
		switch {
		case name != "":
			b.WriteString("-" + name)
		case i > 0:
			b.WriteString("." + strconv.FormatInt(n, 10))
		default:
			b.WriteString(strconv.FormatInt(n, 10))
		}
	}
	return b.String()
}
