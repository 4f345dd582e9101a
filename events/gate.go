package events

import (
	"context"
	"slices"
	"sync"
)

// gate lets a bounded number of callers in at a time, first come, first served.
type gate struct {
	mu      sync.Mutex // guards what follows
	limit   int
	used    int
	waiting []chan struct{} // each closed when its owner is let in
	full    func()          // called when somebody has to wait; set before use; nil: nothing
}

func (g *gate) setLimit(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = n
	g.letIn()
}

// enter waits until the caller is let in, who then must call leave, or until ctx
// is done.
func (g *gate) enter(ctx context.Context) error {
	g.mu.Lock()
	if g.used < g.limit && len(g.waiting) == 0 {
		g.used++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.mu.Unlock()
	if g.full != nil {
		g.full()
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	} else { // let in at the same moment
		g.used--
		g.letIn()
	}
	return context.Cause(ctx)
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used--
	g.letIn()
}

func (g *gate) letIn() {
	for len(g.waiting) > 0 && g.used < g.limit {
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
		g.used++
	}
}
