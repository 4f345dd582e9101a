package events

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// severalServer serves streams of several sessions of a hub.
func severalServer(t testing.TB, h *Hub) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, problem := parseSeveral(r.URL.RawQuery, r.Header.Get("Last-Event-ID"))
		if problem != nil {
			writeError(w, http.StatusBadRequest, *problem)
			return
		}
		user := r.URL.Query().Get("user")
		h.serveMerged(w, r, q, Grant{Peer: Peer{User: user}, Read: true, All: user == ""})
	}))
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return s
}

func publishIn(t testing.TB, h *Hub, session, id string) storage.Cursor {
	t.Helper()
	res, err := h.Publish(context.Background(), Event{Session: session, ID: id, Type: "step:started", Data: eventData(session, id)})
	if err != nil {
		t.Errorf("publish %s: %v", id, err)
	}
	return res.Cursor
}

// wantAt reads the start of a stream and answers where it begins.
func (c *streamClient) wantAt() map[string]storage.Cursor {
	c.t.Helper()
	id, ok := strings.CutPrefix(c.next(), "retry: 3000\nid: ")
	if !ok {
		c.t.Fatal("no start")
	}
	return compositeOf(c.t, strings.TrimSpace(id))
}

func compositeOf(t testing.TB, id string) map[string]storage.Cursor {
	t.Helper()
	at, err := parseComposite(id)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// wantIn reads an event, whose id has its session at cursor and all others where at
// has them.
func (c *streamClient) wantIn(at map[string]storage.Cursor, session, id string, cursor storage.Cursor) (composite string) {
	c.t.Helper()
	at[session] = cursor
	block := c.next()
	composite, rest, _ := strings.Cut(strings.TrimPrefix(block, "id: "), "\n")
	if want := fmt.Sprintf("data: %s\n", eventData(session, id)); rest != want {
		c.t.Fatalf("got %q, want %q", block, want)
	}
	got := compositeOf(c.t, composite)
	if len(got) != len(at) {
		c.t.Fatalf("at %v, want %v", got, at)
	}
	for s, want := range at {
		if got[s].String() != want.String() {
			c.t.Fatalf("session %s: at %v, want %v", s, got[s], want)
		}
	}
	return composite
}

func TestStreamSeveral(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := severalServer(t, h)
	last := publishIn(t, h, "a", "old")
	odd := `b"&ü`
	st := openStream(t, s, "/?session=a&session="+url.QueryEscape(odd)+"&session=c", nil)
	at := st.wantAt()
	if len(at) != 3 || !sameCursor(at["a"], last) {
		t.Fatalf("begins at %v", at)
	}
	for i, session := range []string{"a", odd, "a", "c", odd} {
		id := fmt.Sprint(i)
		st.wantIn(at, session, id, publishIn(t, h, session, id))
	}
	if _, streams := h.Counts(); streams != 1 {
		t.Errorf("%d streams", streams)
	}
	st.cancel()
	eventually(t, "the end", func() bool {
		_, n := h.Counts()
		return n == 0 && h.topic("a") == nil && h.topic(odd) == nil && h.topic("c") == nil
	})
}

func TestStreamSeveralResumes(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := severalServer(t, h)
	a1, b1 := publishIn(t, h, "a", "a1"), publishIn(t, h, "b", "b1")
	a2 := publishIn(t, h, "a", "a2")
	b2 := publishIn(t, h, "b", "b2")
	at := func(cursors ...storage.Cursor) string {
		m := map[string]string{"a": cursors[0].String()}
		if len(cursors) > 1 {
			m["b"] = cursors[1].String()
		}
		return encodeComposite(string(appendJSON(nil, m)))
	}
	for name, tt := range map[string]struct{ query, header, want string }{
		"Last-Event-ID":            {"", at(a1, b1), "a2 b2"},
		"at one's head":            {"", at(a2, b1), "b2"},
		"the header wins":          {"&since=" + at(a1, b1) + "&since[a]=v1.0.0-0", at(a2, b1), "b2"},
		"since":                    {"&since=" + at(a1, b1), "", "a2 b2"},
		"since of one":             {"&since[b]=" + b1.String(), "", "b2"},
		"the special one wins":     {"&since=1970-01-01T00:00:00Z&since[a]=" + a1.String(), "", "a2 b1 b2"},
		"a time":                   {"&since=1970-01-01T00:00:00Z", "", "a1 a2 b1 b2"},
		"an id that lacks one":     {"", at(a1), "a2"},
		"the one it lacks is here": {"&since[b]=" + b1.String(), at(a1), "a2 b2"},
		"nothing is given":         {"", "", ""},
		"at the head":              {"", at(a2, b2), ""},
	} {
		t.Run(name, func(t *testing.T) {
			st := openStream(t, s, "/?session=a&session=b"+tt.query, http.Header{"Last-Event-Id": {tt.header}})
			st.wantAt()
			got := map[string]bool{}
			for range strings.FieldsSeq(tt.want) {
				_, data, _ := strings.Cut(st.next(), "data: ")
				got[idOf(t, data)] = true
			}
			for id := range strings.FieldsSeq(tt.want) {
				if !got[id] {
					t.Errorf("got %v, want %s", got, tt.want)
				}
			}
			st.cancel()
			eventually(t, "the end", func() bool { _, n := h.Counts(); return n == 0 })
		})
	}
}

func idOf(t testing.TB, data string) string {
	t.Helper()
	var e struct{ ID string }
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return e.ID
}

// reconnecting reads a stream like an EventSource that loses its connection all the
// time, and goes on with the last id that it has seen.
type reconnecting struct {
	target string
	id     string
	seen   map[string][]string // by session

	nextID, data string // of the block that is being read
}

// run reads until all is there, at least drops connections long.
func (r *reconnecting) run(t *testing.T, drops int, whole func(map[string][]string) bool) {
	t.Helper()
	for n := 0; n < drops || !whole(r.seen); n++ {
		ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.nextID, r.data = r.id, ""; r.id != "" {
			req.Header.Set("Last-Event-ID", r.id)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d with Last-Event-ID %s", resp.StatusCode, r.id)
		}
		last := 1 + rand.IntN(300) //nolint:gosec // any number will do
		for in, lines := bufio.NewReader(resp.Body), 0; lines < last || n >= drops; lines++ {
			if n >= drops && whole(r.seen) {
				break
			}
			line, err := in.ReadString('\n')
			if err != nil {
				break // the server has ended it: too slow
			}
			r.line(t, strings.TrimSuffix(line, "\n"))
		}
		cancel()
		_ = resp.Body.Close()
	}
}

// line takes a line. A block counts once it is whole, as in an EventSource.
func (r *reconnecting) line(t *testing.T, line string) {
	t.Helper()
	field, value, _ := strings.Cut(line, ": ")
	switch field {
	case "id":
		r.nextID = value
	case "event":
		t.Errorf("event %s", value)
	case "data":
		r.data = value
	case "":
		if r.id = r.nextID; r.data != "" {
			var e struct{ ID, SessionID string }
			if err := json.Unmarshal([]byte(r.data), &e); err != nil {
				t.Fatalf("%q: %v", r.data, err)
			}
			r.seen[e.SessionID] = append(r.seen[e.SessionID], e.ID)
		}
		r.data = ""
	}
}

// Whoever goes on with the last id sees each event once and in order, while publishers
// run at full speed.
func TestStreamSeveralOnce(t *testing.T) {
	const sessions, each = 8, 600
	h := newTestHub(t, newMemory(t))
	s := severalServer(t, h)
	target := s.URL + "/?since=1970-01-01T00:00:00Z"
	var publishers sync.WaitGroup
	for i := range sessions {
		session := fmt.Sprint("session ", i)
		target += "&session=" + url.QueryEscape(session)
		publishers.Go(func() {
			for n := range each {
				publishIn(t, h, session, fmt.Sprint(n))
			}
		})
	}
	r := &reconnecting{target: target, seen: make(map[string][]string)}
	r.run(t, 40, func(seen map[string][]string) bool {
		n := 0
		for _, ids := range seen {
			n += len(ids)
		}
		return n >= sessions*each
	})
	publishers.Wait()
	for session, ids := range r.seen {
		if len(ids) != each {
			t.Fatalf("%s: %d events", session, len(ids))
		}
		for n, id := range ids {
			if id != fmt.Sprint(n) {
				t.Fatalf("%s: event %d is %s", session, n, id)
			}
		}
	}
}

// Events that are pending have their place in the id too: whoever saw them does not
// get them again once storage has them.
func TestStreamSeveralThroughOutage(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	s := severalServer(t, h)
	st := openStream(t, s, "/?session=a&session=b", nil)
	st.wantAt()
	b.setDown(true)
	publishIn(t, h, "a", "1")
	publishIn(t, h, "b", "2")
	var id string
	for range 2 {
		block := st.next()
		id, _, _ = strings.Cut(strings.TrimPrefix(block, "id: "), "\n")
	}
	if at := compositeOf(t, id); len(at["a"].Parts) != 1 || len(at["b"].Parts) != 1 {
		t.Fatalf("at %v", at)
	}
	st.cancel()
	publishIn(t, h, "b", "3")
	b.setDown(false)
	publishIn(t, h, "a", "4")
	st = openStream(t, s, "/?session=a&session=b", http.Header{"Last-Event-Id": {id}})
	st.wantAt()
	got := make([]string, 2)
	for i := range got {
		_, data, _ := strings.Cut(st.next(), "data: ")
		got[i] = idOf(t, data)
	}
	if slices.Sort(got); fmt.Sprint(got) != "[3 4]" {
		t.Errorf("got %v", got)
	}
}

// Each session has gaps and epochs of its own.
func TestStreamSeveralGap(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	s := severalServer(t, h)
	first := publishIn(t, h, "a", "1")
	publishIn(t, h, "a", "2")
	third := publishIn(t, h, "a", "3")
	b.trim("a", 2)
	st := openStream(t, s, "/?session=a&session=b&since[a]="+first.String(), nil)
	at := st.wantAt()
	st.wantGap(at, "a", first)
	st.wantIn(at, "a", "3", third)
	eventually(t, "the sessions are live", func() bool { return sharesAll(h, "a", "b") })
	b.refill("a")
	last := publishIn(t, h, "a", "4")
	st.want(fmt.Sprintf("event: lifeline.epoch\ndata: {\"sessionId\":\"a\",\"cursor\":\"v1.%s.0-0\"}\n", last.Epoch))
	st.wantIn(at, "a", "4", last)
	st.wantIn(at, "b", "5", publishIn(t, h, "b", "5"))
}

// sharesAll reports whether all subscribers of sessions are live.
func sharesAll(h *Hub, sessions ...string) bool {
	return !slices.ContainsFunc(sessions, func(session string) bool {
		tp := h.topic(session)
		tp.mu.Lock()
		defer tp.mu.Unlock()
		return slices.ContainsFunc(tp.subs, func(s *subscriber) bool { return s.mode != modeShared })
	})
}

func TestStreamSeveralNamed(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	st := openStream(t, severalServer(t, h), "/?session=a&session=b&named=1", nil)
	st.wantAt()
	publishIn(t, h, "b", "1")
	_, rest, _ := strings.Cut(st.next(), "\n")
	if want := fmt.Sprintf("event: step:started\ndata: %s\n", eventData("b", "1")); rest != want {
		t.Errorf("got %q", rest)
	}
}

// How far a client has come without an event, a comment tells him.
func TestStreamSeveralComment(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) { i.comment = time.Millisecond })
	last := publishIn(t, h, "a", "1")
	st := openStream(t, severalServer(t, h), "/?session=a&session=b&since[a]=2999-01-01T00:00:00Z", nil)
	if at := st.wantAt(); !at["a"].IsTimestamp() {
		t.Errorf("begins at %v", at)
	}
	for {
		block := st.next()
		if block == ":\n" {
			continue
		}
		id, _ := strings.CutPrefix(block, "id: ")
		if at := compositeOf(t, strings.TrimSpace(id)); !sameCursor(at["a"], last) {
			t.Errorf("now at %v, want %v", at, last)
		}
		break
	}
	st.want(":\n")
}
