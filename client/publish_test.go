package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that a test's clock is that of a hub too.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// posted is a request and when it came.
type posted struct {
	at   time.Duration
	body string
}

// answering runs a test with a hub that answers posts by a function of their number,
// but for one that hangs.
func answering(t *testing.T, hangs int, answer func(n int, w http.ResponseWriter), test func(t *testing.T, c *Client, seen *[]posted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex // guards seen while the hub runs
		var seen []posted
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		hub := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			seen = append(seen, posted{time.Since(begin), string(body)})
			n := len(seen)
			mu.Unlock()
			if n == hangs {
				<-r.Context().Done()
				return
			}
			answer(n, w)
		})}
		go func() { _ = hub.Serve(l) }()
		c, err := New("http://hub", Options{HTTP: &http.Transport{DialContext: l.dial}})
		if err != nil {
			t.Fatal(err)
		}
		test(t, c, &seen)
		c.Close()
		_ = hub.Close()
		synctest.Wait()
	})
}

func refuse(w http.ResponseWriter, status int, header ...string) {
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":"no","message":"not now"}`)
}

const taken = `{"success":true,"eventId":"e","sessionId":"s","cursor":"c","receivedAt":"2026-11-26T00:00:00Z"}`

// TestPublishIsRepeatedUnderOneID: after pauses that grow, or as long as the hub asks.
func TestPublishIsRepeatedUnderOneID(t *testing.T) {
	answering(t, 0, func(n int, w http.ResponseWriter) {
		switch n {
		case 1, 2, 3:
			refuse(w, http.StatusServiceUnavailable)
		case 4:
			refuse(w, http.StatusTooManyRequests, "Retry-After: 60")
		case 5:
			panic(http.ErrAbortHandler) // no answer
		default:
			_, _ = io.WriteString(w, taken)
		}
	}, func(t *testing.T, c *Client, seen *[]posted) {
		receipt, err := c.Publish(t.Context(), map[string]any{"type": "a:b", "sessionId": "s"})
		if err != nil || receipt.EventID != "e" || receipt.Cursor != "c" || !receipt.Durable || receipt.Pending {
			t.Errorf("%+v, %v", receipt, err)
		}
		pauses := []time.Duration{200, 400, 800, 60_000, 3200}
		for i, want := range pauses {
			want *= time.Millisecond
			low := want / 2
			if i == 3 {
				low = want // what the hub asks for is not shortened
			}
			if got := (*seen)[i+1].at - (*seen)[i].at; got < low || got > want {
				t.Errorf("pause %d: %s, want %s to %s", i+1, got, low, want)
			}
		}
		var id struct{ ID string }
		if err := json.Unmarshal([]byte((*seen)[0].body), &id); err != nil || len(id.ID) != 36 {
			t.Errorf("id %q, %v", id.ID, err)
		}
		for _, p := range *seen {
			if p.body != (*seen)[0].body {
				t.Errorf("posted %s, then %s", (*seen)[0].body, p.body)
			}
		}
	})
}

func TestPublishEnds(t *testing.T) {
	for _, status := range []int{301, 400, 401, 403, 404, 413, 415, 422} {
		answering(t, 0, func(_ int, w http.ResponseWriter) {
			refuse(w, status, "Location: https://elsewhere.example/")
		}, func(t *testing.T, c *Client, seen *[]posted) {
			_, err := c.Publish(t.Context(), map[string]any{"type": "a:b"})
			if e, ok := errors.AsType[*Error](err); !ok || e.Status != status || e.Code != "no" || !e.Permanent() || len(*seen) != 1 {
				t.Errorf("%d: %v after %d attempts", status, err, len(*seen))
			}
			if status == 301 && !strings.Contains(err.Error(), "https://elsewhere.example/ now; use that address") {
				t.Errorf("%v", err)
			}
		})
	}
	answering(t, 0, func(_ int, w http.ResponseWriter) { refuse(w, http.StatusBadGateway) }, func(t *testing.T, c *Client, seen *[]posted) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := c.Publish(ctx, map[string]any{"type": "a:b"})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status != http.StatusBadGateway || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if n := len(*seen); n < 360 || n > 750 { // every 5 to 10 s
			t.Errorf("%d attempts in an hour", n)
		}
	})
}

// TestPublishWithoutAnswer: an attempt that hangs is given up.
func TestPublishWithoutAnswer(t *testing.T) {
	answering(t, 1, func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, taken) }, func(t *testing.T, c *Client, seen *[]posted) {
		if _, err := c.Publish(t.Context(), map[string]any{"type": "a:b"}); err != nil {
			t.Error(err)
		}
		if at := (*seen)[1].at; at < 30*time.Second || at > 31*time.Second {
			t.Errorf("again after %s", at)
		}
	})
}

// TestBatchRepeatsWhatWasNotTaken, and nothing else.
func TestBatchRepeatsWhatWasNotTaken(t *testing.T) {
	result := func(status int, id string) string {
		if status < 300 {
			return fmt.Sprintf(`{"status":%d,"eventId":%q,"duplicate":%v,"pending":%v,"durable":%v}`, status, id, status == 200, status == 202, status != 202)
		}
		return fmt.Sprintf(`{"status":%d,"error":"no %s"}`, status, id)
	}
	answering(t, 0, func(n int, w http.ResponseWriter) {
		switch n {
		case 1:
			refuse(w, http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusMultiStatus)
			fmt.Fprintf(w, `{"results":[%s,%s,%s,%s]}`, result(201, "1"), result(503, "2"), result(400, "3"), result(503, "4"))
		case 3: // nothing was taken, and there are results
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"results":[%s,%s]}`, result(503, "2"), result(413, "4"))
		default:
			fmt.Fprintf(w, `{"results":[%s]}`, result(202, "2"))
		}
	}, func(t *testing.T, c *Client, seen *[]posted) {
		event := func(id string) any { return map[string]any{"id": id} }
		results, err := c.PublishBatch(t.Context(), event("1"), event("2"), event("3"), event("4"))
		if err == nil || err.Error() != "publish: 2 of 4 events were not taken, the first because: the hub refuses: 400: no 3" {
			t.Errorf("error %v", err)
		}
		var bodies []string
		for _, p := range *seen {
			bodies = append(bodies, p.body)
		}
		if got := strings.Join(bodies, " "); got != `[{"id":"1"},{"id":"2"},{"id":"3"},{"id":"4"}] `+
			`[{"id":"1"},{"id":"2"},{"id":"3"},{"id":"4"}] [{"id":"2"},{"id":"4"}] [{"id":"2"}]` {
			t.Errorf("posted %s", got)
		}
		if pause := (*seen)[3].at - (*seen)[2].at; pause < 30*time.Second {
			t.Errorf("again after %s", pause)
		}
		if r := results[0]; r.Err != nil || r.EventID != "1" || r.Pending || !r.Durable {
			t.Errorf("1: %+v", r)
		}
		if r := results[1]; r.Err != nil || r.EventID != "2" || !r.Pending || r.Durable {
			t.Errorf("2: %+v", r)
		}
		for i, status := range map[int]int{2: 400, 3: 413} {
			if e, ok := errors.AsType[*Error](results[i].Err); !ok || e.Status != status {
				t.Errorf("%d: %+v", i+1, results[i])
			}
		}
	})
}

func TestEventsAreObjects(t *testing.T) {
	c, err := New("http://127.0.0.1:1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range []any{nil, 5, "text", []int{1}, make(chan int)} {
		if _, err := c.Publish(t.Context(), event); err == nil || !strings.HasPrefix(err.Error(), "publish: ") {
			t.Errorf("%T: %v", event, err)
		}
		if _, err := c.PublishBatch(t.Context(), map[string]any{}, event); err == nil || !strings.HasPrefix(err.Error(), "event 2 of 2: ") {
			t.Errorf("%T in a batch: %v", event, err)
		}
	}
	if results, err := c.PublishBatch(t.Context()); len(results) != 0 || err != nil {
		t.Errorf("nothing: %v, %v", results, err)
	}
	for given, want := range map[string]string{
		`{"eventId":"x"}`: `{"eventId":"x"}`, `{"id":"x"}`: `{"id":"x"}`, `{"b":1,"a":2}`: `,"b":1,"a":2}`, `{}`: `"}`,
	} {
		if got, err := encodeEvent(json.RawMessage(given)); err != nil || !strings.HasSuffix(string(got), want) || !json.Valid(got) {
			t.Errorf("%s: %s, %v", given, got, err)
		}
	}
}
