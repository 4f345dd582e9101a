package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/boltfile"
)

// view reads what was committed last; it does not wait for the committer.
func (d *Driver) view(ctx context.Context, fn func(tx *bbolt.Tx) error) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	f := d.file.Load()
	if f == nil {
		return d.unavailable()
	}
	err = boltfile.Guard(func() error { return f.DB.View(fn) })
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return d.readFailed(err)
	}
	return err
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Get implements [storage.Driver].
func (d *Driver) Get(ctx context.Context, collection, id string) (doc storage.Document, err error) {
	err = d.view(ctx, func(tx *bbolt.Tx) error {
		found, ok, err := documents(tx, collection).find(id)
		if err == nil && (!ok || over(found.expires, d.now())) {
			err = storage.ErrNotFound
		}
		doc = found.answer(id)
		return err
	})
	if err != nil {
		return storage.Document{}, fmt.Errorf("get %q of %q from disk: %w", id, collection, err)
	}
	return doc, nil
}

// answer is a document that outlives its transaction.
func (d document) answer(id string) storage.Document {
	return storage.Document{ID: id, Body: bytes.Clone(d.body), Stamp: d.stamp}
}

// Scan implements [storage.Driver]. A document that cannot be read is left out,
// which the log tells.
func (d *Driver) Scan(ctx context.Context, name, index string, q storage.ScanQuery) (found []storage.Document, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = storage.DefaultPage
	}
	limit = min(limit, storage.MaxPage)
	prefix := key(keyDocument)
	if index != "" {
		prefix = key(keyIndex, index, q.Value)
	}
	err = d.view(ctx, func(tx *bbolt.Tx) error {
		s, now := documents(tx, name), d.now()
		if s.b == nil {
			return nil
		}
		c := s.b.Cursor()
		from := append(bytes.Clone(prefix), q.After...)
		for id, _, ok := seek(c, prefix, from); ok && len(found) < limit; id, _, ok = next(c, prefix) {
			if string(id) == q.After {
				continue
			}
			doc, ok, err := s.find(string(id))
			if err != nil {
				d.log.Error("a damaged document is left out", zap.Error(err))
			}
			if ok && !over(doc.expires, now) && doc.has(index, q.Value) {
				found = append(found, doc.answer(string(id)))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("scan %q of %q on disk: %w", index, name, err)
	}
	return found, nil
}

func (d document) has(index, value string) bool {
	if index == "" {
		return true
	}
	v, ok := d.indexes[index]
	return ok && v == value
}

// Counters implements [storage.Driver]. Of the top members one that cannot be
// read is left out, which the log tells.
func (d *Driver) Counters(ctx context.Context, collection, scope string, q storage.CounterQuery) (found []storage.Counter, err error) {
	err = d.view(ctx, func(tx *bbolt.Tx) error {
		s := &counters{b: sub(tx, bucketCounters, collection), scope: scope}
		if s.b == nil {
			return nil
		}
		if q.Top > 0 {
			found = s.top(min(q.Top, storage.MaxPage), d.log)
			return nil
		}
		m, ok, err := s.find(q.Member)
		if ok {
			found = []storage.Counter{{Member: q.Member, Fields: m.fields}}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counters of %q on disk: %w", collection, err)
	}
	return found, nil
}

func (s *counters) top(n int, log *zap.Logger) (found []storage.Counter) {
	prefix := key(keyMemberRank, s.scope)
	c := s.b.Cursor()
	for rest, _, ok := seek(c, prefix, prefix); ok && len(found) < n; rest, _, ok = next(c, prefix) {
		if len(rest) <= 8 {
			continue
		}
		name := string(rest[8:])
		m, ok, err := s.find(name)
		if err != nil {
			log.Error("a damaged counter is left out", zap.Error(err))
		}
		if ok && m.ranked && m.rank == rankDown(rest) { // or it was deleted, damaged
			found = append(found, storage.Counter{Member: name, Fields: m.fields})
		}
	}
	return found
}
