package redis

import (
	"context"
	"strconv"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// Apply implements [storage.Driver] for appends: one script call for each log,
// all in one round trip. Appends to one log keep their order and are all stored
// or none is; logs do not wait for each other.
func (d *Driver) Apply(ctx context.Context, ops []storage.Op) ([]storage.Result, error) {
	appends, results := d.Appends(ops)
	batches := d.batches(appends)
	answers, err := bounded(ctx, d, func(ctx context.Context) ([]answer, error) {
		return d.appendAll(ctx, batches), nil
	})
	if err != nil {
		for _, b := range batches {
			b.fail(results, err)
		}
		return results, err
	}
	for i, b := range batches {
		answers[i].err = blame(ctx, answers[i].err)
		if e := answers[i].settle(b, results); err == nil {
			err = e
		}
	}
	return results, err
}

// batch is what one Apply appends to one log.
type batch struct {
	log   string
	ops   []*storage.Append
	place []int // of each op among the results
}

func (d *Driver) batches(appends []*storage.Append) []*batch {
	var all []*batch
	byLog := map[string]*batch{}
	for i, a := range appends {
		if a == nil {
			continue
		}
		b := byLog[a.Log]
		if b == nil {
			b = &batch{log: a.Log}
			byLog[a.Log] = b
			all = append(all, b)
		}
		b.ops = append(b.ops, a)
		b.place = append(b.place, i)
	}
	return all
}

func (b *batch) fail(results []storage.Result, err error) {
	for _, i := range b.place {
		results[i] = storage.Result{Err: err}
	}
}

// producer is the one that wrote the whole batch, else none.
func (b *batch) producer() storage.Producer {
	p := b.ops[0].Link.Producer
	for _, a := range b.ops {
		if a.Link.Producer != p {
			return 0
		}
	}
	return p
}

// call is the script call for the batch; append.lua says what each argument is.
// The last op says how much of the log is kept.
func (b *batch) call(k logKeys) *call {
	newest := b.ops[len(b.ops)-1]
	notice := storage.Notice{Producer: b.producer(), Log: b.log}
	args := make([]any, 0, 6+7*len(b.ops))
	args = append(args, storage.NewEpoch().String(), max(newest.MaxLen, 0),
		max(newest.MaxAge.Microseconds(), 0), max(newest.MaxLen, storage.DedupWindow),
		k.channel, notice.Encode())
	for _, a := range b.ops {
		args = append(args, a.ID, a.Data, max(a.Floor, -1), optional(a.Epoch),
			optional(a.Link.Producer), strconv.FormatUint(a.Link.Number, 10), flags(a))
	}
	return &call{keys: []string{k.stream, k.meta, k.ids0, k.ids1}, args: args}
}

// optional spells none as nothing.
func optional[T interface {
	~uint64
	String() string
}](v T) string {
	if v == 0 {
		return ""
	}
	return v.String()
}

func flags(a *storage.Append) string {
	s := ""
	if a.Rebase {
		s += "r"
	}
	if a.IfExists {
		s += "x"
	}
	return s
}

func (d *Driver) appendAll(ctx context.Context, batches []*batch) []answer {
	if len(batches) == 0 {
		return nil
	}
	calls := make([]*call, len(batches))
	for i, b := range batches {
		calls[i] = b.call(d.keys.log(b.log))
	}
	d.appendScript.run(ctx, d.write, calls)
	answers := make([]answer, len(batches))
	for i, c := range calls {
		answers[i] = parseAnswer(c, len(batches[i].ops))
		d.tell(answers[i])
	}
	return answers
}

// tell looks at the server's configuration when it has answered for the first
// time, and warns once when notices stop getting through.
func (d *Driver) tell(a answer) {
	if a.err != nil {
		return
	}
	d.checkServer()
	if failed := a.notice != ""; d.noticeFailed.Swap(failed) != failed && failed {
		d.log.Warn("redis stores events but does not pass on notices; "+
			"other nodes deliver them late", zap.String("error", a.notice))
	}
}
