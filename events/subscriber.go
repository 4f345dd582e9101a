package events

import (
	"context"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// sink is the connection of a subscriber. Its methods do not block; confirm is
// called with the topic's mu held, failed without.
type sink interface {
	// confirm tells that the subscription holds, before its first event.
	confirm(s *subscriber, c confirmation)
	// failed ends the subscription: storage cannot answer.
	failed(s *subscriber, err error)
	client() Client
}

// confirmation is what a subscriber is told before its first event.
type confirmation struct {
	cursor   storage.Cursor // the events follow it
	resumed  bool           // since was given; the rest says how that went
	gap      bool
	degraded bool
}

// subscriberMode says from where a subscriber gets its events.
type subscriberMode uint8

const (
	// modeJoining: a replay is under way, live deliveries are kept back.
	modeJoining subscriberMode = iota
	// modeOwn: live, but its cursor is not the topic's: it is behind or ahead, or
	// has seen other pending entries. It gets frames of its own.
	modeOwn
	// modeShared: live with the topic's cursor and the topic's frames.
	modeShared
)

const (
	// maxKept and maxKeptBytes bound the live deliveries kept back while a
	// subscriber joins. If they do not fit, the replay goes on instead.
	maxKept      = 256
	maxKeptBytes = 1 << 20
)

// subscriber is one connection following one session.
type subscriber struct {
	topic   *topic
	sink    sink
	out     queue
	via     transport
	enc     encoding
	since   *storage.Cursor // nil: from now on
	replays chan struct{}   // the connection's replays, one at a time

	// ctx ends when the subscription does.
	ctx    context.Context //nolint:containedctx // its replay is the subscriber's
	cancel context.CancelFunc

	// What follows is guarded by topic.mu.
	index    int // in topic.subs; -1: removed
	types    typeFilter
	leftOut  int // events since he was last given something; see filter.go
	slot     int // in topic.sharers; -1: not there
	mode     subscriberMode
	cursor   storage.Cursor              // in modeOwn
	seen     map[storage.Producer]uint64 // in modeOwn: numbers its replay has shown
	degraded bool                        // in modeOwn: the replay was incomplete
	withheld bool                        // in modeOwn: and left out what it could not place
	kept     []*delivery                 // in modeJoining
	keptSize int
	overflow bool // something was not kept
	wakes    bool // see wakeWhenWhole
	// again: he subscribed once more during a replay. He is answered between two of its
	// pages, and has nextTypes from there on.
	again     bool
	nextTypes typeFilter

	// For lifecycle events, which clients get whether subscribed or not.
	told    []*delivery // given to the connection before it subscribed
	started bool        // live without since, from cursor first
	first   storage.Cursor
	pending []*delivery // to be given once first is known, if it covers them
}

func (s *subscriber) setMode(m subscriberMode) {
	if s.mode == modeOwn {
		s.topic.personal--
	}
	if m == modeOwn {
		s.topic.personal++
	}
	s.mode = m
	s.settle()
	if m != modeOwn {
		s.seen, s.degraded, s.withheld = nil, false, false
	}
}

// settle puts him among those who share the topic's frames, or takes him away.
func (s *subscriber) settle() {
	switch shares := s.shares(); {
	case shares && s.slot < 0:
		s.topic.share(s)
	case !shares && s.slot >= 0:
		s.topic.unshare(s)
	}
}

// shares reports whether he gets the topic's frames with the others.
func (s *subscriber) shares() bool {
	return s.mode == modeShared && s.told == nil && len(s.types) == 0
}

// startLive begins with the events behind the topic's cursor.
func (s *subscriber) startLive() {
	t := s.topic
	s.sink.confirm(s, confirmation{cursor: t.cursor})
	if s.cursor = t.cursor; t.lost.shown(s) {
		s.setMode(modeShared)
	} else {
		s.setMode(modeOwn)
	}
	s.started, s.first = true, t.cursor
	for _, d := range s.pending {
		s.lifecycle(d)
	}
	s.pending = nil
}

// confirmAgain answers a client who subscribes to what he follows already, and lets
// him have these types behind the cursor that he is told. In a replay that is where the
// next page begins: within a page, what is on its way is not behind any one cursor.
// While the subscription is still waiting for its own confirmation, that one will do.
func (s *subscriber) confirmAgain(types typeFilter) {
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.index < 0 {
		return
	}
	s.again, s.nextTypes = true, types
	switch {
	case s.mode == modeOwn:
		s.answerAgain(s.cursor)
	case s.mode == modeShared:
		t.handOut() // the events up to the cursor come first
		s.answerAgain(t.cursor)
	case s.since == nil && !s.started: // startLive confirms
		s.adoptTypes()
	}
}

// answerAgain confirms at cursor that he has subscribed once more, if he has.
func (s *subscriber) answerAgain(cursor storage.Cursor) {
	if s.again {
		s.adoptTypes()
		s.sink.confirm(s, confirmation{cursor: cursor})
		s.settle()
	}
}

func (s *subscriber) adoptTypes() {
	s.types, s.leftOut = s.nextTypes, 0
	s.again, s.nextTypes = false, nil
}

// take is given everything that the topic delivers; silent says that live
// subscribers had it before, while it was pending.
func (s *subscriber) take(d *delivery, silent bool) {
	switch s.mode {
	case modeShared: // he has a filter, or was told of events before he subscribed
		if !silent && !s.wasTold(d) {
			s.give(d, func() []byte { return d.shared(s.enc, s.topic.quoted, s.topic.cursor) }, s.topic.cursor.String)
		}
		if s.forget(d); s.shares() {
			s.topic.share(s)
		}
	case modeOwn:
		s.takeOwn(d)
	case modeJoining:
		s.keep(d)
	}
}

// keep holds a delivery back until the replay has ended.
func (s *subscriber) keep(d *delivery) {
	if len(s.kept) >= maxKept || s.keptSize >= maxKeptBytes {
		s.kept, s.keptSize, s.overflow = nil, 0, true
	}
	if !s.overflow {
		s.kept = append(s.kept, d)
		s.keptSize += len(d.data)
	}
}

// takeOwn delivers d if it is the next for this subscriber, with his own cursor.
// If others lie before it he is replayed.
func (s *subscriber) takeOwn(d *delivery) {
	if d.notice != noNotice {
		if s.cursor.Epoch != d.epoch {
			s.rejoin(s.delay())
		}
		return
	}
	saw, twin := s.saw(d.link), s.saw(s.topic.given.twin(d.id, d.link))
	if d.byNumber() {
		if saw || s.degraded && !s.hasBefore(d) {
			return
		}
		s.cursor = s.cursor.With(d.link)
	} else {
		switch place(s.cursor, d) {
		case covered:
			return
		case ahead:
			s.rejoin(s.delay())
			return
		case next:
			s.cursor = s.cursor.Pass(d.epoch, d.pos, d.link)
		}
	}
	if !saw && !twin && !s.wasTold(d) {
		s.give(d, func() []byte { return appendDelivery(nil, s.enc, s.topic.quoted, d, s.cursor.String()) }, s.cursor.String)
	}
}

// push queues an event, and counts it: see topic.tally.
func (s *subscriber) push(b []byte) {
	s.out.push(b)
	s.topic.sent[s.via]++
}

// saw reports whether the subscriber got the event of this link before it had a
// position, or in his replay.
func (s *subscriber) saw(l storage.Link) bool {
	return s.cursor.Saw(l) || l.Number != 0 && s.seen[l.Producer] >= l.Number
}

// hasBefore reports whether the subscriber, whose replay was incomplete, is known
// to have the events of d's producer before d. If not, a part for d would say that
// he does, and he would never get them; the replay after the outage has them all.
func (s *subscriber) hasBefore(d *delivery) bool {
	at, before := s.topic.cursor, storage.Link{Producer: d.link.Producer, Number: d.link.Number - 1}
	if before.Number == 0 { // what was left out may be of this node's earlier runs
		return !s.withheld
	}
	return s.cursor.Saw(before) || s.seen[before.Producer] >= before.Number ||
		!s.withheld && s.cursor.Epoch != 0 && s.cursor.Epoch == at.Epoch && s.cursor.Pos.Micros >= at.Pos.Micros
}

// delay is how long a replay should wait that would find as little as the last.
func (s *subscriber) delay() time.Duration {
	if s.degraded {
		return s.topic.hub.times.rejoin
	}
	return 0
}

// rejoin replays from the subscriber's own cursor, after a while.
func (s *subscriber) rejoin(after time.Duration) {
	cursor, hub := s.cursor, s.topic.hub
	s.setMode(modeJoining)
	s.kept, s.keptSize, s.overflow = nil, 0, false
	hub.tasks.run(func() {
		select {
		case <-time.After(after):
			s.replay(cursor, false)
		case <-s.ctx.Done():
		}
	})
}

// wakeWhenWhole lets a watchman look again once storage shows all of the log: what he
// has read was incomplete, and what it left out need not come again.
func (s *subscriber) wakeWhenWhole() {
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.wakes = s.index >= 0; s.wakes && !t.hub.Degraded() {
		t.scheduleRetry() // nobody will tell
	}
}

// lifecycle gives the subscriber an event that every client gets, if he joined
// behind it. One who gave a cursor gets it from the log like all others.
func (s *subscriber) lifecycle(d *delivery) {
	switch {
	case s.since != nil:
	case !s.started:
		s.pending = append(s.pending, d)
	case d.pending && s.first.Saw(d.link), !d.pending && place(s.first, d) == covered:
		s.out.push(told(d, s.topic.quoted))
		s.topic.meters.delivered[s.via].Add(1)
	}
}

// told is a lifecycle event for whoever does not follow its session. It carries
// no cursor: its receiver has not been given what lies before it.
func told(d *delivery, session []byte) []byte {
	b := make([]byte, maxHeader, len(d.data)+len(session)+frameOverhead)
	return putHeader(appendEvent(b, session, d, ""), 0)
}

// wasTold reports whether the connection got the event before it subscribed.
func (s *subscriber) wasTold(d *delivery) bool {
	return s.told != nil && slices.ContainsFunc(s.told, func(o *delivery) bool {
		if d.link.Number != 0 {
			return d.link == o.link
		}
		return !d.pending && d.epoch == o.epoch && d.pos == o.pos
	})
}

// forget drops the events that he was told and that lie behind d.
func (s *subscriber) forget(d *delivery) {
	s.told = slices.DeleteFunc(s.told, func(o *delivery) bool {
		if o.link.Number != 0 && o.link.Producer == d.link.Producer {
			return o.link.Number <= d.link.Number
		}
		return !o.pending && !d.pending && o.epoch == d.epoch && o.pos.Micros <= d.pos.Micros
	})
	if len(s.told) == 0 {
		s.told = nil
	}
}
