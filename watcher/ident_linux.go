package watcher

import (
	"io/fs"
	"syscall"
)

func metaOf(info fs.FileInfo) meta {
	m := meta{
		kind:  kindOf(info.Mode()),
		size:  info.Size(),
		mtime: info.ModTime().UnixNano(),
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		m.id = fileID{dev: uint64(st.Dev), ino: st.Ino} //nolint:unconvert // 32 bits on some machines
		m.ctime = st.Ctim.Nano()
	}
	return m
}
