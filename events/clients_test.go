package events

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
)

// The operations on clients: one is added when it subscribes, removed when it
// unsubscribes or goes away, and found by each session that it follows.
func TestClients(t *testing.T) {
	h := newTestHub(t, newMemory(t))
	s := hubServer(t, h)
	want := func(session string, clients ...Client) {
		t.Helper()
		order := func(a, b Client) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.ID, b.ID)) }
		slices.SortFunc(clients, order)
		eventually(t, fmt.Sprintf("the clients %v of %s", clients, session), func() bool {
			got := h.Clients(session)
			slices.SortFunc(got, order)
			return slices.Equal(got, clients)
		})
	}
	if got := h.Clients(testSession); got != nil {
		t.Fatalf("nobody follows, and yet %v", got)
	}
	anna, ben := connect(t, s, "?user=anna"), connect(t, s, "?user=ben")
	want(testSession) // a connection that follows nothing
	a, b, c := Client{ID: anna.id, User: "anna"}, Client{ID: ben.id, User: "ben"}, Client{User: "cleo", Stream: true}

	anna.subscribe(testSession)
	anna.subscribe(testSession) // once more is the same
	anna.subscribe("other")
	ben.subscribe(testSession)
	stream := openStream(t, s, "/"+testSession+"?user=cleo", nil)
	stream.wantStart()
	want(testSession, a, b, c)
	want("other", a)

	anna.send(`{"type":"unsubscribe","sessionId":%q}`, testSession)
	want(testSession, b, c)
	want("other", a)
	stream.cancel()
	want(testSession, b)
	_ = ben.conn.Close()
	want(testSession)
	h.Close()
	want("other")
}
