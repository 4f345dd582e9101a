package events

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

func TestAgreeToDeflate(t *testing.T) {
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for offer, want := range map[string]string{
		"": "", "permessage-deflate": agreed, "permessage-deflate; client_max_window_bits": agreed,
		"x-webkit-deflate-frame, permessage-deflate;client_no_context_takeover": agreed,
		"permessage-deflate; server_max_window_bits=10":                         "",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":     agreed,
		"permessage-deflate; unknown=1":                                         "",
		"permessage-deflate; unknown=1, permessage-deflate":                     agreed,
		"permessage-deflate; ; =":                                               "", "other": "",
	} {
		if got := agreeToDeflate(http.Header{"Sec-Websocket-Extensions": {offer}}); got != want {
			t.Errorf("%q is answered %q, want %q", offer, got, want)
		}
	}
}

// connectDeflated opens a WebSocket with compression and reads hello.
func connectDeflated(t *testing.T, target string) (c *wsClient, h *Hub) {
	t.Helper()
	h = newTestHub(t, newMemory(t), limits(Limits{MaxMessage: 10_000}))
	s := hubServer(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	d := ws.Dialer{Extensions: []httphead.Option{wsflate.DefaultParameters.Option()}}
	conn, early, handshake, err := d.Dial(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if agreed := len(handshake.Extensions) == 1; agreed != strings.HasSuffix(target, "compress") {
		t.Fatalf("extensions %v", handshake.Extensions)
	}
	if err := conn.SetDeadline(time.Now().Add(clientTimeout)); err != nil {
		t.Fatal(err)
	}
	c = &wsClient{t: t, conn: conn, r: conn}
	if early != nil {
		c.r = io.MultiReader(io.LimitReader(early, int64(early.Buffered())), conn)
	}
	c.want(`{"type":"subscription_confirmed"}`)
	return c, h
}

// Live events are compressed, and say what they say otherwise; a replay is not.
func TestDeflateEvents(t *testing.T) {
	c, h := connectDeflated(t, "/ws?compress")
	first := c.subscribe(testSession)["cursor"].(string)
	data := fmt.Sprintf(`{"type":"a:b","sessionId":%q,"x":%q}`, testSession, strings.Repeat("content ", 100))
	for id := range 3 { // each stands for itself
		if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: fmt.Sprint(id), Type: "a:b", Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
		f, err := ws.ReadFrame(c.r)
		if err != nil || !f.Header.Rsv1() || len(f.Payload) > len(data)/2 {
			t.Fatalf("%+v, %v: %d bytes for %d", f.Header, err, len(f.Payload), len(data))
		}
		if f, err = wsflate.DecompressFrame(f); err != nil {
			t.Fatal(err)
		}
		var m struct {
			Type    string
			Payload json.RawMessage
		}
		if err := json.Unmarshal(f.Payload, &m); err != nil || m.Type != "event" || string(m.Payload) != data {
			t.Fatalf("%v: %s", err, f.Payload)
		}
	}
	c.send(`{"type":"subscribe","sessionId":%q,"since":%q}`, testSession, first)
	c.want(`{"type":"subscription_confirmed"}`)
	for range 3 {
		c.want(`{"type":"event"}`) // fails for a compressed frame
	}
}

func TestDeflateMessages(t *testing.T) {
	compressed := func(message string) ws.Frame {
		f, err := wsflate.CompressFrame(ws.NewTextFrame([]byte(message)))
		if err != nil {
			t.Fatal(err)
		}
		return ws.MaskFrame(f)
	}
	rsv1 := func(f ws.Frame) ws.Frame { return withHeader(f, func(h *ws.Header) { h.Rsv = 4 }) }
	c, _ := connectDeflated(t, "/ws?compress")
	c.raw(compressed(padded(9_000)))
	c.want(`{"type":"pong"}`)
	c.send(ping) // plain messages remain allowed
	c.want(`{"type":"pong"}`)
	whole := compressed(padded(2_000))
	part := ws.MaskFrame(ws.NewFrame(text, false, ws.UnmaskFrame(whole).Payload[:5]))
	c.raw(rsv1(part), ws.MaskFrame(ws.NewFrame(cont, true, ws.UnmaskFrame(whole).Payload[5:])))
	c.want(`{"type":"pong"}`)
	for name, tt := range map[string]malformedCase{
		"too large":           {[]ws.Frame{compressed(padded(20_000))}, closeTooBig},
		"bomb":                {[]ws.Frame{compressed(strings.Repeat("x", 50_000_000))}, closeTooBig},
		"garbage":             {[]ws.Frame{rsv1(masked(text, true, "\xff\xff\xff"))}, closeNotUTF8},
		"not UTF-8":           {[]ws.Frame{compressed("\"\xff\"")}, closeNotUTF8},
		"compressed ping":     {[]ws.Frame{rsv1(masked(ws.OpPing, true, ""))}, closeProtocol},
		"compressed fragment": {[]ws.Frame{masked(text, false, "{"), rsv1(masked(cont, true, "}"))}, closeProtocol},
		"rsv2":                {[]ws.Frame{withHeader(masked(text, true, ping), func(h *ws.Header) { h.Rsv = 2 })}, closeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := connectDeflated(t, "/ws?compress")
			c.raw(tt.frames...)
			c.wantClose(tt.code)
		})
	}
}

// Without the option nobody gets what he offers.
func TestDeflateIsOff(t *testing.T) {
	c, _ := connectDeflated(t, "/ws")
	c.send(ping)
	c.want(`{"type":"pong"}`)
}
