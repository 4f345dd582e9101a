package watcher

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileClock reads the clock from which files get their times. It ticks, and
// stands still while the machine keeps the kernel waiting.
func fileClock() int64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil {
		return 0 // no file is settled
	}
	return now.Nano()
}

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
