package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// advised is an error with the step that leads on from it.
type advised struct {
	error
	next string
}

func (e advised) Unwrap() error { return e.error }
func (e advised) Hint() string  { return e.next }

func advise(err error, format string, args ...any) error {
	return advised{err, fmt.Sprintf(format, args...)}
}

// nextStep is what to do about the error of a command; empty where nothing helps.
func nextStep(cmd *cobra.Command, err error) string {
	var ours advised
	if errors.As(err, &ours) {
		return ours.next
	}
	// The server names no commands where any program may have asked.
	var refused *refusedError
	if errors.As(err, &refused) && (refused.Code == "not-found" || refused.Code == "exists") {
		if list := siblingList(cmd); list != nil {
			if refused.Code == "exists" && strings.HasPrefix(refused.Detail, "anchor ") {
				return fmt.Sprintf("'%s --wide' shows what there is. A key has one use: if it is not there it is registered for another, so make one with 'tamctl keygen'. To change its formats or products, remove it and add it again", list.CommandPath())
			}
			return fmt.Sprintf("'%s --wide' shows what there is", list.CommandPath())
		}
	}
	var hinted interface{ Hint() string }
	switch {
	case errors.As(err, &hinted):
		return hinted.Hint()
	case errors.Is(err, fs.ErrNotExist):
		return "check the name; a folder must exist before something is written to it"
	case errors.Is(err, syscall.EISDIR):
		return "name a file: this is a folder"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "let yourself read or write there ('ls -ld' shows who may), or choose another place"
	}
	return ""
}

// siblingList is the list of the things that a command handles; nil for the list itself.
func siblingList(cmd *cobra.Command) *cobra.Command {
	if cmd.Name() == "list" || !cmd.HasParent() {
		return nil
	}
	for _, sibling := range cmd.Parent().Commands() {
		if sibling.Name() == "list" && sibling.Flags().Lookup("wide") != nil {
			return sibling
		}
	}
	return nil
}
