package watcher

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// clock is a lock that a test holds except while time goes by.
type clock struct{ mem sync.Mutex }

func (c *clock) lock(t *testing.T) {
	c.mem.Lock()
	t.Cleanup(c.mem.Unlock)
}

func (c *clock) sleep(d time.Duration) {
	c.mem.Unlock()
	time.Sleep(d)
	synctest.Wait()
	c.mem.Lock()
}

// supervised runs a supervisor whose runs end as outcomes say, each after its
// time, and then fail at once.
type supervised struct {
	*supervisor
	clock
	starts []time.Duration // when runs began
	states []State
	fresh  chan bool
	logs   *observer.ObservedLogs
}

type life struct {
	ready bool
	holds time.Duration
}

func supervise(t *testing.T, lives ...life) *supervised {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	began := time.Now()
	v := &supervised{fresh: make(chan bool), logs: logs}
	v.supervisor = &supervisor{
		attempts: DefaultRetryAttempts,
		initial:  DefaultRetryInitial,
		log:      zap.New(core),
		stable:   func() {},
		report: func(s State, _ int, _ error) {
			v.mem.Lock()
			defer v.mem.Unlock()
			v.states = append(v.states, s)
		},
		run: func(ctx context.Context, ready func()) error {
			v.mem.Lock()
			v.starts = append(v.starts, time.Since(began))
			v.mem.Unlock()
			var l life
			if len(lives) > 0 {
				l, lives = lives[0], lives[1:]
			}
			if l.ready {
				ready()
			}
			sleep(ctx, l.holds)
			return errInjected
		},
		dormant: func(ctx context.Context, cause error, _ time.Time) (bool, error) {
			if !errors.Is(cause, errInjected) {
				return false, cause
			}
			select {
			case fresh := <-v.fresh:
				return fresh, nil
			case <-ctx.Done():
				return false, ctx.Err()
			}
		},
	}
	v.lock(t)
	go v.loop(t.Context())
	return v
}

func seconds(s ...int) []time.Duration {
	var d []time.Duration
	for _, n := range s {
		d = append(d, time.Duration(n)*time.Second)
	}
	return d
}

func TestRetriesAfterOneTwoAndFourSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := supervise(t)
		v.sleep(time.Minute)
		if want := seconds(0, 1, 3, 7); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
		if got := v.states[len(v.states)-1]; got != StateFailed {
			t.Errorf("state %s", got)
		}
		if n := v.logs.FilterMessage("watcher retries exhausted").Len(); n != 1 {
			t.Errorf("%d logs of exhaustion", n)
		}

		v.fresh <- true // Restart: all attempts again
		v.sleep(time.Minute)
		if want := seconds(0, 1, 3, 7, 60, 61, 63, 67); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
		v.fresh <- false // the root appeared: one more
		v.sleep(time.Minute)
		if len(v.starts) != 9 {
			t.Errorf("%d starts, want one more", len(v.starts))
		}
	})
}

func TestFlappingIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flap := life{ready: true, holds: 9 * time.Second}
		v := supervise(t, flap, flap, flap, flap, flap)
		v.sleep(time.Hour)
		if want := seconds(0, 10, 21, 34); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
		if n := v.logs.FilterMessage("watcher restarted").Len(); n != 3 {
			t.Errorf("%d restarts logged", n)
		}
	})
}

func TestStabilityClearsTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := supervise(t, life{}, life{}, life{ready: true, holds: 10 * time.Second})
		v.sleep(time.Hour)
		if want := seconds(0, 1, 3, 14, 16, 20); !slices.Equal(v.starts, want) {
			t.Errorf("started at %v, want %v", v.starts, want)
		}
	})
}

func TestDelaysAreBounded(t *testing.T) {
	s := &supervisor{initial: time.Second, used: 200}
	if got := s.delay(); got != maxRetryDelay {
		t.Errorf("delay %s", got)
	}
}

// bench is a coalescer and deliverer with files that exist in a table only.
type bench struct {
	*coalescer
	clock
	files map[string]meta
	got   []string
	at    []time.Duration
	fail  int // offers that the sink refuses
	began time.Time
	logs  *observer.ObservedLogs
}

func newBench(t *testing.T) *bench {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	b := &bench{files: map[string]meta{}, began: time.Now(), logs: logs}
	b.coalescer = newCoalescer(DefaultDebounce, DefaultMaxWait, func(rel string) (meta, error) {
		b.mem.Lock()
		defer b.mem.Unlock()
		m, ok := b.files[rel]
		if !ok {
			return meta{}, fs.ErrNotExist
		}
		return m, nil
	})
	d := &deliverer{
		coalescer: b.coalescer,
		maker:     newEventMaker(Config{Session: "s", Dir: "/root"}),
		log:       zap.New(core),
		delivered: func(time.Time) {},
		sink: func(_ context.Context, ev Event) error {
			b.mem.Lock()
			defer b.mem.Unlock()
			if b.fail > 0 {
				b.fail--
				return errInjected
			}
			b.got = append(b.got, ev.ChangeType+" "+ev.RelativePath)
			b.at = append(b.at, time.Since(b.began))
			return nil
		},
	}
	b.lock(t)
	go d.loop(t.Context())
	return b
}

func (b *bench) change(rel string, was, now kind) {
	if now == kindFile {
		b.files[rel] = meta{kind: kindFile, size: int64(time.Since(b.began)) + 1}
	} else {
		delete(b.files, rel)
	}
	b.hint(rel, was, now)
}

func (b *bench) hint(rel string, was, now kind) {
	b.mem.Unlock()
	defer b.mem.Lock()
	b.add(time.Now(), []change{{path: rel, was: was, now: now}})
}

func TestCoalescing(t *testing.T) {
	type step struct {
		path     string
		was, now kind
	}
	none, file, dir := kindNone, kindFile, kindDir
	for name, tc := range map[string]struct {
		steps []step
		want  []string
	}{
		"created, modified": {[]step{{"f", none, file}, {"f", file, file}}, []string{"created f"}},
		"created, deleted":  {[]step{{"f", none, file}, {"f", file, none}}, nil},
		"deleted, created":  {[]step{{"f", file, none}, {"f", none, file}}, []string{"modified f"}},
		"modified, deleted": {[]step{{"f", file, file}, {"f", file, none}}, []string{"deleted f"}},
		"type change":       {[]step{{"f", file, none}, {"f", none, dir}}, []string{"deleted f", "created f"}},
		"directory again":   {[]step{{"d", dir, none}, {"d", none, dir}}, []string{"deleted d", "created d"}},
		"created, modified, renamed": {
			[]step{{"f", none, file}, {"f", file, file}, {"f", file, none}, {"g", none, file}},
			[]string{"created g"},
		},
		"deletions": {
			[]step{{"d", dir, none}, {"d/e", dir, none}, {"d/e/f", file, none}},
			[]string{"deleted d/e/f", "deleted d/e", "deleted d"},
		},
		"creations": {
			[]step{{"d/e/f", none, file}, {"d/e", none, dir}, {"d", none, dir}},
			[]string{"created d", "created d/e", "created d/e/f"},
		},
		"directory again with its content": {
			[]step{{"d/f", file, none}, {"d", dir, none}, {"d", none, dir}, {"d/f", none, file}},
			[]string{"deleted d/f", "deleted d", "created d", "created d/f"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				for _, s := range tc.steps {
					b.change(s.path, s.was, s.now)
				}
				b.sleep(DefaultDebounce - 1)
				if len(b.got) > 0 {
					t.Errorf("left before the debounce: %v", b.got)
				}
				b.sleep(2 * time.Second)
				if !slices.Equal(b.got, tc.want) {
					t.Errorf("got %v, want %v", b.got, tc.want)
				}
				if len(b.open) > 0 {
					t.Errorf("%d paths left", len(b.open))
				}
			})
		})
	}
}

func TestDirectoryLeavesBeforeItsContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		// The file is older, so its maximum wait ends first.
		b.change("d/f", kindFile, kindFile)
		for range 6 {
			b.sleep(250 * time.Millisecond)
			b.change("d/f", kindFile, kindFile)
		}
		b.sleep(250 * time.Millisecond)
		b.change("d/f", kindFile, kindNone)
		b.change("d", kindDir, kindNone)
		b.change("d", kindNone, kindDir)
		b.change("d/f", kindNone, kindFile)
		b.sleep(3 * time.Second)
		want := []string{"deleted d/f", "deleted d", "created d", "created d/f"}
		if !slices.Equal(b.got, want) {
			t.Errorf("got %v, want %v", b.got, want)
		}
	})
}

func TestFileMustBeStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.change("f", kindNone, kindFile)
		// It grows in a way that gives no hints.
		for range 10 {
			b.sleep(80 * time.Millisecond)
			m := b.files["f"]
			m.size++
			b.files["f"] = m
		}
		if len(b.got) > 0 {
			t.Errorf("left while it was written: %v", b.got)
		}
		b.sleep(stableFor + 2*stablePoll)
		if !slices.Equal(b.got, []string{"created f"}) {
			t.Errorf("got %v", b.got)
		}
	})
}

func TestMaximumWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		for range 500 {
			b.files["f"] = meta{kind: kindFile, size: int64(time.Since(b.began))}
			b.hint("f", kindFile, kindFile)
			b.sleep(10 * time.Millisecond)
		}
		if len(b.at) != 2 || b.at[0] != DefaultMaxWait || b.at[1] < 2*DefaultMaxWait || b.at[1] > 2*DefaultMaxWait+20*time.Millisecond {
			t.Errorf("left at %v", b.at)
		}
	})
}

func TestFileThatIsGoneIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.change("f", kindNone, kindFile)
		delete(b.files, "f")
		b.sleep(time.Minute)
		b.hint("f", kindFile, kindNone)
		b.sleep(time.Minute)
		if len(b.got) > 0 || len(b.open) > 0 {
			t.Errorf("got %v, open %v", b.got, b.open)
		}
	})
}

func TestSinkIsOfferedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.fail = sinkRetries
		b.change("a", kindDir, kindNone)
		b.sleep(time.Minute)
		if !slices.Equal(b.at, []time.Duration{DefaultDebounce + 3100*time.Millisecond}) {
			t.Errorf("left at %v", b.at)
		}
		if b.logs.FilterMessage("watcher event refused").Len() != 1 {
			t.Errorf("logs %v", b.logs.All())
		}

		b.fail = sinkRetries + 1
		b.change("b", kindDir, kindNone)
		b.change("c", kindDir, kindNone)
		b.sleep(time.Minute)
		if want := []string{"deleted a", "deleted c"}; !slices.Equal(b.got, want) {
			t.Errorf("got %v, want %v", b.got, want)
		}
		if b.logs.FilterMessage("watcher event dropped").Len() != 1 {
			t.Errorf("logs %v", b.logs.All())
		}
	})
}
