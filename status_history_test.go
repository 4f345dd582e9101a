package lifeline

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/internal/durations"
	"github.com/actionflows/lifeline/storage/resilient"
)

// inBubble runs a hub in memory in a bubble, in which no goroutine may be left.
func inBubble(t *testing.T, test func(t *testing.T, rt *runtime)) {
	synctest.Test(t, func(t *testing.T) {
		rt := newRuntime("bubble")
		h := &Hub{storage: new(MemoryStorage), info: new(MemoryStorage).Describe("bubble")}
		if err := rt.start(h, zap.NewNop()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := rt.Destruct(); err != nil {
				t.Error(err)
			}
		}()
		test(t, rt)
	})
}

func (s *statusFeed) parsed(t *testing.T) (body struct {
	Uptime  float64
	History map[string]json.RawMessage
},
) {
	t.Helper()
	if err := json.Unmarshal(s.now(forSite), &body); err != nil {
		t.Fatal(err)
	}
	return body
}

// series is one of the history, null as -1.
func (s *statusFeed) series(t *testing.T, name string) []float64 {
	t.Helper()
	var values []*float64
	if err := json.Unmarshal(s.parsed(t).History[name], &values); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	list := make([]float64, len(values))
	for i, v := range values {
		if list[i] = -1; v != nil {
			list[i] = *v
		}
	}
	return list
}

// A hub has history from its start on, and keeps two minutes of it.
func TestHistoryReachesBackTwoMinutes(t *testing.T) {
	inBubble(t, func(t *testing.T, rt *runtime) {
		publish := func(n int) {
			for range n {
				id := fmt.Sprint(time.Now().UnixNano())
				time.Sleep(time.Millisecond)
				if _, err := rt.hub.Load().Publish(t.Context(), events.Event{Session: "s", ID: id, Type: "a:b", Data: []byte("{}")}); err != nil {
					t.Error(err)
				}
			}
		}
		want := func(tail ...float64) {
			t.Helper()
			got := rt.feed.series(t, "received")
			if len(got) != 120 || !slices.Equal(got[120-len(tail):], tail) {
				t.Errorf("received %v, want %v at the end", got, tail)
			}
		}
		want(-1, -1)
		time.Sleep(100 * time.Millisecond)
		publish(3)
		time.Sleep(time.Second)
		publish(2)
		time.Sleep(1500 * time.Millisecond)
		want(-1, 3, 2)
		if got := rt.feed.series(t, "websockets"); !slices.Equal(got[117:], []float64{-1, 0, 0}) {
			t.Errorf("websockets %v", got)
		}
		if got := rt.feed.series(t, "delayP99"); got[119] != -1 {
			t.Errorf("nothing was delivered, and its delay is %v", got[119])
		}
		time.Sleep(118 * time.Second)
		want(0, 0)
		if got := rt.feed.series(t, "received"); got[0] != 3 {
			t.Errorf("the oldest second: %v", got[0])
		}
		time.Sleep(time.Second)
		if got := rt.feed.series(t, "received"); got[0] != 2 {
			t.Errorf("a second later: %v", got[0])
		}
		if up := rt.feed.parsed(t).Uptime; up < 120 || up > 122 {
			t.Errorf("it is up for %v s", up)
		}
	})
}

func TestHistoryHasDifferences(t *testing.T) {
	h := newHistory()
	sample := func(n uint64) {
		h.sample(events.Stats{
			Received: map[string]uint64{"http": n, "watcher": n}, Delivered: map[string]uint64{"sse": n},
			Connections: map[string]int{"websocket": 1, "sse": 2, "poll": 3}, SlowConsumers: n,
			Delivery: durations.Sum{Count: n, Buckets: map[float64]uint64{0.001: n}},
		}, resilient.Status{Pending: 7}, []breaker.Stats{{Rejected: n}, {Rejected: n}})
	}
	sample(5)
	sample(15)
	last := h.last(1)
	text, err := json.Marshal(last)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"seconds":120,"websockets":[1],"streams":[2],"longPolls":[3],"received":[20],"delivered":[10],` +
		`"delayP50":[0.75],"delayP99":[1],"slowConsumers":[10],"pending":[7],"rejected":[20]}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// A reader who takes nothing is ended and does not hold up others, who all get the
// same bytes; none is left when the hub has ended.
func TestStatusReaders(t *testing.T) {
	inBubble(t, func(t *testing.T, rt *runtime) {
		s := rt.feed
		ended := make(map[string]time.Duration)
		begin := time.Now()
		reader := func(name string) *statusReader {
			r := &statusReader{ticks: make(chan []byte, maxTicks), end: func() { ended[name] = time.Since(begin) }}
			if s.join(r, forSite) == nil {
				t.Fatal("not let in")
			}
			return r
		}
		slow, a, b := reader("slow"), reader("a"), reader("b")
		for range maxTicks + 1 {
			time.Sleep(time.Second)
			synctest.Wait()
			if fromA, fromB := <-a.ticks, <-b.ticks; &fromA[0] != &fromB[0] {
				t.Error("two readers get two texts")
			}
		}
		if ended["slow"] != (maxTicks+1)*time.Second || len(ended) != 1 {
			t.Errorf("ended after %v", ended)
		}
		s.leave(slow, forSite)
		rt.closeConnections()
		if len(ended) != 3 {
			t.Errorf("at the end: %v", ended)
		}
		if s.join(slow, forSite) != nil {
			t.Error("somebody is let in afterwards")
		}
	})
}

// blocked is a client who reads nothing: a write ends by its deadline, or not at all.
type blocked struct {
	header   http.Header
	deadline chan time.Time
}

func (b *blocked) Header() http.Header { return b.header }
func (b *blocked) WriteHeader(int)     {}
func (b *blocked) Flush()              {}

func (b *blocked) SetWriteDeadline(at time.Time) error {
	b.deadline <- at
	return nil
}

func (b *blocked) Write([]byte) (int, error) {
	for at := time.Now().Add(time.Hour); ; {
		select {
		case at = <-b.deadline:
		case <-time.After(time.Until(at)):
			return 0, http.ErrHandlerTimeout
		}
	}
}

// A client who reads nothing is given up, soon once the hub ends.
func TestStatusReaderWhoReadsNothing(t *testing.T) {
	for _, c := range []struct {
		closeAfter, want time.Duration
	}{{time.Hour, statusWrite}, {3 * time.Second, 3*time.Second + statusEnd}} {
		inBubble(t, func(t *testing.T, rt *runtime) {
			begin, took := time.Now(), make(chan time.Duration, 1)
			go func() {
				w := &blocked{make(http.Header), make(chan time.Time, 9)}
				rt.feed.serve(t.Context(), w, forAdmin, nil, operator)
				took <- time.Since(begin)
			}()
			select {
			case got := <-took:
				if got != c.want {
					t.Errorf("given up after %v, want %v", got, c.want)
				}
			case <-time.After(c.closeAfter):
				rt.closeConnections()
				if got := <-took; got != c.want {
					t.Errorf("given up after %v, want %v", got, c.want)
				}
			}
		})
	}
}

// The cost of a second, without readers and with: see statusFeed.
func BenchmarkStatusTick(b *testing.B) {
	rt := newRuntime("bench")
	h := &Hub{storage: new(MemoryStorage), info: new(MemoryStorage).Describe("bench")}
	if err := rt.start(h, zap.NewNop()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = rt.Destruct() }()
	for i := range 1000 {
		id := fmt.Sprint(i)
		if _, err := rt.hub.Load().Publish(b.Context(), events.Event{Session: id, ID: id, Type: "a:b", Data: []byte("{}")}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("no reader", func(b *testing.B) {
		for b.Loop() {
			rt.feed.tick()
		}
	})
	r := &statusReader{ticks: make(chan []byte), end: func() {}}
	rt.feed.join(r, forSite)
	b.Run("readers", func(b *testing.B) {
		for b.Loop() {
			rt.feed.tick()
		}
	})
}
