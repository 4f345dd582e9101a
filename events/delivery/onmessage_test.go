package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faults"
)

// browser is an EventSource whose page has set onmessage and nothing else.
type browser struct {
	t         testing.TB
	url       string
	onmessage func(message)
	opened    chan struct{} // closed when it is connected for the first time

	lastEventID string
	retry       time.Duration
	connections int
}

// run connects again and again, as a browser does, until ctx ends. The time to wait
// before that is not waited.
func (b *browser) run(ctx context.Context) {
	transport := &http.Transport{DisableKeepAlives: true}
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
		if err != nil {
			b.t.Error(err)
			return
		}
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Cache-Control", "no-store")
		if b.lastEventID != "" {
			req.Header.Set("Last-Event-ID", b.lastEventID)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			continue // the network: it reconnects
		}
		b.connected(resp)
		resp.Body.Close()
	}
}

func (b *browser) connected(resp *http.Response) {
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Errorf("the connection fails for good: %s %q", resp.Status, resp.Header.Get("Content-Type"))
		return
	}
	if b.connections++; b.connections == 1 {
		close(b.opened)
	}
	source := newEventSource(resp.Body, b.lastEventID)
	for {
		m, err := source.next()
		b.lastEventID, b.retry = source.lastEventID, source.retry
		if err != nil {
			return
		}
		if m.event == "message" {
			b.onmessage(m)
		}
	}
}

// An EventSource with only onmessage gets each event once and in order, from the
// moment it was opened, over a network that cuts its connections.
func TestOnlyOnmessage(t *testing.T) {
	t.Parallel()
	const publishers, each = 3, 500
	n := inMemory(t)
	network := faults.NewProxy(t, strings.TrimPrefix(n.url, "http://"))
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	all := make(chan struct{})
	b := &browser{t: t, url: "http://" + network.Addr() + "/api/events/stream/" + session, opened: make(chan struct{})}
	b.onmessage = func(m message) {
		if got = append(got, idOf([]byte(m.data))); len(got) == publishers*each {
			close(all)
		}
	}
	var running, publishing sync.WaitGroup
	running.Go(func() { b.run(ctx) })
	defer running.Wait()
	defer cancel()
	select {
	case <-b.opened:
	case <-time.After(patience):
		t.Fatal("not opened")
	}
	for i := range publishers {
		p := &publisher{t: t, node: n, name: fmt.Sprintf("p%d", i)}
		publishing.Go(func() { p.run(ctx, each) })
	}
	running.Go(func() {
		random := rand.New(rand.NewPCG(3, 0))
		for ctx.Err() == nil {
			rest(ctx, time.Duration(random.IntN(80))*time.Millisecond)
			network.Cut()
		}
	})
	publishing.Wait()
	select {
	case <-all:
	case <-time.After(patience):
	}
	cancel()
	running.Wait()
	want := idsOf(history(t, n.backend.Store, session))
	if n := differs(got, want); n >= 0 || len(got) != len(want) || len(want) != publishers*each {
		t.Errorf("%d events, want %d; number %d is %s, want %s", len(got), len(want), n, at(got, n), at(want, n))
	}
	if b.connections < 3 || b.retry != 3*time.Second {
		t.Errorf("%d connections, retry %v", b.connections, b.retry)
	}
	t.Logf("%d connections", b.connections)
}
