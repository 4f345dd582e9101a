package watcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

var (
	errAliased   = errors.New("the directory is watched under another path already")
	errUnsettled = errors.New("the directory keeps being replaced")
)

// add watches dir for s, which must have the identity want if that is not zero.
// A watch established up to the position since is taken
// for one of another directory that had the same path, and renewed; so is one
// whose directory has another identity now.
func (n *notifier) add(s *subscriber, dir string, want fileID, since uint64) error {
	n.ops.Lock()
	defer n.ops.Unlock()
	id, err := dirID(dir)
	if err != nil {
		return err
	}
	if want != (fileID{}) && id != want {
		return &fs.PathError{Op: "watch", Path: dir, Err: fs.ErrNotExist}
	}
	n.mu.Lock()
	wd := n.dirs[dir]
	if wd == nil {
		wd = &dirWatch{subs: map[*subscriber]struct{}{}}
		n.dirs[dir] = wd
	}
	wd.subs[s] = struct{}{}
	s.dirs[dir] = struct{}{}
	valid := wd.live && !wd.lost && wd.id == id && wd.seq > since
	n.mu.Unlock()
	if valid {
		return nil
	}
	err = n.establish(dir, wd, id)
	// Others have missed what happened while there was no watch.
	n.mu.Lock()
	for other := range wd.subs {
		if other != s {
			other.mark(dir, opReread, n.seq.Load())
		}
	}
	n.mu.Unlock()
	if err != nil {
		n.unsubscribe(s, dir)
	}
	return err
}

// establish makes the kernel watch what is at dir now. The old watch is removed
// first: it may belong to a directory that was moved away, and fsnotify would
// mistake the one for the other.
func (n *notifier) establish(dir string, wd *dirWatch, id fileID) error {
	for range 3 {
		if err := n.evict(dir, id); err != nil {
			return err
		}
		n.forget(dir, wd)
		seq := n.seq.Add(1) // before the watch: what comes later is newer
		if err := n.fs.Add(dir); err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
		now, err := dirID(dir)
		if err == nil && now == id {
			n.mu.Lock()
			wd.id, wd.live, wd.lost, wd.missing, wd.seq = id, true, false, false, seq
			if id != (fileID{}) {
				n.byID[id] = dir
			}
			n.mu.Unlock()
			return nil
		}
		_ = n.fs.Remove(dir)
		if err != nil {
			return err
		}
		id = now
	}
	return fmt.Errorf("watch %s: %w", dir, errUnsettled)
}

// evict drops the watch of the directory id under the path it had before it
// became dir. The kernel has one watch per directory, and fsnotify would go on
// to report it under the old path.
func (n *notifier) evict(dir string, id fileID) error {
	n.mu.Lock()
	old, ok := n.byID[id]
	wd := n.dirs[old]
	n.mu.Unlock()
	if !ok || old == dir || wd == nil {
		return nil
	}
	if at, err := dirID(old); err == nil && at == id {
		return fmt.Errorf("watch %s: %w: %s", dir, errAliased, old)
	}
	n.forget(old, wd)
	n.mu.Lock()
	for s := range wd.subs {
		s.mark(old, opCreate, n.seq.Load())
	}
	n.mu.Unlock()
	return nil
}

// forget removes the kernel's watch of dir, which may be gone already.
func (n *notifier) forget(dir string, wd *dirWatch) {
	n.mu.Lock()
	if n.byID[wd.id] == dir {
		delete(n.byID, wd.id)
	}
	live := wd.live
	wd.id, wd.live = fileID{}, false
	n.mu.Unlock()
	if live {
		_ = n.fs.Remove(dir)
	}
}

// remove ends the watch of dir for s.
func (n *notifier) remove(s *subscriber, dir string) {
	n.ops.Lock()
	defer n.ops.Unlock()
	n.unsubscribe(s, dir)
}

// unsubscribe is remove for those who hold ops.
func (n *notifier) unsubscribe(s *subscriber, dir string) {
	n.mu.Lock()
	delete(s.dirs, dir)
	wd := n.dirs[dir]
	if wd == nil {
		n.mu.Unlock()
		return
	}
	delete(wd.subs, s)
	unused := len(wd.subs) == 0
	n.mu.Unlock()
	if !unused {
		return
	}
	n.forget(dir, wd)
	n.mu.Lock()
	delete(n.dirs, dir)
	n.mu.Unlock()
}

// audit makes those look again whose watches the kernel has ended without a
// hint, as it does where a file system is unmounted: also where it was mounted
// again meanwhile and all looks as before. A watch that is missing once may have
// a hint that is still on its way.
func (n *notifier) audit() {
	n.ops.Lock()
	defer n.ops.Unlock()
	if time.Since(n.audited) < checkInterval/2 {
		return // for another subscriber
	}
	n.audited = time.Now()
	list := n.fs.WatchList()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.live() == len(list) {
		return
	}
	there := make(map[string]struct{}, len(list))
	for _, dir := range list {
		there[dir] = struct{}{}
	}
	for dir, wd := range n.dirs {
		_, ok := there[dir]
		if ok || !wd.live || wd.lost {
			wd.missing = false
			continue
		}
		if !wd.missing {
			wd.missing = true
			continue
		}
		wd.lost = true
		for s := range wd.subs {
			s.markLost(n.seq.Load())
		}
	}
}

// live is the number of directories that the kernel should watch.
func (n *notifier) live() int {
	count := 0
	for _, wd := range n.dirs {
		if wd.live && !wd.lost {
			count++
		}
	}
	return count
}

// count is the number of directories watched for s, without the one at except.
func (n *notifier) count(s *subscriber, except string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := len(s.dirs)
	if _, ok := s.dirs[except]; ok {
		count--
	}
	return count
}

// dirID returns the identity of the directory at path, which must not be a
// link.
func dirID(path string) (fileID, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return fileID{}, err
	}
	m := metaOf(info)
	if m.kind != kindDir {
		return fileID{}, &os.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return m.id, nil
}
