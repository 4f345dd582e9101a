package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage/resilient"
)

// say sets the status and tells the hub.
func (b *fakeBackend) say(pending int, state breaker.State, reasons ...string) {
	b.set(func() {
		b.status = resilient.Status{Degraded: reasons != nil, Reasons: reasons, Pending: pending}
		b.breakers = []breaker.Stats{{Name: "redis", State: state}}
	})
	b.tellStatus()
}

const calm = `{"degraded":false,"reasons":[],"breakers":[{"name":"redis","state":"closed"}],"pending":0}`

func quickStatus(_ *Config, i *intervals) { i.status = time.Millisecond }

// Everybody is told of every change: degraded, other reasons, another state of a
// breaker; and who comes while all is not well, at once.
func TestStatusIsTold(t *testing.T) {
	b := newFake()
	b.breakers = []breaker.Stats{{Name: "redis"}}
	h := newTestHub(t, b, quickStatus)
	s := hubServer(t, h)
	c, st := connect(t, s, ""), openStream(t, s, "/"+testSession, nil)
	c.status, st.status = true, true
	st.wantStart()
	both := func(payload string) {
		t.Helper()
		c.want(`{"type":"status","payload":` + payload + `}`)
		st.want("event: lifeline.status\ndata: " + payload + "\n")
	}
	b.say(3, breaker.Open, "circuit breaker OPEN")
	both(`{"degraded":true,"reasons":["circuit breaker OPEN"],"breakers":[{"name":"redis","state":"open"}],"pending":3}`)
	b.say(4, breaker.Open, "circuit breaker OPEN") // nothing but the count
	b.say(5, breaker.HalfOpen, "circuit breaker OPEN")
	worse := `{"degraded":true,"reasons":["circuit breaker OPEN"],"breakers":[{"name":"redis","state":"half-open"}],"pending":5}`
	both(worse)
	late := dial(t, s, "/ws", nil)
	late.status = true
	late.want(`{"type":"subscription_confirmed","payload":{"degraded":true}}`)
	late.want(`{"type":"status","payload":` + worse + `}`)
	lateStream := openStream(t, s, "/b", nil)
	lateStream.status = true
	lateStream.wantStart()
	lateStream.want("event: lifeline.status\ndata: " + worse + "\n")
	b.say(0, breaker.Closed)
	both(calm)
	late.want(`{"type":"status","payload":` + calm + `}`)
	lateStream.want("event: lifeline.status\ndata: " + calm + "\n")
	after := dial(t, s, "/ws", nil)
	after.status = true
	after.want(`{"type":"subscription_confirmed","payload":{"degraded":false}}`)
	after.sync() // nothing in between
}

// A stream of several sessions is told, too, and its ids stay what they are.
func TestStatusOnStreamOfSeveral(t *testing.T) {
	b := newFake()
	b.say(0, breaker.Open, "x")
	h := newTestHub(t, b, quickStatus)
	st := openStream(t, severalServer(t, h), "/?session=a&session=b", nil)
	st.status = true
	st.wantAt()
	if block := st.next(); !strings.HasPrefix(block, "event: lifeline.status\ndata: {\"degraded\":true,") {
		t.Errorf("got %q", block)
	}
	b.say(0, breaker.Closed)
	st.want("event: lifeline.status\ndata: " + calm + "\n")
}

// A connection that is to be closed is told nothing.
func TestStatusIsNotForTheRefused(t *testing.T) {
	b := newFake()
	b.say(0, breaker.Open, "x")
	h := newTestHub(t, b)
	c := dial(t, hubServer(t, h), "/refused", nil)
	if f := c.frame(); f.Header.OpCode != 8 {
		t.Errorf("got %q", f.Payload)
	}
}

// Breakers that flap cost one telling in intervals.status; the last state is told.
func TestStatusIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.breakers = []breaker.Stats{{Name: "redis"}}
		h := New(Config{Backend: b})
		defer h.Close()
		var told atomic.Int32
		c := newWSConn(h, countStatus{&told}, nil, Grant{Read: true, All: true})
		if err := h.reserve(Peer{}); err != nil {
			t.Fatal(err)
		}
		h.enroll(c)
		defer h.connections.remove(c)
		for i := range 1001 { // 10 s
			state := breaker.State(i % 2)
			b.say(i, state, fmt.Sprint("circuit breaker ", state))
			time.Sleep(10 * time.Millisecond)
		}
		b.say(0, breaker.Closed)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := told.Load(); n < 10 || n > 22 {
			t.Errorf("told %d times in 10 s", n)
		}
		if got := string(appendJSON(nil, h.status.last)); got != calm {
			t.Errorf("the last one is %s", got)
		}
		c.abort()
		c.out.wait()
	})
}

// Storage tells of a change once. If another state was told meanwhile, which storage
// has seen nothing of, the last one is told all the same.
func TestStatusIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		h := New(Config{Backend: b})
		defer h.Close()
		last := func() string {
			synctest.Wait()
			h.status.mu.Lock()
			defer h.status.mu.Unlock()
			return strings.Join(h.status.last.Reasons, ", ")
		}
		b.say(0, breaker.Open, "first")
		if got := last(); got != "first" {
			t.Fatalf("%q is told", got)
		}
		b.set(func() { b.status.Reasons = []string{"second"} }) // nobody tells
		time.Sleep(3 * h.times.status)
		if got := last(); got != "second" {
			t.Errorf("%q was told last, behind a change", got)
		}
		b.set(func() { b.status.Reasons = []string{"another"} })
		time.Sleep(3 * h.times.status)
		if got := last(); got != "another" {
			t.Errorf("%q was told last, behind a second look", got)
		}
		b.tellStatus() // as it was
		synctest.Wait()
		b.set(func() { b.status.Reasons = []string{"third"} })
		time.Sleep(3 * h.times.status)
		if got := last(); got != "third" {
			t.Errorf("%q was told last, behind no change", got)
		}
	})
}

// countStatus is a socket that counts writes of the status.
type countStatus struct{ n *atomic.Int32 }

func (countStatus) Read([]byte) (int, error) { return 0, errConnectionEnded }
func (w countStatus) Write(b []byte) (int, error) {
	if strings.Contains(string(b), `"type":"status"`) {
		w.n.Add(1)
	}
	return len(b), nil
}
func (countStatus) Close() error                { return nil }
func (countStatus) SetDeadline(time.Time) error { return nil }

// In the queue of a slow client there is one status at most, the last; it makes
// nobody too slow, and moves no event.
func TestStatusIsConflated(t *testing.T) {
	o, _, fulls := newTestOutbox(1000, 3)
	for _, frame := range []string{"a", "b", "c"} {
		o.hand(chunk{b: []byte(frame), frames: 1})
	}
	o.tell([]byte("one"))
	o.tell([]byte("second"))
	if o.frames != 4 || o.bytes != 9 || *fulls != 0 {
		t.Errorf("%d frames, %d bytes, full %d times", o.frames, o.bytes, *fulls)
	}
	if b, _ := o.take(nil); string(b) != "abcsecond" {
		t.Errorf("got %q", b)
	}
	if o.bytes != 0 || o.frames != 0 {
		t.Errorf("%d frames, %d bytes are left", o.frames, o.bytes)
	}
	o.kill()
	o.tell([]byte("x"))
	if len(o.queue) != 0 {
		t.Error("a dead queue takes a status")
	}
}

// Close spreads the clients' return: a second for each 1,000, and half a minute at
// most.
func TestAwayReason(t *testing.T) {
	for clients, most := range map[int]float64{0: 1, 1: 1, 5_000: 5, 1_000_000: 30} {
		var all []float64
		for range 200 {
			var r struct{ RetryAfter *float64 }
			reason := awayReason(clients)
			if err := json.Unmarshal([]byte(reason), &r); err != nil || r.RetryAfter == nil || len(reason) > 40 {
				t.Fatalf("%d clients: %q: %v", clients, reason, err)
			}
			all = append(all, *r.RetryAfter)
		}
		if low, high := slices.Min(all), slices.Max(all); low < 0 || high >= most || low > most/4 || high < most*3/4 {
			t.Errorf("%d clients: from %v to %v, want all up to %v", clients, low, high, most)
		}
	}
}

// A WebSocket that the hub closes is told when to come again.
func TestCloseTellsWhenToComeAgain(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	c := connect(t, hubServer(t, h), "")
	go h.Close()
	var r struct{ RetryAfter *float64 }
	if reason := c.wantClose(closeGoingAway); json.Unmarshal([]byte(reason), &r) != nil || r.RetryAfter == nil {
		t.Errorf("reason %q", reason)
	}
}

// A client that has its hello is known, and misses nothing that goes to all.
func TestHelloComesFromAConnectionThatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(Config{Backend: newFake()}, defaultIntervals(), func(step string) {
			if step == "enrolling" {
				synctest.Wait() // whatever is to be written already has been
			}
		})
		defer h.Close()
		if err := h.reserve(Peer{}); err != nil {
			t.Fatal(err)
		}
		written := 0
		c := newWSConn(h, onWrite(func() {
			if written++; len(h.connections.sockets()) != 1 {
				t.Error("the hello is sent before the connection is known")
			}
		}), nil, Grant{Read: true, All: true})
		c.welcome()
		synctest.Wait()
		if written != 1 {
			t.Errorf("%d writes", written)
		}
		h.connections.remove(c)
		c.abort()
		c.out.wait()
	})
}

// onWrite is a socket that calls a function at each write.
type onWrite func()

func (onWrite) Read([]byte) (int, error)      { return 0, errConnectionEnded }
func (f onWrite) Write(b []byte) (int, error) { f(); return len(b), nil }
func (onWrite) Close() error                  { return nil }
func (onWrite) SetDeadline(time.Time) error   { return nil }
