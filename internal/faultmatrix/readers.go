package faultmatrix

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// form is how a reader remembers where it is.
type form int

const (
	Canonical form = iota // the cursor
	Verbatim              // the cursor written as a time
	Truncated             // that time in milliseconds, as JavaScript has it
)

// readLimit is what a reader asks for at once.
const readLimit = 200

// reader follows one session, at one node or at whichever it finds.
type reader struct {
	actor
	log    string
	node   int
	roams  bool
	form   form
	stream *Stream // it stays connected; nil: it polls
	blind  bool    // it ignores what it saw while it was pending

	cursor string
	at     visit // the last one
	moves  int   // how often it has gone to another node, or life of one
	full   bool  // the cursor has no room for another producer
	epoch  string
	all    map[string]struct{} // what it has ever seen
	// Since the beginning, or since it was told that it may see things again:
	seen     map[string]sighting
	last     map[string]int      // writer → its newest event
	repeated map[string]sighting // what was seen again: all right if it was pending then
	// degraded is what who stays connected was told last.
	degraded atomic.Bool

	duplicated, reordered, untold []string
	pages                         []string // the last ones, in words
	strange                       []string // those up to the first that was not as it should be
}

// pagesKept is how many pages a reader remembers to explain itself.
const pagesKept = 12

func (r *run) newReader(log string, node int, roams bool, f form) *reader {
	stop := r.readersStop
	if r.fault.idle {
		stop = r.calm
	}
	name := fmt.Sprintf("reader of %s at %d, form %d, roams %v", log, node, f, roams)
	return &reader{
		actor: r.actor(name, stop), log: log, node: node, roams: roams, form: f,
		blind: r.fault.broken == BrokenParts, cursor: "1970-01-01T00:00:00Z",
		all: make(map[string]struct{}), seen: make(map[string]sighting), last: make(map[string]int),
		repeated: make(map[string]sighting),
	}
}

// startReaders starts who reads events.
func (r *run) startReaders() {
	for i, log := range r.logs() {
		r.readers = append(r.readers,
			r.newReader(log, 0, false, Canonical), r.newReader(log, 1, false, Canonical),
			r.newReader(log, i%2, true, Canonical),
			r.newReader(log, i%2, false, Verbatim), r.newReader(log, 1-i%2, false, Truncated))
	}
	r.addStreams()
	for _, reader := range r.readers {
		r.reading.Go(reader.follow)
	}
}

// follow reads on until it is told to stop, and then to the end.
func (f *reader) follow() {
	if f.stream != nil {
		f.stay()
		return
	}
	for f.pause(5*time.Millisecond, 30*time.Millisecond) {
		if f.roams && f.rand.IntN(5) == 0 {
			f.node = f.rand.IntN(2)
			if !f.pause(0, 300*time.Millisecond) {
				break
			}
		}
		f.poll()
	}
	select {
	case <-f.r.readersStop:
	case <-f.r.ctx.Done():
	}
	f.finish()
}

// finish reads until there is nothing new.
func (f *reader) finish() {
	deadline := time.Now().Add(patience)
	for f.r.ctx.Err() == nil && time.Now().Before(deadline) {
		known := len(f.all)
		r, ok := f.poll()
		if ok && !r.Degraded && !r.HasMore && len(f.all) == known {
			return
		}
		f.r.rest(f.r.ctx, 5*time.Millisecond)
	}
	f.r.book.problem(f.name + ": does not come to an end")
}

// poll reads one page.
func (f *reader) poll() (reply, bool) {
	c := f.r.nodes[f.node]
	r, err := c.call(f.r.ctx, request{Do: DoRead, Name: f.log, Cursor: f.cursor, Limit: readLimit, Form: f.form, Roams: f.roams})
	if errors.Is(err, errDown) {
		if f.roams {
			f.node = 1 - f.node
			f.r.rest(f.r.ctx, 5*time.Millisecond)
		} else {
			_ = c.awaitUp(f.r.ctx)
		}
	}
	if err != nil {
		return r, false
	}
	if r.Error != "" {
		if !r.Later {
			f.r.book.problem(f.name + ": " + r.Error)
		}
		return r, false
	}
	f.r.book.locked(func() { f.r.book.claims.shown(f.name, r) })
	f.take(r)
	return r, true
}

// take notes a page, and where to go on.
func (f *reader) take(r reply) {
	f.remember(r)
	f.hear(r)
	full := f.full // a ninth part is not kept
	f.full = strings.Count(r.Cursor, "~") >= storage.MaxParts
	for _, e := range r.Entries {
		f.note(e, r, full)
	}
	if f.strange == nil && len(f.duplicated)+len(f.reordered) > 0 {
		f.strange = slices.Clone(f.pages)
	}
	f.cursor = r.Cursor
	if f.blind {
		f.cursor, _, _ = strings.Cut(f.cursor, "~")
	}
	switch f.form {
	case Verbatim:
		f.cursor = r.Timestamp
	case Truncated:
		whole, fraction, _ := strings.Cut(r.Timestamp, ".")
		f.cursor = whole + "." + fraction[:3] + "Z"
	}
}

// remember writes down a page.
func (f *reader) remember(r reply) {
	if len(r.Entries) == 0 && len(f.pages) > 0 && f.cursor == r.Cursor {
		return // nothing has happened
	}
	if len(f.pages) == pagesKept {
		f.pages = slices.Delete(f.pages, 0, 1)
	}
	events := "none"
	if n := len(r.Entries); n > 0 {
		events = fmt.Sprintf("%d: %+v to %+v", n, r.Entries[0], r.Entries[n-1])
	}
	f.pages = append(f.pages, fmt.Sprintf("+%v node %d after %s: epoch %s, gap %v, degraded %v, more %v, cursor %s, events %s",
		time.Since(f.r.began).Round(time.Millisecond), f.node, f.cursor, r.Epoch, r.Gap, r.Degraded, r.HasMore, r.Cursor, events))
}

// note notes an event. It may be seen again if that is said, or see [reader.again],
// and out of order only if it has been seen before, or was published twice.
func (f *reader) note(e event, r reply, full bool) {
	id := e.ID
	_, old := f.all[id]
	f.all[id] = struct{}{}
	now := f.sighting(e, r)
	if first, ok := f.seen[id]; ok {
		f.again(id, first, now, full)
		return
	}
	f.seen[id] = now
	if p := f.r.book.published(f.log, id); old || p == nil || p.twice {
		return
	}
	writer, seq := origin(id)
	if last, ok := f.last[writer]; ok && seq < last {
		f.reordered = append(f.reordered, id)
		return
	}
	f.last[writer] = seq
}

// has reports whether the reader has ever seen an event.
func (f *reader) has(id string) bool {
	_, ok := f.all[id]
	return ok
}

// origin says who published an event, and which of his it is.
func origin(id string) (writer string, seq int) {
	if _, err := fmt.Sscanf(strings.Replace(id, "-", " ", 1), "%s %d", &writer, &seq); err != nil {
		return id, 0
	}
	return writer, seq
}
