package model

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

func grave(id string, stamp storage.Stamp, now time.Time) Record {
	return Record{ID: id, Stamp: stamp, End: deadline(now, storage.TombstoneAge)}
}

// write puts a document or a grave in its place, unless that comes too late.
func (sp *Space) write(r Record, now time.Time) storage.Result {
	old, known := sp.Records[r.ID]
	result := storage.Result{Exists: old.There}
	stamp, ok := sequence.Later(r.Stamp, old.Stamp, known, now)
	if !ok && (r.There || !old.There || stamp != old.Stamp) {
		result.Duplicate = true
		return result
	}
	r.Stamp = stamp
	if sp.Records[r.ID] = r; !r.There {
		delete(sp.Scopes[""], r.ID)
	}
	return result
}

func (sp *Space) put(op *storage.Put, now time.Time) storage.Result {
	r := Record{
		ID: op.ID, There: true, Data: op.Body, Stamp: op.Stamp, End: deadline(now, op.TTL), Rank: op.Rank,
		Indexes: maps.Clone(op.Indexes), Group: op.Indexes[op.Within],
	}
	result := sp.write(r, now)
	if result.Duplicate {
		return result
	}
	for _, lowest := range sp.Records.surplus(op.MaxMembers, op.ID, func(o Record) bool { return o.Group == r.Group }) {
		sp.write(grave(lowest.ID, lowest.Stamp, now), now)
	}
	return result
}

func (sp *Space) push(op *storage.Push, now time.Time) storage.Result {
	known, found := sp.Records[op.ID]
	waiting := sp.waiting()
	result := storage.Result{Link: op.Link, Exists: waiting > 1 || waiting == 1 && !known.There}
	late, err := sp.Chain.Order(op.Link, op.Rebase)
	switch {
	case err != nil:
		result.Err = fmt.Errorf("push %q: %w", op.ID, err)
		return result
	case found || late:
		result.Duplicate = true
		if op.Taken && known.There {
			sp.take(known, now)
		}
		if op.Link.Number > sp.Chain.Number(op.Link.Producer) {
			sp.Chain = sp.Chain.Take(op.Link)
		}
		return result
	case !op.Taken && op.MaxLen > 0 && waiting >= op.MaxLen:
		result.Err = fmt.Errorf("push %q to %d items: %w", op.ID, waiting, storage.ErrFull)
		return result
	}
	sp.Next++
	r := Record{
		ID: op.ID, There: true, Data: op.Data, Stamp: storage.Stamp{Micros: now.UnixMicro()},
		End: deadline(now, op.Remaining), Rank: sp.Next,
	}
	sp.Chain, sp.Records[op.ID] = sp.Chain.Take(op.Link), r
	if op.Taken {
		sp.take(r, now)
	}
	result.ReceivedAt = time.UnixMicro(r.Stamp.Micros).UTC()
	return result
}

func (sp *Space) waiting() (n int) {
	for _, r := range sp.Records {
		if r.There {
			n++
		}
	}
	return n
}

// take leaves of an item what is remembered of it.
func (sp *Space) take(r Record, now time.Time) {
	if r.There, r.Data = false, nil; r.End == 0 {
		r.End = deadline(now, storage.DedupAge)
	}
	sp.Records[r.ID] = r
}

// Take answers as [storage.Driver.Take] does.
func (s State) Take(queue string, n int, now time.Time) []storage.Item {
	if n <= 0 || n > storage.MaxPage {
		n = storage.MaxPage
	}
	sp := s[queues+queue]
	if sp == nil {
		return nil
	}
	waiting := sp.Records.sorted(every)
	items := make([]storage.Item, 0, min(n, len(waiting)))
	for _, r := range waiting[:min(n, len(waiting))] {
		items = append(items, storage.Item{ID: r.ID, Data: r.Data, Received: time.UnixMicro(r.Stamp.Micros).UTC()})
		sp.take(r, now)
	}
	sp.Used = now.UnixMicro()
	return items
}

// Get answers as [storage.Driver.Get] does.
func (s State) Get(collection, id string) (storage.Document, error) {
	if sp := s[collections+collection]; sp != nil && sp.Records[id].There {
		return sp.Records[id].document(), nil
	}
	return storage.Document{}, fmt.Errorf("document %q of %q: %w", id, collection, storage.ErrNotFound)
}

func (r Record) document() storage.Document {
	return storage.Document{ID: r.ID, Body: r.Data, Stamp: r.Stamp}
}

// Scan answers as [storage.Driver.Scan] does.
func (s State) Scan(collection, index string, q storage.ScanQuery) []storage.Document {
	if q.Limit <= 0 {
		q.Limit = storage.DefaultPage
	}
	sp := s[collections+collection]
	if sp == nil {
		return nil
	}
	var found []storage.Document
	for _, id := range slices.Sorted(maps.Keys(sp.Records)) {
		r := sp.Records[id]
		value, ok := r.Indexes[index]
		if !r.There || id <= q.After || index != "" && (!ok || value != q.Value) {
			continue
		}
		if found = append(found, r.document()); len(found) == min(q.Limit, storage.MaxPage) {
			break
		}
	}
	return found
}
