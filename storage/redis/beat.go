package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// documentsLane is the last lane in a Cluster: all collections share it. Each is in
// a slot of its own, but how many there will be is not known beforehand.
const documentsLane = "documents"

// Lanes implements [storage.Partitioned]. In a Cluster they are "p00" to "p15", for
// logs and queues, and "documents"; one server, or the master of Sentinels, fails as
// a whole.
func (d *Driver) Lanes() []string { return append([]string(nil), d.lanes...) }

// Partition implements [storage.Partitioned]: "p00" to "p15" for logs and queues,
// and each collection is one, "c:<collection>".
func (d *Driver) Partition(op storage.Op) (name string, lane int) {
	about, target := aim(op)
	name = partitionFor(about, target)
	switch {
	case d.lanes == nil:
		return name, 0
	case about == aboutCollection:
		return name, partitions
	}
	return name, partitionOf(target)
}

// OnLoss implements [storage.Partitioned]. The collections of which a loss is
// noticed are the 256 that this driver has written to last.
func (d *Driver) OnLoss(fn func(partition string)) { d.onLoss = fn }

// Beat implements [storage.Partitioned]: [Driver.Health] in the partitions of the
// lane, which without a Cluster are all of them. Of collections it beats in those
// that this driver has written to, the last 256; without any the lane "documents"
// has nothing to say. All that fails is in the error, by partition.
func (d *Driver) Beat(ctx context.Context, lane int) error {
	var names []string
	switch {
	case lane < 0 || lane >= max(len(d.lanes), 1):
		return fmt.Errorf("redis beat: there is no lane %d", lane)
	case d.lanes == nil:
		names = append(partitionNames[:], d.marks.known()...)
	case lane == partitions:
		names = d.marks.known()
	default:
		names = partitionNames[lane : lane+1]
	}
	if err := d.beat(ctx, names); err != nil {
		return fmt.Errorf("redis beat: %w", err)
	}
	return nil
}

// beat writes in these partitions. It also looks whether the servers are still the
// same ones, so that a master deposed by Sentinels which goes on answering is left,
// and with the first partition whether Redis holds what this driver can use, should
// somebody have emptied it meanwhile.
func (d *Driver) beat(ctx context.Context, names []string) error {
	d.write.refresh()
	d.read.refresh()
	_, err := bounded(ctx, d, func(ctx context.Context) (struct{}, error) {
		if len(names) > 0 && names[0] == partitionNames[0] {
			if err := d.admit(ctx); err != nil {
				return struct{}{}, err
			}
		}
		calls := beats(names)
		d.carryOut(ctx, calls)
		err := failures(calls)
		if err == nil {
			d.checkServer()
		}
		return struct{}{}, err
	})
	return err
}

// beats are the calls of a beat in these partitions.
func beats(names []string) []*call {
	calls := make([]*call, len(names))
	for i, name := range names {
		calls[i] = &call{about: aboutBeat, partition: name}
	}
	return calls
}

// failures joins the errors of calls; those that say the same are one.
func failures(calls []*call) error {
	var texts []string
	where, what := map[string][]string{}, map[string]error{}
	for _, c := range calls {
		if c.reply != nil {
			continue
		}
		err := opError(c.err)
		text := err.Error()
		if what[text] == nil {
			what[text] = err
			texts = append(texts, text)
		}
		where[text] = append(where[text], c.partition)
	}
	errs := make([]error, len(texts))
	for i, text := range texts {
		errs[i] = fmt.Errorf("%s: %w", strings.Join(where[text], ", "), what[text])
	}
	return errors.Join(errs...)
}
