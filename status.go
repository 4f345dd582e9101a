package lifeline

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/watcher"
)

// maxListed is how many sessions, and how many clients, a status lists.
const maxListed = 200

// statusBody is what a hub is doing, but for what the reader may do: see statusMay.
type statusBody struct {
	Hub       string  `json:"hub"`
	Timestamp string  `json:"timestamp"`
	Uptime    float64 `json:"uptime"` // of the hub, in seconds

	Status  string   `json:"status"` // live or degraded
	Reasons []string `json:"reasons"`

	Storage  statusStorage   `json:"storage"`
	History  statusHistory   `json:"history"`
	Breakers []statusBreaker `json:"breakers"`

	Sessions     []statusSession `json:"sessions"`
	SessionCount int             `json:"sessionCount"`
	Clients      []statusClient  `json:"clients"`
	ClientCount  int             `json:"clientCount"`
}

type statusStorage struct {
	Driver        string `json:"driver"`
	UsingFallback bool   `json:"usingFallback"`
	Pending       int    `json:"pending"`
	JournalBytes  int64  `json:"journalBytes"`
}

type statusBreaker struct {
	breaker.Stats
	LastError   string           `json:"lastError,omitempty"`
	Transitions []pastTransition `json:"transitions"`
}

type statusSession struct {
	SessionID string           `json:"sessionId"`
	Clients   int              `json:"clients"`
	LastEvent *statusLastEvent `json:"lastEvent,omitempty"`
	Watcher   *watcher.Status  `json:"watcher,omitempty"`
}

type statusLastEvent struct {
	Type string    `json:"type"`
	At   time.Time `json:"at"`
}

type statusClient struct {
	ID        string    `json:"id,omitempty"`
	Transport string    `json:"transport"`
	User      string    `json:"user,omitempty"`
	IP        string    `json:"ip,omitempty"` // on the admin endpoint only
	Since     time.Time `json:"since"`
	Sessions  int       `json:"sessions"`
	Queued    int64     `json:"queued"` // bytes
}

// statusMay says what the reader may do.
type statusMay struct {
	Operate bool   `json:"operate"` // on the breakers
	User    string `json:"user,omitempty"`
}

// with is a body with what its reader may do as its last member.
func (m statusMay) with(body []byte) []byte {
	may, err := json.Marshal(m)
	if err != nil {
		panic(err) // its types always encode
	}
	b := make([]byte, 0, len(body)+len(may)+len(`,"may":`))
	b = append(append(b, body[:len(body)-1]...), `,"may":`...)
	return append(append(b, may...), '}')
}

// statusFor says for whom a status is.
type statusFor int

const (
	forSite  statusFor = iota // without absolute paths and addresses
	forAdmin                  // the admin endpoint
	audiences
)

// encode answers the status with that history as JSON.
func (s *statusFeed) encode(h statusHistory, to statusFor) []byte {
	rt := s.rt
	opened := rt.opened()
	st := rt.status()
	body := statusBody{
		Hub: rt.name, Timestamp: time.Now().UTC().Format(time.RFC3339Nano), Uptime: time.Since(s.since).Seconds(),
		Status: "live", Reasons: append([]string{}, st.Reasons...),
		Storage: statusStorage{opened.by.info.Driver, opened.storage.UsingFallback(), st.Pending, st.JournalBytes},
		History: h, Breakers: []statusBreaker{},
	}
	if st.Degraded {
		body.Status = "degraded"
	}
	for _, stats := range opened.storage.CircuitBreakerStats() {
		transitions, lastError := rt.telemetry.past(stats.Name)
		body.Breakers = append(body.Breakers, statusBreaker{stats, lastError, transitions})
	}
	body.Sessions, body.SessionCount = s.sessions(to)
	body.Clients, body.ClientCount = s.clients(to)
	b, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("encode the status of hub %s: %v", rt.name, err)) // its types always encode
	}
	return b
}

func (s *statusFeed) sessions(to statusFor) ([]statusSession, int) {
	states := s.rt.watchers.states(to == forAdmin)
	watched := make([]string, 0, len(states))
	for session := range states {
		watched = append(watched, session)
	}
	active, count := s.hub.ActiveSessions(maxListed, watched)
	list := make([]statusSession, len(active))
	for i, a := range active {
		list[i] = statusSession{SessionID: a.ID, Clients: a.Clients}
		if a.Latest != nil {
			list[i].LastEvent = &statusLastEvent{a.Latest.Type, a.Latest.At.UTC()}
		}
		if state, ok := states[a.ID]; ok {
			list[i].Watcher = &state
		}
	}
	return list, count
}

func (s *statusFeed) clients(to statusFor) ([]statusClient, int) {
	connected, count := s.hub.Connections(maxListed)
	list := make([]statusClient, len(connected))
	for i, c := range connected {
		list[i] = statusClient{
			ID: c.ID, Transport: c.Transport, User: c.User,
			Since: c.Since.UTC(), Sessions: c.Sessions, Queued: c.Queued,
		}
		if to == forAdmin && c.IP.IsValid() {
			list[i].IP = c.IP.String()
		}
	}
	return list, count
}

// states answers the state of every watcher by session, for operators or for the
// readers of a site, who are not to know where it is.
func (ws *watchers) states(operator bool) map[string]watcher.Status {
	states := make(map[string]watcher.Status)
	for _, w := range ws.list() {
		st := w.shown()
		if operator {
			st = w.status()
		}
		states[w.settings.Session] = st
	}
	return states
}
