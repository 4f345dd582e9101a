package events

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

func get(t testing.TB, s *httptest.Server, target string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// streamClient reads Server-Sent Events.
type streamClient struct {
	t      testing.TB
	resp   *http.Response
	r      *bufio.Reader
	cancel func()
	// status: the client reads lifeline.status; otherwise it is passed over.
	status bool
}

func openStream(t testing.TB, s *httptest.Server, target string, header http.Header) *streamClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return &streamClient{t: t, resp: resp, r: bufio.NewReader(resp.Body), cancel: cancel}
}

// next answers the lines up to the next empty one.
func (c *streamClient) next() (block string) {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("after %q: %v", block, err)
		}
		if line != "\n" {
			block += line
			continue
		}
		if c.status || !strings.HasPrefix(block, "event: lifeline.status\n") {
			return block
		}
		block = ""
	}
}

func (c *streamClient) want(block string) {
	c.t.Helper()
	if got := c.next(); got != block {
		c.t.Fatalf("got %q, want %q", got, block)
	}
}

func (c *streamClient) wantEnd() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); err != nil {
		c.t.Fatalf("not the end: %v", err)
	}
}

// wantStart reads the first block: it has an id, so that a stream that breaks
// before its first event can be resumed.
func (c *streamClient) wantStart() {
	c.t.Helper()
	block := c.next()
	if !strings.HasPrefix(block, "retry: 3000\nid: v1.") {
		c.t.Fatalf("the stream begins with %q", block)
	}
}

// follows waits until a topic has n subscribers that are live.
func follows(t testing.TB, h *Hub, n int) {
	t.Helper()
	eventually(t, "a live subscriber", func() bool {
		tp := h.topic(testSession)
		if tp == nil {
			return false
		}
		tp.mu.Lock()
		defer tp.mu.Unlock()
		live := 0
		for _, s := range tp.subs {
			if s.mode != modeJoining {
				live++
			}
		}
		return live == n
	})
}

func eventBlock(c storage.Cursor, id string) string {
	return fmt.Sprintf("id: %s\ndata: %s\n", c, eventData(testSession, id))
}

func TestSSE(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	st := openStream(t, s, "/"+testSession, nil)
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := st.resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	st.wantStart() // from here on it misses nothing
	for i := range 3 {
		id := fmt.Sprint(i)
		st.wantEvent(publishEvent(t, h, id).Cursor, id)
	}
	if _, streams := h.Counts(); streams != 1 {
		t.Errorf("%d streams", streams)
	}
	st.cancel()
	eventually(t, "the end", func() bool { _, n := h.Counts(); return n == 0 && h.topic(testSession) == nil })
}

func (c *streamClient) wantEvent(cursor storage.Cursor, id string) {
	c.t.Helper()
	c.want(eventBlock(cursor, id))
}

func TestSSEResumes(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	first := publishEvent(t, h, "1").Cursor
	second := publishEvent(t, h, "2").Cursor
	third := publishEvent(t, h, "3").Cursor
	tests := map[string]struct {
		query, header string
		after         int
	}{
		"since":            {"?since=" + first.String(), "", 1},
		"a time":           {"?since=" + first.Timestamp(), "", 1},
		"Last-Event-ID":    {"", first.String(), 1},
		"the header wins":  {"?since=" + first.String(), second.String(), 2},
		"an empty header":  {"?since=" + second.String(), " ", 2},
		"from the oldest":  {"?since=1970-01-01T00:00:00Z", "", 0},
		"nothing is given": {"", "", 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			st := openStream(t, s, "/"+testSession+tt.query, http.Header{"Last-Event-Id": {tt.header}})
			st.wantStart()
			for i, c := range []storage.Cursor{first, second, third}[tt.after:] {
				st.wantEvent(c, fmt.Sprint(tt.after+i+1))
			}
			st.cancel()
			eventually(t, "the end", func() bool { _, n := h.Counts(); return n == 0 })
		})
	}
}

func TestSSEBadCursor(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	if resp := get(t, s, "/a?since=yesterday"); resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/a?since=v1.0.0-0", nil)
	r.Header.Set("Last-Event-ID", "v2")
	serveHub(h, w, r)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "Last-Event-ID") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSSENamed(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	st := openStream(t, hubServer(t, h), "/"+testSession+"?named=1", nil)
	st.wantStart()
	follows(t, h, 1)
	for _, tt := range []struct{ data, name string }{
		{`{"type":"step:started"}`, "step:started"},
		{`{"type":"a:b\nevent: c"}`, "message"},
		{`{"type":7}`, "message"},
	} {
		res, err := h.Publish(t.Context(), Event{Session: testSession, ID: newEventID(), Data: []byte(tt.data)})
		if err != nil {
			t.Fatal(err)
		}
		st.want(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n", res.Cursor, tt.name, tt.data))
	}
}

// A line break in stored JSON would end the field.
func TestSSELineBreaks(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	st := openStream(t, hubServer(t, h), "/"+testSession, nil)
	st.wantStart()
	follows(t, h, 1)
	res, err := h.Publish(t.Context(), Event{Session: testSession, ID: "1", Data: []byte("{\r\n\"type\":\n\"a:b\"}")})
	if err != nil {
		t.Fatal(err)
	}
	st.want(fmt.Sprintf("id: %s\ndata: {  \"type\": \"a:b\"}\n", res.Cursor))
}

func TestSSEGap(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	s := hubServer(t, h)
	first := publishEvent(t, h, "1").Cursor
	publishEvent(t, h, "2")
	third := publishEvent(t, h, "3").Cursor
	b.trim(testSession, 2)
	st := openStream(t, s, "/"+testSession, http.Header{"Last-Event-Id": {first.String()}})
	st.want("retry: 3000\n") // the id comes with the gap
	st.want(fmt.Sprintf("id: %s\nevent: lifeline.gap\ndata: {\"sessionId\":%q,\"cursor\":%q}\n", first, testSession, first))
	st.wantEvent(third, "3")
	follows(t, h, 1)
	b.refill(testSession)
	last := publishEvent(t, h, "4").Cursor
	st.want(fmt.Sprintf("event: lifeline.epoch\ndata: {\"sessionId\":%q,\"cursor\":\"v1.%s.0-0\"}\n", testSession, last.Epoch))
	st.wantEvent(last, "4")
}

func TestSSEComment(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) { i.comment = time.Millisecond })
	st := openStream(t, hubServer(t, h), "/"+testSession, nil)
	st.wantStart()
	st.want(":\n")
	st.want(":\n")
}

func TestSSEHead(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, s.URL+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	eventually(t, "the end", func() bool { _, n := h.Counts(); return n == 0 })
}

func TestSSEOverHTTP10(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(clientTimeout))
	if _, err := io.WriteString(conn, "GET /"+testSession+" HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	st := &streamClient{t: t, r: bufio.NewReader(conn)}
	for line := ""; line != "\r\n"; {
		if line, err = st.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	st.wantStart()
	follows(t, h, 1)
	st.wantEvent(publishEvent(t, h, "1").Cursor, "1")
}

// The server's own timeouts are for requests, not for streams.
func TestSSEOutlivesServerTimeouts(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) { i.comment, i.handshake = 10*time.Millisecond, 50*time.Millisecond })
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveHub(h, w, r) }))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	s.Start()
	defer s.Close()
	defer h.Close()
	st := openStream(t, s, "/"+testSession, nil)
	for began := time.Now(); time.Since(began) < 200*time.Millisecond; {
		st.next()
	}
	c := dial(t, s, "/ws", nil)
	c.want(`{"type":"subscription_confirmed"}`)
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
		st.next()
	}
	c.sync()
}

// A connection over which a stream ended serves the next request.
func TestSSEEndsGracefully(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	s := hubServer(t, h)
	b.set(func() { b.readErr = &storage.UnavailableError{Reason: "x"} })
	st := openStream(t, s, "/"+testSession, nil)
	st.wantEnd()
	b.set(func() { b.readErr = nil })
	eventually(t, "the end", func() bool { _, n := h.Counts(); return n == 0 })
}

func TestSSESlowConsumer(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxQueueBytes: 64 << 10}), func(_ *Config, i *intervals) { i.closing = 50 * time.Millisecond })
	s := hubServer(t, h)
	st := openStream(t, s, "/"+testSession, nil)
	st.wantStart()
	follows(t, h, 1)
	data := []byte(`{"type":"a:b","x":"` + strings.Repeat("x", 256<<10) + `"}`)
	eventually(t, "the end of the slow one", func() bool {
		if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: newEventID(), Data: data}); err != nil {
			t.Fatal(err)
		}
		_, n := h.Counts()
		return n == 0
	})
}

// selfishWriter is a server's wrapper that keeps deadlines of its own, for the goroutine
// alone that writes.
type selfishWriter struct {
	http.ResponseWriter

	deadline time.Time
	writing  chan<- struct{} // is sent to in each write
	proceed  <-chan struct{} // is waited for then
}

func (w *selfishWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *selfishWriter) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

func (w *selfishWriter) Write(p []byte) (int, error) {
	w.writing <- struct{}{}
	<-w.proceed
	w.deadline = w.deadline.Add(time.Second)
	return w.ResponseWriter.Write(p)
}

// TestStreamIsEndedRoundWrappers: who ends a stream while it is written touches nothing
// that belongs to the writer; the race detector sees it.
func TestStreamIsEndedRoundWrappers(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	writing, proceed := make(chan struct{}, 100), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serveHub(h, &selfishWriter{ResponseWriter: w, writing: writing, proceed: proceed}, r)
	}))
	defer s.Close()
	opened := make(chan *streamClient)
	go func() { opened <- openStream(t, s, "/"+testSession, nil) }()
	<-writing
	st := h.connections.all()[0].(*stream)
	go h.Close()
	<-st.over
	close(proceed)
	(<-opened).wantEnd()
}
