package storage

import (
	"context"
	"time"
)

// Driver is the narrow waist under every operation: what a backend must be able
// to do, and nothing else. All methods are safe for concurrent use, return
// promptly once ctx is done, and answer [ErrClosed] after Close.
type Driver interface {
	// Apply carries out ops in order and answers one Result for each. It is
	// idempotent: applying the same operations again changes nothing and answers
	// the first outcome. An operation that failed alone has its Result.Err set;
	// the returned error is non-nil when the outcome of at least one operation
	// is unknown or the backend as a whole is unusable, and then every Result
	// without a known outcome carries it too. Operations on one log succeed or
	// fail together.
	Apply(ctx context.Context, ops []Op) ([]Result, error)
	// Take reads and removes up to max items of a queue, atomically.
	Take(ctx context.Context, queue string, max int) ([]Item, error)
	// ReadLog answers a page of a log, oldest entry first. An unknown log is an
	// empty one, not an error.
	ReadLog(ctx context.Context, log string, q LogQuery) (LogPage, error)
	// Get answers one document, or [ErrNotFound].
	Get(ctx context.Context, collection, id string) (Document, error)
	// Scan answers documents of a collection that stand under an index value.
	Scan(ctx context.Context, collection, index string, q ScanQuery) ([]Document, error)
	// Counters answers one member of a scope, or its top members.
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

// Op is one durable mutation: [Append], [Put], [Del], [Push], [Add] or [Drop].
type Op interface{ op() }

// Append adds one entry at the end of a log.
type Append struct {
	Log  string
	ID   string // deduplicated within the log (see DedupWindow)
	Data []byte // must not be changed afterwards
	// MaxLen and MaxAge bound the log; 0 means unbounded. Trimming is lazy: up
	// to 1.25 × MaxLen entries may be kept.
	MaxLen   int
	MaxAge   time.Duration
	IfExists bool // append only when the log exists already

	// Floor is the highest position the caller knows of in this log, in µs; the
	// new position is above it.
	Floor int64
	// Epoch is the epoch under which the entry was accepted; 0 accepts any. An
	// append for a deleted epoch is answered with ErrGone.
	Epoch Epoch
	// Link places the entry in its producer's chain; the zero Link is in none.
	// The log takes number n only after n-1: a lower one is a duplicate, a
	// higher one is answered with ErrGap.
	Link Link
	// Rebase takes Link.Number whatever the log's last number is, in a new
	// epoch: what lies between is lost and readers are told.
	Rebase bool
}

// Put writes a document; the writer with the highest Stamp wins.
type Put struct {
	Collection, ID string
	Body           []byte
	Stamp          Stamp
	TTL            time.Duration
	Indexes        map[string]string
	MaxMembers     int
	EvictBy        string
}

// Del removes a document unless a later Stamp has written it.
type Del struct {
	Collection, ID string
	Stamp          Stamp
}

// Push adds an item at the end of a queue.
type Push struct {
	Queue, ID string
	Data      []byte
	Remaining time.Duration // the item expires after it
	MaxLen    int           // a longer queue refuses it
}

// Add adds deltas to the fields of one member of a scope.
type Add struct {
	Collection, Scope, Member string
	Deltas                    map[string]int64
	IfExists                  bool
}

// Drop removes a scope with all that it holds.
type Drop struct{ Scope string }

func (*Append) op() {}
func (*Put) op()    {}
func (*Del) op()    {}
func (*Push) op()   {}
func (*Add) op()    {}
func (*Drop) op()   {}

// DedupWindow is the least number of ids per log that a driver remembers; it
// remembers MaxLen ids where that is more, and keeps them DedupAge after the
// last write.
const (
	DedupWindow = 10_000
	DedupAge    = 24 * time.Hour
)

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

// The remaining types belong to the operations on queues, documents and counters.
type (
	// Stamp orders the writers of a document.
	Stamp struct {
		Micros   int64
		Producer Producer
	}
	// Item is one queued item.
	Item struct {
		ID       string
		Data     []byte
		Received time.Time
	}
	// Document is one record.
	Document struct {
		ID    string
		Body  []byte
		Stamp Stamp
	}
	// ScanQuery bounds a Scan.
	ScanQuery struct {
		Value string
		After string
		Limit int
	}
	// Counter is one member with its fields.
	Counter struct {
		Member string
		Fields map[string]int64
	}
	// CounterQuery asks for one member, or with Top for the Top highest by Field.
	CounterQuery struct {
		Member string
		Top    int
		Field  string
	}
)
