package events

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// readers read over each transport, from since on, until the event "last".
var readers = map[string]func(t *testing.T, s *httptest.Server, since string) []string{
	"WebSocket": readSocket,
	"stream":    readStream,
	"long poll": readLongPolls,
}

func readSocket(t *testing.T, s *httptest.Server, since string) (ids []string) {
	c := dial(t, s, "/ws", nil)
	defer c.conn.Close() // or the hub would wait for the client to close, too
	c.want(`{"type":"subscription_confirmed"}`)
	c.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, since)
	c.want(`{"type":"subscription_confirmed","recovered":true}`)
	for !slices.Contains(ids, "last") {
		m := c.want(`{"type":"event"}`)
		ids = append(ids, m["payload"].(map[string]any)["id"].(string))
	}
	return ids
}

func readStream(t *testing.T, s *httptest.Server, since string) (ids []string) {
	st := openStream(t, s, "/api/events/stream/"+testSession, http.Header{"Last-Event-Id": {since}})
	st.wantStart()
	for !slices.Contains(ids, "last") {
		_, data, _ := strings.Cut(st.next(), "\ndata: ")
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func readLongPolls(t *testing.T, s *httptest.Server, since string) (ids []string) {
	for !slices.Contains(ids, "last") {
		q := url.Values{"wait": {"20s"}, "since": {since}, "limit": {"1000"}}
		resp, err := s.Client().Get(s.URL + "/api/events/poll/" + testSession + "?" + q.Encode())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		a := answer{body: string(body)}
		got := idsIn(t, a)
		if len(got) == 0 {
			t.Fatalf("the poll that waits has missed something: %s", body)
		}
		ids, since = append(ids, got...), a.json(t)["cursor"].(string)
	}
	return ids
}

// TestHubJoinAtEveryStep, as clients see it: whatever is published between any two
// steps comes once and in order on every transport.
func TestTransportsJoinAtEveryStep(t *testing.T) {
	t.Parallel()
	for name, read := range readers {
		for _, step := range []string{"registered", "learned", "reading", "read", "waiting", "joining", "filled"} {
			for _, start := range []int{0, 2} { // behind the first of three events, and at the head
				t.Run(fmt.Sprintf("%s/%s/%d", name, step, start), func(t *testing.T) {
					t.Parallel()
					joinTransport(t, read, step, start)
				})
			}
		}
	}
}

func joinTransport(t *testing.T, read func(*testing.T, *httptest.Server, string) []string, step string, start int) {
	const injected = 3
	var inject atomic.Pointer[func()]
	h := newHub(Config{Backend: newMemory(t)}, fastIntervals(), func(s string) {
		if f := inject.Load(); s == step && f != nil {
			(*f)()
		}
	})
	site := &Site{Hub: h, PollRate: Rate{N: 1000, Per: time.Second}}
	if err := site.Provision(); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { site.ServeHTTP(w, r) }))
	defer s.Close()
	defer h.Close()

	want := make([]string, 0, 3+injected)
	var since storage.Cursor
	for i := range 3 {
		c := publishEvent(t, h, fmt.Sprint("old ", i)).Cursor
		if i == start {
			since = c
		} else if i > start {
			want = append(want, fmt.Sprint("old ", i))
		}
	}
	var once sync.Once
	injecting := func() {
		once.Do(func() {
			for i := range injected {
				publishEvent(t, h, fmt.Sprint("injected ", i))
			}
		})
	}
	inject.Store(&injecting)
	for i := range injected {
		want = append(want, fmt.Sprint("injected ", i))
	}
	want = append(want, "last")

	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() {
		eventually(t, "a follower", func() bool { return h.topic(testSession) != nil })
		follows(t, h, 1)
		injecting() // a step that this transport does not have
		publishEvent(t, h, "last")
	})
	if got := read(t, s, since.String()); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
