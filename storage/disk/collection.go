package disk

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/actionflows/lifeline/storage"
)

// Keys in the bucket of a collection.
const (
	keyDocument  = 'd'
	keyTombstone = 't'
	keyIndex     = 'i'
	keyRank      = 'r'
	keyCount     = 'n'
)

func indexKey(name, value, id string) []byte {
	return append(key(keyIndex, name, value), id...)
}

func rankKey(group []byte, rank int64, id string) []byte {
	k := append(key(keyRank), group...)
	return append(appendRank(k, rank), id...)
}

// store writes a document and what finds it. What found the version before must
// have been removed.
func (s collection) store(id string, d document) error {
	if err := s.b.Put(append(key(keyDocument), id...), encodeDocument(d)); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	for name, value := range d.indexes {
		if err := s.b.Put(indexKey(name, value, id), nil); err != nil {
			return fmt.Errorf("write index of a document: %w", err)
		}
	}
	group := d.group()
	if err := s.b.Put(rankKey(group, d.rank, id), nil); err != nil {
		return fmt.Errorf("write rank of a document: %w", err)
	}
	if err := s.grow(group, 1); err != nil {
		return err
	}
	return note(s.tx, endDocument, d.expires, s.name, id)
}

// unlist removes what finds a document.
func (s collection) unlist(id string, d document) error {
	for name, value := range d.indexes {
		if err := s.b.Delete(indexKey(name, value, id)); err != nil {
			return fmt.Errorf("remove index of a document: %w", err)
		}
	}
	group := d.group()
	if err := s.b.Delete(rankKey(group, d.rank, id)); err != nil {
		return fmt.Errorf("remove rank of a document: %w", err)
	}
	if err := s.grow(group, -1); err != nil {
		return err
	}
	return unnote(s.tx, endDocument, d.expires, s.name, id)
}

// grow changes how many documents a group has.
func (s collection) grow(group []byte, by int) error {
	members := append(key(keyCount), group...)
	if err := setCount(s.b, members, count(s.b, members)+by); err != nil {
		return fmt.Errorf("count documents: %w", err)
	}
	return nil
}

// remove removes a document and the counters that belong to it.
func (s collection) remove(id string, d document) error {
	if err := s.unlist(id, d); err != nil {
		return err
	}
	if err := s.b.Delete(append(key(keyDocument), id...)); err != nil {
		return fmt.Errorf("remove document: %w", err)
	}
	return forgetCounters(s.tx, s.name, id)
}

// rerank gives a document another place in the order of removal.
func (s collection) rerank(id string, d document, rank int64) error {
	if rank == d.rank {
		return nil
	}
	group := d.group()
	if err := s.b.Delete(rankKey(group, d.rank, id)); err != nil {
		return fmt.Errorf("remove rank of a document: %w", err)
	}
	d.rank = rank
	if err := s.b.Put(rankKey(group, rank, id), nil); err != nil {
		return fmt.Errorf("write rank of a document: %w", err)
	}
	if err := s.b.Put(append(key(keyDocument), id...), encodeDocument(d)); err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}

func (s collection) tombstone(id string) (t tombstone, ok bool, err error) {
	v := s.b.Get(append(key(keyTombstone), id...))
	if v == nil {
		return tombstone{}, false, nil
	}
	if t, err = decodeTombstone(v); err != nil {
		return tombstone{}, false, fmt.Errorf("deletion of %q in %q: %w", id, s.name, err)
	}
	return t, true, nil
}

// bury remembers the stamp of a deletion.
func (s collection) bury(id string, stamp storage.Stamp, now time.Time) error {
	if err := s.unbury(id); err != nil {
		return err
	}
	t := tombstone{stamp: stamp, end: deadline(now, storage.TombstoneAge)}
	if err := s.b.Put(append(key(keyTombstone), id...), encodeTombstone(t)); err != nil {
		return fmt.Errorf("remember a deletion: %w", err)
	}
	return note(s.tx, endTombstone, t.end, s.name, id)
}

// unbury forgets a deletion, also one that cannot be read.
func (s collection) unbury(id string) error {
	t, ok, err := s.tombstone(id)
	if err == nil && !ok {
		return nil
	}
	if err := s.b.Delete(append(key(keyTombstone), id...)); err != nil {
		return fmt.Errorf("forget a deletion: %w", err)
	}
	return unnote(s.tx, endTombstone, t.end, s.name, id)
}

// endDocument removes a document whose end was noted, if it is still the one.
func (c *committer) endDocument(tx *bbolt.Tx, name, id string, now time.Time) error {
	s := documents(tx, name)
	d, ok, err := s.find(id)
	if err != nil || !ok || !over(d.expires, now) {
		return c.undamaged(err) // a damaged one stays until it is deleted
	}
	if err := s.remove(id, d); err != nil {
		return err
	}
	return s.leave()
}

func (c *committer) endTombstone(tx *bbolt.Tx, name, id string, now time.Time) error {
	s := documents(tx, name)
	if s.b == nil {
		return nil
	}
	t, ok, err := s.tombstone(id)
	if err != nil || !ok || !over(t.end, now) {
		return c.undamaged(err)
	}
	if err := s.unbury(id); err != nil {
		return err
	}
	return s.leave()
}

// leave removes the bucket of a collection that is empty.
func (s collection) leave() error {
	if k, _ := s.b.Cursor().First(); k != nil {
		return nil
	}
	return s.tx.Bucket(bucketDocuments).DeleteBucket([]byte(s.name))
}
