package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// writer appends ids to one log, one after the other, each until it is
// acknowledged, as the shipper of storage/resilient does.
type writer struct {
	d        *Driver
	acked    atomic.Int64 // ids below it are acknowledged
	stop     context.CancelFunc
	finished chan struct{}
}

func startWriter(t *testing.T, d *Driver) *writer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &writer{d: d, stop: cancel, finished: make(chan struct{})}
	go func() {
		defer close(w.finished)
		for i := 0; ctx.Err() == nil; i++ {
			for attempt := 0; ctx.Err() == nil; attempt++ {
				results, err := d.Apply(ctx, []storage.Op{entry(name(i))})
				if err == nil && results[0].Err == nil {
					w.acked.Store(int64(i) + 1)
					break
				}
				if !Counts(err) && ctx.Err() == nil {
					t.Errorf("append %d: %v", i, err)
				}
				wait(ctx, attempt)
			}
		}
	}()
	t.Cleanup(w.end)
	return w
}

func name(i int) string { return fmt.Sprintf("%06d", i) }

func (w *writer) end() {
	w.stop()
	<-w.finished
}

// await waits until more ids are acknowledged.
func (w *writer) await(t *testing.T, more int64) int64 {
	t.Helper()
	goal := w.acked.Load() + more
	eventually(t, fmt.Sprintf("%d acknowledged appends", goal), func() bool { return w.acked.Load() >= goal })
	return w.acked.Load()
}

// stored answers the ids in the log.
func stored(t *testing.T, d *Driver) []string {
	t.Helper()
	var ids []string
	q := storage.LogQuery{After: &storage.Cursor{}, Limit: storage.MaxPage}
	for {
		page := read(t, d, q)
		for _, e := range page.Entries {
			ids = append(ids, e.ID)
		}
		if !page.HasMore {
			return ids
		}
		q.After = &page.Cursor
	}
}

// TestFailoverUnderAppends: what a replica had is there exactly once and in order.
// Replication is asynchronous: of what was acknowledged after that and before the
// master died, the newest may be gone, without a hole in between. It is what the
// journal of storage/resilient still has.
func TestFailoverUnderAppends(t *testing.T) {
	s := redistest.StartSentinels(t, "")
	d := openWith(t, bySentinel(s))
	b := subscribe(t, d, storage.NoticeChannel)
	ready(t, d, storage.NoticeChannel, b)
	w := startWriter(t, d)
	w.await(t, 100)
	dead := s.Master()
	safe := w.acked.Load()
	if err := dead.Replicate(); err != nil {
		t.Fatal(err)
	}
	dead.Kill()
	alive := s.Other(dead)
	s.AwaitMaster(alive)
	resumed := w.await(t, 1)
	eventually(t, "Lost, as the subscription was at the dead master", func() bool { return b.lost() > 0 })
	dead.Restart() // empty; it becomes the replica
	dead.AwaitRole("slave")
	w.await(t, 50)
	w.end()
	last := w.acked.Load()

	ids := stored(t, d)
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("entries are doubled or out of order: %v", ids)
	}
	there := map[string]bool{}
	for _, id := range ids {
		there[id] = true
	}
	var missing []int
	for i := range int(last) {
		if !there[name(i)] {
			missing = append(missing, i)
		}
	}
	for n, i := range missing {
		if i < int(safe) || i >= int(resumed) {
			t.Errorf("%s is missing, though a replica had it or it came after the failover", name(i))
		}
		if n > 0 && i != missing[n-1]+1 {
			t.Errorf("a hole between %d and %d", missing[n-1], i)
		}
	}
	t.Logf("%d acknowledged, about %d of them before the failover, which lost %d", last, resumed, len(missing))
	// The journal fills up what is missing, and what is there stays as it is.
	before := len(ids)
	refill := make([]*storage.Append, last)
	for i := range refill {
		refill[i] = entry(name(i))
	}
	for batch := range slices.Chunk(refill, 100) {
		eventually(t, "a batch is there", func() bool { _, err := try(t, d, batch...); return err == nil })
	}
	if ids = stored(t, d); len(ids) != before+len(missing) {
		t.Errorf("refilled there are %d entries, want %d", len(ids), before+len(missing))
	}
	eventually(t, "notices from the new master", func() bool { ready(t, d, storage.NoticeChannel, b); return true })
}

func TestSentinelPasswordAndName(t *testing.T) {
	s := redistest.StartSentinels(t, "hunter2")
	for name, tt := range map[string]struct {
		change func(*Sentinel)
		reason string
	}{
		"right":          {func(*Sentinel) {}, ""},
		"wrong password": {func(o *Sentinel) { o.Password = "guess" }, replies["WRONGPASS"]},
		"no password":    {func(o *Sentinel) { o.Password = "" }, replies["NOAUTH"]},
		"other name":     {func(o *Sentinel) { o.Master = "mymaster" }, "the Sentinels do not know the master's name"},
		"nobody there":   {func(o *Sentinel) { o.Addrs = []string{"127.0.0.1:1"} }, "Redis cannot be reached"},
		"one away":       {func(o *Sentinel) { o.Addrs[0] = "127.0.0.1:1" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := bySentinel(s)
			o.Timeout, o.Sentinel.Password = 5*time.Second, "hunter2"
			tt.change(o.Sentinel)
			d := openWith(t, o)
			if tt.reason != "" {
				refused(t, d, tt.reason)
			} else {
				apply(t, d, entry(name))
			}
		})
	}
}

// TestDeposedMasterIsLeft: a master that is none any more but answers as before,
// behind a network that is split, is left at the next health check.
func TestDeposedMasterIsLeft(t *testing.T) {
	before, after := redistest.Start(t), redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	var master atomic.Pointer[redistest.Server]
	master.Store(before)
	var logs *observer.ObservedLogs
	d := open(t, before, func(o *Options) { logs = logged(o) })
	named := func(context.Context, *servers) ([]slots, error) {
		return []slots{{0, lastSlot, master.Load().Addr()}}, nil
	}
	for _, s := range []*servers{d.write, d.read} {
		s.find = named
	}
	b := subscribe(t, d, "x")
	ready(t, d, "x", b)
	apply(t, d, entry("a"))
	master.Store(after)
	eventually(t, "an append to the new master", func() bool {
		_ = d.Health(t.Context())
		results, err := try(t, d, entry("b"))
		return err == nil && results[0].Cursor.Pos.Seq == 1
	})
	eventually(t, "Lost", func() bool { return b.lost() > 0 })
	eventually(t, "a look at the new master's configuration", func() bool {
		_ = d.Health(t.Context())
		return logs.FilterField(zap.String("server", after.Addr())).FilterMessageSnippet("THROW").Len() == 1
	})
	eventually(t, "a message by the new master", func() bool {
		after.MustDo("PUBLISH", d.keys.channel("x"), "new")
		return b.has("new")
	})
	if n := before.MustDo("PUBLISH", d.keys.channel("x"), "old"); n != int64(0) {
		t.Error("the subscription at the old master is still there")
	}
	eventually(t, "reading from the new master", func() bool {
		_ = d.Health(t.Context())
		page, err := d.ReadLog(t.Context(), testLog, storage.LogQuery{})
		return err == nil && len(page.Entries) == 1 && page.Entries[0].ID == "b"
	})
}

func TestClosedWhileLooking(t *testing.T) {
	s := redistest.StartSentinels(t, "")
	s.Sentinel(0).Freeze()
	defer s.Sentinel(0).Thaw()
	o := bySentinel(s)
	o.Sentinel.Addrs = o.Sentinel.Addrs[:1]
	d := openWith(t, o)
	answer := make(chan error, 1)
	go func() { answer <- d.Health(t.Context()) }()
	eventually(t, "somebody looks", func() bool {
		d.write.mu.Lock()
		defer d.write.mu.Unlock()
		return d.write.look != nil
	})
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if d.write.look != nil || d.read.look != nil {
		t.Error("Close does not wait for the look")
	}
	if err := <-answer; !Counts(err) && !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Health answered %v", err)
	}
	if err := d.Health(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("after Close it answers %v", err)
	}
}
