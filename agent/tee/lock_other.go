//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package tee

import (
	"errors"
	"os"
)

const lockName = "lock"

// lock fails closed: without a lock two agents could share a directory, and without
// synced directories nothing here is durable.
func lock(*os.Root) (*os.File, error) {
	return nil, errors.New("the software TEE needs a Unix file system")
}
