package boltfile

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// IsFull reports whether a write failed for want of space. bbolt passes some
// errors on as text only.
func IsFull(err error) bool {
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

// IsHarmless reports whether a failed commit has left the file as it was: the
// disk was full when the file was to grow or a page was to be written, before
// anything was synced. After a failed fsync nobody knows what the disk has.
func IsHarmless(err error) bool {
	if !IsFull(err) {
		return false
	}
	var write *fs.PathError
	return errors.As(err, &write) && write.Op == "write" || strings.HasPrefix(err.Error(), "file resize error")
}
