package events

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

func text(fin bool, s string) ws.Frame { return ws.NewFrame(ws.OpText, fin, []byte(s)) }

func continuation(fin bool, s string) ws.Frame {
	return ws.NewFrame(ws.OpContinuation, fin, []byte(s))
}

func withRsv(f ws.Frame) ws.Frame {
	f.Header.Rsv = 4
	return f
}

func closing(code ws.StatusCode, reason string) ws.Frame {
	return ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason))
}

// What is no proper frame or message ends the connection with the code that RFC
// 6455 has for it.
func TestWSBadFrames(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(c *Config, _ *intervals) { c.Limits.MaxMessage = 1000 })
	s := hubServer(t, h)
	for name, c := range map[string]struct {
		frames []ws.Frame
		code   int
	}{
		"binary":                       {[]ws.Frame{ws.NewBinaryFrame([]byte("x"))}, closeUnsupported},
		"not UTF-8":                    {[]ws.Frame{text(true, "\xff")}, closeNotUTF8},
		"half a rune":                  {[]ws.Frame{text(true, "\xc3")}, closeNotUTF8},
		"a surrogate":                  {[]ws.Frame{text(true, "\xed\xa0\x80")}, closeNotUTF8},
		"too big":                      {[]ws.Frame{text(true, strings.Repeat("x", 1001))}, closeTooBig},
		"too big in pieces":            {[]ws.Frame{text(false, strings.Repeat("x", 600)), continuation(true, strings.Repeat("x", 600))}, closeTooBig},
		"reserved bit":                 {[]ws.Frame{withRsv(text(true, "{}"))}, closeProtocol},
		"reserved opcode":              {[]ws.Frame{ws.NewFrame(3, true, nil)}, closeProtocol},
		"reserved control opcode":      {[]ws.Frame{ws.NewFrame(0xb, true, nil)}, closeProtocol},
		"fragmented ping":              {[]ws.Frame{ws.NewFrame(ws.OpPing, false, nil)}, closeProtocol},
		"ping of 126 bytes":            {[]ws.Frame{ws.NewFrame(ws.OpPing, true, make([]byte, 126))}, closeProtocol},
		"continuation of nothing":      {[]ws.Frame{continuation(true, "x")}, closeProtocol},
		"a message within another":     {[]ws.Frame{text(false, "{"), text(true, "}")}, closeProtocol},
		"close without code":           {[]ws.Frame{ws.NewFrame(ws.OpClose, true, nil)}, closeNone},
		"close":                        {[]ws.Frame{closing(1000, "bye")}, 1000},
		"close with a code of its own": {[]ws.Frame{closing(4321, "")}, 4321},
		"close with half a code":       {[]ws.Frame{ws.NewFrame(ws.OpClose, true, []byte{3})}, closeProtocol},
		"close with a reserved code":   {[]ws.Frame{closing(1005, "")}, closeProtocol},
		"close with code 5000":         {[]ws.Frame{closing(5000, "")}, closeProtocol},
		"close with a bad reason":      {[]ws.Frame{closing(1000, "\xff")}, closeNotUTF8},
	} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, s, "")
			for _, f := range c.frames {
				client.raw(ws.MaskFrame(f))
			}
			client.wantClose(c.code)
			client.wantEnd()
		})
	}
	t.Run("unmasked", func(t *testing.T) {
		client := connect(t, s, "")
		client.raw(text(true, "{}"))
		client.wantClose(closeProtocol)
	})
	wantSockets(t, h, 0)
}

// A message may come in pieces, with control frames between them.
func TestWSFragments(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	c := connect(t, hubServer(t, h), "")
	message := `{"type":"subscribe","sessionId":"ü"}`
	cut := strings.Index(message, "ü") + 1 // within the rune
	c.raw(
		ws.MaskFrame(text(false, message[:5])),
		ws.MaskFrame(ws.NewPingFrame([]byte("are you there"))),
		ws.MaskFrame(continuation(false, message[5:cut])),
		ws.MaskFrame(continuation(false, "")),
		ws.MaskFrame(continuation(true, message[cut:])),
	)
	if f := c.frame(); f.Header.OpCode != ws.OpPong || string(f.Payload) != "are you there" {
		t.Errorf("got %x %q", f.Header.OpCode, f.Payload)
	}
	c.want(`{"type":"subscription_confirmed","sessionId":"ü"}`)
}

// Events of every size class of a frame arrive whole.
func TestWSFrameSizes(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(c *Config, _ *intervals) { c.Limits.MaxMessage = 1 << 20 })
	c := connect(t, hubServer(t, h), "")
	c.subscribe(testSession)
	for i, size := range []int{0, 1, 60, 100, 125, 126, 127, 1000, 65535, 65536, 900_000} {
		id := fmt.Sprint(i)
		data := appendJSON(nil, map[string]string{"id": id, "x": strings.Repeat("y", size)})
		if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: id, Type: "a:b", Data: data}); err != nil {
			t.Fatal(err)
		}
		if f := c.frame(); !bytes.Contains(f.Payload, data) {
			t.Errorf("an event of %d bytes: %.100q", len(data), f.Payload)
		}
	}
}

// The hub speaks to a silent client by pongs and pings, and drops one from whom
// nothing comes at all.
func TestWSKeepsAndDropsSilentClients(t *testing.T) {
	h := newTestHub(t, newMemory(t), func(_ *Config, i *intervals) {
		i.sweep, i.pong, i.idle = 5*time.Millisecond, 20*time.Millisecond, 0
		i.ping, i.dead = 30*time.Millisecond, 500*time.Millisecond
	})
	c := connect(t, hubServer(t, h), "")
	var pongs, pings int
	for pongs < 2 || pings < 2 {
		f, err := ws.ReadFrame(c.r)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case f.Header.OpCode == ws.OpPing:
			pings++
			c.raw(ws.MaskFrame(ws.NewPongFrame(f.Payload)))
		case string(f.Payload) == `{"type":"pong"}`:
			pongs++
		default:
			t.Errorf("got %x %s", f.Header.OpCode, f.Payload)
		}
	}
	wantSockets(t, h, 0) // it has fallen silent
}
