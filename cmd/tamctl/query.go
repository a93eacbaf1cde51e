package main

import (
	"context"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// query checks the format, connects, and asks.
func query[T any](a *app, ask func(*client.ClientWithResponses) (T, error)) (T, error) {
	var none T
	if err := a.checkFormat(); err != nil {
		return none, err
	}
	api, err := a.connect()
	if err != nil {
		return none, err
	}
	return ask(api)
}

// got is what the server answered to a question: got(api.ListKeysWithResponse(ctx)).
func got[T any](response interface {
	answer
	GetJSON200() *T
}, err error) (T, error) {
	if err != nil {
		var none T
		return none, transportFault(err)
	}
	return result(response.GetJSON200(), response)
}

// made is got where the server made something.
func made[T any](response interface {
	answer
	GetJSON201() *T
}, err error) (T, error) {
	if err != nil {
		var none T
		return none, transportFault(err)
	}
	return result(response.GetJSON201(), response)
}

// done is got where the server has nothing to say but that it is done.
func done(response answer, err error) error {
	if err != nil {
		return transportFault(err)
	}
	if response.StatusCode() == http.StatusNoContent {
		return nil
	}
	_, err = result[struct{}](nil, response)
	return err
}

// allPages collects a list page by page.
func allPages[T any](fetch func(after *string) (items []T, next string, err error)) ([]T, error) {
	all := []T{}
	var after *string
	for {
		items, next, err := fetch(after)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		after = &next
	}
}

// listing makes cmd the command that asks for a list and shows it, with --wide for
// what a table has no room for.
func listing[T any](app *app, cmd *cobra.Command, wideHelp string,
	ask func(context.Context, *client.ClientWithResponses) ([]T, error),
	table func(t *tabwriter.Writer, list []T, wide bool),
) *cobra.Command {
	var wide bool
	cmd.Args = noArguments
	cmd.Flags().BoolVar(&wide, "wide", false, wideHelp)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := query(app, func(api *client.ClientWithResponses) ([]T, error) { return ask(cmd.Context(), api) })
		if err != nil {
			return err
		}
		return app.show(cmd.OutOrStdout(), list, func(t *tabwriter.Writer) { table(t, list, wide) })
	}
	return cmd
}
