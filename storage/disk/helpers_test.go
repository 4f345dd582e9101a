package disk

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/storage"
)

func t0() context.Context { return context.Background() }

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

func glob(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// add carries out one operation and answers its result, whose Err may be set.
func add(t testing.TB, d *Driver, op storage.Op) storage.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := d.Apply(ctx, []storage.Op{op})
	if err == nil && r[0].Err != nil {
		err = r[0].Err
	}
	r[0].Err = err
	return r[0]
}

func mustAdd(t testing.TB, d *Driver, log, id string) storage.Cursor {
	t.Helper()
	r := add(t, d, &storage.Append{Log: log, ID: id, Data: []byte("data of " + id)})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Cursor
}

// must carries out operations one by one, all of which must succeed.
func must(t testing.TB, d *Driver, ops ...storage.Op) (r storage.Result) {
	t.Helper()
	for _, op := range ops {
		if r = add(t, d, op); r.Err != nil {
			t.Fatalf("%T: %v", op, r.Err)
		}
	}
	return r
}

// update changes the file behind the driver's back.
func update(t testing.TB, d *Driver, fn func(tx *bbolt.Tx) error) {
	t.Helper()
	if err := d.file.Load().DB.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// keys counts the keys in the buckets below a root, and those of the root.
func keys(t testing.TB, d *Driver, root []byte) (n int) {
	t.Helper()
	err := d.file.Load().DB.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(root)
		return b.ForEach(func(k, v []byte) error {
			if v != nil {
				n++
				return nil
			}
			return b.Bucket(k).ForEach(func([]byte, []byte) error { n++; return nil })
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func counterOf(t testing.TB, d *Driver, collection, scope, member string) map[string]int64 {
	t.Helper()
	c, err := d.Counters(t.Context(), collection, scope, storage.CounterQuery{Member: member})
	if err != nil {
		t.Fatal(err)
	}
	if len(c) == 0 {
		return nil
	}
	return c[0].Fields
}

func takeAll(t testing.TB, d *Driver, queue string) (ids []string) {
	t.Helper()
	items, err := d.Take(t.Context(), queue, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	return ids
}

func readAll(t testing.TB, d *Driver, log string) (entries []storage.LogEntry) {
	t.Helper()
	c := storage.MicrosCursor(0)
	for {
		page, err := d.ReadLog(t.Context(), log, storage.LogQuery{After: &c, Limit: storage.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, page.Entries...)
		if !page.HasMore {
			return entries
		}
		c = page.Cursor
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

func wantUnavailable(t testing.TB, err error, reason string) {
	t.Helper()
	var u *storage.UnavailableError
	if !errors.As(err, &u) || u.Reason != reason || u.RetryAfter <= 0 {
		t.Fatalf("error is %v, want unavailable because %q", err, reason)
	}
}
