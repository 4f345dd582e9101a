package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// follower is a client of a program: it knows cursors, comes again whenever its
// connection ends, and checks what it is shown as it goes.
type follower struct {
	t     testing.TB
	nodes []*node
	name  string
	who   string
	rand  *rand.Rand
	only  *transport // nil: another one every time
	roams bool       // and perhaps another server
	// mayLose: Redis may lose something, of which it is to be told.
	mayLose bool

	running sync.WaitGroup
	stop    context.CancelFunc

	mu   sync.Mutex // guards what follows
	node int
	drop context.CancelFunc // ends the connection
	at   string
	// first is the position from which on it was shown everything; log is that.
	first    *storage.Cursor
	log      []string
	ever     map[string]bool
	problems []string
	// Since the beginning, or since it was told that events may come again:
	seen map[string]bool // whether it was pending
	last map[string]int64
	// here is what its connection has shown it since the last gap: a new epoch is no
	// reason to show that again.
	here map[string]bool
	// troubled: something was not as it should be while it was there, so that events
	// may have come in another order than they have in the history.
	troubled  bool
	warned    bool // it was the program that said so
	announced bool // told at least once that events may come again
	moved     bool // to another server, in trouble
	trace     []string
}

// start begins to follow, from the beginning or from now on.
func (f *follower) start(ctx context.Context, fromNow bool) {
	f.ever, f.seen, f.last = make(map[string]bool), make(map[string]bool), make(map[string]int64)
	if !fromNow {
		f.at = "1970-01-01T00:00:00Z"
		start := storage.MicrosCursor(0)
		f.first = &start
	}
	ctx, f.stop = context.WithCancel(ctx)
	f.running.Go(func() {
		for ctx.Err() == nil {
			f.visit(ctx)
			rest(ctx, nap)
		}
	})
}

// visit makes one connection.
func (f *follower) visit(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	how := transport(f.rand.IntN(int(transports)))
	if f.first == nil { // a poll from now on would answer what there is already
		how = transport(f.rand.IntN(2))
	}
	if f.only != nil {
		how = *f.only
	}
	n := f.nodes[f.node]
	f.drop, f.here = cancel, make(map[string]bool)
	v := visit{node: n, who: f.who, how: how, at: f.at}
	if !n.normal() {
		f.troubled = true
	}
	f.note("%v at server %d from %s", how, f.node, f.at)
	f.mu.Unlock()
	v.saw = func(s sight) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.see(s)
		return ctx.Err() == nil
	}
	err := v.make(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("ended: %v", err)
}

// traced is how many lines a follower remembers to explain itself.
const traced = 60

func (f *follower) note(format string, args ...any) {
	if len(f.trace) == traced {
		f.trace = slices.Delete(f.trace, 0, 1)
	}
	f.trace = append(f.trace, fmt.Sprintf(format, args...))
}

// describe says who it is and what it was shown last.
func (f *follower) describe() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%s (at server %d, roams %v):\n\t%s", f.name, f.node, f.roams, strings.Join(f.trace, "\n\t"))
}

func (f *follower) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
	f.note("PROBLEM: "+format, args...)
}

// see takes one thing that it is shown. mu is held.
func (f *follower) see(s sight) {
	if s.again {
		f.announced = true
		clear(f.seen)
		if !s.epoch {
			clear(f.here)
		}
		f.note("told that events may come again")
	}
	f.troubled = f.troubled || s.pending || s.degraded || s.again
	if s.id != "" {
		f.note("%s, pending %v, at %s", s.id, s.pending, s.cursor)
		f.event(s)
	}
	if s.cursor == "" {
		return
	}
	f.at = s.cursor
	if f.first == nil {
		c, err := storage.ParseCursor(s.cursor)
		if err != nil {
			f.problem("cursor %v", err)
		}
		f.first = &c
	}
}

func (f *follower) event(s sight) {
	pending, again := f.seen[s.id]
	f.seen[s.id] = s.pending
	if f.here[s.id] {
		f.problem("%s came twice over one connection", s.id)
	}
	f.here[s.id] = true
	if again {
		// Who goes on at another server may be shown what is pending there, and not
		// where he comes from.
		if !f.moved || pending {
			f.problem("%s came again", s.id)
		}
		return
	}
	if f.ever[s.id] {
		return
	}
	f.ever[s.id] = true
	f.log = append(f.log, s.id)
	who, n := origin(s.id)
	switch last, known := f.last[who]; {
	case known && n != last+1 && (n > last || !f.announced):
		f.problem("%s came after %s-%d", s.id, who, last)
	case !known && n != 1 && f.first != nil && f.first.Pos.Micros == 0 && f.first.IsTimestamp():
		f.problem("%s is the first of %s", s.id, who)
	}
	f.last[who] = max(f.last[who], n)
}

// disconnect breaks the connection, and perhaps has it come again elsewhere.
func (f *follower) disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.roams && f.rand.IntN(2) == 0 {
		f.node = 1 - f.node
		f.moved = f.moved || f.troubled || !f.nodes[0].normal() || !f.nodes[1].normal()
	}
	if f.drop != nil {
		f.drop()
	}
}

// trouble is told that something is wrong at a server.
func (f *follower) trouble(node int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.roams || f.node == node {
		f.troubled, f.warned = true, true
	}
}

// begun reports whether it has a place from which on it is shown everything.
func (f *follower) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first != nil
}

// behind is how many of the acknowledged events it has not been shown yet.
func (f *follower) behind(acked map[string]int64) (missing int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for who, n := range acked {
		missing += max(0, n-f.last[who])
	}
	return missing
}

// end ends it.
func (f *follower) end() {
	f.stop()
	f.running.Wait()
}

// check compares what it saw, now that it has ended, with the history. complete: all
// of that must have been shown.
func (f *follower) check(all []storage.LogEntry, complete bool) (problems []string, strict bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.announced && !f.mayLose {
		f.problem("told of a gap or an epoch, and nothing was ever lost")
	}
	if f.first == nil {
		return f.problems, false
	}
	if strict = !f.troubled; strict {
		f.checkOrder(all, complete)
	}
	if complete {
		f.checkSet(all)
	}
	return f.problems, strict
}

// checkOrder wants the history, from where the follower began.
func (f *follower) checkOrder(all []storage.LogEntry, complete bool) {
	var want []string
	for _, e := range all {
		if e.Pos.Micros > f.first.Pos.Micros && !f.first.Saw(e.Link) {
			want = append(want, e.ID)
		}
	}
	if n := differs(f.log, want); n >= 0 {
		f.problem("number %d from %s is %s, in the history %s", n, f.first, at(f.log, n), at(want, n))
	} else if complete && len(f.log) != len(want) {
		f.problem("%d events from %s, in the history %d", len(f.log), f.first, len(want))
	}
}

// checkSet wants everything that the history has of each publisher behind the first
// of his events that the follower was shown, or all where it began at the beginning;
// and nothing else.
func (f *follower) checkSet(all []storage.LogEntry) {
	there := make(map[string]bool, len(all))
	for _, e := range all {
		there[e.ID] = true
	}
	from := make(map[string]int64)
	for _, id := range f.log {
		who, n := origin(id)
		if _, ok := from[who]; !ok {
			from[who] = n
		}
		if !there[id] {
			f.problem("%s is not in the history", id)
		}
	}
	fromBeginning := f.first.IsTimestamp() && f.first.Pos.Micros == 0
	for id := range there {
		who, n := origin(id)
		first, ok := from[who]
		if (ok && n >= first || fromBeginning) && !f.ever[id] {
			f.problem("%s did not come", id)
		}
	}
}
