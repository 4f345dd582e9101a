package client

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxIDs are remembered of a session: five times the history that a hub keeps by
// default.
const maxIDs = 5000

// sessions are those of a subscription, whichever way their events come. One
// connection at a time delivers; another that is being opened reads positions.
type sessions struct {
	types []string
	ids   []string // in the order in which they were given

	mu sync.Mutex
	by map[string]*session
}

// session is up to where events have been handed out.
type session struct {
	cursor string // empty: nowhere yet
	seen   map[string]struct{}
	order  []string // of seen, the oldest at next once it is full
	next   int
}

func newSessions(s Subscription) *sessions {
	all := &sessions{types: s.Types, ids: s.Sessions, by: make(map[string]*session)}
	for _, id := range s.Sessions {
		one := &session{cursor: s.Since[id], seen: make(map[string]struct{})}
		if one.cursor == "" && !s.From.IsZero() {
			one.cursor = s.From.UTC().Format(time.RFC3339Nano)
		}
		all.by[id] = one
	}
	return all
}

// wanted reports whether an event is to be handed out: it is one of these sessions and
// types, and has not been.
func (all *sessions) wanted(e Event) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.by[e.Session]
	if s == nil || !matches(all.types, e.Type) {
		return false
	}
	_, seen := s.seen[e.ID]
	return !seen || e.ID == ""
}

func matches(types []string, t string) bool {
	namespace, _, _ := strings.Cut(t, ":")
	return len(types) == 0 || slices.Contains(types, t) || slices.Contains(types, namespace+":*")
}

// passed notes that an event was handed out.
func (all *sessions) passed(e Event) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.by[e.Session]
	if _, seen := s.seen[e.ID]; seen || e.ID == "" {
		return
	}
	s.seen[e.ID] = struct{}{}
	if len(s.order) < maxIDs {
		s.order = append(s.order, e.ID)
		return
	}
	delete(s.seen, s.order[s.next])
	s.order[s.next] = e.ID
	s.next = (s.next + 1) % maxIDs
}

// move goes on from a cursor; an empty one changes nothing.
func (all *sessions) move(id, cursor string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if s := all.by[id]; s != nil && cursor != "" {
		s.cursor = cursor
	}
}

func (all *sessions) cursor(id string) string {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.by[id].cursor
}

// fresh are those without a position.
func (all *sessions) fresh() []string {
	all.mu.Lock()
	defer all.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(all.ids), func(id string) bool { return all.by[id].cursor != "" })
}

// request is the path and query of a stream or poll of sessions: one by its own path,
// several by the shared one.
func (all *sessions) request(kind string, ids []string) (escaped string, query url.Values) {
	query = make(url.Values)
	escaped = "/api/events/" + kind
	if len(ids) == 1 {
		escaped += "/" + url.PathEscape(ids[0])
	}
	for _, id := range ids {
		since := "since"
		if len(ids) > 1 {
			query.Add("session", id)
			since = "since[" + id + "]"
		}
		if cursor := all.cursor(id); cursor != "" {
			query.Set(since, cursor)
		}
	}
	if len(all.types) > 0 {
		query.Set("types", strings.Join(all.types, ","))
	}
	return escaped, query
}
