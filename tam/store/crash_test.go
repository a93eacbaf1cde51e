package store

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// crashVariable makes this test binary the process that is killed: it writes to
// the named database, and tells each write that was acknowledged.
const crashVariable = "TAMARACK_TEST_CRASH_DATABASE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashVariable); path != "" {
		if err := writeForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func countToken(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// writeForEver spends a token and logs an event in each transaction, which must
// therefore come and go together.
func writeForEver(path string) error {
	ctx := unhurried
	s, err := OpenSQLite(ctx, path, Options{})
	if err != nil {
		return err
	}
	n := 0
	err = s.View(ctx, func(r tam.Reader) error {
		for {
			events, err := r.Events(int64(n), maxRows)
			if n += len(events); err != nil || len(events) < maxRows {
				return err
			}
		}
	})
	for ; err == nil; n++ {
		err = s.Update(ctx, func(tx tam.Tx) error {
			if err := tx.Spend(countToken(n+1), timeOf(0)); err != nil {
				return err
			}
			return tx.AppendEvent(audit.Event{})
		})
		if err == nil {
			fmt.Println(n + 1)
		}
	}
	return err
}

// What was acknowledged is there after kill -9, nothing is there by halves, and
// the next process opens the database as it is.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tam.db")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= 3; round++ {
		acknowledged := killAfter(t, exec.Command(program), path, round*40)
		s, err := OpenSQLite(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = s.View(t.Context(), func(r tam.Reader) error {
			var events, tokens int
			for n := 1; ; n++ {
				event, err := r.Events(int64(n-1), 1)
				if err != nil {
					return err
				}
				spent, err := r.Spent(countToken(n))
				if err != nil {
					return err
				}
				events += len(event)
				if spent {
					tokens++
				}
				if len(event) == 0 && !spent {
					break
				}
			}
			if events != tokens {
				t.Errorf("%d events and %d tokens: half of a transaction", events, tokens)
			}
			if events < acknowledged {
				t.Errorf("%d events, %d were acknowledged", events, acknowledged)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killAfter kills the writer once it has told of so many writes, and returns the
// last one that it told of.
func killAfter(t *testing.T, writer *exec.Cmd, path string, writes int) (acknowledged int) {
	t.Helper()
	writer.Env = append(os.Environ(), crashVariable+"="+path)
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for told := 0; lines.Scan(); told++ {
		if told == writes {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			acknowledged = n
		}
	}
	if err := writer.Wait(); err == nil || acknowledged < writes {
		t.Fatalf("the writer ended (%v) after %d writes, want it killed after %d", err, acknowledged, writes)
	}
	return acknowledged
}
