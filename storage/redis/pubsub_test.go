package redis

import (
	"strconv"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faults"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// ready waits until the subscription gets what is published.
func ready(t *testing.T, d *Driver, channel string, b *inbox) {
	t.Helper()
	n := 0
	eventually(t, "a message comes through", func() bool {
		n++
		data := "ready " + strconv.Itoa(n)
		_ = d.Publish(t.Context(), channel, []byte(data))
		return b.count(func(m storage.Message) bool { return len(m.Data) > 6 && string(m.Data[:6]) == "ready " }) > 0
	})
}

func TestNoticesOfAppends(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	b := subscribe(t, d, storage.NoticeChannel)
	ready(t, d, storage.NoticeChannel, b)

	p := storage.NewProducer()
	var appends []*storage.Append
	for i := range 40 { // all partitions
		for n := range 3 {
			a := in("e:"+strconv.Itoa(i), strconv.Itoa(n))
			a.Link = storage.Link{Producer: p, Number: uint64(n) + 1}
			appends = append(appends, a)
		}
	}
	apply(t, d, appends...)
	apply(t, d, appends...) // nothing new
	apply(t, d, entry("last"))
	last := string(storage.Notice{Log: testLog}.Encode())
	eventually(t, "the last notice", func() bool { return b.has(last) })
	for i := range 40 {
		want := string(storage.Notice{Producer: p, Log: "e:" + strconv.Itoa(i)}.Encode())
		if n := b.count(func(m storage.Message) bool { return string(m.Data) == want }); n != 1 {
			t.Errorf("log %d: %d notices, want 1", i, n)
		}
	}
	if b.lost() != 0 {
		t.Error("Lost without an interruption")
	}
}

func TestOtherChannelsAreSeparate(t *testing.T) {
	d := open(t, redistest.Start(t))
	a, b := subscribe(t, d, "a"), subscribe(t, d, "b")
	ready(t, d, "a", a)
	ready(t, d, "b", b)
	if err := d.Publish(t.Context(), "a", []byte("for a")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a's message", func() bool { return a.has("for a") })
	if err := d.Publish(t.Context(), "b", []byte("for b")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b's message", func() bool { return b.has("for b") })
	if b.has("for a") || a.has("for b") {
		t.Error("a message came on the wrong channel")
	}
}

func TestLostAfterTheConnectionWasKilled(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	b := subscribe(t, d, storage.NoticeChannel)
	ready(t, d, storage.NoticeChannel, b)
	for i := range 3 {
		s.MustDo("CLIENT", "KILL", "TYPE", "pubsub")
		eventually(t, "Lost", func() bool { return b.lost() == i+1 })
	}
	apply(t, d, entry("a"))
	eventually(t, "a notice after that", func() bool {
		return b.has(string(storage.Notice{Log: testLog}.Encode()))
	})
}

func TestSubscribeWhileRedisIsDown(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s, func(o *Options) { o.Timeout = DefaultTimeout })
	s.Kill()
	b := subscribe(t, d, "x")
	eventually(t, "Redis is found missing", func() bool { return Counts(d.Health(t.Context())) })
	s.Restart()
	eventually(t, "Lost: messages were published while there was no subscription",
		func() bool { return b.lost() > 0 })
	ready(t, d, "x", b)
}

func TestSilentConnectionIsReopened(t *testing.T) {
	s := redistest.Start(t)
	proxy := faults.NewProxy(t, s.Addr())
	d := open(t, s, through(proxy), func(o *Options) { o.Timeout = time.Second })
	d.liveEvery = 50 * time.Millisecond
	b := subscribe(t, d, "x")
	ready(t, d, "x", b)
	proxy.Blackhole(true) // no connection breaks
	eventually(t, "the subscription is given up", func() bool {
		return s.MustDo("CLIENT", "LIST", "TYPE", "pubsub") == ""
	})
	proxy.Blackhole(false)
	eventually(t, "Lost", func() bool { return b.lost() > 0 })
	ready(t, d, "x", b)
}

func TestLivelyConnectionStays(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	d.liveEvery = 200 * time.Millisecond // a loaded machine answers within two of them
	b := subscribe(t, d, "x")
	ready(t, d, "x", b)
	before := commandCalls(t, s, "publish")
	eventually(t, "messages to itself", func() bool {
		return commandCalls(t, s, "publish") >= before+liveMissed+2
	})
	if b.lost() != 0 {
		t.Error("a connection that works was reopened")
	}
}
