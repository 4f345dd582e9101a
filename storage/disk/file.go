package disk

import (
	"fmt"
	"os"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage/internal/boltfile"
)

const fileName = "lifeline.db"

// file is an open database.
type file struct {
	*boltfile.File
	// prepared: it has all buckets of this format. Else the next commit makes them.
	prepared bool
}

// opener opens the file of one directory.
type opener struct{ boltfile.Opener }

func newOpener(dir string, log *zap.Logger, openFile func(string, int, os.FileMode) (*os.File, error)) opener {
	return opener{boltfile.Opener{
		Dir: dir, Name: fileName, What: "event file", Loss: "history starts empty", Log: log, OpenFile: openFile,
	}}
}

// open opens the file for this process alone. It is checked when it was not
// closed the last time, or with check; a corrupt one is set aside and a new one
// begun.
func (o opener) open(check bool) (*file, error) {
	var f file
	_, _, err := o.Open(check, func(opened *boltfile.File) error {
		f = file{File: opened}
		return o.prepare(&f)
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // by the caller
	}
	return &f, nil
}

// prepare makes the buckets, and a file of this format of an older one. A full
// disk is no reason not to open a file that has logs: it can be read.
func (o opener) prepare(f *file) error {
	known := false
	err := f.DB.View(func(tx *bbolt.Tx) error {
		known = tx.Bucket(bucketLogs) != nil
		if m := tx.Bucket(bucketMeta); m != nil {
			if v := m.Get(keyFormat); len(v) != 1 || v[0] == 0 || v[0] > formatVersion {
				return fmt.Errorf("%s has format %v, this version of Lifeline knows 1 to %d", o.Path(), v, formatVersion)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Also when nothing is new: bbolt counts free pages at a commit only.
	err = f.DB.Update(createBuckets)
	if err != nil && (!known || !boltfile.IsFull(err)) {
		return fmt.Errorf("prepare %s: %w", o.Path(), err)
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
	if err := countAll(tx); err != nil {
		return err
	}
	return tx.Bucket(bucketMeta).Put(keyFormat, []byte{formatVersion})
}
