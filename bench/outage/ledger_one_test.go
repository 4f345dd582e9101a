package outage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// The ledger notices what it is there for.
func TestLedger(t *testing.T) {
	l := newLedger()
	event := func(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }
	for n := 1; n <= 6; n++ {
		e := l.posting(n, time.Duration(n)*40*time.Millisecond)
		switch n {
		case 5:
			l.answered(e, errors.New("refused"))
		case 6:
			l.notSent(e)
		default:
			l.answered(e, nil)
		}
	}
	for _, n := range []int{1, 2, 2, 3} {
		l.deliver(event(n))
	}
	for _, n := range []int{1, 2, 4} {
		l.keep(event(n))
	}
	l.events[2].took = time.Second
	f := l.figures(time.Minute, time.Hour, 0)
	want := figures{
		due: 6, acked: 4, errors: 2, unsent: 1, undelivered: 1, lost: 1, twice: 1, hang: time.Second, behind: f.behind,
		struck: time.Minute, back: time.Hour, samples: []sample{{100 * time.Millisecond, 2, time.Second}, {200 * time.Millisecond, 2, f.samples[1].Longest}, {300 * time.Millisecond, 0, 0}},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, want %+v", f, want)
	}
	if l.allDelivered() {
		t.Error("event 4 was not delivered")
	}
}

// The load keeps its schedule while nothing is answered: what is above the bound is not
// sent, and everything that is due is counted.
func TestLoadKeepsItsSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hang := newLedger(), make(chan struct{})
		s := &server{publish: func(_ context.Context, to string, event []byte) error {
			if n := numberOf(event); to != session(n%sessions) {
				t.Errorf("%s to %s", event, to)
			}
			l.deliver(event)
			<-hang
			return nil
		}}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		time.AfterFunc(12*time.Second, func() { close(hang) })
		load(ctx, s, l)
		f := l.figures(0, 0, 0)
		if f.due < 10*rate-1 || f.unsent != f.due-inFlight || f.acked != inFlight || f.behind > time.Millisecond {
			t.Errorf("%d due, %d not sent, %d acknowledged, behind by %v", f.due, f.unsent, f.acked, f.behind)
		}
		if f.undelivered+f.twice > 0 {
			t.Errorf("%d not posted, %d twice", f.undelivered, f.twice)
		}
		if f.hang < 12*time.Second-2*time.Second/rate {
			t.Errorf("the longest answer took %v, from when it was due", f.hang)
		}
	})
}

func TestRecovery(t *testing.T) {
	const back = 10 * time.Second
	for name, tt := range map[string]struct {
		e    entry
		want time.Duration
	}{
		"before":            {entry{at: time.Second, took: 2 * time.Second, acked: true}, 0},
		"good":              {entry{at: 11 * time.Second, took: time.Millisecond, acked: true, delivered: 11*time.Second + 1}, 0},
		"hung until later":  {entry{at: 9 * time.Second, took: 3 * time.Second, acked: true, delivered: 12 * time.Second}, 12 * time.Second},
		"refused":           {entry{at: 11 * time.Second, took: time.Millisecond}, 11*time.Second + time.Millisecond},
		"delivered late":    {entry{at: 11 * time.Second, took: 1, acked: true, delivered: 13 * time.Second}, 13 * time.Second},
		"never delivered":   {entry{at: 11 * time.Second, took: 1, acked: true}, 11 * time.Second},
		"refused before it": {entry{at: 9 * time.Second, took: time.Millisecond}, 0},
	} {
		if got := tt.e.trouble(back); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
