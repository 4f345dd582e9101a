package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/faults"
	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

func through(p *faults.Proxy) func(*Options) {
	return func(o *Options) { o.URL, o.Timeout = "redis://"+p.Addr(), DefaultTimeout }
}

// refused fails unless every kind of write says that Redis cannot be used.
func refused(t *testing.T, d *Driver, reason string) {
	t.Helper()
	results, err := d.Apply(t.Context(), []storage.Op{
		entry("x"), in("e:other", "x"), document("x", 9), &storage.Del{Collection: "other", ID: "x"},
		addition("x"), item("x"),
	})
	var u *storage.UnavailableError
	if !errors.As(err, &u) || u.Reason != reason || !Counts(err) {
		t.Errorf("Apply answered %v, want %q", err, reason)
	}
	for _, r := range results {
		if !Counts(r.Err) || errors.Is(r.Err, storage.ErrPoison) {
			t.Errorf("a result is %+v", r)
		}
	}
	if err := d.Health(t.Context()); !errors.As(err, &u) || u.Reason != reason {
		t.Errorf("Health answered %v, want %q", err, reason)
	}
}

func TestLostRepliesThenRetryStoresOnce(t *testing.T) {
	s := redistest.Start(t)
	proxy := faults.NewProxy(t, s.Addr())
	d := open(t, s, through(proxy))
	d.checked.Store(true) // the connection must be idle, or replies to a new one's greeting are lost
	p := storage.NewProducer()
	eventually(t, "a first append", func() bool { _, err := try(t, d, entry("warm up")); return err == nil })
	for i := range 5 {
		n := uint64(2*i) + 1
		batch := []*storage.Append{
			linked(fmt.Sprint("a", i), p, n), linked(fmt.Sprint("b", i), p, n+1), entry(fmt.Sprint("c", i)),
		}
		proxy.DropReplies(true)
		before := proxy.Dropped()
		results, err := try(t, d, batch...)
		if !Counts(err) || !Counts(results[0].Err) {
			t.Fatalf("without a reply: %+v, %v", results, err)
		}
		eventually(t, "the reply is swallowed", func() bool { return proxy.Dropped() > before })
		proxy.DropReplies(false)
		proxy.Cut()
		eventually(t, "the batch goes through", func() bool { results, err = try(t, d, batch...); return err == nil })
		for j, r := range results {
			if r.Err != nil || !r.Duplicate || r.Cursor.Pos.Seq != uint64(3*i+j)+2 {
				t.Fatalf("round %d, retry %d was answered %+v", i, j, r)
			}
		}
	}
	if page := read(t, d, storage.LogQuery{}); len(page.Entries) != 16 || page.State.Head.Seq != 16 {
		t.Errorf("%d entries, head %s", len(page.Entries), page.State.Head)
	}
}

func TestFrozenServerIsGivenUpInTime(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s, func(o *Options) { o.Timeout = DefaultTimeout })
	eventually(t, "a first append", func() bool { _, err := try(t, d, entry("a")); return err == nil })
	s.Freeze()
	defer s.Thaw()
	for name, call := range map[string]func() error{
		"Apply":   func() error { _, err := try(t, d, entry("b")); return err },
		"ReadLog": func() error { _, err := d.ReadLog(t.Context(), testLog, storage.LogQuery{}); return err },
		"Get":     func() error { _, err := d.Get(t.Context(), testCollection, "a"); return err },
		"Scan":    func() error { _, err := d.Scan(t.Context(), testCollection, "", storage.ScanQuery{}); return err },
		"Take":    func() error { _, err := d.Take(t.Context(), "i:s", 0); return err },
		"Counters": func() error {
			_, err := d.Counters(t.Context(), testCollection, "", storage.CounterQuery{Top: 1})
			return err
		},
		"Health":  func() error { return d.Health(t.Context()) },
		"Beat":    func() error { return d.Beat(t.Context(), 0) },
		"Publish": func() error { return d.Publish(t.Context(), "x", nil) },
	} {
		start := time.Now()
		err := call()
		if took := time.Since(start); took > quick {
			t.Errorf("%s took %v", name, took)
		}
		var u *storage.UnavailableError
		if !errors.As(err, &u) || u.Reason != "Redis does not answer in time" {
			t.Errorf("%s answered %v", name, err)
		}
	}
}

func TestCallersCancelIsTheirOwn(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	apply(t, d, entry("a"))
	s.Freeze()
	defer s.Thaw()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	start := time.Now()
	results, err := d.Apply(ctx, []storage.Op{entry("b")})
	if !errors.Is(err, context.Canceled) || Counts(err) || !errors.Is(results[0].Err, context.Canceled) {
		t.Errorf("answer is %+v, %v", results, err)
	}
	if took := time.Since(start); took > time.Second { // of a timeout of 5 s
		t.Errorf("a cancel took %v", took)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.Health(ctx); !errors.Is(err, context.DeadlineExceeded) || Counts(err) {
		t.Errorf("the caller's deadline was answered %v", err)
	}
}

func TestServerThatRefusesWrites(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	apply(t, d, entry("a"), in("e:dropped", "a")) // what is not there needs no write to be dropped
	do(t, d, item("waiting"))
	for _, tt := range []struct {
		reason   string
		on, off  []any
		noneRead bool
	}{
		{
			reason: replies["OOM"],
			on:     []any{"CONFIG", "SET", "maxmemory", "1"}, off: []any{"CONFIG", "SET", "maxmemory", "0"},
		},
		{
			reason: replies["READONLY"],
			on:     []any{"REPLICAOF", "127.0.0.1", "1"}, off: []any{"REPLICAOF", "NO", "ONE"},
		},
		{
			reason: replies["NOREPLICAS"],
			on:     []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, off: []any{"CONFIG", "SET", "min-replicas-to-write", "0"},
		},
		{
			reason: replies["NOPERM"],
			on:     []any{"ACL", "SETUSER", "default", "-hset"}, off: []any{"ACL", "SETUSER", "default", "+@all"},
		},
		{
			reason: replies["NOPERM"], noneRead: true,
			on: []any{"ACL", "SETUSER", "default", "-evalsha", "-hgetall"}, off: []any{"ACL", "SETUSER", "default", "+@all"},
		},
	} {
		t.Run(fmt.Sprint(tt.on), func(t *testing.T) {
			s.MustDo(tt.on...)
			refused(t, d, tt.reason)
			if _, err := d.Apply(t.Context(), []storage.Op{&storage.Drop{Scope: "e:dropped"}}); !Counts(err) {
				t.Errorf("Drop answered %v", err)
			}
			_, err := d.ReadLog(t.Context(), testLog, storage.LogQuery{})
			if (err != nil) != tt.noneRead || err != nil && !Counts(err) {
				t.Errorf("reading meanwhile: %v", err)
			}
			if _, err := d.Get(t.Context(), testCollection, "x"); !tt.noneRead && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("Get meanwhile: %v", err)
			}
			s.MustDo(tt.off...)
			apply(t, d, entry("after"+strings.Join(strings.Fields(fmt.Sprint(tt.on)), "-")))
		})
	}
	if read(t, d, storage.LogQuery{}).State.Head.Seq != 6 {
		t.Error("a refused append was stored")
	}
	if n := count(t, d, "x"); n != 0 {
		t.Error("a refused Add has counted")
	}
	items, err := d.Take(t.Context(), "i:s", 0)
	if err != nil || len(items) != 1 || items[0].ID != "waiting" {
		t.Errorf("the queue has %+v, %v", items, err)
	}
}

// TestTakeFreesMemory: taking needs none, and is what helps.
func TestTakeFreesMemory(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	do(t, d, item("a"))
	s.MustDo("CONFIG", "SET", "maxmemory", "1")
	if items, err := d.Take(t.Context(), "i:s", 0); err != nil || len(items) != 1 {
		t.Errorf("took %+v, %v", items, err)
	}
	s.MustDo("REPLICAOF", "127.0.0.1", "1")
	if _, err := d.Take(t.Context(), "i:s", 0); err != nil {
		t.Errorf("nothing to take, nothing to write: %v", err)
	}
	s.MustDo("CONFIG", "SET", "maxmemory", "0")
	s.MustDo("REPLICAOF", "NO", "ONE")
	do(t, d, item("b"))
	s.MustDo("REPLICAOF", "127.0.0.1", "1")
	if _, err := d.Take(t.Context(), "i:s", 0); !Counts(err) {
		t.Errorf("on a replica Take answered %v", err)
	}
	s.MustDo("REPLICAOF", "NO", "ONE")
	if items, err := d.Take(t.Context(), "i:s", 0); err != nil || len(items) != 1 {
		t.Errorf("what was refused is gone: %+v, %v", items, err)
	}
}

func TestLostRepliesOfOtherOperations(t *testing.T) {
	s := redistest.Start(t)
	proxy := faults.NewProxy(t, s.Addr())
	d := open(t, s, through(proxy))
	d.checked.Store(true)
	eventually(t, "a first append", func() bool { _, err := try(t, d, entry("warm up")); return err == nil })
	p := storage.NewProducer()
	for i := range 3 {
		add, push, unlinked := addition("a"), item(fmt.Sprint("l", i)), item(fmt.Sprint("i", i))
		add.Link = storage.Link{Producer: p, Number: uint64(i) + 1}
		push.Link = add.Link
		put := document("a", int64(i)+1)
		batch := []storage.Op{put, add, push, unlinked}
		proxy.DropReplies(true)
		before := proxy.Dropped()
		if _, err := d.Apply(t.Context(), batch); !Counts(err) {
			t.Fatalf("without a reply: %v", err)
		}
		eventually(t, "the reply is swallowed", func() bool { return proxy.Dropped() > before })
		proxy.DropReplies(false)
		proxy.Cut()
		var results []storage.Result
		eventually(t, "the batch goes through", func() bool {
			var err error
			results, err = d.Apply(t.Context(), batch)
			return err == nil
		})
		for j, r := range results {
			if r.Err != nil || !r.Duplicate {
				t.Errorf("round %d: %T was answered %+v", i, batch[j], r)
			}
		}
	}
	if n := count(t, d, "a"); n != 3 {
		t.Errorf("counted %d, want 3", n)
	}
	if items, err := d.Take(t.Context(), "i:s", 0); err != nil || len(items) != 6 {
		t.Errorf("took %d items, %v", len(items), err)
	}
}

func TestAuthentication(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "hunter2")
	for name, tt := range map[string]struct{ password, reason string }{
		"none":  {"", replies["NOAUTH"]},
		"wrong": {"guess-9000", replies["WRONGPASS"]},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, s, func(o *Options) { o.Password = tt.password })
			refused(t, d, tt.reason)
			_, err := try(t, d, entry("a"))
			if tt.password != "" && strings.Contains(err.Error(), tt.password) {
				t.Errorf("the error tells the password: %v", err)
			}
			if _, err := d.ReadLog(t.Context(), testLog, storage.LogQuery{}); !Counts(err) {
				t.Errorf("read answered %v", err)
			}
		})
	}
	d := open(t, s, func(o *Options) { o.Password = "hunter2" })
	apply(t, d, entry("a"))
}

func TestDatabase(t *testing.T) {
	s := redistest.Start(t)
	apply(t, open(t, s, func(o *Options) { o.DB = 3 }), entry("a"))
	if n := s.MustDo("DBSIZE"); n != int64(0) {
		t.Errorf("%v keys in database 0", n)
	}
	d := open(t, s, func(o *Options) { o.DB = 99 })
	refused(t, d, "Redis refuses the connection")
}

func TestConnectionsCutAndRefused(t *testing.T) {
	s := redistest.Start(t)
	proxy := faults.NewProxy(t, s.Addr())
	d := open(t, s, through(proxy))
	eventually(t, "a first append", func() bool { _, err := try(t, d, entry("a")); return err == nil })
	proxy.Refuse(true)
	proxy.Cut()
	for range 2 * DefaultPoolSize {
		if _, err := try(t, d, entry("b")); !Counts(err) {
			t.Fatalf("Apply answered %v", err)
		}
	}
	proxy.Refuse(false)
	// No memory of failures: the first attempt that can succeed does, but for a
	// machine so loaded that even this takes 300 ms.
	start := time.Now()
	eventually(t, "an append", func() bool { _, err := try(t, d, entry("b")); return err == nil })
	if took := time.Since(start); took > 800*time.Millisecond {
		t.Errorf("back after %v", took)
	}
}
