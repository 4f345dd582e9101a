package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// form is what a client knows of where it is.
type form int

const (
	// byCursor: the cursor, on every transport.
	byCursor form = iota
	// byTime: the timestamp of a poll's answer, and receivedAt of what a WebSocket
	// brings; sent back as it is. An event of a stream tells it no time: having left
	// the stream it goes on where it was before.
	byTime
	// byCutTime: the same in milliseconds, as a JavaScript Date has it.
	byCutTime
	// old: the timestamp of a poll's answer and nothing else. It follows streams and
	// WebSockets from now on, and polls for what it missed meanwhile.
	old
)

func (f form) String() string { return [...]string{"cursor", "time", "cut time", "old"}[f] }

// trip is one visit of a wanderer, and what came of it.
type trip struct {
	how transport
	at  string
	ids []string
}

// wanderer is a client that changes its transport again and again.
type wanderer struct {
	t    testing.TB
	node *node
	who  string
	form form
	rand *rand.Rand

	at    string
	trips []trip
	seen  map[string]bool // of what it need not be shown again
}

func newWanderer(t testing.TB, n *node, number int, f form, seed uint64) *wanderer {
	w := &wanderer{
		t: t, node: n, form: f, who: fmt.Sprintf("192.0.2.%d", number+1),
		rand: rand.New(rand.NewPCG(seed, uint64(number))), at: "1970-01-01T00:00:00Z", seen: make(map[string]bool),
	}
	if f == old {
		w.at = ""
		w.trip(context.Background(), poll) // of the empty session: it begins with what comes then
	}
	return w
}

// wander goes on until it has seen all.
func (w *wanderer) wander(ctx context.Context, all func() (n int, complete bool)) {
	for ctx.Err() == nil {
		if n, complete := all(); complete && len(w.seen) >= n {
			return
		}
		// Most connections end soon, some last.
		life := time.Duration(w.rand.IntN(300)) * time.Millisecond
		if w.rand.IntN(4) == 0 {
			life *= 5
		}
		part, cancel := context.WithTimeout(ctx, life)
		w.trip(part, transport(w.rand.IntN(int(transports))))
		cancel()
	}
	w.t.Errorf("%s, by %v, has seen %d events only", w.who, w.form, len(w.seen))
}

// trip visits the hub once.
func (w *wanderer) trip(ctx context.Context, how transport) {
	tr := trip{how: how, at: w.at}
	if w.form == old && (how == webSocket || how == stream) {
		tr.at = ""
	}
	most := 1 + w.rand.IntN(400)
	v := visit{node: w.node, who: w.who, how: how, at: tr.at}
	v.saw = func(s sight) bool {
		switch {
		case s.again:
			w.t.Errorf("%s, by %v, on a %v from %q: told that events may be missing", w.who, w.form, how, tr.at)
		case s.id != "":
			tr.ids = append(tr.ids, s.id)
		}
		w.move(how, s)
		if s.id != "" && w.keeps(how) {
			w.seen[s.id] = true
		}
		return len(tr.ids) < most
	}
	_ = v.make(ctx)
	w.trips = append(w.trips, tr)
}

// keeps reports whether what the transport shows need not be shown again.
func (w *wanderer) keeps(how transport) bool {
	switch how {
	case stream:
		return w.form == byCursor
	case webSocket:
		return w.form != old
	}
	return true
}

func (w *wanderer) move(how transport, s sight) {
	switch at := s.time; {
	case w.form == byCursor && s.cursor != "":
		w.at = s.cursor
	case w.form == byCursor, at == "", !w.keeps(how):
	case w.form == byCutTime:
		w.at = cutTime(at)
	default:
		w.at = at
	}
}

// cutTime is new Date(t).toISOString().
func cutTime(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return err.Error()
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// check compares what a wanderer saw with the history. Each of its visits must have
// shown what lies behind its beginning, in order and without a hole; and all of them
// together each event, and once, but where a client that cuts times asked again for
// the millisecond in which it was.
func (w *wanderer) check(all []storage.LogEntry) (used map[transport]int) {
	w.t.Helper()
	var total []string
	used = make(map[transport]int) // by how many visits it was shown events
	for i, tr := range w.trips {
		want := behind(w.t, all, tr.at, tr.ids)
		if n := differs(tr.ids, want); n >= 0 {
			w.t.Fatalf("%s, by %v, visit %d, %v from %q: number %d is %s, want %s", w.who, w.form, i, tr.how, tr.at, n, at(tr.ids, n), at(want, n))
		}
		if len(tr.ids) > 0 {
			used[tr.how]++
		}
		for _, id := range tr.ids {
			if !w.keeps(tr.how) || w.form == byCutTime && slices.Contains(total[max(0, len(total)-pollLimit):], id) {
				continue
			}
			total = append(total, id)
		}
	}
	if n := differs(total, idsOf(all)); n >= 0 || len(total) != len(all) {
		w.t.Errorf("%s, by %v: %d events, want %d; number %d is %s, want %s", w.who, w.form, len(total), len(all), n, at(total, n), at(idsOf(all), n))
	}
	w.t.Logf("%s, by %v: %d visits, with events %v", w.who, w.form, len(w.trips), used)
	return used
}

// behind is what follows a position, or the first of what was seen where there is
// none.
func behind(t testing.TB, all []storage.LogEntry, at string, seen []string) []string {
	t.Helper()
	ids := idsOf(all)
	if at == "" {
		if len(seen) == 0 {
			return nil
		}
		return ids[max(0, slices.Index(ids, seen[0])):]
	}
	c, err := storage.ParseCursor(at)
	if err != nil {
		t.Fatal(err)
	}
	first := slices.IndexFunc(all, func(e storage.LogEntry) bool { return e.Pos.Micros > c.Pos.Micros })
	if first < 0 {
		return nil
	}
	return ids[first:]
}

// differs is where got is not the beginning of want; -1: nowhere.
func differs(got, want []string) int {
	for i := range got {
		if i >= len(want) || got[i] != want[i] {
			return i
		}
	}
	return -1
}

func at(ids []string, n int) string {
	if n < 0 || n >= len(ids) {
		return "none"
	}
	return ids[n]
}

func idsOf(entries []storage.LogEntry) []string {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.ID
	}
	return ids
}

// Clients change between all transports, dropping connections, while publishers go
// as fast as they can.
func TestRandomMixOfTransports(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) { t.Parallel(); mixTransports(t, inMemory(t), 1) })
	t.Run("Redis and journal", func(t *testing.T) {
		t.Parallel()
		mixTransports(t, onRedis(t, redistest.Start(t), patience), 2)
	})
}

func mixTransports(t *testing.T, n *node, seed uint64) {
	const publishers, each = 3, 400
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var alone atomic.Bool
	fell := func() { alone.Store(true) }
	n.backend.alone.Store(&fell)
	var all []*wanderer
	for i, f := range []form{byCursor, byTime, byCutTime, old, byCursor, byTime, byCutTime, old} {
		all = append(all, newWanderer(t, n, i, f, seed))
	}
	var published atomic.Bool
	var publishing, wandering sync.WaitGroup
	for i := range publishers {
		p := &publisher{t: t, node: n, name: fmt.Sprintf("p%d", i)}
		publishing.Go(func() { p.run(ctx, each) })
	}
	for _, w := range all {
		wandering.Go(func() {
			w.wander(ctx, func() (int, bool) { return publishers * each, published.Load() })
		})
	}
	publishing.Wait()
	published.Store(true)
	wandering.Wait()
	entries := history(t, n.backend.Store)
	if len(entries) != publishers*each {
		t.Fatalf("the history has %d events", len(entries))
	}
	if alone.Load() {
		t.Log("Redis did not answer a read in time: the order is not compared")
		return // everybody has seen all, or would be wandering still
	}
	used := make(map[transport]int)
	for _, w := range all {
		for how, n := range w.check(entries) {
			used[how] += n
		}
	}
	if len(used) != int(transports) {
		t.Errorf("events were shown by %v only", used)
	}
}
