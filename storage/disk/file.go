package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"
)

const (
	fileName = "lifeline.db"
	// markerName is there while a driver has the file open, and afterwards when
	// it could not close it. It holds the process id.
	markerName = "lifeline.db.open"
	dirMode    = 0o700
	fileMode   = 0o600
	// lockPatience is how long an opener waits for the file's lock. It covers a
	// predecessor that is just letting go.
	lockPatience = 200 * time.Millisecond
	// initialMap avoids mapping a growing file anew, for which bbolt must wait
	// until no reader is left. It is address space, not memory.
	initialMap = 1 << 30
)

// errCorrupt is wrapped by what says that the file cannot be used any more.
var errCorrupt = errors.New("the file is corrupt")

// file is an open database.
type file struct {
	db *bbolt.DB
	// os is what db works on. It is closed instead of db when bbolt panicked and
	// may hold its locks for ever.
	os *os.File
	// info says which file that is, whatever its name becomes.
	info os.FileInfo
	// prepared: it has all buckets of this format. Else the next commit makes them.
	prepared bool
}

// opener opens the file of one directory.
type opener struct {
	dir string
	log *zap.Logger
	// openFile is os.OpenFile but in tests.
	openFile func(string, int, os.FileMode) (*os.File, error)
}

func (o opener) path() string   { return filepath.Join(o.dir, fileName) }
func (o opener) marker() string { return filepath.Join(o.dir, markerName) }

// open opens the file for this process alone. It is checked when it was not
// closed the last time, or with check; a corrupt one is set aside and a new one
// begun.
func (o opener) open(check bool) (*file, error) {
	if err := os.MkdirAll(o.dir, dirMode); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	f, err := o.openChecked(check)
	if errors.Is(err, errCorrupt) {
		if err := o.setAside(f, err); err != nil {
			return nil, err
		}
		f, err = o.openChecked(false)
	}
	if err != nil {
		return nil, err
	}
	if err := o.prepare(f); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// openChecked answers, with an error that wraps errCorrupt, also the file if it
// is still open.
func (o opener) openChecked(check bool) (*file, error) {
	f, err := o.lock()
	if err != nil {
		return f, err
	}
	if _, err := os.Lstat(o.marker()); err == nil {
		check = true
	}
	if err := o.mark(); err != nil {
		f.close()
		return nil, err
	}
	if !check {
		return f, nil
	}
	start := time.Now()
	if err := f.check(); err != nil {
		return f, err
	}
	o.log.Info("event file was not closed the last time; checked and found in order",
		zap.String("file", o.path()), zap.Duration("took", time.Since(start)))
	return f, nil
}

// lock opens the database, which locks the file.
func (o opener) lock() (*file, error) {
	var f file
	options := &bbolt.Options{
		Timeout:         lockPatience,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: initialMap,
		OpenFile: func(name string, flag int, mode os.FileMode) (file *os.File, err error) {
			if f.os, err = o.openFile(name, flag, mode); err != nil {
				return nil, err
			}
			f.info, err = f.os.Stat()
			return f.os, err
		},
	}
	err := guard(func() (err error) {
		f.db, err = bbolt.Open(o.path(), fileMode, options)
		return err
	})
	switch {
	case err == nil:
		return &f, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, o.inUse()
	case errors.Is(err, errPanic):
		f.abandon()
		return &f, fmt.Errorf("%w: %w", errCorrupt, err)
	case isCorrupt(err):
		return &f, fmt.Errorf("%w: %w", errCorrupt, err)
	default:
		return nil, fmt.Errorf("open %s: %w", o.path(), err)
	}
}

func isCorrupt(err error) bool {
	return errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) ||
		// bbolt has no value for a file shorter than its two meta pages.
		strings.Contains(err.Error(), "file size too small")
}

func (o opener) inUse() error {
	holder := "another process"
	if b, err := os.ReadFile(o.marker()); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			holder = fmt.Sprintf("process %d", pid)
			if pid == os.Getpid() {
				holder = fmt.Sprintf("another hub of this process (%d)", pid)
			}
		}
	}
	return fmt.Errorf("directory %s is in use by %s: each hub needs a directory of its own", o.dir, holder)
}

// mark creates the marker. That it is there is what matters: on a full disk the
// process id in it may be missing.
func (o opener) mark() error {
	m, err := os.OpenFile(o.marker(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("mark the event file as open: %w", err)
	}
	_, err = fmt.Fprintln(m, os.Getpid())
	if err := errors.Join(err, m.Sync(), m.Close()); err != nil {
		o.log.Warn("marker of the open event file is incomplete", zap.String("file", o.marker()), zap.Error(err))
	}
	return syncDir(o.dir)
}

// unmark says that the file was closed in order. It is called while the lock is
// still held, lest it remove a successor's marker.
func (o opener) unmark() error {
	if err := os.Remove(o.marker()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mark the event file as closed: %w", err)
	}
	return nil
}

// setAside renames a corrupt file; f is open or not.
func (o opener) setAside(f *file, cause error) error {
	if f.info == nil {
		return cause
	}
	if now, err := os.Stat(o.path()); err != nil || !os.SameFile(now, f.info) {
		return o.inUse() // somebody else has set it aside meanwhile
	}
	aside, err := o.freeName()
	if err != nil {
		return err
	}
	err = os.Rename(o.path(), aside)
	f.close()
	if err != nil {
		return fmt.Errorf("set corrupt file aside (%w): %w", cause, err)
	}
	o.log.Error("event file is corrupt; it was set aside and a new one begun, history starts empty",
		zap.String("file", o.path()), zap.String("set_aside", aside), zap.Error(cause))
	return syncDir(o.dir)
}

// freeName answers a name for a corrupt file that nothing has.
func (o opener) freeName() (string, error) {
	base := o.path() + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000Z")
	for i := range 100 {
		name := base
		if i > 0 {
			name = fmt.Sprintf("%s-%d", base, i)
		}
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no free name like %s", base)
}

// prepare makes the buckets, and a file of this format of an older one. A full
// disk is no reason not to open a file that has logs: it can be read.
func (o opener) prepare(f *file) error {
	known := false
	err := guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			known = tx.Bucket(bucketLogs) != nil
			if m := tx.Bucket(bucketMeta); m != nil {
				if v := m.Get(keyFormat); len(v) != 1 || v[0] == 0 || v[0] > formatVersion {
					return fmt.Errorf("%s has format %v, this version of Lifeline knows 1 to %d", o.path(), v, formatVersion)
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	// Also when nothing is new: bbolt counts free pages at a commit only.
	err = guard(func() error { return f.db.Update(createBuckets) })
	if err != nil && (!known || !isFull(err)) {
		return fmt.Errorf("prepare %s: %w", o.path(), err)
	}
	f.prepared = err == nil
	return nil
}

func createBuckets(tx *bbolt.Tx) error {
	for _, name := range roots {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return tx.Bucket(bucketMeta).Put(keyFormat, []byte{formatVersion})
}

// check reads the whole file.
func (f *file) check() error {
	err := guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			info, err := f.os.Stat()
			if err != nil {
				return fmt.Errorf("check: %w", err)
			}
			// Reading behind the end of a file kills the process.
			if info.Size() < tx.Size() {
				return fmt.Errorf("%w: it has %d bytes of %d", errCorrupt, info.Size(), tx.Size())
			}
			var first error
			for err := range tx.Check() { // read to its end, or its goroutine stays
				if first == nil {
					first = fmt.Errorf("%w: %w", errCorrupt, err)
				}
			}
			return first
		})
	})
	if errors.Is(err, errPanic) {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return err
}

func (f *file) close() {
	if f.db == nil {
		f.abandon()
		return
	}
	_ = f.db.Close()
}

// abandon gives up the lock without asking bbolt.
func (f *file) abandon() {
	if f.os != nil {
		_ = f.os.Close()
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync data directory: %w", err)
	}
	defer d.Close()
	// Some systems cannot sync a directory; the files in it are synced anyway.
	_ = d.Sync()
	return nil
}

var errPanic = errors.New("reading the file failed")

// guard runs what touches the file's mapped memory. Damaged pages make bbolt
// panic, and a disk that cannot be read makes the memory fault; both must become
// errors, for they are not the process's fault.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	return fn()
}
