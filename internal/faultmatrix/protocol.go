package faultmatrix

import (
	"errors"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// What the test asks a node for, one JSON object a line.
type request struct {
	N    uint64 `json:"n"` // the reply bears the same
	Do   string `json:"do"`
	Name string `json:"name,omitempty"` // session, user or action
	ID   string `json:"id,omitempty"`
	Body string `json:"body,omitempty"`
	// Cursor is where a read starts, in either of its forms; Limit bounds it.
	Cursor string `json:"cursor,omitempty"`
	Limit  int    `json:"limit,omitempty"`
	// Form is how the reader remembers where it is, and Roams whether at any node.
	Form   form    `json:"-"`
	Roams  bool    `json:"-"`
	Number float64 `json:"number,omitempty"`
	// Batch are the events of one post of many; then ID and Body are not used.
	Batch []Item `json:"batch,omitempty"`
	// Wait is how long a request for input may be held.
	Wait time.Duration `json:"-"`
}

// Item is an event of a batch.
type Item struct {
	ID   string `json:"id"`
	Body string `json:"body"`
}

// waits reports whether the node may hold the request although nothing is wrong.
func (q request) waits() bool { return q.Roams || q.Wait > 0 }

// The requests.
const (
	DoPublish  = "publish"  // an event into a session, or a batch of them
	DoRead     = "read"     // a page of its events
	DoDelete   = "delete"   // the session
	DoWindow   = "window"   // write a session's window, Number in it
	DoWindowed = "windowed" // read it
	DoFollow   = "follow"
	DoUnfollow = "unfollow"
	DoCount    = "count" // an action
	DoPush     = "push"  // an input
	DoTake     = "take"
	DoCommand  = "command"  // queue one; ID is what it says
	DoCommands = "commands" // list them
	DoAck      = "ack"      // acknowledge the one of this ID
	DoStatus   = "status"
	DoDisk     = "disk" // do something to the journal's file, see disk_test.go
)

// reply is the node's answer.
type reply struct {
	N uint64 `json:"n"`
	// Addr is where the node listens, in its first reply.
	Addr  string `json:"addr,omitempty"`
	Error string `json:"error,omitempty"`
	// Later: it is an error for which one tries again.
	Later bool `json:"later,omitempty"`
	// Took is how long the node's storage took, µs.
	Took int64 `json:"took,omitempty"`

	Pending   bool `json:"pending,omitempty"`
	Volatile  bool `json:"volatile,omitempty"`
	Duplicate bool `json:"duplicate,omitempty"`
	// Received is the event's time in the log, µs, unless it is pending.
	Received int64 `json:"received,omitempty"`
	// Results are the answers to the events of a batch.
	Results []reply `json:"results,omitempty"`

	Entries   []event `json:"entries,omitempty"`
	Cursor    string  `json:"cursor,omitempty"`
	Timestamp string  `json:"timestamp,omitempty"`
	Epoch     string  `json:"epoch,omitempty"`
	Gap       bool    `json:"gap,omitempty"`
	HasMore   bool    `json:"hasMore,omitempty"`
	// Unmarked: the entries do not say which of them are pending.
	Unmarked bool `json:"unmarked,omitempty"`

	Items    []string  `json:"items,omitempty"`
	Commands []Command `json:"commands,omitempty"`
	Number   float64   `json:"number,omitempty"`
	// Confirms, of who stays connected: the page says that he is.
	Confirms bool `json:"-"`
	// Status, of who stays connected: he was told whether the node is degraded.
	Status *bool `json:"-"`
	visit  visit

	Degraded bool     `json:"degraded,omitempty"`
	Waiting  int      `json:"waiting,omitempty"`
	Reasons  []string `json:"reasons,omitempty"`
}

// Command is one that waits in a session.
type Command struct {
	ID   string `json:"id"`
	Says string `json:"says"`
}

// event is one entry of a page.
type event struct {
	ID      string `json:"id"`
	Link    string `json:"link,omitempty"`
	Pending bool   `json:"pending,omitempty"`
}

func (r *reply) fail(err error) {
	if err == nil {
		return
	}
	r.Error = err.Error()
	_, r.Later = errors.AsType[*storage.UnavailableError](err)
	// What is full is emptied by those who take.
	r.Later = r.Later || errors.Is(err, storage.ErrFull)
}

func (r *reply) took(since time.Time) { r.Took = time.Since(since).Microseconds() }

// nodeConfig is what a node process is started with, as JSON in the environment.
type nodeConfig struct {
	Name    string   `json:"name"`
	URL     string   `json:"url"`
	Cluster []string `json:"cluster,omitempty"`
	Dir     string   `json:"dir,omitempty"`
	// MaxBytes bounds its journal; 0 is the default.
	MaxBytes int64 `json:"maxBytes,omitempty"`
	// ProbeEvery is the time between two heartbeats, ms; 0 is the default.
	ProbeEvery int `json:"probeEvery,omitempty"`
	// Broken names what is broken on purpose, see controls_test.go.
	Broken string `json:"broken,omitempty"`
}

// Env holds the nodeConfig; with it the test binary is a node.
const Env = "LIFELINE_MATRIX_NODE"

// Request and Reply are for those who carry them over another way than the pipe.
type (
	Request = request
	Reply   = reply
	Event   = event
)
