//go:build !linux

package watcher

import "io/fs"

// metaOf knows no device, inode and ctime here; kind, size and mtime remain.
func metaOf(info fs.FileInfo) meta {
	return meta{
		kind:  kindOf(info.Mode()),
		size:  info.Size(),
		mtime: info.ModTime().UnixNano(),
	}
}
