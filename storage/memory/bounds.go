package memory

import (
	"container/list"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// All functions here but sweep are called with the driver's lock held.

// touch makes l the log written last, and known if it was not.
func (d *Driver) touch(l *log) {
	if l.place == nil {
		d.makeRoom()
		d.logs[l.name] = l
	} else {
		d.unlink(l)
	}
	l.place = d.full.PushBack(l)
	d.hold(l, true)
}

func (d *Driver) unlink(l *log) {
	// Remove does nothing on the list that does not hold the element.
	d.full.Remove(l.place)
	d.empty.Remove(l.place)
}

// makeRoom forgets the log written longest ago when there is one too many;
// those without history go first.
func (d *Driver) makeRoom() {
	for len(d.logs) >= d.maxLogs {
		oldest := d.empty.Front()
		if oldest == nil {
			oldest = d.full.Front()
		}
		d.forget(element(oldest))
	}
}

func element(e *list.Element) *log { return e.Value.(*log) } //nolint:forcetypeassert // nothing else is put in

func (d *Driver) forget(l *log) {
	d.size -= l.size
	d.unlink(l)
	d.hold(l, false)
	delete(d.logs, l.name)
}

// clear drops the history of a log and keeps its state.
func (d *Driver) clear(l *log) {
	d.size -= l.size
	l.forget()
	d.unlink(l)
	d.hold(l, false)
	l.place = d.empty.PushBack(l)
}

// shrink makes the driver fit its size again after an append to l, which is the
// last to lose anything, and never its newest entry.
func (d *Driver) shrink(l *log) {
	d.forgetDeletions(0)
	for d.size > d.maxSize && d.full.Front() != l.place {
		d.clear(element(d.full.Front()))
	}
	if d.size <= d.maxSize {
		return
	}
	d.size -= l.size
	l.fit(d.maxSize - d.size)
	d.size += l.size
}

// fit makes a log that is too large by itself smaller: first it forgets ids
// beyond one window, then its oldest entries, then all ids but the newest.
func (l *log) fit(size int64) {
	l.size -= l.ids.dropOld()
	for l.size > size && len(l.entries) > 1 {
		l.drop(1)
	}
	if l.size > size {
		newest := l.entries[len(l.entries)-1:]
		l.forget()
		l.entries = newest
		l.size = cost(newest[0].ID, newest[0].Data)
		l.ids.add(newest[0], 1)
	}
}

// dropOld forgets the older generation and answers how many bytes that frees.
func (s *ids) dropOld() (freed int64) {
	for id := range s.old {
		freed += int64(len(id)) + idOverhead
	}
	s.old = nil
	return freed
}

// sweep lets go of what nobody writes any more, until the driver is closed.
func (d *Driver) sweep() {
	defer close(d.swept)
	t := time.NewTicker(sweepInterval)
	defer t.Stop()
	for {
		select {
		case <-d.closing:
			return
		case now := <-t.C:
			d.mu.Lock()
			d.expire(now)
			d.mu.Unlock()
		}
	}
}

// room makes the driver fit n more bytes of documents, items or counters. The
// memory of deletions and then history give way to them, and they to nothing.
func (d *Driver) room(n int64) error {
	if d.records+n > d.maxSize {
		return &storage.UnavailableError{Reason: "memory is full", RetryAfter: time.Minute}
	}
	d.forgetDeletions(n)
	for d.size+n > d.maxSize && d.full.Len() > 0 {
		d.clear(element(d.full.Front()))
	}
	return nil
}

// forgetDeletions forgets the oldest deletions until n more bytes fit, if they can.
func (d *Driver) forgetDeletions(n int64) {
	for d.size+n > d.maxSize && d.graves.Len() > 0 {
		d.exhume()
	}
}

// grow notes that documents, items and counters have become n bytes more.
func (d *Driver) grow(n int64) {
	d.size += n
	d.records += n
}

// expireRecords removes documents, deletions and queues that have ended.
func (d *Driver) expireRecords(now time.Time) {
	for d.graves.Len() > 0 && over(d.oldestGrave().end, now) {
		d.exhume()
	}
	for name, c := range d.collections {
		d.expireDocuments(c, now)
		if len(c.documents)+len(c.graves)+len(c.scopes)+len(c.chain) == 0 {
			delete(d.collections, name)
		}
	}
	for name := range d.queues {
		d.queue(name, now)
	}
}

func (d *Driver) expireDocuments(c *collection, now time.Time) {
	for id, ok := c.endings.over(now); ok; id, ok = c.endings.over(now) {
		d.removeDocument(c, id)
	}
}

// expire drops the entries of logs idle for longer than their MaxAge, and logs
// as a whole once their ids need not be remembered either.
func (d *Driver) expire(now time.Time) {
	d.expireRecords(now)
	for _, l := range d.logs {
		age := l.state.MaxAge
		switch {
		case l.state.Forgotten(now): // its gravestone is old
			d.forget(l)
			continue
		case age <= 0 || !l.state.Known():
			continue
		}
		idle := now.Sub(l.written)
		switch {
		case idle > max(age, storage.DedupAge):
			d.forget(l)
		case idle > age:
			d.size -= l.size
			l.drop(len(l.entries))
			d.hold(l, false)
			d.size += l.size
		}
	}
}
