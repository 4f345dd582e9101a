package events

import (
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// fillPage is how many entries a fill reads at a time.
const fillPage = 200

// learn finds the head of a new topic's log. It goes on trying until that
// succeeds or the last subscriber has left; those who are there are told of a
// failure, and leave.
func (t *topic) learn() {
	for delay := t.hub.times.retry; ; delay = t.nextRetry(delay) {
		page, err := t.hub.read(t.ctx, t.session, storage.LogQuery{Limit: 1})
		t.hub.at("learned")
		if err == nil {
			t.start(page)
			return
		}
		if t.ctx.Err() == nil {
			t.hub.logger().Warn("cannot read a session's head", zap.Error(err))
			t.failWaiting(err)
		}
		select {
		case <-time.After(delay):
		case <-t.ctx.Done():
			return
		}
	}
}

// start begins deliveries at the head that page shows.
func (t *topic) start(page storage.LogPage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cursor = page.Cursor
	if page.Degraded && t.cursor.Epoch == 0 && t.cursor.Pos.Micros == 0 {
		// The head is unknown, and storage names no moment either. Once the log can
		// be read, what it has received from now on is what followers who gave no
		// cursor are owed.
		parts := t.cursor.Parts
		t.cursor = storage.MicrosCursor(t.hub.now().UnixMicro())
		t.cursor.Parts = parts
	}
	t.learnNumbers(page.State.Last)
	for _, p := range t.cursor.Parts {
		t.own[p.Producer] = max(t.own[p.Producer], p.Number)
	}
	t.known = true
	close(t.ready)
	for _, s := range t.subs {
		if s.mode == modeJoining && s.since == nil {
			s.startLive()
		}
	}
	t.release()
	if len(t.waiting) > 0 && t.timer == nil {
		t.timer = time.AfterFunc(t.hub.times.reorder, t.late)
	}
	if t.again || page.Degraded {
		t.again = false
		t.fill()
	}
}

// failWaiting ends the subscriptions, all of which wait for the head.
func (t *topic) failWaiting(err error) {
	t.mu.Lock()
	failed := slices.Clone(t.subs)
	t.mu.Unlock()
	for _, s := range failed {
		s.sink.failed(s, err)
	}
}

// fill starts reading the log from the topic's cursor on, or lets the reading
// that is going on be followed by another. mu is held.
func (t *topic) fill() {
	switch {
	case t.ctx.Err() != nil || len(t.subs) == 0:
	case !t.known || t.filling:
		t.again = true
	default:
		if t.retrying != nil {
			t.retrying.Stop()
			t.retrying = nil
		}
		t.filling = t.hub.tasks.run(t.fillLoop)
	}
}

func (t *topic) fillLoop() {
	for t.fillOnce() {
	}
}

// fillOnce reads and delivers one page; it answers whether to go on.
func (t *topic) fillOnce() bool {
	if t.hub.fills.enter(t.ctx) != nil {
		return false
	}
	t.mu.Lock()
	from, began := t.cursor, time.Now()
	t.again = false
	t.mu.Unlock()
	page, err := t.hub.read(t.ctx, t.session, storage.LogQuery{After: &from, Limit: fillPage})
	t.hub.fills.leave()
	t.hub.at("filled")

	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.filling = false
		t.scheduleRetry()
		return false
	}
	t.noteLatest(page)
	more := t.apply(from, page)
	t.release()
	if page.Degraded {
		t.filling = false
		if len(t.waiting) > 0 || !t.hub.Degraded() {
			t.scheduleRetry()
		}
		return false
	}
	t.retry = 0
	if !more && !page.HasMore {
		t.forget(began)
		t.rejoinDegraded()
	}
	t.filling = more || page.HasMore || t.again
	return t.filling
}

// scheduleRetry reads again after a while, longer each time.
func (t *topic) scheduleRetry() {
	if t.ctx.Err() != nil || t.retrying != nil {
		return
	}
	t.retry = t.nextRetry(t.retry)
	t.retrying = time.AfterFunc(t.retry, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.retrying = nil
		t.fill()
	})
}

func (t *topic) nextRetry(d time.Duration) time.Duration {
	return min(max(2*d, t.hub.times.retry), t.hub.times.maxRetry)
}

// apply delivers the entries of a page that was read from the cursor from. It
// answers true when the page no longer fits and another must be read.
func (t *topic) apply(from storage.Cursor, page storage.LogPage) (again bool) {
	if page.Gap && !page.Degraded {
		if from.Epoch != t.cursor.Epoch || from.Pos != t.cursor.Pos {
			return true
		}
		t.jump(page.State)
	}
	for _, e := range page.Onward().Entries {
		t.applyEntry(e, page.Degraded)
	}
	if page.Degraded {
		return false
	}
	if reached := page.Cursor; reached.Epoch != t.cursor.Epoch && t.cursor.Epoch != 0 {
		return from.Epoch != t.cursor.Epoch // overtaken by another epoch
	}
	t.follow(from, page.Cursor)
	if !page.HasMore {
		t.reachHead(page)
	}
	return false
}

// follow moves the cursor to where a page ended that was read from the cursor
// from: it may have passed entries that it did not show, because from's parts
// cover them.
func (t *topic) follow(from, reached storage.Cursor) {
	if reached.Epoch == 0 || !t.cursor.IsTimestamp() && reached.Pos.Micros <= t.cursor.Pos.Micros {
		return
	}
	t.cursor = t.cursor.Pass(reached.Epoch, reached.Pos, storage.Link{})
	for _, p := range from.Parts {
		if !slices.Contains(reached.Parts, p) {
			t.cursor = t.cursor.Pass(reached.Epoch, reached.Pos, p)
		}
	}
}

// applyEntry delivers one entry that was read. A complete page leaves nothing
// out before it but what the cursor's parts cover, so an entry ahead is the next.
func (t *topic) applyEntry(e storage.LogEntry, degraded bool) {
	d := entryDelivery(e.Cursor.Epoch, e)
	v := t.judge(d)
	if v == ahead && degraded {
		switch {
		case !d.pending && t.inPlace(e): // storage knows what lies before it, and has shown it
		case !e.Cursor.Saw(e.Link):
			return // others may lie before it, which cannot be read now
		case !d.pending:
			d.early = true
			v = t.judge(d)
		}
	}
	if v != covered {
		t.advance(d)
	}
}

// inPlace reports whether an entry of a degraded page stands where everything
// before it has been given: then its cursor is its own position.
func (t *topic) inPlace(e storage.LogEntry) bool {
	return e.Cursor.Pos == e.Pos && (t.cursor.Epoch == 0 || t.cursor.Epoch == e.Cursor.Epoch)
}

// jump makes the cursor fit a log that does not go on where it stands, and tells
// subscribers so.
func (t *topic) jump(s storage.LogState) {
	switch {
	case t.cursor.Epoch != 0 && t.cursor.Epoch != s.Epoch:
		t.enterEpoch(s.Epoch)
	case t.cursor.Pos.Micros > s.Head.Micros && !t.cursor.IsTimestamp():
		t.announce(noticeGap, s.Epoch, storage.Position{})
		t.cursor = storage.Cursor{Epoch: s.Epoch, Parts: t.cursor.Parts}
	case !t.cursor.IsTimestamp() || isEmptyLog(t.cursor):
		t.announce(noticeGap, s.Epoch, t.cursor.Pos)
	}
}

// enterEpoch moves the cursor to the beginning of another epoch. Entries whose
// producers' numbers were delivered already are not delivered again.
func (t *topic) enterEpoch(epoch storage.Epoch) {
	c := storage.Cursor{Epoch: epoch}
	if epoch == 0 { // the log is gone
		c = storage.MicrosCursor(0)
	}
	c.Parts = t.cursor.Parts
	t.cursor = c
	t.lost.begin(t.own)
	t.announce(noticeEpoch, epoch, storage.Position{})
}

// reachHead is told of a complete reading: all of the log has been given.
func (t *topic) reachHead(page storage.LogPage) {
	head := page.Cursor
	t.cursor = settled(t.cursor, page.State.Last)
	t.learnNumbers(page.State.Last)
	for p, n := range page.State.Last {
		t.lost.has(p, n)
	}
	t.giveUpLost()
	for _, s := range t.subs {
		if s.mode == modeOwn && s.cursor.Epoch == head.Epoch && s.cursor.Pos.Micros >= head.Pos.Micros {
			s.cursor = settled(s.cursor, page.State.Last)
		}
	}
	t.align()
	t.forgetGiven()
}

// settled drops the parts of c that the log's last numbers make superfluous.
func settled(c storage.Cursor, last map[storage.Producer]uint64) storage.Cursor {
	if c.IsTimestamp() {
		return c
	}
	for _, p := range c.Parts {
		if last[p.Producer] >= p.Number {
			c = c.Pass(c.Epoch, c.Pos, p)
		}
	}
	return c
}

// learnNumbers notes that everything up to these numbers has been given.
func (t *topic) learnNumbers(last map[storage.Producer]uint64) {
	for p, n := range last {
		t.own[p] = max(t.own[p], n)
	}
	if len(t.own) > maxProducers {
		maps.DeleteFunc(t.own, func(p storage.Producer, _ uint64) bool {
			return last[p] == 0 && !slices.ContainsFunc(t.cursor.Parts, func(l storage.Link) bool { return l.Producer == p })
		})
	}
}

// forget drops what waited before a complete reading began: whatever it was
// waiting for, that reading has shown it.
func (t *topic) forget(began time.Time) {
	t.waiting = slices.DeleteFunc(t.waiting, func(w held) bool { return w.since.Before(began) })
	if len(t.waiting) > 0 && t.timer == nil {
		t.timer = time.AfterFunc(t.hub.times.reorder, t.late)
	}
}

// rejoinDegraded replays, now that the log can be read, for those whose replay
// was incomplete, and wakes who reads by himself.
func (t *topic) rejoinDegraded() {
	for _, s := range t.subs {
		if s.mode == modeOwn && s.degraded {
			s.rejoin(0)
		}
		if s.wakes {
			s.wakes = false
			s.out.push(nil)
		}
	}
}

// catchUp reads what other nodes, or an outage that is over, may have left.
func (t *topic) catchUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retry = 0
	t.fill()
}
