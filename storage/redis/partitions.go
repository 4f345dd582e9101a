package redis

import (
	"context"
	"fmt"
	"strconv"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// admit makes sure, before anything else is read or written, that what Redis holds
// under the prefix is spread over as many partitions as this driver looks in. It
// costs a round trip once, and at each health check, should somebody have emptied
// Redis meanwhile.
func (d *Driver) admit(ctx context.Context) error {
	c := &call{keys: []string{d.keys.partitions()}, args: []any{partitions}}
	partitionsScript.run(ctx, d.write, []*call{c})
	if c.reply == nil {
		return opError(c.err)
	}
	noted, _ := c.reply.(string)
	if noted != strconv.Itoa(partitions) {
		err := fmt.Errorf("key %s says %q", c.keys[0], noted)
		if d.admitted.Swap(false) || !d.refusal.Swap(true) {
			d.log.Error("redis holds data that is spread over another number of partitions; "+
				"nothing is written, choose another key_prefix", zap.Int("partitions", partitions), zap.Error(err))
		}
		return &storage.UnavailableError{
			Reason: fmt.Sprintf("Redis holds data of another kind: %q partitions instead of %d", noted, partitions),
			Err:    err,
		}
	}
	d.admitted.Store(true)
	return nil
}
