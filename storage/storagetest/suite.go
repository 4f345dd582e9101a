// Package storagetest is the conformance suite of [storage.Driver]: whoever
// writes a driver runs it and knows that the rest of the hub will work with it.
//
// It needs nothing but the interface, and no clock that agrees with the
// backend's to better than some seconds. Every test uses names of its own, so
// that drivers opened on one shared backend do not disturb each other. What a
// driver does when its backend fails is for the driver's own tests.
package storagetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// Options says what a driver can do beyond, or cannot do of, the whole.
type Options struct {
	// Reopen closes a driver and opens another on the same data. Nil for one
	// that does not outlive its Close.
	Reopen func(t *testing.T, d storage.Driver) storage.Driver
	// NumbersItself: the driver gives each operation its place in a producer's
	// chain; Link, Rebase, Push.Taken and Append.Epoch are not for its callers.
	NumbersItself bool
}

// Run runs the suite. open is called for each test; the suite closes the driver.
func Run(t *testing.T, open func(t *testing.T) storage.Driver) {
	t.Helper()
	RunWith(t, open, Options{})
}

// RunWith is Run for a driver with other abilities.
func RunWith(t *testing.T, open func(t *testing.T) storage.Driver, o Options) {
	t.Helper()
	groups := []struct {
		name  string
		tests []test
		skip  string // why it does not apply
	}{
		{name: "append", tests: appendTests},
		{name: "dedup", tests: dedupTests},
		{name: "read", tests: readTests},
		{name: "cursor", tests: cursorTests},
		{name: "bounds", tests: boundsTests},
		{name: "document", tests: documentTests},
		{name: "delete", tests: deleteTests},
		{name: "expire", tests: expireTests},
		{name: "scan", tests: scanTests},
		{name: "evict", tests: evictTests},
		{name: "queue", tests: queueTests},
		{name: "counter", tests: counterTests},
		{name: "drop", tests: dropTests},
		{name: "nameless", tests: namelessTests},
		{name: "lifecycle", tests: lifecycleTests},
		{name: "partitioned", tests: partitionedTests},
		{name: "counting", tests: countingTests},
		{name: "chain", tests: chainTests, skip: numbers(o)},
		{name: "epoch", tests: epochTests, skip: numbers(o)},
		{name: "parts", tests: partsTests, skip: numbers(o)},
		{name: "queue-chain", tests: queueChainTests, skip: numbers(o)},
		{name: "counter-chain", tests: counterChainTests, skip: numbers(o)},
		{name: "drop-epoch", tests: dropEpochTests, skip: numbers(o)},
		{name: "reopen", tests: reopenTests(o), skip: volatile(o)},
		{name: "reopen-chain", tests: reopenChainTests(o), skip: volatile(o) + numbers(o)},
	}
	for _, g := range groups {
		if g.skip != "" {
			t.Logf("%s does not apply: %s", g.name, g.skip)
			continue
		}
		for _, tt := range g.tests {
			t.Run(g.name+"/"+tt.name, func(t *testing.T) { tt.run(newEnv(t, open(t))) })
		}
	}
}

func numbers(o Options) string {
	if o.NumbersItself {
		return "the driver numbers entries itself. "
	}
	return ""
}

func volatile(o Options) string {
	if o.Reopen == nil {
		return "the driver does not outlive its Close. "
	}
	return ""
}

type test struct {
	name string
	run  func(e *env)
}

// env is what one test works with.
type env struct {
	*testing.T
	d   storage.Driver
	log string          // also the name of the test's queue and collection
	ctx context.Context //nolint:containedctx // the test's
}

func newEnv(t *testing.T, d storage.Driver) *env {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	e := &env{T: t, d: d, log: "t:" + storage.NewEpoch().String(), ctx: ctx}
	t.Cleanup(func() {
		cancel()
		if err := e.d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// entry is an append to the test's log.
func (e *env) entry(id string) *storage.Append {
	return &storage.Append{Log: e.log, ID: id, Data: []byte("data of " + id)}
}

// apply carries out appends that must all succeed.
func (e *env) apply(appends ...*storage.Append) []storage.Result {
	e.Helper()
	results := e.try(appends...)
	for i, r := range results {
		if r.Err != nil {
			e.Fatalf("append %q: %v", appends[i].ID, r.Err)
		}
	}
	return results
}

// try carries out appends each of which may fail by itself.
func (e *env) try(appends ...*storage.Append) []storage.Result {
	e.Helper()
	ops := make([]storage.Op, len(appends))
	for i, a := range appends {
		ops[i] = a
	}
	return e.attempt(ops...)
}

// fill appends n entries "<prefix>0"… one by one and answers their results.
func (e *env) fill(prefix string, n int) []storage.Result {
	e.Helper()
	results := make([]storage.Result, 0, n)
	for i := range n {
		results = append(results, e.apply(e.entry(fmt.Sprint(prefix, i)))...)
	}
	return results
}

func (e *env) read(q storage.LogQuery) storage.LogPage {
	e.Helper()
	page, err := e.d.ReadLog(e.ctx, e.log, q)
	if err != nil {
		e.Fatalf("read log: %v", err)
	}
	return page
}

// after reads one page behind a cursor.
func (e *env) after(c storage.Cursor, limit int) storage.LogPage {
	e.Helper()
	return e.read(storage.LogQuery{After: &c, Limit: limit})
}

// all reads everything that is kept, page by page.
func (e *env) all() []storage.LogEntry {
	e.Helper()
	return e.rest(storage.MicrosCursor(0), storage.MaxPage)
}

// rest reads everything behind a cursor. Cursors go through their text form, as
// they do between a hub and its clients.
func (e *env) rest(c storage.Cursor, limit int) []storage.LogEntry {
	e.Helper()
	var entries []storage.LogEntry
	for {
		page := e.after(e.reparse(c.String()), limit)
		entries = append(entries, page.Entries...)
		if !page.HasMore {
			return entries
		}
		c = page.Cursor
	}
}

func (e *env) reparse(s string) storage.Cursor {
	e.Helper()
	c, err := storage.ParseCursor(s)
	if err != nil {
		e.Fatalf("parse cursor: %v", err)
	}
	return c
}

func ids(entries []storage.LogEntry) []string {
	s := make([]string, len(entries))
	for i, entry := range entries {
		s[i] = entry.ID
	}
	return s
}

func (e *env) wantIDs(entries []storage.LogEntry, want ...string) {
	e.Helper()
	if got := ids(entries); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		e.Fatalf("entries are %q, want %q", got, want)
	}
}

// names answers "<prefix><from>"… up to before to.
func names(prefix string, from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(prefix, i))
	}
	return s
}

// samePlace fails unless both cursors stand behind the same entry.
func (e *env) samePlace(got, want storage.Cursor) {
	e.Helper()
	if got.Epoch != want.Epoch || got.Pos != want.Pos {
		e.Fatalf("cursor is %s, want %s", got, want)
	}
}

// eventually waits for something that needs time on the backend.
func (e *env) eventually(what string, ok func() bool) {
	e.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			e.Fatalf("not within %v: %s", patience, what)
		}
	}
}
