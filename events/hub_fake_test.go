package events

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// fakeBackend keeps one log per session as a remote driver behind a journal
// would, and lets tests decide what goes wrong.
type fakeBackend struct {
	own storage.Producer

	mu       sync.Mutex
	logs     map[string]*fakeLog
	down     bool  // appends are pending, pages degraded
	readErr  error // every read fails
	addErr   error // every append fails, after having been carried out
	reads    int
	status   resilient.Status
	onStatus []func(resilient.Status)
	growth   chan string
	// held, by event id: AddEvent returns only once the channel is closed.
	held map[string]chan struct{}
}

type fakeLog struct {
	state   storage.LogState
	entries []storage.LogEntry
	pending []storage.LogEntry
	numbers map[storage.Producer]uint64
	ids     map[string]storage.Result
}

func newFake() *fakeBackend {
	return &fakeBackend{
		own: storage.NewProducer(), logs: make(map[string]*fakeLog), growth: make(chan string),
		held: make(map[string]chan struct{}),
	}
}

// log is called with mu held.
func (b *fakeBackend) log(session string) *fakeLog {
	l := b.logs[session]
	if l == nil {
		l = &fakeLog{
			state:   storage.LogState{Epoch: storage.NewEpoch(), Last: make(map[storage.Producer]uint64)},
			numbers: make(map[storage.Producer]uint64), ids: make(map[string]storage.Result),
		}
		b.logs[session] = l
	}
	return l
}

// take puts an entry at the end of the log proper.
func (l *fakeLog) take(e storage.LogEntry) storage.Position {
	head := l.state.Head
	e.Pos = storage.Position{Micros: storage.NextMicros(time.Now().UnixMicro(), head.Micros, 0), Seq: head.Seq + 1}
	e.Pending = false
	l.state.Head = e.Pos
	if l.state.First.Seq == 0 {
		l.state.First = e.Pos
	}
	l.state.Last[e.Link.Producer] = e.Link.Number
	l.entries = append(l.entries, e)
	return e.Pos
}

func (b *fakeBackend) AddEvent(_ context.Context, session, id string, data []byte) (storage.Result, error) {
	res, hold, err := b.add(session, id, data)
	if hold != nil {
		<-hold
	}
	return res, err
}

func (b *fakeBackend) add(session, id string, data []byte) (storage.Result, chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.log(session)
	if res, ok := l.ids[id]; ok {
		res.Duplicate = true
		return res, nil, nil
	}
	l.numbers[b.own]++
	link := storage.Link{Producer: b.own, Number: l.numbers[b.own]}
	e := storage.LogEntry{ID: id, Data: data, Link: link}
	res := storage.Result{Link: link}
	if b.down {
		e.Pending, e.Received = true, time.Now().UTC().Truncate(time.Microsecond)
		l.pending = append(l.pending, e)
		res.Pending, res.ReceivedAt = true, e.Received
		res.Cursor = storage.Cursor{Epoch: l.state.Epoch, Pos: l.state.Head}.With(link)
	} else {
		pos := l.take(e)
		res.Cursor, res.ReceivedAt = storage.Cursor{Epoch: l.state.Epoch, Pos: pos}, pos.Time()
	}
	l.ids[id] = res
	return res, b.held[id], b.addErr
}

// remote appends as another node would.
func (b *fakeBackend) remote(session string, p storage.Producer, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.log(session)
	l.numbers[p]++
	l.take(storage.LogEntry{ID: id, Data: eventData(session, id), Link: storage.Link{Producer: p, Number: l.numbers[p]}})
}

// ship puts what is pending into the log proper.
func (b *fakeBackend) ship() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.logs {
		for _, e := range l.pending {
			l.take(e)
		}
		l.pending = nil
	}
}

// trim drops the oldest n entries.
func (b *fakeBackend) trim(session string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.log(session)
	l.entries = l.entries[n:]
	l.state.First = storage.Position{}
	if len(l.entries) > 0 {
		l.state.First = l.entries[0].Pos
	}
}

// refill gives the same entries new places in a new epoch.
func (b *fakeBackend) refill(session string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.log(session)
	old := l.entries
	l.entries, l.state = nil, storage.LogState{Epoch: storage.NewEpoch(), Last: make(map[storage.Producer]uint64)}
	for _, e := range old {
		l.take(e)
	}
}

func (b *fakeBackend) ReadEvents(_ context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	if b.readErr != nil {
		return storage.LogPage{}, b.readErr
	}
	l := b.log(session)
	if b.down {
		return l.degraded(q, b.own), nil
	}
	state := l.state
	state.Last = maps.Clone(state.Last)
	if state.Head.Seq == 0 {
		state = storage.LogState{}
	}
	plan := q.Plan(state)
	var found []storage.LogEntry
	for _, e := range l.entries {
		if e.Pos.Micros > plan.After && (plan.Before == 0 || e.Pos.Micros < plan.Before) {
			found = append(found, e)
		}
	}
	more := len(found) > plan.Limit
	switch {
	case more && plan.Newest:
		found = found[len(found)-plan.Limit:]
	case more:
		found = found[:plan.Limit]
	}
	page := plan.Page(found, more)
	if !more || plan.Newest {
		addPending(&page, l.pending)
	}
	return page, nil
}

// degraded answers what the journal knows: what this node has shipped, and what
// is pending. Other nodes' entries are missing.
func (l *fakeLog) degraded(q storage.LogQuery, own storage.Producer) storage.LogPage {
	page := storage.LogPage{Degraded: true}
	if q.After != nil {
		page.Cursor = *q.After
		for _, e := range l.entries {
			if e.Link.Producer == own && e.Pos.Micros > page.Cursor.Pos.Micros && !page.Cursor.Saw(e.Link) {
				page.Cursor = page.Cursor.With(e.Link)
				e.Cursor, e.Received = page.Cursor, e.Pos.Time()
				page.Entries = append(page.Entries, e)
			}
		}
	}
	addPending(&page, l.pending)
	return page
}

func addPending(page *storage.LogPage, pending []storage.LogEntry) {
	for _, e := range pending {
		if page.Cursor.Saw(e.Link) {
			continue
		}
		page.Cursor = page.Cursor.With(e.Link)
		e.Cursor = page.Cursor
		page.Entries = append(page.Entries, e)
	}
}

func (b *fakeBackend) Growth(ctx context.Context, fn func(string)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case session := <-b.growth:
			fn(session)
		}
	}
}

func (b *fakeBackend) CircuitBreakerStats() []breaker.Stats { return nil }
func (b *fakeBackend) UsingFallback() bool                  { return b.Status().Degraded }

func (b *fakeBackend) Status() resilient.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

func (b *fakeBackend) OnStatus(fn func(resilient.Status)) (cancel func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onStatus = append(b.onStatus, fn)
	return func() {}
}

// setDown starts or ends an outage, and tells the hub.
func (b *fakeBackend) setDown(down bool) {
	if !down {
		b.ship()
	}
	b.mu.Lock()
	b.down, b.status.Degraded = down, down
	fns, status := slices.Clone(b.onStatus), b.status
	b.mu.Unlock()
	for _, fn := range fns {
		fn(status)
	}
}

func (b *fakeBackend) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *fakeBackend) hold(id string) (release func()) {
	ch := make(chan struct{})
	b.set(func() { b.held[id] = ch })
	return func() { close(ch) }
}

func eventData(session, id string) []byte {
	return appendJSON(nil, map[string]string{"type": "step:started", "sessionId": session, "id": id})
}

const testSession = "session-1"

func publishEvent(t testing.TB, h *Hub, id string) storage.Result {
	t.Helper()
	res, err := h.Publish(context.Background(), Event{
		Session: testSession, ID: id, Type: "step:started", Data: eventData(testSession, id),
	})
	if err != nil {
		t.Errorf("publish %s: %v", id, err)
	}
	return res
}

// fastIntervals let a test see in milliseconds what takes seconds.
func fastIntervals() intervals {
	i := defaultIntervals()
	i.retry, i.maxRetry, i.rejoin = time.Millisecond, 4*time.Millisecond, time.Millisecond
	i.catchUp = time.Hour // no test may depend on it unless it says so
	return i
}

func newTestHub(t testing.TB, b Backend, changes ...func(*Config, *intervals)) *Hub {
	t.Helper()
	cfg, times := Config{Backend: b}, fastIntervals()
	for _, change := range changes {
		change(&cfg, &times)
	}
	h := newHub(cfg, times, nil)
	t.Cleanup(h.Close)
	return h
}

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
	f.sub = &subscriber{sink: f, out: &f.out, since: since, replays: make(chan struct{}, 1)}
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
