package events

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// streamClient reads Server-Sent Events line by line.
type streamClient struct {
	t      testing.TB
	header http.Header
	r      *bufio.Reader
}

func openStream(t testing.TB, s *httptest.Server, target string, headers ...string) *streamClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s", resp.Status, body)
	}
	c := &streamClient{t: t, header: resp.Header, r: bufio.NewReader(resp.Body)}
	c.want("retry: 3000")
	return c
}

// line answers the next line that is not empty.
func (c *streamClient) line() string {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("read: %v", err)
		}
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			return line
		}
	}
}

// want reads lines up to one that is as given; ids may come before it.
func (c *streamClient) want(want string) {
	c.t.Helper()
	for {
		got := c.line()
		if got == want {
			return
		}
		if !strings.HasPrefix(got, "id: ") {
			c.t.Fatalf("got line %q, want %q", got, want)
		}
	}
}

func (c *streamClient) wantEnd() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.r); err != nil {
		c.t.Fatalf("the stream has not ended: %v", err)
	}
}

func TestStream(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	c := openStream(t, s, testSession)
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
	} {
		if got := c.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	res := publishEvent(t, h, "1")
	if got := c.line(); got != "id: "+res.Cursor.String() {
		t.Errorf("got %q", got)
	}
	c.want("data: " + string(eventData(testSession, "1")))
	// An event without id field of its own and with line breaks stays one event.
	if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: "2", Type: "a:b", Data: []byte("{\"id\":\n\"2\"\r}")}); err != nil {
		t.Fatal(err)
	}
	c.want(`data: {"id": "2" }`)
}

func TestStreamResumes(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	first, second := publishEvent(t, h, "1").Cursor, publishEvent(t, h, "2").Cursor
	publishEvent(t, h, "3")
	one, two, three := "data: "+string(eventData(testSession, "1")), "data: "+string(eventData(testSession, "2")), "data: "+string(eventData(testSession, "3"))
	for name, c := range map[string]struct {
		target, header string
		want           []string
	}{
		"since a cursor":    {"?since=" + first.String(), "", []string{two, three}},
		"since a timestamp": {"?since=" + first.Timestamp(), "", []string{two, three}},
		"the header wins":   {"?since=" + first.String(), "Last-Event-ID: " + second.String(), []string{three}},
		"since the epoch":   {"?since=1970-01-01T00:00:00Z", "", []string{one, two, three}},
		"named":             {"?named=1&since=" + first.String(), "", []string{"event: step:started", two, "event: step:started", three}},
		"a foreign epoch":   {"?since=v1.00000000002a.1-1", "", []string{"event: lifeline.gap", "", one, two, three}},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = append(headers, c.header)
			}
			st := openStream(t, s, testSession+c.target, headers...)
			for _, want := range c.want {
				if want == "" { // the notice's data
					if got := st.line(); !strings.HasPrefix(got, `data: {"sessionId":"session-1","cursor":"v1.`) {
						t.Errorf("got %q", got)
					}
					continue
				}
				st.want(want)
			}
		})
	}
}

func TestStreamBadPosition(t *testing.T) {
	s := hubServer(t, newTestHub(t, newMemory(t)))
	for header, field := range map[string]string{"": "since", "yesterday": "Last-Event-ID"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/"+testSession+"?since=tomorrow", nil)
		req.Header.Set("Last-Event-ID", header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), fmt.Sprintf(`"field":%q`, field)) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

func TestStreamComments(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) { i.comment = time.Millisecond })
	c := openStream(t, hubServer(t, h), testSession)
	c.want(":")
	c.want(":")
}

// A stream that is not read ends; the client comes again with its last id.
func TestStreamSlowConsumer(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(c *Config, _ *intervals) {
		c.Limits.MaxQueueFrames, c.Limits.MaxQueueBytes = 64, 4<<20
	})
	s := hubServer(t, h)
	c := openStream(t, s, testSession)
	cursor := ""
	for i := 0; ; i++ {
		if _, streams := h.Counts(); streams == 0 {
			break
		}
		if i == 100_000 {
			t.Fatal("the stream has not ended")
		}
		id := fmt.Sprint(i)
		data := appendJSON(nil, map[string]string{"id": id, "pad": strings.Repeat("x", 64<<10)})
		res, err := h.Publish(t.Context(), Event{Session: testSession, ID: id, Type: "a:b", Data: data})
		if err != nil {
			t.Fatal(err)
		}
		cursor = res.Cursor.String()
	}
	_, _ = io.Copy(io.Discard, c.r) // what was sent, up to the cut
	again := openStream(t, s, testSession+"?since="+cursor)
	publishEvent(t, h, "last")
	again.want("data: " + string(eventData(testSession, "last")))
}
