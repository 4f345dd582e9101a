package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// Event is one event of a session.
type Event struct {
	// Data is the event as JSON, as it was posted.
	Data json.RawMessage
	// Session, ID and Type stand in Data too.
	Session, ID, Type string
	// Cursor is what resumes behind this event, in Subscription.Since. It is empty where
	// the hub names none: of an answer to a poll only the last event has one. Who resumes
	// with an older one gets events again, under the same ID, and misses none.
	Cursor string
	// ReceivedAt is when the hub received it. Only WebSockets tell; otherwise zero.
	ReceivedAt time.Time
	// Pending: it waits for storage. Only WebSockets tell.
	Pending bool
}

// Status is how events come.
type Status string

// What a subscription can be.
const (
	Connecting   Status = "connecting"   // an attempt is under way
	Connected    Status = "connected"    // by WebSocket: the hub has said hello
	Streaming    Status = "streaming"    // by Server-Sent Events
	Polling      Status = "polling"      // by long polls, as far as these succeed
	Disconnected Status = "disconnected" // between two attempts
)

// Reset is why events of a session may be missing before the next one, or may have
// come in another life of it. Read the session's history again if you need it whole.
type Reset string

// Why there was a reset.
const (
	Gap   Reset = "gap"   // some are no longer kept, or cannot be read
	Epoch Reset = "epoch" // the hub's storage began anew
)

// Storage is the state of the hub's storage.
type Storage struct {
	// Degraded: some of it is away or slow. Events come all the same.
	Degraded bool `json:"degraded"`
	// Reasons are for people.
	Reasons []string `json:"reasons"`
	// Breakers are the circuit breakers in front of it.
	Breakers []Breaker `json:"breakers"`
	// Pending is how many events wait for storage.
	Pending int64 `json:"pending"`
}

// Breaker is the state of a circuit breaker: closed, open or half-open.
type Breaker struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// MaxSessions is how many sessions one subscription may follow.
const MaxSessions = 50

// Subscription says what to follow and whom to tell what else happens. The functions,
// each of which may be nil, are called by the goroutine that iterates, between events.
type Subscription struct {
	// Sessions are their ids, at least one and at most MaxSessions.
	Sessions []string
	// Since is from where on, by session: a cursor, or a time as RFC 3339 has it.
	Since map[string]string
	// From is a time for those that are not in Since. Zero: from now on, which is the
	// hub's first answer.
	From time.Time
	// Types leaves out events of other types; namespace:* stands for all of a namespace.
	// None: all types.
	Types []string

	// OnStatus is told how events come, at every change.
	OnStatus func(Status)
	// OnReset is told that there may be a hole.
	OnReset func(session string, why Reset)
	// OnStorage is told of changes of the hub's storage. By polls only Degraded is known.
	OnStorage func(Storage)
	// OnError is told what failed and is tried again.
	OnError func(error)
}

// Subscribe answers the events of some sessions, from where the subscription says on,
// each once, in each publisher's order; after a reset the last 5,000 ids of each session
// serve to drop what has come before. It ends only with the loop, with ctx, or when the
// hub refuses for good; the last two give their error: that of ctx, or an [*Error] that
// is permanent. Each loop over it begins anew, and when it ends no goroutine or
// connection is left. A loop that is slow is waited for: the hub ends a connection that is not read, and
// it is resumed where it was.
func (c *Client) Subscribe(ctx context.Context, s Subscription) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := s.check(); err != nil {
			yield(Event{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		f := newFollower(c, s)
		ended := make(chan error, 1)
		var running sync.WaitGroup
		defer f.http.CloseIdleConnections()
		defer running.Wait()
		defer cancel()
		running.Go(func() { ended <- f.run(ctx) })
		for {
			select {
			case n := <-f.out:
				if n.tell != nil {
					n.tell()
				} else if !yield(n.event, nil) {
					return
				}
			case err := <-ended:
				yield(Event{}, err)
				return
			}
		}
	}
}

func (s *Subscription) check() error {
	if n := len(s.Sessions); n == 0 || n > MaxSessions {
		return fmt.Errorf("subscribe to 1 to %d sessions, not %d", MaxSessions, n)
	}
	for i, id := range s.Sessions {
		if id == "" {
			return fmt.Errorf("subscribe: the id of session %d of %d is empty", i+1, len(s.Sessions))
		}
		if slices.Contains(s.Sessions[:i], id) {
			return fmt.Errorf("subscribe: session %q is given twice", id)
		}
	}
	for id := range s.Since {
		if !slices.Contains(s.Sessions, id) {
			return fmt.Errorf("subscribe: Since names session %q, which is not in Sessions", id)
		}
	}
	return nil
}

// newEvent reads what an event says of itself. Names of members are taken exactly, as
// the hub takes them; encoding/json is lenient about those of a struct.
func newEvent(data json.RawMessage) (Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return Event{}, fmt.Errorf("read an event: %w", err)
	}
	text := func(name string) (s string) {
		_ = json.Unmarshal(members[name], &s) // none: empty
		return s
	}
	e := Event{Data: data, Session: text("sessionId"), ID: text("id"), Type: text("type")}
	if e.ID == "" {
		e.ID = text("eventId")
	}
	return e, nil
}
