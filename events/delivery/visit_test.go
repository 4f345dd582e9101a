package delivery

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gobwas/ws"
)

// transport is a way to be given events.
type transport int

const (
	webSocket transport = iota
	stream
	poll
	longPoll
	transports
)

func (w transport) String() string {
	return [...]string{"WebSocket", "stream", "poll", "long poll"}[w]
}

// sight is something that a client was shown.
type sight struct {
	id       string // of an event; "": none
	cursor   string // where the client is now; "": unknown
	time     string // the same as a time; "": unknown
	pending  bool
	degraded bool
	again    bool // events may come again from here on: a gap, or another epoch
	epoch    bool // it was another epoch, and nothing is missing
}

// visit is one connection of a client.
type visit struct {
	node *node
	who  string // the client's address
	how  transport
	at   string // where it goes on; "": from now on
	// saw is told of everything; false drops the connection.
	saw func(sight) bool
}

var errDropped = errors.New("the client has dropped the connection")

// make connects and returns when the connection ends, or ctx: by then everything
// that the client has seen was told.
func (v visit) make(ctx context.Context) error {
	switch v.how {
	case webSocket:
		return v.webSocket(ctx)
	case stream:
		return v.stream(ctx)
	case longPoll:
		return v.poll(ctx, "30s")
	default:
		return v.poll(ctx, "")
	}
}

func (v visit) tell(s sight) error {
	if !v.saw(s) {
		return errDropped
	}
	return nil
}

// hubMessage is what a hub sends over a WebSocket.
type hubMessage struct {
	Type       string          `json:"type"`
	SessionID  string          `json:"sessionId"`
	Payload    json.RawMessage `json:"payload"`
	Cursor     string          `json:"cursor"`
	ReceivedAt string          `json:"receivedAt"`
	Pending    bool            `json:"pending"`
	Gap        bool            `json:"gap"`
	Degraded   bool            `json:"degraded"`
}

func (v visit) webSocket(ctx context.Context) error {
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP{clientHeader: {v.who}}}
	conn, early, _, err := dialer.Dial(ctx, "ws"+strings.TrimPrefix(v.node.url, "http")+"/ws")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	r := io.Reader(conn)
	if early != nil {
		r = io.MultiReader(io.LimitReader(early, int64(early.Buffered())), conn)
	}
	r = bufio.NewReader(r)
	for {
		f, err := ws.ReadFrame(r)
		if err != nil {
			return err
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			err = ws.WriteFrame(conn, ws.MaskFrame(ws.NewPongFrame(f.Payload)))
		case ws.OpClose:
			return fmt.Errorf("closed: %q", f.Payload)
		case ws.OpText:
			var m hubMessage
			if err = json.Unmarshal(f.Payload, &m); err == nil {
				err = v.message(conn, m)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (v visit) message(conn io.Writer, m hubMessage) error {
	switch {
	case m.Type == "subscription_confirmed" && m.SessionID == "":
		subscribe := map[string]string{"type": "subscribe", "sessionId": session}
		if v.at != "" {
			subscribe["since"] = v.at
		}
		b, err := json.Marshal(subscribe)
		if err != nil {
			return err
		}
		return ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame(b)))
	case m.Type == "subscription_confirmed", m.Type == "epoch":
		epoch := m.Type == "epoch" && !m.Gap
		return v.tell(sight{cursor: m.Cursor, again: m.Gap || epoch, epoch: epoch, degraded: m.Degraded})
	case m.Type == "event":
		return v.tell(sight{id: idOf(m.Payload), cursor: m.Cursor, time: m.ReceivedAt, pending: m.Pending})
	case m.Type == "error":
		return fmt.Errorf("error: %s", m.Payload)
	}
	return nil
}

func idOf(event []byte) string {
	var e struct{ ID string }
	if json.Unmarshal(event, &e) != nil || e.ID == "" {
		return fmt.Sprintf("not an event: %s", event)
	}
	return e.ID
}

// stream is an EventSource that knows of control events.
func (v visit) stream(ctx context.Context) error {
	target, header := "/api/events/stream/"+session, http.Header{clientHeader: {v.who}}
	if strings.HasPrefix(v.at, "v1.") {
		header.Set("Last-Event-ID", v.at)
	} else if v.at != "" {
		target += "?since=" + url.QueryEscape(v.at)
	}
	resp, err := v.node.get(ctx, target, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return fmt.Errorf("%d, %s", resp.StatusCode, kind)
	}
	source := newEventSource(resp.Body, "")
	source.empty = func() { v.saw(sight{cursor: source.lastEventID}) } // where it begins
	for {
		m, err := source.next()
		if err == nil {
			err = v.dispatched(m)
		}
		if err != nil {
			return err
		}
	}
}

func (v visit) dispatched(m message) error {
	switch m.event {
	case "message":
		return v.tell(sight{id: idOf([]byte(m.data)), cursor: m.lastEventID})
	case "lifeline.gap", "lifeline.epoch":
		return v.tell(sight{cursor: m.lastEventID, again: true, epoch: m.event == "lifeline.epoch"})
	}
	return nil
}

// poll asks once; wait says for how long the answer may take.
func (v visit) poll(ctx context.Context, wait string) error {
	q := url.Values{"limit": {strconv.Itoa(pollLimit)}}
	if v.at != "" {
		q.Set("since", v.at)
	}
	if wait != "" {
		q.Set("wait", wait)
	}
	resp, err := v.node.get(ctx, "/api/events/poll/"+session+"?"+q.Encode(), http.Header{clientHeader: {v.who}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s", resp.StatusCode, body)
	}
	var page struct {
		Events    []json.RawMessage
		Cursor    string
		Timestamp string
		Gap       bool
		Degraded  bool
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return fmt.Errorf("%s: %w", body, err)
	}
	// The answer is taken as a whole: a client does not break off in the middle.
	v.saw(sight{again: page.Gap, degraded: page.Degraded})
	for _, e := range page.Events {
		v.saw(sight{id: idOf(e)})
	}
	return v.tell(sight{cursor: page.Cursor, time: page.Timestamp})
}

// pollLimit is more than a long poll, which answers every 250 ms, finds new.
const pollLimit = 1000

func (n *node) get(ctx context.Context, target string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+target, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	return n.client.Do(req)
}
