package storage

import (
	"context"
	"fmt"
)

// Paging asks for a part of a list, which is ordered by ids.
type Paging struct {
	After string // ids above it; "": from the beginning
	Limit int    // at most so many; 0: DefaultPage; more than MaxPage is MaxPage
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T // never nil
	// Next continues the list as Paging.After; "": this was the end. A page may
	// have fewer items than asked for, even none, and yet a Next.
	Next string
	size int // bytes of the documents
}

const (
	// scanPage is how many documents are read at a time, maxPageBytes how many
	// bytes of them a page holds before it ends early; twice that with what is kept
	// apart from them.
	scanPage     = DefaultPage
	maxPageBytes = 16 << 20
	// maxScanned is how many documents one page looks at to find what a filter
	// lets through.
	maxScanned = 10_000
)

// scan names documents of a collection: those with a value in an index, or all.
type scan struct{ collection, index, value string }

// list answers a page of those documents that keep lets through.
func list[T any](ctx context.Context, s *Store, from scan, p Paging, keep func(*T) bool) (Page[T], error) {
	page := Page[T]{Items: []T{}}
	limit := p.Limit
	if limit <= 0 {
		limit = DefaultPage
	}
	limit = min(limit, MaxPage)
	scanned, after := 0, p.After
	for {
		docs, err := s.Driver.Scan(ctx, from.collection, from.index,
			ScanQuery{Value: from.value, After: after, Limit: scanPage})
		if err != nil {
			return Page[T]{}, fmt.Errorf("list %s: %w", from.collection, err)
		}
		for _, doc := range docs {
			record, err := stored[T](from.collection, doc)
			if err != nil {
				return Page[T]{}, err
			}
			after = doc.ID
			scanned++
			if keep == nil || keep(&record) {
				page.Items = append(page.Items, record)
				page.size += len(doc.Body)
			}
			if len(page.Items) == limit || page.size >= maxPageBytes || scanned == maxScanned {
				page.Next = after
				return page, nil
			}
		}
		if len(docs) < scanPage {
			return page, nil
		}
	}
}

// all answers all documents that are meant, of a collection that is bounded, and how
// many bytes they have.
func all[T any](ctx context.Context, s *Store, from scan) (records []T, size int, err error) {
	records = []T{}
	for p := (Paging{Limit: MaxPage}); ; {
		page, err := list[T](ctx, s, from, p, nil)
		if err != nil {
			return nil, 0, err
		}
		records = append(records, page.Items...)
		size += page.size
		if page.Next == "" {
			return records, size, nil
		}
		p.After = page.Next
	}
}

// complete adds to the records of a page what is kept apart from them, and ends the
// page early where both have too many bytes. add answers how many bytes it has added.
func (p *Page[T]) complete(id func(T) string, add func(*T) (int, error)) error {
	for i := range p.Items {
		size, err := add(&p.Items[i])
		if err != nil {
			return err
		}
		if p.size += size; p.size >= 2*maxPageBytes && i+1 < len(p.Items) {
			p.Next = id(p.Items[i])
			p.Items = p.Items[:i+1]
			return nil
		}
	}
	return nil
}

// get answers one document, or an error that wraps [ErrNotFound].
func get[T any](ctx context.Context, s *Store, collection, id string) (T, error) {
	var none T
	if id == "" { // drivers need not know what to make of it
		return none, fmt.Errorf("get from %s: %w", collection, ErrNotFound)
	}
	doc, err := s.Driver.Get(ctx, collection, id)
	if err != nil {
		return none, fmt.Errorf("get from %s: %w", collection, err)
	}
	return stored[T](collection, doc)
}

// stored decodes a document. One that cannot be read is the storage's fault, not
// the caller's: its error is no [FieldError].
func stored[T any](collection string, doc Document) (T, error) {
	record, err := Decode[T](doc.Body)
	if err != nil {
		return record, fmt.Errorf("document %q of %s cannot be read: %s", doc.ID, collection, err)
	}
	return record, nil
}

// apply carries out operations that must all succeed.
func (s *Store) apply(ctx context.Context, what string, ops ...Op) ([]Result, error) {
	results, err := s.Driver.Apply(ctx, ops)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	for _, r := range results {
		if r.Err != nil {
			return nil, fmt.Errorf("%s: %w", what, r.Err)
		}
	}
	return results, nil
}

// remove deletes a document and reports whether it was there.
func (s *Store) remove(ctx context.Context, collection, id string) (bool, error) {
	results, err := s.apply(ctx, "remove from "+collection, &Del{Collection: collection, ID: id})
	if err != nil {
		return false, err
	}
	return results[0].Exists, nil
}

// removeAll deletes documents page by page and answers how many there were.
func (s *Store) removeAll(ctx context.Context, from scan) (int, error) {
	removed := 0
	for after := ""; ; {
		docs, err := s.Driver.Scan(ctx, from.collection, from.index,
			ScanQuery{Value: from.value, After: after, Limit: scanPage})
		if err != nil {
			return removed, fmt.Errorf("list %s: %w", from.collection, err)
		}
		ops := make([]Op, 0, len(docs))
		for _, doc := range docs {
			ops = append(ops, &Del{Collection: from.collection, ID: doc.ID})
			after = doc.ID
		}
		if len(ops) == 0 {
			return removed, nil
		}
		results, err := s.apply(ctx, "remove from "+from.collection, ops...)
		if err != nil {
			return removed, err
		}
		for _, r := range results {
			if r.Exists {
				removed++
			}
		}
		if len(docs) < scanPage {
			return removed, nil
		}
	}
}
