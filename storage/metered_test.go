package storage_test

import (
	"context"
	"errors"
	"testing"

	"github.com/actionflows/lifeline/internal/durations"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
	"github.com/actionflows/lifeline/storage/storagetest"
)

func TestAMeteredDriverIsADriver(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Driver {
		return storage.Meter(memory.New(memory.Options{}), new(storage.Calls))
	})
}

// broken fails every call but those that it does not override.
type broken struct {
	storage.Driver
	err error
}

func (f broken) Apply(context.Context, []storage.Op) ([]storage.Result, error) { return nil, f.err }
func (f broken) Take(context.Context, string, int) ([]storage.Item, error)     { return nil, f.err }
func (f broken) ReadLog(context.Context, string, storage.LogQuery) (storage.LogPage, error) {
	return storage.LogPage{}, f.err
}

func (f broken) Get(context.Context, string, string) (storage.Document, error) {
	return storage.Document{}, f.err
}

func (f broken) Scan(context.Context, string, string, storage.ScanQuery) ([]storage.Document, error) {
	return nil, f.err
}

func (f broken) Counters(context.Context, string, string, storage.CounterQuery) ([]storage.Counter, error) {
	return nil, f.err
}
func (f broken) Publish(context.Context, string, []byte) error { return f.err }
func (f broken) Health(context.Context) error                  { return f.err }

func TestAMeteredDriverCountsWhatItHolds(t *testing.T) {
	d := storage.Meter(memory.New(memory.Options{}), new(storage.Calls))
	if n, err := storage.CountingOf(d).CountLogs(t.Context(), "e:"); n != 0 || err != nil {
		t.Errorf("%d logs, %v", n, err)
	}
}

func TestCallsAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		failed uint64
	}{
		"success":                  {nil, 0},
		"a failure":                {errors.New("the backend is away"), 1},
		"nothing there":            {storage.ErrNotFound, 0},
		"nobody who waits for it":  {context.Canceled, 0},
		"the time that it has had": {context.DeadlineExceeded, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var calls storage.Calls
			d := storage.Meter(broken{err: c.err}, &calls)
			ctx := t.Context()
			_, _ = d.Apply(ctx, nil)
			_, _ = d.Take(ctx, "q", 1)
			_, _ = d.ReadLog(ctx, "l", storage.LogQuery{})
			_, _ = d.Get(ctx, "c", "id")
			_, _ = d.Scan(ctx, "c", "", storage.ScanQuery{})
			_, _ = d.Counters(ctx, "c", "s", storage.CounterQuery{})
			_ = d.Publish(ctx, "c", nil)
			_ = d.Health(ctx)
			ops := 0
			calls.Each(func(op string, took durations.Sum, failed uint64) {
				ops++
				if took.Count != 1 || failed != c.failed {
					t.Errorf("%s: %d calls, %d failed, want 1 and %d", op, took.Count, failed, c.failed)
				}
			})
			if ops != 8 {
				t.Errorf("%d kinds of calls", ops)
			}
		})
	}
}

type partitioned struct {
	broken
	lost func(string)
}

func (p *partitioned) Lanes() []string                    { return []string{"a", "b"} }
func (p *partitioned) Partition(storage.Op) (string, int) { return "p", 1 }
func (p *partitioned) Beat(context.Context, int) error    { return p.err }
func (p *partitioned) OnLoss(fn func(string))             { p.lost = fn }

func TestAMeteredDriverIsPartitionedAsItsOwn(t *testing.T) {
	var calls storage.Calls
	if _, is := storage.Meter(broken{}, &calls).(storage.Partitioned); is {
		t.Error("a driver without partitions has some")
	}
	own := &partitioned{broken: broken{err: errors.New("away")}}
	p, is := storage.Meter(own, &calls).(storage.Partitioned)
	if !is {
		t.Fatal("the partitions are gone")
	}
	lost := ""
	p.OnLoss(func(partition string) { lost = partition })
	own.lost("x")
	if name, lane := p.Partition(nil); len(p.Lanes()) != 2 || name != "p" || lane != 1 || lost != "x" {
		t.Errorf("lanes %v, partition %s in %d, lost %q", p.Lanes(), name, lane, lost)
	}
	if p.Beat(t.Context(), 0) == nil {
		t.Error("a heartbeat succeeds")
	}
	calls.Each(func(op string, took durations.Sum, failed uint64) {
		if beats := op == "health"; beats != (took.Count == 1) || beats != (failed == 1) {
			t.Errorf("%s: %d calls, %d failed", op, took.Count, failed)
		}
	})
}
