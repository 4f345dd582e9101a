package events

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

type commandAccepted struct {
	Success   bool                   `json:"success"`
	SessionID string                 `json:"sessionId"`
	CommandID string                 `json:"commandId"`
	Command   storage.CommandPayload `json:"command"`
}

type commandList struct {
	SessionID string                   `json:"sessionId"`
	Count     int                      `json:"count"`
	Commands  []storage.CommandPayload `json:"commands"`
}

type acknowledgement struct {
	Success      bool   `json:"success"`
	CommandID    string `json:"commandId"`
	Acknowledged bool   `json:"acknowledged"`
}

// commandMessage is a command on a WebSocket.
type commandMessage struct {
	Type      string          `json:"type"`
	SessionID string          `json:"sessionId"`
	Payload   json.RawMessage `json:"payload"`
}

// commands serves /api/sessions/:id/commands, which is /api/commands/:id/commands
// too.
func (c *call) commands() (int, any, error) {
	session := c.route.session
	if c.r.Method != http.MethodPost {
		commands, err := c.store().ListCommands(c.ctx(), session)
		return http.StatusOK, commandList{session, len(commands), commands}, err
	}
	command, err := decodeBody[storage.Command](c, storage.MaxSmallRecord)
	if err != nil {
		return 0, nil, err
	}
	p := storage.CommandPayload{SessionID: session, Command: command, UserID: c.grant.Peer.User}
	if p, err = c.store().QueueCommand(c.ctx(), p); err != nil {
		return 0, nil, inBody(err)
	}
	payload := appendJSON(nil, p)
	c.hub.command(session, payload)
	c.hub.tell(peerMessage{Type: peerCommand, SessionID: session, Payload: payload})
	return http.StatusCreated, commandAccepted{true, session, p.CommandID, p}, nil
}

// inBody names a field as it stands in the body, where storage has the whole payload
// in mind.
func inBody(err error) error {
	wrong, ok := errors.AsType[*storage.FieldError](err)
	if !ok {
		return err
	}
	return &storage.FieldError{Field: strings.TrimPrefix(wrong.Field, "command."), Problem: wrong.Problem}
}

// acknowledge serves /api/commands/:commandId/ack. The body is the client's own
// affair.
func (c *call) acknowledge() (int, any, error) {
	id := c.route.id
	session, ok := storage.CommandSession(id)
	if !ok || validSessionID(session) != nil {
		return 0, nil, &storage.FieldError{Field: "commandId", Problem: "is not the id of a command"}
	}
	if err := c.hub.authorize(c.ctx(), c.grant, session, useWrite); err != nil {
		return 0, nil, err
	}
	waited, err := c.store().AcknowledgeCommand(c.ctx(), id)
	if err == nil && !waited {
		err = storage.ErrNotFound
	}
	return http.StatusOK, acknowledgement{true, id, true}, err
}

// command gives a command to those who follow a session by WebSocket at this node.
func (h *Hub) command(session string, payload json.RawMessage) {
	t := h.topic(session)
	if t == nil {
		return
	}
	b := make([]byte, maxHeader, maxHeader+len(payload)+frameOverhead)
	frame := putHeader(appendJSON(b, commandMessage{"command", session, payload}), 0)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.subs {
		if _, ok := s.sink.(*wsConn); ok {
			s.out.push(frame)
		}
	}
}
