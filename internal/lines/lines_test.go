package lines

import (
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"lamp1":        "lamp1",
		"/srv/a-b_c.d": "/srv/a-b_c.d",
		"my lamp":      "'my lamp'",
		"größe":        "größe",
		"$x":           "'$x'",
		"a;rm":         "'a;rm'",
		"it's":         `'it'\''s'`,
		"":             "''",
	} {
		if got := Quote(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	digest := "sha-256:" + strings.Repeat("0", 64)
	long := strings.Repeat("x", 120)
	for text, want := range map[string]string{
		"short":            "short",
		"":                 "",
		"two\nlines":       "two\nlines",
		long:               long,
		"a  " + long:       "a  " + long, // the first word of a column stays in its place
		long + " and more": long + "\n  and more",
		"failed  image is " + digest + ", not " + digest: "failed  image is " + digest + ", not\n  " + digest,
		// A command in quotes stays whole, an apostrophe is none.
		"the TAM's (" + strings.Repeat("y ", 40) + "'tamctl device list --wide' is it)": "the TAM's (" + strings.Repeat("y ", 39) + "y\n  'tamctl device list --wide' is it)",
		"('tamctl " + strings.Repeat("z ", 50) + "x') or":                               "('tamctl " + strings.Repeat("z ", 50) + "x')\n  or",
		"the devices' " + strings.Repeat("z ", 44) + "'x":                               "the devices' " + strings.Repeat("z ", 43) + "z\n  'x",
		"über " + strings.Repeat("ü", 95) + " x":                                        "über " + strings.Repeat("ü", 95) + "\n  x",
	} {
		if got := Fold(text, 2); got != want {
			t.Errorf("%q\nis %q\nnot %q", text, got, want)
		}
	}
}
