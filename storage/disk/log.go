package disk

import (
	"container/list"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

const (
	// maxHotIDs is how many ids of recently written logs are held in memory, at
	// some 30 bytes each.
	maxHotIDs = 2_000_000
	// maxHotLogs is how many logs' metadata are.
	maxHotLogs = 20_000
	// maxTrim is how many entries one append trims at most; what remains is left
	// to the next.
	maxTrim = 4096
)

// log is what the committer knows of one log. After a failed transaction all of
// them are forgotten and read again.
type log struct {
	name   string
	meta   logMeta
	oldest uint64 // seq of the oldest record, entry or trimmed; 0: none
	first  uint64 // seq of the oldest entry that is kept; 0: none
	dirty  bool   // meta is to be written, and the log is in logs.dirty
	// ids finds records by the hash of their id. Nil until an id is asked for.
	ids   map[uint64]int64 // µs
	place *list.Element
	held  bool // it is among those that are counted, see counting.go
}

// logs are the logs written lately, the one written longest ago in front.
type logs struct {
	seed   maphash.Seed
	byName map[string]*log
	order  *list.List
	ids    int    // in all of them
	dirty  []*log // changed in the transaction at hand
}

func newLogs() *logs {
	return &logs{seed: maphash.MakeSeed(), byName: make(map[string]*log), order: list.New()}
}

func (s *logs) hash(id string) uint64 { return maphash.String(s.seed, id) }

// get answers a log as it is in the transaction; b is nil for an unknown one.
func (s *logs) get(name string, b *bbolt.Bucket) (*log, error) {
	if l, ok := s.byName[name]; ok {
		s.order.MoveToBack(l.place)
		return l, nil
	}
	l := &log{name: name}
	if b != nil {
		if err := l.load(b); err != nil {
			return nil, err
		}
	}
	s.byName[name] = l
	l.place = s.order.PushBack(l)
	return l, nil
}

func (l *log) load(b *bbolt.Bucket) (err error) {
	if l.meta, err = decodeLogMeta(b.Get(keyLogMeta)); err != nil {
		return fmt.Errorf("log %q: %w", l.name, err)
	}
	c := b.Cursor()
	if l.oldest, err = seqAt(c.First()); err == nil {
		l.first, err = seqAt(c.Seek(microsKey(l.meta.kept)))
	}
	if err != nil {
		return fmt.Errorf("log %q: %w", l.name, err)
	}
	l.held = l.first != 0
	return nil
}

// seqAt answers the sequence number of a record, 0 for a key that is none.
func seqAt(key, value []byte) (uint64, error) {
	micros, ok := keyMicros(key)
	if !ok {
		return 0, nil
	}
	e, _, err := decodeEntry(micros, value)
	return e.Pos.Seq, err
}

// mark notes that a log's metadata must be written.
func (s *logs) mark(l *log) {
	if !l.dirty {
		l.dirty = true
		s.dirty = append(s.dirty, l)
	}
}

// drop forgets a log, also what was to be written of it.
func (s *logs) drop(l *log) {
	if l.dirty {
		s.dirty = slices.DeleteFunc(s.dirty, func(other *log) bool { return other == l })
	}
	s.ids -= len(l.ids)
	s.order.Remove(l.place)
	delete(s.byName, l.name)
}

// shrink keeps the bounds. It is called between transactions.
func (s *logs) shrink() {
	for s.order.Len() > 1 && (s.ids > maxHotIDs || s.order.Len() > maxHotLogs) {
		s.drop(s.order.Front().Value.(*log)) //nolint:forcetypeassert // nothing else is put in
	}
}

// index finds records of one log within a transaction.
type index struct {
	s   *logs
	l   *log
	b   *bbolt.Bucket // nil: an unknown log
	err error         // the first record that could not be read
}

var _ sequence.Index = (*index)(nil)

// ByID implements [sequence.Index]. Of two ids with one hash the newer one is
// found; with a window of 10,000 ids the odds of that are one in 10^11.
func (x *index) ByID(id string) (storage.LogEntry, bool) {
	if x.b == nil {
		return storage.LogEntry{}, false
	}
	if x.l.ids == nil {
		x.load()
	}
	micros, ok := x.l.ids[x.s.hash(id)]
	if !ok {
		return storage.LogEntry{}, false
	}
	value := x.b.Get(microsKey(micros))
	if value == nil {
		return storage.LogEntry{}, false
	}
	e, _, err := decodeEntry(micros, value)
	if err != nil {
		x.fail(err)
		return e, false
	}
	return e, e.ID == id
}

func (x *index) load() {
	x.l.ids = make(map[uint64]int64)
	c := x.b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		micros, ok := keyMicros(k)
		if !ok {
			continue
		}
		e, _, err := decodeEntry(micros, v)
		if err != nil {
			x.fail(err)
			return
		}
		x.l.ids[x.s.hash(e.ID)] = micros
	}
	x.s.ids += len(x.l.ids)
}

// ByLink implements [sequence.Index]. It is asked only about numbers whose id is
// not known, which is rare enough for a search.
func (x *index) ByLink(link storage.Link) (storage.LogEntry, bool) {
	if x.b == nil {
		return storage.LogEntry{}, false
	}
	c := x.b.Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		micros, ok := keyMicros(k)
		if !ok {
			continue
		}
		e, _, err := decodeEntry(micros, v)
		if err != nil {
			x.fail(err)
			return storage.LogEntry{}, false
		}
		if e.Link == link {
			return e, true
		}
	}
	return storage.LogEntry{}, false
}

func (x *index) fail(err error) {
	if x.err == nil {
		x.err = fmt.Errorf("log %q: %w", x.l.name, err)
	}
}

// write stores what a batch came to, and trims.
func (s *logs) write(l *log, b *bbolt.Bucket, batch sequence.Batch, maxLen int, now time.Time) error {
	// Keys only ever grow: full pages, or half of the file is air.
	b.FillPercent = 1
	l.meta.state = batch.State
	s.mark(l)
	for _, e := range batch.Entries {
		if err := b.Put(microsKey(e.Pos.Micros), encodeEntry(e, false)); err != nil {
			return fmt.Errorf("write entry: %w", err)
		}
		if l.ids != nil {
			before := len(l.ids)
			l.ids[s.hash(e.ID)] = e.Pos.Micros
			s.ids += len(l.ids) - before
		}
		if l.oldest == 0 {
			l.oldest = e.Pos.Seq
		}
		if l.first == 0 {
			l.first, l.meta.kept = e.Pos.Seq, e.Pos.Micros
		}
	}
	if len(batch.Entries) == 0 {
		return nil
	}
	l.meta.written = now.UnixMicro()
	return s.trim(l, b, maxLen, now)
}

// trim takes the data from entries that are beyond maxLen or too old, and
// removes records whose ids need not be remembered. Both wait until a quarter
// more has gathered, so that an append seldom touches the log's beginning.
func (s *logs) trim(l *log, b *bbolt.Bucket, maxLen int, now time.Time) error {
	head := l.meta.state.Head.Seq
	beyond := uint64(0)
	if kept := head + 1 - l.first; maxLen > 0 && kept > uint64(maxLen+maxLen/4) {
		beyond = kept - uint64(maxLen)
	}
	expired := int64(0)
	if age := l.meta.state.MaxAge; l.meta.kept < now.Add(-age-age/4).UnixMicro() {
		expired = l.meta.state.Oldest(now)
	}
	if beyond > 0 || l.meta.kept < expired {
		if err := l.strip(b, beyond, expired, &budget{records: maxTrim}); err != nil {
			return err
		}
	}
	window := uint64(max(maxLen, storage.DedupWindow))
	records := head + 1 - l.oldest
	if records <= window+window/4 {
		return nil
	}
	// A record that is still kept stays, whatever the window.
	n := min(records-window, l.trimmed(), maxTrim)
	return s.remove(l, b, &budget{records: int(n), size: math.MaxInt}) //nolint:gosec // at most maxTrim
}

// trimmed is how many records without data the log begins with.
func (l *log) trimmed() uint64 {
	if l.first == 0 {
		return l.meta.state.Head.Seq + 1 - l.oldest
	}
	return l.first - l.oldest
}

// budget is what may still be changed in one transaction.
type budget struct{ records, size int }

// strip takes the data from the oldest entries: from n of them, and from those
// below the position expired, as far as the budget allows.
func (l *log) strip(b *bbolt.Bucket, n uint64, expired int64, left *budget) error {
	var stripped []storage.LogEntry
	c := b.Cursor()
	k, v := c.Seek(microsKey(l.meta.kept))
	for ; k != nil; k, v = c.Next() {
		micros, ok := keyMicros(k)
		if !ok || left.records <= 0 || uint64(len(stripped)) >= n && micros >= expired {
			break
		}
		e, _, err := decodeEntry(micros, v)
		if err != nil {
			return fmt.Errorf("log %q: %w", l.name, err)
		}
		stripped = append(stripped, e)
		left.records--
	}
	if err := l.begin(k, v); err != nil {
		return err
	}
	for _, e := range stripped {
		if err := b.Put(microsKey(e.Pos.Micros), encodeEntry(e, true)); err != nil {
			return fmt.Errorf("trim entry: %w", err)
		}
	}
	return nil
}

// begin notes the record at a cursor as the first that is kept.
func (l *log) begin(key, value []byte) error {
	first, err := seqAt(key, value)
	if err != nil {
		return fmt.Errorf("log %q: %w", l.name, err)
	}
	l.first = first
	l.meta.kept = l.meta.state.Head.Micros + 1
	if micros, ok := keyMicros(key); ok {
		l.meta.kept = micros
	}
	return nil
}

// remove deletes the oldest records as far as the budget allows. Like strip it
// changes nothing when it meets a damaged one.
func (s *logs) remove(l *log, b *bbolt.Bucket, left *budget) error {
	s.mark(l)
	var removed []int64
	c := b.Cursor()
	k, v := c.First()
	for ; k != nil && left.records > 0 && left.size > 0; k, v = c.Next() {
		micros, ok := keyMicros(k)
		if !ok {
			break
		}
		removed = append(removed, micros)
		left.records--
		left.size -= len(v)
	}
	oldest, err := seqAt(k, v)
	if err != nil {
		return fmt.Errorf("log %q: %w", l.name, err)
	}
	if l.first != 0 && (oldest > l.first || oldest == 0) {
		if err := l.begin(k, v); err != nil {
			return err
		}
	}
	l.oldest = oldest
	for _, micros := range removed {
		key := microsKey(micros)
		s.forgetID(l, micros, b.Get(key))
		if err := b.Delete(key); err != nil {
			return fmt.Errorf("remove record: %w", err)
		}
	}
	return nil
}

// forgetID takes a record's id from those in memory.
func (s *logs) forgetID(l *log, micros int64, value []byte) {
	e, _, err := decodeEntry(micros, value)
	if h := s.hash(e.ID); err == nil && l.ids != nil && l.ids[h] == micros {
		delete(l.ids, h)
		s.ids--
	}
}
