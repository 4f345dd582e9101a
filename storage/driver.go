package storage

import (
	"context"
	"slices"
	"time"
)

// Driver is the narrow waist under every operation: what a backend must be able
// to do, and nothing else. All methods are safe for concurrent use, return
// promptly once ctx is done, and answer [ErrClosed] after Close.
type Driver interface {
	// Apply carries out ops and answers one Result for each. Operations on the
	// same log, queue or collection are carried out in order; between others
	// there is none. It is idempotent: applying the same operations again changes
	// nothing and answers the first outcome (an Add or a Put needs its Link or
	// Stamp for that). An operation that failed alone has its Result.Err set;
	// the returned error is non-nil when the outcome of at least one operation
	// is unknown or the backend as a whole is unusable, and then every Result
	// without a known outcome carries it too. Appends to one log succeed or fail
	// together.
	Apply(ctx context.Context, ops []Op) ([]Result, error)
	// Take reads and removes the oldest items of a queue, at most max of them (0
	// or more than MaxPage: MaxPage), atomically: no item is ever answered twice.
	// An unknown queue is an empty one. When the answer is lost, so are its items.
	Take(ctx context.Context, queue string, max int) ([]Item, error)
	// ReadLog answers a page of a log, oldest entry first. An unknown log is an
	// empty one, not an error.
	ReadLog(ctx context.Context, log string, q LogQuery) (LogPage, error)
	// Get answers one document, or [ErrNotFound].
	Get(ctx context.Context, collection, id string) (Document, error)
	// Scan answers the documents that have q.Value in an index of a collection,
	// or with index "" all of the collection, in ascending order of their ids.
	Scan(ctx context.Context, collection, index string, q ScanQuery) ([]Document, error)
	// Counters answers one member of a scope, or its top members, highest first.
	// An unknown scope or member is an empty answer.
	Counters(ctx context.Context, collection, scope string, q CounterQuery) ([]Counter, error)
	// Publish tells the other nodes something, best effort.
	Publish(ctx context.Context, channel string, data []byte) error
	// Subscribe calls fn for every message on channel, in order and from one
	// goroutine, until ctx is done. It reconnects by itself; what was published
	// while it was disconnected is lost, and fn is then called with Lost set.
	Subscribe(ctx context.Context, channel string, fn func(Message)) error
	// Health carries out a write that exercises what matters.
	Health(ctx context.Context) error
	// Close waits for running operations and releases everything. A second call
	// does nothing.
	Close() error
}

// Result is the outcome of one Op.
type Result struct {
	// Cursor stands directly behind the entry: its position, or, while the entry
	// is pending, the last known head with the entry's Link as a part.
	Cursor     Cursor
	ReceivedAt time.Time // the position as a time, µs
	Link       Link      // the entry's place in its producer's chain, if any
	Duplicate  bool      // the id or number is there already; Cursor is the first one's
	Exists     bool      // the log or document existed before
	// Pending: acknowledged, but not in the backend yet.
	Pending bool
	// Volatile: pending in memory only, lost with the process.
	Volatile bool
	Err      error
}

// Message is what Subscribe delivers.
type Message struct {
	Data []byte
	// Lost: the subscription was interrupted, messages may be missing before
	// this point. Data is nil.
	Lost bool
}

// NoticeChannel is the channel on which a driver shared by several nodes tells
// that logs have grown; each message is an encoded [Notice].
const NoticeChannel = "notice"

// LogQuery says which part of a log to read. At most one of After and Before is
// set; with neither the newest Limit entries are answered.
type LogQuery struct {
	After  *Cursor // entries after it
	Before *Cursor // the newest entries before it
	Limit  int     // 0: DefaultPage; more than MaxPage is MaxPage
}

// Page sizes of ReadLog, in entries.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// LogEntry is one entry as it was read.
type LogEntry struct {
	ID   string
	Data []byte // shared, must not be changed
	Pos  Position
	Link Link
	// Pending: acknowledged, but without a position yet; Pos is zero.
	Pending bool
	// Received is when the entry was received, µs: Pos as a time, or for a
	// pending entry the node's own clock when it took it.
	Received time.Time
	// Cursor stands directly behind the entry for whoever reads this page.
	Cursor Cursor
}

// LogPage is the answer of ReadLog.
type LogPage struct {
	Entries []LogEntry
	// Cursor stands behind the last entry, or at the head for an empty answer.
	Cursor  Cursor
	HasMore bool // further entries are there in the direction read
	// Gap: entries after the query's cursor are missing because they were
	// trimmed, or the cursor belongs to another epoch or lies ahead of the head
	// (then everything retained is answered).
	Gap bool
	// Degraded: the backend could not be asked; the answer is what this node
	// knows by itself, and Cursor does not pass what it does not know.
	Degraded bool
	// State is the log's state at the time of the read.
	State LogState
}

// Onward is the page for who goes on reading at its cursor. A degraded page may show
// entries that its cursor cannot pass, since what lies before them cannot be read: he
// would be given them with each page, and that they are missing too. So they are left
// out, until he can be given everything.
func (p LogPage) Onward() LogPage {
	if !p.Degraded {
		return p
	}
	p.Gap = false
	p.Entries = slices.DeleteFunc(slices.Clone(p.Entries), func(e LogEntry) bool {
		return !e.Cursor.Saw(e.Link) && (e.Pending || e.Cursor.Pos != e.Pos)
	})
	return p
}
