package delivery

import (
	"context"
	"fmt"
	"maps"
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

// trip is one visit of a wanderer, and what came of it in each session.
type trip struct {
	how transport
	at  map[string]string
	ids map[string][]string
}

// wanderer is a client that changes its transport again and again.
type wanderer struct {
	interest

	t    testing.TB
	node *node
	who  string
	form form
	rand *rand.Rand

	at    map[string]string
	trips []trip
	seen  map[string]bool // of what it need not be shown again
}

func newWanderer(t testing.TB, n *node, number int, f form, what interest, seed uint64) *wanderer {
	w := &wanderer{
		interest: what, t: t, node: n, form: f, who: fmt.Sprintf("192.0.2.%d", number+1),
		rand: rand.New(rand.NewPCG(seed, uint64(number))), at: make(map[string]string), seen: make(map[string]bool),
	}
	for _, session := range w.sessions {
		w.at[session] = "1970-01-01T00:00:00Z"
	}
	if f == old {
		clear(w.at)
		w.trip(context.Background(), poll) // of the empty sessions: it begins with what comes then
	}
	return w
}

func (w *wanderer) String() string { return fmt.Sprintf("%s, by %v, of %v", w.who, w.form, w.interest) }

// wander goes on until it has seen all that it asks for.
func (w *wanderer) wander(ctx context.Context, all func(interest) (n int, complete bool)) {
	for ctx.Err() == nil {
		if n, complete := all(w.interest); complete && len(w.seen) >= n {
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
	w.t.Errorf("%v has seen %d events only", w, len(w.seen))
}

// trip visits the hub once.
func (w *wanderer) trip(ctx context.Context, how transport) {
	tr := trip{how: how, at: maps.Clone(w.at), ids: make(map[string][]string)}
	if w.form == old && (how == webSocket || how == stream) {
		clear(tr.at)
	}
	shown, most := 0, 1+w.rand.IntN(400)
	v := visit{
		interest: w.interest, node: w.node, who: w.who, how: how, at: tr.at,
		resume: resumption(w.rand.IntN(int(resumptions))),
	}
	v.saw = func(s sight) bool {
		switch {
		case s.again:
			w.t.Errorf("%v, on a %v from %v: told that events may be missing", w, how, tr.at)
		case s.id != "":
			tr.ids[s.session] = append(tr.ids[s.session], s.id)
			shown++
		}
		w.move(how, s)
		if s.id != "" && w.keeps(how) {
			w.seen[s.id] = true
		}
		return shown < most
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
		w.at[s.session] = s.cursor
	case w.form == byCursor, at == "", !w.keeps(how):
	case w.form == byCutTime:
		w.at[s.session] = cutTime(at)
	default:
		w.at[s.session] = at
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

// check compares what a wanderer saw with the history of each session: what of it is
// asked for. Each of its visits must have shown what lies behind its beginning, in order
// and without a hole; and all of them together each event, and once, but where a client
// that cuts times asked again for the millisecond in which it was.
func (w *wanderer) check(histories map[string][]storage.LogEntry) (used map[transport]int) {
	w.t.Helper()
	used = make(map[transport]int) // by how many visits it was shown events, in each session
	for _, session := range w.sessions {
		w.checkSession(session, w.of(histories[session]), used)
	}
	w.t.Logf("%v: %d visits, with events %v", w, len(w.trips), used)
	return used
}

func (w *wanderer) checkSession(session string, all []storage.LogEntry, used map[transport]int) {
	w.t.Helper()
	var total []string
	for i, tr := range w.trips {
		ids := tr.ids[session]
		want := behind(w.t, all, tr.at[session], ids)
		if n := differs(ids, want); n >= 0 {
			w.t.Fatalf("%v, visit %d, %v from %v: number %d of %q is %s, want %s", w, i, tr.how, tr.at, n, session, at(ids, n), at(want, n))
		}
		if len(ids) > 0 {
			used[tr.how]++
		}
		for _, id := range ids {
			if !w.keeps(tr.how) || w.form == byCutTime && slices.Contains(total[max(0, len(total)-pollLimit):], id) {
				continue
			}
			total = append(total, id)
		}
	}
	if n := differs(total, idsOf(all)); n >= 0 || len(total) != len(all) {
		w.t.Errorf("%v: %d events of %q, want %d; number %d is %s, want %s", w, len(total), session, len(all), n, at(total, n), at(idsOf(all), n))
	}
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

// wanderers are clients of every form, of one session and of several; and of some types.
var wanderers = []struct {
	form form
	what interest
}{
	{byCursor, all(session)},
	{byTime, all(session)},
	{byCutTime, all(session)},
	{old, all(session)},
	{byCursor, interest{sessions, ""}},
	{byTime, interest{sessions, ""}},
	{byCutTime, interest{sessions, ""}},
	{old, interest{sessions, ""}},
	{byCursor, interest{sessions[:1], "a:*"}},
	{byTime, interest{[]string{sessions[2], sessions[0]}, "d:e,rare:one"}},
	{byCutTime, interest{sessions[:1], "a:*"}},
	{old, interest{[]string{sessions[2], sessions[0]}, "d:e,rare:one"}},
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

// mixed are how many publishers there are in each session, and each how many events
// each of them publishes.
var mixed, each = [...]int{3, 1, 1}, int64(240)

// published is how many events of an interest the publishers publish in all.
func published(what interest) (n int) {
	for _, session := range what.sessions {
		for m := int64(1); m <= each; m++ {
			if what.takes(m) {
				n += mixed[slices.Index(sessions, session)]
			}
		}
	}
	return n
}

func mixTransports(t *testing.T, n *node, seed uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*patience) // a machine may be busy
	defer cancel()
	var alone atomic.Bool
	fell := func() { alone.Store(true) }
	n.backend.alone.Store(&fell)
	var clients []*wanderer
	for i, w := range wanderers {
		clients = append(clients, newWanderer(t, n, i, w.form, w.what, seed))
	}
	var complete atomic.Bool
	var publishing, wandering sync.WaitGroup
	for i, many := range mixed {
		for k := range many {
			p := &publisher{t: t, node: n, name: nameOf(k, i)}
			publishing.Go(func() { p.run(ctx, each) })
		}
	}
	for _, w := range clients {
		wandering.Go(func() {
			w.wander(ctx, func(what interest) (int, bool) { return published(what), complete.Load() })
		})
	}
	publishing.Wait()
	complete.Store(true)
	wandering.Wait()
	all := histories(t, n.backend.Store)
	for i, session := range sessions {
		if want := mixed[i] * int(each); len(all[session]) != want {
			t.Fatalf("the history of %q has %d events, want %d", session, len(all[session]), want)
		}
	}
	if alone.Load() {
		t.Log("Redis did not answer a read in time: the order is not compared")
		return // everybody has seen all, or would be wandering still
	}
	used := make(map[transport]int)
	for _, w := range clients {
		for how, n := range w.check(all) {
			used[how] += n
		}
	}
	if len(used) != int(transports) {
		t.Errorf("events were shown by %v only", used)
	}
}
