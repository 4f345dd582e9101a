package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// wantMet fails unless a limit, and no other, was met so often.
func (h *Hub) wantMet(t *testing.T, l Limit, times uint64) {
	t.Helper()
	s := h.Stats()
	if len(s.Limited) != int(limitCount) {
		t.Errorf("%d limits are told: %v", len(s.Limited), s.Limited)
	}
	for name, n := range s.Limited {
		want := uint64(0)
		if name == l.String() {
			want = times
		}
		if n != want {
			t.Errorf("limited %s: %d, want %d", name, n, want)
		}
	}
}

// refuses fails unless an answer has the status and says all of that, when to try
// again if that is due.
func refuses(t *testing.T, a answer, status int, words ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%d %s, want %d", a.status, a.body, status)
	}
	for _, word := range words {
		if !strings.Contains(a.body, word) {
			t.Errorf("%s does not say %q", a.body, word)
		}
	}
	if again := a.header.Get("Retry-After"); (again != "") != (status == 503 || status == 429) {
		t.Errorf("%d with Retry-After %q", status, again)
	}
}

func limitedTo(l Limits) func(*Site, *siteBackend, *Config) {
	return func(_ *Site, _ *siteBackend, c *Config) { c.Limits = l }
}

func postOf(session, more string) string {
	return fmt.Sprintf(`{"type":"a:b","sessionId":%q%s}`, session, more)
}

func TestLimitsOfPosts(t *testing.T) {
	big := postOf("s", `,"x":"`+strings.Repeat("x", 2000)+`"`)
	s := newTestSite(t, limitedTo(Limits{MaxMessage: 1000}))
	refuses(t, s.do("POST", "/api/events", big), 413, "max_message", "1000")
	a := s.do("POST", "/api/events", "["+big+","+postOf("s", "")+"]")
	if refuses(t, a, 207, "max_message"); !strings.Contains(a.body, `"accepted":1`) {
		t.Errorf("a batch: %s", a.body)
	}
	s.Hub.wantMet(t, LimitMessage, 2)

	s = newTestSite(t)
	many := strings.Repeat(postOf("s", "")+",", maxBatchEvents) + postOf("s", "")
	refuses(t, s.do("POST", "/api/events", "["+many+"]"), 413, "at most 1000 events")
	s.Hub.wantMet(t, LimitBatchEvents, 1)

	s = newTestSite(t)
	refuses(t, s.do("POST", "/api/events", `["`+strings.Repeat("x", maxBatch)+`"]`), 413, "8388608")
	s.Hub.wantMet(t, LimitBatchSize, 1)
}

func TestLimitOfLogs(t *testing.T) {
	census := func(_ *Site, b *siteBackend, _ *Config) {
		b.Store.Census = storage.NewCensus(b.Driver)
		b.Store.Census.SetMax(1)
	}
	s := newTestSite(t, census)
	s.do("POST", "/api/events", postOf("a", "")).want(t, 201, "")
	refuses(t, s.do("POST", "/api/events", postOf("b", "")), 503, "max_logs", "too many sessions")
	a := s.do("POST", "/api/events", "["+postOf("b", "")+","+postOf("a", "")+"]")
	if a.status != 207 || !strings.Contains(a.body, "max_logs") || a.header.Get("Retry-After") != "60" {
		t.Errorf("a batch: %d %s", a.status, a.body)
	}
	s.do("GET", "/api/events/b", "").want(t, 200, "")
	s.Hub.wantMet(t, LimitLogs, 2)
	// Who creates the session first is not one of them.
	s.do("POST", "/api/sessions", `{"id":"b"}`).want(t, 201, "")
	s.do("POST", "/api/events", postOf("b", "")).want(t, 201, "")
	s.Hub.wantMet(t, LimitLogs, 2)
}

func TestLimitOfSessions(t *testing.T) {
	s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
		b.Store.Census, b.Store.MaxSessions = storage.NewCensus(b.Driver), 1
	})
	s.do("POST", "/api/sessions", `{"id":"a"}`).want(t, 201, "")
	s.Hub.wantMet(t, LimitSessions, 0)
	s.do("POST", "/api/sessions", `{"id":"b"}`).want(t, 201, "")
	s.do("GET", "/api/sessions/a", "").want(t, 404, "")
	s.Hub.wantMet(t, LimitSessions, 1)
}

func TestLimitsOfPolls(t *testing.T) {
	s := newTestSite(t)
	s.do("POST", "/api/events", postOf("s", "")).want(t, 201, "")
	s.do("GET", "/api/events/poll/s", "").want(t, 200, "")
	refuses(t, s.do("GET", "/api/events/poll/s", ""), 429, "Rate limit exceeded")
	s.Hub.wantMet(t, LimitPollRate, 1)

	s = newTestSite(t)
	for i := range maxClientPolls + 1 {
		s.do("POST", "/api/events", postOf(fmt.Sprint(i), "")).want(t, 201, "")
		a := s.do("GET", fmt.Sprint("/api/events/poll/", i), "")
		if i < maxClientPolls {
			a.want(t, 200, "")
			continue
		}
		refuses(t, a, 429, "too many sessions are polled")
	}
	s.Hub.wantMet(t, LimitPollSessions, 1)

	s = newTestSite(t)
	s.Limiter.max = 1
	for i := range 2 {
		s.do("POST", "/api/events", postOf(fmt.Sprint(i), "")).want(t, 201, "")
	}
	s.do("GET", "/api/events/poll/0", "").want(t, 200, "")
	refuses(t, s.do("GET", "/api/events/poll/1", ""), 503, "too many clients are polling")
	s.Hub.wantMet(t, LimitPollTable, 1)
}

func TestLimitOfLongPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSite(t, limitedTo(Limits{MaxPolls: 1}))
		defer s.Hub.Close()
		held := s.inBackground("/api/events/poll/a?wait=30")
		synctest.Wait()
		if n := s.Hub.Stats().Connections["poll"]; n != 1 {
			t.Errorf("%d polls wait", n)
		}
		refuses(t, s.do("GET", "/api/events/poll/b?wait=30", ""), 503, "max_polls")
		s.Hub.wantMet(t, LimitPolls, 1)
		<-held
		if n := s.Hub.Stats().Connections["poll"]; n != 0 {
			t.Errorf("%d polls wait", n)
		}
		time.Sleep(time.Second)
	})
}

func TestLimitsOfInput(t *testing.T) {
	s := newTestSite(t)
	for range storage.MaxInputs {
		s.do("POST", "/api/sessions/s/input", "1").want(t, 201, "")
	}
	refuses(t, s.do("POST", "/api/sessions/s/input", "1"), 429, "100")
	s.Hub.wantMet(t, LimitInputs, 1)

	s = newTestSite(t)
	for range maxInputWaits {
		s.Hub.arrivals.enter("other")
	}
	refuses(t, s.do("GET", "/api/sessions/s/input?wait=1", ""), 503, "1000 requests for input")
	s.Hub.wantMet(t, LimitInputWaits, 1)
}

// What is too much for the chains is left out of them and counted; the post is
// answered as ever.
func TestLimitsOfChains(t *testing.T) {
	for name, fill := range map[string]func(*chainKeeper){
		"events": func(k *chainKeeper) { k.count = maxChainEvents },
		"bytes":  func(k *chainKeeper) { k.bytes = maxChainBytes },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSite(t)
			k := s.Hub.chains
			k.mu.Lock()
			fill(k)
			k.mu.Unlock()
			s.do("POST", "/api/events", chainEvents[0]).want(t, 201, "")
			s.Hub.wantMet(t, LimitChains, 1)
		})
	}
}

func TestLimitsOfConnections(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxConnections: 1}))
	s := hubServer(t, h)
	connect(t, s, "")
	wantBusy(t, s, "/ws", "max_connections")
	wantBusy(t, s, "/"+testSession, "max_connections")
	wantRetry(t, dial(t, s, "/ws", http.Header{"Origin": {"https://x"}}).wantClose(closeLimit))
	h.wantMet(t, LimitConnections, 3)
	if c := h.Stats().Connections; c["websocket"] != 1 || c["sse"] != 0 {
		t.Errorf("connections are %v", c)
	}

	h = newTestHub(t, newMemory(t), limits(Limits{MaxPerIP: 1}))
	s = hubServer(t, h)
	connect(t, s, "?ip=198.51.100.7")
	wantBusy(t, s, "/ws?ip=198.51.100.7", "max_per_ip", "trusted_proxies")
	h.wantMet(t, LimitPerIP, 1)
}

// wantBusy fails unless a connection is refused with these words.
func wantBusy(t *testing.T, s *httptest.Server, path string, words ...string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, answer{status: resp.StatusCode, header: resp.Header, body: string(body)}, 503, words...)
}

func TestLimitsOfAWebSocket(t *testing.T) {
	open := func(l Limits) (*Hub, *wsClient) {
		h := newTestHub(t, newMemory(t), limits(l))
		return h, connect(t, hubServer(t, h), "")
	}
	h, c := open(Limits{MaxMessage: 100})
	c.send(`{"type":"ping","x":%q}`, strings.Repeat("x", 100))
	if reason := c.wantClose(closeTooBig); !strings.Contains(reason, "max_message") {
		t.Errorf("reason %q", reason)
	}
	h.wantMet(t, LimitMessage, 1)

	h = newTestHub(t, newMemory(t), limits(Limits{MessageRate: 1}))
	now := time.Now()
	h.now = func() time.Time { return now }
	c = connect(t, hubServer(t, h), "")
	c.send(`{"type":"ping"}`)
	c.send(`{"type":"ping"}`)
	c.want(`{"type":"pong"}`)
	wantRetry(t, c.wantClose(closeLimit))
	h.wantMet(t, LimitMessageRate, 1)

	h, c = open(Limits{MaxSubscriptions: 1})
	c.subscribe("a")
	c.send(`{"type":"subscribe","sessionId":"b"}`)
	if m := c.want(`{"type":"error","code":"too_many_subscriptions"}`); !strings.Contains(fmt.Sprint(m["payload"]), "max_subscriptions") {
		t.Errorf("told %v", m)
	}
	h.wantMet(t, LimitSubscriptions, 1)
}

func TestLimitOfAQueue(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxQueueFrames: 1}))
	sock, client := net.Pipe() // a write waits until it is read
	defer client.Close()
	c := newWSConn(h, sock, nil, Grant{})
	for range 4 { // one on its way, one that waits, and what does not fit
		c.out.push(barePong)
	}
	eventually(t, "the count", func() bool { return h.Stats().SlowConsumers == 1 })
	h.wantMet(t, LimitQueue, 1)
	c.abort()
	c.out.wait()
}

func TestLimitOfReplays(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxReplays: 1}))
	if err := h.replays.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.wantMet(t, LimitReplays, 0)
	c := connect(t, hubServer(t, h), "")
	c.send(`{"type":"subscribe","sessionId":"s","since":"1970-01-01T00:00:00Z"}`)
	eventually(t, "the wait", func() bool { return h.Stats().Limited["max_replays"] == 1 })
	h.replays.leave()
	c.want(`{"type":"subscription_confirmed","sessionId":"s"}`)
	h.wantMet(t, LimitReplays, 1)
}

// The counts of what goes right.
func TestStats(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	c, st := connect(t, s, ""), openStream(t, s, "/"+testSession, nil)
	st.next()
	c.subscribe(testSession)
	for i := range 3 {
		publishEvent(t, h, fmt.Sprint(i))
		c.want(`{"type":"event"}`)
		st.next()
	}
	publishEvent(t, h, "0") // a duplicate
	if _, err := h.Publish(t.Context(), Event{
		Session: "other", ID: "w", Type: "file:created", Data: []byte("{}"), Source: SourceWatcher,
	}); err != nil {
		t.Fatal(err)
	}
	late := connect(t, s, "")
	late.send(`{"type":"subscribe","sessionId":%q,"since":"1970-01-01T00:00:00Z"}`, testSession)
	late.want(`{"type":"subscription_confirmed"}`)
	for range 3 {
		late.want(`{"type":"event"}`)
	}
	eventually(t, "the counts", func() bool { return h.Stats().Delivered["websocket"] == 6 })
	got := h.Stats()
	if got.Received["http"] != 3 || got.Received["watcher"] != 1 || got.Delivered["sse"] != 3 || got.Delivered["poll"] != 0 {
		t.Errorf("received %v, delivered %v", got.Received, got.Delivered)
	}
	if got.Connections["websocket"] != 2 || got.Connections["sse"] != 1 {
		t.Errorf("connections %v", got.Connections)
	}
	if got.Publish.Count != 5 || got.Publish.Sum <= 0 || got.Delivery.Count != 3 || got.Delivery.Buckets[10] != 3 {
		t.Errorf("publish %+v, delivery %+v", got.Publish, got.Delivery)
	}
	h.wantMet(t, LimitMessage, 0)
}

func TestPollsAreCounted(t *testing.T) {
	s := newTestSite(t)
	for range 3 {
		s.do("POST", "/api/events", postOf("s", "")).want(t, 201, "")
	}
	s.do("GET", "/api/events/poll/s", "").want(t, 200, "")
	if n := s.Hub.Stats().Delivered["poll"]; n != 3 {
		t.Errorf("%d delivered", n)
	}
}

// A publish that max_logs refuses does not make anybody read.
func TestTooManyLogsIsAnErrorOfStorage(t *testing.T) {
	s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
		b.add = func(context.Context) (storage.Result, error) {
			return storage.Result{}, &storage.TooManyLogsError{Max: 7}
		}
	})
	_, err := s.Hub.Publish(t.Context(), Event{Session: "s", ID: "a", Type: "a:b", Data: []byte("{}")})
	if full, ok := errors.AsType[*storage.TooManyLogsError](err); !ok || full.Max != 7 {
		t.Errorf("answered %v", err)
	}
}
