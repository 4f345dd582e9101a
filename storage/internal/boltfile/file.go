package boltfile

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// File is an open database.
type File struct {
	DB *bbolt.DB
	// os is what DB works on. It is closed instead of DB when bbolt panicked and
	// may hold its locks for ever.
	os *os.File
	// info says which file that is, whatever its name becomes.
	info os.FileInfo
}

// Check reads the whole file. What it finds wraps [ErrCorrupt].
func (f *File) Check() error {
	if err := f.checkPages(); err != nil {
		return err
	}
	return f.view(func(tx *bbolt.Tx) error {
		var first error
		for err := range tx.Check() { // read to its end, or its goroutine stays
			if first == nil {
				first = fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
		}
		return first
	})
}

// checkPages reads where each page points to. What it finds wraps [ErrCorrupt].
func (f *File) checkPages() error {
	if err := f.checkSize(); err != nil {
		return err
	}
	return f.view(func(tx *bbolt.Tx) error { return checkStructure(f.os, tx) })
}

// checkSize finds a file that lost its end: reading behind the end kills the process
// wherever no [Guard] is around it.
func (f *File) checkSize() error {
	return f.view(func(tx *bbolt.Tx) error {
		info, err := f.os.Stat()
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it has %d bytes of %d", ErrCorrupt, info.Size(), tx.Size())
		}
		return nil
	})
}

func (f *File) view(fn func(tx *bbolt.Tx) error) error {
	return asCorrupt(Guard(func() error { return f.DB.View(fn) }))
}

// asCorrupt makes of a panic what wraps [ErrCorrupt].
func asCorrupt(err error) error {
	if errors.Is(err, ErrPanic) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// Close waits for running transactions and lets go of the lock.
func (f *File) Close() error {
	if f.DB == nil {
		f.Abandon()
		return nil
	}
	return f.DB.Close() //nolint:wrapcheck // by the caller
}

// Abandon gives up the lock without asking bbolt.
func (f *File) Abandon() {
	if f.os != nil {
		unlock(f.os)
		_ = f.os.Close()
	}
}

// release closes what could not be opened in order.
func (f *File) release() {
	if f != nil {
		_ = f.Close()
	}
}

// ErrPanic is what [Guard] makes of a panic.
var ErrPanic = errors.New("reading the file failed")

// Guard runs what touches the file's mapped memory. Damaged pages make bbolt
// panic, and a disk that cannot be read makes the memory fault; both must become
// errors, for they are not the process's fault.
func Guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrPanic, r)
		}
	}()
	return fn()
}
