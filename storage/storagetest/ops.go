package storagetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// odd are names and ids like any others.
var odd = []string{
	" ", "a b", "a/b/../c", "äöü-日本語-🚦", "{curly}", "{", "}", "a:b:c", ":", "*", "%00", "a\nb", `"quoted"`,
	"\x00", "a\x00", "a\x00b", "\x00\x01", "\xff\xfe", "\xff", strings.Repeat("x", 200), strings.Repeat("é", 100),
	"0", "-1", "00", "null",
}

// do carries out operations that must all succeed.
func (e *env) do(ops ...storage.Op) []storage.Result {
	e.Helper()
	results := e.attempt(ops...)
	for i, r := range results {
		if r.Err != nil {
			e.Fatalf("operation %d, %T: %v", i, ops[i], r.Err)
		}
	}
	return results
}

// one carries out one operation that must succeed.
func (e *env) one(op storage.Op) storage.Result {
	e.Helper()
	return e.do(op)[0]
}

// attempt carries out operations each of which may fail by itself.
func (e *env) attempt(ops ...storage.Op) []storage.Result {
	e.Helper()
	results, err := e.d.Apply(e.ctx, ops)
	if err != nil {
		e.Fatalf("apply: %v", err)
	}
	if len(results) != len(ops) {
		e.Fatalf("%d results for %d operations", len(results), len(ops))
	}
	return results
}

// refused fails unless an operation alone is refused for the given reason.
func (e *env) refused(op storage.Op, want error) {
	e.Helper()
	if r := e.attempt(op)[0]; !errors.Is(r.Err, want) {
		e.Fatalf("%T was answered %+v, want %v", op, r, want)
	}
}

// fresh and duplicate fail unless an operation changes something, or is one that
// came too late.
func (e *env) fresh(op storage.Op) storage.Result {
	e.Helper()
	r := e.one(op)
	if r.Duplicate {
		e.Fatalf("%T is a duplicate: %+v", op, r)
	}
	return r
}

func (e *env) duplicate(op storage.Op) storage.Result {
	e.Helper()
	r := e.one(op)
	if !r.Duplicate {
		e.Fatalf("%T is not a duplicate: %+v", op, r)
	}
	return r
}

// at is a stamp of no producer.
func at(micros int64) storage.Stamp { return storage.Stamp{Micros: micros} }

// put is a document of the test's collection.
func (e *env) put(id string, micros int64) *storage.Put {
	return &storage.Put{Collection: e.log, ID: id, Body: []byte("body of " + id), Stamp: at(micros)}
}

func (e *env) del(id string, micros int64) *storage.Del {
	return &storage.Del{Collection: e.log, ID: id, Stamp: at(micros)}
}

func (e *env) get(id string) storage.Document {
	e.Helper()
	d, err := e.d.Get(e.ctx, e.log, id)
	if err != nil {
		e.Fatalf("get %q: %v", id, err)
	}
	return d
}

// gone fails unless there is no such document.
func (e *env) gone(id string) {
	e.Helper()
	if d, err := e.d.Get(e.ctx, e.log, id); !errors.Is(err, storage.ErrNotFound) {
		e.Fatalf("get %q: %+v, %v, want %v", id, d, err, storage.ErrNotFound)
	}
}

// expires waits until there is no such document.
func (e *env) expires(id string) {
	e.Helper()
	e.eventually(fmt.Sprintf("document %q expires", id), func() bool {
		_, err := e.d.Get(e.ctx, e.log, id)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			e.Fatalf("get %q: %v", id, err)
		}
		return err != nil
	})
}

// scan answers the ids that have a value in an index of the test's collection.
func (e *env) scan(index string, q storage.ScanQuery) []string {
	e.Helper()
	documents, err := e.d.Scan(e.ctx, e.log, index, q)
	if err != nil {
		e.Fatalf("scan %q: %v", index, err)
	}
	s := make([]string, len(documents))
	for i, d := range documents {
		s[i] = d.ID
	}
	return s
}

// members fails unless the collection consists of these documents.
func (e *env) members(want ...string) {
	e.Helper()
	e.same("documents", e.scan("", storage.ScanQuery{Limit: storage.MaxPage}), want)
}

// having fails unless these documents have a value in an index.
func (e *env) having(index, value string, want ...string) {
	e.Helper()
	what := fmt.Sprintf("documents with %q in index %q", value, index)
	e.same(what, e.scan(index, storage.ScanQuery{Value: value, Limit: storage.MaxPage}), want)
}

func (e *env) same(what string, got, want []string) {
	e.Helper()
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		e.Fatalf("%s are %q, want %q", what, got, want)
	}
}
