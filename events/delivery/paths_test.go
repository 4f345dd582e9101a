package delivery

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// pathFixtures are session ids that mean something in a path, and how clients write
// them: escaped as encodeURIComponent does, or as little as one gets away with.
var pathFixtures = []struct{ path, session string }{
	{"a%2Fb", "a/b"},
	{"a%2fb", "a/b"},
	{"a%20b", "a b"},
	{"%C3%BC", "ü"},
	{"ü", "ü"},
	{"%25", "%"},
	{"recent", "recent"},
	{"%7Bx%7D", "{x}"},
	{"{x}", "{x}"},
	{"a%2F%2Fb", "a//b"},
}

// raw sends a request line as it is, which net/http's client would not. The connection is closed
// afterwards, and the answer's body with it.
func raw(t *testing.T, n *node, target string) (status int, location string, body map[string]any) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", target)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		m, err := newEventSource(resp.Body, "").next()
		if err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		return resp.StatusCode, "", map[string]any{"events": []any{map[string]any{"id": idOf([]byte(m.data))}}}
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	_ = json.Unmarshal(b, &body) // what is not ours is no JSON
	return resp.StatusCode, resp.Header.Get("Location"), body
}

// Every route leads to the session that is meant, whatever its id.
func TestSessionInEveryPath(t *testing.T) {
	n := inMemory(t)
	p := &publisher{t: t, node: n, name: "p"}
	posted := make(map[string]bool)
	for _, fx := range pathFixtures {
		if !posted[fx.session] && !p.post(t.Context(), fmt.Sprintf(`{"type":"a:b","sessionId":%q,"id":"of %s"}`, fx.session, fx.session)) {
			return
		}
		posted[fx.session] = true
		const beginning = "?since=1970-01-01T00:00:00Z"
		for _, target := range []string{
			"/api/events/" + fx.path, "/api/events/" + fx.path + "/recent", "/api/events/poll/" + fx.path,
			"/api/events/poll/" + fx.path + beginning + "&wait=1", "/api/events/stream/" + fx.path + beginning,
		} {
			status, _, body := raw(t, n, target)
			events, _ := body["events"].([]any)
			if status != http.StatusOK || len(events) != 1 || events[0].(map[string]any)["id"] != "of "+fx.session {
				t.Errorf("%s: %d %v", target, status, body)
			}
		}
	}
	// What is no path of ours is nobody's: it is neither folded nor redirected.
	for _, target := range []string{"/api/events/a//b", "/api/events//recent", "/api/events/poll/", "/api/events/a/", "//api/events/a"} {
		if status, location, _ := raw(t, n, target); status != http.StatusNotFound || location != "" {
			t.Errorf("%s: %d, to %q", target, status, location)
		}
	}
	// A lone % is no path at all.
	if status, location, _ := raw(t, n, "/api/events/%"); status != http.StatusBadRequest || location != "" {
		t.Errorf("a lone %%: %d, to %q", status, location)
	}
}
