package redis

import (
	"context"
	"fmt"
	"strconv"

	"github.com/actionflows/lifeline/storage"
)

// Counters implements [storage.Driver].
func (d *Driver) Counters(ctx context.Context, collection, scope string, q storage.CounterQuery) ([]storage.Counter, error) {
	if collection == "" || q.Member == "" && q.Top <= 0 {
		return nil, fmt.Errorf("counters: no collection, or neither member nor top: %w", storage.ErrPoison)
	}
	k := d.keys.collection(collection)
	c := &call{keys: []string{k.ranking(scope)}, args: []any{min(q.Top, storage.MaxPage), k.counters(scope)}}
	if q.Top <= 0 {
		c = &call{keys: []string{k.counters(scope) + q.Member}, args: []any{0}}
	}
	return bounded(ctx, d, func(ctx context.Context) ([]storage.Counter, error) {
		countersScript.run(ctx, d.read, []*call{c})
		if c.reply == nil {
			return nil, opError(c.err)
		}
		d.checkServer()
		counters, err := parseCounters(c.reply)
		if err != nil || q.Top > 0 {
			return counters, err
		}
		if len(counters) != 1 || len(counters[0].Fields) == 0 {
			return nil, nil
		}
		counters[0].Member = q.Member
		return counters, nil
	})
}

// parseCounters reads name and fields of each member.
func parseCounters(reply any) ([]storage.Counter, error) {
	list, ok := reply.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, unavailable(replyError("not a list of counters"))
	}
	counters := make([]storage.Counter, 0, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		member, ok := list[i].(string)
		if !ok {
			return nil, unavailable(replyError("a member is no string"))
		}
		fields, err := parseFields(list[i+1])
		if err != nil {
			return nil, err
		}
		c := storage.Counter{Member: member, Fields: make(map[string]int64, len(fields))}
		for name, value := range fields {
			if c.Fields[name], err = strconv.ParseInt(value, 10, 64); err != nil {
				return nil, errForeign("counter")
			}
		}
		counters = append(counters, c)
	}
	return counters, nil
}
