package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func eventCommand(app *app) *cobra.Command {
	return group("event", "Read the audit log", eventList(app))
}

func eventList(app *app) *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List who changed what, the oldest first",
		Long: `List prints the audit log. DETAIL begins with what the event is about, then come the
reason that was given and what else was written down. Times are in UTC.`,
		Example: "  tamctl event list --after 120 -o json",
	}
	cmd.Flags().StringVar(&after, "after", "", "begin behind the event of this number")
	return listing(app, cmd, "one line for each event, whole digests, thumbprints and times", func(ctx context.Context, api *client.ClientWithResponses) ([]client.Event, error) {
		return allPages(func(cursor *string) ([]client.Event, string, error) {
			if cursor == nil && after != "" {
				cursor = &after
			}
			page, err := got(api.ListEventsWithResponse(ctx, &client.ListEventsParams{After: cursor}))
			return page.Items, page.Next, err
		})
	}, eventTable)
}

// The columns before DETAIL take 66 where actions have 24 letters and an actor's
// name is cut to 14, so that a terminal of 100 columns holds a line.
const (
	actorWidth  = 14
	detailWidth = 32
)

func eventTable(t *tabwriter.Writer, list []client.Event, wide bool) {
	row(t, "NUMBER", "TIME", "ACTOR", "ACTION", "DETAIL")
	for _, e := range list {
		detail := eventDetail(e, wide)
		if wide {
			row(t, e.Seq, e.At, e.Actor, e.Action, detail)
			continue
		}
		lines := wrap(detail, detailWidth)
		row(t, e.Seq, e.At.UTC().Format("01-02 "+time.TimeOnly), fitted(e.Actor, actorWidth), e.Action, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(t, "\t\t\t\t%s\n", line)
		}
	}
}

// eventDetail is the subject of an event, the reason, the details by name, and last
// the words for people.
func eventDetail(e client.Event, wide bool) string {
	words := []string{briefName(e.Subject, wide)}
	if e.Reason != "" {
		words = append(words, e.Reason)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		if name != "detail" {
			words = append(words, name+"="+briefHex(e.Details[name], wide))
		}
	}
	if text := e.Details["detail"]; text != "" && text != e.Reason {
		words = append(words, text)
	}
	return printable(strings.Join(strings.Fields(strings.Join(words, " ")), " ")) // some are of several lines
}

// briefHex is brief for what may be other text as well.
func briefHex(text string, wide bool) string {
	digits := strings.TrimPrefix(text, "sha-256:")
	if wide || strings.Trim(digits, "0123456789abcdef") != "" {
		return text
	}
	return brief(digits, wide)
}

// fitted cuts a text to so many columns.
func fitted(text string, width int) string {
	if letters := []rune(text); len(letters) > width {
		return string(letters[:width-1]) + "…"
	}
	return text
}

// wrap breaks a text into lines, between words where it can.
func wrap(text string, width int) []string {
	var lines []string
	line := []rune{}
	for _, word := range strings.Fields(text) {
		letters := []rune(word)
		if len(line) > 0 && len(line)+1+len(letters) <= width {
			line = append(append(line, ' '), letters...)
			continue
		}
		if len(line) > 0 {
			lines = append(lines, string(line))
		}
		for ; len(letters) > width; letters = letters[width:] {
			lines = append(lines, string(letters[:width]))
		}
		line = letters
	}
	return append(lines, string(line))
}
