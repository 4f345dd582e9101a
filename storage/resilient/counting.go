package resilient

import (
	"context"

	"github.com/actionflows/lifeline/storage"
)

// What is counted is in the backend: a log that waits in the journal counts once it
// is there.

var (
	_ storage.Counting = bare{}
	_ storage.Counting = (*guarded)(nil)
	_ storage.Counting = (*Journaled)(nil)
)

// CountLogs implements [storage.Counting].
func (b bare) CountLogs(ctx context.Context, kind string) (int, error) {
	return storage.CountingOf(b.Driver).CountLogs(ctx, kind) //nolint:wrapcheck // the driver's
}

// CountDocuments implements [storage.Counting].
func (b bare) CountDocuments(ctx context.Context, collection string) (int, error) {
	return storage.CountingOf(b.Driver).CountDocuments(ctx, collection) //nolint:wrapcheck // the driver's
}

// CountLogs implements [storage.Counting].
func (g *guarded) CountLogs(ctx context.Context, kind string) (int, error) {
	return storage.CountingOf(g.Driver).CountLogs(ctx, kind) //nolint:wrapcheck // the driver's
}

// CountDocuments implements [storage.Counting].
func (g *guarded) CountDocuments(ctx context.Context, collection string) (int, error) {
	return storage.CountingOf(g.Driver).CountDocuments(ctx, collection) //nolint:wrapcheck // the driver's
}

// CountLogs implements [storage.Counting].
func (j *Journaled) CountLogs(ctx context.Context, kind string) (int, error) {
	return storage.CountingOf(j.driver).CountLogs(ctx, kind) //nolint:wrapcheck // the driver's
}

// CountDocuments implements [storage.Counting].
func (j *Journaled) CountDocuments(ctx context.Context, collection string) (int, error) {
	return storage.CountingOf(j.driver).CountDocuments(ctx, collection) //nolint:wrapcheck // the driver's
}
