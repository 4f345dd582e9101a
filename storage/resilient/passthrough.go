package resilient

import (
	"context"

	"github.com/actionflows/lifeline/storage"
)

// What has no place in the journal goes straight to the driver.

// Take implements [storage.Driver]; a failure counts, for it is a write.
func (j *Journaled) Take(ctx context.Context, queue string, most int) ([]storage.Item, error) {
	return guardedTake(ctx, j.breaker, j.driver, queue, most)
}

// Get implements [storage.Driver].
func (j *Journaled) Get(ctx context.Context, collection, id string) (storage.Document, error) {
	return j.driver.Get(ctx, collection, id)
}

// Scan implements [storage.Driver].
func (j *Journaled) Scan(ctx context.Context, collection, index string, q storage.ScanQuery) ([]storage.Document, error) {
	return j.driver.Scan(ctx, collection, index, q)
}

// Counters implements [storage.Driver].
func (j *Journaled) Counters(ctx context.Context, collection, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	return j.driver.Counters(ctx, collection, scope, q)
}

// Publish implements [storage.Driver]. A failure never counts.
func (j *Journaled) Publish(ctx context.Context, channel string, data []byte) error {
	return j.driver.Publish(ctx, channel, data)
}

// Health implements [storage.Driver]: it asks the backend, whatever the breaker
// says.
func (j *Journaled) Health(ctx context.Context) error { return j.driver.Health(ctx) }
