package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/client"
)

// quick are options that let a test see within a second what takes half a minute.
func quick() client.Options {
	return client.Options{
		ReconnectInterval: 40 * time.Millisecond, MaxReconnectInterval: 300 * time.Millisecond, PollInterval: 50 * time.Millisecond,
		ConnectTimeout: time.Second, HeartbeatInterval: 500 * time.Millisecond, HeartbeatTimeout: 500 * time.Millisecond,
	}
}

// watcher is what a loop has got, and been told.
type watcher struct {
	t *testing.T

	mu       sync.Mutex
	events   []client.Event
	statuses []client.Status
	resets   []string
	storage  []client.Storage
	errs     []error
	ended    chan struct{}
	err      error // that it ended with
	cancel   context.CancelFunc
}

func newHub(t *testing.T, site string, o client.Options) *client.Client {
	t.Helper()
	hub, err := client.New(site, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	return hub
}

// watch loops over a subscription until it ends by itself, or stop.
func watch(t *testing.T, hub *client.Client, s client.Subscription) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{t: t, cancel: cancel, ended: make(chan struct{})}
	s.OnStatus = func(to client.Status) { w.note(func() { w.statuses = append(w.statuses, to) }) }
	s.OnReset = func(id string, why client.Reset) {
		w.note(func() { w.resets = append(w.resets, id+" "+string(why)) })
	}
	s.OnStorage = func(to client.Storage) { w.note(func() { w.storage = append(w.storage, to) }) }
	s.OnError = func(err error) { w.note(func() { w.errs = append(w.errs, err) }) }
	go func() {
		defer close(w.ended)
		for event, err := range hub.Subscribe(ctx, s) {
			w.note(func() {
				if w.err = err; err == nil {
					w.events = append(w.events, event)
				}
			})
		}
	}()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *watcher) note(what func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what()
}

// stop ends the loop, and answers the error with which it did.
func (w *watcher) stop() error {
	w.cancel()
	<-w.ended
	return w.err
}

func (w *watcher) wait(what string, ok func() bool) {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.note(func() {
				w.t.Logf("statuses %v, resets %v, errors %v, %d events", w.statuses, w.resets, w.errs, len(w.events))
			})
		}
	}()
	waitUntil(w.t, what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return ok()
	})
}

// is waits until the status is one.
func (w *watcher) is(want client.Status) {
	w.t.Helper()
	w.wait("the status is "+string(want), func() bool { return len(w.statuses) > 0 && w.statuses[len(w.statuses)-1] == want })
}

// more waits for some more events.
func (w *watcher) more() {
	w.t.Helper()
	had := -1
	w.wait("more events come", func() bool {
		if had < 0 {
			had = len(w.events)
		}
		return len(w.events) >= had+10
	})
}

// ids are those of the events of a session, in the order of their coming.
func (w *watcher) ids(session string) (ids []string) {
	w.note(func() {
		for _, e := range w.events {
			if e.Session == session {
				ids = append(ids, e.ID)
			}
		}
	})
	return ids
}

// publisher posts numbered events of a session, past all troubles, until it is stopped.
type publisher struct {
	stopping chan struct{}
	done     chan int
}

func publish(t *testing.T, s *server, session string) *publisher {
	t.Helper()
	p := &publisher{make(chan struct{}), make(chan int, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	hub := newHub(t, s.direct(), client.Options{PublishTimeout: 2 * time.Second})
	go func() {
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for n := 0; ; n++ {
			select {
			case <-p.stopping:
				p.done <- n
				return
			case <-pace.C:
			}
			if _, err := hub.Publish(ctx, numbered(session, n)); err != nil {
				t.Errorf("publish: %v", err)
				p.done <- n
				return
			}
		}
	}()
	return p
}

func numbered(session string, n int) map[string]any {
	return map[string]any{"type": "test:numbered", "sessionId": session, "id": number(session, n), "number": n}
}

func number(session string, n int) string { return fmt.Sprintf("%s-%d", session, n) }

// stop answers the ids of all that were published.
func (p *publisher) stop(session string) (ids []string) {
	close(p.stopping)
	for n := range <-p.done {
		ids = append(ids, number(session, n))
	}
	return ids
}

// follow follows numbered events through a trouble: each comes once, in order.
func follow(t *testing.T, s *server, o client.Options, trouble func(w *watcher)) *watcher {
	t.Helper()
	const session = "a session/ü"
	p := publish(t, s, session)
	w := watch(t, newHub(t, s.url(), o), client.Subscription{Sessions: []string{session}, From: time.Unix(0, 0)})
	trouble(w)
	want := p.stop(session)
	w.wait("all events have come", func() bool { return len(w.events) >= len(want) })
	if err := w.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
	if got := w.ids(session); !slices.Equal(got, want) {
		t.Errorf("got %d events %v\nwant %d %v", len(got), got, len(want), want)
	}
	return w
}
