package client_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/actionflows/lifeline/client"
	"github.com/actionflows/lifeline/internal/redistest"
)

// history are the ids of a session, read by another client.
func history(t *testing.T, s *server, session string, n int) []string {
	t.Helper()
	w := watch(t, newHub(t, s.direct(), client.Options{}), client.Subscription{Sessions: []string{session}, From: time.Unix(0, 0)})
	w.wait("the history is there", func() bool { return len(w.events) >= n })
	w.stop()
	return w.ids(session)
}

// TestPublishThroughTroubles: each event is stored once, in the order of publishing,
// whatever happens to its posts.
func TestPublishThroughTroubles(t *testing.T) {
	for name, trouble := range map[string]func(s *server){
		"answers are lost": func(s *server) {
			for range 5 {
				s.proxy.DropReplies(true)
				before := s.proxy.Dropped()
				waitUntil(s.t, "an answer is lost", func() bool { return s.proxy.Dropped() > before })
				s.proxy.DropReplies(false)
				s.proxy.Cut()
			}
		},
		"refused": func(s *server) {
			s.proxy.Refuse(true)
			s.proxy.Cut()
			had := s.gate.attempts("/api/events")
			waitUntil(s.t, "it has tried again", func() bool { return s.gate.attempts("/api/events") > had+2 })
			s.proxy.Refuse(false)
		},
		"frozen": func(s *server) {
			s.signal(syscall.SIGSTOP)
			had := s.gate.attempts("/api/events")
			waitUntil(s.t, "it has tried again", func() bool { return s.gate.attempts("/api/events") > had+1 })
			s.signal(syscall.SIGCONT)
		},
		"killed": func(s *server) {
			s.end(syscall.SIGKILL)
			s.launch()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, onDisk, "")
			hub := newHub(t, s.url(), client.Options{PublishTimeout: 300 * time.Millisecond})
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			var publishing sync.WaitGroup
			var want []string
			stop := make(chan struct{})
			publishing.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					var err error
					if n%2 == 0 {
						_, err = hub.Publish(ctx, numbered("s", n))
					} else {
						_, err = hub.PublishBatch(ctx, numbered("s", n))
					}
					if err != nil {
						t.Errorf("publish: %v", err)
						return
					}
					want = append(want, number("s", n))
				}
			})
			waitUntil(t, "it publishes", func() bool { return s.gate.attempts("/api/events") > 10 })
			trouble(s)
			had := s.gate.attempts("/api/events")
			waitUntil(t, "it publishes again", func() bool { return s.gate.attempts("/api/events") > had+20 })
			close(stop)
			publishing.Wait()
			if got := history(t, s, "s", len(want)); !slices.Equal(got, want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		})
	}
}

// TestReceipts are what the hub says of an event.
func TestReceipts(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "storage redis "+redis.URL()+"\njournal off\nbreaker {\nfailure_threshold 1\n}", "")
	hub := newHub(t, s.direct(), client.Options{})
	ctx := context.Background()
	first, err := hub.Publish(ctx, numbered("s", 1))
	if err != nil || first.EventID != "s-1" || first.SessionID != "s" || first.Cursor == "" || first.ReceivedAt.IsZero() ||
		first.Duplicate || first.Pending || !first.Durable {
		t.Errorf("%+v, %v", first, err)
	}
	again, err := hub.Publish(ctx, numbered("s", 1))
	if err != nil || !again.Duplicate || again.Cursor != first.Cursor {
		t.Errorf("%+v, %v", again, err)
	}
	redis.Kill()
	pending, err := hub.Publish(ctx, numbered("s", 2))
	if err != nil || !pending.Pending || pending.Durable {
		t.Errorf("%+v, %v", pending, err)
	}
	results, err := hub.PublishBatch(ctx, numbered("s", 3), map[string]any{"type": "nonsense", "sessionId": "s"}, numbered("s", 4))
	if err == nil || len(results) != 3 || results[0].Err != nil || !results[0].Pending || results[2].EventID != "s-4" {
		t.Errorf("%+v, %v", results, err)
	}
	if e, ok := errors.AsType[*client.Error](results[1].Err); !ok || e.Status != 400 || e.Field != "type" {
		t.Errorf("%v", results[1].Err)
	}
}

// TestPublishWaitsForStorage: what is answered 503 is posted until it is taken.
func TestPublishWaitsForStorage(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, "storage redis "+redis.URL()+"\nbreaker off", "")
	hub := newHub(t, s.url(), client.Options{})
	redis.Kill()
	done := make(chan error, 2)
	go func() {
		_, err := hub.Publish(context.Background(), numbered("s", 1))
		done <- err
		_, err = hub.PublishBatch(context.Background(), numbered("s", 2), numbered("s", 3))
		done <- err
	}()
	waitUntil(t, "it was tried twice", func() bool { return s.gate.attempts("/api/events") > 1 })
	redis.Restart()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := history(t, s, "s", 3); !slices.Equal(got, []string{"s-1", "s-2", "s-3"}) {
		t.Errorf("got %v", got)
	}
}
