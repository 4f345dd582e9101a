package client_test

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/actionflows/lifeline/client"
	"github.com/actionflows/lifeline/internal/redistest"
)

const onDisk = "storage disk DIR/events"

// eachTransport runs a test with the best transport being each of them.
func eachTransport(t *testing.T, test func(t *testing.T, o client.Options, up client.Status)) {
	for transport, up := range map[client.Transport]client.Status{
		client.WebSocket: client.Connected, client.SSE: client.Streaming, client.Poll: client.Polling,
	} {
		t.Run(string(transport), func(t *testing.T) {
			o := quick()
			o.Transports = []client.Transport{transport}
			test(t, o, up)
		})
	}
}

func TestEachTransport(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, up client.Status) {
		w := follow(t, start(t, onDisk, ""), o, func(w *watcher) {
			w.is(up)
			w.more()
		})
		if n := len(w.statuses); n > 2 || w.statuses[n-1] != up {
			t.Errorf("statuses %v", w.statuses)
		}
	})
}

func TestDroppedAgainAndAgain(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk, "")
		follow(t, s, o, func(w *watcher) {
			for range 5 {
				w.more()
				s.proxy.Cut()
			}
		})
	})
}

func TestRefused(t *testing.T) {
	s := start(t, onDisk, "")
	w := follow(t, s, quick(), func(w *watcher) {
		w.is(client.Connected)
		w.more()
		s.proxy.Refuse(true)
		s.proxy.Cut()
		w.is(client.Polling) // and the polls fail too
		s.proxy.Refuse(false)
		w.is(client.Connected)
		w.more()
	})
	if want := []client.Status{
		client.Connecting, client.Connected, client.Disconnected, client.Connecting, client.Disconnected,
		client.Connecting, client.Disconnected, client.Connecting,
	}; !slices.Equal(w.statuses[:len(want)], want) {
		t.Errorf("statuses %v", w.statuses)
	}
}

func TestFrozenServer(t *testing.T) {
	s := start(t, onDisk, "")
	follow(t, s, quick(), func(w *watcher) {
		w.is(client.Connected)
		w.more()
		s.signal(syscall.SIGSTOP)
		w.is(client.Polling) // noticed though nothing was closed
		s.signal(syscall.SIGCONT)
		w.is(client.Connected)
		w.more()
	})
}

// TestSilentWay: what was sent is lost, and connections stay open.
func TestSilentWay(t *testing.T) {
	s := start(t, onDisk, "")
	follow(t, s, quick(), func(w *watcher) {
		w.more()
		s.proxy.Blackhole(true)
		w.is(client.Polling)
		s.proxy.Blackhole(false)
		w.is(client.Connected)
		w.more()
	})
}

func TestRestartedServer(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			s := start(t, onDisk, "")
			follow(t, s, quick(), func(w *watcher) {
				w.is(client.Connected)
				w.more()
				s.end(signal)
				w.is(client.Polling)
				s.launch()
				w.is(client.Connected)
				w.more()
			})
		})
	}
}

func TestBlockedWays(t *testing.T) {
	s := start(t, onDisk, "")
	s.gate.block("/ws")
	w := follow(t, s, quick(), func(w *watcher) {
		w.is(client.Streaming)
		w.more()
		s.gate.block("/ws", "/api/events/stream")
		s.proxy.Cut()
		w.is(client.Polling)
		w.more()
		s.gate.block("/ws") // one step up
		w.is(client.Streaming)
		w.more()
		s.gate.block()
		w.is(client.Connected)
		w.more()
		s.gate.block("/ws", "/api/events/stream")
		s.proxy.Cut()
		w.is(client.Polling)
		w.more()
		s.gate.block() // and both
		w.is(client.Connected)
		w.more()
	})
	var came []client.Status
	for _, status := range w.statuses {
		if status != client.Connecting && status != client.Disconnected {
			came = append(came, status)
		}
	}
	if want := []client.Status{
		client.Streaming, client.Polling, client.Streaming, client.Connected, client.Polling, client.Connected,
	}; !slices.Equal(came, want) {
		t.Errorf("statuses %v", w.statuses)
	}
}

func TestKilledRedis(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "storage redis "+redis.URL()+"\njournal DIR/journal\nbreaker {\nfailure_threshold 1\n}", "")
	w := follow(t, s, quick(), func(w *watcher) {
		w.is(client.Connected)
		w.more()
		redis.Kill()
		w.more() // nobody has to wait for Redis
		w.wait("it is told that storage is degraded", func() bool {
			return len(w.storage) > 0 && w.storage[len(w.storage)-1].Degraded && len(w.storage[len(w.storage)-1].Reasons) > 0
		})
		s.proxy.Cut()
		w.more()
		redis.Restart() // and it is empty
		w.wait("it is told of the new epoch", func() bool { return slices.Contains(w.resets, "a session/ü epoch") })
		w.wait("it is told that storage is well", func() bool { return !w.storage[len(w.storage)-1].Degraded })
		w.more()
	})
	if slices.Contains(w.statuses, client.Polling) {
		t.Errorf("statuses %v", w.statuses)
	}
}

// TestStorageByEachTransport: who connects during an outage, and is there when it is
// over, knows both.
func TestStorageByEachTransport(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		redis := redistest.Start(t)
		s := start(t, "storage redis "+redis.URL()+"\njournal DIR/journal\nbreaker {\nfailure_threshold 1\n}", "")
		redis.Kill()
		p := publish(t, s, "s")
		w := watch(t, newHub(t, s.url(), o), client.Subscription{Sessions: []string{"s"}})
		w.wait("degraded", func() bool { return len(w.storage) > 0 && w.storage[0].Degraded })
		redis.Restart()
		w.wait("well", func() bool { return !w.storage[len(w.storage)-1].Degraded })
		p.stop("s")
	})
}

func TestSeveralSessionsOfSomeTypes(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk, "")
		hub := newHub(t, s.direct(), client.Options{})
		sessions := []string{"one", "two/ü", "three & four"}
		var events []any
		want := make(map[string][]string)
		for n := range 90 {
			session := sessions[n%3]
			event := numbered(session, n)
			if event["type"] = []string{"a:one", "b:two", "b:three", "session:started"}[n%4]; event["type"] != "session:started" && event["type"] != "b:three" {
				want[session] = append(want[session], number(session, n))
			}
			events = append(events, event)
		}
		w := watch(t, newHub(t, s.url(), o), client.Subscription{
			Sessions: sessions, Types: []string{"a:*", "b:two"}, From: time.Unix(0, 0),
		})
		w.wait("it has begun", func() bool { return len(w.statuses) > 0 && w.statuses[len(w.statuses)-1] != client.Connecting })
		for i := range 3 {
			if _, err := hub.PublishBatch(context.Background(), events[30*i:30*i+30]...); err != nil {
				t.Fatal(err)
			}
			s.proxy.Cut()
		}
		w.wait("all have come", func() bool { return len(w.events) >= 45 })
		w.stop()
		for _, session := range sessions {
			if got := w.ids(session); !slices.Equal(got, want[session]) {
				t.Errorf("%s: got %v\nwant %v", session, got, want[session])
			}
		}
	})
}

func TestWrongKeyEndsAtOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk, "api_key secret")
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		o.APIKey = "wrong"
		hub := newHub(t, s.url(), o)
		wrong := func(err error) {
			t.Helper()
			if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 401 || !e.Permanent() || e.Code == "" {
				t.Errorf("error %v", err)
			}
		}
		n := 0
		for _, err := range hub.Subscribe(ctx, client.Subscription{Sessions: []string{"s"}}) {
			wrong(err)
			n++
		}
		if got := len(*s.gate.seen.Load()); n != 1 || got != 1 {
			t.Errorf("%d errors after %d requests", n, got)
		}
		_, err := hub.Publish(ctx, numbered("s", 1))
		wrong(err)
		_, err = hub.PublishBatch(ctx, numbered("s", 1), numbered("s", 2))
		wrong(err)
		if got := len(*s.gate.seen.Load()); got != 3 {
			t.Errorf("%d requests", got)
		}
		o.APIKey = "secret"
		hub = newHub(t, s.url(), o)
		if _, err := hub.Publish(ctx, numbered("s", 1)); err != nil {
			t.Error(err)
		}
		w := watch(t, hub, client.Subscription{Sessions: []string{"s"}, From: time.Unix(0, 0)})
		w.wait("the event has come", func() bool { return len(w.events) == 1 })
	})
}

func TestBadCursorEndsAtOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk, "")
		w := watch(t, newHub(t, s.url(), o), client.Subscription{Sessions: []string{"s"}, Since: map[string]string{"s": "yesterday"}})
		<-w.ended
		if e, ok := errors.AsType[*client.Error](w.err); !ok || e.Status != 400 || e.Field != "since" && e.Code != "bad_cursor" {
			t.Errorf("error %#v", w.err)
		}
	})
}

func TestPrefix(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk, "api_key secret")
		hub := newHub(t, s.url()+"/hub/", o)
		if _, err := hub.Publish(context.Background(), numbered("s", 1)); err != nil {
			t.Fatal(err)
		}
		w := watch(t, hub, client.Subscription{Sessions: []string{"s"}, From: time.Unix(0, 0)})
		w.wait("the event has come", func() bool { return len(w.events) == 1 })
	})
}
