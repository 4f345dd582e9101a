package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// paged is a driver of n documents, each with something that belongs to it, of the
// same number of bytes.
type paged struct {
	Driver   // nil: nothing else is asked for
	n, bytes int
	scans    int
}

func (d *paged) Scan(_ context.Context, collection, index string, q ScanQuery) ([]Document, error) {
	d.scans++
	if collection == collChains {
		return []Document{{ID: "c", Body: d.body("c")}}, nil
	}
	var docs []Document
	for i := range d.n {
		if id := fmt.Sprintf("%05d", i); id > q.After && len(docs) < q.Limit {
			docs = append(docs, Document{ID: id, Body: d.body(id)})
		}
	}
	return docs, nil
}

func (d *paged) body(id string) []byte {
	b := append([]byte(`{"id":"`+id+`"}`), bytes.Repeat([]byte{' '}, d.bytes)...)
	return b[:max(d.bytes, len(id)+9)]
}

// A page ends early when it holds too many bytes, with and without what belongs to
// its records, and goes on where it ended.
func TestListIsBoundedInBytes(t *testing.T) {
	const n = 20
	s := &Store{Driver: &paged{n: n, bytes: 1 << 20}}
	for _, tt := range []struct {
		name string
		page func(p Paging) ([]string, string, error)
	}{
		{"bookmarks", func(p Paging) ([]string, string, error) {
			page, err := s.ListBookmarks(t.Context(), BookmarkFilter{Paging: p})
			return idsOf(page.Items, func(b Bookmark) string { return b.ID }), page.Next, err
		}},
		{"sessions with chains", func(p Paging) ([]string, string, error) {
			page, err := s.ListSessions(t.Context(), SessionFilter{Paging: p})
			for _, session := range page.Items {
				if len(session.Chains) != 1 {
					t.Fatalf("%s has %d chains", session.ID, len(session.Chains))
				}
			}
			return idsOf(page.Items, func(s Session) string { return s.ID }), page.Next, err
		}},
	} {
		var all []string
		for p := (Paging{}); len(all) == 0 || p.After != ""; {
			ids, next, err := tt.page(p)
			if err != nil || len(ids) == 0 || len(ids) > 16 {
				t.Fatalf("%s: a page of %d, %v", tt.name, len(ids), err)
			}
			all = append(all, ids...)
			p.After = next
		}
		if len(all) != n || !slices.IsSorted(all) {
			t.Fatalf("%s: %d of %d, %q", tt.name, len(all), n, all)
		}
	}
}

func idsOf[T any](items []T, id func(T) string) []string {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = id(item)
	}
	return ids
}

// Sessions that bring much with them end their page though they are small.
func TestPageComplete(t *testing.T) {
	page := Page[int]{Items: []int{1, 2, 3, 4}, size: 5}
	err := page.complete(func(i int) string { return fmt.Sprint(i) }, func(*int) (int, error) { return maxPageBytes, nil })
	if err != nil || len(page.Items) != 2 || page.Next != "2" {
		t.Fatalf("%+v, %v", page, err)
	}
	page = Page[int]{Items: []int{1}, Next: "what it was"}
	err = page.complete(nil, func(*int) (int, error) { return 9 * maxPageBytes, nil })
	if err != nil || len(page.Items) != 1 || page.Next != "what it was" {
		t.Fatalf("%+v, %v", page, err)
	}
	if err := page.complete(nil, func(*int) (int, error) { return 0, ErrClosed }); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// A filter that lets nothing through does not look at everything at once, and a page
// holds no more than MaxPage.
func TestListIsBoundedInDocuments(t *testing.T) {
	d := &paged{n: maxScanned + 1, bytes: 1}
	s := &Store{Driver: d}
	page, err := s.ListBookmarks(t.Context(), BookmarkFilter{Tags: []string{"none"}})
	if err != nil || len(page.Items) != 0 || page.Next != fmt.Sprintf("%05d", maxScanned-1) || d.scans != maxScanned/scanPage {
		t.Fatalf("%d items, next %q after %d scans, %v", len(page.Items), page.Next, d.scans, err)
	}
	page, err = s.ListBookmarks(t.Context(), BookmarkFilter{Tags: []string{"none"}, Paging: Paging{After: page.Next}})
	if err != nil || len(page.Items) != 0 || page.Next != "" {
		t.Fatalf("%d items, next %q, %v", len(page.Items), page.Next, err)
	}
	for limit, want := range map[int]int{0: DefaultPage, -1: DefaultPage, 7: 7, MaxPage + 1: MaxPage} {
		page, err := s.ListBookmarks(t.Context(), BookmarkFilter{Paging: Paging{Limit: limit}})
		if err != nil || len(page.Items) != want {
			t.Errorf("limit %d: %d items, %v", limit, len(page.Items), err)
		}
	}
}
