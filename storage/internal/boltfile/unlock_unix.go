//go:build unix && !aix && !solaris

package boltfile

import (
	"os"
	"syscall"
)

// unlock gives up the lock of a file. Closing is not enough where bbolt still has
// the file mapped: the mapping holds the lock.
func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
