//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tee

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockName is the file whose lock says that a process uses the directory. The file
// stays; the lock ends with the process, however it ends.
const lockName = "lock"

func lock(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w by another agent; stop that one, or give this one its own directory", root.Name(), ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", root.Name(), err)
	}
	return f, nil
}
