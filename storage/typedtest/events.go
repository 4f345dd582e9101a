package typedtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func eventIDs(p storage.LogPage) []string {
	ids := make([]string, len(p.Entries))
	for i, entry := range p.Entries {
		ids[i] = entry.ID + " " + string(entry.Data)
	}
	return ids
}

func addEvent(e *env) {
	first := got(e.s.AddEvent(e.ctx, "s1", "e1", []byte(`{"n":1}`))).must(e)
	if first.Duplicate || first.Cursor.Pos.Micros == 0 {
		e.Fatalf("answered %+v", first)
	}
	recent(e, first.ReceivedAt)
	again := got(e.s.AddEvent(e.ctx, "s1", "e1", []byte(`{"n":1}`))).must(e)
	if !again.Duplicate || again.Cursor.Pos != first.Cursor.Pos {
		e.Fatalf("again it answered %+v, first %+v", again, first)
	}
	got(e.s.AddEvent(e.ctx, "s2", "e1", []byte(`{"n":2}`))).must(e)
	same(e, eventIDs(got(e.store.ReadEvents(e.ctx, "s1", storage.LogQuery{})).must(e)), []string{`e1 {"n":1}`})
	same(e, eventIDs(got(e.store.ReadEvents(e.ctx, "s2", storage.LogQuery{})).must(e)), []string{`e1 {"n":2}`})
}

func addEvents(e *env) {
	news := []storage.NewEvent{
		{Session: "s1", ID: "e1", Data: []byte("1")},
		{Session: "s2", ID: "e1", Data: []byte("2")},
		{Session: "s1", ID: "e2", Data: []byte("3")},
		{Session: "s1", ID: "e1", Data: []byte("1")},
	}
	results := e.s.AddEvents(e.ctx, news)
	same(e, len(results), len(news))
	for i, r := range results {
		if r.Err != nil || r.Cursor.Pos.Micros == 0 || r.Duplicate != (i == 3) {
			e.Fatalf("event %d answered %+v", i, r)
		}
		recent(e, r.ReceivedAt)
	}
	same(e, results[3].Cursor, results[0].Cursor)
	same(e, eventIDs(got(e.store.ReadEvents(e.ctx, "s1", storage.LogQuery{})).must(e)), []string{"e1 1", "e2 3"})
	same(e, eventIDs(got(e.store.ReadEvents(e.ctx, "s2", storage.LogQuery{})).must(e)), []string{"e1 2"})
}

func (e *env) events(session string, n int) []storage.Result {
	e.Helper()
	results := make([]storage.Result, n)
	for i := range n {
		results[i] = got(e.store.AddEvent(e.ctx, session, fmt.Sprint("e", i), []byte("1"))).must(e)
	}
	return results
}

func getEvents(e *env) {
	e.events("s1", 5)
	page := got(e.s.ReadEvents(e.ctx, "s1", storage.LogQuery{Limit: 2})).must(e)
	same(e, eventIDs(page), []string{"e3 1", "e4 1"})
	page = got(e.s.ReadEvents(e.ctx, "s1", storage.LogQuery{Limit: 2, Before: &page.Entries[0].Cursor})).must(e)
	if len(page.Entries) == 0 || page.Entries[0].ID > "e2" {
		e.Fatalf("before e3 are %q", eventIDs(page))
	}
	same(e, eventIDs(got(e.s.ReadEvents(e.ctx, "s2", storage.LogQuery{})).must(e)), []string{})
}

func eventsSince(e *env) {
	results := e.events("s1", 5)
	page := got(e.s.ReadEvents(e.ctx, "s1", storage.LogQuery{After: &results[2].Cursor})).must(e)
	same(e, eventIDs(page), []string{"e3 1", "e4 1"})
	since := storage.MicrosCursor(results[1].ReceivedAt.UnixMicro()) // an arbitrary time
	page = got(e.s.ReadEvents(e.ctx, "s1", storage.LogQuery{After: &since, Limit: 2})).must(e)
	same(e, eventIDs(page), []string{"e2 1", "e3 1"})
	same(e, page.HasMore, true)
}

// listening runs something that calls back until its context is done, and answers
// what ends it and answers its error.
func (e *env) listening(run func(ctx context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(e.ctx)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	e.Cleanup(func() { _ = stop() })
	return stop
}

// blocks fails when what listens ended before it was stopped.
func (e *env) blocks(stop func() error) {
	e.Helper()
	if err := stop(); !errors.Is(err, context.Canceled) {
		e.Fatalf("it ended with %v", err)
	}
}

// until does something again and again until a message arrives.
func (e *env) until(arrived <-chan string, what string, again func()) {
	e.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case m := <-arrived:
			if m == what {
				return
			}
		case <-tick.C:
			again()
		case <-deadline:
			e.Fatalf("%q did not arrive", what)
		}
	}
}

func growth(e *env) {
	grown := make(chan string, 1024)
	stop := e.listening(func(ctx context.Context) error {
		return e.s.Growth(ctx, func(session string) { grown <- session })
	})
	if e.peer != nil {
		peer, n := e.peer(), 0
		e.until(grown, "s1", func() {
			n++
			got(peer.AddEvent(e.ctx, "s1", fmt.Sprint("e", n), []byte("1"))).must(e)
		})
	}
	e.blocks(stop)
}

func (e *env) subscription(channel string) (messages chan string, stop func() error) {
	messages = make(chan string, 1024)
	stop = e.listening(func(ctx context.Context) error {
		return e.s.Subscribe(ctx, channel, func(m storage.Message) {
			if !m.Lost {
				messages <- string(m.Data)
			}
		})
	})
	return messages, stop
}

func subscribe(e *env) {
	wantField(e, e.s.Subscribe(e.ctx, "", nil), "channel")
	messages, stop := e.subscription("news")
	if e.peer != nil {
		peer := e.peer()
		e.until(messages, "hello", func() {
			ok(e, peer.Publish(e.ctx, "other", []byte("not for us")))
			ok(e, peer.Publish(e.ctx, "news", []byte("hello")))
		})
		for len(messages) > 0 {
			same(e, <-messages, "hello")
		}
	}
	e.blocks(stop)
}

func publish(e *env) {
	wantField(e, e.s.Publish(e.ctx, "a\x00b", nil), "channel")
	ok(e, e.s.Publish(e.ctx, "news", []byte("to nobody")))
	if e.peer != nil {
		messages := make(chan string, 1024)
		peer := e.peer()
		stop := e.listening(func(ctx context.Context) error {
			return peer.Subscribe(ctx, "news", func(m storage.Message) { messages <- string(m.Data) })
		})
		e.until(messages, "hello", func() { ok(e, e.s.Publish(e.ctx, "news", []byte("hello"))) })
		e.blocks(stop)
	}
}

func disconnect(e *env) {
	_, stop := e.subscription("news")
	ok(e, e.s.Close())
	ok(e, e.s.Close())
	wantError(e, e.s.Publish(e.ctx, "news", nil), storage.ErrClosed)
	got(e.s.GetSession(e.ctx, "s1")).fails(e, storage.ErrClosed)
	got(e.s.SetSession(e.ctx, storage.Session{ID: "s1"})).fails(e, storage.ErrClosed)
	if err := stop(); !errors.Is(err, storage.ErrClosed) && !errors.Is(err, context.Canceled) {
		e.Fatalf("the subscription ended with %v", err)
	}
}
