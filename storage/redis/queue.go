package redis

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// pushCall is the script call for the pushes to one queue; queue.lua says what
// each argument is.
func pushCall(k queueKeys, b *batch) *call {
	args := make([]any, 0, 2+7*len(b.ops))
	args = append(args, "push")
	for _, op := range b.ops {
		p := op.(*storage.Push) //nolint:forcetypeassert // by aim
		args = append(args, p.ID, p.Data, milliseconds(p.Remaining), max(p.MaxLen, 0))
		args = append(args, linkArgs(p.Link)...)
		args = append(args, flag('r', p.Rebase)+flag('t', p.Taken))
	}
	return &call{keys: k.all(), args: args}
}

// milliseconds rounds up, so that a lifetime never becomes 0, which is for ever.
func milliseconds(d time.Duration) int64 {
	ms := max(d, 0).Milliseconds()
	if d > time.Duration(ms)*time.Millisecond {
		ms++
	}
	return ms
}

// Take implements [storage.Driver].
func (d *Driver) Take(ctx context.Context, queue string, most int) ([]storage.Item, error) {
	if queue == "" {
		return nil, fmt.Errorf("take: no queue: %w", storage.ErrPoison)
	}
	if most <= 0 || most > storage.MaxPage {
		most = storage.MaxPage
	}
	return bounded(ctx, d, func(ctx context.Context) ([]storage.Item, error) {
		c := &call{
			about: aboutQueue, partition: partitionName(queue),
			keys: d.keys.queue(queue).all(), args: []any{"take", most},
		}
		d.carryOut(ctx, []*call{c})
		if c.reply == nil {
			return nil, opError(c.err)
		}
		d.checkServer()
		return parseItems(c.reply)
	})
}

// parseItems reads id and "<µs> <data>" of each item.
func parseItems(reply any) ([]storage.Item, error) {
	parts, err := texts(reply)
	if err != nil {
		return nil, err
	}
	if len(parts)%2 != 0 {
		return nil, unavailable(replyError("items are not pairs"))
	}
	items := make([]storage.Item, 0, len(parts)/2)
	for i := 0; i < len(parts); i += 2 {
		received, data, ok := bytes.Cut([]byte(parts[i+1]), []byte(" "))
		micros, err := strconv.ParseInt(string(received), 10, 64)
		if err != nil || !ok {
			return nil, errForeign("item of a queue")
		}
		items = append(items, storage.Item{ID: parts[i], Data: data, Received: time.UnixMicro(micros).UTC()})
	}
	return items, nil
}

// texts reads a list of strings.
func texts(reply any) ([]string, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, unavailable(replyError(fmt.Sprintf("of type %T", reply)))
	}
	parts := make([]string, len(list))
	for i, v := range list {
		if parts[i], ok = v.(string); !ok {
			return nil, unavailable(replyError(fmt.Sprintf("part %d is a %T", i, v)))
		}
	}
	return parts, nil
}
