package events

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Rate is how often something may happen: N times at once, and then again as
// time passes, N times in Per.
type Rate struct {
	N   int
	Per time.Duration
}

// each is the time by which one of N is earned back.
func (r Rate) each() time.Duration { return max(1, r.Per/time.Duration(r.N)) }

// defaultPollRate: one poll per session in 5 s.
var defaultPollRate = Rate{N: 1, Per: 5 * time.Second}

// Bounds of a PollLimiter, in entries.
const (
	maxPolls       = 200_000
	maxClientPolls = 64
)

// PollLimiter remembers who polled which session when. It belongs beside the
// hub, so that the rate holds across reloads and sites. It keeps 200,000 entries
// in all and 64 sessions per client, forgets an entry some time after its client
// may poll freely again, and runs no goroutine. Make it with [NewPollLimiter];
// it is safe for concurrent use.
type PollLimiter struct {
	max, perClient int

	mu      sync.Mutex
	clients map[pollClient]map[string]*pollEntry // by session
	count   int
	// first and last are the ends of the list of all entries, the one that was
	// looked at longest ago first.
	first, last *pollEntry
}

// pollClient is who polls: the user or API key, hashed, and the address, IPv6 by
// its /64, which is what one subscriber commonly holds.
type pollClient struct {
	who [16]byte
	ip  netip.Addr
}

type pollEntry struct {
	client     pollClient
	session    string
	free       time.Time // when nothing is owed any more
	prev, next *pollEntry
}

// NewPollLimiter makes an empty limiter.
func NewPollLimiter() *PollLimiter {
	return &PollLimiter{
		max: maxPolls, perClient: maxClientPolls,
		clients: make(map[pollClient]map[string]*pollEntry),
	}
}

// newPollClient names a client; who is "" for an anonymous one.
func newPollClient(who string, ip netip.Addr) pollClient {
	c := pollClient{ip: ip.Unmap().WithZone("")}
	if who != "" {
		sum := sha256.Sum256([]byte(who))
		copy(c.who[:], sum[:])
	}
	if c.ip.Is6() {
		prefix, _ := c.ip.Prefix(64) // 64 fits every IPv6 address
		c.ip = prefix.Addr()
	}
	return c
}

// Reasons why take refuses.
var (
	errPollRate     = errors.New("this session was polled too recently")
	errPollSessions = errors.New("too many sessions are polled at the same time")
	errPollsFull    = errors.New("too many clients are polling")
)

// take spends one poll of a session. Refused, it says when to try again.
func (l *PollLimiter) take(c pollClient, session string, rate Rate) (wait time.Duration, err error) {
	_, wait, err = l.takeAll(c, []string{session}, rate)
	return wait, err
}

// takeAll spends one poll of each of several sessions, or of none: then it says of
// which one is refused, and when to try again.
func (l *PollLimiter) takeAll(c pollClient, sessions []string, rate Rate) (refused string, wait time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for i, session := range sessions {
		l.forget(now)
		if wait, err := l.takeOne(c, session, rate, now); err != nil {
			for _, taken := range sessions[:i] {
				l.giveBackOne(c, taken, rate)
			}
			return session, wait, err
		}
	}
	return "", 0, nil
}

// takeOne is called with mu held.
func (l *PollLimiter) takeOne(c pollClient, session string, rate Rate, now time.Time) (wait time.Duration, err error) {
	e := l.clients[c][session]
	if e == nil {
		if wait, err := l.room(c, now); err != nil {
			return wait, err
		}
		e = l.insert(c, session, now)
	}
	if e.free.Before(now) {
		e.free = now
	}
	// N are at hand at once: as long as what is owed leaves room for one more.
	if wait := e.free.Add(rate.each()).Sub(now) - rate.Per; wait > 0 {
		return wait, errPollRate
	}
	e.free = e.free.Add(rate.each())
	return 0, nil
}

// giveBack undoes a take: the poll had no effect, or its session is unknown,
// for which no entry is kept.
func (l *PollLimiter) giveBack(c pollClient, session string, rate Rate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveBackOne(c, session, rate)
}

// giveBackOne is called with mu held.
func (l *PollLimiter) giveBackOne(c pollClient, session string, rate Rate) {
	e := l.clients[c][session]
	if e == nil {
		return
	}
	e.free = e.free.Add(-rate.each())
	if !e.free.After(time.Now()) {
		l.remove(e)
	}
}

// room makes sure that a new entry of the client fits.
func (l *PollLimiter) room(c pollClient, now time.Time) (wait time.Duration, err error) {
	own := l.clients[c]
	if len(own) >= l.perClient {
		soonest := time.Duration(-1)
		for _, e := range own {
			switch d := e.free.Sub(now); {
			case d <= 0:
				l.remove(e)
			case soonest < 0 || d < soonest:
				soonest = d
			}
		}
		if len(own) >= l.perClient {
			return soonest, errPollSessions
		}
	}
	if l.count >= l.max {
		return max(l.first.free.Sub(now), time.Second), errPollsFull
	}
	return 0, nil
}

// forget looks at the two entries not looked at for longest and drops those that
// owe nothing. Each take adds at most one, so the dead ones get fewer.
func (l *PollLimiter) forget(now time.Time) {
	for range min(2, l.count) {
		e := l.first
		if !e.free.After(now) {
			l.remove(e)
			continue
		}
		l.unlink(e)
		l.append(e)
	}
}

func (l *PollLimiter) insert(c pollClient, session string, now time.Time) *pollEntry {
	e := &pollEntry{client: c, session: session, free: now}
	own := l.clients[c]
	if own == nil {
		own = make(map[string]*pollEntry)
		l.clients[c] = own
	}
	own[session] = e
	l.append(e)
	l.count++
	return e
}

func (l *PollLimiter) remove(e *pollEntry) {
	own := l.clients[e.client]
	delete(own, e.session)
	if len(own) == 0 {
		delete(l.clients, e.client)
	}
	l.unlink(e)
	l.count--
}

func (l *PollLimiter) append(e *pollEntry) {
	e.prev, e.next = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

func (l *PollLimiter) unlink(e *pollEntry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
}
