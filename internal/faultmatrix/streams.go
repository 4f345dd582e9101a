package faultmatrix

import (
	"context"
	"fmt"
	"time"
)

// addStreams adds readers that stay connected, of each kind one at each node.
func (r *run) addStreams() {
	for i := range r.subject.Streams {
		for _, log := range r.logs() {
			for node := range nodeCount {
				f := r.newReader(log, node, false, Canonical)
				f.stream = &r.subject.Streams[i]
				f.name = fmt.Sprintf("%s of %s at %d", f.stream.Name, log, node)
				r.readers = append(r.readers, f)
			}
		}
	}
}

// stay stays connected, and connects again with its cursor when it is not.
func (f *reader) stay() {
	ctx, cancel := context.WithCancel(f.r.ctx)
	defer cancel()
	pages := make(chan reply)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.connect(ctx, pages)
	}()
	for done := f.r.readersStop; ; {
		select {
		case page := <-pages:
			f.got(page)
		case <-done:
			// Nothing more happens. What has not come soon does not come.
			done = nil
			f.complete(pages)
			cancel()
		case <-ended:
			return
		}
	}
}

// got notes what has come over the connection.
func (f *reader) got(page reply) {
	if page.Status == nil {
		if page.Confirms {
			f.r.book.locked(func() { f.r.book.claims.shown(f.name, page) })
		}
		f.take(page)
		return
	}
	f.degraded.Store(*page.Status)
	if *page.Status {
		f.r.book.locked(func() { f.r.book.claims.alarm("%s: was told that the node is degraded", f.name) })
	}
}

// complete goes on until the reader has all that was acknowledged and knows that all
// is well and in which epoch the session is, or time is up.
func (f *reader) complete(pages <-chan reply) {
	timer := time.NewTimer(completeWithin)
	defer timer.Stop()
	for {
		if f.r.book.missing(f.log, f.has, f.r.excused) == 0 && !f.degraded.Load() && f.epoch == f.r.epochs[f.log] {
			return
		}
		select {
		case page := <-pages:
			f.got(page)
		case <-timer.C:
			if f.degraded.Load() {
				f.untold = append(f.untold, "was not told that the node is well again")
			}
			return
		case <-f.r.ctx.Done():
			return
		}
	}
}

// connect connects, as often as it takes, until ctx ends.
func (f *reader) connect(ctx context.Context, pages chan<- reply) {
	cursor, before := f.cursor, f.cursor
	var at visit
	take := func(page reply) {
		page.visit = at
		if page.Status == nil {
			if page.Cursor != cursor {
				before = cursor
			}
			cursor = page.Cursor
		}
		select {
		case pages <- page:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil {
		node := f.r.nodes[f.node]
		if node.awaitUp(ctx) != nil {
			return
		}
		var addr string
		conn := at.conn
		addr, at = node.visit()
		at.conn, at.since = conn+1, cursor
		f.degraded.Store(false) // unless he is told otherwise
		from := cursor
		if f.r.fault.broken == BrokenResume {
			from = before
		}
		_ = f.stream.Follow(ctx, addr, f.log, from, take) // a reader connects again, whatever it was
		f.r.rest(ctx, 20*time.Millisecond)
	}
}
