package storagetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

var lifecycleTests = []test{
	{"a working driver is healthy", healthy},
	{"Publish works without subscribers", publish},
	{"Subscribe ends with its context", subscribeContext},
	{"a cancelled context is answered at once", cancelled},
	{"Close may be called twice, also at once", closeTwice},
	{"after Close every call answers ErrClosed", closedCalls},
	{"Close ends Subscribe", closeSubscribe},
	{"Close waits for running operations", closeRunning},
}

func healthy(e *env) {
	for range 3 {
		if err := e.d.Health(e.ctx); err != nil {
			e.Fatal(err)
		}
	}
}

func publish(e *env) {
	if err := e.d.Publish(e.ctx, "storagetest", []byte("hello")); err != nil {
		e.Fatal(err)
	}
}

// within answers what fn answers, or fails when that takes too long.
func (e *env) within(what string, fn func() error) error {
	e.Helper()
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		e.Fatalf("%s has not returned within %v", what, patience)
		return nil
	}
}

func subscribeContext(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	time.AfterFunc(10*time.Millisecond, cancel)
	err := e.within("Subscribe", func() error {
		return e.d.Subscribe(ctx, "storagetest", func(storage.Message) {})
	})
	if !errors.Is(err, context.Canceled) {
		e.Fatalf("answer is %v", err)
	}
}

func cancelled(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	var results []storage.Result
	err := e.within("Apply", func() (err error) {
		results, err = e.d.Apply(ctx, []storage.Op{e.entry("a"), e.entry("b")})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		e.Fatalf("Apply answered %v", err)
	}
	for _, r := range results {
		if !errors.Is(r.Err, context.Canceled) {
			e.Fatalf("a result is %+v", r)
		}
	}
	err = e.within("ReadLog", func() error {
		_, err := e.d.ReadLog(ctx, e.log, storage.LogQuery{})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		e.Fatalf("ReadLog answered %v", err)
	}
	if err := e.within("Health", func() error { return e.d.Health(ctx) }); !errors.Is(err, context.Canceled) {
		e.Fatalf("Health answered %v", err)
	}
	e.apply(e.entry("c")) // others are not affected
}

func closeTwice(e *env) {
	e.fill("e", 2)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = e.d.Close() })
	}
	wg.Wait()
	if err := errors.Join(append(errs, e.d.Close())...); err != nil {
		e.Fatal(err)
	}
}

func closedCalls(e *env) {
	e.fill("e", 2)
	if err := e.d.Close(); err != nil {
		e.Fatal(err)
	}
	calls := map[string]func() error{
		"Apply": func() error {
			results, err := e.d.Apply(e.ctx, []storage.Op{e.entry("a")})
			for _, r := range results {
				if !errors.Is(r.Err, storage.ErrClosed) {
					e.Errorf("a result of Apply is %+v", r)
				}
			}
			return err
		},
		"ReadLog": func() error {
			_, err := e.d.ReadLog(e.ctx, e.log, storage.LogQuery{})
			return err
		},
		"Publish":   func() error { return e.d.Publish(e.ctx, "storagetest", nil) },
		"Subscribe": func() error { return e.d.Subscribe(e.ctx, "storagetest", func(storage.Message) {}) },
		"Health":    func() error { return e.d.Health(e.ctx) },
	}
	for name, call := range calls {
		if err := e.within(name, call); !errors.Is(err, storage.ErrClosed) {
			e.Errorf("%s answered %v", name, err)
		}
	}
}

func closeSubscribe(e *env) {
	time.AfterFunc(10*time.Millisecond, func() { _ = e.d.Close() })
	err := e.within("Subscribe", func() error {
		return e.d.Subscribe(e.ctx, "storagetest", func(storage.Message) {})
	})
	if !errors.Is(err, storage.ErrClosed) {
		e.Fatalf("answer is %v", err)
	}
}

func closeRunning(e *env) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				r, err := e.d.Apply(e.ctx, []storage.Op{e.entry(storage.NewEpoch().String())})
				if err == nil {
					err = r[0].Err
				}
				if errors.Is(err, storage.ErrClosed) {
					return
				}
				if err != nil {
					e.Errorf("writer %d, append %d: %v", i, n, err)
					return
				}
			}
		})
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = e.d.Close() })
	_ = e.within("writers", func() error { wg.Wait(); return nil })
}

// reopened closes the driver and goes on with another on the same data.
func (e *env) reopened(o Options) {
	e.Helper()
	e.d = o.Reopen(e.T, e.d)
}

func reopenTests(o Options) []test {
	return []test{
		{"entries, cursors and ids are still there", func(e *env) {
			r := e.fill("e", 5)
			e.reopened(o)
			page := e.after(r[1].Cursor, 0)
			e.wantIDs(page.Entries, "e2", "e3", "e4")
			if page.Gap {
				e.Fatal("nothing is missing")
			}
			again := e.apply(e.entry("e0"))[0]
			if !again.Duplicate {
				e.Fatal("the id is not remembered")
			}
			e.samePlace(again.Cursor, r[0].Cursor)
			next := e.apply(e.entry("e5"))[0].Cursor
			if next.Epoch != r[4].Cursor.Epoch || next.Pos.Seq != 6 || next.Pos.Micros <= r[4].Cursor.Pos.Micros {
				e.Fatalf("the next cursor is %s, the last was %s", next, r[4].Cursor)
			}
		}},
		{"ids of trimmed entries are remembered, and the gap is", func(e *env) {
			var first storage.Cursor
			for i := range 20 {
				if r := e.apply(e.bounded(names("e", i, i+1)[0], 3))[0]; i == 0 {
					first = r.Cursor
				}
			}
			e.reopened(o)
			if page := e.after(first, 0); !page.Gap {
				e.Fatal("the reader was not told")
			}
			if r := e.apply(e.bounded("e0", 3))[0]; !r.Duplicate {
				e.Fatal("the id is not remembered")
			}
		}},
	}
}

func reopenChainTests(o Options) []test {
	return []test{{"chains go on", func(e *env) {
		p := storage.NewProducer()
		e.apply(e.linked("a", p, 1), e.linked("b", p, 2))
		e.reopened(o)
		if r := e.apply(e.linked("x", p, 2))[0]; !r.Duplicate {
			e.Fatalf("number 2 was taken twice: %+v", r)
		}
		e.wantErr(e.linked("d", p, 4), storage.ErrGap)
		e.apply(e.linked("c", p, 3))
	}}}
}
