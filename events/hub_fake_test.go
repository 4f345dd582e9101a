package events

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient"
)

// fakeBackend keeps one log per session as a remote driver behind a journal
// would, and lets tests decide what goes wrong.
type fakeBackend struct {
	own storage.Producer

	mu        sync.Mutex
	logs      map[string]*fakeLog
	down      bool   // appends are pending, pages degraded
	mirror    bool   // degraded pages show all that the log has
	forgotten uint64 // of its own shipped entries, degraded pages lack those up to this number
	readErr   error  // every read fails
	addErr    error  // every append fails, after having been carried out
	reads     int
	status    resilient.Status
	onStatus  []func(resilient.Status)
	breakers  []breaker.Stats
	growth    chan string
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
			if slices.ContainsFunc(l.entries, func(o storage.LogEntry) bool { return o.ID == e.ID }) {
				l.state.Last[e.Link.Producer] = e.Link.Number // another node has been faster
				continue
			}
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
		return l.degraded(q, b), nil
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

// degraded answers what the node knows: what it has shipped itself, or with a
// mirror all that the log has, and what is pending.
func (l *fakeLog) degraded(q storage.LogQuery, b *fakeBackend) storage.LogPage {
	page := storage.LogPage{Degraded: true}
	if q.After == nil {
		addPending(&page, l.pending)
		return page
	}
	page.Cursor = *q.After
	hole := false // entries that the journal has forgotten lie behind the cursor
	for _, e := range l.entries {
		own := e.Link.Producer == b.own
		switch {
		case e.Pos.Micros <= q.After.Pos.Micros || q.After.Saw(e.Link):
			continue
		case b.mirror:
			page.Cursor = page.Cursor.Pass(l.state.Epoch, e.Pos, e.Link)
		case own && e.Link.Number <= b.forgotten:
			hole = true
			continue
		case own && !hole:
			page.Cursor = page.Cursor.With(e.Link)
		case !own:
			continue
		}
		e.Cursor, e.Received = page.Cursor, e.Pos.Time()
		page.Entries = append(page.Entries, e)
	}
	if !hole {
		addPending(&page, l.pending)
		return page
	}
	for _, e := range l.pending {
		e.Cursor = page.Cursor
		page.Entries = append(page.Entries, e)
	}
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

// noRecords is a driver that has no records and takes none.
type noRecords struct{ storage.Driver }

func (noRecords) Get(context.Context, string, string) (storage.Document, error) {
	return storage.Document{}, storage.ErrNotFound
}

func (noRecords) Scan(context.Context, string, string, storage.ScanQuery) ([]storage.Document, error) {
	return nil, nil
}

func (noRecords) Apply(_ context.Context, ops []storage.Op) ([]storage.Result, error) {
	return make([]storage.Result, len(ops)), nil
}

func (noRecords) Publish(context.Context, string, []byte) error { return nil }

func (noRecords) Subscribe(ctx context.Context, _ string, _ func(storage.Message)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (b *fakeBackend) Records() *storage.Store { return &storage.Store{Driver: noRecords{}} }

func (b *fakeBackend) CircuitBreakerStats() []breaker.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.breakers)
}

func (b *fakeBackend) UsingFallback() bool { return b.Status().Degraded }

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
	b.set(func() { b.down, b.status.Degraded = down, down })
	b.tellStatus()
}

// tellStatus tells the hub of the status.
func (b *fakeBackend) tellStatus() {
	b.mu.Lock()
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
