package events

import "sync"

// tasks are the goroutines of a hub.
type tasks struct {
	mu     sync.Mutex // guards what follows
	n      int
	closed bool
	done   chan struct{} // closed when closed and n is 0
}

func newTasks() *tasks { return &tasks{done: make(chan struct{})} }

// run starts fn in a goroutine, unless the tasks are closed.
func (t *tasks) run(fn func()) bool {
	if !t.begin() {
		return false
	}
	go func() {
		defer t.end()
		fn()
	}()
	return true
}

// begin counts a task that goes from goroutine to goroutine, until end.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	t.finished()
}

func (t *tasks) finished() {
	if t.closed && t.n == 0 {
		close(t.done)
	}
}

// close lets no task start any more; done tells when the last one has ended.
func (t *tasks) close() (done <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		t.finished()
	}
	return t.done
}
