package events

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// Hubs on one storage tell each other what is no event, best effort. What is missed
// is found a little later: commands and input wait in storage, owners are looked up
// again.

// peerChannel is the channel they share.
const peerChannel = "hub"

// What hubs tell.
const (
	peerCommand = "command" // was posted, in Payload
	peerInput   = "input"   // waits to be taken
	peerOwner   = "owner"   // of a session may have changed
)

type peerMessage struct {
	Hub       string          `json:"hub"` // who tells
	Type      string          `json:"type"`
	SessionID string          `json:"sessionId"`
	Payload   json.RawMessage `json:"payload,omitempty"`
}

const (
	// maxTelling is how many messages are on their way; further ones are not sent.
	maxTelling  = 64
	tellTimeout = 2 * time.Second
)

// tell sends a message to the other hubs and does not wait for it.
func (h *Hub) tell(m peerMessage) {
	if h.telling.Add(1) > maxTelling {
		h.telling.Add(-1)
		return
	}
	m.Hub = h.id
	sent := h.tasks.run(func() {
		defer h.telling.Add(-1)
		ctx, cancel := context.WithTimeout(h.ctx, tellTimeout)
		defer cancel()
		if err := h.store().Publish(ctx, peerChannel, appendJSON(nil, m)); err != nil {
			h.log.Debug("other hubs were not told", zap.String("what", m.Type), zap.Error(err))
		}
	})
	if !sent {
		h.telling.Add(-1)
	}
}

// followPeers hears what other hubs tell.
func (h *Hub) followPeers() {
	h.keepFollowing(func(ctx context.Context) error {
		return h.store().Subscribe(ctx, peerChannel, h.told) //nolint:wrapcheck // it is only logged
	}, func(err error) {
		h.log.Debug("not told of commands to other hubs", zap.Error(err))
	})
}

func (h *Hub) told(message storage.Message) {
	var m peerMessage
	if message.Lost || json.Unmarshal(message.Data, &m) != nil || m.Hub == h.id {
		return
	}
	switch m.Type {
	case peerCommand:
		if json.Valid(m.Payload) {
			h.command(m.SessionID, m.Payload)
		}
	case peerInput:
		h.arrivals.tell(m.SessionID)
	case peerOwner:
		h.owners.forget(m.SessionID)
		h.tasks.run(func() { _ = h.recheckSession(m.SessionID) }) // or at the next round
	}
}
