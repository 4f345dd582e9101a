package storage

import (
	"context"
	"slices"
	"time"
)

// MaxBookmarks is how many bookmarks there are at most.
const MaxBookmarks = 10_000

// Bookmarks are the operations on what users marked.
type Bookmarks interface {
	// AddBookmark writes a bookmark and answers it as it was written: ID is drawn
	// and Timestamp now where they are missing. One with the same id is replaced.
	// The oldest by Timestamp goes when there are more than MaxBookmarks.
	AddBookmark(ctx context.Context, bookmark Bookmark) (Bookmark, error)
	// ListBookmarks answers bookmarks by id, which for drawn ones is by time.
	ListBookmarks(ctx context.Context, f BookmarkFilter) (Page[Bookmark], error)
	// RemoveBookmark removes a bookmark and reports whether it was there.
	RemoveBookmark(ctx context.Context, id string) (bool, error)
}

// BookmarkFilter says which bookmarks are meant; what is empty matches all.
type BookmarkFilter struct {
	Category string
	Since    time.Time // Timestamp at or after it
	User     string
	Tags     []string // all of them
	// Reader: only what this user may read, his own bookmarks and those without a
	// user; nil: whatever their user.
	Reader *string
	Paging
}

// AddBookmark implements [Bookmarks].
func (s *Store) AddBookmark(ctx context.Context, b Bookmark) (Bookmark, error) {
	if b.ID == "" {
		b.ID = newID()
	}
	b.Timestamp = firstTime(b.Timestamp, now())
	if err := b.check(); err != nil {
		return Bookmark{}, err
	}
	body, err := encode(b, MaxSmallRecord)
	if err != nil {
		return Bookmark{}, err
	}
	_, err = s.apply(ctx, "add bookmark", &Put{
		Collection: collBookmarks, ID: b.ID, Body: body,
		Indexes:    map[string]string{indexUser: b.UserID, indexCategory: b.Category},
		MaxMembers: MaxBookmarks, Rank: rankOf(b.Timestamp),
	})
	return b, err
}

// ListBookmarks implements [Bookmarks].
func (s *Store) ListBookmarks(ctx context.Context, f BookmarkFilter) (Page[Bookmark], error) {
	if err := checkCategory(f.Category); err != nil {
		return Page[Bookmark]{}, err
	}
	from := scan{collection: collBookmarks}
	switch {
	case f.User != "":
		from.index, from.value = indexUser, f.User
	case f.Category != "":
		from.index, from.value = indexCategory, f.Category
	}
	return list(ctx, s, from, f.Paging, func(b *Bookmark) bool {
		return (f.Category == "" || b.Category == f.Category) && !b.Timestamp.Before(f.Since) && hasAll(b.Tags, f.Tags) &&
			mayRead(f.Reader, b.UserID)
	})
}

func hasAll(tags, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(tag string) bool { return !slices.Contains(tags, tag) })
}

// GetBookmark answers one bookmark.
func (s *Store) GetBookmark(ctx context.Context, id string) (Bookmark, error) {
	return get[Bookmark](ctx, s, collBookmarks, id)
}

// RemoveBookmark implements [Bookmarks].
func (s *Store) RemoveBookmark(ctx context.Context, id string) (bool, error) {
	if err := checkID("id", id); err != nil {
		return false, err
	}
	return s.remove(ctx, collBookmarks, id)
}
