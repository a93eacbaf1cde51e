package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/tam/storetest"
)

func open(t testing.TB, path string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openFile(t testing.TB) *SQLite {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "tam.db"))
}

func TestConformance(t *testing.T) {
	t.Run("file", func(t *testing.T) { storetest.Run(t, func(t *testing.T) tam.Store { return openFile(t) }) })
	t.Run("memory", func(t *testing.T) { storetest.Run(t, func(t *testing.T) tam.Store { return open(t, Memory) }) })
}

func TestOpenCreatesPrivateFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "odd ?#%20 name.db")
	s := open(t, path)
	if err := s.Update(t.Context(), func(tx tam.Tx) error { return tx.AppendEvent(audit.Event{}) }); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 2 {
		t.Fatalf("found %v, want the database and its log", entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("this is certainly no database, however long it may be read"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"no directory":  filepath.Join(dir, "missing", "tam.db"),
		"a directory":   dir,
		"another file":  text,
		"an empty path": "",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenSQLite(t.Context(), path, Options{})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			t.Log(err)
		})
	}
}

func TestOpenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenSQLite(ctx, filepath.Join(t.TempDir(), "tam.db"), Options{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
}

func TestDurableSettings(t *testing.T) {
	s := openFile(t)
	for name, p := range map[string]*pool{"writer": s.writer.pool, "reader": s.readers} {
		c, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer p.put(c)
		want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "query_only": "0"}
		if name == "reader" {
			want["query_only"] = "1"
		}
		for pragma, value := range want {
			var got string
			err := c.ask("PRAGMA "+pragma, func(r *row) bool { got = fmt.Sprint(r.values[0]); return true })
			if err != nil || got != value {
				t.Errorf("%s: %s is %q (%v), want %q", name, pragma, got, err, value)
			}
		}
	}
}

// A snapshot stays what it was while an Update is committed beside it.
func TestViewSeesOneState(t *testing.T) {
	s := openFile(t)
	count := func(r tam.Reader) int {
		events, err := r.Events(0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}
	err := s.View(t.Context(), func(r tam.Reader) error {
		if n := count(r); n != 0 {
			t.Fatalf("%d events in a new store", n)
		}
		if err := s.Update(t.Context(), func(tx tam.Tx) error { return tx.AppendEvent(audit.Event{}) }); err != nil {
			return err
		}
		if n := count(r); n != 0 {
			t.Errorf("the snapshot has changed: %d events", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReopenFindsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tam.db")
	first, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Fill(t, first)
	before := storetest.Dump(t, first)
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if after := storetest.Dump(t, open(t, path)); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestUnavailable(t *testing.T) {
	nothing := func(tam.Tx) error { t.Error("ran"); return nil }

	t.Run("closed", func(t *testing.T) {
		s := openFile(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), nothing); !errors.Is(err, tam.ErrUnavailable) {
			t.Errorf("Update: %v, want ErrUnavailable", err)
		}
		if err := s.View(t.Context(), func(tam.Reader) error { t.Error("ran"); return nil }); !errors.Is(err, tam.ErrUnavailable) {
			t.Errorf("View: %v, want ErrUnavailable", err)
		}
	})

	t.Run("locked by another process", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tam.db")
		holder := open(t, path)
		s, err := OpenSQLite(t.Context(), path, Options{BusyTimeout: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = holder.Update(t.Context(), func(tam.Tx) error {
			if err := s.Update(t.Context(), nothing); !errors.Is(err, tam.ErrUnavailable) {
				t.Errorf("Update: %v, want ErrUnavailable", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})

	t.Run("full", func(t *testing.T) {
		s := openFile(t)
		limitPages(t, s, 0)
		before := storetest.Dump(t, s)
		big := audit.Event{Reason: string(make([]byte, 1<<20))}
		err := s.Update(t.Context(), func(tx tam.Tx) error {
			if err := tx.AppendEvent(audit.Event{Reason: "small"}); err != nil {
				return err
			}
			if err := tx.AppendEvent(big); !errors.Is(err, tam.ErrUnavailable) {
				t.Errorf("AppendEvent: %v, want ErrUnavailable", err)
			}
			return nil // a fn that overlooks it must not get half of its work kept
		})
		if !errors.Is(err, tam.ErrUnavailable) {
			t.Errorf("Update: %v, want ErrUnavailable", err)
		}
		limitPages(t, s, 1<<20)
		if after := storetest.Dump(t, s); after != before {
			t.Errorf("something was kept:\n%s", after)
		}
		if err := s.Update(t.Context(), func(tx tam.Tx) error { return tx.AppendEvent(big) }); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// limitPages lets the database grow to so many pages; 0 means not at all.
func limitPages(t *testing.T, s *SQLite, pages int) {
	t.Helper()
	withWriter(t, s, func(c *conn) {
		if pages == 0 {
			if err := c.ask("PRAGMA page_count", func(r *row) bool { pages = int(r.int()); return true }); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.script(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	})
}

// A connection whose transaction cannot be undone is not used again.
func TestLostConnectionIsReplaced(t *testing.T) {
	s := openFile(t)
	before := storetest.Dump(t, s)
	err := s.Update(t.Context(), func(tx tam.Tx) error {
		if err := tx.AppendEvent(audit.Event{}); err != nil {
			return err
		}
		return tx.(update).conn.script(`ROLLBACK`)
	})
	if !errors.Is(err, tam.ErrUnavailable) {
		t.Errorf("Update: %v, want ErrUnavailable", err)
	}
	if after := storetest.Dump(t, s); after != before {
		t.Errorf("something was kept:\n%s", after)
	}
	storetest.Fill(t, s)
}

func TestAuditLogIsAppendOnly(t *testing.T) {
	s := openFile(t)
	storetest.Fill(t, s)
	before := storetest.Dump(t, s)
	withWriter(t, s, func(c *conn) {
		for _, change := range []string{
			`UPDATE audit_events SET actor = ''`, `UPDATE audit_events SET seq = 7`,
			`DELETE FROM audit_events`, `DELETE FROM audit_events WHERE seq = 1`,
			`INSERT OR REPLACE INTO audit_events SELECT seq, at, 'x', action, subject, reason, details FROM audit_events`,
			`UPDATE audit_floor SET seq = 9999`, `UPDATE audit_floor SET seq = -1`, `UPDATE audit_floor SET id = 2`,
			`DELETE FROM audit_floor`, `INSERT INTO audit_floor VALUES (2, 1)`, `INSERT OR REPLACE INTO audit_floor VALUES (1, 1)`,
		} {
			if err := c.script(change); err == nil {
				t.Errorf("%s: no error", change)
			}
		}
	})
	if after := storetest.Dump(t, s); after != before {
		t.Errorf("changed:\n%s", after)
	}
}

func TestViewCannotWrite(t *testing.T) {
	s := openFile(t)
	err := s.View(t.Context(), func(r tam.Reader) error {
		_, err := r.(snapshot).exec(insertEvent, 0, "", "", "", "", []byte{0xf6})
		return err
	})
	if err == nil {
		t.Fatal("a reader's connection has written")
	}
}
