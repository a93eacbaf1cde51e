package main

import "testing"

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"lamp1":        "lamp1",
		"/srv/a-b_c.d": "/srv/a-b_c.d",
		"my lamp":      "'my lamp'",
		"a;rm":         "'a;rm'",
		"it's":         `'it'\''s'`,
		"":             "''",
	} {
		if got := quote(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}
