package lifeline_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakTime is how long a soak goes on; 0: not at all.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("LIFELINE_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// crowd are very many WebSockets, of whom each counts its session's events.
type crowd struct {
	sessions int
	ready    sync.WaitGroup
	reading  sync.WaitGroup
	got      atomic.Int64
	wrong    atomic.Int64
	first    atomic.Pointer[string] // what was wrong first
}

func (c *crowd) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.first.CompareAndSwap(nil, &text)
	c.wrong.Add(1)
}

// join connects one member, who reads until his connection ends.
func (c *crowd) join(t *testing.T, s *server, member int) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", "localhost:"+s.port, patience)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: localhost:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.port)
	in := bufio.NewReaderSize(conn, 1024)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("member %d: %v, %+v", member, err, answer)
	}
	message := fmt.Sprintf(`{"type":"subscribe","sessionId":"s%d"}`, member%c.sessions)
	if _, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(message)), 0, 0, 0, 0}, message...)); err != nil {
		t.Fatal(err)
	}
	c.ready.Add(1)
	c.reading.Go(func() { c.read(conn, in, member) })
	return conn
}

// read counts events, whose numbers must be one more each.
func (c *crowd) read(conn net.Conn, in *bufio.Reader, member int) {
	next := 1
	for {
		op, payload, err := shortFrame(in)
		switch {
		case errors.Is(err, net.ErrClosed): // by the test
			return
		case err != nil:
			c.fail("member %d: %v", member, err)
			return
		case op == 9: // whoever answers no ping is taken for dead
			_, _ = conn.Write([]byte{0x8a, 0x80, 0, 0, 0, 0})
		case op == 8:
			c.fail("member %d is closed: %q", member, payload)
			return
		case bytes.Contains(payload, []byte(`"type":"subscription_confirmed"`)) && bytes.Contains(payload, []byte(`"cursor"`)):
			c.ready.Done()
		case bytes.HasPrefix(payload, []byte(`{"type":"event"`)):
			if n := numberIn(payload); n != next {
				c.fail("member %d got event %d instead of %d", member, n, next)
			}
			next++
			c.got.Add(1)
		}
	}
}

func numberIn(payload []byte) int {
	_, rest, _ := bytes.Cut(payload, []byte(`"n":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	n, _ := strconv.Atoi(string(digits))
	return n
}

// shortFrame reads a frame of the hub that is shorter than the reader's buffer.
func shortFrame(in *bufio.Reader) (op byte, payload []byte, err error) {
	var h [4]byte
	if _, err := io.ReadFull(in, h[:2]); err != nil {
		return 0, nil, err
	}
	size := int(h[1])
	if size == 126 {
		if _, err := io.ReadFull(in, h[2:]); err != nil {
			return 0, nil, err
		}
		size = int(h[2])<<8 | int(h[3])
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(in, payload)
	return h[0] & 0xf, payload, err
}

// numberedLines are one event for each of the sessions.
func numberedLines(sessions, n int) string {
	var b strings.Builder
	for i := range sessions {
		fmt.Fprintf(&b, `{"type":"soak:event","sessionId":"s%d","n":%d,"pad":"%s"}`+"\n", i, n, strings.Repeat("x", 100))
	}
	return b.String()
}

func (s *server) postLines(lines string) {
	s.t.Helper()
	answer, err := http.Post(s.url+"/api/events", "application/x-ndjson", strings.NewReader(lines))
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, _ = io.Copy(io.Discard, answer.Body); answer.StatusCode != http.StatusCreated {
		s.t.Fatalf("status %d", answer.StatusCode)
	}
}

// memory is the resident memory of the server, in bytes.
func (s *server) memory() int {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kB << 10
		}
	}
	s.t.Fatal("the system does not tell the memory")
	return 0
}

// Ten thousand connections get every event of their sessions once and in order.
func TestSoakConnections(t *testing.T) {
	duration := soakTime(t)
	if duration == 0 {
		return
	}
	const members, sessions = 10_000, 100
	s := start(t, site("\tlifeline {\n\t\tstorage memory\n\t}", ""))
	c := &crowd{sessions: sessions}
	conns := make([]net.Conn, members)
	for i := range conns {
		conns[i] = c.join(t, s, i)
	}
	c.ready.Wait()
	before := s.memory()
	rounds := 0
	for end := time.Now().Add(duration); time.Now().Before(end) && c.wrong.Load() == 0; {
		rounds++
		s.postLines(numberedLines(sessions, rounds))
		want := int64(rounds) * members
		s.waitUntil("everybody has the events", func() bool { return c.got.Load() == want || c.wrong.Load() > 0 })
	}
	t.Logf("%d events to %d connections, %d deliveries, %d KiB a connection, %d KiB at the end",
		rounds*sessions, members, c.got.Load(), before/members>>10, s.memory()/members>>10)
	for _, conn := range conns {
		_ = conn.Close()
	}
	c.reading.Wait()
	if first := c.first.Load(); first != nil {
		t.Errorf("%d wrong, the first: %s", c.wrong.Load(), *first)
	}
	s.waitUntil("all connections are gone", func() bool {
		return strings.Contains(s.get(s.admin+"/metrics").raw, `caddy_lifeline_connections{hub="default",transport="websocket"} 0`)
	})
}

// A million events leave the memory where it was.
func TestSoakMemory(t *testing.T) {
	if soakTime(t) == 0 {
		return
	}
	const members, sessions, events, tenth = 20, 10, 1_000_000, 100_000
	s := start(t, site("\tlifeline {\n\t\tstorage memory\n\t\thistory 100\n\t}", ""))
	c := &crowd{sessions: sessions}
	for i := range members {
		conn := c.join(t, s, i)
		defer conn.Close()
	}
	c.ready.Wait()
	settled := 0
	for n := 1; n <= events/sessions; n++ {
		s.postLines(numberedLines(sessions, n))
		switch posted := n * sessions; {
		case posted == 3*tenth: // until then the ids fill the window in which they are known again
			settled = s.memory()
		case posted > 3*tenth && posted%tenth == 0:
			if now := s.memory(); now > settled*3/2 { // the collector leaves some room, twice what is live at most
				t.Fatalf("%d MiB after %d events, %d MiB after %d", now>>20, posted, settled>>20, 3*tenth)
			}
		}
	}
	want := int64(members) * events / sessions
	s.waitUntil("everything is delivered", func() bool { return c.got.Load() == want || c.wrong.Load() > 0 })
	if first := c.first.Load(); first != nil {
		t.Errorf("%d wrong, the first: %s", c.wrong.Load(), *first)
	}
}
