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
	interest

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

	mu       sync.Mutex // guards what follows
	node     int
	drop     context.CancelFunc // ends the connection
	strands  map[string]*strand // by session
	problems []string
	// troubled: something was not as it should be while it was there, so that events
	// may have come in another order than they have in the history.
	troubled bool
	warned   bool // it was the program that said so
	moved    bool // to another server, in trouble
	trace    []string
}

// strand is what a follower was shown of one session.
type strand struct {
	at string
	// first is the position from which on it was shown everything; log is that.
	first *storage.Cursor
	log   []string
	ever  map[string]bool
	// Since the beginning, or since it was told that events may come again:
	seen map[string]bool // whether it was pending
	last map[string]int64
	// here is what its connection has shown it since the last gap: a new epoch is no
	// reason to show that again.
	here      map[string]bool
	announced bool // told at least once that events may come again
}

// start begins to follow, from the beginning or from now on.
func (f *follower) start(ctx context.Context, fromNow bool) {
	f.strands = make(map[string]*strand)
	for _, session := range f.sessions {
		st := &strand{ever: make(map[string]bool), seen: make(map[string]bool), last: make(map[string]int64)}
		if !fromNow {
			st.at = "1970-01-01T00:00:00Z"
			start := storage.MicrosCursor(0)
			st.first = &start
		}
		f.strands[session] = st
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
	if !f.placed() { // a poll from now on would answer what there is already
		how = transport(f.rand.IntN(2))
	}
	if f.only != nil {
		how = *f.only
	}
	n := f.nodes[f.node]
	v := visit{
		interest: f.interest, node: n, who: f.who, how: how, at: make(map[string]string),
		resume: resumption(f.rand.IntN(int(resumptions))),
	}
	if how == poll { // with wait it would take too long: there are 250 ms between answers
		v.limit = []int{20, pollLimit}[f.rand.IntN(2)]
	}
	for session, st := range f.strands {
		if st.here = make(map[string]bool); st.at != "" {
			v.at[session] = st.at
		}
	}
	f.drop = cancel
	most := 5 + f.rand.IntN(300) // in the middle of something
	if !n.normal() {
		f.troubled = true
	}
	f.note("%v at server %d from %v", how, f.node, v.at)
	f.mu.Unlock()
	v.saw = func(s sight) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.see(s)
		most--
		return most > 0 && ctx.Err() == nil
	}
	err := v.make(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("ended: %v", err)
}

// placed reports whether it has a place in each session from which on it is shown
// everything. mu is held.
func (f *follower) placed() bool {
	for _, st := range f.strands {
		if st.first == nil {
			return false
		}
	}
	return true
}

// traced is how many lines a follower remembers to explain itself: those before its
// first problem.
const traced = 60

func (f *follower) note(format string, args ...any) {
	if len(f.problems) > 0 {
		return
	}
	if len(f.trace) == traced {
		f.trace = slices.Delete(f.trace, 0, 1)
	}
	f.trace = append(f.trace, fmt.Sprintf(format, args...))
}

// describe says who it is and what it was shown last.
func (f *follower) describe() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprintf("%s (of %v, at server %d, roams %v):\n\t%s", f.name, f.interest, f.node, f.roams, strings.Join(f.trace, "\n\t"))
}

func (f *follower) problem(format string, args ...any) {
	f.note("PROBLEM: "+format, args...)
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// see takes one thing that it is shown. mu is held.
func (f *follower) see(s sight) {
	st := f.strands[s.session]
	if st == nil {
		f.problem("%+v is of a session that it does not follow", s)
		return
	}
	if s.again {
		st.announced = true
		clear(st.seen)
		if !s.epoch {
			clear(st.here)
		}
		f.note("told that events of %q may come again", s.session)
	}
	f.troubled = f.troubled || s.pending || s.degraded || s.again
	if s.id != "" {
		f.note("%s, pending %v, at %s", s.id, s.pending, s.cursor)
		f.event(st, s)
	}
	if s.cursor == "" {
		return
	}
	st.at = s.cursor
	if st.first == nil {
		c, err := storage.ParseCursor(s.cursor)
		if err != nil {
			f.problem("cursor %v", err)
		}
		st.first = &c
	}
}

func (f *follower) event(st *strand, s sight) {
	pending, again := st.seen[s.id]
	st.seen[s.id] = s.pending
	if st.here[s.id] {
		f.problem("%s came twice over one connection", s.id)
	}
	st.here[s.id] = true
	if again {
		// Who goes on at another server may be shown what is pending there, and not
		// where he comes from.
		if !f.moved || pending {
			f.problem("%s came again", s.id)
		}
		return
	}
	if st.ever[s.id] {
		return
	}
	st.ever[s.id] = true
	st.log = append(st.log, s.id)
	who, n := origin(s.id)
	switch last, known := st.last[who]; {
	case sessionOf(who) != s.session:
		f.problem("%s came as one of session %q", s.id, s.session)
	case !f.takes(n):
		f.problem("%s is of type %s, which it did not ask for", s.id, typeOf(n))
	case known && n != f.next(last) && (n > last || !st.announced):
		f.problem("%s came after %s-%d", s.id, who, last)
	case !known && n != f.next(0) && st.first != nil && st.first.Pos.Micros == 0 && st.first.IsTimestamp():
		f.problem("%s is the first of %s", s.id, who)
	}
	st.last[who] = max(st.last[who], n)
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

// wasWarned reports whether it was told that something is wrong.
func (f *follower) wasWarned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.warned
}

// begun reports whether it has a place from which on it is shown everything.
func (f *follower) begun() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.placed()
}

// behind is how far it has not been shown yet what it asked for, of the events up to
// these numbers.
func (f *follower) behind(acked map[string]int64) (missing int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for who, n := range acked {
		if st := f.strands[sessionOf(who)]; st != nil {
			missing += max(0, f.latest(n)-st.last[who])
		}
	}
	return missing
}

// end ends it.
func (f *follower) end() {
	f.stop()
	f.running.Wait()
}

// check compares what it saw, now that it has ended, with the histories. complete: all
// of that must have been shown.
func (f *follower) check(all map[string][]storage.LogEntry, complete bool) (problems []string, strict bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	strict = !f.troubled
	for session, st := range f.strands {
		if st.announced && !f.mayLose {
			f.problem("told of a gap or an epoch, and nothing was ever lost")
		}
		if st.first == nil {
			strict = false
			continue
		}
		if entries := f.of(all[session]); strict {
			f.checkOrder(st, entries, complete)
		}
		if complete {
			f.checkSet(st, all[session])
		}
	}
	return f.problems, strict
}

// checkOrder wants the history of a session, from where the follower began.
func (f *follower) checkOrder(st *strand, all []storage.LogEntry, complete bool) {
	var want []string
	for _, e := range all {
		if e.Pos.Micros > st.first.Pos.Micros && !st.first.Saw(e.Link) {
			want = append(want, e.ID)
		}
	}
	if n := differs(st.log, want); n >= 0 {
		f.problem("number %d from %s is %s, in the history %s", n, st.first, at(st.log, n), at(want, n))
	} else if complete && len(st.log) != len(want) {
		f.problem("%d events from %s, in the history %d", len(st.log), st.first, len(want))
	}
}

// checkSet wants everything that the history of a session has of each publisher behind
// the first of his events that the follower was shown, or all where it began at the
// beginning; and nothing else.
func (f *follower) checkSet(st *strand, all []storage.LogEntry) {
	there := make(map[string]bool, len(all))
	for _, e := range all {
		there[e.ID] = true
	}
	from := make(map[string]int64)
	for _, id := range st.log {
		who, n := origin(id)
		if _, ok := from[who]; !ok {
			from[who] = n
		}
		if !there[id] {
			f.problem("%s is not in the history", id)
		}
	}
	fromBeginning := st.first.IsTimestamp() && st.first.Pos.Micros == 0
	for id := range there {
		who, n := origin(id)
		first, ok := from[who]
		if (ok && n >= first || fromBeginning) && f.takes(n) && !st.ever[id] {
			f.problem("%s did not come", id)
		}
	}
}
