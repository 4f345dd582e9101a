package events

import (
	"context"
	"errors"
	"sync"
)

// outbox is the bounded queue of what one connection still has to send. Whoever
// delivers pushes and never waits; one writer at a time takes everything that is
// due. The writer exists, or is awake, only while there is something to send, so
// that an idle connection costs no second goroutine.
type outbox struct {
	// wake starts the writer, which then calls take until it answers nil. It is
	// called with mu held and must not block.
	wake func()
	// full is called once, in a goroutine of its own, when something did not fit.
	full func()

	maxBytes  int64
	maxFrames int

	mu      sync.Mutex // guards what follows
	queue   []chunk
	bytes   int64 // of queue
	frames  int   // of queue
	writing bool  // the writer is awake
	state   outboxState
	room    chan struct{} // closed when the queue shrinks or state changes; nil: nobody waits
	idle    chan struct{} // closed when writing ends; nil: nobody waits
}

// chunk is some whole frames in a row. Its bytes may be shared with other
// connections and are never changed.
type chunk struct {
	b      []byte
	frames int
	slot   int // of a stream of several sessions: which one
}

// queue is where a subscriber's frames go: an outbox, or a part of one.
type queue interface {
	push(b []byte)
	pushWait(ctx context.Context, c chunk) error
}

type outboxState uint8

const (
	outboxOpen   outboxState = iota
	outboxFull               // something did not fit: only finish is of any use
	outboxEnding             // sends what is queued, takes nothing more
	outboxDead               // sends nothing more
)

var errConnectionEnded = errors.New("the connection has ended")

// push queues frames for sending. What arrives when the queue is full already,
// by bytes or by count, ends the connection instead.
func (o *outbox) push(b []byte) { o.pushChunk(chunk{b: b, frames: 1}) }

func (o *outbox) pushChunk(c chunk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen {
		return
	}
	// The test is on what waits, without c: a single event may be as large as
	// the whole queue, and its reader is not slow for that.
	if o.bytes >= o.maxBytes || o.frames >= o.maxFrames {
		o.stopLocked(outboxFull)
		go o.full()
		return
	}
	o.addLocked(c)
}

func (o *outbox) addLocked(c chunk) {
	o.queue = append(o.queue, c)
	o.bytes += int64(len(c.b))
	o.frames += c.frames
	if !o.writing {
		o.writing = true
		o.wake()
	}
}

// pushWait queues frames once at most half of the queue is taken, so that live
// frames find room meanwhile. It is how replays send.
func (o *outbox) pushWait(ctx context.Context, c chunk) error {
	for {
		o.mu.Lock()
		if o.state != outboxOpen {
			o.mu.Unlock()
			return errConnectionEnded
		}
		half := o.bytes+int64(len(c.b)) <= o.maxBytes/2 && o.frames+c.frames <= o.maxFrames/2
		if half || len(o.queue) == 0 {
			o.addLocked(c)
			o.mu.Unlock()
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// discard takes everything away, for a connection that only wants to know that
// there is something.
func (o *outbox) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue, o.bytes, o.frames, o.writing = nil, 0, 0, false
}

// maxJoin is how many bytes are joined into one write, at most.
const maxJoin = 64 << 10

// take answers what is to be written next: one large chunk by itself, or small
// ones joined in buf. It answers nil when nothing is left; then the writer
// stops, and ended says whether for good.
func (o *outbox) take(buf []byte) (b []byte, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, ended := o.dueLocked()
	if n == 0 {
		return nil, ended
	}
	if n == 1 {
		b = o.queue[0].b
	} else {
		b = buf[:0]
		for _, c := range o.queue[:n] {
			b = append(b, c.b...)
		}
	}
	o.dropLocked(n)
	notify(&o.room)
	return b, false
}

// takeChunks is take for a writer that joins by itself: it appends to chunks what is
// to be written next.
func (o *outbox) takeChunks(chunks []chunk) (due []chunk, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, ended := o.dueLocked()
	if n == 0 {
		return chunks, ended
	}
	chunks = append(chunks, o.queue[:n]...)
	o.dropLocked(n)
	notify(&o.room)
	return chunks, false
}

// dueLocked answers how many chunks are to be written next. With none the writer
// stops, for good if ended.
func (o *outbox) dueLocked() (n int, ended bool) {
	if len(o.queue) == 0 || o.state == outboxDead {
		o.writing = false
		notify(&o.idle)
		return 0, o.state >= outboxEnding
	}
	for size := 0; n < len(o.queue) && (n == 0 || size+len(o.queue[n].b) <= maxJoin); n++ {
		size += len(o.queue[n].b)
	}
	return n, false
}

// dropLocked forgets the first n chunks.
func (o *outbox) dropLocked(n int) {
	for _, c := range o.queue[:n] {
		o.bytes -= int64(len(c.b))
		o.frames -= c.frames
	}
	rest := copy(o.queue, o.queue[n:])
	clear(o.queue[rest:])
	o.queue = o.queue[:rest]
	const keep = 16 // chunks; an idle connection holds no large queue
	if rest == 0 && cap(o.queue) > keep {
		o.queue = nil
	}
}

// finish lets the writer send last and nothing after it; what is queued goes
// first, or with discard not at all. It answers false when the outbox was
// already ending.
func (o *outbox) finish(last []byte, discard bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state >= outboxEnding {
		return false
	}
	if discard {
		o.dropLocked(len(o.queue))
	}
	o.state = outboxEnding
	if last != nil {
		o.addLocked(chunk{b: last, frames: 1})
	} else if !o.writing {
		o.writing = true
		o.wake() // to tell the writer that it is over
	}
	notify(&o.room)
	return true
}

// isOpen reports whether the outbox still takes frames.
func (o *outbox) isOpen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state == outboxOpen
}

// kill makes the writer stop after the write that it is in.
func (o *outbox) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopLocked(outboxDead)
}

func (o *outbox) stopLocked(state outboxState) {
	o.state = state
	o.dropLocked(len(o.queue))
	notify(&o.room)
}

// wait returns when the writer is not at work.
func (o *outbox) wait() {
	for {
		o.mu.Lock()
		if !o.writing {
			o.mu.Unlock()
			return
		}
		if o.idle == nil {
			o.idle = make(chan struct{})
		}
		idle := o.idle
		o.mu.Unlock()
		<-idle
	}
}

// notify wakes everybody who waits on *ch.
func notify(ch *chan struct{}) {
	if *ch != nil {
		close(*ch)
		*ch = nil
	}
}
