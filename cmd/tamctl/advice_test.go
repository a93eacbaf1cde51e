package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

func TestNextStep(t *testing.T) {
	refusal := func(code string) error {
		return &refusedError{client.Problem{Code: code, Hint: "of the server"}}
	}
	for _, c := range []struct {
		command string
		err     error
		want    string
	}{
		{"device show", refusal("not-found"), "'tamctl device list --wide' shows what there is"},
		{"device list", refusal("not-found"), "of the server"},
		{"publisher add", refusal("exists"), "'tamctl publisher list --wide' shows what there is"},
		{"publisher add", refusal("bad-anchor"), "of the server"},
		{"device unrequire", advise(refusal("not-found"), "do %s", "this"), "do this"},
		{"suit sign", advise(fs.ErrNotExist, "do %s", "this"), "do this"},
		{"suit sign", &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, "ls -ld"},
		{"suit create", fmt.Errorf("write x: %w", syscall.EROFS), "ls -ld"},
		{"suit create", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, "check the name"},
		{"suit create", errors.New("anything else"), ""},
	} {
		cmd, _, err := rootCommand(&app{}).Find(strings.Fields(c.command))
		if err != nil {
			t.Fatal(err)
		}
		if got := nextStep(cmd, c.err); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s, %v: %q, want %q", c.command, c.err, got, c.want)
		}
	}
}

// Flags of the server stand where the server is asked, and nowhere else.
func TestFlagsStandWhereTheyAreUsed(t *testing.T) {
	var visit func(cmd *cobra.Command, top string)
	visit = func(cmd *cobra.Command, top string) {
		for _, sub := range cmd.Commands() {
			visit(sub, top)
		}
		files := []string{"from-manifest", "create", "show", "verify"} // of reference-values
		local := top == "suit" || top == "keygen" || top == "reference-values" && (cmd.Name() == top || slices.Contains(files, cmd.Name()))
		looking := []string{"inspect", "show", "verify", "lint", "diff", "simulate"} // what writes no file but what it is told to
		for name, want := range map[string]bool{
			"server": !local && top != "inspect", "token-file": !local && top != "inspect", "output": !local || slices.Contains(looking, cmd.Name()),
		} {
			cmd.InheritedFlags() // merges them
			if got := cmd.Flag(name) != nil; got != want {
				t.Errorf("%s has --%s: %t", cmd.CommandPath(), name, got)
			}
		}
	}
	for _, cmd := range rootCommand(&app{}).Commands() {
		visit(cmd, cmd.Name())
	}
}

// A write that fails leaves the folder as it was, and names the file that was meant.
func TestWriteWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := writeWhole(path, []byte("one"), os.Link); err != nil {
		t.Fatal(err)
	}
	err := writeWhole(path, []byte("two"), os.Link)
	if !errors.Is(err, fs.ErrExist) || strings.Contains(err.Error(), ".tamctl-") || !strings.Contains(err.Error(), path) {
		t.Errorf("a second link: %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "one" {
		t.Errorf("the file holds %q", data)
	}
	if err := writeWhole(path, []byte("three"), os.Rename); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); string(data) != "three" {
		t.Errorf("the file holds %q", data)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
