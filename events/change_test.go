package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
)

// changing is a backend whose storage can be changed.
type changing struct {
	siteBackend

	now atomic.Pointer[storage.Store]
}

func (b *changing) Records() *storage.Store { return b.now.Load() }

func (b *changing) AddEvent(ctx context.Context, session, id string, data []byte) (storage.Result, error) {
	return b.now.Load().AddEvent(ctx, session, id, data)
}

func (b *changing) AddEvents(ctx context.Context, events []storage.NewEvent) []storage.Result {
	return b.now.Load().AddEvents(ctx, events)
}

func (b *changing) ReadEvents(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error) {
	return b.now.Load().ReadEvents(ctx, session, q)
}

func (b *changing) Growth(ctx context.Context, fn func(string)) error {
	return b.now.Load().Growth(ctx, fn)
}

func memoryStore(t *testing.T) *storage.Store {
	t.Helper()
	d := memory.New(memory.Options{})
	t.Cleanup(func() { _ = d.Close() })
	return &storage.Store{Driver: d, History: storage.DefaultHistory}
}

// ids are those of the events that a store has.
func storedIDs(t *testing.T, s *storage.Store, session string) (ids []string) {
	t.Helper()
	page, err := s.ReadEvents(t.Context(), session, storage.LogQuery{Limit: storage.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestChangeStorage changes the storage again and again while publishers run: each
// event is in the storage that acknowledged it, and every follower gets all of them,
// in order, and is told of each epoch.
func TestChangeStorage(t *testing.T) {
	const sessions, changes = 4, 12
	stores := []*storage.Store{memoryStore(t), memoryStore(t), memoryStore(t)}
	b := new(changing)
	b.now.Store(stores[0])
	// The publishers wait for nobody, and may be faster than a reader.
	h := newTestHub(t, b, limits(Limits{MaxQueueBytes: 1 << 30, MaxQueueFrames: 1 << 20}))
	s := hubServer(t, h)
	stop := make(chan struct{})
	var publishing, reading sync.WaitGroup
	var published atomic.Int64
	type posted struct {
		ids []string
		in  []storage.Epoch
	}
	all := make([]posted, sessions)
	got := make([][]string, sessions)
	epochs := make([]int, sessions)
	for i := range sessions {
		session := fmt.Sprint("s", i)
		c := connect(t, s, "")
		c.subscribe(session)
		reading.Go(func() {
			for {
				switch m := c.read(); m["type"] {
				case "event":
					id := m["payload"].(map[string]any)["id"].(string)
					if id == "last" {
						return
					}
					got[i] = append(got[i], id)
				case "epoch":
					if m["gap"] != nil {
						t.Errorf("a gap: %v", m)
					}
					epochs[i]++
				}
			}
		})
		publishing.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprint(n)
				res, err := h.Publish(t.Context(), Event{Session: session, ID: id, Data: eventData(session, id)})
				if err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				all[i].ids, all[i].in = append(all[i].ids, id), append(all[i].in, res.Cursor.Epoch)
				published.Add(1)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for n := range changes {
		until := published.Load() + 100
		eventually(t, "something is published", func() bool { return published.Load() >= until })
		next := stores[(n+1)%len(stores)]
		if err := h.ChangeStorage("other", func() error { b.now.Store(next); return nil }); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	publishing.Wait()
	for i := range sessions {
		session := fmt.Sprint("s", i)
		if _, err := h.Publish(t.Context(), Event{Session: session, ID: "last", Data: eventData(session, "last")}); err != nil {
			t.Error(err)
		}
	}
	reading.Wait()
	for i := range sessions {
		session := fmt.Sprint("s", i)
		if !slices.Equal(got[i], all[i].ids) {
			t.Errorf("%s: got %d events, not these %d in this order", session, len(got[i]), len(all[i].ids))
		}
		if epochs[i] == 0 {
			t.Errorf("%s was told of no epoch", session)
		}
		in := make(map[storage.Epoch][]string)
		for n, id := range all[i].ids {
			in[all[i].in[n]] = append(in[all[i].in[n]], id)
		}
		for _, store := range stores {
			page, err := store.ReadEvents(t.Context(), session, storage.LogQuery{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			have := slices.DeleteFunc(storedIDs(t, store, session), func(id string) bool { return id == "last" })
			if want := in[page.State.Epoch]; !slices.Equal(have, want[max(0, len(want)-len(have)):]) {
				t.Errorf("%s: a storage has %v of %v", session, have, want)
			}
		}
	}
}

// TestChangeStorageRefused: a storage that cannot be installed changes nothing.
func TestChangeStorageRefused(t *testing.T) {
	b, store := new(changing), memoryStore(t)
	b.now.Store(store)
	h := newTestHub(t, b)
	c := connect(t, hubServer(t, h), "")
	c.subscribe(testSession)
	broken := errors.New("broken")
	if err := h.ChangeStorage("other", func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if got := *h.driver.Load(); got == "other" {
		t.Errorf("the driver is %s", got)
	}
	if _, err := h.Publish(t.Context(), Event{Session: testSession, ID: "1", Data: eventData(testSession, "1")}); err != nil {
		t.Error(err)
	}
	c.wantID("1")
}

// TestPublishersWaitForTheChange, and may give up; one that hangs does not hold it up.
func TestPublishersWaitForTheChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turnstile
		turns.init()
		if err := turns.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		empty, open := turns.shut(changeWait)
		if empty || time.Since(began) != changeWait {
			t.Errorf("empty: %t, after %s", empty, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var unavailable *storage.UnavailableError
		if err := turns.enter(ctx); !errors.As(err, &unavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who does not wait: %v", err)
		}
		entered := make(chan error)
		go func() { entered <- turns.enter(t.Context()) }()
		synctest.Wait()
		open()
		if err := <-entered; err != nil {
			t.Errorf("who waits: %v", err)
		}
		go func() {
			time.Sleep(time.Second) // the time of a publish, in the bubble
			turns.leave()
			turns.leave()
		}()
		began = time.Now()
		empty, open = turns.shut(changeWait)
		if open(); !empty || time.Since(began) != time.Second {
			t.Errorf("empty: %t, after %s", empty, time.Since(began))
		}
	})
}

// TestFollowingEndsWithTheHub: what ends with its storage begins anew in the next one.
func TestFollowingEndsWithTheHub(t *testing.T) {
	b, first, second := new(changing), memoryStore(t), memoryStore(t)
	b.now.Store(first)
	h := newTestHub(t, b)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.ChangeStorage("other", func() error { b.now.Store(second); return nil }); err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{}, 1)
	h.tasks.run(func() {
		h.keepFollowing(func(ctx context.Context) error {
			began <- struct{}{}
			<-ctx.Done()
			return nil
		}, func(err error) { t.Errorf("complains: %v", err) })
	})
	<-began
	if err := h.ChangeStorage("third", func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	<-began // and the hub's end, for which its tasks are waited, ends it
}
