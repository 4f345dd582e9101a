package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/actionflows/lifeline/storage"
)

// received is one frame that a follower got.
type received struct {
	Type      string          `json:"type"`
	SessionID string          `json:"sessionId"`
	Payload   json.RawMessage `json:"payload"`
	Cursor    string          `json:"cursor"`
	Pending   bool            `json:"pending"`
	Recovered *bool           `json:"recovered"`
	Gap       bool            `json:"gap"`
	Degraded  bool            `json:"degraded"`
	Code      string          `json:"code"`
	ID        string          `json:"-"` // of the event
}

// follower is a connection without a network.
type follower struct {
	t       testing.TB
	hub     *Hub
	out     outbox
	sub     *subscriber
	types   typeFilter
	stalled chan struct{} // nil, or: nothing is taken from out before it is closed

	mu      sync.Mutex
	frames  []received
	changed chan struct{}
	failure error
}

func follow(t testing.TB, h *Hub, since *storage.Cursor, changes ...func(*follower)) *follower {
	t.Helper()
	f := &follower{t: t, hub: h, changed: make(chan struct{})}
	f.out = outbox{
		maxBytes: 1 << 30, maxFrames: 1 << 30, wake: func() { go f.write() },
		full: func() { t.Error("the follower's queue was full") },
	}
	for _, change := range changes {
		change(f)
	}
	f.sub = &subscriber{sink: f, out: &f.out, since: since, types: f.types, replays: make(chan struct{}, 1)}
	h.begin(f.sub, h.register(h.ctx, testSession, f.sub))
	t.Cleanup(f.leave)
	return f
}

func (f *follower) leave() {
	f.hub.leave(f.sub)
	f.out.kill()
	f.out.wait()
}

func (f *follower) write() {
	if f.stalled != nil {
		<-f.stalled
	}
	for {
		b, _ := f.out.take(nil)
		if b == nil {
			return
		}
		f.read(b)
	}
}

func (f *follower) read(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(b) > 0 {
		r := &sliceReader{b}
		frame, err := ws.ReadFrame(r)
		if err != nil {
			f.t.Errorf("not a frame: %v: %q", err, b)
			return
		}
		b = r.b
		f.frames = append(f.frames, decodeFrame(f.t, frame.Payload))
	}
	notify(&f.changed)
	f.changed = make(chan struct{})
}

func decodeFrame(t testing.TB, b []byte) received {
	t.Helper()
	var r received
	if err := json.Unmarshal(b, &r); err != nil {
		t.Errorf("not JSON: %v: %s", err, b)
	}
	var e struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(r.Payload, &e) == nil {
		r.ID = e.ID
	}
	return r
}

type sliceReader struct{ b []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func (f *follower) confirm(s *subscriber, c confirmation) {
	m := confirmationMessage{Type: confirmationType, SessionID: s.topic.session, Cursor: c.cursor.String()}
	if c.resumed {
		recovered := !c.gap
		m.Recovered, m.Gap, m.Degraded = &recovered, c.gap, c.degraded
	}
	f.out.push(putHeader(appendJSON(make([]byte, maxHeader), m), 0))
}

func (f *follower) client() Client { return Client{} }

func (f *follower) failed(s *subscriber, err error) {
	f.hub.leave(s)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure = err
	notify(&f.changed)
	f.changed = make(chan struct{})
}

// wait answers the frames once done accepts them.
func (f *follower) wait(what string, done func([]received) bool) []received {
	f.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		frames, changed := slices.Clone(f.frames), f.changed
		f.mu.Unlock()
		if done(frames) {
			return frames
		}
		select {
		case <-changed:
		case <-timeout:
			f.t.Fatalf("%s: got %s", what, describe(frames))
		}
	}
}

func describe(frames []received) string {
	var s []string
	for _, r := range frames {
		s = append(s, fmt.Sprintf("%s %s %s", r.Type, r.ID, r.Cursor))
	}
	return fmt.Sprint(s)
}

func confirmed(frames []received) bool { return len(frames) > 0 && frames[0].Type == confirmationType }

// events waits for n events and checks that they are exactly these, in order.
func (f *follower) events(ids ...string) []received {
	f.t.Helper()
	frames := f.wait(fmt.Sprintf("events %v", ids), func(frames []received) bool { return len(onlyEvents(frames)) >= len(ids) })
	got := onlyEvents(frames)
	if names := idsOf(got); !slices.Equal(names, ids) {
		f.t.Fatalf("got events %v, want %v", names, ids)
	}
	return got
}

func onlyEvents(frames []received) []received {
	return slices.DeleteFunc(slices.Clone(frames), func(r received) bool { return r.Type != "event" })
}

func idsOf(frames []received) []string {
	ids := make([]string, len(frames))
	for i, r := range frames {
		ids[i] = r.ID
	}
	return ids
}

func parseCursor(t testing.TB, s string) storage.Cursor {
	t.Helper()
	c, err := storage.ParseCursor(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
