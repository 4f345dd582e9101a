package redis

import (
	"context"
	"slices"
	"strconv"

	"github.com/actionflows/lifeline/storage"
)

// readTries is how often a read asks again because the log's epoch changed since
// it chose its range; two are needed for a cursor of another epoch.
const readTries = 4

// ReadLog implements [storage.Driver]. State and entries are of one instant. A
// cursor of another epoch costs a second round trip.
func (d *Driver) ReadLog(ctx context.Context, log string, q storage.LogQuery) (storage.LogPage, error) {
	return bounded(ctx, d, func(ctx context.Context) (storage.LogPage, error) {
		keys := d.keys.log(log)
		// Of an empty state Plan assumes all that q says but for a cursor after.
		plan := q.Plan(storage.LogState{})
		if q.After != nil {
			plan.After = q.After.Pos.Micros
		}
		for range readTries {
			state, entries, err := d.readOnce(ctx, keys, plan)
			if err != nil {
				return storage.LogPage{}, err
			}
			d.checkServer()
			// Whether everything is to be answered depends on the state. What lies
			// between the head and a later cursor is empty, so any other
			// difference is none.
			right := q.Plan(state)
			if plan.After != right.After && (plan.After < 0 || right.After < 0) {
				plan = right
				if right.After >= 0 {
					plan.After = q.After.Pos.Micros
				}
				continue
			}
			return page(right, entries), nil
		}
		return storage.LogPage{}, &storage.UnavailableError{Reason: "the log changes its epoch too fast"}
	})
}

// readOnce reads the state and one entry more than the plan's limit.
func (d *Driver) readOnce(ctx context.Context, k logKeys, p storage.ReadPlan) (
	storage.LogState, []storage.LogEntry, error,
) {
	from, to, order := "-", "+", ""
	if p.After >= 0 {
		from = strconv.FormatUint(uint64(p.After)+1, 10)
	}
	if p.Before > 0 {
		to = strconv.FormatInt(p.Before-1, 10)
	}
	if p.Newest {
		order = "newest"
	}
	c := &call{keys: []string{k.stream, k.meta}, args: []any{from, to, p.Limit + 1, order}}
	readScript.run(ctx, d.read, []*call{c})
	if c.reply == nil {
		return storage.LogState{}, nil, opError(c.err)
	}
	return parseRead(c.reply)
}

func page(p storage.ReadPlan, entries []storage.LogEntry) storage.LogPage {
	more := len(entries) > p.Limit
	if more {
		entries = entries[:p.Limit]
	}
	if p.Newest {
		slices.Reverse(entries)
	}
	return p.Page(entries, more)
}
