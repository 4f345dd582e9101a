package delivery

import (
	"bufio"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// eventSource reads a stream of Server-Sent Events as the HTML standard has it
// (section 9.2.6, interpreting an event stream), and nothing more leniently.
type eventSource struct {
	r       *bufio.Reader
	started bool
	// lastEventID is what a browser would send as Last-Event-ID; it changes only at
	// the end of a block.
	lastEventID string
	retry       time.Duration // 0: none was sent
	empty       func()        // told of a block without a message; nil: nobody

	id, event string // buffers
	data      strings.Builder
}

// message is an event as a listener gets it.
type message struct{ event, data, lastEventID string }

func newEventSource(r io.Reader, lastEventID string) *eventSource {
	return &eventSource{r: bufio.NewReader(r), lastEventID: lastEventID, id: lastEventID}
}

// next answers the next message. An incomplete block at the end of the stream is no
// message.
func (s *eventSource) next() (message, error) {
	for {
		line, err := s.line()
		if err != nil {
			return message{}, err
		}
		if line != "" {
			s.field(line)
			continue
		}
		if m, ok := s.dispatch(); ok {
			return m, nil
		}
	}
}

// line reads up to CR LF, LF or CR.
func (s *eventSource) line() (string, error) {
	if !s.started {
		s.started = true
		if bom, err := s.r.Peek(3); err == nil && string(bom) == "\ufeff" {
			_, _ = s.r.Discard(3)
		}
	}
	var b strings.Builder
	for {
		c, err := s.r.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == '\n':
			return b.String(), nil
		case c == '\r':
			// Another byte must not be waited for: the line is complete.
			if s.r.Buffered() > 0 {
				if after, _ := s.r.Peek(1); after[0] == '\n' {
					_, _ = s.r.Discard(1)
				}
			}
			return b.String(), nil
		}
		b.WriteByte(c)
	}
}

func (s *eventSource) field(line string) {
	if line[0] == ':' {
		return
	}
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "event":
		s.event = value
	case "data":
		s.data.WriteString(value + "\n")
	case "id":
		if !strings.Contains(value, "\x00") {
			s.id = value
		}
	case "retry":
		if ms, err := strconv.ParseUint(value, 10, 32); err == nil && value[0] != '+' {
			s.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// dispatch ends a block; one without data is no message, though its id counts.
func (s *eventSource) dispatch() (message, bool) {
	s.lastEventID = s.id
	m := message{event: s.event, data: s.data.String(), lastEventID: s.lastEventID}
	s.event = ""
	s.data.Reset()
	if m.data == "" {
		if s.empty != nil {
			s.empty()
		}
		return message{}, false
	}
	m.data = strings.TrimSuffix(m.data, "\n")
	if m.event == "" {
		m.event = "message"
	}
	return m, true
}

func TestEventSource(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   []message
		lastID string
		retry  time.Duration
	}{
		"lines":          {stream: "data: YHOO\ndata: +2\ndata: 10\n\n", want: []message{{"message", "YHOO\n+2\n10", ""}}},
		"comment and id": {stream: ": test\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n", want: []message{{"message", "first", "1"}, {"message", "second", ""}, {"message", " third", ""}}},
		"empty data":     {stream: "data\n\n" + strings.Repeat("data\n", 2) + "\ndata:", want: []message{{"message", "", ""}, {"message", "\n", ""}}},
		"one space":      {stream: "data:test\n\ndata: test\n\n", want: []message{{"message", "test", ""}, {"message", "test", ""}}},
		"line ends":      {stream: "data: a\r\ndata: b\rdata: c\n\r\nid: 2\r\r", want: []message{{"message", "a\nb\nc", ""}}, lastID: "2"},
		"mark":           {stream: "\ufeffdata: a\n\n\ufeffdata: b\n\n", want: []message{{"message", "a", ""}}},
		"named":          {stream: "event: x\ndata: a\n\ndata: b\n\n", want: []message{{"x", "a", ""}, {"message", "b", ""}}},
		"incomplete":     {stream: "id: 1\ndata: a\n\nid: 2\ndata: b\n", want: []message{{"message", "a", "1"}}, lastID: "1"},
		"only an id":     {stream: "retry: 3000\nid: 1\n\n", lastID: "1", retry: 3 * time.Second},
		"bad fields":     {stream: "id: 1\n\nid: 2\x00\nretry: 1s\nretry: +1\nfoo: bar\nDATA: x\n\n", lastID: "1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newEventSource(strings.NewReader(tt.stream), "")
			var got []message
			for {
				m, err := s.next()
				if err != nil {
					break
				}
				got = append(got, m)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(tt.want) > 0 && tt.lastID == "" {
				tt.lastID = tt.want[len(tt.want)-1].lastEventID
			}
			if s.lastEventID != tt.lastID || s.retry != tt.retry {
				t.Errorf("last id %q, retry %v", s.lastEventID, s.retry)
			}
		})
	}
}
