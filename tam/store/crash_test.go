package store

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
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

// killedWriters is how many goroutines write in it: their transactions share commits.
const killedWriters = 8

func countToken(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// writeForEver spends a token, logs an event and adds a device CA, which changes the state of
// the references, in each transaction: they must therefore come and go together.
func writeForEver(path string) error {
	s, err := OpenSQLite(unhurried, path, Options{})
	if err != nil {
		return err
	}
	begun, err := countEvents(s, func(int) {})
	if err != nil {
		return err
	}
	var last atomic.Int64
	last.Store(int64(begun))
	failed := make(chan error)
	for range killedWriters {
		go func() {
			for {
				n := int(last.Add(1))
				if err := writeOne(s, n); err != nil {
					failed <- err
					return
				}
				fmt.Println(n)
			}
		}()
	}
	return <-failed
}

func writeOne(s *SQLite, n int) error {
	return s.Update(unhurried, func(tx tam.Tx) error {
		if err := tx.Spend(countToken(n), timeOf(0)); err != nil {
			return err
		}
		ca := tam.DeviceCA{Certificate: countToken(n), Fingerprint: sha256.Sum256(countToken(n))}
		if err := tx.AddDeviceCA(ca); err != nil {
			return err
		}
		return tx.AppendEvent(audit.Event{Subject: strconv.Itoa(n)})
	})
}

// countEvents calls each with the number in every event, and returns the highest.
func countEvents(s *SQLite, each func(n int)) (highest int, err error) {
	err = s.View(unhurried, func(r tam.Reader) error {
		for after := int64(0); ; {
			events, err := r.Events(after, maxRows)
			if err != nil || len(events) == 0 {
				return err
			}
			for _, e := range events {
				n, err := strconv.Atoi(e.Subject)
				if err != nil {
					return err
				}
				each(n)
				highest = max(highest, n)
				after = e.Seq
			}
		}
	})
	return highest, err
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
		acknowledged := killAfter(t, exec.Command(program), path, round*100)
		s, err := OpenSQLite(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		kept := map[int]bool{}
		highest, err := countEvents(s, func(n int) { kept[n] = true })
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range acknowledged {
			if !kept[n] {
				t.Errorf("write %d was acknowledged and is lost", n)
			}
		}
		err = s.View(t.Context(), func(r tam.Reader) error {
			for n := range highest + 2*killedWriters {
				if spent, err := r.Spent(countToken(n)); err != nil || spent != kept[n] {
					t.Errorf("write %d: token spent %t (%v), event kept %t: half of a transaction", n, spent, err, kept[n])
				}
			}
			cas, err := r.DeviceCAs()
			state, err2 := r.ReferenceState()
			if len(cas) != len(kept) || state != int64(len(kept)) {
				t.Errorf("%d device CAs in state %d, after %d transactions", len(cas), state, len(kept))
			}
			return errors.Join(err, err2)
		})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// killAfter kills the writer once it has told of so many writes, and returns
// those that it told of.
func killAfter(t *testing.T, writer *exec.Cmd, path string, writes int) (acknowledged []int) {
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
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, err := strconv.Atoi(lines.Text()); err == nil {
			acknowledged = append(acknowledged, n)
		}
		if len(acknowledged) == writes {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writer.Wait(); err == nil || len(acknowledged) < writes {
		t.Fatalf("the writer ended (%v) after %d writes, want it killed after %d", err, len(acknowledged), writes)
	}
	return acknowledged
}
