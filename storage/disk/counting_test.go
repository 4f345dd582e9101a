package disk

import (
	"io/fs"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

func heldLogs(t *testing.T, d *Driver, want int) {
	t.Helper()
	if n, err := d.CountLogs(t.Context(), "e:"); err != nil || n != want {
		t.Fatalf("%d logs, %v; want %d", n, err, want)
	}
}

// The count is in the file: it outlives the process, and a log that lost its history
// is none.
func TestCountOutlivesTheDriver(t *testing.T) {
	dir := t.TempDir()
	var c clock
	o := Options{Dir: dir, now: c.now}
	d := open(t, o)
	for _, log := range []string{"e:a", "e:b", "e:c", "h:s:a"} {
		must(t, d, &storage.Append{Log: log, ID: "1", Data: []byte("x"), MaxAge: time.Hour})
	}
	must(t, d, &storage.Drop{Scope: "e:c"})
	heldLogs(t, d, 2)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, o)
	heldLogs(t, d, 2)
	c.advance(50 * time.Minute)
	must(t, d, &storage.Append{Log: "e:b", ID: "2", Data: []byte("x"), MaxAge: time.Hour})
	c.advance(20 * time.Minute)
	d.expire()
	heldLogs(t, d, 1)
	must(t, d, &storage.Append{Log: "e:a", ID: "2", Data: []byte("x"), MaxAge: time.Hour})
	heldLogs(t, d, 2)
	c.advance(48 * time.Hour)
	d.expire()
	d.expire()
	heldLogs(t, d, 0)
}

// A file of before logs were counted is counted when it is opened.
func TestCountOfAnOlderFile(t *testing.T) {
	dir := t.TempDir()
	d := open(t, Options{Dir: dir})
	mustAdd(t, d, "e:a", "1")
	mustAdd(t, d, "e:b", "1")
	must(t, d, &storage.Drop{Scope: "e:b"})
	update(t, d, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketMeta)
		if err := b.Delete(heldKey("e:")); err != nil {
			return err
		}
		return b.Delete(keyHeld)
	})
	heldLogs(t, d, 0)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: dir})
	heldLogs(t, d, 1)
}

// What a failed transaction would have changed is not counted.
func TestCountAfterAFailedCommit(t *testing.T) {
	d := open(t, Options{})
	mustAdd(t, d, "e:a", "1")
	failed := !d.carry(func(c *committer, tx *bbolt.Tx) error {
		if _, err := c.append(tx, "e:b", []*storage.Append{{Log: "e:b", ID: "1"}}); err != nil {
			return err
		}
		if err := c.flush(tx); err != nil {
			return err
		}
		return &fs.PathError{Op: "write", Err: syscall.ENOSPC}
	})
	if !failed {
		t.Fatal("the commit did not fail")
	}
	heldLogs(t, d, 1)
	mustAdd(t, d, "e:b", "1")
	heldLogs(t, d, 2)
}
