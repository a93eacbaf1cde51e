package main

import (
	"strings"
	"unicode/utf8"
)

// quote writes a word as a shell takes it.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:,=+@%", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// width is that of a line of output, which is kept as far as the words fit.
const width = 100

// fold breaks lines that are too wide between words, and indents what follows.
func fold(text string, indent int) string {
	var out strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		columns := 0
		for j, word := range strings.Split(line, " ") {
			n := utf8.RuneCountInString(word)
			switch {
			case j == 0:
			case columns > indent && columns+1+n > width:
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
