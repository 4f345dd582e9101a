package redis

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// quick bounds what must be answered in spite of a server that is silent.
const quick = DefaultTimeout + 200*time.Millisecond

// open makes a driver for a server that is healthy, with a timeout that a loaded
// test machine does not reach.
func open(t *testing.T, s *redistest.Server, change ...func(*Options)) *Driver {
	t.Helper()
	o := Options{URL: s.URL(), Timeout: 5 * time.Second}
	for _, c := range change {
		c(&o)
	}
	return openWith(t, o)
}

func openWith(t *testing.T, o Options) *Driver {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

const testLog = "e:s"

func entry(id string) *storage.Append {
	return &storage.Append{Log: testLog, ID: id, Data: []byte("data of " + id)}
}

func linked(id string, p storage.Producer, n uint64) *storage.Append {
	a := entry(id)
	a.Link = storage.Link{Producer: p, Number: n}
	return a
}

func in(log, id string) *storage.Append {
	return &storage.Append{Log: log, ID: id, Data: []byte("x")}
}

func try(t *testing.T, d *Driver, appends ...*storage.Append) ([]storage.Result, error) {
	t.Helper()
	ops := make([]storage.Op, len(appends))
	for i, a := range appends {
		ops[i] = a
	}
	return d.Apply(t.Context(), ops)
}

func apply(t *testing.T, d *Driver, appends ...*storage.Append) []storage.Result {
	t.Helper()
	results, err := try(t, d, appends...)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("append %q: %v", appends[i].ID, r.Err)
		}
	}
	return results
}

func read(t *testing.T, d *Driver, q storage.LogQuery) storage.LogPage {
	t.Helper()
	page, err := d.ReadLog(t.Context(), testLog, q)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return page
}

func wantIDs(t *testing.T, page storage.LogPage, want ...string) {
	t.Helper()
	got := make([]string, len(page.Entries))
	for i, e := range page.Entries {
		got[i] = e.ID
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("entries %v, want %v", got, want)
	}
}

// eventually waits until ok, asking often.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// inbox collects messages of one subscription, which ends with the test.
type inbox struct {
	mu       sync.Mutex
	messages []storage.Message
}

func subscribe(t *testing.T, d *Driver, channel string) *inbox {
	t.Helper()
	b := &inbox{}
	done := make(chan error, 1)
	go func() {
		done <- d.Subscribe(t.Context(), channel, func(m storage.Message) {
			b.mu.Lock()
			b.messages = append(b.messages, m)
			b.mu.Unlock()
		})
	}()
	t.Cleanup(func() { <-done }) // t.Context is done by now
	return b
}

func (b *inbox) count(want func(storage.Message) bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, m := range b.messages {
		if want(m) {
			n++
		}
	}
	return n
}

func (b *inbox) has(data string) bool {
	return b.count(func(m storage.Message) bool { return string(m.Data) == data }) > 0
}

func (b *inbox) lost() int { return b.count(func(m storage.Message) bool { return m.Lost }) }
