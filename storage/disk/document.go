package disk

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// collection is the documents of one collection within a transaction.
type collection struct {
	tx   *bbolt.Tx
	name string
	b    *bbolt.Bucket // nil: an unknown one
}

func documents(tx *bbolt.Tx, name string) collection {
	return collection{tx, name, sub(tx, bucketDocuments, name)}
}

// find answers a document, also one that has expired.
func (s collection) find(id string) (d document, ok bool, err error) {
	if s.b == nil {
		return document{}, false, nil
	}
	v := s.b.Get(append(key(keyDocument), id...))
	if v == nil {
		return document{}, false, nil
	}
	if d, err = decodeDocument(v); err != nil {
		return document{}, false, fmt.Errorf("document %q in %q: %w", id, s.name, err)
	}
	return d, true, nil
}

// present is what an id has now: a document, or what is remembered of one.
type present struct {
	document document
	exists   bool
	stamp    storage.Stamp // of the document or its deletion
	known    bool          // there is such a stamp
}

// present removes the document and the tombstone of an id when they are over.
func (s collection) present(id string, now time.Time) (p present, err error) {
	if p.document, p.exists, err = s.find(id); err != nil {
		return p, err
	}
	if p.exists {
		if !over(p.document.expires, now) {
			p.stamp, p.known = p.document.stamp, true
			return p, nil
		}
		p.exists = false
		if err := s.remove(id, p.document); err != nil {
			return p, err
		}
	}
	t, ok, err := s.tombstone(id)
	if err != nil || !ok {
		return p, err
	}
	if over(t.end, now) {
		return p, s.unbury(id)
	}
	p.stamp, p.known = t.stamp, true
	return p, nil
}

// later answers the stamp of a write, or false when it comes too late.
func (p present) later(s storage.Stamp, now time.Time) (storage.Stamp, bool) {
	return sequence.Later(s, p.stamp, p.known, now)
}

func (c *committer) put(tx *bbolt.Tx, op *storage.Put) (storage.Result, error) {
	b, err := ensure(tx, bucketDocuments, op.Collection)
	if err != nil {
		return storage.Result{}, err
	}
	s, now := collection{tx, op.Collection, b}, c.now()
	p, err := s.present(op.ID, now)
	if err != nil {
		return c.refuse(err)
	}
	stamp, ok := p.later(op.Stamp, now)
	if !ok {
		return storage.Result{Duplicate: true, Exists: p.exists}, nil
	}
	c.written = true
	if p.exists {
		err = s.unlist(op.ID, p.document)
	} else {
		err = s.unbury(op.ID)
	}
	if err != nil {
		return storage.Result{}, err
	}
	d := document{
		stamp: stamp, expires: deadline(now, op.TTL), rank: op.Rank,
		within: op.Within, indexes: op.Indexes, body: op.Body,
	}
	if err := s.store(op.ID, d); err != nil {
		return storage.Result{}, err
	}
	if op.MaxMembers > 0 {
		err = c.makePlace(s, op, d.group(), now)
	}
	return storage.Result{Exists: p.exists}, err
}

func (c *committer) del(tx *bbolt.Tx, op *storage.Del) (storage.Result, error) {
	b, err := ensure(tx, bucketDocuments, op.Collection)
	if err != nil {
		return storage.Result{}, err
	}
	s, now := collection{tx, op.Collection, b}, c.now()
	p, err := s.present(op.ID, now)
	if err != nil {
		return c.delDamaged(s, op, now, err)
	}
	stamp, ok := p.later(op.Stamp, now)
	if !ok && (!p.exists || stamp != p.stamp) {
		return storage.Result{Duplicate: true, Exists: p.exists}, nil
	}
	c.written = true
	if p.exists {
		err = s.remove(op.ID, p.document)
	} else {
		err = forgetCounters(tx, op.Collection, op.ID)
	}
	if err != nil {
		return storage.Result{}, err
	}
	return storage.Result{Exists: p.exists}, s.bury(op.ID, stamp, now)
}

// delDamaged removes a document or a tombstone that cannot be read: deleting it
// is the way to be rid of it. Index entries that it leaves are skipped by Scan.
func (c *committer) delDamaged(s collection, op *storage.Del, now time.Time, cause error) (storage.Result, error) {
	if !isDamaged(cause) {
		return storage.Result{}, cause
	}
	c.log.Warn("a damaged document is deleted", zap.Error(cause))
	c.written = true
	for _, kind := range []byte{keyDocument, keyTombstone} {
		if err := s.b.Delete(append(key(kind), op.ID...)); err != nil {
			return storage.Result{}, fmt.Errorf("delete damaged document: %w", err)
		}
	}
	if err := forgetCounters(s.tx, s.name, op.ID); err != nil {
		return storage.Result{}, err
	}
	stamp, _ := present{}.later(op.Stamp, now)
	return storage.Result{Exists: true}, s.bury(op.ID, stamp, now)
}

// makePlace removes documents until a group has no more than it may: those that
// have expired, and then the lowest.
func (c *committer) makePlace(s collection, op *storage.Put, group []byte, now time.Time) error {
	members := append(key(keyCount), group...)
	for range maxTrim {
		if count(s.b, members) <= op.MaxMembers {
			return nil
		}
		if ok, err := c.ended(s.tx, endDocument, now); ok || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		if ok, err := c.evictLowest(s, op.ID, group, now); !ok || err != nil {
			return err
		}
	}
	return nil
}

// evictLowest removes the lowest document of a group but one; false: there is
// no other.
func (c *committer) evictLowest(s collection, spared string, group []byte, now time.Time) (bool, error) {
	prefix := append(key(keyRank), group...)
	cursor := s.b.Cursor()
	rest, _, ok := seek(cursor, prefix, prefix)
	if ok && len(rest) > 8 && string(rest[8:]) == spared {
		rest, _, ok = next(cursor, prefix)
	}
	if !ok || len(rest) <= 8 {
		return false, nil
	}
	id := string(rest[8:])
	d, found, err := s.find(id)
	if err == nil && found {
		if err := s.remove(id, d); err != nil {
			return false, err
		}
		return true, s.bury(id, d.stamp, now)
	}
	if err != nil && !isDamaged(err) {
		return false, err
	}
	c.log.Warn("a damaged document made room for another", zap.String("id", id), zap.Error(err))
	if err := s.b.Delete(append(prefix, rest...)); err != nil {
		return false, fmt.Errorf("remove rank of a document: %w", err)
	}
	if err := s.b.Delete(append(key(keyDocument), id...)); err != nil {
		return false, fmt.Errorf("remove document: %w", err)
	}
	members := append(key(keyCount), group...)
	return true, setCount(s.b, members, count(s.b, members)-1)
}
