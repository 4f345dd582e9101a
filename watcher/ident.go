package watcher

import (
	"io/fs"
	"os"
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
}

func statMeta(path string) (meta, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return meta{}, err
	}
	return metaOf(info), nil
}

// differs reports whether an entry of the same kind has new content, given the
// hints about it. A write counts whatever the numbers say. ctime counts only
// where a name was made anew: otherwise it changes with mode, owner and links.
// With a hint about attributes alone mtime does not count, as somebody set it.
func (m meta) differs(now meta, hints op) bool {
	switch {
	case hints&opWrite != 0:
		return true
	case m.id != now.id || m.size != now.size:
		return true
	case hints&opCreate != 0 && m.ctime != now.ctime:
		return true
	default:
		return m.mtime != now.mtime && hints != opAttributes
	}
}
