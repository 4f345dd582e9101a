package storage

import "context"

// Partitioned is a Driver whose data lies in partitions, each of which may lose
// data by itself: at a restart with an old snapshot, a flush, or the promotion of
// a replica that lagged. Methods are safe for concurrent use, never ask the
// backend unless said otherwise, and answer the same for as long as the driver
// lives.
type Partitioned interface {
	Driver
	// Lanes names the parts of the backend that fail apart from each other, each
	// of them one or more partitions. An empty or single list: everything fails
	// together.
	Lanes() []string
	// Partition names the partition of what op changes, and says by its index the
	// lane that it is in. Of op only the name of its log, queue or collection counts.
	Partition(op Op) (name string, lane int)
	// Beat is Health in every partition of one lane: a write in each, all sent at
	// once.
	Beat(ctx context.Context, lane int) error
	// OnLoss has fn called with the name of a partition that no longer has what
	// this driver has written to it and been answered, at the first call or beat
	// that shows it, before that call answers. Several calls may tell of one loss,
	// and fn may be called concurrently; it must not block or call the driver.
	// There is one fn; it must be set before the driver is used.
	OnLoss(fn func(partition string))
}
