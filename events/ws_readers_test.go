package events

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

// numbered is an event whose payload has its number.
func numbered(n int, pad string) Event {
	return Event{
		Session: testSession, ID: fmt.Sprint(n), Type: "a:b",
		Data: fmt.Appendf(nil, `{"type":"a:b","sessionId":%q,"n":%d,"pad":%q}`, testSession, n, pad),
	}
}

// readNumbered reads events up to number last, each once and in order from first
// on, and answers the last cursor.
func (c *wsClient) readNumbered(first, last int) (cursor string, err error) {
	for n := first; n <= last; n++ {
		f, err := ws.ReadFrame(c.r)
		if err != nil {
			return cursor, fmt.Errorf("before event %d: %w", n, err)
		}
		if f.Header.OpCode != ws.OpText {
			n--
			continue
		}
		var m struct {
			Type    string
			Cursor  string
			Payload struct{ N int }
		}
		if err := json.Unmarshal(f.Payload, &m); err != nil || m.Type != "event" || m.Payload.N != n {
			return cursor, fmt.Errorf("instead of event %d came %s (%w)", n, f.Payload, err)
		}
		cursor = m.Cursor
	}
	return cursor, nil
}

// Readers of all kinds follow one session, among them ones that stall, end halfway
// and vanish: whoever reads gets each event once and in order, and who stalls goes on
// from his cursor without a loss.
func TestWSReadersOfAllKinds(t *testing.T) {
	const events, batch, readers = 4000, 160, 6
	h := newTestHub(t, newMemory(t), limits(Limits{MaxQueueBytes: 256 << 10}))
	s := hubServer(t, h)
	connected := func() *wsClient {
		c := connect(t, s, "")
		c.subscribe(testSession)
		return c
	}
	start := connect(t, s, "").subscribe(testSession)["cursor"].(string) //nolint:forcetypeassert // checked there
	stalled := []*wsClient{connected(), connected(), connected()}
	half, vanishing := connected(), connected()
	clients := make([]*wsClient, readers)
	for i := range clients {
		clients[i] = connected()
	}
	if err := half.conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // as was dialled
		t.Fatal(err)
	}
	pad := strings.Repeat("x", 1000)
	for first := 0; first < events; first += batch { // as much as everybody can have in his queue
		for n := first; n < first+batch; n++ {
			if _, err := h.Publish(t.Context(), numbered(n, pad)); err != nil {
				t.Fatal(err)
			}
		}
		if first == events/2 {
			_ = vanishing.conn.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // as was dialled
			_ = vanishing.conn.Close()
		}
		var reading sync.WaitGroup
		for _, c := range clients {
			reading.Go(func() {
				if _, err := c.readNumbered(first, first+batch-1); err != nil {
					t.Error(err)
				}
			})
		}
		if reading.Wait(); t.Failed() {
			t.FailNow()
		}
	}
	half.wantEnd()
	for _, c := range stalled {
		c.resumesFrom(t, s, start, events)
	}
}

// resumesFrom reads what the hub still sent to a stalled client, up to its close,
// and the rest over another connection.
func (c *wsClient) resumesFrom(t *testing.T, s *httptest.Server, cursor string, events int) {
	t.Helper()
	got := 0
	for {
		f, err := ws.ReadFrame(c.r)
		if err != nil || f.Header.OpCode == ws.OpClose {
			break
		}
		var m struct {
			Type, Cursor string
			Payload      struct{ N int }
		}
		if json.Unmarshal(f.Payload, &m) == nil && m.Type == "event" {
			if m.Payload.N != got {
				t.Fatalf("event %d came behind %d", m.Payload.N, got-1)
			}
			cursor, got = m.Cursor, got+1
		}
		if got == events {
			return // the system's buffers held everything
		}
	}
	again := connect(t, s, "")
	again.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, cursor)
	again.want(`{"type":"subscription_confirmed","recovered":true}`)
	if _, err := again.readNumbered(got, events-1); err != nil {
		t.Error(err)
	}
}

// Order and once-only while frames are joined: many publishers, many readers, each
// of whom sees the same sequence.
func TestWSJoinedFramesKeepTheOrder(t *testing.T) {
	const publishers, each, readers = 8, 100, 8
	h := newTestHub(t, newMemory(t), limits(Limits{MaxQueueFrames: publishers * each}))
	s := hubServer(t, h)
	sequences := make([][]string, readers)
	var reading, publishing sync.WaitGroup
	for r := range readers {
		c := connect(t, s, "")
		c.subscribe(testSession)
		reading.Go(func() {
			for len(sequences[r]) < publishers*each {
				m := c.read()
				id, _ := m["payload"].(map[string]any)["id"].(string)
				sequences[r] = append(sequences[r], id)
			}
		})
	}
	var failures atomic.Int64
	for p := range publishers {
		publishing.Go(func() {
			for n := range each {
				id := fmt.Sprintf("%d/%d", p, n)
				if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: id, Type: "a:b", Data: eventData(testSession, id)}); err != nil {
					failures.Add(1)
				}
			}
		})
	}
	publishing.Wait()
	reading.Wait()
	if failures.Load() > 0 {
		t.Fatalf("%d publishes failed", failures.Load())
	}
	seen := make(map[string]int)
	for _, id := range sequences[0] {
		seen[id]++
	}
	if len(seen) != publishers*each {
		t.Errorf("%d different events of %d", len(seen), publishers*each)
	}
	for r, sequence := range sequences {
		if strings.Join(sequence, " ") != strings.Join(sequences[0], " ") {
			t.Errorf("reader %d saw another order than reader 0", r)
		}
	}
}

// A silent client's goroutine comes back for each message, however they are spread.
func TestWSSilenceBetweenMessages(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MessageRate: 100_000}))
	c := connect(t, hubServer(t, h), "")
	frame := ws.MustCompileFrame(masked(text, true, ping))
	for i := range 300 {
		for _, part := range [][]byte{frame[:i%len(frame)], frame[i%len(frame):]} {
			if _, err := c.conn.Write(part); err != nil {
				t.Fatal(err)
			}
			if i%3 == 0 {
				runtime.Gosched() // the hub often sees the parts apart
			}
		}
		c.want(`{"type":"pong"}`)
	}
}
