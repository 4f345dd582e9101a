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
	// Placed: the entries of Places are in the backend.
	Placed
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
	// Places of Placed.
	Places []Place
}

// Place says where an entry is in the backend.
type Place struct {
	Seq   uint64 // of the entry
	Epoch storage.Epoch
	Pos   storage.Position // zero: it has none
	// Foreign: its id stands there already, as another entry.
	Foreign bool
}

// Batch is what one commit changes.
type Batch struct {
	Records []Record // with increasing Seq, above those of all commits before
	Delete  []uint64 // records that are no longer needed; unknown ones do not matter
}

// Contents is what Open found in the file, besides the records.
type Contents struct {
	// LastSeq is the highest Seq that any record ever had, deleted or not.
	LastSeq   uint64
	Producers []storage.Producer // of the latest [File.Begin], the newest last
	// Dirty: the file was not closed in order the last time, and was checked.
	Dirty bool
	// SetAside is the new name of a corrupt file, in whose place a new and empty one
	// was begun; "": there was none.
	SetAside string
}
