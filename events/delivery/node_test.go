package delivery

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/internal/faults"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/redis"
	"github.com/actionflows/lifeline/storage/resilient"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// session is the one that most is about.
const session = "session-1"

// clientHeader names the client of a request by an address of its own, as a trusted
// proxy would: otherwise all clients of a test were one.
const clientHeader = "Test-Client"

// keepAll is a history from which nothing is trimmed: whatever is missing is lost.
var keepAll = storage.History{MaxLen: 1_000_000, MaxAge: time.Hour}

// backend is storage as a hub sees it.
type backend struct {
	*storage.Store
	journaled *resilient.Journaled // nil: in memory
	// deaf: notices of what other nodes append are lost.
	deaf atomic.Bool
	// alone is called when Redis did not answer a read in time, so that the node shows
	// what it knows by itself; nil: nobody cares. A machine that is busy does that too.
	alone atomic.Pointer[func()]
}

func (b *backend) ReadEvents(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	page, err := b.Store.ReadEvents(ctx, session, q)
	if alone := b.alone.Load(); page.Degraded && alone != nil {
		(*alone)()
	}
	return page, err
}

func (b *backend) Records() *storage.Store { return b.Store }

func (b *backend) CircuitBreakerStats() []breaker.Stats { return nil }

func (b *backend) UsingFallback() bool { return b.Status().Degraded }

func (b *backend) Status() resilient.Status {
	if b.journaled == nil {
		return resilient.Status{}
	}
	return b.journaled.Status()
}

func (b *backend) OnStatus(fn func(resilient.Status)) (cancel func()) {
	if b.journaled == nil {
		return func() {}
	}
	return b.journaled.OnStatus(fn)
}

func (b *backend) Growth(ctx context.Context, fn func(string)) error {
	return b.Store.Growth(ctx, func(session string) {
		if !b.deaf.Load() {
			fn(session)
		}
	})
}

// node is one server of the hub.
type node struct {
	backend *backend
	url     string
	client  *http.Client
	redis   *faults.Proxy // between it and Redis; nil: in memory
}

// inMemory starts a server without Redis.
func inMemory(t testing.TB) *node {
	t.Helper()
	driver := memory.New(memory.Options{})
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	return serve(t, &backend{Store: &storage.Store{Driver: driver, History: keepAll}})
}

// onRedis starts a server on Redis, with its journal; after ackAfter an event is
// acknowledged from that alone.
func onRedis(t testing.TB, server *redistest.Server, ackAfter time.Duration) *node {
	t.Helper()
	proxy := faults.NewProxy(t, server.Addr())
	driver, err := redis.New(redis.Options{URL: "redis://" + proxy.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	var opened atomic.Pointer[resilient.Journaled]
	br, err := breaker.New(breaker.Config{Name: "redis", Hooks: breaker.Hooks{
		OnTransition: func(breaker.Transition) {
			if j := opened.Load(); j != nil {
				j.BreakerChanged()
			}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	j, err := resilient.NewJournaled(resilient.JournaledConfig{
		Driver: driver, Breakers: []*breaker.Breaker{br}, Dir: t.TempDir(),
		AckAfter: ackAfter, ProbeEvery: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	opened.Store(j)
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		br.Close()
	})
	n := serve(t, &backend{Store: &storage.Store{Driver: j, History: keepAll}, journaled: j})
	n.redis = proxy
	return n
}

func serve(t testing.TB, b *backend) *node {
	t.Helper()
	site := &events.Site{
		Hub:      events.New(events.Config{Backend: b}),
		Access:   events.Access{AnonymousRead: true, AnonymousWrite: true},
		PollRate: events.Rate{N: 1_000_000, Per: time.Second},
		ClientIP: func(r *http.Request) netip.Addr {
			ip, _ := netip.ParseAddr(r.Header.Get(clientHeader))
			return ip
		},
	}
	if err := site.Provision(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !site.ServeHTTP(w, r) {
			http.NotFound(w, r)
		}
	}))
	n := &node{backend: b, url: server.URL, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	t.Cleanup(func() {
		site.Hub.Close()
		n.client.CloseIdleConnections()
		server.Close()
	})
	return n
}

// cut takes Redis away from the node, or gives it back.
func (n *node) cut(on bool) {
	n.redis.Refuse(on)
	n.redis.Cut()
}

// normal reports whether the node is as if nothing had happened.
func (n *node) normal() bool {
	s := n.backend.Status()
	return !s.Degraded && s.Pending == 0
}

// histories are those of all sessions, by session.
func histories(t testing.TB, store *storage.Store) map[string][]storage.LogEntry {
	t.Helper()
	all := make(map[string][]storage.LogEntry, len(sessions))
	for _, session := range sessions {
		all[session] = history(t, store, session)
	}
	return all
}

// history reads all events of a session from storage.
func history(t testing.TB, store *storage.Store, session string) []storage.LogEntry {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var entries []storage.LogEntry
	at := storage.MicrosCursor(0)
	for {
		page, err := store.ReadEvents(ctx, session, storage.LogQuery{After: &at, Limit: storage.MaxPage})
		if err != nil {
			t.Fatalf("read the history: %v", err)
		}
		entries = append(entries, page.Entries...)
		if !page.HasMore {
			return entries
		}
		at = page.Cursor
	}
}

// until waits for a condition that nothing announces, and reports whether it came.
func until(ok func() bool) bool {
	for deadline := time.Now().Add(patience); !ok(); rest(context.Background(), 5*time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// rest waits for d or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
