package lifeline_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// anew makes each request by a connection of its own: a reload closes idle ones, and
// one that has just taken a request is not told from an idle one.
func (s *server) anew() *server {
	other := *s
	other.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return &other
}

// load loads a Caddyfile by the admin endpoint, also an unchanged one.
func (s *server) load(caddyfile string) answer {
	s.t.Helper()
	defer s.settle()
	return s.anew().do(http.MethodPost, s.admin+"/load", s.expand(caddyfile), "Content-Type: text/caddyfile", "Cache-Control: must-revalidate")
}

// footprint is what a process takes.
type footprint struct {
	goroutines, descriptors int
	heap                    int // bytes, after a collection
}

func (s *server) footprint() (f footprint) {
	s.t.Helper()
	number := func(path, pattern string) int {
		m := regexp.MustCompile(pattern).FindStringSubmatch(s.get(s.admin + path).raw)
		if m == nil {
			s.t.Fatalf("%s has no %s", path, pattern)
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}
	f.heap = number("/debug/pprof/heap?gc=1&debug=1", `# HeapAlloc = (\d+)`)
	f.goroutines = number("/debug/pprof/goroutine?debug=1", `total (\d+)`)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	f.descriptors = len(fds)
	return f
}

// keepPolling follows a session by long polls from a cursor on, until stop is closed.
func (s *server) keepPolling(session, cursor string, stop <-chan struct{}) (l *readerLog, done <-chan struct{}) {
	l, ended := &readerLog{last: cursor}, make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			q := url.Values{"since": {l.last}, "limit": {"200"}, "wait": {"1s"}}
			a, err := s.try(http.MethodGet, "/api/events/poll/"+session+"?"+q.Encode(), "")
			if err != nil { // an idle connection of the old server
				continue
			}
			var page struct {
				Events []json.RawMessage
				Cursor string
			}
			if err := json.Unmarshal([]byte(a.raw), &page); err != nil || a.status != http.StatusOK {
				l.fail(fmt.Errorf("%v", a))
				return
			}
			for _, e := range page.Events {
				l.add(eventID(e), page.Cursor)
			}
			l.last = page.Cursor
		}
	}()
	return l, ended
}

// TestHundredReloads: with WebSockets over HTTP/1.1, 2 and 3, streams, long polls and
// publishers, 100 reloads, changed, unchanged and rejected in two ways, lose nothing and
// leave nothing behind.
func TestHundredReloads(t *testing.T) {
	config := func(hub, options string) string {
		return secureSite("lifeline {\n storage disk\n history 100000\n"+hub+"\n}", "poll_rate 1000 1s\n"+options)
	}
	s := startSecure(t, config("", ""))
	reload := func(i int) {
		t.Helper()
		kind := []string{"changed", "unchanged", "does not start", "is not provisioned"}[i%4]
		var text string
		switch i % 4 {
		case 0, 1:
			text = config(fmt.Sprint("max_replays ", 10+i/4), "")
		case 2:
			text = config("max_message 1KiB", "") + "http://other.localhost:PORT {\nbind 192.0.2.1\n}\n"
		case 3:
			text = config("max_message 1KiB\nwatch s /tmp\nwatch s /var", "")
		}
		if a := s.load(text); (a.status == http.StatusOK) != (i%4 < 2) {
			t.Fatalf("reload %d, %s: %v", i, kind, a)
		}
	}
	for i := range 8 {
		reload(i)
	}
	s.client.CloseIdleConnections()
	before := s.footprint()
	if a := s.anew().do(http.MethodPost, s.admin+"/lifeline/breakers/default/disk/hold", `{"state":"disabled","for":"1h"}`); a.status != http.StatusOK {
		t.Fatal(a)
	}

	const sessions = 2
	logs := make(map[string]*readerLog)
	var sockets []*socket
	stopPolls := make(chan struct{})
	var polls []<-chan struct{}
	var endStreams []func()
	publishers := make([]*publisher, sessions)
	for i := range sessions {
		session := fmt.Sprint("s", i)
		cursor := ""
		for version := 1; version <= 3; version++ {
			c := s.dialOver(version)
			cursor, _ = c.subscribe(t, session, "")["cursor"].(string)
			sockets = append(sockets, c)
			logs[fmt.Sprintf("%s/WebSocket over HTTP/%d", session, version)] = &c.readerLog
		}
		streams := map[string]*http.Client{"HTTP/1.1": {Transport: transportOf(1)}, "HTTP/2": {Transport: transportOf(2)}}
		for version, client := range streams {
			st, end := s.followBy(client, session, nil)
			endStreams = append(endStreams, end)
			logs[session+"/stream over "+version] = &st.readerLog
		}
		poll, done := s.keepPolling(session, cursor, stopPolls)
		logs[session+"/polls"], polls = poll, append(polls, done)
		publishers[i] = s.publish(session)
	}
	big := `{"type":"a:b","sessionId":"big","text":"` + strings.Repeat("x", 2000) + `"}`
	for i := range 100 {
		reload(i)
		if i%10 == 3 {
			publishers[0].moved(t)
			if !s.postAgain(big) {
				t.Error("the limit of a rejected configuration holds")
			}
		}
	}
	for i, p := range publishers {
		p.end()
		for name, l := range logs {
			if !strings.HasPrefix(name, fmt.Sprintf("s%d/", i)) {
				continue
			}
			if got := l.waitFor(t, len(p.ids)); !slices.Equal(got, p.ids) {
				t.Errorf("%s got %d events, want %d", name, len(got), len(p.ids))
			}
		}
	}
	for _, c := range sockets {
		c.send(t, `{"type":"ping"}`)
		c.frame(t, "pong")
	}
	if a := s.get(s.admin + "/lifeline/breakers/default"); !strings.Contains(a.raw, `"disabled"`) {
		t.Errorf("the breaker is not held any more: %v", a)
	}

	close(stopPolls)
	for _, done := range polls {
		<-done
	}
	var closing sync.WaitGroup
	for _, c := range sockets {
		closing.Go(func() { _ = c.conn.Close() })
	}
	closing.Wait()
	for _, end := range endStreams {
		end()
	}
	s.client.CloseIdleConnections()
	var now footprint
	s.waitUntil("nothing is left of the clients", func() bool {
		now = s.footprint()
		t.Logf("before %+v, now %+v", before, now)
		return now.goroutines <= before.goroutines+2 && now.descriptors <= before.descriptors+2 && now.heap <= before.heap+4<<20
	})
}

// TestExitOfEveryTransport: SIGTERM ends the process within 2 s, and every client learns
// of it, those of earlier configurations too.
func TestExitOfEveryTransport(t *testing.T) {
	s := startSecure(t, secureSite("lifeline {\n storage memory\n}", ""))
	var sockets []*socket
	var streams []*stream
	polls := make(chan error, 2)
	join := func() {
		for version := 1; version <= 3; version++ {
			c := s.dialOver(version)
			c.subscribe(t, "s", "")
			sockets = append(sockets, c)
		}
		for version := 1; version <= 2; version++ {
			st, _ := s.followBy(&http.Client{Transport: transportOf(version)}, "s", nil)
			streams = append(streams, st)
		}
		waiting := s.value(`caddy_lifeline_connections{hub="default",transport="poll"}`)
		session := fmt.Sprint("poll", waiting)
		go func() {
			_, err := s.try(http.MethodGet, "/api/events/poll/"+session+"?wait=30s", "")
			polls <- err
		}()
		s.waitUntil("a poll waits", func() bool {
			return s.value(`caddy_lifeline_connections{hub="default",transport="poll"}`) > waiting
		})
	}
	join()
	if a := s.load(secureSite("lifeline {\n storage memory\n max_replays 3\n}", "")); a.status != http.StatusOK {
		t.Fatal(a)
	}
	join()
	if took := s.terminate(); took > 2*time.Second {
		t.Errorf("the exit took %s", took)
	}
	for i, c := range sockets {
		ended(t, "a WebSocket", c.closed)
		if c.code != ws.StatusGoingAway {
			t.Errorf("WebSocket %d over HTTP/%d: closed with %d: %v", i, i%3+1, c.code, c.failed())
		}
	}
	for _, st := range streams {
		ended(t, "a stream", st.ended)
	}
	for range 2 {
		if err := <-polls; err != nil {
			t.Errorf("a poll: %v", err)
		}
	}
}
