package suit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Pre-release identifiers of draft-ietf-suit-update-management-14 section 4.4.1.
var preReleases = map[string]int64{"rc": -1, "beta": -2, "alpha": -3}

const (
	lowestPreRelease  = -3
	maxReleaseNumbers = 3
)

// CheckVersion holds a version to draft-ietf-suit-update-management-14 section 4.4.1: one
// to three numbers, then at most one pre-release, which more numbers may follow. More than
// three are of another scheme than semantic versioning, which has no pre-releases.
func CheckVersion(version []int64) error {
	if len(version) == 0 {
		return malformed("empty version")
	}
	if len(version) > MaxVersionNumbers {
		return overLimit("version of %d numbers, at most %d", len(version), MaxVersionNumbers)
	}
	preRelease := slices.IndexFunc(version, func(n int64) bool { return n < 0 })
	switch {
	case preRelease < 0:
		return nil
	case preRelease == 0:
		return malformed("version that begins with a pre-release")
	case preRelease > maxReleaseNumbers:
		return malformed("version of %d numbers before a pre-release, at most %d", preRelease, maxReleaseNumbers)
	case version[preRelease] < lowestPreRelease:
		return malformed("%d in a version is no pre-release: want -1 (rc), -2 (beta) or -3 (alpha)", version[preRelease])
	case slices.ContainsFunc(version[preRelease+1:], func(n int64) bool { return n < 0 }):
		return malformed("version with two pre-releases")
	}
	return nil
}

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
		return version, CheckVersion(version)
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
	if err := CheckVersion(version); err != nil {
		return nil, fmt.Errorf("version %q: %w", s, err)
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
