package lifeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/actionflows/lifeline/events"
)

// TestRequestsWaitForTheStart: apps start in any order, so a request may come
// before the hub has started and has its settings; it waits for them, and not
// longer than 5 s.
func TestRequestsWaitForTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := newRuntime("late")
		begin := time.Now()
		if hub := rt.ready(context.Background(), startWait); hub != nil || time.Since(begin) != 5*time.Second {
			t.Errorf("answered %p after %s", hub, time.Since(begin))
		}
		hub := new(events.Hub)
		rt.hub.Store(hub)
		go func() {
			time.Sleep(time.Second) // the time in which the settings are applied, in the bubble
			close(rt.started)
		}()
		begin = time.Now()
		if got := rt.ready(context.Background(), startWait); got != hub || time.Since(begin) != time.Second {
			t.Errorf("answered %p after %s", got, time.Since(begin))
		}
	})
}
