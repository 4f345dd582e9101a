package watcher

import (
	"io/fs"
	"time"
)

// kind is the type of an entry.
type kind uint8

const (
	kindNone kind = iota // no such entry
	kindFile
	kindDir
	kindLink
	kindOther // device, socket, pipe
)

func kindOf(mode fs.FileMode) kind {
	switch mode.Type() {
	case 0:
		return kindFile
	case fs.ModeDir:
		return kindDir
	case fs.ModeSymlink:
		return kindLink
	default:
		return kindOther
	}
}

// fileID tells one file from another as long as both exist. It is zero where
// the platform has no such numbers.
type fileID struct {
	dev, ino uint64
}

// meta is the identity of an entry: two equal ones mean that nothing happened
// that would be worth an event.
type meta struct {
	id           fileID
	size         int64
	mtime, ctime int64 // nanoseconds
	kind         kind

	// settled says that ctime was old enough for a later change to have another
	// one.
	settled bool
}

// at returns m as of a look that began when the clock of the file system showed
// began.
func (m meta) at(began int64) meta {
	grain := fineGrain
	if m.ctime%int64(time.Second) == 0 || m.mtime%int64(time.Second) == 0 {
		grain = coarseGrain
	}
	m.settled = m.ctime != 0 && began-m.ctime > int64(grain)
	return m
}

// How far apart two changes of a file must be on that clock to have different
// times: more than one tick of it, or, where times are rounded, of them.
const (
	fineGrain   = 20 * time.Millisecond
	coarseGrain = 3 * time.Second
)

// sameContent reports whether two looks at a name found the same file, not
// written in between as far as the numbers show.
func (m meta) sameContent(now meta) bool {
	return m.kind == now.kind && m.id == now.id && m.size == now.size && m.mtime == now.mtime
}

// differs reports whether an entry of the same kind has new content, given the
// hints about it. A write counts even where the numbers are the same, unless
// these show that it was before the last look. ctime counts only
// where a name was made anew: otherwise it changes with mode, owner and links.
// With a hint about attributes alone mtime does not count, as somebody set it.
func (m meta) differs(now meta, hints op) bool {
	switch {
	case hints&opWrite != 0 && (!m.settled || m.ctime != now.ctime):
		return true
	case m.id != now.id || m.size != now.size:
		return true
	case hints&opCreate != 0 && m.ctime != now.ctime:
		return true
	default:
		return m.mtime != now.mtime && hints != opAttributes
	}
}
