package client_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/client"
)

// TestNothingOutlivesTheLoop: however it ends, and at once.
func TestNothingOutlivesTheLoop(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, up client.Status) {
		s := start(t, onDisk, "")
		hub := newHub(t, s.direct(), o)
		if _, err := hub.Publish(context.Background(), numbered("s", 1)); err != nil {
			t.Fatal(err)
		}
		hub.Close()
		all := client.Subscription{Sessions: []string{"s"}, From: time.Unix(0, 0)}
		before := goleak.IgnoreCurrent()
		for name, loop := range map[string]func(){
			"break": func() {
				for range hub.Subscribe(context.Background(), all) {
					break
				}
			},
			"cancelled between events": func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var ended error
				for _, err := range hub.Subscribe(ctx, all) {
					if ended = err; err == nil {
						cancel()
					}
				}
				if !errors.Is(ended, context.Canceled) {
					t.Errorf("it ended with %v", ended)
				}
			},
			"cancelled while it waits": func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				waiting := all
				waiting.From = time.Time{}
				waiting.OnStatus = func(to client.Status) {
					if to == up {
						cancel()
					}
				}
				for _, err := range hub.Subscribe(ctx, waiting) {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("it ended with %v", err)
					}
				}
			},
			"a panic": func() {
				defer func() { _ = recover() }()
				for range hub.Subscribe(context.Background(), all) {
					panic("in the loop")
				}
			},
			"refused": func() {
				refused := all
				refused.Since = map[string]string{"s": "yesterday"}
				for _, err := range hub.Subscribe(context.Background(), refused) {
					if e, ok := errors.AsType[*client.Error](err); !ok || !e.Permanent() {
						t.Errorf("it ended with %v", err)
					}
				}
			},
		} {
			loop()
			if err := goleak.Find(before); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestCancelWhileNobodyAnswers: an attempt that hangs holds nobody up.
func TestCancelWhileNobodyAnswers(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk, "")
		s.proxy.Blackhole(true)
		o.ConnectTimeout = time.Hour
		w := watch(t, newHub(t, "http://"+s.proxy.Addr(), o), client.Subscription{Sessions: []string{"s"}})
		w.wait("it tries", func() bool { return len(w.statuses) > 0 })
		if err := w.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// TestRefusedByAProxy: an answer that is not the hub's is final only when there is no
// other way left.
func TestRefusedByAProxy(t *testing.T) {
	s := start(t, onDisk, "")
	s.gate.block("/")
	w := watch(t, newHub(t, s.url(), quick()), client.Subscription{Sessions: []string{"s"}})
	<-w.ended
	if e, ok := errors.AsType[*client.Error](w.err); !ok || e.Status != http.StatusForbidden || e.Code != "" {
		t.Errorf("it ended with %v", w.err)
	}
	if s.gate.attempts("/ws") < 3 || s.gate.attempts("/api/events/stream") != 1 || s.gate.attempts("/api/events/poll") != 1 {
		t.Errorf("requests %v", *s.gate.seen.Load())
	}
}

func TestSubscriptionIsChecked(t *testing.T) {
	hub := newHub(t, "http://127.0.0.1:1", client.Options{})
	for want, s := range map[string]client.Subscription{
		"subscribe to 1 to 50 sessions, not 0":                         {},
		"subscribe to 1 to 50 sessions, not 51":                        {Sessions: make([]string, 51)},
		"subscribe: the id of session 2 of 2 is empty":                 {Sessions: []string{"a", ""}},
		`subscribe: session "a" is given twice`:                        {Sessions: []string{"a", "a"}},
		`subscribe: Since names session "b", which is not in Sessions`: {Sessions: []string{"a"}, Since: map[string]string{"b": "x"}},
	} {
		for _, err := range hub.Subscribe(context.Background(), s) {
			if err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		}
	}
}

func TestNewIsChecked(t *testing.T) {
	for site, want := range map[string]string{
		"localhost:8080":          `the site's address is "localhost:8080"; it begins with http:// or https:// and a host`,
		"ws://u:secret@localhost": `the site's address is "ws://u:xxxxx@localhost"; it begins with http:// or https:// and a host`,
		"http://":                 `the site's address is "http:"; it begins with http:// or https:// and a host`,
		"http://u:secret@[":       `the site's address is no URL; it is like https://example.com`,
	} {
		if _, err := client.New(site, client.Options{}); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", site, err, want)
		}
	}
	if _, err := client.New("http://localhost", client.Options{Transports: []client.Transport{"pigeon"}}); err == nil ||
		err.Error() != `unknown transport "pigeon"; there are [websocket sse poll]` {
		t.Errorf("error %v", err)
	}
}
