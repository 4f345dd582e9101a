package watcher

import (
	"sync"

	"github.com/fsnotify/fsnotify"
)

// op says what kinds of hints a path has had.
type op uint8

const (
	opCreate op = 1 << iota
	opRemove
	opWrite
	opAttributes
	opReread // the watch of a directory was renewed: read it again
)

func opOf(o fsnotify.Op) op {
	var hints op
	if o.Has(fsnotify.Create) {
		hints |= opCreate
	}
	if o.Has(fsnotify.Remove) || o.Has(fsnotify.Rename) {
		hints |= opRemove
	}
	if o.Has(fsnotify.Write) {
		hints |= opWrite
	}
	if o.Has(fsnotify.Chmod) {
		hints |= opAttributes
	}
	return hints
}

// hint is what is known about a dirty path.
type hint struct {
	ops op
	seq uint64 // position of the last hint in the notifier's stream
}

// hints is what a backend has to say.
type hints struct {
	dirty map[string]hint // by absolute path

	lost      uint64 // position up to which hints may be missing; 0: none are
	overflows int    // times that the kernel's queue overflowed

	err error // the backend has failed
}

// subscriber is the backend of notifications: it collects the hints of one user
// of the notifier until it takes them. Memory is bounded by the number of
// distinct paths.
type subscriber struct {
	n     *notifier
	ready chan struct{} // has an element while there is something to take

	// dirs are the directories watched for this subscriber; guarded by the
	// notifier's mutex.
	dirs map[string]struct{}

	mu sync.Mutex
	hints
}

func newSubscriber(n *notifier) *subscriber {
	return &subscriber{
		n:     n,
		ready: make(chan struct{}, 1),
		dirs:  map[string]struct{}{},
		hints: hints{dirty: map[string]hint{}},
	}
}

func (s *subscriber) mark(path string, ops op, seq uint64) {
	s.mu.Lock()
	h := s.dirty[path]
	s.dirty[path] = hint{ops: h.ops | ops, seq: max(h.seq, seq)}
	s.mu.Unlock()
	wakeUp(s.ready)
}

func (s *subscriber) markLost(seq uint64) {
	s.mu.Lock()
	s.lost = max(s.lost, seq)
	s.mu.Unlock()
	wakeUp(s.ready)
}

func (s *subscriber) markOverflow(seq uint64) {
	s.mu.Lock()
	s.overflows++
	s.mu.Unlock()
	s.markLost(seq)
}

func (s *subscriber) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	wakeUp(s.ready)
}

// take hands over what was collected. An error stays.
func (s *subscriber) take() hints {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.hints
	s.hints = hints{dirty: map[string]hint{}, err: s.err}
	return taken
}

func (s *subscriber) watch(dir string, want fileID, since uint64) error {
	return s.n.add(s, dir, want, since)
}

func (s *subscriber) unwatch(dir string)      { s.n.remove(s, dir) }
func (s *subscriber) hinted() <-chan struct{} { return s.ready }
func (s *subscriber) audit()                  { s.n.audit() }
func (s *subscriber) position() uint64        { return s.n.seq.Load() }
func (s *subscriber) watches(except string) int {
	return s.n.count(s, except)
}
func (s *subscriber) limit() int { return watchLimit() }
func (s *subscriber) release()   { s.n.release(s) }

// wakeUp fills a channel of capacity one, if it is not full already.
func wakeUp(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
