//go:build linux

package hub

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// caller speaks HTTP/1.1 over one connection, one request after the other, and makes
// no garbage: net/http would cost the generator more than the server.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

func newCaller(tb testing.TB, addr string) *caller {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &caller{conn: conn, in: bufio.NewReaderSize(conn, 32<<10)}
}

// call sends a request and gives the body of its answer, which is good until the next
// call. Another status than 2xx is an error.
func (c *caller) call(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 12 {
		return nil, fmt.Errorf("no answer: %q", line)
	}
	ok, status := line[9] == '2', string(line[9:12])
	length := -1
	for {
		line, err = c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("answer %s has no Content-Length", status)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	if _, err := io.ReadFull(c.in, c.body[:length]); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("status %s: %.200q", status, c.body[:length])
	}
	return c.body[:length], nil
}

// padding makes an event 300 bytes long, about.
var padding = strings.Repeat("x", 200)

func appendEvent(b []byte, session string, stream, number int) []byte {
	b = append(b, `{"type":"load:event","sessionId":"`...)
	b = append(b, session...)
	b = append(b, `","id":"`...)
	b = appendMark(b, stream, number, time.Now().UnixNano())
	b = append(b, `","pad":"`...)
	b = append(b, padding...)
	return append(b, `"}`...)
}

// publisher posts to its sessions in turn, numbered within each.
type publisher struct {
	*caller
	server        *server
	stream        int
	sessions      []string
	sent          []int // by session
	turn          int
	event, packet []byte
	acks          *delays
}

func newPublisher(tb testing.TB, s *server, stream int, sessions ...string) *publisher {
	return &publisher{caller: newCaller(tb, s.addr), server: s, stream: stream, sessions: sessions, sent: make([]int, len(sessions)), acks: new(delays)}
}

func (p *publisher) post() (answer []byte, err error) {
	i := p.turn % len(p.sessions)
	p.turn++
	p.event = appendEvent(p.event[:0], p.sessions[i], p.stream, p.sent[i]+1)
	p.packet = appendPost(p.packet[:0], p.server.addr, p.server.postPath(p.sessions[i]), p.event)
	begun := time.Now()
	if answer, err = p.call(p.packet); err != nil {
		return nil, err
	}
	p.acks.add(time.Since(begun))
	p.sent[i]++
	return answer, nil
}

func (p *publisher) posted() (n int) {
	for _, sent := range p.sent {
		n += sent
	}
	return n
}

// run posts until the time is over: every so often, whatever the answers take, as far
// as one connection can; or, with an interval of 0, when the last one is acknowledged.
func (p *publisher) run(until time.Time, every, offset time.Duration) error {
	for next := time.Now().Add(offset); ; next = next.Add(every) {
		if every > 0 {
			time.Sleep(time.Until(next))
		}
		if !time.Now().Before(until) {
			return nil
		}
		if _, err := p.post(); err != nil {
			return fmt.Errorf("event %d of publisher %d: %w", p.posted()+1, p.stream, err)
		}
	}
}

func appendPost(b []byte, host, path string, body []byte) []byte {
	b = append(b, "POST "...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}
