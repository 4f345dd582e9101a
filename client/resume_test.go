package client_test

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/client"
)

// TestResume goes on with cursors of events, by each transport after each other.
func TestResume(t *testing.T) {
	s := start(t, onDisk, "")
	hub := newHub(t, s.direct(), client.Options{})
	var events []any
	var want []string
	for n := range 200 {
		events, want = append(events, numbered("s", n)), append(want, number("s", n))
	}
	if _, err := hub.PublishBatch(context.Background(), events...); err != nil {
		t.Fatal(err)
	}
	var got []string
	since := map[string]string{"s": "1970-01-01T00:00:00Z"}
	for _, transport := range []client.Transport{client.WebSocket, client.SSE, client.WebSocket, client.SSE, client.Poll} {
		o := quick()
		o.Transports = []client.Transport{transport}
		part := newHub(t, s.url(), o)
		taken := 0
		for event, err := range part.Subscribe(context.Background(), client.Subscription{Sessions: []string{"s"}, Since: since}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, event.ID)
			if event.Cursor != "" {
				since["s"] = event.Cursor
			}
			if taken++; transport != client.Poll && taken == 30 || len(got) == len(want) {
				break
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d %v", len(got), got)
	}
	e, err := hub.Publish(context.Background(), numbered("s", 200))
	if err != nil {
		t.Fatal(err)
	}
	if e.Cursor == since["s"] {
		t.Error("the cursor does not move")
	}
}

// TestGap: the history does not reach back as far as the reader.
func TestGap(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk+"\nhistory 10", "")
		hub := newHub(t, s.direct(), client.Options{})
		first, err := hub.Publish(context.Background(), numbered("s", 0))
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n < 50; n++ {
			if _, err := hub.Publish(context.Background(), numbered("s", n)); err != nil {
				t.Fatal(err)
			}
		}
		w := watch(t, newHub(t, s.url(), o), client.Subscription{Sessions: []string{"s"}, Since: map[string]string{"s": first.Cursor}})
		w.wait("what is kept has come", func() bool { return len(w.events) >= 10 && w.events[len(w.events)-1].ID == "s-49" })
		w.stop()
		if !slices.Equal(w.resets, []string{"s gap"}) {
			t.Errorf("resets %v", w.resets)
		}
	})
}

// TestComesBackWhereItWas: the hub keeps just what was missed, so going on from any
// place before it would be a gap.
func TestComesBackWhereItWas(t *testing.T) {
	eachTransport(t, func(t *testing.T, o client.Options, _ client.Status) {
		s := start(t, onDisk+"\nhistory 40", "")
		hub := newHub(t, s.direct(), client.Options{})
		w := watch(t, newHub(t, s.url(), o), client.Subscription{
			Sessions: []string{"s", "other"}, From: time.Unix(0, 0), Types: []string{"test:*"},
		})
		var want []string
		for range 5 {
			var events []any
			for range 30 {
				events, want = append(events, numbered("s", len(want))), append(want, number("s", len(want)))
			}
			if _, err := hub.PublishBatch(context.Background(), events...); err != nil {
				t.Fatal(err)
			}
			w.wait("they have come", func() bool { return len(w.events) >= len(want) })
			s.proxy.Cut()
		}
		w.stop()
		if got := w.ids("s"); !slices.Equal(got, want) || len(w.resets) > 0 {
			t.Errorf("got %v, resets %v", got, w.resets)
		}
	})
}

// TestSlowLoop: a loop that reads nothing for a while is cut off by the hub, and goes
// on where it was.
func TestSlowLoop(t *testing.T) {
	for _, transport := range []client.Transport{client.WebSocket, client.SSE} {
		t.Run(string(transport), func(t *testing.T) {
			s := start(t, "storage memory\nmax_queue 256KiB", "")
			o := quick()
			o.Transports, o.HTTP = []client.Transport{transport}, smallBuffers()
			var want, got []string
			connected := 0
			for event, err := range newHub(t, s.direct(), o).Subscribe(context.Background(), client.Subscription{
				Sessions: []string{"s"}, From: time.Unix(0, 0),
				OnStatus: func(to client.Status) {
					if to != client.Connected && to != client.Streaming {
						return
					}
					if connected++; connected == 1 {
						want = publishMuch(t, s, "s") // and the loop does not read meanwhile
					}
				},
			}) {
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, event.ID); len(got) == len(want) {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v", got)
			}
			if connected < 2 {
				t.Errorf("it was connected %d times", connected)
			}
		})
	}
}

// publishMuch publishes more than all buffers between a hub and a slow reader hold.
func publishMuch(t *testing.T, s *server, session string) (ids []string) {
	t.Helper()
	fill := strings.Repeat("x", 80<<10)
	var events []any
	for n := range 100 {
		event := numbered(session, n)
		event["fill"] = fill
		events, ids = append(events, event), append(ids, number(session, n))
	}
	if _, err := newHub(t, s.direct(), client.Options{}).PublishBatch(context.Background(), events...); err != nil {
		t.Fatal(err)
	}
	return ids
}

// smallBuffers reach a hub by connections that hold little.
func smallBuffers() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
		}
		return conn, err
	}}
}
