package faultmatrix

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// check compares what was found with what was acknowledged, and with what every
// reader saw. All work has ended.
func (r *run) check(f found) verdict {
	v := verdict{recovery: r.recovery}
	b := r.book
	v.longest, v.problems = b.longest, slices.Clone(b.problems)
	said := b.claims.verdict()
	v.untold = len(said)
	v.problems = append(v.problems, said[:min(len(said), 10)]...)
	for log, events := range f.events {
		r.checkHistory(&v, log, events)
	}
	r.checkDocuments(&v, f.documents)
	r.checkCounter(&v, f.counted)
	r.checkInput(&v, f.left)
	r.checkCommands(&v, f.commands)
	for _, reader := range r.readers {
		r.checkReader(&v, reader, f.events[reader.log])
		r.checkTold(&v, reader, f.epochs[reader.log])
	}
	return v
}

// excused reports whether an acknowledged event may be missing: of the session that
// was deleted all may but those which were published afterwards through the node that
// deleted it. Another node may have accepted one in the belief that nothing had
// happened.
func (r *run) excused(log string, p *published) bool {
	return log == doomed && p != nil && (r.deleted.IsZero() || p.node != 0 || p.first.Before(r.deleted))
}

func (r *run) checkHistory(v *verdict, log string, events []placed) {
	count, last := make(map[string]int), make(map[string]int)
	var behind, lost []string
	for _, e := range events {
		id := e.id
		p := r.book.events[log][id]
		if p == nil {
			v.duplicated++
			v.problem("%s: %s is in the history, and nobody has published it", log, id)
			continue
		}
		if count[id]++; count[id] > 1 {
			v.duplicated++
			v.problem("%s: %s is in the history %d times", log, id, count[id])
			continue
		}
		p.received = max(p.received, e.micros)
		if p.twice {
			continue // through one node, is the promise
		}
		if before, ok := last[p.writer]; ok && p.seq < before {
			behind = append(behind, fmt.Sprintf("%s behind number %d", id, before))
		}
		last[p.writer] = max(last[p.writer], p.seq)
	}
	for id, p := range r.book.events[log] {
		if p.acked.IsZero() {
			continue
		}
		v.acked++
		if p.pending {
			v.pending++
		}
		if p.volatile {
			v.problem("%s: %s was acknowledged without the journal", log, id)
		}
		if count[id] == 0 && !r.excused(log, p) {
			lost = append(lost, fmt.Sprintf("%s (after %v, pending: %v)", id, p.acked.Sub(r.began).Round(time.Millisecond), p.pending))
		}
	}
	v.reordered += len(behind)
	v.lost += len(lost)
	if n := len(lost); n > 0 {
		v.problem("%s: %d events were acknowledged and are lost: %v", log, n, first(lost))
	}
	if n := len(behind); n > 0 {
		v.problem("%s: %d events stand in the history in another order than they were published: %v", log, n, first(behind))
	}
}

// checkReader checks that a reader saw what is there, each event once and in the
// order of its writer, unless it was told otherwise.
func (r *run) checkReader(v *verdict, f *reader, events []placed) {
	f.settle(r.book)
	v.duplicated += len(f.duplicated)
	v.reordered += len(f.reordered)
	if n := len(f.duplicated); n > 0 {
		v.problem("%s: saw %d events twice: %v", f.name, n, first(f.duplicated))
	}
	if n := len(f.reordered); n > 0 {
		v.problem("%s: saw %d events late: %v", f.name, n, first(f.reordered))
	}
	if len(f.strange) > 0 {
		v.problem("%s: its pages until then:\n\t%s", f.name, strings.Join(f.strange, "\n\t"))
	}
	var missed []string
	there := make(map[string]struct{}, len(events))
	for _, e := range events {
		there[e.id] = struct{}{}
		if !f.has(e.id) {
			missed = append(missed, e.id)
		}
	}
	if len(missed) > 0 {
		v.missed += len(missed)
		v.problem("%s: did not see %d of %d events: %v; its last pages:\n\t%s", f.name, len(missed), len(events),
			first(missed), strings.Join(f.pages, "\n\t"))
	}
	for id := range f.all {
		if _, ok := there[id]; !ok && !r.excused(f.log, r.book.events[f.log][id]) {
			v.lost++
			v.problem("%s: saw %s, which is not in the history", f.name, id)
		}
	}
}

// checkTold checks that a reader was told of the session's newest life, if his cursors
// name lives.
func (r *run) checkTold(v *verdict, f *reader, epoch string) {
	if n := len(f.untold); n > 0 {
		v.untold += n
		v.problem("%s: %v", f.name, first(f.untold))
	}
	if f.form == Canonical && f.epoch != epoch {
		v.untold++
		v.problem("%s: believes in epoch %q, it is %q", f.name, f.epoch, epoch)
	}
}

func first(ids []string) string {
	const most = 5
	if len(ids) > most {
		return fmt.Sprint(ids[:most], " …")
	}
	return fmt.Sprint(ids)
}

// checkDocuments checks that each document has a value that nothing acknowledged
// was written after.
func (r *run) checkDocuments(v *verdict, documents map[string]float64) {
	for name, value := range documents {
		var at *write
		var newest *write // acknowledged, the one that was begun last
		for _, w := range r.book.writes {
			if w.document != name {
				continue
			}
			if w.value == value {
				at = w
			}
			if !w.acked.IsZero() && (newest == nil || w.first.After(newest.first)) {
				newest = w
			}
		}
		switch {
		case at == nil && newest != nil:
			v.lost++
			v.problem("document %s: is %v, which nobody has written; %v was acknowledged", name, value, newest.value)
		case at != nil && newest != nil && !at.acked.IsZero() && at.acked.Before(newest.first):
			v.lost++
			v.problem("document %s: is %v, and %v was acknowledged later", name, value, newest.value)
		}
	}
}

func (r *run) checkCounter(v *verdict, counted int) {
	c := r.book.counts
	if counted < c.acked {
		v.lost += c.acked - counted
		v.problem("counter: is %d of %d acknowledged", counted, c.acked)
	}
	if most := c.acked + c.unknown; counted > most {
		v.duplicated += counted - most
		v.problem("counter: is %d, at most %d were counted", counted, most)
	}
}

// checkInput checks that nothing was handed out twice, and that what was not
// handed out is there.
func (r *run) checkInput(v *verdict, left []string) {
	in := r.book.inputs
	for _, id := range left {
		in.taken[id]++
	}
	var again []string
	for id, n := range in.taken {
		if _, ok := in.tried[id]; !ok {
			v.problem("input %s was never sent", id)
		}
		if n > 1 && !r.fault.undoesTakes() {
			again = append(again, id)
		}
	}
	if n := len(again); n > 0 {
		v.duplicated += n
		v.problem("%d inputs were handed out more than once: %v", n, first(again))
	}
	if r.fault.loses { // what was in Redis went with it
		return
	}
	var missing []string
	for id := range in.pushed {
		if in.taken[id] == 0 {
			missing = append(missing, id)
		}
	}
	if n := len(missing); n > in.lost {
		v.lost += n - in.lost
		v.problem("%d inputs are lost, at most %d of them were in answers that did not arrive: %v",
			n, in.lost, first(missing))
	}
}
