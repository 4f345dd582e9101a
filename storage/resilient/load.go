package resilient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/breaker"
	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/resilient/internal/journalfile"
)

// open opens the journal's file and takes up what earlier runs have left in it.
func (j *Journaled) open() error {
	file, contents, err := journalfile.Open(journalfile.Options{Dir: j.cfg.Dir, Logger: j.logger})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.file, j.written = file, contents.LastSeq
	j.journal.seq = contents.LastSeq
	if err = j.restore(file); err == nil {
		// Written before anything is numbered: a copy of this directory draws another.
		err = file.Begin(j.journal.producer)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), file.Close())
	}
	if n := j.journal.waiting; n > 0 {
		j.logger.Info("an earlier run has left events that wait to be stored",
			zap.Int("pending", n), zap.String("journal", j.cfg.Dir))
	}
	return nil
}

// restore takes up the records of the file, in their order. An entry that no record
// says is in the backend may be there all the same, and is shown to readers, for it
// may have been acknowledged. All that is said to be there is looked for at start.
func (j *Journaled) restore(file *journalfile.File) error {
	k := j.journal
	entries := map[uint64]*entry{}
	err := file.Replay(func(r journalfile.Record) error {
		switch r.Kind {
		case journalfile.Entry:
			entries[r.Seq] = k.restoreEntry(r, j.documents.begin())
			j.sawStamp(r.Op)
		case journalfile.Placed:
			n := &notes{seq: r.Seq}
			for _, p := range r.Places {
				if e := entries[p.Seq]; e != nil {
					e.restorePlace(p, r.At)
					k.replace(&e.noted, n)
				}
			}
			k.finish(n)
		case journalfile.Taken:
			n := &notes{seq: r.Seq}
			for _, seq := range r.Seqs {
				if e := entries[seq]; e != nil {
					e.taken = true
					k.replace(&e.takenNote, n)
				}
			}
			k.finish(n)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is in it: %w", err)
	}
	k.restoreChains()
	for _, l := range j.lanes {
		l.auditDue = true
	}
	return nil
}

func (k *journal) restoreEntry(r journalfile.Record, first moment) *entry {
	e := &entry{
		chain: k.chain(targetOf(r.Op)), seq: r.Seq, op: r.Op, id: idOf(r.Op), size: opSize(r.Op), at: r.At,
		durable: true, sent: true, first: first, unsure: true, acked: true,
	}
	switch op := r.Op.(type) {
	case *storage.Append:
		e.link, e.epoch = op.Link, op.Epoch
	case *storage.Push:
		e.link = op.Link
	case *storage.Add:
		e.link = op.Link
	}
	k.hold(e)
	k.waiting++
	if k.hot > k.hotBytes/2 {
		k.cool(e)
	}
	return e
}

// sawStamp has what this run writes win over what earlier ones wrote, although the
// clock may have stepped back in between.
func (j *Journaled) sawStamp(op storage.Op) {
	switch op := op.(type) {
	case *storage.Put:
		j.stamp(documentKey{op.Collection, op.ID}, op.Stamp)
	case *storage.Del:
		j.stamp(documentKey{op.Collection, op.ID}, op.Stamp)
	}
}

func (e *entry) restorePlace(p journalfile.Place, at time.Time) {
	e.placed, e.foreign, e.storedAt = true, p.Foreign, at
	e.result = storage.Result{
		Cursor: storage.Cursor{Epoch: p.Epoch, Pos: p.Pos}, ReceivedAt: p.Pos.Time(), Exists: true,
	}
	if p.Epoch != 0 {
		e.epoch = p.Epoch
	}
}

// restoreChains tells what is in the backend from what is not: entries are stored
// in order, so what stands before one that is, is too, or was given up.
func (k *journal) restoreChains() {
	stored := make([]*entry, 0, len(k.chains))
	for _, c := range k.chains {
		c.visible = k.seq
		last := -1
		for i, e := range c.entries {
			if e.placed {
				last = i
			}
		}
		stored = append(stored, c.entries[:last+1]...)
	}
	slices.SortFunc(stored, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
	for _, e := range stored {
		if !e.placed {
			e.storedAt = e.at
		}
		e.unsure = false
		k.ship(e)
	}
	for _, c := range k.chains {
		// What is sent before the backend is known to have the rest would stand ahead
		// of it, for it is in the chain of another producer.
		c.gapped = c.ship > 0 && c.kind != aQueue
		c.lane.enqueue(c)
		if c.ship < len(c.entries) {
			c.lane.hurry(c)
		}
	}
}

// Drain has what waits in the journal of cfg.Dir stored, until nothing is left or
// ctx ends, and leaves cfg.Driver open. It answers how many acknowledged entries it
// has stored, and how many are left. Breakers need not be set. Nothing is opened if
// there is no journal.
func Drain(ctx context.Context, cfg JournaledConfig) (shipped, left int, err error) {
	if there, err := journalfile.Exists(cfg.Dir); err != nil || !there {
		return 0, 0, err
	}
	breakers, err := drainBreakers(cfg)
	if err != nil {
		return 0, 0, err
	}
	cfg.Breakers = breakers
	defer func() {
		for _, b := range breakers {
			b.Close()
		}
	}()
	j, err := newJournaled(cfg)
	if err != nil {
		return 0, 0, err
	}
	before := j.Status().Pending
	j.start()
	look := time.NewTicker(restPoll)
	defer look.Stop()
	for j.Status().Pending > 0 && ctx.Err() == nil {
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
	left, err = j.end()
	return before - left, left, err
}

func drainBreakers(cfg JournaledConfig) ([]*breaker.Breaker, error) {
	lanes := 1
	if p, ok := cfg.Driver.(storage.Partitioned); ok {
		lanes = max(len(p.Lanes()), 1)
	}
	breakers := make([]*breaker.Breaker, lanes)
	for i := range breakers {
		b, err := breaker.New(breaker.Config{Name: "drain"})
		if err != nil {
			return nil, fmt.Errorf("breaker: %w", err)
		}
		breakers[i] = b
	}
	return breakers, nil
}
