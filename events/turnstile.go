package events

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// turnstile counts who is inside and can be shut. The zero value needs init.
type turnstile struct {
	inside atomic.Int64
	closed atomic.Pointer[chan struct{}] // closed once it is open again; nil: it is open
	left   chan struct{}                 // holds one place: nobody was inside for a moment
}

func (t *turnstile) init() { t.left = make(chan struct{}, 1) }

// enter waits while the turnstile is shut; afterwards leave must be called.
func (t *turnstile) enter(ctx context.Context) error {
	for {
		t.inside.Add(1)
		closed := t.closed.Load()
		if closed == nil {
			return nil
		}
		t.leave()
		select {
		case <-*closed:
		case <-ctx.Done():
			return &storage.UnavailableError{
				Reason: "the hub is changing its storage", RetryAfter: time.Second, Err: context.Cause(ctx),
			}
		}
	}
}

func (t *turnstile) leave() {
	if t.inside.Add(-1) == 0 {
		tell(t.left)
	}
}

// shut lets nobody in until open is called, and waits for those inside, for at most d.
// There must be no other call of it at the same time.
func (t *turnstile) shut(d time.Duration) (empty bool, open func()) {
	closed := make(chan struct{})
	t.closed.Store(&closed)
	open = func() {
		t.closed.Store(nil)
		close(closed)
	}
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for t.inside.Load() > 0 {
		select {
		case <-t.left:
		case <-timeout.C:
			return false, open
		}
	}
	return true, open
}
