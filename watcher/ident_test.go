package watcher

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func TestWhatCountsAsNewContent(t *testing.T) {
	t.Parallel()
	const sec = int64(time.Second)
	fileOf := func(size, mtime, ctime int64) meta {
		return meta{id: fileID{1, 2}, kind: kindFile, size: size, mtime: mtime, ctime: ctime}
	}
	before := fileOf(5, 7*sec+1, 7*sec+1)
	other := before
	other.id.ino++
	for name, c := range map[string]struct {
		looked int64 // at before
		now    meta
		hints  op
		want   bool
	}{
		"nothing":                        {8 * sec, before, 0, false},
		"attributes":                     {8 * sec, fileOf(5, 7*sec+1, 9*sec), opAttributes, false},
		"a time that was set":            {8 * sec, fileOf(5, 3*sec, 9*sec), opAttributes, false},
		"a time, without hints":          {8 * sec, fileOf(5, 3*sec, 9*sec), 0, true},
		"size":                           {8 * sec, fileOf(6, 7*sec+1, 7*sec+1), 0, true},
		"another file":                   {8 * sec, other, opCreate, true},
		"the same name made again":       {8 * sec, fileOf(5, 7*sec+1, 9*sec), opCreate, true},
		"written":                        {8 * sec, fileOf(5, 9*sec, 9*sec), opWrite, true},
		"written, time set back":         {8 * sec, fileOf(5, 7*sec+1, 9*sec), opWrite | opAttributes, true},
		"an old hint":                    {8 * sec, before, opWrite, false},
		"perhaps written at once":        {7*sec + 2, before, opWrite, true},
		"one tick later":                 {7*sec + int64(10*time.Millisecond), before, opWrite, true},
		"looked at by a clock behind":    {6 * sec, before, opWrite, true},
		"no clock":                       {0, before, opWrite, true},
		"new name, written before it is": {8 * sec, before, opWrite | opCreate, false},
	} {
		if got := before.at(c.looked).differs(c.now, c.hints); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	// Where times are rounded, a second write may have the time of the first.
	rounded := fileOf(5, 7*sec, 7*sec)
	if !rounded.at(8*sec).differs(rounded, opWrite) || rounded.at(11*sec).differs(rounded, opWrite) {
		t.Error("rounded times")
	}
	unknown := fileOf(5, 7*sec, 0)
	if !unknown.at(100*sec).differs(unknown, opWrite) {
		t.Error("no ctime")
	}
}

// A file is written again and again with the same content, each time as soon as
// the event of the last write has come.
func TestSameContentWrittenAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	u := watch(t, dir, func(c *Config, _ *hooks) { c.Debounce = time.Millisecond })
	write(t, filepath.Join(dir, "f"), "x")
	u.expect("created f")
	for range 20 {
		write(t, filepath.Join(dir, "f"), "x")
		u.expect("modified f")
	}
}

// A directory that is made again can have all the numbers of the one before, but
// not its watch.
func TestHintOfCreationRenewsTheWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sub := filepath.Join(dir, "d")
	must(t, os.Mkdir(sub, 0o755))
	var ns notifiers
	u := watch(t, dir, ownNotifier(&ns))
	n := ns.inUse()
	must(t, n.fs.Remove(sub))
	write(t, filepath.Join(sub, "f"), "x")
	n.fanOut(fsnotify.Event{Name: sub, Op: fsnotify.Create})
	u.expect("created d/f")
	if list := n.fs.WatchList(); !slices.Contains(list, sub) {
		t.Errorf("watched are %v", list)
	}
}

// Watches that the kernel has ended without a word are found.
func TestLostWatchesAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, filepath.Join(dir, "t"), "t", 3, 0)
	var ns notifiers
	u := watch(t, dir, ownNotifier(&ns))
	n := ns.inUse()
	must(t, n.fs.Remove(filepath.Join(dir, "t", "d1")))
	write(t, filepath.Join(dir, "t", "d1", "f"), "x")
	u.expect("created t/d1/f")
	u.sawState(StateDegraded)
	u.waitState(StateWatching)
	if s := u.Status(); s.Rescans != 1 || s.Overflows != 0 {
		t.Errorf("status %+v", s)
	}
	must(t, n.fs.Remove(dir))
	write(t, filepath.Join(dir, "g"), "x")
	u.expect("created g")
	u.settles()
}
