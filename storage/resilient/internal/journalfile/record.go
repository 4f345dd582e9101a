package journalfile

import (
	"time"

	"github.com/actionflows/lifeline/storage"
)

// Kind is what a [Record] tells.
type Kind byte

// The kinds of records.
const (
	// Entry: Op was accepted.
	Entry Kind = iota + 1
	// Taken: the items of the pushes Seqs were handed out.
	Taken
	// Dropped: the log and the queue Name were dropped.
	Dropped
)

// Record is one line of the journal. An empty slice or map in it comes back as nil.
type Record struct {
	// Seq orders the records. The caller gives it, strictly increasing over the life
	// of the directory.
	Seq  uint64
	Kind Kind
	At   time.Time // when it was accepted, µs
	// Op of an Entry: an Append, Put, Del, Push or Add, with all of its fields.
	Op   storage.Op
	Seqs []uint64 // of Taken
	Name string   // of Dropped
}

// Batch is what one commit changes.
type Batch struct {
	Records []Record // with increasing Seq, above those of all commits before
	Delete  []uint64 // records that are no longer needed; unknown ones do not matter
	// Shipped, by the name of a lane: every entry of it up to this one is in the
	// backend. Other lanes stay as they are.
	Shipped map[string]uint64
}

// Contents is what Open found in the file, besides the records.
type Contents struct {
	// LastSeq is the highest Seq that any record ever had, deleted or not.
	LastSeq   uint64
	Shipped   map[string]uint64
	Producers []storage.Producer // of the latest [File.Begin], the newest last
	// Dirty: the file was not closed in order the last time, and was checked.
	Dirty bool
	// SetAside is the new name of a corrupt file, in whose place a new and empty one
	// was begun; "": there was none.
	SetAside string
}
