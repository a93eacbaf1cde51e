package expr

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/operators"
)

// ErrEvaluate: an evaluation came to no value. It is wrapped with the reason.
var ErrEvaluate = errors.New("cannot be evaluated")

// Error is a fault of a text. Its message shows the line, with a caret under the column.
type Error struct {
	Line, Column int    // from 1; 0 where the whole text is meant
	Text         string // what is wrong
	Hint         string // the next step; empty for none
	Source       string // the line
}

// Error writes the fault, the place and the hint, each on lines of their own.
func (e *Error) Error() string {
	if e.Line == 0 {
		return joinLines(e.Text, e.Hint)
	}
	line, column := excerpt(e.Source, e.Column)
	return joinLines(
		fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text),
		"  "+line,
		strings.Repeat(" ", column+1)+"^",
		e.Hint)
}

func joinLines(lines ...string) string {
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	}
	return strings.Join(lines, "\n")
}

// excerptWidth is how much of a long line a message shows.
const excerptWidth = 80

// excerpt returns the part of a line around a column, and the column in that part.
func excerpt(line string, column int) (string, int) {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' ' // a tab keeps its column
	}, line))
	from := max(0, min(column-excerptWidth/2, len(runes)-excerptWidth))
	to := min(len(runes), from+excerptWidth)
	part := string(runes[from:to])
	if from > 0 {
		part = "…" + string(runes[from+1:to])
	}
	if to < len(runes) {
		part += "…"
	}
	return part, column - from
}

// fault is an Error at a place of a text.
func fault(text string, at common.Location, hint, format string, args ...any) *Error {
	e := &Error{Text: fmt.Sprintf(format, args...), Hint: hint}
	lines := strings.Split(text, "\n")
	if at != nil && at.Line() >= 1 && at.Line() <= len(lines) {
		e.Line, e.Column, e.Source = at.Line(), at.Column()+1, lines[at.Line()-1]
	}
	return e
}

// firstIssue is the first of what CEL says about a text, in our words where it names
// what is not there.
func firstIssue(text string, k kind, issues *cel.Issues) *Error {
	first := issues.Errors()[0]
	for _, other := range issues.Errors() {
		if before(other.Location, first.Location) {
			first = other
		}
	}
	message := strings.TrimPrefix(first.Message, "Syntax error: ")
	if i := strings.Index(message, " expecting "); i >= 0 {
		message = message[:i] // what follows is every token that the grammar knows
	}
	at := first.Location
	switch {
	case strings.Contains(message, "<EOF>"):
		return fault(text, end(text), "a parenthesis, a quote or, after ? , the part behind : is missing", "the text ends too soon")
	case strings.Contains(message, "token recognition error at: '="):
		return fault(text, at, "to compare, write ==", "there is no operator =")
	case undefinedField.MatchString(message):
		name := undefinedField.FindStringSubmatch(message)[1]
		return fault(text, locate(text, at, name), suggestField(text, at, name), "there is no field %q", name)
	case undeclared.MatchString(message):
		name := undeclared.FindStringSubmatch(message)[1]
		return fault(text, locate(text, at, name), suggestName(name, k), "there is no variable or function %q here", name)
	case overload.MatchString(message):
		parts := overload.FindStringSubmatch(message)
		return fault(text, at, cmp.Or(usage[Verb(parts[1])], mixedHint(parts[2])), "%s does not go with %s", functionName(parts[1]), typeNames(parts[2]))
	}
	return fault(text, at, "", "%s", typeNames(message))
}

var (
	undefinedField = regexp.MustCompile(`^undefined field '([^']*)'`)
	undeclared     = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	overload       = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
)

// usage is how decisions are written.
var usage = map[Verb]string{
	Accept:      "write accept()",
	AcceptUntil: `write accept_until(timestamp("2027-01-31T00:00:00Z"), "why")`,
	Quarantine:  `write quarantine("why")`, Reject: `write reject("why")`, Pending: `write pending("why")`,
}

// end is the place behind the last character of a text that is no space.
func end(text string) common.Location {
	lines := strings.Split(strings.TrimRightFunc(text, unicode.IsSpace), "\n")
	return common.NewLocation(len(lines), utf8.RuneCountInString(lines[len(lines)-1]))
}

func before(a, b common.Location) bool {
	return a.Line() < b.Line() || a.Line() == b.Line() && a.Column() < b.Column()
}

// locate finds where a name is written. CEL points at the dot before a field, and at the
// parenthesis behind a function.
func locate(text string, at common.Location, name string) common.Location {
	lines := strings.Split(text, "\n")
	if at.Line() < 1 || at.Line() > len(lines) {
		return at
	}
	line := []rune(lines[at.Line()-1])
	column := at.Column()
	if column > len(line) {
		return at
	}
	if strings.HasSuffix(string(line[:column]), name) {
		return common.NewLocation(at.Line(), column-utf8.RuneCountInString(name))
	}
	rest := string(line[column:])
	if i := strings.Index(rest, name); i >= 0 {
		return common.NewLocation(at.Line(), column+utf8.RuneCountInString(rest[:i]))
	}
	return at
}

func functionName(overloaded string) string {
	if symbol, ok := operators.FindReverse(overloaded); ok && symbol != "" {
		return symbol
	}
	switch overloaded {
	case operators.Conditional:
		return "? :"
	case operators.Index:
		return "[ ]"
	}
	return overloaded
}

// typeNames drops the package of our types.
func typeNames(message string) string { return strings.ReplaceAll(message, "expr.", "") }

func mixedHint(types string) string {
	if strings.Contains(types, "decision") && strings.Contains(types, "bool") {
		return `a policy returns either a bool or decisions: write accept() for true and reject("why") for false`
	}
	return ""
}

// plain makes one short line of what may hold the words of a device.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) <= MaxReason {
		return s
	}
	cut := MaxReason - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
