package lifeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/storage/resilient"
)

// TestDrainJournal: rounds go on while something moves, and what is left refuses the
// start.
func TestDrainJournal(t *testing.T) {
	type round struct {
		shipped, left int
		err           error
	}
	broken := errors.New("the file is broken")
	for name, c := range map[string]struct {
		rounds []round // all of them must happen
		want   []string
	}{
		"nothing there":     {[]round{{0, 0, nil}}, nil},
		"all shipped":       {[]round{{7, 0, nil}}, nil},
		"in two rounds":     {[]round{{7, 3, context.DeadlineExceeded}, {3, 0, nil}}, nil},
		"storage away":      {[]round{{0, 3, context.DeadlineExceeded}}, []string{"wait in the journal in /j: 3;", "make the redis storage available", "deadline"}},
		"away half-way":     {[]round{{7, 3, nil}, {0, 3, nil}}, []string{"wait in the journal in /j: 3;"}},
		"cannot be opened":  {[]round{{0, 0, broken}}, []string{"in /j: the file is broken"}},
		"broken afterwards": {[]round{{2, 0, broken}}, []string{"in /j: the file is broken"}},
	} {
		core, logs := observer.New(zap.InfoLevel)
		h := &Hub{info: StorageInfo{Driver: "redis", Remote: true}, Journal: &Journal{Dir: "/j"}}
		var done, shipped int
		err := h.drainJournal("x", nil, zap.New(core), func(ctx context.Context, cfg resilient.JournaledConfig) (int, int, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > drainRound || cfg.Dir != "/j" {
				t.Errorf("%s: asked to drain %q until %s", name, cfg.Dir, deadline)
			}
			r := c.rounds[done]
			done++
			if r.shipped > 0 {
				shipped++
			}
			return r.shipped, r.left, r.err
		})
		if (err == nil) != (c.want == nil) || done != len(c.rounds) || logs.Len() != shipped {
			t.Errorf("%s: %v after %d rounds, %d log entries", name, err, done, logs.Len())
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in %v", name, want, err)
			}
		}
	}
}
