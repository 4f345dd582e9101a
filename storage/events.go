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
	// try again.
	AddEvent(ctx context.Context, session, id string, data []byte) (Result, error)
	// ReadEvents answers a page of a session's events, oldest first. Behind a time
	// in whole milliseconds or seconds it may have more than q.Limit entries, though
	// never more than MaxPage: as many as it takes to get out of that unit.
	ReadEvents(ctx context.Context, session string, q LogQuery) (LogPage, error)
	// Growth calls fn, in order and from one goroutine, for every session whose
	// log another node has appended to, and with "" when notices may have been
	// missed, until ctx is done. It is a hint to read.
	Growth(ctx context.Context, fn func(session string)) error
}

// eventLog begins the name of a session's event log, which is that of its input
// queue too, so that one Drop removes both.
const eventLog = "e:"

// AddEvent implements [Events].
func (s *Store) AddEvent(ctx context.Context, session, id string, data []byte) (Result, error) {
	results, err := s.Driver.Apply(ctx, []Op{&Append{
		Log: eventLog + session, ID: id, Data: data,
		MaxLen: s.History.MaxLen, MaxAge: s.History.MaxAge,
	}})
	if err != nil {
		return Result{}, fmt.Errorf("append event: %w", err)
	}
	if err := results[0].Err; err != nil {
		return Result{}, fmt.Errorf("append event: %w", err)
	}
	return results[0], nil
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
