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

// subscriber collects the hints of one user of the notifier until it takes
// them. Memory is bounded by the number of distinct paths.
type subscriber struct {
	wake chan struct{} // has an element while there is something to take

	// dirs are the directories watched for this subscriber; guarded by the
	// notifier's mutex.
	dirs map[string]struct{}

	mu       sync.Mutex
	dirty    map[string]hint
	overflow uint64 // position at which hints were lost; 0: none were
	err      error
}

func newSubscriber() *subscriber {
	return &subscriber{
		wake:  make(chan struct{}, 1),
		dirs:  map[string]struct{}{},
		dirty: map[string]hint{},
	}
}

func (s *subscriber) mark(path string, ops op, seq uint64) {
	s.mu.Lock()
	h := s.dirty[path]
	s.dirty[path] = hint{ops: h.ops | ops, seq: max(h.seq, seq)}
	s.mu.Unlock()
	wakeUp(s.wake)
}

func (s *subscriber) markOverflow(seq uint64) {
	s.mu.Lock()
	s.overflow = max(s.overflow, seq)
	s.mu.Unlock()
	wakeUp(s.wake)
}

func (s *subscriber) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	wakeUp(s.wake)
}

// take hands over what was collected. An error stays.
func (s *subscriber) take() (dirty map[string]hint, overflow uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty, overflow = s.dirty, s.overflow
	s.dirty, s.overflow = map[string]hint{}, 0
	return dirty, overflow, s.err
}

// wakeUp fills a channel of capacity one, if it is not full already.
func wakeUp(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
