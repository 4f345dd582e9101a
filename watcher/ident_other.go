//go:build !linux

package watcher

import "io/fs"

// fileClock is not needed without ctime.
func fileClock() int64 { return 0 }

// metaOf knows no device, inode and ctime here; kind, size and mtime remain.
func metaOf(info fs.FileInfo) meta {
	return meta{
		kind:  kindOf(info.Mode()),
		size:  info.Size(),
		mtime: info.ModTime().UnixNano(),
	}
}
