package memory

import (
	"container/heap"
	"time"
)

// ending is when something named by an id ends.
type ending struct {
	at    time.Time
	id    string
	index int // in its endings
}

// endings are what has an end, so that whatever is over is found without looking at
// the rest.
type endings struct{ heap endingHeap }

// add notes an end. Never, the zero time, is answered with nil.
func (e *endings) add(id string, at time.Time) *ending {
	if at.IsZero() {
		return nil
	}
	x := &ending{at: at, id: id}
	heap.Push(&e.heap, x)
	return x
}

// remove forgets an end; nil is none.
func (e *endings) remove(x *ending) {
	if x != nil {
		heap.Remove(&e.heap, x.index)
	}
}

// over answers something that is over, as long as there is something.
func (e *endings) over(now time.Time) (id string, ok bool) {
	if len(e.heap) == 0 || e.heap[0].at.After(now) {
		return "", false
	}
	return e.heap[0].id, true
}

// endingHeap implements [heap.Interface], the earliest end first.
type endingHeap []*ending

func (h endingHeap) Len() int           { return len(h) }
func (h endingHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h endingHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *endingHeap) Push(x any) {
	e := x.(*ending) //nolint:forcetypeassert // nothing else is put in
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *endingHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
