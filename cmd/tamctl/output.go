package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
)

// show prints a result in the format of --output; table prints it for people.
func (a *app) show(w io.Writer, value any, table func(*tabwriter.Writer)) error {
	if a.format == "table" {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		table(t)
		return t.Flush()
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if a.format == "yaml" {
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(w, strings.TrimSuffix(string(text), "\n"))
	return err
}

// checkFormat refuses an unknown format before anything is done.
func (a *app) checkFormat() error {
	switch a.format {
	case "table", "json", "yaml":
		return nil
	}
	return usage("output %q is not table, json or yaml", a.format)
}

// row writes the cells of one line of a table; an empty one is a dash.
func row(t *tabwriter.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case time.Time:
			texts[i] = instant(c)
		default:
			texts[i] = printable(fmt.Sprint(c))
		}
		if texts[i] == "" {
			texts[i] = "-"
		}
	}
	fmt.Fprintln(t, strings.Join(texts, "\t"))
}

// fact is a row of a table that describes one thing; one without a value is left out.
func fact(t *tabwriter.Writer, name string, value any) {
	if moment, ok := value.(time.Time); ok && moment.IsZero() || value == "" {
		return
	}
	row(t, name+":", value)
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// printable keeps what devices and other operators wrote from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

// brief cuts a digest or an id to the digits that tell it from others, unless all
// are wanted. They are enough for 'show'; what is named whole only goes through
// elided instead.
func brief(text string, wide bool) string {
	const digits = 12
	name, hex, found := strings.Cut(text, ":")
	if !found {
		name, hex = "", text
	} else {
		name += ":"
	}
	if wide || len(hex) <= digits {
		return text
	}
	return name + hex[:digits]
}

// elided is brief with a sign that something is missing.
func elided(text string, wide bool) string {
	if short := brief(text, wide); short != text {
		return short + "…"
	}
	return text
}

// briefName cuts an actor or a subject of the audit log: "manifest:sha-256:…".
func briefName(name string, wide bool) string {
	kind, rest, found := strings.Cut(name, ":")
	if wide || !found {
		return name
	}
	return kind + ":" + brief(strings.TrimPrefix(rest, "sha-256:"), false)
}

// size writes a number of bytes for people.
func size[T int64 | uint64](n T) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}
