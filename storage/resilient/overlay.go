package resilient

import (
	"cmp"
	"slices"
	"time"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/internal/sequence"
)

// An overlay shows what the backend, or what is remembered of it, will answer once it
// has this node's pending writes: Puts, Dels and Adds of one collection, the oldest
// first. It does not know what other nodes have pending, which documents and counters
// MaxMembers will remove, nor that a TTL ends while its Put is pending.

// pendingState is what pending writes come to for one document.
type pendingState struct {
	doc   storage.Document
	found bool
	last  storage.Stamp // of the document or its deletion, with known
	known bool
	// indexes are those of the last Put; nil without written: as before.
	indexes map[string]string
	written bool // a Put or Del was carried out
}

// apply carries out one Put or Del, unless a later stamp is there.
func (p *pendingState) apply(op storage.Op) {
	switch op := op.(type) {
	case *storage.Put:
		stamp, ok := sequence.Later(op.Stamp, p.last, p.known, time.Time{})
		if !ok {
			return
		}
		p.doc, p.found = storage.Document{ID: op.ID, Body: op.Body, Stamp: stamp}, true
		p.last, p.indexes = stamp, op.Indexes
	case *storage.Del:
		stamp, ok := sequence.Later(op.Stamp, p.last, p.known, time.Time{})
		if same := p.found && stamp == p.last; !ok && !same {
			return
		}
		p.doc, p.found, p.last, p.indexes = storage.Document{}, false, stamp, nil
	default:
		return
	}
	p.known, p.written = true, true
}

// overlayDocument answers a document as it is with the pending writes.
func overlayDocument(
	d storage.Document, found bool, collection, id string, pending []storage.Op,
) (storage.Document, bool) {
	p := overlaid(d, found, collection, id, pending)
	return p.doc, p.found
}

// pendingDocument answers a document of which the pending writes alone decide: the
// newest of them is a Put, or a Del.
func pendingDocument(collection, id string, pending []storage.Op) (d storage.Document, found, known bool) {
	p := overlaid(storage.Document{}, false, collection, id, pending)
	return p.doc, p.found, p.written
}

func overlaid(d storage.Document, found bool, collection, id string, pending []storage.Op) pendingState {
	p := pendingState{doc: d, found: found, last: d.Stamp, known: found}
	for _, op := range pending {
		if c, other := documentOf(op); c == collection && other == id {
			p.apply(op)
		}
	}
	return p
}

// documentOf names the document that a Put or Del changes.
func documentOf(op storage.Op) (collection, id string) {
	switch op := op.(type) {
	case *storage.Put:
		return op.Collection, op.ID
	case *storage.Del:
		return op.Collection, op.ID
	}
	return "", ""
}

// overlayScan answers a page of documents as it is with the pending writes. A full
// page from which they remove something stays short, although others may follow;
// [scanOver] reads on.
func overlayScan(
	docs []storage.Document, index string, q storage.ScanQuery, pending []storage.Op,
) []storage.Document {
	page := span{after: q.After, open: len(docs) < scanLimit(q)}
	if !page.open {
		page.to = docs[len(docs)-1].ID
	}
	docs = page.overlay(docs, index, q.Value, pendingByDocument(pending))
	return docs[:min(len(docs), scanLimit(q))]
}

// scanOver answers a Scan with the pending writes over it. It reads page by page until
// it has what is asked for, mostly once; read is the backend's Scan, or what is
// remembered of it. The pending writes must be those from before the first read, so
// that what is stored in between is in both, and not in neither.
func scanOver(
	index string, q storage.ScanQuery, pending []storage.Op,
	read func(storage.ScanQuery) ([]storage.Document, error),
) ([]storage.Document, error) {
	byDocument := pendingByDocument(pending)
	limit := scanLimit(q)
	var all []storage.Document
	for next := q; ; {
		docs, err := read(next)
		if err != nil {
			return nil, err
		}
		page := span{after: next.After, open: len(docs) < limit}
		if !page.open {
			page.to = docs[len(docs)-1].ID
		}
		all = append(all, page.overlay(docs, index, q.Value, byDocument)...)
		if page.open || len(all) >= limit {
			return all[:min(len(all), limit)], nil
		}
		next.After = page.to
	}
}

// pendingByDocument sorts Puts and Dels by the document that they change.
func pendingByDocument(pending []storage.Op) map[string][]storage.Op {
	ops := make(map[string][]storage.Op)
	for _, op := range pending {
		if _, id := documentOf(op); id != "" {
			ops[id] = append(ops[id], op)
		}
	}
	return ops
}

// span is what a page covers: the ids above after up to to, or open, all above after.
type span struct {
	after, to string
	open      bool
}

func (s span) covers(id string) bool { return s.after < id && (s.open || id <= s.to) }

// overlay answers all documents of the span with the pending writes, in order.
func (s span) overlay(
	docs []storage.Document, index, value string, pending map[string][]storage.Op,
) []storage.Document {
	out := make([]storage.Document, 0, len(docs))
	base := make(map[string]struct{}, len(docs))
	for _, d := range docs {
		base[d.ID] = struct{}{}
		if d, stands := overlayListed(d, true, pending[d.ID], index, value); stands {
			out = append(out, d)
		}
	}
	for id, ops := range pending {
		if _, in := base[id]; in || !s.covers(id) {
			continue
		}
		if d, stands := overlayListed(storage.Document{}, false, ops, index, value); stands {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b storage.Document) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// overlayListed answers a document with the writes to it, and whether it stands in
// the list then; listed: it does without them.
func overlayListed(
	d storage.Document, listed bool, ops []storage.Op, index, value string,
) (storage.Document, bool) {
	p := pendingState{doc: d, found: listed, last: d.Stamp, known: listed}
	for _, op := range ops {
		p.apply(op)
	}
	if !p.written || !p.found || index == "" {
		return p.doc, p.found
	}
	has, ok := p.indexes[index]
	return p.doc, ok && has == value
}
