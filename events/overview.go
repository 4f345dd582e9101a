package events

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ActiveSession is a session as this node knows it without asking storage.
type ActiveSession struct {
	ID      string
	Clients int          // subscriptions of WebSockets, streams and polls that wait
	Latest  *LatestEvent // nil: not known
}

// ActiveSessions answers the sessions that somebody follows, those that got an event
// lately, and those of watched; at most so many: first those of watched, then those
// with the newest events. They come in the order of their newest events. count is how
// many there are in all.
func (h *Hub) ActiveSessions(most int, watched []string) (list []ActiveSession, count int) {
	known := make(map[string]*LatestEvent)
	for i := range h.shards {
		for _, l := range h.shards[i].latest.list() {
			known[l.session] = &LatestEvent{l.kind, time.Unix(0, l.at)}
		}
	}
	list = make([]ActiveSession, 0, most)
	followed := 0
	add := func(session string) {
		a := ActiveSession{session, h.followers(session), known[session]}
		if list = append(list, a); a.Clients > 0 {
			followed++
		}
		known[session] = a.Latest
	}
	for _, session := range watched {
		add(session)
	}
	for session := range known {
		if !slices.Contains(watched, session) {
			add(session)
		}
	}
	count = len(list) - followed + h.followedSessions()
	slices.SortFunc(list[len(watched):], byLatest)
	for _, session := range h.followedBeside(known, most-len(list)) {
		add(session)
	}
	list = list[:min(most, len(list))]
	slices.SortFunc(list, byLatest)
	return list, count
}

func (h *Hub) followedSessions() (n int) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.Lock()
		n += len(sh.topics)
		sh.mu.Unlock()
	}
	return n
}

// followedBeside answers the first n, by name, of the sessions that somebody follows
// and that are not known.
func (h *Hub) followedBeside(known map[string]*LatestEvent, n int) (first []string) {
	if n <= 0 {
		return nil
	}
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.Lock()
		for session := range sh.topics {
			if _, ok := known[session]; ok || len(first) == n && session >= first[n-1] {
				continue
			}
			at, _ := slices.BinarySearch(first, session)
			first = slices.Insert(first, at, session)
			first = first[:min(n, len(first))]
		}
		sh.mu.Unlock()
	}
	return first
}

// byLatest sorts sessions by their newest event, newest first, and then by name.
func byLatest(a, b ActiveSession) int {
	switch {
	case a.Latest != nil && b.Latest != nil && !a.Latest.At.Equal(b.Latest.At):
		return b.Latest.At.Compare(a.Latest.At)
	case (a.Latest == nil) != (b.Latest == nil):
		if a.Latest == nil {
			return 1
		}
		return -1
	}
	return strings.Compare(a.ID, b.ID)
}

// followers is how many subscriptions a session has.
func (h *Hub) followers(session string) int {
	t := h.topic(session)
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subs)
}

// Connection is a client that is connected to this node.
type Connection struct {
	ID        string // of a WebSocket, as its hello says; "" for others
	Transport string // websocket, sse, or poll: one that waits
	User      string // authenticated by the site; "": nobody
	IP        netip.Addr
	Since     time.Time
	Sessions  int   // that it follows
	Queued    int64 // bytes that wait for it
}

// Connections answers the newest connections, newest first, at most so many; count is
// how many there are in all.
func (h *Hub) Connections(most int) (list []Connection, count int) {
	type opened struct {
		at time.Time
		member
	}
	var all []opened
	for _, m := range append(h.connections.all(), h.waiting.list()...) {
		switch m := m.(type) {
		case *wsConn:
			all = append(all, opened{m.opened, m})
		case *stream:
			all = append(all, opened{m.opened, m})
		case *waitingRequest:
			if m.polled > 0 {
				all = append(all, opened{m.opened, m})
			}
		}
	}
	slices.SortFunc(all, func(a, b opened) int { return b.at.Compare(a.at) })
	list = make([]Connection, 0, min(most, len(all)))
	for _, m := range all[:cap(list)] {
		list = append(list, connectionOf(m.member, m.at))
	}
	return list, len(all)
}

func connectionOf(m member, since time.Time) Connection {
	p := m.identity()
	c := Connection{User: p.User, IP: p.IP, Since: since}
	switch m := m.(type) {
	case *wsConn:
		c.ID, c.Transport, c.Queued = m.id, transportNames[viaWebSocket], m.out.queued()
		m.mu.Lock()
		defer m.mu.Unlock()
		c.Sessions = len(m.subs)
	case *stream:
		c.Transport, c.Sessions, c.Queued = transportNames[viaStream], m.sessions, m.out.queued()
	case *waitingRequest:
		c.Transport, c.Sessions = transportNames[viaPoll], m.polled
	}
	return c
}
