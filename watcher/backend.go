package watcher

import "time"

// backend tells where in the tree to look again. The snapshot decides what that
// comes to, so that a backend may tell too much, but never too little.
type backend interface {
	// watch makes hints come of what happens in the directory dir from now on;
	// it must have the identity want if that is not zero. A watch established
	// up to the position since is renewed.
	watch(dir string, want fileID, since uint64) error

	// unwatch ends that.
	unwatch(dir string)

	// hinted returns a channel that has an element while there is something to
	// take. It is called before each wait.
	hinted() <-chan struct{}

	// take hands over what was hinted since it was last called.
	take() hints

	// audit finds watches that have ended without a hint. It is called every
	// checkInterval.
	audit()

	// position is that of the latest hint.
	position() uint64

	// watches is the number of directories that are watched, without the one at
	// except.
	watches(except string) int

	// limit is the number of watches that all programs of the user may have
	// together; 0 where that is not known or does not matter.
	limit() int

	// release ends the use of the backend.
	release()
}

// openBackend opens the backend that c asks for, for the resolved root.
func (w *Watcher) openBackend() (backend, error) {
	if w.cfg.Poll > 0 {
		return newPoller(w.root, w.cfg.Poll), nil
	}
	return w.hooks.notifiers.acquire()
}

// poller is the backend for file systems that do not tell what happens in them:
// from time to time it hints that the whole tree may have changed.
type poller struct {
	root  string
	every time.Duration
	timer *time.Timer
	due   chan struct{}
	armed bool
}

func newPoller(root string, every time.Duration) *poller {
	p := &poller{root: root, every: every, due: make(chan struct{}, 1)}
	p.timer = time.AfterFunc(every, func() { wakeUp(p.due) })
	p.armed = true
	return p
}

// hinted begins the time until the next comparison, which so never follows at
// once on one that took long.
func (p *poller) hinted() <-chan struct{} {
	if !p.armed {
		p.armed = true
		p.timer.Reset(p.every)
	}
	return p.due
}

func (p *poller) take() hints {
	p.armed = false
	return hints{dirty: map[string]hint{p.root: {ops: opCreate}}}
}

func (p *poller) release() { p.timer.Stop() }

func (p *poller) watch(string, fileID, uint64) error { return nil }
func (p *poller) unwatch(string)                     {}
func (p *poller) audit()                             {}
func (p *poller) position() uint64                   { return 0 }
func (p *poller) watches(string) int                 { return 0 }
func (p *poller) limit() int                         { return 0 }
