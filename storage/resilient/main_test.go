package resilient

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fault is what happens to one call of a faulty driver.
type fault int

const (
	none    fault = iota
	fails         // refused, nothing done
	loses         // done, but the reply is lost
	hangs         // nothing done, no answer before the deadline
	poisons       // every entry is refused for good
	gone          // the log was deleted
)

var errFault = &storage.UnavailableError{Reason: "fault"}

// faulty is a driver in memory that can be made to fail and to lose its data.
type faulty struct {
	mu      sync.Mutex
	inner   storage.Driver
	olds    []storage.Driver
	fault   func(ops []storage.Op) fault // for Apply; nil: none
	reads   fault
	applies []time.Time // when each Apply came
	ops     [][]string  // the ids of each
	subs    []func(storage.Message)
}

func newFaulty() *faulty { return &faulty{inner: memory.New(memory.Options{})} }

func (f *faulty) set(x fault) { f.setFunc(func([]storage.Op) fault { return x }) }

func (f *faulty) setFunc(fn func([]storage.Op) fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fn
}

func (f *faulty) setReads(x fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads = x
}

// wipe loses all data.
func (f *faulty) wipe() { f.swap(memory.New(memory.Options{})) }

func (f *faulty) swap(d storage.Driver) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.olds = append(f.olds, f.inner)
	f.inner = d
}

func (f *faulty) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.applies)
}

func (f *faulty) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	f.mu.Lock()
	inner, x := f.inner, none
	if f.fault != nil {
		x = f.fault(ops)
	}
	var ids []string
	for _, op := range ops {
		if a, ok := op.(*storage.Append); ok {
			ids = append(ids, a.ID)
		}
	}
	f.applies, f.ops = append(f.applies, time.Now()), append(f.ops, ids)
	f.mu.Unlock()
	switch x {
	case fails:
		return failAll(len(ops), errFault), errFault
	case loses:
		_, _ = inner.Apply(ctx, ops)
		return failAll(len(ops), errFault), errFault
	case hangs:
		<-ctx.Done()
		return failAll(len(ops), ctx.Err()), ctx.Err()
	case poisons:
		return failAll(len(ops), storage.ErrPoison), nil
	case gone:
		return failAll(len(ops), storage.ErrGone), nil
	}
	return inner.Apply(ctx, ops)
}

// now answers the driver behind it at the moment, and what reads meet.
func (f *faulty) now() (storage.Driver, fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inner, f.reads
}

func (f *faulty) Take(ctx context.Context, queue string, n int) ([]storage.Item, error) {
	f.mu.Lock()
	inner, x := f.inner, none
	if f.fault != nil {
		x = f.fault(nil)
	}
	f.mu.Unlock()
	if x != none {
		return nil, errFault
	}
	return inner.Take(ctx, queue, n)
}

func (f *faulty) Get(ctx context.Context, collection, id string) (storage.Document, error) {
	inner, x := f.now()
	if x != none {
		return storage.Document{}, errFault
	}
	return inner.Get(ctx, collection, id)
}

func (f *faulty) Scan(ctx context.Context, collection, index string, q storage.ScanQuery) ([]storage.Document, error) {
	inner, x := f.now()
	if x != none {
		return nil, errFault
	}
	return inner.Scan(ctx, collection, index, q)
}

func (f *faulty) Counters(ctx context.Context, collection, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	inner, x := f.now()
	if x != none {
		return nil, errFault
	}
	return inner.Counters(ctx, collection, scope, q)
}

func (f *faulty) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	inner, x := f.now()
	switch x {
	case fails:
		return storage.LogPage{}, errFault
	case hangs:
		<-ctx.Done()
		return storage.LogPage{}, ctx.Err()
	}
	return inner.ReadLog(ctx, log, q)
}

func (f *faulty) Health(ctx context.Context) error {
	f.mu.Lock()
	x := none
	if f.fault != nil {
		x = f.fault(nil)
	}
	f.mu.Unlock()
	if x == hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if x != none {
		return errFault
	}
	return nil
}

func (f *faulty) Publish(context.Context, string, []byte) error { return nil }

func (f *faulty) Subscribe(ctx context.Context, _ string, fn func(storage.Message)) error {
	f.mu.Lock()
	f.subs = append(f.subs, fn)
	f.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (f *faulty) Close() error {
	for _, d := range append(f.olds, f.inner) {
		_ = d.Close()
	}
	return nil
}

// rig is a Journaled over a faulty driver.
type rig struct {
	*testing.T
	*Journaled
	f *faulty
	b *breaker.Breaker
}

func newRig(t *testing.T, change ...func(*JournaledConfig)) *rig {
	t.Helper()
	b, err := breaker.New(breaker.Config{Name: "redis"})
	if err != nil {
		t.Fatal(err)
	}
	f := newFaulty()
	cfg := JournaledConfig{Driver: f, Breakers: []*breaker.Breaker{b}, Logger: zap.NewNop()}
	for _, c := range change {
		c(&cfg)
	}
	j, err := NewJournaled(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, Journaled: j, f: f, b: b}
	t.Cleanup(r.end)
	return r
}

func (r *rig) end() {
	if err := r.Journaled.Close(); err != nil {
		r.Errorf("close: %v", err)
	}
	r.b.Close()
}

func op(log, id string) *storage.Append {
	return &storage.Append{Log: log, ID: id, Data: []byte("data of " + id)}
}

// put appends one entry, which must be acknowledged.
func (r *rig) put(log, id string) storage.Result {
	r.Helper()
	res, err := r.Apply(context.Background(), []storage.Op{op(log, id)})
	if err == nil {
		err = res[0].Err
	}
	if err != nil {
		r.Fatalf("append %s %s: %v", log, id, err)
	}
	return res[0]
}

func (r *rig) putErr(log, id string) error {
	res, err := r.Apply(context.Background(), []storage.Op{op(log, id)})
	if err == nil {
		err = res[0].Err
	}
	return err
}

func (r *rig) read(log string, q storage.LogQuery) storage.LogPage {
	r.Helper()
	page, err := r.ReadLog(context.Background(), log, q)
	if err != nil {
		r.Fatalf("read %s: %v", log, err)
	}
	return page
}

// stored is what the backend itself holds of a log.
func (r *rig) stored(log string) []string {
	r.Helper()
	r.f.mu.Lock()
	d := r.f.inner
	r.f.mu.Unlock()
	return idsOf(r.T, d, log)
}

func idsOf(t *testing.T, d storage.Driver, log string) []string {
	t.Helper()
	var ids []string
	c := storage.MicrosCursor(0)
	for {
		page, err := d.ReadLog(context.Background(), log, storage.LogQuery{After: &c, Limit: storage.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			ids = append(ids, e.ID)
		}
		if !page.HasMore {
			return ids
		}
		c = page.Cursor
	}
}

func (r *rig) want(log string, ids ...string) {
	r.Helper()
	if got := r.stored(log); fmt.Sprint(got) != fmt.Sprint(ids) {
		r.Fatalf("%s holds %v, want %v", log, got, ids)
	}
}

func (r *rig) trip() {
	r.f.set(fails)
	r.b.Trip(errors.New("test"))
}

// settle lets enough time pass for everything to be shipped, without traffic.
func settle() { time.Sleep(3 * time.Second) }

// statuses records what OnStatus tells.
type statuses struct {
	mu   sync.Mutex
	told []Status
}

func (s *statuses) tell(status Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, status)
}

func (s *statuses) all() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Status(nil), s.told...)
}
