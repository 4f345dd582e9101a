package delivery

import (
	"bufio"
	"cmp"
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

// sight is something that a client was shown of a session.
type sight struct {
	session  string
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
	interest

	node *node
	who  string // the client's address
	how  transport
	at   map[string]string // where it goes on in each session; none: from now on
	// resume is how a stream of several sessions is told.
	resume resumption
	limit  int // of a poll; 0: pollLimit
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
		return v.subscribe(conn)
	case m.Type == "subscription_confirmed", m.Type == "epoch":
		epoch := m.Type == "epoch" && !m.Gap
		return v.tell(sight{session: m.SessionID, cursor: m.Cursor, again: m.Gap || epoch, epoch: epoch, degraded: m.Degraded})
	case m.Type == "event":
		return v.tell(sight{session: m.SessionID, id: idOf(m.Payload), cursor: m.Cursor, time: m.ReceivedAt, pending: m.Pending})
	case m.Type == "cursor":
		return v.tell(sight{session: m.SessionID, cursor: m.Cursor})
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

// subscribe asks for all that it wants over a WebSocket.
func (v visit) subscribe(conn io.Writer) error {
	for _, session := range v.sessions {
		m := map[string]any{"type": "subscribe", "sessionId": session}
		if v.at[session] != "" {
			m["since"] = v.at[session]
		}
		if v.types != "" {
			m["types"] = strings.Split(v.types, ",")
		}
		b, err := json.Marshal(m)
		if err == nil {
			err = ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame(b)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// target is the path and query of a route for one session, or for several.
func (v visit) target(route string, q url.Values) string {
	if v.types != "" {
		q.Set("types", v.types)
	}
	if len(v.sessions) > 1 {
		q["session"] = v.sessions
		return route + "?" + q.Encode()
	}
	return route + "/" + url.PathEscape(v.sessions[0]) + "?" + q.Encode()
}

// since has a query say where each session goes on.
func (v visit) since(q url.Values) {
	for session, at := range v.at {
		if len(v.sessions) == 1 {
			q.Set("since", at)
		} else {
			q.Set("since["+session+"]", at)
		}
	}
}

// poll asks once; wait says for how long the answer may take.
func (v visit) poll(ctx context.Context, wait string) error {
	q := url.Values{"limit": {strconv.Itoa(cmp.Or(v.limit, pollLimit))}}
	v.since(q)
	if wait != "" {
		q.Set("wait", wait)
	}
	resp, err := v.node.get(ctx, v.target("/api/events/poll", q), http.Header{clientHeader: {v.who}})
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
	var one pollPage
	several := struct{ Sessions map[string]pollPage }{}
	if err := errors.Join(json.Unmarshal(body, &one), json.Unmarshal(body, &several)); err != nil {
		return fmt.Errorf("%s: %w", body, err)
	}
	if len(v.sessions) == 1 {
		several.Sessions = map[string]pollPage{one.SessionID: one}
	}
	if len(several.Sessions) != len(v.sessions) {
		return fmt.Errorf("an answer about %d sessions: %s", len(several.Sessions), body)
	}
	return v.pages(several.Sessions)
}

// pollPage is what a poll answers about a session.
type pollPage struct {
	SessionID string
	Events    []json.RawMessage
	Cursor    string
	Timestamp string
	Gap       bool
	Degraded  bool
}

// pages takes an answer as a whole: a client does not break off in the middle.
func (v visit) pages(pages map[string]pollPage) error {
	goOn := true
	for session, page := range pages {
		v.saw(sight{session: session, again: page.Gap, degraded: page.Degraded})
		for _, e := range page.Events {
			v.saw(sight{session: session, id: idOf(e)})
		}
		goOn = v.saw(sight{session: session, cursor: page.Cursor, time: page.Timestamp})
	}
	if !goOn {
		return errDropped
	}
	return nil
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
