package events

import (
	"runtime"
	"slices"
	"sync"
)

// What a topic delivers to those who share its frames is collected in a burst. A
// pump, a goroutine that is there only while something is due, joins the burst's
// frames once, queues the same bytes for each of them and writes what their sockets
// take at once. Events that come meanwhile are the next burst: the slower the
// writing, the more events go into one write, which costs the same for many as for
// one. The publisher waits for none of it; only for very few subscribers he writes
// himself, once.

// burst is what is due for the subscribers who share a topic's frames, in one
// encoding.
type burst struct {
	frames [][]byte
	bytes  int
	shared int // how many subscribers want it
}

const (
	// maxBurst and maxBurstBytes bound a burst. One that is full is queued for the
	// subscribers by the publisher himself, within the bounds of their queues.
	maxBurst      = 256
	maxBurstBytes = 256 << 10
)

// chunks are the burst's frames joined in pieces of at most maxJoin bytes.
func (b *burst) chunks() []chunk {
	var chunks []chunk
	for from := 0; from < len(b.frames); {
		to, size := from, 0
		for to < len(b.frames) && (to == from || size+len(b.frames[to]) <= maxJoin) {
			size += len(b.frames[to])
			to++
		}
		c := chunk{b: b.frames[from], frames: to - from}
		if c.frames > 1 {
			c.b = slices.Concat(b.frames[from:to]...)
		}
		chunks = append(chunks, c)
		from = to
	}
	return chunks
}

// share lets a subscriber have the topic's frames from the next one on.
func (t *topic) share(s *subscriber) {
	t.handOut() // what is due already is not his
	s.slot = len(t.sharers)
	t.sharers = append(t.sharers, s)
	t.bursts[s.enc].shared++
	t.sharing[s.via]++
	t.targets = nil
}

// unshare ends that; he gets what is due.
func (t *topic) unshare(s *subscriber) {
	t.handOut()
	s.out.kick()
	last := len(t.sharers) - 1
	t.sharers[s.slot] = t.sharers[last]
	t.sharers[s.slot].slot = s.slot
	t.sharers[last] = nil
	t.sharers = t.sharers[:last]
	t.bursts[s.enc].shared--
	t.sharing[s.via]--
	t.targets = nil
	s.slot = -1
}

// collect puts d into the bursts of those who share the topic's frames.
func (t *topic) collect(d *delivery) {
	full := false
	for e := range t.bursts {
		b := &t.bursts[e]
		if b.shared == 0 {
			continue
		}
		frame := d.shared(encoding(e), t.quoted, t.cursor)
		b.frames = append(b.frames, frame)
		b.bytes += len(frame)
		full = full || len(b.frames) >= maxBurst || b.bytes >= maxBurstBytes
	}
	if full {
		t.handOut()
	}
	if !t.pumping {
		t.pumping = true
		go func() { t.pump(t.lockedDue()) }() // it ends when nothing is due, and waits for nobody
	}
}

// handOut queues what is due for each subscriber who shares it.
func (t *topic) handOut() {
	for e := range t.bursts {
		b := &t.bursts[e]
		if len(b.frames) == 0 {
			continue
		}
		chunks := b.chunks()
		for _, s := range t.sharers {
			if s.enc != encoding(e) {
				continue
			}
			for _, c := range chunks {
				s.out.hand(c)
			}
		}
		clear(b.frames)
		b.frames, b.bytes = b.frames[:0], 0
		t.handed = true
	}
}

// due queues what is due and answers to whom it is to be written; nil: nobody, and the
// pumping is at its end.
func (t *topic) due() []*outbox {
	t.handOut()
	if !t.handed {
		t.pumping = false
		return nil
	}
	t.handed = false
	if t.targets == nil {
		t.targets = make([]*outbox, len(t.sharers))
		for i, s := range t.sharers {
			t.targets[i] = s.out.box()
		}
	}
	return t.targets
}

func (t *topic) lockedDue() []*outbox {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due()
}

// pump writes what is due to targets, and what comes meanwhile, until nothing is due.
func (t *topic) pump(targets []*outbox) {
	for ; targets != nil; targets = t.lockedDue() {
		flushAll(targets)
	}
}

// pumpOnce leaves to a goroutine what comes meanwhile.
func (t *topic) pumpOnce(targets []*outbox) {
	flushAll(targets)
	if more := t.lockedDue(); more != nil {
		go t.pump(more)
	}
}

// maxInline is up to how many subscribers a publisher writes himself. Each write is
// some 10 µs, about what it costs to have a goroutine woken for it.
const maxInline = 2

// perFlusher is for how many connections another goroutine is worth its start.
const perFlusher = 256

var attempts = sync.Pool{New: func() any { return newAttempt() }}

// flushAll writes what is queued, on half of the processors: the others are for
// those who publish and read.
func flushAll(targets []*outbox) {
	n := min(max(1, runtime.GOMAXPROCS(0)/2), 1+len(targets)/perFlusher)
	if n == 1 {
		flush(targets)
		return
	}
	var all sync.WaitGroup
	for part := range slices.Chunk(targets, (len(targets)+n-1)/n) {
		all.Go(func() { flush(part) })
	}
	all.Wait()
}

func flush(targets []*outbox) {
	a := attempts.Get().(*attempt) //nolint:forcetypeassert // the pool's only type
	defer attempts.Put(a)
	for _, o := range targets {
		o.flush(a)
	}
}
