// Package lines writes what people read in a terminal: [Fold] for width, [Quote] for
// words that are to be pasted into a shell. Tables are text/tabwriter's business.
package lines

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Width is that of a line of output, which is kept as far as the words fit.
const Width = 100

// Quote writes a word as a shell takes it.
func Quote(word string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./:,=+@%", r)
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Fold breaks lines that are too wide between words, and indents what follows. A
// command in single quotes stays whole: it is to be pasted.
func Fold(text string, indent int) string {
	var out strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		columns := 0
		for j, word := range words(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case j == 0:
			case columns > indent && columns+1+n > Width:
				out.WriteString("\n" + strings.Repeat(" ", indent))
				columns = indent
			default:
				out.WriteByte(' ')
				columns++
			}
			out.WriteString(word)
			columns += n
		}
	}
	return out.String()
}

// words splits a line at every space that does not stand in single quotes. Quotes open
// at the start of a word; elsewhere they are apostrophes.
func words(line string) []string {
	var list []string
	for {
		from := 0
		if bare := strings.TrimPrefix(line, "("); strings.HasPrefix(bare, "'") {
			if end := strings.IndexByte(bare[1:], '\''); end >= 0 {
				from = len(line) - len(bare) + 1 + end
			}
		}
		space := strings.IndexByte(line[from:], ' ')
		if space < 0 {
			return append(list, line)
		}
		list = append(list, line[:from+space])
		line = line[from+space+1:]
	}
}
