package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// Codes of error messages on a WebSocket.
const (
	codeBadJSON       = "bad_json"               // the message is not JSON
	codeBadMessage    = "bad_message"            // a member is missing or of the wrong kind
	codeUnknownType   = "unknown_type"           // the hub knows no such message
	codeBadSession    = "bad_session"            // sessionId is missing or not valid
	codeBadCursor     = "bad_cursor"             // since is neither a cursor nor a time
	codeTooManySubs   = "too_many_subscriptions" // the connection follows as many as it may
	codeForbidden     = "forbidden"              // the session is another user's, or the client may not write
	codeInputFull     = "input_full"             // as many inputs wait as may
	codeUnavailable   = "unavailable"            // storage cannot answer now
	maxQuotedType     = 40                       // bytes of an unknown type that are repeated
	protocolVersion   = 1
	confirmationType  = "subscription_confirmed"
	welcomeMessage    = "connected to the hub"
	subscribedMessage = "subscribed"
	unavailableText   = "storage is not available; try again in a moment"
)

type helloMessage struct {
	Type    string       `json:"type"`
	Payload helloPayload `json:"payload"`
}

type helloPayload struct {
	ClientID     string `json:"clientId"`
	Message      string `json:"message"`
	Protocol     int    `json:"protocol"`
	Degraded     bool   `json:"degraded"`
	LongPoll     bool   `json:"longPoll"`
	PingInterval int64  `json:"pingInterval"` // ms
	MaxMessage   int64  `json:"maxMessage"`   // bytes
}

type confirmationMessage struct {
	Type      string         `json:"type"`
	SessionID string         `json:"sessionId"`
	Cursor    string         `json:"cursor"`
	Recovered *bool          `json:"recovered,omitempty"`
	Gap       bool           `json:"gap,omitempty"`
	Degraded  bool           `json:"degraded,omitempty"`
	Payload   messagePayload `json:"payload"`
}

type messagePayload struct {
	Message string `json:"message"`
}

type errorMessage struct {
	Type      string        `json:"type"`
	Payload   string        `json:"payload"`
	Code      string        `json:"code"`
	SessionID string        `json:"sessionId,omitempty"`
	Details   *errorDetails `json:"details,omitempty"`
}

// errorDetails are for programs.
type errorDetails struct {
	Field string `json:"field,omitempty"` // the member that is wrong
	Limit int    `json:"limit,omitempty"` // the bound that was met
}

type pongMessage struct {
	Type     string `json:"type"`
	ClientID string `json:"clientId"`
}

// clientMessage is what a client sends; members of the wrong kind are an error.
type clientMessage struct {
	Type      *string         `json:"type"`
	SessionID *string         `json:"sessionId"`
	Since     *string         `json:"since"`
	Types     *[]string       `json:"types"`
	Payload   json.RawMessage `json:"payload"`
}

// send queues a message of the hub.
func (c *wsConn) send(message any) {
	b := make([]byte, maxHeader, frameOverhead)
	c.out.push(putHeader(appendJSON(b, message), 0))
}

func (c *wsConn) sendError(code, session, text string) {
	c.send(errorMessage{Type: "error", Payload: text, Code: code, SessionID: session})
}

// sendFieldError names the member that is wrong.
func (c *wsConn) sendFieldError(code, session, field, text string) {
	c.send(errorMessage{
		Type: "error", Payload: strings.TrimSpace(field + " " + text), Code: code, SessionID: session,
		Details: &errorDetails{Field: field},
	})
}

// sendLimitError tells the bound that was met.
func (c *wsConn) sendLimitError(code, session string, limit int, text string) {
	c.send(errorMessage{Type: "error", Payload: text, Code: code, SessionID: session, Details: &errorDetails{Limit: limit}})
}

// welcome makes the connection known and tells the client that it is; the handshake
// alone does not. That is the first message, and is sent only then, so that who has
// it misses nothing that goes to all.
func (c *wsConn) welcome() {
	degraded := c.hub.Degraded()
	hello := appendJSON(make([]byte, maxHeader, frameOverhead), helloMessage{confirmationType, helloPayload{
		ClientID: c.id, Message: welcomeMessage, Protocol: protocolVersion,
		Degraded: degraded, LongPoll: true,
		PingInterval: c.hub.times.pong.Milliseconds(), MaxMessage: c.hub.Limits().MaxMessage,
	}})
	c.out.hand(chunk{b: putHeader(hello, 0), frames: 1})
	c.hub.enroll(c)
	c.greet(degraded)
	c.out.kick()
}

// handle answers one message of the client.
func (c *wsConn) handle(message []byte) {
	var m clientMessage
	if err := json.Unmarshal(message, &m); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			c.wrongKind(wrong)
			return
		}
		c.sendError(codeBadJSON, "", "the message is not JSON: "+err.Error())
		return
	}
	switch {
	case m.Type == nil:
		c.sendFieldError(codeBadMessage, "", "type", "is missing")
	case *m.Type == "ping":
		c.send(pongMessage{"pong", c.id})
	case *m.Type == "subscribe":
		c.subscribe(m)
	case *m.Type == "input":
		c.input(m)
	case *m.Type == "unsubscribe":
		if session, ok := c.session(m); ok {
			c.unsubscribe(session)
		}
	default:
		name := strings.ToValidUTF8((*m.Type)[:min(len(*m.Type), maxQuotedType)], "")
		c.sendError(codeUnknownType, "", fmt.Sprintf("this hub knows no message of type %q", name))
	}
}

// wrongKind says what the message, or a member of it, must be.
func (c *wsConn) wrongKind(e *json.UnmarshalTypeError) {
	switch e.Field {
	case "":
		c.sendError(codeBadMessage, "", "the message must be a JSON object")
	case "types":
		c.sendFieldError(codeBadMessage, "", e.Field, `must be an array of strings, such as ["chain:*"]`)
	default:
		c.sendFieldError(codeBadMessage, "", e.Field, "must be a string")
	}
}

// session is the valid session id of a message; without one the client is told.
func (c *wsConn) session(m clientMessage) (session string, ok bool) {
	if m.SessionID == nil {
		c.sendFieldError(codeBadSession, "", "sessionId", "is missing")
		return "", false
	}
	if err := validSessionID(*m.SessionID); err != nil {
		c.sendFieldError(codeBadSession, "", "sessionId", err.Error())
		return "", false
	}
	return *m.SessionID, true
}

// subscribe follows a session. Doing so again with since starts from there;
// without, it only changes the types.
func (c *wsConn) subscribe(m clientMessage) {
	session, ok := c.session(m)
	if !ok {
		return
	}
	types, err := m.filter()
	if err != nil {
		c.sendFieldError(codeBadMessage, session, "types", err.Error())
		return
	}
	var since *storage.Cursor
	if m.Since != nil && *m.Since != "" {
		cursor, err := storage.ParseCursor(*m.Since)
		if err != nil {
			c.sendFieldError(codeBadCursor, session, "since", "is "+err.Error())
			return
		}
		since = &cursor
	}
	if c.allowed(session, useRead) {
		c.follow(session, since, types)
	}
}

// filter is what the message says of types; nil: all. Each is a name of its own.
func (m clientMessage) filter() (typeFilter, error) {
	if m.Types == nil {
		return nil, nil
	}
	if len(*m.Types) == 0 {
		return nil, errors.New("is empty; leave it out to get all events")
	}
	if i := slices.IndexFunc(*m.Types, func(name string) bool { return strings.Contains(name, ",") }); i >= 0 {
		return nil, fmt.Errorf("%.120q has a comma: make it several strings", (*m.Types)[i])
	}
	return newTypeFilter(*m.Types)
}

// allowed reports whether the client may use a session; otherwise he is told.
func (c *wsConn) allowed(session string, to use) bool {
	ctx, cancel := context.WithTimeout(c.context(), readTimeout)
	defer cancel()
	err := c.hub.authorize(ctx, c.granted(), session, to)
	switch {
	case err == nil:
		return true
	case errors.Is(err, errOtherUser), errors.Is(err, errReadOnly):
		c.sendError(codeForbidden, session, err.Error())
	default:
		c.sendError(codeUnavailable, session, unavailableText)
	}
	return false
}

// input puts what the client sends into the session's queue; nothing is answered
// when that went well.
func (c *wsConn) input(m clientMessage) {
	session, ok := c.session(m)
	if !ok {
		return
	}
	if m.Payload == nil {
		c.sendFieldError(codeBadMessage, session, "payload", "is missing")
		return
	}
	if !c.allowed(session, useAdd) {
		return
	}
	ctx, cancel := context.WithTimeout(c.context(), readTimeout)
	defer cancel()
	_, err := c.hub.pushInput(ctx, session, m.Payload)
	wrong, isWrong := errors.AsType[*storage.FieldError](err)
	switch {
	case err == nil:
	case isWrong:
		c.sendFieldError(codeBadMessage, session, "payload", wrong.Problem)
	case errors.Is(err, storage.ErrFull):
		c.sendLimitError(codeInputFull, session, storage.MaxInputs, fmt.Sprintf("%d inputs wait in this session, which is as many as may", storage.MaxInputs))
	default:
		c.sendError(codeUnavailable, session, unavailableText)
	}
}

// expelled implements granted.
func (c *wsConn) expelled(session string) {
	if c.unsubscribe(session) {
		c.sendError(codeForbidden, session, errOtherUser.Error())
	}
}

func (c *wsConn) follow(session string, since *storage.Cursor, types typeFilter) {
	c.mu.Lock()
	old := c.subs[session]
	limit := c.hub.Limits().MaxSubscriptions
	full := old == nil && len(c.subs) >= limit
	c.mu.Unlock() // nobody else adds: this is the connection's only reader
	switch {
	case full:
		c.hub.meet(LimitSubscriptions)
		c.sendLimitError(codeTooManySubs, session, limit, fmt.Sprintf("a connection follows at most %d sessions, as max_subscriptions says", limit))
		return
	case old != nil && since == nil:
		old.confirmAgain(types)
		return
	case old != nil:
		c.unsubscribe(session)
	}
	if c.replays == nil {
		c.replays = make(chan struct{}, 1)
	}
	s := &subscriber{sink: c, out: &c.out, via: viaWebSocket, enc: c.enc, since: since, types: types, replays: c.replays}
	c.mu.Lock()
	if c.subs == nil {
		c.subs = make(map[string]*subscriber)
	}
	if since == nil {
		s.told = c.hub.broadcasts.recent.between(session, c.born, c.visited, c.granted().All)
	}
	c.subs[session] = s
	created := c.hub.register(c.context(), session, s)
	c.mu.Unlock()
	if !c.hub.follows(c.granted(), session) {
		c.expelled(session)
	}
	c.hub.begin(s, created)
}

// confirm implements sink.
func (c *wsConn) confirm(s *subscriber, f confirmation) {
	m := confirmationMessage{
		Type: confirmationType, SessionID: s.topic.session, Cursor: f.cursor.String(),
		Payload: messagePayload{subscribedMessage},
	}
	if f.resumed {
		recovered := !f.gap
		m.Recovered, m.Gap, m.Degraded = &recovered, f.gap, f.degraded
	}
	c.send(m)
}

// failed implements sink.
func (c *wsConn) failed(s *subscriber, _ error) {
	c.mu.Lock()
	current := c.subs[s.topic.session] == s
	if current {
		delete(c.subs, s.topic.session)
	}
	c.mu.Unlock()
	c.hub.leave(s)
	if current {
		c.sendError(codeUnavailable, s.topic.session, "storage is not available; subscribe again in a moment")
	}
}

// unsubscribe stops following a session, and reports whether it was followed;
// nothing is answered.
func (c *wsConn) unsubscribe(session string) bool {
	c.mu.Lock()
	s := c.subs[session]
	delete(c.subs, session)
	c.mu.Unlock()
	if s != nil {
		c.hub.leave(s)
	}
	return s != nil
}

func (c *wsConn) unsubscribeAll() {
	c.mu.Lock()
	subs := c.subs
	c.subs = nil
	c.mu.Unlock()
	for _, s := range subs {
		c.hub.leave(s)
	}
}
