package events

// Client is a connection that follows a session.
type Client struct {
	ID   string // of a WebSocket, as its hello says; "" for a stream
	User string // authenticated by the site; "": nobody
	// Stream: by Server-Sent Events, not by WebSocket.
	Stream bool
}

// Clients answers the connections to this node that follow a session, in no
// order; nil: there are none. One is among them from its subscription on, also
// while that is not confirmed yet, until it ends the subscription or itself.
//
// Connections belong to a node and are no record: the session's topic, which they
// join and leave, is the only thing that knows them.
func (h *Hub) Clients(session string) []Client {
	t := h.topic(session)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var clients []Client
	for _, s := range t.subs {
		clients = append(clients, s.sink.client())
	}
	return clients
}

func (c *wsConn) client() Client { return Client{ID: c.id, User: c.identity().User} }

func (st *stream) client() Client { return Client{User: st.peer.User, Stream: true} }
