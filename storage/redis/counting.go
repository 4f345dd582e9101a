package redis

import (
	"context"

	"github.com/actionflows/lifeline/storage"
)

var _ storage.Counting = (*Driver)(nil)

// CountLogs implements [storage.Counting], in one round trip to each server. A log
// counts until its stream expires.
func (d *Driver) CountLogs(ctx context.Context, kind string) (int, error) {
	return bounded(ctx, d, func(ctx context.Context) (int, error) {
		calls := make([]*call, partitions)
		for p := range calls {
			calls[p] = &call{keys: []string{d.keys.index(p, kind)}}
		}
		countScript.run(ctx, d.read, calls)
		return sum(calls)
	})
}

// CountDocuments implements [storage.Counting].
func (d *Driver) CountDocuments(ctx context.Context, collection string) (int, error) {
	return bounded(ctx, d, func(ctx context.Context) (int, error) {
		calls := []*call{{keys: []string{d.keys.collection(collection).members()}}}
		membersScript.run(ctx, d.read, calls)
		return sum(calls)
	})
}

// sum adds up what calls have answered, all of which must have.
func sum(calls []*call) (total int, err error) {
	for _, c := range calls {
		n, ok := c.reply.(int64)
		switch {
		case c.reply == nil:
			return 0, opError(c.err)
		case !ok:
			return 0, unavailable(replyError("not a number"))
		}
		total += int(n)
	}
	return total, nil
}
