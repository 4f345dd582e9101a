package lifeline_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// follower is somebody who reads a session in each way that lasts.
type follower struct {
	headers []string
	socket  *socket
	stream  *stream
	poll    chan answer // of a poll that waits
	input   chan answer // the same for input, where he may write; nil: he may not
}

// join lets somebody follow a session, of which each has one of his own.
func (s *server) join(session string, headers []string) *follower {
	s.t.Helper()
	f := &follower{headers: headers, poll: make(chan answer, 1), socket: s.dial(headersOf(headers))}
	f.socket.subscribe(s.t, session, "")
	f.stream = s.follow(session, nil, headers...)
	wait := func(path string) chan answer {
		answers := make(chan answer, 1)
		go func() {
			a, err := s.try(http.MethodGet, path+"wait=30s", "", headers...)
			if err != nil {
				a.raw = err.Error()
			}
			answers <- a
		}()
		return answers
	}
	f.poll = wait("/api/events/poll/" + session + "?")
	if a := s.get("/api/sessions/"+session+"/input", headers...); a.status == http.StatusOK {
		f.input = wait("/api/sessions/" + session + "/input?")
	}
	return f
}

// waiting answers how many requests a follower has under way.
func (f *follower) waiting() int {
	n := 3 // with metrics, that of the WebSocket lasts as long as it does
	if f.input != nil {
		n++
	}
	return n
}

// waitUntilWaiting waits until the server has all requests of the followers.
func (s *server) waitUntilWaiting(followers ...*follower) {
	s.t.Helper()
	want := 0
	for _, f := range followers {
		want += f.waiting()
	}
	s.waitUntil("the requests are there", func() bool {
		for _, line := range s.metric("caddy_http_requests_in_flight") {
			if strings.Contains(line, `handler="subroute"`) && strings.HasSuffix(line, " "+strconv.Itoa(want)) {
				return true
			}
		}
		return false
	})
}

// closed waits until a follower has been turned away in each way.
func (f *follower) closed(t *testing.T, code ws.StatusCode) {
	t.Helper()
	ended(t, "a WebSocket", f.socket.closed)
	ended(t, "a stream", f.stream.ended)
	if f.socket.code != code {
		t.Errorf("WebSocket closed with %d, want %d", f.socket.code, code)
	}
	for _, waiting := range []chan answer{f.poll, f.input} {
		if waiting == nil {
			continue
		}
		if a := <-waiting; a.status != int(code)-4000 || a.text("error") == "" || a.header.Get("Retry-After") != "" {
			t.Errorf("a request that waits: %v", a)
		}
	}
}

// stays sees that a follower gets what a service posts.
func (f *follower) stays(t *testing.T, s *server, session string, service []string) {
	t.Helper()
	if f.input != nil {
		if a := s.do(http.MethodPost, "/api/sessions/"+session+"/input", `"late"`, append(service, asJSON)...); a.status != http.StatusCreated {
			t.Fatalf("input: %v", a)
		}
		if a := <-f.input; !strings.Contains(a.raw, `"late"`) {
			t.Errorf("who waits for input: %v", a)
		}
	}
	if a := s.post(stepEvent(session, "late", 1), service...); a.status != http.StatusCreated {
		t.Fatalf("post: %v", a)
	}
	f.socket.waitFor(t, 1)
	f.stream.waitFor(t, 1)
	if a := <-f.poll; !strings.Contains(a.raw, `"late"`) {
		t.Errorf("who polls: %v", a)
	}
}

// TestReloadJudgesEverybodyAgain takes something away by a reload: who came by it is
// gone, by each way that lasts, and cannot come again; the others stay.
func TestReloadJudgesEverybodyAgain(t *testing.T) {
	const user = "user {http.request.header.Remote-User}"
	sites := func(options ...string) string {
		config := "{\nadmin ADMIN\nmetrics\nlifeline {\nstorage memory\n}\n}\n"
		for i, o := range options {
			host := []string{"http://localhost:PORT", "http://other.localhost:PORT"}[i]
			if o != "" {
				config += host + " {\nlifeline {\n" + o + "\n}\n}\n"
			}
		}
		return config
	}
	kept, old := []string{"Authorization: Bearer kept"}, []string{"Authorization: Bearer old"}
	page := "Origin: https://app.example"
	ann := []string{"Remote-User: ann"}
	for name, c := range map[string]struct {
		before, after string
		gone          map[ws.StatusCode][][]string
		stay          [][]string
	}{
		"key revoked": {
			sites("api_key old kept"), sites("api_key kept new"),
			map[ws.StatusCode][][]string{4401: {old}},
			[][]string{kept},
		},
		"key revoked, anonymous read": {
			sites("api_key old kept\nanonymous read"), sites("api_key kept\nanonymous read"),
			map[ws.StatusCode][][]string{4401: {old}},
			[][]string{kept, nil},
		},
		"anonymous removed": {
			sites("api_key kept\nanonymous read"), sites("api_key kept"),
			map[ws.StatusCode][][]string{4401: {nil}},
			[][]string{kept},
		},
		"origin removed": {
			sites("api_key kept\norigins https://app.example https://b.example"), sites("api_key kept\norigins https://b.example"),
			map[ws.StatusCode][][]string{4403: {append([]string{page}, kept...)}},
			[][]string{kept, append([]string{"Origin: https://b.example"}, kept...), append([]string{"Origin: http://localhost:PORT"}, kept...)},
		},
		"access line added": {
			sites("poll_rate 1000 1s"), sites("api_key kept"),
			map[ws.StatusCode][][]string{4401: {nil}},
			nil,
		},
		"user removed": {
			sites("api_key kept\n" + user), sites("api_key kept"),
			map[ws.StatusCode][][]string{4401: {ann}},
			[][]string{kept},
		},
		"user by another header": {
			sites("api_key kept\n" + user), sites("api_key kept\nuser {http.request.header.X-User}"),
			map[ws.StatusCode][][]string{4401: {ann}},
			[][]string{kept},
		},
		"users' option untouched": {
			sites("api_key kept\n" + user), sites("api_key kept new\norigins https://b.example\n" + user),
			nil,
			[][]string{ann, kept},
		},
		"site removed": {
			sites("api_key kept", "api_key old\nanonymous read"), sites("api_key kept", ""),
			map[ws.StatusCode][][]string{4401: {append([]string{"Host: other.localhost"}, old...), {"Host: other.localhost"}}},
			[][]string{kept},
		},
		"a page's own site removed": {
			sites("api_key kept", "api_key kept"), sites("api_key kept", ""),
			map[ws.StatusCode][][]string{4403: {append([]string{"Host: other.localhost:PORT", "Origin: http://other.localhost:PORT"}, kept...)}},
			[][]string{append([]string{"Host: other.localhost:PORT"}, kept...)},
		},
		"a local client's site removed": {
			sites("poll_rate 1000 1s", "poll_rate 1000 1s"), sites("poll_rate 1000 1s", ""),
			map[ws.StatusCode][][]string{4401: {{"Host: other.localhost:PORT"}}},
			[][]string{nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, c.before)
			// At a reload the server closes connections that nobody uses.
			s.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			gone, stay := map[ws.StatusCode][]*follower{}, []*follower{}
			for code, list := range c.gone {
				for _, headers := range list {
					gone[code] = append(gone[code], s.join("gone", atSite(s, headers)))
				}
			}
			for i, headers := range c.stay {
				stay = append(stay, s.join("stay"+string(rune('a'+i)), atSite(s, headers)))
			}
			s.waitUntilWaiting(append(flat(gone), stay...)...)
			if out, code := s.reload(c.after); code != 0 {
				t.Fatalf("reload: %s", out)
			}
			for code, list := range gone {
				for _, f := range list {
					f.closed(t, code)
					s.refusedAnew(t, code, f.headers)
				}
			}
			for i, f := range stay {
				f.stays(t, s, "stay"+string(rune('a'+i)), kept)
			}
		})
	}
}

// atSite puts the port in.
func atSite(s *server, headers []string) (expanded []string) {
	for _, h := range headers {
		expanded = append(expanded, strings.ReplaceAll(h, "PORT", s.port))
	}
	return expanded
}

func flat(lists map[ws.StatusCode][]*follower) (all []*follower) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// refusedAnew: who was turned away is not let in again.
func (s *server) refusedAnew(t *testing.T, code ws.StatusCode, headers []string) {
	t.Helper()
	if strings.Contains(strings.Join(headers, "\n"), "Host: ") {
		return // that site is gone
	}
	if a := s.get("/api/events/gone", headers...); a.status != int(code)-4000 {
		t.Errorf("comes again and is told %v", a)
	}
	if c, err := s.tryDial(headersOf(headers)); err == nil {
		ended(t, "a new WebSocket", c.closed)
		if c.code != code {
			t.Errorf("a new WebSocket: closed with %d", c.code)
		}
	} else if status, ok := errors.AsType[ws.StatusError](err); !ok || int(status) != int(code)-4000 {
		t.Errorf("a new WebSocket: %v", err)
	}
}

// TestLastSiteRemoved: the hub goes on without a site, and its clients cannot stay.
func TestLastSiteRemoved(t *testing.T) {
	hub := "{\nadmin ADMIN\nmetrics\nlifeline {\nstorage memory\n}\n}\n"
	s := start(t, hub+"http://localhost:PORT {\nlifeline\n}\n")
	f := s.join("s", nil)
	s.waitUntilWaiting(f)
	if out, code := s.reload(hub + "http://localhost:PORT {\nrespond gone\n}\n"); code != 0 {
		t.Fatalf("reload: %s", out)
	}
	f.closed(t, 4403)
}
