package outage

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// The ledger notices what it is there for.
func TestLedger(t *testing.T) {
	l := newLedger()
	event := func(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }
	for n := 1; n <= 5; n++ {
		e := l.posting(n, "s")
		var err error
		if n == 5 {
			err = errors.New("refused")
		}
		l.answered(e, err)
	}
	for _, n := range []int{1, 2, 2, 3} {
		l.deliver(event(n))
	}
	for _, n := range []int{1, 2, 4} {
		l.keep(event(n))
	}
	f := l.figures(time.Hour, 0)
	if want := (figures{posted: 5, acked: 4, errors: 1, undelivered: 1, lost: 1, twice: 1, hang: f.hang}); f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
	if l.allDelivered() {
		t.Error("event 4 was not delivered")
	}
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
