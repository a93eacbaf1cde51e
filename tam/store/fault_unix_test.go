//go:build unix

package store

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tamarack-tam/tamarack/tam"
)

// limitFiles lets no file of this process grow beyond size until the test or the
// returned function ends it: what a full disk does, done by the kernel.
func limitFiles(t *testing.T, size int64) (end func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(size)
	set := func(l syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			t.Fatal(err)
		}
	}
	set(limit)
	t.Cleanup(func() { set(before) })
	return func() { set(before) }
}

// Where the log cannot be written, the commit fails: nobody of the batch is
// acknowledged, not even with a refusal that rests on what a neighbour wrote, and
// nothing is kept. With room again everything works.
func TestFailedCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tam.db")
	c := &crowd{T: t, store: open(t, path)}
	c.run(nil, caller{name: "before"})
	log, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	own := errors.New("its own")
	var end func()
	c.run(func() { end = limitFiles(t, log.Size()) },
		caller{name: "first", work: add("a")},
		caller{name: "exists", work: add("a")},
		caller{name: "fails", work: func(tam.Tx) error { return own }},
		caller{name: "second"},
	)
	end()
	for _, name := range []string{"first", "exists", "fails", "second"} {
		if err := c.results[name]; !errors.Is(err, tam.ErrUnavailable) || errors.Is(err, tam.ErrExists) || errors.Is(err, own) {
			t.Errorf("%s: %v, want ErrUnavailable and nothing else", name, err)
		}
	}
	c.wantBatches(4)
	if got := c.kept(); len(got) != 1 {
		t.Errorf("kept %v, want what was before", got)
	}
	c.run(nil, caller{name: "after", work: add("a")}, caller{name: "after that"})
	c.wantError("after", nil)
	c.wantError("after that", nil)
}
