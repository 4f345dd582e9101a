package journalfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile"
)

const (
	fileName = "journal.db"
	// A page of Replay.
	pageRecords = 1024
	pageBytes   = 4 << 20
	// maxReported is how many damaged records Replay logs one by one.
	maxReported = 20
)

// Options says where a journal is.
type Options struct {
	// Dir is the directory of the file; it is created (mode 0700) if need be.
	Dir string
	// Logger takes what operators should know; nil is none.
	Logger *zap.Logger
	// OpenFile opens the file; nil is os.OpenFile. Tests replace it.
	OpenFile func(string, int, os.FileMode) (*os.File, error)
}

// File is an open journal. Load is safe for concurrent use, also beside the others;
// all other methods have one caller at a time.
type File struct {
	opener boltfile.Opener
	log    *zap.Logger

	file    atomic.Pointer[boltfile.File] // nil: closed, for good or until Mend succeeds
	closed  atomic.Bool
	suspect atomic.Bool // reading failed: check the file when it is opened next

	top      uint64 // the highest Seq for which a commit succeeded
	damaged  int
	full     bool                      // the last commit failed on a full disk, and it was reported
	broken   *storage.UnavailableError // the outcome of a commit is unknown: only Mend helps
	panicked bool                      // bbolt may hold its locks for ever
	warned   time.Time                 // when it was last told that Mend does not succeed
}

// Open opens the journal of a directory for this caller alone; a second one is
// refused with an error that names the directory and the process that has it. A file
// that was not closed the last time is checked first, which takes a while when it is
// large; a corrupt one is set aside as journal.db.corrupt-<time>, and one of a newer
// format refused.
func Open(o Options) (*File, Contents, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	f := &File{log: o.Logger, opener: boltfile.Opener{
		Dir: o.Dir, Name: fileName, What: "journal file", Loss: "what was pending in it is not delivered",
		Log: o.Logger, CheckPages: true, OpenFile: o.OpenFile,
	}}
	var contents Contents
	file, found, err := f.opener.Open(false, func(file *boltfile.File) (err error) {
		contents, err = f.prepare(file.DB)
		return err
	})
	if err != nil {
		return nil, Contents{}, fmt.Errorf("open journal: %w", err)
	}
	contents.Dirty, contents.SetAside = found.Dirty, found.SetAside
	f.file.Store(file)
	f.top = contents.LastSeq
	return f, contents, nil
}

// prepare answers what is in the file, after making the buckets of a new one.
func (f *File) prepare(db *bbolt.DB) (c Contents, err error) {
	isNew := false
	err = db.View(func(tx *bbolt.Tx) error {
		if isNew = tx.Bucket(bucketMeta) == nil; isNew {
			return nil
		}
		if v := tx.Bucket(bucketMeta).Get(keyFormat); len(v) != 1 || v[0] == 0 || v[0] > formatVersion {
			return fmt.Errorf("%s has format %v, this version of Lifeline knows 1 to %d", f.opener.Path(), v, formatVersion)
		}
		c = readContents(tx)
		return nil
	})
	if err != nil || !isNew {
		return c, err
	}
	if err := db.Update(createBuckets); err != nil {
		return c, fmt.Errorf("prepare %s: %w", f.opener.Path(), err)
	}
	return c, nil
}

// Exists reports whether there is a journal in a directory.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(boltfile.Opener{Dir: dir, Name: fileName}.Path())
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, fmt.Errorf("look for a journal: %w", err)
}

// Broken reports whether only Mend helps.
func (f *File) Broken() bool { return f.broken != nil }

// Begin notes a producer, which may give numbers once it is durable. Errors are
// those of Commit.
func (f *File) Begin(p storage.Producer) error {
	return f.update(func(tx *bbolt.Tx) error { return addProducer(tx, p) })
}

// Commit makes a batch durable, as a whole or not at all. When it could not, the
// error is a *[storage.UnavailableError]: on a full disk nothing has changed and the
// next commit may succeed; after any other error the outcome is unknown, and all
// further commits are refused until [File.Mend] has succeeded. Another error is that
// of a batch which is not accepted, such as one with a Seq that is not new; nothing
// has changed then.
func (f *File) Commit(b Batch) error {
	values := make([][]byte, len(b.Records))
	last := f.top
	for i, r := range b.Records {
		if r.Seq <= last {
			return fmt.Errorf("commit to the journal: record %d comes behind %d", r.Seq, last)
		}
		last = r.Seq
		value, err := encode(r)
		if err != nil {
			return err
		}
		values[i] = value
	}
	err := f.update(func(tx *bbolt.Tx) error { return writeBatch(tx, b, values) })
	if err == nil {
		f.top = last
	}
	return err
}

// update carries out a transaction with fsync.
func (f *File) update(fn func(tx *bbolt.Tx) error) error {
	file := f.file.Load()
	switch {
	case f.closed.Load():
		return storage.ErrClosed
	case f.broken != nil:
		return f.broken
	}
	err := boltfile.Guard(func() error { return file.DB.Update(fn) })
	if err != nil {
		return f.failed(err)
	}
	if f.full {
		f.full = false
		f.log.Info("disk of the journal accepts writes again")
	}
	return nil
}

// Replay calls fn for all records in the order of Seq, until it answers an error. A
// record that cannot be decoded is logged, counted and skipped. When the file is found
// to be corrupt on the way, the error wraps [ErrLost].
func (f *File) Replay(fn func(Record) error) error {
	f.damaged = 0
	for next, more := uint64(0), true; more; {
		var records []Record
		err := f.view(func(tx *bbolt.Tx) (err error) {
			records, next, more, err = f.page(tx, next)
			return err
		})
		if errors.Is(err, boltfile.ErrPanic) {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		for _, r := range records {
			if err := fn(r); err != nil {
				return err
			}
		}
	}
	if f.damaged > 0 {
		f.log.Error("records of the journal are damaged and were left out",
			zap.String("file", f.opener.Path()), zap.Int("records", f.damaged))
	}
	return nil
}

// page answers the records from Seq on, and where the next page begins.
func (f *File) page(tx *bbolt.Tx, from uint64) (records []Record, next uint64, more bool, err error) {
	size, above := 0, from
	c := tx.Bucket(bucketRecords).Cursor()
	for k, v := c.Seek(seqKey(from)); k != nil; k, v = c.Next() {
		seq, ok := keySeq(k)
		if !ok || seq < above { // pages that lead in a circle
			return nil, 0, false, fmt.Errorf("%w: record %d comes behind %d", boltfile.ErrPanic, seq, above)
		}
		above = seq + 1
		if len(records) >= pageRecords || size >= pageBytes {
			return records, seq, true, nil
		}
		record, err := decode(seq, bytes.Clone(v))
		if err != nil {
			f.reportDamage(seq, err)
			continue
		}
		records = append(records, record)
		size += len(v)
	}
	return records, 0, false, nil
}

func (f *File) reportDamage(seq uint64, err error) {
	f.damaged++
	if f.damaged <= maxReported {
		f.log.Error("a record of the journal cannot be read", zap.Uint64("seq", seq), zap.Error(err))
	}
}

// Damaged is how many records the last Replay left out.
func (f *File) Damaged() int { return f.damaged }

// Load answers the records with these Seqs, in their order; those that are not there
// or cannot be decoded are left out. While the file is closed after an error it
// answers a *[storage.UnavailableError].
func (f *File) Load(seqs []uint64) ([]Record, error) {
	records := make([]Record, 0, len(seqs))
	err := f.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		for _, seq := range seqs {
			v := b.Get(seqKey(seq))
			if v == nil {
				continue
			}
			record, err := decode(seq, bytes.Clone(v))
			if err != nil {
				f.log.Error("a record of the journal cannot be read", zap.Uint64("seq", seq), zap.Error(err))
				continue
			}
			records = append(records, record)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load from the journal: %w", err)
	}
	return records, nil
}

// Close lets go of the directory. A file whose last commit failed is left as one
// that the next Open checks; it may hold the records of that commit.
func (f *File) Close() error {
	f.closed.Store(true)
	file := f.file.Swap(nil)
	if file == nil {
		return nil
	}
	if f.panicked {
		file.Abandon()
		return nil
	}
	var err error
	if f.broken == nil && !f.suspect.Load() {
		err = f.opener.Unmark()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
