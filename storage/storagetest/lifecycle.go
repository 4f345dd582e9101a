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
	for name, call := range e.calls(ctx, context.Canceled) {
		if err := e.within(name, call); !errors.Is(err, context.Canceled) {
			e.Errorf("%s answered %v", name, err)
		}
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

// calls are all that may be asked of a driver, where each must answer want.
func (e *env) calls(ctx context.Context, want error) map[string]func() error {
	return map[string]func() error{
		"Apply": func() error {
			results, err := e.d.Apply(ctx, []storage.Op{
				e.entry("a"), e.put("a", 1), e.del("a", 2), e.push("a"), e.add("a", fields{"n": 1}), &storage.Drop{Scope: e.log},
			})
			for i, r := range results {
				if !errors.Is(r.Err, want) {
					e.Errorf("result %d of Apply is %+v", i, r)
				}
			}
			return err
		},
		"ReadLog": func() error {
			_, err := e.d.ReadLog(ctx, e.log, storage.LogQuery{})
			return err
		},
		"Take": func() error {
			_, err := e.d.Take(ctx, e.log, 0)
			return err
		},
		"Get": func() error {
			_, err := e.d.Get(ctx, e.log, "a")
			return err
		},
		"Scan": func() error {
			_, err := e.d.Scan(ctx, e.log, "", storage.ScanQuery{})
			return err
		},
		"Counters": func() error {
			_, err := e.d.Counters(ctx, e.log, "", storage.CounterQuery{Member: "a"})
			return err
		},
		"Publish":   func() error { return e.d.Publish(ctx, "storagetest", nil) },
		"Subscribe": func() error { return e.d.Subscribe(ctx, "storagetest", func(storage.Message) {}) },
		"Health":    func() error { return e.d.Health(ctx) },
	}
}

func closedCalls(e *env) {
	e.fill("e", 2)
	if err := e.d.Close(); err != nil {
		e.Fatal(err)
	}
	for name, call := range e.calls(e.ctx, storage.ErrClosed) {
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
