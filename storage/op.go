package storage

import (
	"cmp"
	"time"
)

// Op is one durable mutation: [Append], [Put], [Del], [Push], [Add] or [Drop].
// Names (of logs, queues, collections, scopes, indexes, members and fields) and
// ids are arbitrary bytes; an operation without one that it needs is answered
// with [ErrPoison] (see [Check]). What an Op points to must not be changed
// afterwards.
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
	IfExists bool // append only when the log exists already, and was not dropped

	// Floor is the highest position the caller knows of in this log, in µs; the
	// new position is above it.
	Floor int64
	// Epoch is the epoch under which the entry was accepted; 0 is none. An append
	// for an epoch that Drop has ended is discarded: its own Result.Err is
	// [ErrGone], its Link counts as taken, and the others of its log go on. Any
	// other epoch is accepted, also one that the log no longer has.
	Epoch Epoch
	// Link places the entry in its producer's chain; the zero Link is in none.
	// The log takes number n only after n-1: a lower one is a duplicate, a
	// higher one is answered with ErrGap.
	Link Link
	// Rebase takes Link.Number whatever the log's last number is, in a new
	// epoch: what lies between is lost and readers are told.
	Rebase bool
}

// Put writes a document. The writer with the highest Stamp wins: with a Stamp not
// above that of the document, or of its deletion within [TombstoneAge], nothing
// changes and the Result is a Duplicate. Result.Exists tells whether the document
// was there before.
type Put struct {
	Collection, ID string
	Body           []byte
	// Stamp orders the writers. The zero Stamp stands for the backend's clock, or
	// just above the present one where that is later.
	Stamp Stamp
	// TTL is how long the document lives from now; 0 is for ever. Afterwards it is
	// as if it had never been written.
	TTL time.Duration
	// Indexes are the values by which Scan finds the document; they replace those
	// of the version before. An empty value is a value like any other.
	Indexes map[string]string

	// MaxMembers bounds how many documents the collection has, or with Within, the
	// name of an index, how many have the same value in it as this one, which must
	// have one. Those of the lowest Rank are removed, the lowest id first among
	// equals, and never the one just written: each as by a Del with its own stamp,
	// so that the same batch again changes nothing. 0 means unbounded. Documents
	// of one collection must agree on Within.
	MaxMembers int
	Within     string
	// Rank is the document's place in the order of removal, of at most 2^53 either
	// way.
	Rank int64
}

// Del removes a document and the counters of its member in the scope "" of its
// collection, unless a later Stamp has written it, or one not below has deleted it:
// then nothing changes and the Result is a Duplicate. The zero Stamp is as in Put,
// and so removes it whatever its stamp is. Result.Exists tells whether it was there.
// The stamp is remembered for [TombstoneAge].
type Del struct {
	Collection, ID string
	Stamp          Stamp
}

// Push adds an item at the end of a queue. An ID that is in the queue, or was taken
// from it before its time was over, is a Duplicate. Result.Exists tells whether
// other items were waiting.
type Push struct {
	Queue, ID string
	Data      []byte
	// Remaining is how long the item waits to be taken; 0 is for ever. A queue and
	// what is remembered of it live as long as their longest-lived item, and those
	// without an end for DedupAge after the last operation.
	Remaining time.Duration
	// MaxLen: a queue with so many items waiting refuses another with [ErrFull], and
	// does not take its Link. 0 means unbounded.
	MaxLen int
	// Link is as in Append, in the chain of its producer in this queue.
	Link Link
	// Rebase takes Link.Number whatever the queue's last number is.
	Rebase bool
	// Taken: the item was handed out elsewhere already. Only ID and Link are noted.
	Taken bool
}

// Add changes the fields of one member of a scope; a field that is not there is 0
// for Deltas, and absent for Low and High. A member without fields is none.
type Add struct {
	Collection, Scope, Member string
	Deltas                    map[string]int64 // added
	Low, High                 map[string]int64 // the least, the greatest is kept
	// TrimFrom and TrimTo remove fields from ≤ name < to, in byte order, lazily:
	// they may stay for some time.
	TrimFrom, TrimTo string
	// RankBy is the field by which the scope's members are ranked for
	// CounterQuery.Top, always the same one in a scope; with IfExists its value
	// also becomes the document's Rank.
	RankBy string
	// MaxMembers bounds the scope's members, given RankBy: the lowest are removed,
	// the lowest name first among equals, and never the one just changed. 0 means
	// unbounded.
	MaxMembers int
	// IfExists adds only if the document Member of the collection exists;
	// Result.Exists tells, and the Link is taken either way. Scope must be "".
	IfExists bool
	// Link is as in Append, in the chain of its producer in this collection. With
	// the zero Link an Add that is applied again counts again.
	Link Link
	// Rebase takes Link.Number whatever the collection's last number is.
	Rebase bool
}

// Drop removes the log and the queue of this name; Result.Exists tells whether there
// was one. The log leaves a gravestone for [TombstoneAge]: its epoch is dead for
// every Append, its positions and numbers go on, and reading it is as reading an
// unknown log, but that a cursor of the dead epoch is answered with Gap. The next
// append begins a new epoch. Ids from before are forgotten. A Drop that is applied
// again drops what came in between.
type Drop struct{ Scope string }

func (*Append) op() {}
func (*Put) op()    {}
func (*Del) op()    {}
func (*Push) op()   {}
func (*Add) op()    {}
func (*Drop) op()   {}

// DedupWindow is the least number of ids per log that a driver remembers; it
// remembers MaxLen ids where that is more, and keeps them DedupAge after the
// last write. TombstoneAge is how long a deletion is remembered.
const (
	DedupWindow  = 10_000
	DedupAge     = 24 * time.Hour
	TombstoneAge = 7 * 24 * time.Hour
)

// Stamp orders the writers of a document: by time, and among equal times by
// producer.
type Stamp struct {
	Micros   int64 // Unix time in µs, at most 2^53
	Producer Producer
}

// Compare answers -1, 0 or 1 as s is before, equal to or after t.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.Micros, t.Micros), cmp.Compare(s.Producer, t.Producer))
}

// Item is one queued item.
type Item struct {
	ID       string
	Data     []byte
	Received time.Time // by the backend's clock, µs
}

// Document is one record.
type Document struct {
	ID    string
	Body  []byte // shared, must not be changed
	Stamp Stamp
}

// ScanQuery bounds a Scan.
type ScanQuery struct {
	Value string // of the index; ignored for the index ""
	After string // only ids above it, in byte order
	Limit int    // 0: DefaultPage; more than MaxPage is MaxPage
}

// Counter is one member with its fields.
type Counter struct {
	Member string
	Fields map[string]int64
}

// CounterQuery asks for one member, or with Top for the Top highest (at most
// MaxPage) by the field that RankBy named; equals in ascending order of their names.
type CounterQuery struct {
	Member string
	Top    int
}
