package lifeline_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// TestBadInput names each bad input with its exact answer.
func TestBadInput(t *testing.T) {
	s := start(t, site("lifeline {\n storage memory\n}", ""))
	good := `{"type":"a:b","sessionId":"s"}`
	big := `{"type":"a:b","sessionId":"s","text":"` + strings.Repeat("x", 2<<20) + `"}`
	for name, c := range map[string]struct {
		body        string
		contentType string
		headers     []string
		status      int
		errorText   string // the whole field
		message     string // the same
		field       string
	}{
		"no JSON":            {`{"type":`, "", nil, 400, "invalid JSON", "unexpected end at byte 8", ""},
		"no object":          {`"text"`, "", nil, 400, "invalid JSON", "one JSON object is expected, found a string at byte 0", ""},
		"half an array":      {"[" + good, "", nil, 400, "invalid JSON", "unexpected end at byte " + strconv.Itoa(len(good)+1), ""},
		"missing type":       {`{"sessionId":"s"}`, "", nil, 400, "invalid event", "type is missing", "type"},
		"missing session":    {`{"type":"a:b"}`, "", nil, 400, "invalid event", "sessionId is missing", "sessionId"},
		"type without colon": {`{"type":"ab","sessionId":"s"}`, "", nil, 400, "invalid event", "type is not of the form namespace:name", "type"},
		"id of 201 bytes":    {`{"type":"a:b","sessionId":"` + strings.Repeat("x", 201) + `"}`, "", nil, 400, "invalid event", "sessionId is 201 bytes long, at most 200 are allowed", "sessionId"},
		"reserved id":        {`{"type":"a:b","sessionId":"poll"}`, "", nil, 400, "invalid event", `sessionId "poll" is reserved`, "sessionId"},
		"2 MiB":              {big, "", nil, 413, "event too large", "an event may be at most 1048576 bytes long, as max_message says", ""},
		"wrong content type": {good, "text/plain", nil, 415, "unsupported media type", "JSON with Content-Type application/json, or application/x-ndjson, is expected, not text/plain", "Content-Type"},
		"foreign origin":     {good, "", []string{"Origin: https://evil.example"}, 403, "forbidden", "this page's origin is neither the site's own nor listed in `origins`", ""},
		"cross-site":         {good, "", []string{"Sec-Fetch-Site: cross-site"}, 403, "forbidden", "this page's origin is neither the site's own nor listed in `origins`", ""},
		"not local":          {good, "", []string{"X-Forwarded-For: 192.0.2.1"}, 401, "this hub serves only local clients; add `api_key`, `anonymous read` or authentication to the lifeline block of this site", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			contentType := c.contentType
			if contentType == "" {
				contentType = "application/json"
			}
			a := s.do(http.MethodPost, "/api/events", c.body, append(c.headers, "Content-Type: "+contentType)...)
			if a.status != c.status || a.text("error") != c.errorText ||
				a.text("message") != c.message || a.text("field") != c.field {
				t.Errorf("got %v", a)
			}
		})
	}
	if got := s.history("s"); len(got) != 0 {
		t.Errorf("refused events were kept: %v", got)
	}
}

func TestAccess(t *testing.T) {
	t.Setenv("HUB_KEY", "from-the-environment")
	s := start(t, site("lifeline {\n storage memory\n}", "api_key first {env.HUB_KEY}\nanonymous read\norigins https://app.example"))
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"nobody writes":        {nil, 403},
		"wrong key":            {[]string{"Authorization: Bearer wrong"}, 401},
		"key":                  {[]string{"Authorization: Bearer first"}, 201},
		"key by placeholder":   {[]string{"Authorization: Bearer from-the-environment"}, 201},
		"key, foreign origin":  {[]string{"Authorization: Bearer first", "Origin: https://evil.example"}, 403},
		"key, listed origin":   {[]string{"Authorization: Bearer first", "Origin: https://app.example"}, 201},
		"key, null origin":     {[]string{"Authorization: Bearer first", "Origin: null"}, 403},
		"key, of its own page": {[]string{"Authorization: Bearer first", "Origin: " + s.url}, 201},
	} {
		a := s.post(`{"type":"a:b","sessionId":"s"}`, c.headers...)
		if a.status != c.status {
			t.Errorf("%s: %v, want %d", name, a, c.status)
		}
		if strings.Contains(a.raw, "from-the-environment") || strings.Contains(a.raw, "first") {
			t.Errorf("%s: the answer tells a key: %v", name, a)
		}
	}
	if a := s.get("/api/events/s"); a.status != http.StatusOK {
		t.Errorf("anonymous read: %v", a)
	}
	c, err := s.tryDial(nil, "lifeline.v1", "lifeline.key.Zmlyc3Q") // base64url of "first"
	if err != nil {
		t.Fatal(err)
	}
	c.subscribe(t, "s", "")
}

// TestNullsInJSON: a configuration written by a program is refused with words, too.
func TestNullsInJSON(t *testing.T) {
	s := newServer(t)
	for config, want := range map[string]string{
		`{"apps":{"lifeline":{"hubs":{"x":null}}}}`:               "hub x: its settings are null",
		`{"apps":{"lifeline":{"hubs":{"x":{"watches":[null]}}}}}`: "entry 0 is null",
	} {
		path := filepath.Join(s.dir, "config.json")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := s.caddy("validate", "--config", path); code == 0 || !strings.Contains(out, want) || strings.Contains(out, "goroutine") {
			t.Errorf("%s: exit %d: %s", config, code, out)
		}
	}
}

// TestEveryOptionIsTaken sets every option of the hub and of the site.
func TestEveryOptionIsTaken(t *testing.T) {
	s := start(t, `{
	admin ADMIN
	lifeline {
		storage disk DIR/events {
			max_size 1GiB
		}
		history 500 12h
		breaker {
			failure_threshold 3
			reset_timeout 10s
			backoff 2 1m
			probes 2
			probe_successes 2
			probe_timeout 5s
			probe_every 1s
			adaptive
			rate 0.5 10s 20
			slow 1s 0.5 10s 20
		}
		watch demo DIR/data {
			ignore *.log tmp/**
			ignore_default off
			debounce 50ms
			max_wait 1s
			depth 3
			retry 2 100ms
			absolute_paths off
		}
		max_connections 100
		max_per_ip 50
		max_subscriptions 10
		max_message 64KiB
		message_rate 20
		max_queue 128KiB 100
		max_replays 4
		max_polls 7
	}
	lifeline remote {
		storage redis redis://localhost:1 {
			username u
			password p
			db 2
			key_prefix x:
			timeout 200ms
			pool 4
		}
		journal off
		breaker off
	}
	lifeline mem {
		storage memory {
			max_size 8MiB
		}
	}
}
http://localhost:PORT {
	lifeline {
		api_key k
		user {http.request.header.Remote-User}
		anonymous read write
		origins https://app.example
		poll_rate 2 1s
		breaker_admin alice
		dashboard
	}
	handle_path /remote/* {
		lifeline remote
	}
}
`)
	if a := s.post(stepEvent("s", "one", 1)); a.status != http.StatusCreated {
		t.Errorf("post: %v", a)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "events", "lifeline.db")); err != nil {
		t.Error(err)
	}
	long := `{"type":"a:b","sessionId":"s","text":"` + strings.Repeat("x", 65<<10) + `"}`
	if a := s.post(long); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("max_message: %v", a)
	}
	if a := s.do(http.MethodPost, "/remote/api/events", stepEvent("s", "one", 1), asJSON); a.status != http.StatusServiceUnavailable {
		t.Errorf("breaker off without Redis: %v", a)
	}
	for range 2 {
		if a := s.get("/api/events/poll/s"); a.status != http.StatusOK {
			t.Errorf("poll_rate: %v", a)
		}
	}
	if a := s.get("/api/events/poll/s"); a.status != http.StatusTooManyRequests {
		t.Errorf("poll_rate: %v", a)
	}
}

// TestMessageLimits: the hub's limits reach the WebSocket.
func TestMessageLimits(t *testing.T) {
	s := start(t, site("lifeline {\n storage memory\n max_message 4KiB\n max_subscriptions 1\n max_connections 2\n}", ""))
	c := s.dial(nil)
	hello := c.frame(t, "subscription_confirmed")
	if payload, _ := hello["payload"].(map[string]any); payload["maxMessage"] != 4096.0 {
		t.Errorf("hello: %v", hello)
	}
	c.subscribe(t, "one", "")
	c.send(t, `{"type":"subscribe","sessionId":"two"}`)
	if f := c.frame(t, "error"); f["code"] != "too_many_subscriptions" {
		t.Errorf("second subscription: %v", f)
	}
	c.send(t, `{"type":"ping","pad":"`+strings.Repeat("x", 5000)+`"}`)
	<-c.closed
	if c.code != ws.StatusMessageTooBig {
		t.Errorf("closed with %d", c.code)
	}
	var open []*socket
	s.waitUntil("the closed connection has given its place back", func() bool {
		c, err := s.tryDial(nil)
		if err == nil {
			open = append(open, c)
		}
		return len(open) == 2
	})
	a := s.get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Version: 13", "Sec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("a third connection: %v", a)
	}
	browser := s.dial(http.Header{"Origin": {s.url}})
	<-browser.closed
	if browser.code != 4429 {
		t.Errorf("a third connection of a browser: closed with %d", browser.code)
	}
}
