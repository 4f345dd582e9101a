package faultmatrix

import (
	"context"
	"fmt"
	"time"
)

// addStreams adds readers that stay connected, of each kind one at each node.
func (r *run) addStreams() {
	for i := range r.subject.Streams {
		for _, log := range sessions {
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
			f.take(page)
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

// complete goes on until the reader has all that was acknowledged, or time is up.
func (f *reader) complete(pages <-chan reply) {
	timer := time.NewTimer(completeWithin)
	defer timer.Stop()
	for {
		ids := make([]string, 0, len(f.all))
		for id := range f.all {
			ids = append(ids, id)
		}
		if f.r.book.missing(f.log, ids, f.r.excused) == 0 {
			return
		}
		select {
		case page := <-pages:
			f.take(page)
		case <-timer.C:
			return
		case <-f.r.ctx.Done():
			return
		}
	}
}

// connect connects, as often as it takes, until ctx ends.
func (f *reader) connect(ctx context.Context, pages chan<- reply) {
	cursor, before := f.cursor, f.cursor
	take := func(page reply) {
		if page.Cursor != cursor {
			before = cursor
		}
		cursor = page.Cursor
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
		addr, _ := node.address()
		from := cursor
		if f.r.fault.broken == BrokenResume {
			from = before
		}
		_ = f.stream.Follow(ctx, addr, f.log, from, take) // a reader connects again, whatever it was
		f.r.rest(ctx, 20*time.Millisecond)
	}
}
