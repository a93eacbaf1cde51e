package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/store"
)

func TestTokensRotate(t *testing.T) {
	data := t.TempDir()
	rotate := func() (int, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"tokens", "rotate", "--data", data}, nil, &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, text := rotate(); code != 1 || !strings.Contains(text, "--data") {
		t.Errorf("no database: %d %s", code, text)
	}
	path := filepath.Join(data, "tamarack.db")
	if _, err := os.Stat(path); err == nil {
		t.Error("a database was made")
	}
	s, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	keys := func() (list []tam.TokenKey) {
		err := s.View(t.Context(), func(r tam.Reader) (err error) {
			list, err = r.TokenKeys()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for range 2 {
		before := keys()
		if code, text := rotate(); code != 0 || !strings.Contains(text, "within a minute") {
			t.Fatalf("%d %s", code, text)
		}
		after := keys()
		if len(after) != 1 || len(before) > 0 && bytes.Equal(after[0].Secret, before[0].Secret) {
			t.Errorf("keys %d, want a new one", len(after))
		}
	}
	err = s.View(t.Context(), func(r tam.Reader) error {
		events, err := r.Events(0, 10)
		if len(events) != 3 || events[2].Action != audit.TokenKeyCreated || events[2].Actor != "operator:local" {
			t.Errorf("events %+v", events)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
