package events

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// topic is a session that somebody follows. It brings what publishers report, in
// any order, into the order of the log and hands it to its subscribers.
//
// cursor is what live subscribers have been given. An entry whose place is
// directly behind it is delivered at once; one that is further ahead waits for
// those before it, shortly, and then the log is read (see fill.go), which settles
// everything that publishers' reports leave open: events of other nodes, entries
// whose publisher gave up, gaps, a new epoch.
type topic struct {
	hub     *Hub
	session string
	quoted  []byte // session as JSON
	meters  *meters
	// ctx ends with the last subscriber.
	ctx    context.Context //nolint:containedctx // its goroutines are the topic's
	cancel context.CancelFunc
	ready  chan struct{} // closed once known

	mu     sync.Mutex // guards what follows, and the state of all subs
	known  bool       // the head has been read: cursor is valid
	cursor storage.Cursor
	// own is the highest number delivered of each producer's chain, with or
	// without a position.
	own      map[storage.Producer]uint64
	lost     lost
	given    given
	waiting  []held
	timer    *time.Timer // runs while something is waiting
	filling  bool        // a goroutine reads the log
	again    bool        // and must read once more
	retry    time.Duration
	retrying *time.Timer
	subs     []*subscriber
	personal int             // subscribers that are neither joining nor shared
	sent     [transports]int // pushed and not counted yet

	// See pump.go.
	sharers []*subscriber // those of subs who get the topic's frames
	bursts  [encodings]burst
	handed  bool            // something is queued for sharers and not yet flushed
	pumping bool            // the pump, or a publisher, is writing
	targets []*outbox       // of sharers; nil: they have changed. Never written to
	sharing [transports]int // how many of sharers there are by transport
}

// held is an entry that waits for the ones before it.
type held struct {
	d     *delivery
	since time.Time
}

const (
	// maxHeld bounds an out-of-order buffer. What does not fit is read from the
	// log, so nothing is lost.
	maxHeld = 256
	// maxProducers is about how many producers' numbers a topic remembers.
	maxProducers = 64
)

func newTopic(h *Hub, session string) *topic {
	t := &topic{
		hub: h, session: session, quoted: appendJSON(nil, session), meters: h.meter(session),
		ready: make(chan struct{}), own: make(map[storage.Producer]uint64),
	}
	t.ctx, t.cancel = context.WithCancel(h.ctx)
	return t
}

// verdict is what an entry's place means for a topic or subscriber.
type verdict uint8

const (
	covered verdict = iota // has been given already
	next                   // directly behind what has been given
	ahead                  // others may lie before it
)

// place says where a positioned entry stands with respect to a cursor.
func place(c storage.Cursor, d *delivery) verdict {
	switch {
	case isEmptyLog(c) && d.pos.Seq == 1:
		return next
	case c.IsTimestamp() || c.Epoch != d.epoch:
		return ahead
	case d.pos.Micros <= c.Pos.Micros:
		return covered
	case d.pos.Seq == c.Pos.Seq+1:
		return next
	}
	return ahead
}

// isEmptyLog reports whether c stands at the head of a log that had no entry.
func isEmptyLog(c storage.Cursor) bool { return c.IsTimestamp() && c.Pos.Micros == 0 }

func (t *topic) judge(d *delivery) verdict {
	if !d.byNumber() {
		return place(t.cursor, d)
	}
	switch have := t.own[d.link.Producer]; {
	case d.link.Number == 0:
		return ahead
	case d.link.Number <= have || t.cursor.Saw(d.link):
		return covered
	case d.link.Number == have+1:
		return next
	}
	return ahead
}

// offer takes an event that storage has just acknowledged. Its publisher writes it
// himself where that costs less than to have it written; one who has more to publish
// leaves it to the pump, which joins it with the others.
func (t *topic) offer(d *delivery, more bool) {
	t.mu.Lock()
	mine := !more && !t.pumping && len(t.sharers) <= maxInline
	t.pumping = t.pumping || mine
	t.takeIn(d)
	var targets []*outbox
	if mine {
		targets = t.due()
	}
	t.mu.Unlock()
	if targets != nil {
		t.pumpOnce(targets)
	}
}

func (t *topic) takeIn(d *delivery) {
	if len(t.subs) == 0 {
		return
	}
	if !t.known {
		t.hold(d)
		return
	}
	switch t.judge(d) {
	case next:
		t.advance(d)
		t.release()
	case ahead:
		t.hold(d)
		if t.timer == nil {
			t.timer = time.AfterFunc(t.hub.times.reorder, t.late)
		}
	case covered: // delivered already
	}
}

// doubt makes the topic look into the log: an append may have happened that
// nobody will report.
func (t *topic) doubt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.retrying == nil {
		t.fill()
	}
}

// repeated is told that an event is in the log already, at c. Its first
// publisher reports it, unless he gave up.
func (t *topic) repeated(d *delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known && t.judge(d) != covered && t.retrying == nil {
		t.fill()
	}
}

func (t *topic) hold(d *delivery) {
	if len(t.waiting) >= maxHeld {
		t.fill()
		return
	}
	t.waiting = append(t.waiting, held{d, time.Now()})
}

// advance delivers the entry behind the cursor. One that was given before its
// position was known moves the cursor only.
func (t *topic) advance(d *delivery) {
	silent := false
	if d.link.Number != 0 {
		silent = t.own[d.link.Producer] >= d.link.Number
		t.own[d.link.Producer] = max(t.own[d.link.Producer], d.link.Number)
	}
	if twin := t.given.twin(d.id, d.link); twin.Number != 0 {
		silent = silent || t.own[twin.Producer] >= twin.Number
	}
	if d.byNumber() {
		t.cursor = t.cursor.With(d.link)
	} else {
		t.cursor = t.cursor.Pass(d.epoch, d.pos, d.link)
		t.lost.has(d.link.Producer, d.link.Number)
	}
	if d.byNumber() {
		t.given.add(d.id, d.link)
	}
	t.deliver(d, silent)
}

// deliver hands d to every subscriber, each according to its state.
func (t *topic) deliver(d *delivery, silent bool) {
	if len(t.sharers) > 0 && !silent {
		t.collect(d)
		for via, n := range t.sharing {
			t.sent[via] += n
		}
	}
	if len(t.sharers) < len(t.subs) {
		for _, s := range t.subs {
			if s.slot < 0 {
				s.take(d, silent)
			}
		}
	}
	t.tally(d)
	if t.personal > 0 {
		t.align()
	}
}

// tally counts what was pushed of d.
func (t *topic) tally(d *delivery) {
	sent := t.sent
	t.sent = [transports]int{}
	if d.notice != noNotice {
		return
	}
	for via := viaWebSocket; via < transports; via++ {
		if sent[via] > 0 {
			t.meters.delivered[via].Add(uint64(sent[via])) //nolint:gosec // positive
		}
	}
	d.arrived(sent[viaWebSocket] + sent[viaStream])
	if sent[viaWebSocket]+sent[viaStream] > 0 {
		t.meters.delivery.Observe(t.hub.now().Sub(d.received))
	}
}

// announce tells subscribers of a notice.
func (t *topic) announce(kind noticeKind, epoch storage.Epoch, pos storage.Position) {
	t.deliver(&delivery{notice: kind, epoch: epoch, pos: pos}, false)
}

// align lets subscribers share frames again whose cursor has become the topic's.
func (t *topic) align() {
	for _, s := range t.subs {
		if s.mode == modeOwn && sameCursor(s.cursor, t.cursor) && t.lost.shown(s) {
			s.setMode(modeShared)
		}
	}
}

// release delivers what waited for the entry just delivered.
func (t *topic) release() {
	for progress := true; progress && len(t.waiting) > 0; {
		progress = false
		kept := t.waiting[:0]
		for _, w := range t.waiting {
			switch t.judge(w.d) {
			case next:
				t.advance(w.d)
				progress = true
			case ahead:
				kept = append(kept, w)
			case covered: // delivered already
			}
		}
		clear(t.waiting[len(kept):])
		t.waiting = kept
	}
	if len(t.waiting) == 0 && t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// late runs when something has waited: it reads the log unless the oldest that
// still waits came only lately.
func (t *topic) late() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	if len(t.waiting) == 0 || t.ctx.Err() != nil {
		return
	}
	oldest := slices.MinFunc(t.waiting, func(a, b held) int { return a.since.Compare(b.since) })
	left := t.hub.times.reorder - time.Since(oldest.since)
	if left <= 0 {
		t.fill()
		return
	}
	t.timer = time.AfterFunc(left, t.late)
}

// stopTimers ends what would otherwise wake a topic without subscribers.
func (t *topic) stopTimers() {
	for _, timer := range []*time.Timer{t.timer, t.retrying} {
		if timer != nil {
			timer.Stop()
		}
	}
	t.timer, t.retrying, t.waiting = nil, nil, nil
}

// sameCursor reports whether two cursors cover the same entries.
func sameCursor(a, b storage.Cursor) bool {
	if a.Epoch != b.Epoch || a.Pos != b.Pos || a.IsTimestamp() != b.IsTimestamp() || len(a.Parts) != len(b.Parts) {
		return false
	}
	for _, p := range a.Parts {
		if !slices.Contains(b.Parts, p) {
			return false
		}
	}
	return true
}
