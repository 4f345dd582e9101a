package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/actionflows/lifeline/storage"
)

// Lines and arrays are split into exactly the parts that stand in them.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{"", "{}", "{}\n{}", "\r\n{}\r\n\n", "[]", "[{}]", `[{"a":[1,2]},{}]`, "[{},]", "[1", "[{}]x", "\xff", "[[[["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, line := range splitLines(bytes.Clone(body)) {
			if bytes.ContainsRune(line, '\n') || !bytes.Contains(body, line) {
				t.Fatalf("%q is split into %q", body, line)
			}
		}
		if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
			return // nobody would take it for an array
		}
		parts, problem := splitArray(bytes.Clone(body))
		var want []json.RawMessage
		err := json.Unmarshal(body, &want)
		if problem == nil && err != nil {
			t.Fatalf("%q is taken: %v", body, err)
		}
		if problem != nil {
			return
		}
		for i, part := range parts {
			if i >= len(want) || !bytes.Equal(bytes.TrimSpace(part), want[i]) {
				t.Fatalf("part %d of %q is %q", i, body, part)
			}
		}
	})
}

// No path makes the router fail, and a session that it finds can be written back.
func FuzzRoute(f *testing.F) {
	for _, seed := range []string{
		"/", "/ws", "/health", "/api/events", "/api/events/a%2Fb", "/api/events/poll/%", "/api/events/stream/ü", "/api/events/a//b",
		"/api/events/recent", "/api/events/{x}/recent", "/api/sessions/x/input", "/api/commands/x/ack", "/api/records/windows/a%2Fb/follow", "/api/records/%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		rt, ok := matchRoute(path)
		if !ok || rt.badEscape || rt.session == "" || rt.kind != routeRead {
			return
		}
		again, ok := matchRoute("/api/events/" + url.PathEscape(rt.session))
		if !ok || again.session != rt.session || again.kind != routeRead {
			t.Fatalf("%q leads to %+v, and the session back to %+v", path, rt, again)
		}
	})
}

// No query makes the parsers fail; what they take is within its bounds.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "since=v1.0.0-0&limit=5", "limit=0", "limit=99999999999999999999", "wait=30s", "wait=-1", "wait=1e9", "types=a:b,c:*", "types=,",
		"session=a&session=b&since[a]=v1.0.0-0", "session=a&since[b]=x", "since=%zz", "a;b", "seconds=1&seconds=2", "before=v1.0.0-0&since=2026-01-01T00:00:00Z",
	} {
		f.Add(seed, "")
		f.Add("session=a", seed)
	}
	f.Fuzz(func(t *testing.T, raw, resumed string) {
		for kind := routeRead; kind <= routeStream; kind++ {
			q, problem := route{kind: kind}.parameters(raw)
			if problem != nil {
				continue
			}
			wait, problem := q.wait()
			if problem == nil && (wait < 0 || wait > maxWait) {
				t.Fatalf("%q waits %v", raw, wait)
			}
			page, problem := q.page(pollTail)
			if problem == nil && (page.Limit < 1 || page.Limit > storage.MaxPage) {
				t.Fatalf("%q asks for %+v", raw, page)
			}
			if filter, problem := parseTypes(q.values["types"]); problem == nil && len(filter) > maxTypes {
				t.Fatalf("%q names %d types", raw, len(filter))
			}
		}
		m, problem := parseSeveral(raw, resumed)
		if problem == nil && (len(m.sessions) < 1 || len(m.sessions) > maxSeveral || len(m.since) != len(m.sessions)) {
			t.Fatalf("%q asks for %+v", raw, m)
		}
	})
}

// A filter lets through what its words say.
func FuzzTypes(f *testing.F) {
	f.Add("a:b", "a:b")
	f.Add("a:*,b:c", "a:x")
	f.Add("*", "x")
	f.Add("a:b*", "a:bc")
	f.Fuzz(func(t *testing.T, names, kind string) {
		filter, problem := parseTypes([]string{names})
		if problem != nil {
			return
		}
		namespace, _, _ := strings.Cut(kind, ":")
		exactly := slices.Contains(strings.Split(names, ","), kind)
		if exactly && !filter.takes(kind) {
			t.Fatalf("%q does not take %q", names, kind)
		}
		if filter.takes(kind) && !exactly && !strings.Contains(names, namespace+":") {
			t.Fatalf("%q takes %q", names, kind)
		}
	})
}

// Whatever comes over the wire, the reader answers messages within the limit or one
// error, and never more than was sent.
func FuzzFrames(f *testing.F) {
	frame := func(frames ...ws.Frame) []byte {
		var b bytes.Buffer
		for _, fr := range frames {
			ws.MustWriteFrame(&b, fr)
		}
		return b.Bytes()
	}
	f.Add(frame(masked(ws.OpText, true, ping)), false)
	f.Add(frame(split(ping, ws.OpText, ws.OpContinuation)...), false)
	f.Add(frame(masked(ws.OpPing, true, "x"), masked(ws.OpClose, true, "\x03\xe8bye")), true)
	compressed, _ := wsflate.CompressFrame(ws.NewTextFrame([]byte(strings.Repeat(ping, 20))))
	f.Add(frame(ws.MaskFrame(compressed)), true)
	f.Add([]byte{0x81, 0xff, 0x80}, true)
	f.Fuzz(func(t *testing.T, sent []byte, deflate bool) {
		const limit = 1 << 16
		r := frameReader{src: bytes.NewReader(sent), deflate: deflate, control: func(byte, []byte) error { return nil }}
		for range len(sent) + 1 {
			message, err := r.next(limit)
			if err != nil {
				if closing, ok := errors.AsType[*closeError](err); ok && closing.code != closeNone && (closing.code < 1000 || closing.code > 4999) {
					t.Fatalf("closed with %d", closing.code)
				}
				return
			}
			if len(message) > limit || !deflate && len(message) > len(sent) {
				t.Fatalf("%d bytes of message in %d sent", len(message), len(sent))
			}
		}
		t.Fatal("there is no end to it")
	})
}

// What is deflated for clients is what was to be said.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte(strings.Repeat("again ", 100)))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, text []byte) {
		frame := deflated(text)
		if frame == nil {
			return
		}
		got, err := ws.ReadFrame(bytes.NewReader(frame))
		if err != nil {
			t.Fatal(err)
		}
		back, err := inflate(got.Payload, int64(len(text)))
		if err != nil || !bytes.Equal(back, text) {
			t.Fatalf("%q came back as %q: %v", text, back, err)
		}
		if _, err := inflate(got.Payload, int64(len(text))-1); err == nil {
			t.Fatal("more than the limit is taken")
		}
	})
}

// What other hubs tell, or somebody else on their channel, makes nothing fail.
func FuzzPeerMessage(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", `{"type":"command","sessionId":"s","payload":{}}`, `{"type":"command","sessionId":"s","payload":1}`,
		`{"type":"input","sessionId":"s"}`, `{"type":"owner","sessionId":""}`, `{"type":5}`,
	} {
		f.Add([]byte(seed))
	}
	h := newTestHub(f, newMemory(f))
	f.Fuzz(func(_ *testing.T, data []byte) { h.told(storage.Message{Data: data}) })
}

// Content types, bodies and methods of a post are answered, whatever they are.
func FuzzPost(f *testing.F) {
	f.Add("application/json", "", `{"type":"a:b","sessionId":"s"}`)
	f.Add("application/x-ndjson", "gzip", "{}\n{}")
	f.Add("application/json; charset=latin1", "identity", "[{}]")
	f.Add("a/b; c", "", "")
	h := newTestHub(f, newMemory(f))
	site := &Site{Hub: h, Access: Access{AnonymousRead: true, AnonymousWrite: true, Configured: true}}
	if err := site.Provision(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind, encoding, body string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/events", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {kind}, "Content-Encoding": {encoding}}
		w := httptest.NewRecorder()
		if !site.ServeHTTP(w, r) || !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

// Whatever a stream is to resume from, it is a cursor or a clear refusal.
func FuzzStreamStart(f *testing.F) {
	f.Add("v1.0.0-0", "")
	f.Add(time.Now().Format(time.RFC3339), "since=x")
	f.Fuzz(func(t *testing.T, last, raw string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.RawQuery = raw
		r.Header["Last-Event-Id"] = []string{last}
		if _, problem := streamStart(r); problem != nil && (problem.Error == "" || problem.Field == "") {
			t.Fatalf("%q, %q: %+v", last, raw, problem)
		}
	})
}
