package events

import (
	"context"
	"maps"
	"slices"

	"github.com/actionflows/lifeline/storage"
)

const (
	// replayPage is how many entries a replay reads at a time.
	replayPage = 200
	// replayChunk is about how many bytes of a replay are queued at a time.
	replayChunk = 64 << 10
)

// A join is exact because of its order. The subscriber is registered first, so
// that from then on every live delivery is kept for it. Only then the log is
// read, up to a head that is behind no delivery made before the registration.
// What was kept and was not read follows.

// begin starts the join of a subscriber that has been registered: with since by
// a replay from there. It returns before the first event is sent.
func (h *Hub) begin(s *subscriber, created bool) {
	h.at("registered")
	if created && !h.tasks.run(s.topic.learn) {
		s.cancel() // the hub is closed, and so is the connection
		return
	}
	if s.since != nil {
		h.tasks.run(func() { s.replay(*s.since, true) })
	}
}

// register puts the subscriber into its session's topic, until leave; created
// says that the topic is new. Afterwards begin must be called.
func (h *Hub) register(parent context.Context, session string, s *subscriber) (created bool) {
	s.ctx, s.cancel = context.WithCancel(parent)
	sh := h.shard(session)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.topics[session]
	if created = t == nil; created {
		t = newTopic(h, session)
		sh.topics[session] = t
	}
	s.topic = t
	t.mu.Lock()
	defer t.mu.Unlock()
	s.index, s.slot = len(t.subs), -1
	t.subs = append(t.subs, s)
	if t.known && s.since == nil {
		s.startLive()
	}
	return created
}

// leave ends the subscription; nothing is queued for it afterwards.
func (h *Hub) leave(s *subscriber) {
	s.cancel()
	t := s.topic
	sh := h.shard(t.session)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.index < 0 {
		return
	}
	s.setMode(modeJoining) // for its place in t.personal
	s.kept, s.pending = nil, nil
	last := len(t.subs) - 1
	t.subs[s.index] = t.subs[last]
	t.subs[s.index].index = s.index
	t.subs[last] = nil
	t.subs = t.subs[:last]
	s.index = -1
	if last == 0 {
		delete(sh.topics, t.session)
		t.cancel()
		t.stopTimers()
	}
}

// replay sends what lies behind cursor and then lets the subscriber go live.
// Only the reading counts against the hub's limit: a client that takes its time
// holds up nobody but itself.
func (s *subscriber) replay(cursor storage.Cursor, first bool) {
	select {
	case s.replays <- struct{}{}:
		defer func() { <-s.replays }()
	case <-s.ctx.Done():
		return
	}
	// The reading must come after the topic has found its own head, or what was
	// appended in between would be behind that head and after this reading.
	select {
	case <-s.topic.ready:
	case <-s.ctx.Done():
		return
	}
	seen := make(map[storage.Producer]uint64)
	for {
		page, err := s.readPage(cursor)
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.sink.failed(s, err)
			return
		}
		s.open(cursor, page, first)
		first = false
		entries := page.Onward().Entries
		withheld := leavesOut(page, entries)
		page.Entries = entries
		if s.sendPage(s.withoutTwins(entries), s.filter()) != nil {
			return
		}
		cursor = page.Cursor
		note(seen, page)
		if !page.HasMore && s.goLive(page, seen, withheld) {
			return
		}
	}
}

func (s *subscriber) readPage(cursor storage.Cursor) (storage.LogPage, error) {
	h := s.topic.hub
	if err := h.replays.enter(s.ctx); err != nil {
		return storage.LogPage{}, err
	}
	defer h.replays.leave()
	h.at("reading")
	page, err := h.read(s.ctx, s.topic.session, storage.LogQuery{After: &cursor, Limit: replayPage})
	h.at("read")
	return page, err
}

// open tells the subscriber what to expect of the page: for the first one that
// he is subscribed, for others only when something is missing before it.
func (s *subscriber) open(cursor storage.Cursor, page storage.LogPage, first bool) {
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.index < 0 {
		return
	}
	start := cursor
	if foreign := cursor.Epoch != 0 && cursor.Epoch != page.Cursor.Epoch; page.Gap && foreign {
		start = storage.Cursor{Epoch: page.Cursor.Epoch, Parts: cursor.Parts}
	}
	if len(page.Entries) == 0 && !page.HasMore {
		start = page.Cursor
	}
	switch {
	case first:
		if s.again { // this confirmation will do
			s.adoptTypes()
		}
		s.sink.confirm(s, confirmation{cursor: start, resumed: true, gap: page.Gap, degraded: page.Degraded})
	case page.Gap:
		d := &delivery{notice: noticeGap}
		s.out.push(appendDelivery(nil, s.enc, t.quoted, d, start.String()))
	}
	s.answerAgain(start)
}

// leavesOut reports whether a page, of which these entries are sent, leaves out what may
// lie before events to come. A degraded page does that too where the reader's epoch is
// gone: of what is stored in the new one he is given nothing until he can have it all.
func leavesOut(page storage.LogPage, sent []storage.LogEntry) bool {
	reader, log := page.Cursor.Epoch, page.State.Epoch
	return len(sent) < len(page.Entries) || page.Degraded && reader != 0 && log != 0 && reader != log
}

// withoutTwins leaves out what the subscriber got by its number, under another link,
// and remembers what he gets so now.
func (s *subscriber) withoutTwins(entries []storage.LogEntry) []storage.LogEntry {
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range entries {
		if e.Pending || e.Cursor.Pos != e.Pos { // he gets it by its number
			t.given.add(e.ID, e.Link)
		}
	}
	if t.given.links == nil {
		return entries
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e storage.LogEntry) bool {
		return e.Cursor.Saw(t.given.twin(e.ID, e.Link))
	})
}

// sendPage sends those of entries that types lets through, each with the cursor of
// this reader, and his last one if he is not given the last event.
func (s *subscriber) sendPage(entries []storage.LogEntry, types typeFilter) error {
	var c chunk
	for i, e := range entries {
		d := entryDelivery(e.Cursor.Epoch, e)
		last := i == len(entries)-1
		switch {
		case s.wants(types, d):
			if c.b == nil {
				c.b = make([]byte, 0, min(replayChunk, (len(entries)-i)*(len(d.data)+frameOverhead))+len(d.data)+frameOverhead)
			}
			c.b = appendDelivery(c.b, s.enc, s.topic.quoted, d, e.Cursor.String())
			c.frames++
			s.topic.meters.delivered[s.via].Add(1)
		case last:
			c.b = appendPassed(c.b, s.enc, s.topic.quoted, e.Cursor.String())
			c.frames++
		}
		if len(c.b) >= replayChunk || last && c.frames > 0 {
			if err := s.out.pushWait(s.ctx, c); err != nil {
				return err
			}
			c = chunk{}
		}
	}
	return nil
}

// note remembers which entries a replay has shown, by their producers' numbers.
func note(seen map[storage.Producer]uint64, page storage.LogPage) {
	for _, e := range page.Entries {
		if e.Link.Number != 0 {
			seen[e.Link.Producer] = max(seen[e.Link.Producer], e.Link.Number)
		}
	}
	if !page.HasMore && !page.Degraded {
		for p, n := range page.State.Last {
			seen[p] = max(seen[p], n)
		}
	}
}

// goLive ends a replay that has reached the head with page; false: it must go on
// reading, because not all that was delivered meanwhile could be kept.
func (s *subscriber) goLive(page storage.LogPage, seen map[storage.Producer]uint64, withheld bool) bool {
	t := s.topic
	t.hub.at("joining")
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.index < 0 {
		return true
	}
	kept := s.kept
	s.kept, s.keptSize = nil, 0
	if s.overflow {
		s.overflow = false
		return false
	}
	s.setMode(modeOwn)
	s.cursor, s.seen, s.degraded = page.Cursor, maps.Clone(seen), page.Degraded
	s.withheld = withheld
	s.answerAgain(s.cursor)
	for _, d := range kept {
		if s.takeOwn(d); s.mode != modeOwn {
			return true // others lie before it: the next replay is on its way
		}
	}
	switch {
	case s.degraded && !t.hub.Degraded():
		t.scheduleRetry() // nobody will tell when storage is whole again
	case s.cursor.Epoch != t.cursor.Epoch:
		t.fill()
	}
	t.align()
	return true
}
