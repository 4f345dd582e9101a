package journalfile

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/internal/loglimit"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile"
)

// retryAfter is when a caller should try again.
const retryAfter = time.Second

// ErrLost is wrapped by what [File.Mend] and [File.Replay] answer when the file is
// corrupt or another one: it does not hold any more what was committed. To go on,
// close it and open the directory anew; then a corrupt file is set aside.
var ErrLost = errors.New("the journal has lost what was committed")

func unavailable(err error) *storage.UnavailableError {
	u := &storage.UnavailableError{Reason: "writing the journal failed", RetryAfter: retryAfter, Err: err}
	switch {
	case boltfile.IsFull(err):
		u.Reason = "the disk of the journal is full"
	case errors.Is(err, syscall.EROFS):
		u.Reason = "the disk of the journal is read-only"
	case errors.Is(err, boltfile.ErrPanic), errors.Is(err, ErrLost):
		u.Reason = "the journal cannot be read"
	}
	return u
}

// failed deals with a commit that failed and answers what its caller is told.
func (f *File) failed(err error) error {
	u := unavailable(err)
	if boltfile.IsHarmless(err) {
		if !f.full {
			f.full = true
			f.log.Error("disk of the journal is full: nothing is accepted until there is room", zap.Error(err))
		}
		return u
	}
	f.broken, f.panicked = u, errors.Is(err, boltfile.ErrPanic)
	f.log.Error("commit to the journal failed: nothing is accepted until it could be reopened and checked",
		zap.String("reason", u.Reason), zap.Error(err))
	return u
}

// view reads. After a failed commit the file can be read until Mend closes it.
func (f *File) view(fn func(tx *bbolt.Tx) error) error {
	file := f.file.Load()
	if file == nil {
		return f.absent()
	}
	err := boltfile.Guard(func() error { return file.DB.View(fn) })
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen), errors.Is(err, bolterrors.ErrInvalidMapping):
		return f.absent()
	case errors.Is(err, boltfile.ErrPanic):
		f.suspect.Store(true)
		f.log.Error("reading the journal failed; it will be checked when it is opened next", zap.Error(err))
		return unavailable(err)
	}
	return err
}

// absent is the answer while there is no file.
func (f *File) absent() error {
	if f.closed.Load() {
		return storage.ErrClosed
	}
	return &storage.UnavailableError{Reason: "the journal is being reopened", RetryAfter: retryAfter}
}

// Mend makes the file usable after a commit whose outcome is unknown: it is closed,
// reopened and checked, and the records above after, the highest Seq that is known to
// be committed, are removed from it. What that commit was to delete may be
// deleted. It takes as long as the check and answers an error as
// long as the disk does not work; see also [ErrLost].
func (f *File) Mend(after uint64) error {
	if f.closed.Load() {
		return storage.ErrClosed
	}
	if after < f.top {
		return fmt.Errorf("mend the journal: record %d is committed, not to be removed", f.top)
	}
	if err := f.mend(after); err != nil {
		f.broken = unavailable(err)
		f.warnUnmended(err)
		return fmt.Errorf("mend the journal: %w", f.broken)
	}
	f.top, f.broken, f.full, f.warned = after, nil, false, time.Time{}
	f.log.Info("journal file is open again")
	return nil
}

// warnUnmended tells that the file cannot be used, once a minute: it is tried every
// second.
func (f *File) warnUnmended(err error) {
	now := time.Now()
	if !f.warned.IsZero() && now.Sub(f.warned) < loglimit.Every {
		return
	}
	f.warned = now
	if errors.Is(err, ErrLost) {
		f.log.Error("the journal file is corrupt or another one: nothing is accepted until the server is restarted, "+
			"which sets a corrupt file aside", zap.String("file", f.opener.Path()), zap.Error(err))
		return
	}
	f.log.Warn("journal file cannot be reopened yet", zap.String("file", f.opener.Path()), zap.Error(err))
}

func (f *File) mend(after uint64) error {
	f.letGo()
	file, err := f.opener.Reopen(func(file *boltfile.File) error { return file.DB.View(f.isComplete) })
	if errors.Is(err, boltfile.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	if err != nil {
		return err //nolint:wrapcheck // by the caller
	}
	f.file.Store(file)
	removed := 0
	err = boltfile.Guard(func() error {
		return file.DB.Update(func(tx *bbolt.Tx) (err error) {
			// Also without anything to remove: it shows that the disk works.
			if removed, err = removeAbove(tx, after); err != nil {
				return err
			}
			return tx.Bucket(bucketMeta).Put(keyLast, seqKey(max(lastSeq(tx), after)))
		})
	})
	f.panicked = errors.Is(err, boltfile.ErrPanic)
	if err == nil && removed > 0 {
		f.log.Info("records that were not acknowledged are removed from the journal", zap.Int("records", removed))
	}
	return err
}

// letGo closes the file, if it is open.
func (f *File) letGo() {
	file := f.file.Swap(nil)
	if file == nil {
		return
	}
	if f.panicked {
		file.Abandon()
		f.panicked = false
		return
	}
	_ = file.Close()
}

// isComplete reports, as an error, that the file lacks what was committed.
func (f *File) isComplete(tx *bbolt.Tx) error {
	if tx.Bucket(bucketMeta) == nil || lastSeq(tx) < f.top {
		return fmt.Errorf("%w: record %d is missing", ErrLost, f.top)
	}
	return nil
}
