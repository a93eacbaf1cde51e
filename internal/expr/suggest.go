package expr

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/common"
)

// fields are the names of the fields of our types.
func fields(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		names = append(names, f.Tag.Get("json"))
	}
	return names
}

var objects = map[string]reflect.Type{
	"device": reflect.TypeFor[Device](), "attested": reflect.TypeFor[Attested](), "result": reflect.TypeFor[Result](),
}

var elements = []reflect.Type{reflect.TypeFor[Agent](), reflect.TypeFor[Difference]()}

// suggestField looks among the fields of what stands before the dot, else, for the
// variable of a macro, among those of the elements of lists.
func suggestField(text string, at common.Location, name string) string {
	lines := strings.Split(text, "\n")
	var owner string
	if at.Line() >= 1 && at.Line() <= len(lines) {
		if runes := []rune(lines[at.Line()-1]); at.Column() <= len(runes) {
			head := strings.TrimRight(string(runes[:at.Column()]), " ")
			owner = head[strings.LastIndexFunc(head, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })+1:]
		}
	}
	if t, known := objects[owner]; known {
		return didYouMean(name, fields(t), owner+" has ")
	}
	var all []string
	for _, t := range elements {
		all = append(all, fields(t)...)
	}
	return didYouMean(name, all, "")
}

func suggestName(name string, k kind) string {
	if k == selection {
		switch name {
		case "now", "result", "claims":
			return "selectors are about device alone"
		}
	} else if k == appraisal && name == string(Pending) {
		return "pending is for admission policies: a known device is accepted, quarantined or rejected"
	}
	if name == "map" {
		return "of the macros there are has, all, exists, exists_one and filter"
	}
	names := []string{"true", "false"}
	for _, e := range reference(k) {
		if !strings.Contains(e.Name, ".") {
			names = append(names, strings.TrimSuffix(e.Name, "()"))
		}
	}
	return didYouMean(name, names, "")
}

// didYouMean names the nearest of the names if it is near enough to be meant, else, with
// a lead, all of them.
func didYouMean(name string, names []string, lead string) string {
	best, least := "", 1+max(1, len(name)/3)
	for _, candidate := range names {
		if d := distance(strings.ToLower(name), candidate); d < least {
			best, least = candidate, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case lead != "" && len(names) > 0:
		return lead + strings.Join(names, ", ")
	}
	return ""
}

// distance counts the letters to insert, delete, replace or swap with the next one to
// make b of a.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
