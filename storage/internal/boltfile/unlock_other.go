//go:build !unix || aix || solaris

package boltfile

import "os"

// unlock does nothing: here closing a file gives up its lock.
func unlock(*os.File) {}
