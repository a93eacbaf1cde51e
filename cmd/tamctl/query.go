package main

import "github.com/tamarack-tam/tamarack/tam/api/client"

// query checks the global flags, connects, and asks.
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
