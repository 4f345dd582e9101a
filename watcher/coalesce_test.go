package watcher

import (
	"context"
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
	b.coalescer = newCoalescer(DefaultDebounce, DefaultMaxWait, func() (statter, error) { return b, nil })
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

func (b *bench) stat(rel string) (meta, error) {
	b.mem.Lock()
	defer b.mem.Unlock()
	m, ok := b.files[rel]
	if !ok {
		return meta{}, fs.ErrNotExist
	}
	return m, nil
}

func (b *bench) close() {}

func (b *bench) change(rel string, was, now kind) {
	if now == kindFile {
		b.files[rel] = meta{kind: kindFile, size: int64(time.Since(b.began)) + 1}
	} else {
		delete(b.files, rel)
	}
	b.hint(rel, was, now)
}

func (b *bench) hint(rel string, was, now kind) {
	b.tell(change{path: rel, was: was, now: now, meta: b.files[rel]})
}

func (b *bench) tell(c change) {
	b.mem.Unlock()
	defer b.mem.Lock()
	b.add(time.Now(), []change{c})
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
				if len(b.waiting) > 0 {
					t.Errorf("%d paths left", len(b.waiting))
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

// The snapshot has seen a file half written, and its event has left since: that
// the snapshot sees the rest as well is no news.
func TestLateKnowledgeIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		half := meta{kind: kindFile, size: 5, mtime: 1}
		whole := meta{kind: kindFile, size: 10, mtime: 2, settled: true}
		b.files["f"] = whole
		b.tell(change{path: "f", now: kindFile, meta: half})
		b.sleep(time.Second)
		b.tell(change{path: "f", was: kindFile, now: kindFile, meta: whole})
		b.sleep(time.Second)
		if want := []string{"created f"}; !slices.Equal(b.got, want) {
			t.Errorf("got %v, want %v", b.got, want)
		}
		if len(b.told) > 0 {
			t.Errorf("still remembered: %v", b.told)
		}
		b.tell(change{path: "f", was: kindFile, now: kindFile, meta: whole})
		b.sleep(time.Second)

		// What was written at the moment of the look may have been written again.
		whole.settled = false
		b.files["g"] = whole
		b.tell(change{path: "g", now: kindFile, meta: half})
		b.sleep(time.Second)
		b.tell(change{path: "g", was: kindFile, now: kindFile, meta: whole})
		b.sleep(time.Second)
		if want := []string{"created f", "modified f", "created g", "modified g"}; !slices.Equal(b.got, want) {
			t.Errorf("got %v, want %v", b.got, want)
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
		if len(b.got) > 0 || len(b.waiting) > 0 {
			t.Errorf("got %v, open %v", b.got, b.waiting)
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
