package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// together are two logs of one partition, and a call that appends to both; the
// second is the one that leaves the mark.
func together(d *Driver, id string) (appends []*storage.Append, partition string) {
	first := &storage.Append{Log: "e:first", ID: id, Data: []byte("{}")}
	partition, _ = d.Partition(first)
	for i := 0; ; i++ {
		second := &storage.Append{Log: fmt.Sprint("e:second", i), ID: id, Data: []byte("{}")}
		if p, _ := d.Partition(second); p == partition {
			return []*storage.Append{first, second}, partition
		}
	}
}

// What stands before the call that leaves the mark is told to be lost like that.
func TestLossOfWhatWasSentTogether(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	losses := keepLosses(d)
	appends, partition := together(d, "a")
	for _, r := range apply(t, d, appends...) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	s.MustDo("FLUSHALL")
	beat(t, d)
	losses.told(t, partition)
}

// Where the call that was to leave the mark is refused, a beat leaves it.
func TestLossOfWhatWasSentWithARefusedCall(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	losses := keepLosses(d)
	appends, partition := together(d, "a")
	s.MustDo("SET", d.keys.log(appends[1].Log).stream, "not a stream")
	results, err := d.Apply(t.Context(), []storage.Op{appends[0], appends[1]})
	if err != nil || results[0].Err != nil || !errors.Is(results[1].Err, storage.ErrPoison) {
		t.Fatalf("answers are %+v, %v", results, err)
	}
	s.MustDo("FLUSHALL")
	beat(t, d)
	losses.told(t, partition)
}

// What was answered and could be lost unseen counts as not answered.
func TestNothingIsAnsweredWithoutAMark(t *testing.T) {
	d := open(t, redistest.Start(t))
	calls := []*call{{partition: "p00", reply: "done"}, {partition: "p01", reply: "done"}, {partition: "p00"}}
	ended, end := context.WithCancel(t.Context())
	end()
	d.markLater(ended, calls, []string{"p00"})
	if calls[0].reply != nil || calls[0].err == nil || calls[1].reply == nil {
		t.Fatalf("calls are %+v, %+v", calls[0], calls[1])
	}
}

// A mark in front of others of its partition would be there when they are lost.
func TestTheLastCallLeavesTheMark(t *testing.T) {
	d := open(t, redistest.Start(t))
	ended, end := context.WithCancel(t.Context())
	end()
	calls := append(beats([]string{"p00", "p01", "p00"}), beats([]string{"p02"})...)
	d.compare(ended, calls)
	for i, leaves := range []bool{false, true, true, true} {
		if c := calls[i]; (c.mark != nil) != leaves {
			t.Errorf("call %d to %s leaves a mark: %v", i, c.partition, !leaves)
		}
	}
}
