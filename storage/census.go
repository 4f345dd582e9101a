package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxLogs is how many sessions there are as logs only where nothing else is
// configured.
const DefaultMaxLogs = 100_000

// Times of a [Census], and how many logs it remembers to be there.
const (
	censusEvery = 5 * time.Second
	censusAgain = time.Second // between two counts because of a refusal
	censusKnown = 10_000
	knownFor    = time.Minute
	// censusPatience is what looking for a log may add to a publish; storage that takes
	// longer is about to be given up.
	censusPatience = 200 * time.Millisecond
)

// TooManyLogsError refuses an event that would begin a log: as many sessions as may
// have events and no record.
type TooManyLogsError struct{ Max int }

func (e *TooManyLogsError) Error() string {
	return fmt.Sprintf("%d sessions have events and no record, which is as many as max_logs lets", e.Max)
}

// Census bounds how many sessions exist as logs only, which anybody creates who posts
// an event under a new id. They are the logs of events that have entries, less the
// records of sessions: one without events makes room for one more.
//
// It adds no reading to a publish before the bound is near: it knows how many there
// are by counting every 5 s, and by adding what it sees begin in between. Near the
// bound it looks whether a session's log is there. So one node keeps the bound,
// several may exceed it by what the others begin within 5 s, and what storage cannot
// tell in an outage is let in. Safe for concurrent use.
type Census struct {
	driver    Counting
	max       atomic.Int64
	logs      atomic.Int64 // of events
	records   atomic.Int64 // of sessions
	underWay  atomic.Int64 // events being appended that may begin a log each
	displaced atomic.Uint64
	first     sync.Once // the first count, for which everybody waits

	mu      sync.Mutex // guards what follows
	counted time.Time  // when it was tried last
	// Sessions whose logs were there lately, in two generations.
	young, old map[string]struct{}
	turned     time.Time // when young became old
}

// NewCensus makes a census of what a driver holds; see [Census.Run].
func NewCensus(d Driver) *Census {
	c := &Census{driver: CountingOf(d)}
	c.SetMax(0)
	return c
}

// SetMax sets the bound; 0: [DefaultMaxLogs].
func (c *Census) SetMax(logs int) {
	if logs <= 0 {
		logs = DefaultMaxLogs
	}
	c.max.Store(int64(logs))
}

// Max is the bound.
func (c *Census) Max() int { return int(c.max.Load()) }

// Displaced is how often a new record of a session had others removed because there
// were as many as may.
func (c *Census) Displaced() uint64 { return c.displaced.Load() }

// Run counts now and then until ctx is done. It ends with [errors.ErrUnsupported] at
// once when the driver cannot: then nothing is bounded.
func (c *Census) Run(ctx context.Context) error {
	c.begin(ctx)
	_, err := c.driver.CountLogs(ctx, eventLog) // whether it can at all
	t := time.NewTicker(censusEvery)
	defer t.Stop()
	for {
		if errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("count logs: %w", err)
		}
		select {
		case <-t.C:
			err = c.count(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// begin counts for the first time. Should that fail, nothing is bounded until it has
// worked.
func (c *Census) begin(ctx context.Context) {
	c.first.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), censusAgain)
		defer cancel()
		_ = c.count(ctx)
	})
}

// count asks the driver. Storage that is away is reported by others.
func (c *Census) count(ctx context.Context) error {
	c.mu.Lock()
	c.counted = time.Now()
	c.mu.Unlock()
	logs, err := c.driver.CountLogs(ctx, eventLog)
	if err != nil {
		return err //nolint:wrapcheck // by the caller
	}
	records, err := c.driver.CountDocuments(ctx, collSessions)
	if err != nil {
		return err //nolint:wrapcheck // by the caller
	}
	c.logs.Store(int64(logs))
	c.records.Store(int64(records))
	return nil
}

// exceeds reports whether n more logs could be more than may be.
func (c *Census) exceeds(n int64) bool { return c.logs.Load()-c.records.Load()+n > c.max.Load() }

// append has the store append events, but those that would begin a log too many.
func (c *Census) append(ctx context.Context, s *Store, events []NewEvent) []Result {
	c.begin(ctx)
	n := int64(len(events))
	for {
		others := c.underWay.Load()
		if c.exceeds(others + n) {
			return c.appendNear(ctx, s, events)
		}
		if c.underWay.CompareAndSwap(others, others+n) {
			break
		}
	}
	defer c.underWay.Add(-n)
	results := s.append(ctx, events)
	for _, r := range results {
		if begins(r) {
			c.logs.Add(1)
		}
	}
	return results
}

// begins reports whether an append has begun its log. One result does for a log.
func begins(r Result) bool { return r.Err == nil && !r.Exists && !r.Duplicate }

// place is what is known of a session before an event is appended to it.
type place uint8

const (
	placeThere    place = iota // it has a log or a record, or nobody knows
	placeReserved              // it will be one log more, which is counted already
	placeNone                  // there is no room
)

// appendNear is append near the bound.
func (c *Census) appendNear(ctx context.Context, s *Store, events []NewEvent) []Result {
	places := make(map[string]place)
	for _, e := range events {
		if _, ok := places[e.Session]; !ok {
			places[e.Session] = c.place(ctx, s, e.Session)
		}
	}
	results := make([]Result, len(events))
	admitted := make([]NewEvent, 0, len(events))
	at := make([]int, 0, len(events))
	for i, e := range events {
		if places[e.Session] == placeNone {
			results[i].Err = fmt.Errorf("append event: %w", &TooManyLogsError{Max: c.Max()})
			continue
		}
		admitted, at = append(admitted, e), append(at, i)
	}
	if len(admitted) == 0 {
		return results
	}
	for i, r := range s.append(ctx, admitted) {
		results[at[i]] = r
		if begins(r) {
			c.logs.Add(1)
		}
		if r.Err == nil {
			c.remember(admitted[i].Session)
		}
	}
	for _, p := range places {
		if p == placeReserved { // it has begun and is counted, or it has not
			c.logs.Add(-1)
		}
	}
	return results
}

// place finds a place for the events of a session.
func (c *Census) place(ctx context.Context, s *Store, session string) place {
	if c.knows(session) {
		return placeThere
	}
	ctx, cancel := context.WithTimeout(ctx, censusPatience)
	defer cancel()
	page, err := s.Driver.ReadLog(ctx, eventLog+session, LogQuery{Limit: 1})
	if err != nil || page.Degraded || len(page.Entries) > 0 {
		return placeThere
	}
	if _, err := s.Driver.Get(ctx, collSessions, session); !errors.Is(err, ErrNotFound) {
		return placeThere // it has a record, or nobody knows
	}
	if c.reserve() {
		return placeReserved
	}
	if c.mayCount() && c.count(ctx) == nil && c.reserve() { // something may have gone
		return placeReserved
	}
	return placeNone
}

// reserve counts one log more, if there is room beside the events of others that are
// under way.
func (c *Census) reserve() bool {
	for {
		logs := c.logs.Load()
		if c.exceeds(c.underWay.Load() + 1) {
			return false
		}
		if c.logs.CompareAndSwap(logs, logs+1) {
			return true
		}
	}
}

func (c *Census) mayCount() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.counted) >= censusAgain
}

func (c *Census) knows(session string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	_, young := c.young[session]
	_, old := c.old[session]
	return young || old
}

func (c *Census) remember(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if c.young == nil {
		c.young = make(map[string]struct{})
	}
	c.young[session] = struct{}{}
}

// turn forgets what was remembered longest ago, after a while or when it is too much.
func (c *Census) turn() {
	if len(c.young) < censusKnown && time.Since(c.turned) < knownFor {
		return
	}
	c.young, c.old, c.turned = nil, c.young, time.Now()
}

// recorded notes that a session got a record; most is how many may have one.
func (c *Census) recorded(existed bool, most int) {
	switch {
	case existed:
	case c.records.Load() >= int64(most):
		c.displaced.Add(1)
	default:
		c.records.Add(1)
	}
}
