package storage

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/disk"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/redis"
	"github.com/actionflows/lifeline/storage/resilient"
)

// The work: sessions that are full, so that every event trims another.
const (
	sessions  = 64
	history   = 1000
	eventSize = 300
)

// subject takes events one by one, from many callers.
type subject struct {
	name   string
	append func(ctx context.Context, session int, id string, data []byte) error
	// fill appends many at once; nil: append does.
	fill  func(ctx context.Context, session int, ids []string, data []byte) error
	redis *redistest.Server // whose processor time counts too
}

func sessionName(n int) string { return fmt.Sprint("e:s", n) }

// driverSubject is a driver, or one in its resilient wrapper, as the hub uses it.
func driverSubject(name string, d storage.Driver, r *redistest.Server) subject {
	apply := applyTo(d, false)
	return subject{
		name: name, fill: apply, redis: r,
		append: func(ctx context.Context, session int, id string, data []byte) error {
			return apply(ctx, session, []string{id}, data)
		},
	}
}

// applyTo appends to a driver, which must answer that it is stored, or that it is
// pending.
func applyTo(d storage.Driver, pending bool) func(ctx context.Context, session int, ids []string, data []byte) error {
	return func(ctx context.Context, session int, ids []string, data []byte) error {
		ops := make([]storage.Op, len(ids))
		for i, id := range ids {
			ops[i] = &storage.Append{
				Log: sessionName(session), ID: id, Data: data, MaxLen: history, MaxAge: 24 * time.Hour,
			}
		}
		results, err := d.Apply(ctx, ops)
		if err != nil {
			return err
		}
		for i := range results {
			if results[i].Err != nil || results[i].Pending != pending {
				return fmt.Errorf("result %d is %+v", i, results[i])
			}
		}
		return nil
	}
}

// journalOnly is what an outage leaves: nothing is sent, all is acknowledged from the
// journal. Its sessions begin empty, for what waits trims nothing.
func journalOnly(b *testing.B, r *redistest.Server) subject {
	b.Helper()
	d, br := newJournaled(b, r, b.TempDir())
	br.Hold(breaker.ForcedOpen, 0)
	apply := applyTo(d, true)
	return subject{
		name: "journal only",
		fill: func(context.Context, int, []string, []byte) error { return nil },
		append: func(ctx context.Context, session int, id string, data []byte) error {
			return apply(ctx, session, []string{id}, data)
		},
	}
}

func newMemory(b *testing.B) storage.Driver {
	b.Helper()
	d := memory.New(memory.Options{MaxSize: 4 << 30})
	b.Cleanup(func() { _ = d.Close() })
	return d
}

func newDisk(b *testing.B, dir string) storage.Driver {
	b.Helper()
	d, err := disk.Open(disk.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	return d
}

func newRedis(b *testing.B, r *redistest.Server) storage.Driver {
	b.Helper()
	d, err := redis.New(redis.Options{URL: r.URL(), Timeout: 5 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	return d
}

// newJournaled is Redis as the hub uses it: the journal's shipper makes the batches.
// Without a directory the journal is in memory.
func newJournaled(b *testing.B, r *redistest.Server, dir string) (storage.Driver, *breaker.Breaker) {
	b.Helper()
	d, err := redis.New(redis.Options{URL: r.URL()})
	if err != nil {
		b.Fatal(err)
	}
	br, err := breaker.New(breaker.Config{Name: "redis"})
	if err != nil {
		b.Fatal(err)
	}
	// A busy machine may be slower than 250 ms; that is not what is measured.
	j, err := resilient.NewJournaled(resilient.JournaledConfig{
		Driver: d, Breakers: []*breaker.Breaker{br}, AckAfter: 10 * time.Second, Dir: dir,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = j.Close()
		br.Close()
	})
	return j, br
}

// journaledSubject is Redis behind a journal.
func journaledSubject(b *testing.B, name string, r *redistest.Server, dir string) subject {
	b.Helper()
	d, _ := newJournaled(b, r, dir)
	return driverSubject(name, d, r)
}
