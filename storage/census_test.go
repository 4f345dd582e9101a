package storage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
)

// counted is a store with a census that goes on until the test ends.
func counted(t *testing.T, d storage.Driver, most int) *storage.Store {
	t.Helper()
	s := &storage.Store{Driver: d, History: storage.DefaultHistory, Census: storage.NewCensus(d)}
	s.Census.SetMax(most)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { _ = s.Census.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		ended.Wait()
		_ = d.Close()
	})
	synctest.Wait()
	return s
}

func post(t *testing.T, s *storage.Store, session, id string) error {
	t.Helper()
	_, err := s.AddEvent(t.Context(), session, id, []byte("{}"))
	return err
}

// refused fails unless an event of a session is refused because of max_logs.
func refused(t *testing.T, s *storage.Store, session string, most int) {
	t.Helper()
	full, ok := errors.AsType[*storage.TooManyLogsError](post(t, s, session, "refused"))
	if !ok || full.Max != most || !strings.Contains(full.Error(), "max_logs") {
		t.Fatalf("an event of %s is answered with %v", session, full)
	}
	if page, err := s.ReadEvents(t.Context(), session, storage.LogQuery{}); err != nil || len(page.Entries) > 0 {
		t.Fatalf("and stored: %v, %v", page, err)
	}
}

func taken(t *testing.T, s *storage.Store, session, id string) {
	t.Helper()
	if err := post(t, s, session, id); err != nil {
		t.Fatalf("an event of %s: %v", session, err)
	}
}

func TestTooManyLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := counted(t, memory.New(memory.Options{}), 2)
		taken(t, s, "a", "1")
		taken(t, s, "b", "1")
		refused(t, s, "c", 2)
		taken(t, s, "a", "2") // it is there
		// A session with a record is none that exists as a log only.
		if _, err := s.SetSession(t.Context(), storage.Session{ID: "c"}); err != nil {
			t.Fatal(err)
		}
		taken(t, s, "c", "1")
		refused(t, s, "d", 2)
		// In a batch each event is for itself.
		results := s.AddEvents(t.Context(), []storage.NewEvent{{Session: "d", ID: "2"}, {Session: "a", ID: "3"}, {Session: "d", ID: "3"}})
		if results[0].Err == nil || results[1].Err != nil || results[2].Err == nil {
			t.Fatalf("results are %+v", results)
		}
		// What is deleted makes room, at the latest a second after the last count.
		if _, err := s.DeleteSession(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		taken(t, s, "d", "1")
		refused(t, s, "e", 2)
		s.Census.SetMax(3)
		taken(t, s, "e", "1")
		refused(t, s, "f", 3)
	})
}

// History that has expired makes room, and a session whose history has is as a new one.
func TestLogsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := counted(t, memory.New(memory.Options{}), 1)
		s.History.MaxAge = time.Hour
		taken(t, s, "a", "1")
		refused(t, s, "b", 1)
		time.Sleep(time.Hour + 2*time.Minute)
		taken(t, s, "b", "1")
		refused(t, s, "a", 1)
	})
}

// A census that begins finds what is there.
func TestCensusOfWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New(memory.Options{})
		before := &storage.Store{Driver: d, History: storage.DefaultHistory}
		for i := range 5 {
			taken(t, before, fmt.Sprint(i), "1")
		}
		s := counted(t, d, 5)
		refused(t, s, "new", 5)
		taken(t, s, "4", "2")
	})
	// Also who publishes before the first count does so under the bound.
	d := memory.New(memory.Options{})
	t.Cleanup(func() { _ = d.Close() })
	s := &storage.Store{Driver: d, History: storage.DefaultHistory}
	taken(t, s, "a", "1")
	s.Census = storage.NewCensus(d)
	s.Census.SetMax(1)
	refused(t, s, "b", 1)
}

// A place that was found and then not taken is free again.
func TestAFailedAppendTakesNoPlace(t *testing.T) {
	d := &failing{Driver: memory.New(memory.Options{})}
	t.Cleanup(func() { _ = d.Close() })
	s := &storage.Store{Driver: d, History: storage.DefaultHistory, Census: storage.NewCensus(d)}
	s.Census.SetMax(2)
	taken(t, s, "a", "1")
	d.fails = true
	batch := []storage.NewEvent{{Session: "b", ID: "1"}, {Session: "b", ID: "2"}} // two that may each begin a log: near the bound
	for range 3 {
		if r := s.AddEvents(t.Context(), batch); r[0].Err == nil || r[1].Err == nil {
			t.Fatalf("results are %+v", r)
		}
	}
	d.fails = false
	if r := s.AddEvents(t.Context(), batch); r[0].Err != nil || r[1].Err != nil {
		t.Fatalf("results are %+v", r)
	}
	refused(t, s, "c", 2)
}

type failing struct {
	*memory.Driver

	fails bool
}

func (f *failing) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	if f.fails {
		return nil, &storage.UnavailableError{Reason: "it fails"}
	}
	return f.Driver.Apply(ctx, ops) //nolint:wrapcheck // a plain passage
}

// However many publish at the same time, no more logs begin than may, and all of
// them do.
func TestManyAtOnceKeepTheBound(t *testing.T) {
	d := memory.New(memory.Options{})
	t.Cleanup(func() { _ = d.Close() })
	s := &storage.Store{Driver: d, History: storage.DefaultHistory, Census: storage.NewCensus(d)}
	const most = 100
	s.Census.SetMax(most)
	for round := range 3 { // who was refused while others were under way comes again
		var all sync.WaitGroup
		for i := range 32 {
			all.Go(func() {
				for j := range 20 {
					_, _ = s.AddEvent(t.Context(), fmt.Sprint(i*20+j), fmt.Sprint(round), []byte("{}"))
				}
			})
		}
		all.Wait()
		if n, err := d.CountLogs(t.Context(), "e:"); err != nil || n > most {
			t.Fatalf("%d logs, %v", n, err)
		}
	}
	if n, _ := d.CountLogs(t.Context(), "e:"); n != most {
		t.Fatalf("%d logs, there is room for %d", n, most)
	}
}

// A driver that does not count, and one that is away, bound nothing.
func TestNothingIsCounted(t *testing.T) {
	d := memory.New(memory.Options{})
	t.Cleanup(func() { _ = d.Close() })
	plain := struct{ storage.Driver }{d}
	if err := storage.NewCensus(plain).Run(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	away := &unreadable{d}
	s := &storage.Store{Driver: away, History: storage.DefaultHistory, Census: storage.NewCensus(away)}
	s.Census.SetMax(1)
	taken(t, s, "a", "1")
	taken(t, s, "b", "1")
}

// unreadable takes events and cannot be asked for any.
type unreadable struct{ *memory.Driver }

func (unreadable) ReadLog(context.Context, string, storage.LogQuery) (storage.LogPage, error) {
	return storage.LogPage{}, &storage.UnavailableError{Reason: "away"}
}

func TestDisplacedRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := counted(t, memory.New(memory.Options{}), 0)
		s.MaxSessions = 2
		for i, id := range []string{"a", "b", "b", "c"} {
			if n := s.Census.Displaced(); n != 0 {
				t.Fatalf("%d displaced before record %d", n, i)
			}
			if _, err := s.SetSession(t.Context(), storage.Session{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.Census.Displaced(); n != 1 {
			t.Fatalf("%d displaced", n)
		}
	})
}
