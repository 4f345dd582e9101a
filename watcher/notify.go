package watcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// notifyBuffer is the number of hints that may wait for distribution besides
// those in the kernel's queue.
const notifyBuffer = 1024

var (
	errNotifyClosed = errors.New("the notification channel was closed")
	errAliased      = errors.New("the directory is watched under another path already")
	errUnsettled    = errors.New("the directory keeps being replaced")
)

// The notifier in use. There is one per process, as the number of inotify
// instances per user is small; it lives while somebody uses it, and one that
// failed is left to its users and replaced for those that come later.
var (
	currentMu sync.Mutex
	current   *notifier
)

// notifier shares one fsnotify instance: directories are watched once, however
// many subscribers want them.
type notifier struct {
	fs   *fsnotify.Watcher
	done chan struct{} // closed when distribution has ended
	seq  atomic.Uint64 // number of hints received

	users   int // guarded by currentMu
	closing atomic.Bool

	// ops orders changes of watches. It is held across calls into fsnotify,
	// which may wait until its channels are read; distribution must therefore
	// do with mu, which never is.
	ops sync.Mutex

	mu   sync.Mutex
	dirs map[string]*dirWatch
	byID map[fileID]string
	subs map[*subscriber]struct{}
}

// dirWatch is one watched directory.
type dirWatch struct {
	id   fileID // of the directory that the kernel watches; zero: none
	live bool
	lost bool   // a hint said that the directory is gone
	seq  uint64 // when it was established
	subs map[*subscriber]struct{}
}

// acquireNotifier returns the shared notifier with s registered for overflows
// and failures.
func acquireNotifier(s *subscriber) (*notifier, error) {
	currentMu.Lock()
	defer currentMu.Unlock()
	if current == nil {
		n, err := newNotifier()
		if err != nil {
			return nil, err
		}
		current = n
	}
	n := current
	n.users++
	n.mu.Lock()
	n.subs[s] = struct{}{}
	n.mu.Unlock()
	return n, nil
}

func newNotifier() (*notifier, error) {
	w, err := fsnotify.NewBufferedWatcher(notifyBuffer)
	if err != nil {
		return nil, fmt.Errorf("notifications: %w", err)
	}
	n := &notifier{
		fs:   w,
		done: make(chan struct{}),
		dirs: map[string]*dirWatch{},
		byID: map[fileID]string{},
		subs: map[*subscriber]struct{}{},
	}
	n.seq.Store(1)
	go n.distribute()
	return n, nil
}

// release ends the use of n by s. The last one closes it and waits until its
// goroutines are gone.
func (n *notifier) release(s *subscriber) {
	n.ops.Lock()
	n.mu.Lock()
	delete(n.subs, s)
	dirs := make([]string, 0, len(s.dirs))
	for dir := range s.dirs {
		dirs = append(dirs, dir)
	}
	n.mu.Unlock()
	for _, dir := range dirs {
		n.unsubscribe(s, dir)
	}
	n.ops.Unlock()

	currentMu.Lock()
	n.users--
	last := n.users == 0
	if last && current == n {
		current = nil
	}
	currentMu.Unlock()
	if !last {
		return
	}
	n.closing.Store(true)
	_ = n.fs.Close()
	<-n.done
}

// distribute hands hints to subscribers until fsnotify ends. It goes on reading
// while fsnotify closes, which could not end otherwise.
func (n *notifier) distribute() {
	defer close(n.done)
	events, errs := n.fs.Events, n.fs.Errors
	for events != nil && errs != nil {
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			n.fanOut(ev)
		case err, ok := <-errs:
			if !ok {
				errs = nil
				continue
			}
			n.handleError(err)
		}
	}
	if !n.closing.Load() {
		n.fail(errNotifyClosed)
	}
}

// fanOut marks the path of ev for those who watch its directory or itself.
func (n *notifier) fanOut(ev fsnotify.Event) {
	seq := n.seq.Add(1)
	hints := opOf(ev.Op)
	name := filepath.Clean(ev.Name) // in the root of the file system it begins with two slashes
	n.mu.Lock()
	defer n.mu.Unlock()
	if wd := n.dirs[filepath.Dir(name)]; wd != nil {
		for s := range wd.subs {
			s.mark(name, hints, seq)
		}
	}
	if wd := n.dirs[name]; wd != nil {
		wd.lost = wd.lost || hints&opRemove != 0
		for s := range wd.subs {
			s.mark(name, hints, seq)
		}
	}
}

func (n *notifier) handleError(err error) {
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fsnotify.ErrEventOverflow):
		n.overflow()
	case errors.Is(err, syscall.EINVAL) && !errors.As(err, &pathErr):
		// fsnotify failed to remove the watch of a directory that was moved and
		// is gone by now. Nothing is lost.
	default:
		n.fail(err)
	}
}

func (n *notifier) overflow() {
	seq := n.seq.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subs {
		s.markOverflow(seq)
	}
}

// fail tells all subscribers and takes n out of use for new ones.
func (n *notifier) fail(err error) {
	currentMu.Lock()
	if current == n {
		current = nil
	}
	currentMu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subs {
		s.fail(fmt.Errorf("notifications: %w", err))
	}
}

// add watches dir for s. A watch established up to the position since is taken
// for one of another directory that had the same path, and renewed; so is one
// whose directory has another identity now.
func (n *notifier) add(s *subscriber, dir string, since uint64) error {
	n.ops.Lock()
	defer n.ops.Unlock()
	id, err := dirID(dir)
	if err != nil {
		return err
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
			wd.id, wd.live, wd.lost, wd.seq = id, true, false, seq
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

// position is the number of the latest hint.
func (n *notifier) position() uint64 { return n.seq.Load() }

// dirID returns the identity of the directory at path, which must not be a
// link.
func dirID(path string) (fileID, error) {
	m, err := statMeta(path)
	if err != nil {
		return fileID{}, err
	}
	if m.kind != kindDir {
		return fileID{}, &os.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return m.id, nil
}
