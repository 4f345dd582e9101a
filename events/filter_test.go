package events

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/actionflows/lifeline/storage"
)

// typed publishes an event of a type.
func typed(t testing.TB, h *Hub, kind, id string) storage.Cursor {
	t.Helper()
	data := appendJSON(nil, map[string]string{"type": kind, "sessionId": testSession, "id": id})
	res, err := h.Publish(t.Context(), Event{Session: testSession, ID: id, Type: kind, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return res.Cursor
}

func (c *wsClient) subscribeTo(types, since string) map[string]any {
	c.t.Helper()
	c.send(`{"type":"subscribe","sessionId":%q,"types":%s,"since":%q}`, testSession, types, since)
	return c.want(`{"type":"subscription_confirmed","cursor":"<string>"}`)
}

func (c *wsClient) wantID(id string) map[string]any {
	c.t.Helper()
	return c.want(fmt.Sprintf(`{"type":"event","payload":{"id":%q},"cursor":"<string>"}`, id))
}

// One who asked for some types gets these, in a replay and live, each with its own
// cursor, while the others get all.
func TestTypesOnWebSocket(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	start := typed(t, h, "x:y", "0")
	typed(t, h, "chain:started", "1")
	typed(t, h, "step:started", "2")
	some, all := connect(t, s, ""), connect(t, s, "")
	some.subscribeTo(`["chain:*","error:occurred"]`, start.String())
	all.subscribe(testSession)
	some.wantID("1")
	some.want(`{"type":"cursor","sessionId":"session-1","cursor":"<string>"}`) // past 2
	typed(t, h, "step:started", "3")
	want := typed(t, h, "error:occurred", "4")
	typed(t, h, "error:else", "5")
	typed(t, h, "chain:completed", "6")
	if m := some.wantID("4"); m["cursor"] != want.String() {
		t.Errorf("cursor %v, want %s", m["cursor"], want)
	}
	some.wantID("6")
	some.sync()
	for _, id := range []string{"3", "4", "5", "6"} {
		all.wantID(id)
	}
	all.sync()
}

// Subscribing again sets the types from the cursor on that is confirmed, and without
// types all events come again, in the frames of the others.
func TestTypesAnew(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	c := connect(t, hubServer(t, h), "")
	c.subscribe(testSession)
	typed(t, h, "a:b", "1")
	c.wantID("1")
	for i, step := range []struct{ types, gets string }{{`["c:d"]`, "c:d"}, {`["a:b"]`, "a:b"}} {
		c.subscribeTo(step.types, "")
		typed(t, h, "a:b", fmt.Sprint(i, "a:b"))
		typed(t, h, "c:d", fmt.Sprint(i, "c:d"))
		c.wantID(fmt.Sprint(i, step.gets))
		c.sync()
	}
	if n := sharers(h); n != 0 {
		t.Errorf("%d share frames who want some types only", n)
	}
	c.subscribe(testSession)
	if n := sharers(h); n != 1 {
		t.Errorf("%d share frames, want 1", n)
	}
	typed(t, h, "c:d", "2")
	c.wantID("2")
	// With since it begins there, with the new types.
	typed(t, h, "a:b", "3")
	c.wantID("3")
	c.subscribeTo(`["a:*"]`, "1970-01-01T00:00:00Z")
	for _, id := range []string{"1", "0a:b", "1a:b", "3"} {
		c.wantID(id)
	}
	c.sync()
}

func sharers(h *Hub) int {
	topic := h.topic(testSession)
	topic.mu.Lock()
	defer topic.mu.Unlock()
	return len(topic.sharers)
}

// One who is left out much is told how far he has come, each maxLeftOut events, and
// resumes from there.
func TestTypesPassWhatIsLeftOut(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	c := connect(t, s, "")
	st := openStream(t, s, "/"+testSession+"?types=c:d", nil)
	st.wantStart()
	c.subscribeTo(`["c:d"]`, "")
	var last storage.Cursor
	for i := range 2*maxLeftOut + 1 {
		at := typed(t, h, "a:b", fmt.Sprint(i))
		if i == 2*maxLeftOut-1 {
			last = at
		}
	}
	c.want(`{"type":"cursor"}`)
	if m := c.want(`{"type":"cursor","sessionId":"session-1","cursor":"<string>"}`); m["cursor"] != last.String() {
		t.Errorf("cursor %v, want %s", m["cursor"], last)
	}
	c.sync()
	st.next()
	st.want(fmt.Sprintf("id: %s\n", last))
	typed(t, h, "c:d", "x")
	resumed := connect(t, s, "")
	resumed.subscribeTo(`["c:d"]`, last.String())
	for _, c := range []*wsClient{c, resumed} {
		c.wantID("x")
		c.sync()
	}
	if n := h.Stats().Delivered["websocket"]; n != 2 {
		t.Errorf("%d events counted as delivered, want 2", n)
	}
}

// An outage does not change what a filter means: what is pending comes once, what is
// of another type is passed, and the cursor is good afterwards.
func TestTypesThroughOutage(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	s := hubServer(t, h)
	c := connect(t, s, "")
	c.subscribeTo(`["c:d"]`, "")
	typed(t, h, "c:d", "1")
	c.wantID("1")
	b.setDown(true)
	typed(t, h, "a:b", "2")
	typed(t, h, "c:d", "3")
	m := c.want(`{"type":"event","payload":{"id":"3"},"pending":true}`)
	since := m["cursor"].(string)
	joined := connect(t, s, "") // reads what the server knows by itself
	joined.send(`{"type":"subscribe","sessionId":%q,"since":%q,"types":["c:d"]}`, testSession, since)
	joined.want(`{"type":"subscription_confirmed","degraded":true}`)
	typed(t, h, "c:d", "4")
	b.setDown(false)
	typed(t, h, "a:b", "5")
	typed(t, h, "c:d", "6")
	for _, c := range []*wsClient{c, joined} {
		c.wantID("4")
		c.wantID("6")
		c.sync()
	}
	b.refill(testSession)
	typed(t, h, "c:d", "7")
	c.want(`{"type":"epoch"}`)
	c.wantID("7")
}

// Streams take types, as one and as several.
func TestTypesOnStreams(t *testing.T) {
	b := newFake()
	h := newTestHub(t, b)
	first := typed(t, h, "a:b", "1")
	second := typed(t, h, "c:d", "2")
	third := typed(t, h, "a:b", "3")
	s := hubServer(t, h)
	st := openStream(t, s, "/"+testSession+"?since="+first.String()+"&types=c:*,x:y&types=z:z", nil)
	st.wantStart()
	data := func(kind, id string) string {
		return fmt.Sprintf("data: {\"id\":%q,\"sessionId\":%q,\"type\":%q}\n", id, testSession, kind)
	}
	st.want("id: " + second.String() + "\n" + data("c:d", "2"))
	st.want("id: " + third.String() + "\n") // without data: nothing is dispatched
	follows(t, h, 1)
	typed(t, h, "session:started", "4") // lifecycle events are like others in a stream
	st.want("id: " + typed(t, h, "z:z", "5").String() + "\n" + data("z:z", "5"))
	if resp := get(t, s, "/a?types=x"); resp.StatusCode != 400 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// A gap is told of though the page that had it, and no event of the types, was followed
// by others that had none.
func TestTypesBehindAGap(t *testing.T) {
	s := newTestSite(t)
	var last storage.Cursor
	for i := range storage.MaxPage + 1 {
		last = typed(t, s.Hub, "a:b", fmt.Sprint(i))
	}
	typed(t, s.Hub, "c:d", "wanted")
	last.Epoch++ // of another life
	for _, path := range []string{"/api/events/poll/", "/api/events/"} {
		a := s.do("GET", path+testSession+"?types=c:d&since="+last.String(), "")
		if !strings.Contains(a.body, `"gap":true`) || !strings.Contains(a.body, `"id":"wanted"`) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

func TestTypesOnStreamOfSeveral(t *testing.T) {
	s := newTestSite(t)
	h := s.Hub
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	t.Cleanup(func() {
		h.Close()
		server.Close()
	})
	st := openStream(t, server, "/api/events/stream?session="+testSession+"&session=b&types=c:d", nil)
	st.next()
	typed(t, h, "a:b", "1")
	typed(t, h, "c:d", "2")
	if block := st.next(); !strings.Contains(block, `"id":"2"`) {
		t.Errorf("got %q", block)
	}
}

// Lifecycle events go to every WebSocket, whatever types its subscription has, unless
// they are for followers only.
func TestTypesAndLifecycle(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	some, none := connect(t, s, ""), connect(t, s, "")
	some.subscribeTo(`["c:d"]`, "")
	typed(t, h, "session:started", "1")
	some.wantID("1")
	none.want(`{"type":"event","payload":{"id":"1"}}`)
	h.SetLifecycleBroadcast(false)
	typed(t, h, "session:ended", "2")
	some.sync()
	none.sync()
	some.subscribeTo(`["session:*"]`, "")
	typed(t, h, "session:ended", "3")
	some.wantID("3")
	none.sync()
	h.SetLifecycleBroadcast(true)
	typed(t, h, "session:ended", "4")
	none.want(`{"type":"event","payload":{"id":"4"}}`)
}

// While events come at full speed, one who drops and resumes all the time, with the
// last cursor that he was told, gets each event of his types once and in order.
func TestTypesOnceAtFullSpeed(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxQueueFrames: 1 << 20, MaxQueueBytes: 1 << 30}))
	s := hubServer(t, h)
	const events = 900
	var want []string
	for i := range events {
		if i%7 == 0 || i > events/3 && i < events/2 {
			want = append(want, fmt.Sprint(i))
		}
	}
	begin := typed(t, h, "c:d", "begin").String()
	var all sync.WaitGroup
	all.Go(func() {
		inTypes := make(map[string]bool)
		for _, id := range want {
			inTypes[id] = true
		}
		for i := range events {
			kind := "a:b"
			if inTypes[fmt.Sprint(i)] {
				kind = "c:d"
			}
			typed(t, h, kind, fmt.Sprint(i))
		}
	})
	for reader := range 3 {
		all.Go(func() {
			cursor, got := begin, []string(nil)
			for visit := 0; len(got) < len(want); visit++ {
				c := connect(t, s, "")
				c.send(`{"type":"subscribe","sessionId":%q,"types":["c:d"],"since":%q}`, testSession, cursor)
				c.want(`{"type":"subscription_confirmed","recovered":true}`)
				for range 1 + (visit+reader)%5*10 {
					if len(got) == len(want) {
						break
					}
					m := c.read()
					cursor = m["cursor"].(string)
					if payload, ok := m["payload"].(map[string]any); ok {
						got = append(got, payload["id"].(string))
					}
				}
				_ = c.conn.Close()
			}
			if !slices.Equal(got, want) {
				t.Errorf("reader %d got %v\nwant %v", reader, got, want)
			}
		})
	}
	all.Wait()
}
