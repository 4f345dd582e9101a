package events

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// Whose session it is says its record. A session with a user is for him, for API
// keys and for local clients; one without, also one that has no record, is for
// whoever is let in. [Hub.authorize] decides, for everything that a client may do
// with a session.

// Bounds of what a hub remembers of owners.
const (
	maxOwners = 10_000
	// ownerLife is how long an owner is believed without asking storage again, and
	// so how late a change is noticed that another node has made. While storage
	// cannot say, the last owner that it told goes on counting.
	ownerLife = 5 * time.Second
)

var (
	// errOtherUser: the session belongs to another user.
	errOtherUser = errors.New("this session belongs to another user")
	errReadOnly  = errors.New("this client may read, not write")
)

// owner is what the record of a session says.
type owner struct {
	user   string // "": nobody
	record bool   // there is one
}

// mayUse reports whether the session is one for the peer of a grant.
func (o owner) mayUse(g Grant) bool { return g.All || o.user == "" || o.user == g.Peer.User }

// owners remembers them, so that publishing does not read a record for each event.
type owners struct {
	mu      sync.Mutex // guards what follows
	known   map[string]knownOwner
	changes uint64 // how many this node has made: what was read before one may be outdated

	seed  maphash.Seed
	locks [64]chan struct{} // each holds one place
}

type knownOwner struct {
	owner
	at time.Time
}

func (o *owners) init() {
	o.known = make(map[string]knownOwner)
	o.seed = maphash.MakeSeed()
	for i := range o.locks {
		o.locks[i] = make(chan struct{}, 1)
	}
}

// lock waits for its turn with the record of a session: what is read, changed and
// written back on this node is in order. Between nodes the last writer wins.
func (o *owners) lock(ctx context.Context, session string) (unlock func(), err error) {
	place := o.locks[maphash.String(o.seed, session)%uint64(len(o.locks))]
	select {
	case place <- struct{}{}:
		return func() { <-place }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// recall answers what is known, and whether it is new enough to be believed.
func (o *owners) recall(session string, now time.Time) (known owner, found, fresh bool, changes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k, found := o.known[session]
	return k.owner, found, found && now.Sub(k.at) < ownerLife, o.changes
}

// read notes what a record said, unless this node has changed one meanwhile.
func (o *owners) read(session string, is owner, at time.Time, changes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changes == changes {
		o.note(session, is, at)
	}
}

// changed notes what this node has written.
func (o *owners) changed(session string, is owner, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changes++
	o.note(session, is, at)
}

// forget has the owner of a session looked up again.
func (o *owners) forget(session string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changes++
	delete(o.known, session)
}

// forgetAll has all owners looked up again.
func (o *owners) forgetAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changes++
	clear(o.known)
}

// note is called with mu held. When there is no room, what comes first in no
// particular order goes: it is read again when it is needed.
func (o *owners) note(session string, is owner, at time.Time) {
	if _, ok := o.known[session]; !ok && len(o.known) >= maxOwners {
		for other := range o.known {
			delete(o.known, other)
			break
		}
	}
	o.known[session] = knownOwner{is, at}
}

// owner answers whose a session is; an error says that it cannot be found out.
func (h *Hub) owner(ctx context.Context, session string) (owner, error) {
	known, found, fresh, changes := h.owners.recall(session, h.now())
	if fresh {
		return known, nil
	}
	at := h.now()
	user, err := h.store().SessionUser(ctx, session)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		user = ""
	case err != nil:
		if _, away := errors.AsType[*storage.UnavailableError](err); away && found {
			return known, nil
		}
		return owner{}, fmt.Errorf("find out whose session it is: %w", err)
	}
	is := owner{user: user, record: err == nil}
	h.owners.read(session, is, at, changes)
	return is, nil
}

// use is what a client wants to do with a session.
type use uint8

const (
	useRead  use = iota
	useWrite     // changes what is there
	// useAdd adds to the session: a user's first addition to one without a record
	// makes it his.
	useAdd
)

// authorize decides whether a grant extends to a session. The error is
// [errOtherUser], [errReadOnly], or why the owner cannot be found out.
func (h *Hub) authorize(ctx context.Context, g Grant, session string, to use) error {
	if to != useRead && !g.Write {
		return errReadOnly
	}
	if g.All {
		return nil
	}
	is, err := h.owner(ctx, session)
	switch {
	case err != nil:
		return err
	case !is.mayUse(g):
		return errOtherUser
	case to == useAdd && !is.record && g.Peer.User != "":
		return h.claim(ctx, g.Peer.User, session)
	}
	return nil
}

// claim writes the record of a session that has none, as that of a user. When two
// users come at the same moment, one of them is told that he is late; on two nodes
// the last one gets it.
func (h *Hub) claim(ctx context.Context, user, session string) error {
	unlock, err := h.owners.lock(ctx, session)
	if err != nil {
		return err
	}
	defer unlock()
	switch of, err := h.store().SessionUser(ctx, session); {
	case err == nil && of != "" && of != user:
		h.ownerChanged(session, owner{of, true})
		return errOtherUser
	case err == nil:
		h.ownerChanged(session, owner{of, true})
		return nil
	case !errors.Is(err, storage.ErrNotFound):
		return fmt.Errorf("find out whose session it is: %w", err)
	}
	_, err = h.setSession(ctx, storage.Session{ID: session, User: user})
	return err
}

// setSession writes a record; who may not follow the session any longer does not.
// It is called with the session's lock.
func (h *Hub) setSession(ctx context.Context, s storage.Session) (storage.Session, error) {
	s, err := h.store().SetSession(ctx, s)
	if err != nil {
		return s, fmt.Errorf("write session: %w", err)
	}
	h.ownerChanged(s.ID, owner{s.User, true})
	return s, nil
}

// ownerChanged notes what this node has written, and tells those whom it concerns
// if it is new.
func (h *Hub) ownerChanged(session string, is owner) {
	known, found, fresh, _ := h.owners.recall(session, h.now())
	h.owners.changed(session, is, h.now())
	h.expel(session, is)
	if !found || !fresh || known != is {
		h.tell(peerMessage{Type: peerOwner, SessionID: session})
	}
}

// follows reports whether a grant still extends to a session, by what is known
// without asking. Together with expel it leaves no moment at which a subscription
// outlives a change of owner: whoever registers first and then asks either sees the
// change or is found by expel.
func (h *Hub) follows(g Grant, session string) bool {
	if g.All {
		return true
	}
	is, found, _, _ := h.owners.recall(session, h.now())
	return !found || is.mayUse(g)
}

// granted is a sink that knows what its client may do.
type granted interface {
	sink
	granted() Grant
	// expelled ends the subscription: the session belongs to another user.
	expelled(session string)
}

// expel ends the subscriptions of those who may not follow a session any longer.
func (h *Hub) expel(session string, is owner) {
	for _, g := range h.limited(h.topic(session)) {
		if !is.mayUse(g.granted()) {
			g.expelled(session)
		}
	}
}

// limited answers those who follow a topic and may not see all sessions.
func (h *Hub) limited(t *topic) []granted {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []granted
	for _, s := range t.subs {
		if g, ok := s.sink.(granted); ok && !g.granted().All {
			found = append(found, g)
		}
	}
	return found
}

// recheck looks at the owners of the sessions of a shard that are followed by
// somebody who may not see all: another node may have changed one. It ends at the
// first owner that cannot be found out; the next round is not far.
func (h *Hub) recheck(sh *shard) {
	sh.mu.Lock()
	topics := make([]*topic, 0, len(sh.topics))
	for _, t := range sh.topics {
		topics = append(topics, t)
	}
	sh.mu.Unlock()
	for _, t := range topics {
		if h.recheckSession(t.session) != nil {
			return
		}
	}
}

func (h *Hub) recheckSession(session string) error {
	if len(h.limited(h.topic(session))) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(h.ctx, readTimeout)
	defer cancel()
	is, err := h.owner(ctx, session)
	if err == nil {
		h.expel(session, is)
	}
	return err
}

// store is the operations on records.
func (h *Hub) store() *storage.Store { return h.cfg.Backend.Records() }
