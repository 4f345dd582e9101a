package events

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// masked is a frame as a client sends it.
func masked(op ws.OpCode, fin bool, payload string) ws.Frame {
	return ws.MaskFrame(ws.NewFrame(op, fin, []byte(payload)))
}

// withHeader changes a frame's header, whatever comes of it.
func withHeader(f ws.Frame, change func(*ws.Header)) ws.Frame {
	change(&f.Header)
	return f
}

// padded is a ping message of about size bytes.
func padded(size int) string {
	return `{"type":"ping","x":"` + strings.Repeat("x", size) + `"}`
}

func split(message string, ops ...ws.OpCode) []ws.Frame {
	frames := make([]ws.Frame, 0, len(ops))
	each := len(message) / len(ops)
	for i, op := range ops {
		part, last := message, i == len(ops)-1
		if !last {
			part, message = message[:each], message[each:]
		}
		frames = append(frames, masked(op, last, part))
	}
	return frames
}

const (
	text = ws.OpText
	cont = ws.OpContinuation
)

const ping = `{"type":"ping"}`

// What a message may be cut into, and what may come in between.
func TestWSFragments(t *testing.T) {
	c := connect(t, hubServer(t, newTestHub(t, newMemory(t))), "")
	tests := map[string][]ws.Frame{
		"whole":              {masked(text, true, ping)},
		"two":                split(ping, text, cont),
		"many":               split(ping, text, cont, cont, cont, cont, cont, cont),
		"empty first":        {masked(text, false, ""), masked(cont, true, ping)},
		"empty middle":       {masked(text, false, ping[:3]), masked(cont, false, ""), masked(cont, true, ping[3:])},
		"empty last":         {masked(text, false, ping), masked(cont, true, "")},
		"cut rune":           split(`{"type":"ping","x":"€€€€€€€€€€€€€"}`, text, cont, cont, cont, cont, cont, cont, cont, cont, cont),
		"medium length":      {masked(text, true, padded(125))},
		"16 bits":            {masked(text, true, padded(0xffff))},
		"large":              {masked(text, true, padded(500_000))},
		"large in fragments": split(padded(500_000), text, cont, cont),
		"pong in between":    {masked(text, false, ping[:3]), masked(ws.OpPong, true, "x"), masked(cont, true, ping[3:])},
		"unasked pong":       {masked(ws.OpPong, true, ""), masked(text, true, ping)},
	}
	for name, frames := range tests {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.raw(frames...)
			c.want(`{"type":"pong"}`)
		})
	}
	for _, payload := range []string{"", "x", strings.Repeat("x", 125), "\xff\xfe"} {
		c.raw(masked(text, false, ping[:3]), masked(ws.OpPing, true, payload))
		if f := c.frame(); f.Header.OpCode != ws.OpPong || string(f.Payload) != payload {
			t.Errorf("ping %q: %x %q", payload, f.Header.OpCode, f.Payload)
		}
		c.raw(masked(cont, true, ping[3:]))
		c.want(`{"type":"pong"}`)
	}
}

// Whatever breaks the protocol is answered with the code for it, and the
// connection ends.
func TestWSMalformed(t *testing.T) {
	h := newTestHub(t, newMemory(t), limits(Limits{MaxMessage: 1000}), func(_ *Config, i *intervals) {
		i.closing = 300 * time.Millisecond // how long the rest is read after an error
	})
	s := hubServer(t, h)
	rsv := func(bits byte) func(*ws.Header) { return func(h *ws.Header) { h.Rsv = bits } }
	closing := func(payload string) []ws.Frame { return []ws.Frame{masked(ws.OpClose, true, payload)} }
	code := func(n int) string { return string([]byte{byte(n >> 8), byte(n)}) }
	tests := map[string]malformedCase{
		"not masked":             {[]ws.Frame{ws.NewTextFrame([]byte(ping))}, closeProtocol},
		"ping not masked":        {[]ws.Frame{ws.NewPingFrame(nil)}, closeProtocol},
		"rsv1":                   {[]ws.Frame{withHeader(masked(text, true, ping), rsv(4))}, closeProtocol},
		"rsv2":                   {[]ws.Frame{withHeader(masked(text, true, ping), rsv(2))}, closeProtocol},
		"rsv3 on ping":           {[]ws.Frame{withHeader(masked(ws.OpPing, true, ""), rsv(1))}, closeProtocol},
		"fragmented ping":        {[]ws.Frame{masked(ws.OpPing, false, "")}, closeProtocol},
		"fragmented close":       {[]ws.Frame{masked(ws.OpClose, false, code(1000))}, closeProtocol},
		"long ping":              {[]ws.Frame{masked(ws.OpPing, true, strings.Repeat("x", 126))}, closeProtocol},
		"long close":             {closing(code(1000) + strings.Repeat("x", 124)), closeProtocol},
		"continuation first":     {[]ws.Frame{masked(cont, true, ping)}, closeProtocol},
		"text within a message":  {[]ws.Frame{masked(text, false, "{"), masked(text, true, ping)}, closeProtocol},
		"binary":                 {[]ws.Frame{masked(ws.OpBinary, true, ping)}, closeUnsupported},
		"empty binary":           {[]ws.Frame{masked(ws.OpBinary, true, "")}, closeUnsupported},
		"fragmented binary":      {[]ws.Frame{masked(ws.OpBinary, false, ping)}, closeUnsupported},
		"too big":                {[]ws.Frame{masked(text, true, padded(1000))}, closeTooBig},
		"too big in fragments":   {split(padded(1000), text, cont, cont), closeTooBig},
		"announced too big":      {[]ws.Frame{withHeader(masked(text, true, ""), func(h *ws.Header) { h.Length = 1 << 40 })}, closeTooBig},
		"not UTF-8":              {[]ws.Frame{masked(text, true, "{\"type\":\"\xff\"}")}, closeNotUTF8},
		"surrogate":              {[]ws.Frame{masked(text, true, "\xed\xa0\x80")}, closeNotUTF8},
		"overlong":               {[]ws.Frame{masked(text, true, "\xc0\xaf")}, closeNotUTF8},
		"cut rune at the end":    {split("{\"x\":\"\xe2\x82", text, cont), closeNotUTF8},
		"close with one byte":    {closing("x"), closeProtocol},
		"close reason not UTF-8": {closing(code(1000) + "\xff"), closeNotUTF8},
		"close":                  {closing(""), closeNone},
		"close with reason":      {closing(code(1000) + "bye"), 1000},
	}
	for op := 3; op <= 15; op++ {
		if op >= 8 && op <= 10 {
			continue
		}
		f := masked(ws.OpCode(op), true, "")
		tests[fmt.Sprint("opcode ", op)] = malformedCase{[]ws.Frame{f}, closeProtocol}
	}
	for _, n := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		tests[fmt.Sprint("close ", n)] = malformedCase{closing(code(n)), closeProtocol}
	}
	for _, n := range []int{1000, 1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999} {
		tests[fmt.Sprint("close ", n)] = malformedCase{closing(code(n)), n}
	}
	t.Run("cases", func(t *testing.T) { malformed(t, s, tests) })
	wantSockets(t, h, 0)
}

// malformedCase is what a client sends and how the hub closes it.
type malformedCase struct {
	frames []ws.Frame
	code   int
}

// malformed sends the frames of each case and reads how the hub ends it.
func malformed(t *testing.T, s *httptest.Server, tests map[string]malformedCase) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each takes as long as closing does
			c := connect(t, s, "")
			var b bytes.Buffer
			for _, f := range tt.frames {
				ws.MustWriteFrame(&b, f)
			}
			if _, err := c.conn.Write(b.Bytes()); err != nil {
				t.Fatal(err)
			}
			c.wantClose(tt.code)
			c.wantEnd()
		})
	}
}

// A length with its highest bit set is not a length.
func TestWSLengthMSB(t *testing.T) {
	c := connect(t, hubServer(t, newTestHub(t, newMemory(t))), "")
	frame := append([]byte{0x81, 0xff, 0x80}, make([]byte, 7+4)...)
	if _, err := c.conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	c.wantClose(closeProtocol)
}

// A connection that ends in the middle of anything leaves nothing behind.
func TestWSCut(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	var b bytes.Buffer
	ws.MustWriteFrame(&b, masked(text, true, padded(300)))
	for _, n := range []int{0, 1, 3, 7, 100, b.Len()} {
		c := connect(t, s, "")
		c.subscribe(testSession)
		if _, err := c.conn.Write(b.Bytes()[:n]); err != nil {
			t.Fatal(err)
		}
		_ = c.conn.Close()
	}
	wantSockets(t, h, 0)
	if h.topic(testSession) != nil {
		t.Error("a subscription outlived its connection")
	}
}

// A frame of any size has the header that it needs, and a close reason fits.
func TestWSFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 0xffff, 0x10000} {
		payload := bytes.Repeat([]byte("x"), size)
		spare := append(append([]byte("before"), make([]byte, maxHeader)...), payload...)
		for name, b := range map[string][]byte{"frameOf": frameOf(opText, payload), "putHeader": putHeader(spare, 6)[6:]} {
			f, err := ws.ReadFrame(bytes.NewReader(b))
			if err != nil || !f.Header.Fin || f.Header.OpCode != ws.OpText || !bytes.Equal(f.Payload, payload) || len(b) != ws.HeaderSize(f.Header)+size {
				t.Errorf("%s %d: %+v, %v", name, size, f.Header, err)
			}
		}
	}
	for _, reason := range []string{strings.Repeat("x", 123), strings.Repeat("x", 124), strings.Repeat("ü", 62), "x" + strings.Repeat("ü", 62), strings.Repeat("𝄞", 40)} {
		f, err := ws.ReadFrame(bytes.NewReader(closeFrame(4401, reason)))
		if err != nil {
			t.Fatal(err)
		}
		got := string(f.Payload[2:])
		if len(got) > 123 || len(got) < min(len(reason), 120) || !strings.HasPrefix(reason, got) || strings.ToValidUTF8(got, "?") != got {
			t.Errorf("%q became %q", reason, got)
		}
	}
}

// FuzzWSMessage: nothing that a client sends may do more than be answered.
func FuzzWSMessage(f *testing.F) {
	for _, seed := range []string{
		ping, `{"type":"subscribe","sessionId":"a"}`, `{"type":"unsubscribe","sessionId":"a"}`,
		`{"type":"subscribe","sessionId":"a","since":"v1.0.0-0"}`, `{"type":"subscribe","sessionId":"\ud800"}`,
		`{`, `null`, `[]`, `"x"`, `{"type":null}`, `{"type":"x","type":"ping"}`,
	} {
		f.Add([]byte(seed))
	}
	h := newTestHub(f, newMemory(f))
	f.Fuzz(func(t *testing.T, message []byte) {
		c := newWSConn(h, discard{}, nil, Grant{})
		c.handle(message)
		c.unsubscribeAll()
		c.cleanUp(nil)
	})
}
