package watcher

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// notifyBuffer is the number of hints that may wait for distribution besides
// those in the kernel's queue.
const notifyBuffer = 1024

var errNotifyClosed = errors.New("the notification channel was closed")

// notifiers holds the notifier in use. There is one per process, as the number of
// inotify instances per user is small; it lives while somebody uses it, and one
// that failed is left to its users and replaced for those that come later.
type notifiers struct {
	mu      sync.Mutex
	current *notifier
}

// shared is that of the process.
var shared notifiers

// notifier shares one fsnotify instance: directories are watched once, however
// many subscribers want them.
type notifier struct {
	in   *notifiers
	fs   *fsnotify.Watcher
	done chan struct{} // closed when distribution has ended
	seq  atomic.Uint64 // number of hints received

	users   int // guarded by in.mu
	closing atomic.Bool

	// ops orders changes of watches. It is held across calls into fsnotify,
	// which may wait until its channels are read; distribution must therefore
	// do with mu, which never is.
	ops     sync.Mutex
	audited time.Time // guarded by ops

	mu   sync.Mutex
	dirs map[string]*dirWatch
	byID map[fileID]string
	subs map[*subscriber]struct{}
}

// dirWatch is one watched directory.
type dirWatch struct {
	id   fileID // of the directory that the kernel watches; zero: none
	live bool
	lost bool   // the watch has ended: a hint said that the directory is gone, or it is missing
	seq  uint64 // when it was established
	subs map[*subscriber]struct{}

	missing bool // the kernel had no such watch at the last audit
}

// acquire returns a subscriber of the shared notifier, registered for overflows
// and failures.
func (ns *notifiers) acquire() (*subscriber, error) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.current == nil {
		n, err := newNotifier(ns)
		if err != nil {
			return nil, err
		}
		ns.current = n
	}
	n := ns.current
	n.users++
	s := newSubscriber(n)
	n.mu.Lock()
	n.subs[s] = struct{}{}
	n.mu.Unlock()
	return s, nil
}

// leave takes n out of use for those who come later.
func (ns *notifiers) leave(n *notifier) {
	if ns.current == n {
		ns.current = nil
	}
}

func newNotifier(in *notifiers) (*notifier, error) {
	w, err := fsnotify.NewBufferedWatcher(notifyBuffer)
	if errors.Is(err, syscall.EMFILE) {
		err = fmt.Errorf("%w (raise fs.inotify.max_user_instances and the limit of open files, or use poll)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("notifications: %w", err)
	}
	n := &notifier{
		in:   in,
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

	n.in.mu.Lock()
	n.users--
	last := n.users == 0
	if last {
		n.in.leave(n)
	}
	n.in.mu.Unlock()
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
	n.in.mu.Lock()
	n.in.leave(n)
	n.in.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.subs {
		s.fail(fmt.Errorf("notifications: %w", err))
	}
}
