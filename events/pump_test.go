package events

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakeDirect is a connection that takes what it is told to.
type fakeDirect struct {
	mu     sync.Mutex
	writes []string
	room   int           // bytes it takes of the next write; 0: all
	hold   chan struct{} // a write waits for it; nil: none
	held   bool          // one does
	err    error
}

func (f *fakeDirect) isHeld() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

func (f *fakeDirect) tryWrite(_ *attempt, b []byte) (int, error) {
	f.mu.Lock()
	hold := f.hold
	f.held = hold != nil
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	n := len(b)
	if f.room > 0 {
		n, f.room = min(n, f.room), 0
	}
	f.writes = append(f.writes, string(b[:n]))
	return n, nil
}

func (f *fakeDirect) written() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.writes...)
}

// directSubscriber follows testSession over a fakeDirect. What it does not take goes
// to rest.
func directSubscriber(t *testing.T, h *Hub, f *fakeDirect) (s *subscriber, rest *bytes.Buffer) {
	t.Helper()
	rest = new(bytes.Buffer)
	live := make(chan struct{})
	out := &outbox{maxBytes: 1 << 20, maxFrames: 1000, direct: f, full: func() {}}
	out.wake = func() { go writeTo(rest, out) }
	s = &subscriber{sink: liveSink{live}, out: out, enc: encodeWebSocket, replays: make(chan struct{}, 1)}
	h.begin(s, h.register(t.Context(), testSession, s))
	t.Cleanup(func() {
		h.leave(s)
		out.wait()
	})
	<-live
	return s, rest
}

func writeTo(w io.Writer, o *outbox) {
	for {
		b, _ := o.take(make([]byte, 0, maxJoin))
		if b == nil {
			return
		}
		_, _ = w.Write(b)
	}
}

// crowd are so many subscribers that a publisher leaves the writing to the pump.
func crowd(t *testing.T, h *Hub) {
	t.Helper()
	for range maxInline {
		directSubscriber(t, h, &fakeDirect{})
	}
}

// liveSink is closed when its subscriber is live.
type liveSink struct{ live chan struct{} }

func (l liveSink) confirm(*subscriber, confirmation) { close(l.live) }
func (liveSink) failed(*subscriber, error)           {}
func (liveSink) client() Client                      { return Client{} }

// Events that come while others are being written go out in one write, the same
// bytes for everybody, and their publishers wait for none of it.
func TestPumpJoinsWhatIsDue(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	crowd(t, h)
	hold := make(chan struct{})
	one, two := &fakeDirect{hold: hold}, &fakeDirect{}
	directSubscriber(t, h, one)
	directSubscriber(t, h, two)
	publishEvent(t, h, "0")
	eventually(t, "a write", one.isHeld)
	for i := range 20 {
		publishEvent(t, h, fmt.Sprint(i+1))
	}
	close(hold)
	for _, f := range []*fakeDirect{one, two} {
		eventually(t, "all events", func() bool { return strings.Count(strings.Join(f.written(), ""), `"type":"event"`) == 21 })
		if n := len(f.written()); n != 2 {
			t.Errorf("%d writes for 21 events, of which 20 came during the first", n)
		}
		text := strings.Join(f.written(), "")
		for i, at := 0, -1; i <= 20; i++ {
			next := strings.Index(text, fmt.Sprintf(`"id":"%d"`, i))
			if next <= at {
				t.Fatalf("event %d is at %d, the one before at %d", i, next, at)
			}
			at = next
		}
	}
}

// For few subscribers a publisher writes himself, and only what was due when he began:
// what comes while he does is joined, and he is not kept for it.
func TestPublisherWritesToFew(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	f := &fakeDirect{}
	directSubscriber(t, h, f)
	publishEvent(t, h, "1")
	if n := len(f.written()); n != 1 {
		t.Fatalf("%d writes before the publisher was answered", n)
	}
	f.mu.Lock()
	f.hold = make(chan struct{})
	f.mu.Unlock()
	var second sync.WaitGroup
	second.Go(func() { publishEvent(t, h, "2") })
	eventually(t, "a write", f.isHeld)
	for i := range 10 {
		publishEvent(t, h, fmt.Sprint(i+3))
	}
	f.mu.Lock()
	hold := f.hold
	f.hold = make(chan struct{}) // for the write of the ten, which is not his
	f.mu.Unlock()
	close(hold)
	second.Wait()
	close(f.hold)
	eventually(t, "all events", func() bool { return strings.Count(strings.Join(f.written(), ""), `"type":"event"`) == 12 })
	if n := len(f.written()); n != 3 {
		t.Errorf("%d writes, not one for each of the first two and one for the others", n)
	}
}

// What a socket does not take at once is written by a goroutine that waits for it,
// before all that comes later.
func TestPumpLeavesTheRestToTheWriter(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	crowd(t, h)
	hold := make(chan struct{})
	f := &fakeDirect{room: 10, hold: hold}
	s, rest := directSubscriber(t, h, f)
	publishEvent(t, h, "1")
	eventually(t, "a write", f.isHeld)
	s.out.push([]byte("later"))
	close(hold)
	eventually(t, "the write", func() bool { return len(f.written()) == 1 })
	s.out.box().wait()
	whole := f.written()[0] + rest.String()
	if len(f.written()[0]) != 10 || strings.Count(whole, `"id":"1"`) != 1 || !strings.HasSuffix(whole, "}later") {
		t.Errorf("written %q and then %q", f.written(), rest)
	}
	publishEvent(t, h, "2")
	eventually(t, "the second", func() bool { return len(f.written()) == 2 })
}

// A queue that is full is thrown away, but not the rest of a frame that has begun: the
// close frame behind it must be understood.
func TestFullQueueKeepsTheRestOfAFrame(t *testing.T) {
	full := make(chan struct{})
	f := &fakeDirect{room: 4}
	o := &outbox{maxBytes: 10, maxFrames: 1000, direct: f, wake: func() {}, full: func() { close(full) }}
	o.hand(chunk{b: []byte("<first>"), frames: 1})
	o.flush(newAttempt())
	for range 3 {
		o.push([]byte("<later>"))
	}
	<-full
	o.finish([]byte("<close>"), true)
	var rest bytes.Buffer
	writeTo(&rest, o)
	if got := f.written()[0] + rest.String(); got != "<first><close>" {
		t.Errorf("written %q", got)
	}
}

// A connection that fails gets nothing more, and the others all.
func TestPumpOverABrokenConnection(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	broken, whole := &fakeDirect{err: syscall.EPIPE}, &fakeDirect{}
	s, _ := directSubscriber(t, h, broken)
	directSubscriber(t, h, whole)
	publishEvent(t, h, "1")
	publishEvent(t, h, "2")
	eventually(t, "both", func() bool { return strings.Count(strings.Join(whole.written(), ""), `"type":"event"`) == 2 })
	s.out.box().wait()
	if s.out.box().isOpen() || len(broken.written()) != 0 {
		t.Errorf("open %v, written %q", s.out.box().isOpen(), broken.written())
	}
}

// Whoever begins to share the topic's frames gets those behind his beginning only,
// and whoever stops gets all that were due.
func TestPumpAtComingAndGoing(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	crowd(t, h)
	hold := make(chan struct{})
	holder := &fakeDirect{hold: hold}
	directSubscriber(t, h, holder)
	leaver := &fakeDirect{}
	s, rest := directSubscriber(t, h, leaver)
	publishEvent(t, h, "1")
	eventually(t, "a write", holder.isHeld)
	publishEvent(t, h, "2")
	comer := &fakeDirect{}
	directSubscriber(t, h, comer)
	h.leave(s)
	s.out.box().wait()
	got := strings.Join(leaver.written(), "") + rest.String()
	if !strings.Contains(got, `"id":"1"`) || !strings.Contains(got, `"id":"2"`) {
		t.Errorf("who left was given %q", got)
	}
	publishEvent(t, h, "3")
	close(hold)
	text := func() string { return strings.Join(comer.written(), "") }
	eventually(t, "the third", func() bool { return strings.Contains(text(), `"id":"3"`) })
	if text := text(); strings.Contains(text, `"id":"1"`) || strings.Contains(text, `"id":"2"`) {
		t.Errorf("who came was given %q", text)
	}
}

func TestBurstChunks(t *testing.T) {
	small, large := bytes.Repeat([]byte("s"), maxJoin/2-1), bytes.Repeat([]byte("l"), maxJoin+1)
	b := burst{frames: [][]byte{small, small, small, large, small}}
	var sizes, frames []int
	for _, c := range b.chunks() {
		sizes, frames = append(sizes, len(c.b)), append(frames, c.frames)
	}
	if fmt.Sprint(sizes, frames) != fmt.Sprint([]int{maxJoin - 2, maxJoin/2 - 1, maxJoin + 1, maxJoin/2 - 1}, []int{2, 1, 1, 1}) {
		t.Errorf("sizes %v, frames %v", sizes, frames)
	}
}

// One more subscriber costs no allocation for an event.
func TestPumpAllocatesNothingPerSubscriber(t *testing.T) {
	o := &outbox{maxBytes: 1 << 20, maxFrames: 1000, wake: func() {}, full: func() {}, direct: takesAll{}}
	a, c := newAttempt(), chunk{b: []byte("frame"), frames: 1}
	if n := testing.AllocsPerRun(100, func() {
		o.hand(c)
		o.flush(a)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type takesAll struct{}

func (takesAll) tryWrite(_ *attempt, b []byte) (int, error) { return len(b), nil }

// A write of more than a socket takes answers how much it took, and does not wait.
func TestAttemptDoesNotWait(t *testing.T) {
	server, client := tcpPair(t)
	raw := rawSocket(server)
	a, b := newAttempt(), make([]byte, 1<<20)
	total := 0
	for range 1000 {
		n, err := a.write(raw, b)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n < len(b) {
			break
		}
	}
	if n, err := a.write(raw, b); n != 0 || err != nil {
		t.Errorf("a full socket took %d, %v", n, err)
	}
	got, err := io.CopyN(io.Discard, client, int64(total))
	if err != nil || got != int64(total) {
		t.Errorf("%d bytes arrived of %d: %v", got, total, err)
	}
	_ = server.Close()
	if _, err := a.write(raw, b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket: %v", err)
	}
}

func tcpPair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.DialTimeout("tcp", l.Addr().String(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Close()
		_ = client.Close()
	})
	return server, client
}
