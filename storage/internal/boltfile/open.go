package boltfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
	// lockPatience is how long an opener waits for the file's lock. It covers a
	// predecessor that is just letting go.
	lockPatience = 200 * time.Millisecond
	// initialMap avoids mapping a growing file anew, for which bbolt must wait
	// until no reader is left. It is address space, not memory.
	initialMap = 1 << 30
)

// ErrCorrupt is wrapped by what says that the file cannot be used any more.
var ErrCorrupt = errors.New("the file is corrupt")

// Opener opens one file of one directory. Dir, Name, What, Loss and Log are needed.
type Opener struct {
	Dir  string
	Name string // of the file in Dir
	What string // the file in messages: "event file"
	Loss string // what a corrupt one means, at the end of a sentence: "history starts empty"
	Log  *zap.Logger
	// CheckPages checks where each page points to also when the file was closed in
	// order: then damage cannot lead bbolt astray. It reads the whole file.
	CheckPages bool
	// OpenFile opens the file; nil is os.OpenFile. Tests replace it.
	OpenFile func(string, int, os.FileMode) (*os.File, error)
}

// Found is what an opener found.
type Found struct {
	Dirty    bool   // the file was not closed the last time
	SetAside string // the new name of the corrupt file in whose place a new one was begun; "": none
}

// Path is the file's.
func (o Opener) Path() string { return filepath.Join(o.Dir, o.Name) }

// Marker is the path of a file that is there while the file is open, and afterwards
// when it could not be closed. It holds the process id.
func (o Opener) Marker() string { return o.Path() + ".open" }

// Open opens the file for this process alone, in a directory that is made if need
// be. It is checked when it was not closed the last time, or with check; a corrupt
// one is set aside and a new one begun. Last, prepare is run in a [Guard]: when it
// panics or its error wraps [ErrCorrupt] the file is corrupt, another error is the
// answer.
func (o Opener) Open(check bool, prepare func(*File) error) (*File, Found, error) {
	var found Found
	f, err := o.open(&found, check, prepare)
	if errors.Is(err, ErrCorrupt) {
		if found.SetAside, err = o.setAside(f, err); err != nil {
			return nil, found, err
		}
		var fresh Found
		f, err = o.open(&fresh, false, prepare)
	}
	if err != nil {
		f.release()
		return nil, found, err
	}
	return f, found, nil
}

// Reopen is Open with check, but that a corrupt file stays where it is.
func (o Opener) Reopen(prepare func(*File) error) (*File, error) {
	var found Found
	f, err := o.open(&found, true, prepare)
	if err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

// open answers, with an error, also the file if it is still open.
func (o Opener) open(found *Found, check bool, prepare func(*File) error) (*File, error) {
	if err := os.MkdirAll(o.Dir, dirMode); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	f, err := o.lock()
	if err != nil {
		return f, err
	}
	_, err = os.Lstat(o.Marker())
	found.Dirty = err == nil
	if err := o.mark(); err != nil {
		return f, err
	}
	if err := o.examine(f, check || found.Dirty); err != nil {
		return f, err
	}
	err = Guard(func() error { return prepare(f) })
	if errors.Is(err, ErrPanic) {
		f.Abandon() // bbolt may have kept its locks
		f.DB = nil
	}
	return f, asCorrupt(err)
}

func (o Opener) examine(f *File, whole bool) error {
	switch {
	case !whole && o.CheckPages:
		return f.checkPages()
	case !whole:
		return f.checkSize()
	}
	start := time.Now()
	if err := f.Check(); err != nil {
		return err
	}
	o.Log.Info(o.What+" was not closed the last time; checked and found in order",
		zap.String("file", o.Path()), zap.Duration("took", time.Since(start)))
	return nil
}

// lock opens the database, which locks the file.
func (o Opener) lock() (*File, error) {
	var f File
	openFile := o.OpenFile
	if openFile == nil {
		openFile = os.OpenFile
	}
	options := &bbolt.Options{
		Timeout:         lockPatience,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: initialMap,
		OpenFile: func(name string, flag int, mode os.FileMode) (file *os.File, err error) {
			if f.os, err = openFile(name, flag, mode); err != nil {
				return nil, err
			}
			f.info, err = f.os.Stat()
			return f.os, err
		},
	}
	err := Guard(func() (err error) {
		f.DB, err = bbolt.Open(o.Path(), fileMode, options)
		return err
	})
	switch {
	case err == nil:
		return &f, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, o.inUse()
	case errors.Is(err, ErrPanic), isCorrupt(err):
		f.Abandon()
		return &f, fmt.Errorf("%w: %w", ErrCorrupt, err)
	default:
		return nil, fmt.Errorf("open %s: %w", o.Path(), err)
	}
}

func isCorrupt(err error) bool {
	return errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) ||
		// bbolt has no value for a file shorter than its two meta pages.
		strings.Contains(err.Error(), "file size too small")
}

func (o Opener) inUse() error {
	holder := "another process"
	if b, err := os.ReadFile(o.Marker()); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			holder = fmt.Sprintf("process %d", pid)
			if pid == os.Getpid() {
				holder = fmt.Sprintf("another hub of this process (%d)", pid)
			}
		}
	}
	return fmt.Errorf("directory %s is in use by %s: each hub needs a directory of its own", o.Dir, holder)
}
