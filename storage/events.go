package storage

import (
	"context"
	"fmt"
	"strings"
)

// Events are the operations on the event log of a session.
type Events interface {
	// AddEvent appends one event; its id is deduplicated within the session.
	// data must not be changed afterwards. An [UnavailableError] says when to
	// try again; a [TooManyLogsError], that the session would be one too many.
	AddEvent(ctx context.Context, session, id string, data []byte) (Result, error)
	// AddEvents appends many, each on its own: its result has its error. Those of one
	// session are in their order.
	AddEvents(ctx context.Context, events []NewEvent) []Result
	// ReadEvents answers a page of a session's events, oldest first. Behind a time
	// in whole milliseconds or seconds it may have more than q.Limit entries, though
	// never more than MaxPage: as many as it takes to get out of that unit.
	ReadEvents(ctx context.Context, session string, q LogQuery) (LogPage, error)
	// Growth calls fn, in order and from one goroutine, for every session whose
	// log another node has appended to, and with "" when notices may have been
	// missed, until ctx is done. It is a hint to read.
	Growth(ctx context.Context, fn func(session string)) error
}

// NewEvent is an event to be added; see [Events].AddEvent.
type NewEvent struct {
	Session, ID string
	Data        []byte
}

// eventLog begins the name of a session's event log, which is that of its input
// queue too, so that one Drop removes both.
const eventLog = "e:"

// AddEvent implements [Events].
func (s *Store) AddEvent(ctx context.Context, session, id string, data []byte) (Result, error) {
	result := s.AddEvents(ctx, []NewEvent{{session, id, data}})[0]
	if result.Err != nil {
		return Result{}, result.Err
	}
	return result, nil
}

// AddEvents implements [Events].
func (s *Store) AddEvents(ctx context.Context, events []NewEvent) []Result {
	if s.Census == nil {
		return s.append(ctx, events)
	}
	return s.Census.append(ctx, s, events)
}

// append has the driver append events.
func (s *Store) append(ctx context.Context, events []NewEvent) []Result {
	ops := make([]Op, len(events))
	for i, e := range events {
		ops[i] = &Append{
			Log: eventLog + e.Session, ID: e.ID, Data: e.Data,
			MaxLen: s.History.MaxLen, MaxAge: s.History.MaxAge,
		}
	}
	results, err := s.Driver.Apply(ctx, ops)
	if len(results) != len(ops) {
		results = make([]Result, len(ops))
	}
	for i := range results {
		if err != nil && results[i].Err == nil && results[i].Cursor.Pos.Micros == 0 { // not said
			results[i].Err = err
		}
		if results[i].Err != nil {
			results[i].Err = fmt.Errorf("append event: %w", results[i].Err)
		}
	}
	return results
}

// ReadEvents implements [Events].
func (s *Store) ReadEvents(ctx context.Context, session string, q LogQuery) (LogPage, error) {
	page, err := s.Driver.ReadLog(ctx, eventLog+session, q)
	if reach := q.reach(); err == nil && page.fallsShort(reach, q.limit()) {
		q.Limit = MaxPage
		page, err = s.Driver.ReadLog(ctx, eventLog+session, q)
		page = page.upTo(reach)
	}
	if err != nil {
		return LogPage{}, fmt.Errorf("read events: %w", err)
	}
	return page, nil
}

// Growth implements [Events].
func (s *Store) Growth(ctx context.Context, fn func(session string)) error {
	return s.Driver.Subscribe(ctx, NoticeChannel, func(m Message) {
		if m.Lost {
			fn("")
			return
		}
		n, err := ParseNotice(m.Data)
		if err != nil {
			return // not ours: a hint that cannot be read is no hint
		}
		if session, ok := strings.CutPrefix(n.Log, eventLog); ok {
			fn(session)
		}
	})
}
