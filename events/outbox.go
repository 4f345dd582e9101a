package events

import (
	"bytes"
	"context"
	"errors"
	"slices"
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
	// direct is a connection that can be written to without waiting; nil: it is left
	// to the writer.
	direct direct

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

// direct writes what the connection takes at once. After an error the connection
// is at its end.
type direct interface {
	tryWrite(a *attempt, b []byte) (n int, err error)
}

// chunk is some whole frames in a row. Its bytes may be shared with other
// connections and are never changed.
type chunk struct {
	b      []byte
	frames int
	part   int  // of a stream of several sessions: which one
	status bool // the hub's status: see tell
	begun  bool // the rest of what the connection has taken a part of
}

// queue is where a subscriber's frames go: an outbox, or a part of one.
type queue interface {
	push(b []byte)
	pushWait(ctx context.Context, c chunk) error
	hand(c chunk)
	kick()
	box() *outbox // the whole
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
	if o.fitsLocked() {
		o.addLocked(c)
	}
}

// hand is push for frames that somebody will soon flush.
func (o *outbox) hand(c chunk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fitsLocked() {
		o.queueLocked(c)
	}
}

// tell is hand for the hub's status: it takes the place of one that waits already, so
// that there is one at most, and nobody is too slow for it.
func (o *outbox) tell(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxOpen {
		return
	}
	for i := range o.queue {
		if c := &o.queue[i]; c.status {
			o.bytes += int64(len(b) - len(c.b))
			c.b = b
			return
		}
	}
	o.queueLocked(chunk{b: b, frames: 1, status: true})
}

func (o *outbox) fitsLocked() bool {
	if o.state != outboxOpen {
		return false
	}
	// The test is on what waits, without c: a single event may be as large as
	// the whole queue, and its reader is not slow for that.
	if o.bytes >= o.maxBytes || o.frames >= o.maxFrames {
		o.state = outboxFull
		o.clearLocked()
		notify(&o.room)
		go o.full()
		return false
	}
	return true
}

func (o *outbox) addLocked(c chunk) {
	o.queueLocked(c)
	o.kickLocked()
}

func (o *outbox) queueLocked(c chunk) {
	o.queue = append(o.queue, c)
	o.bytes += int64(len(c.b))
	o.frames += c.frames
}

func (o *outbox) box() *outbox { return o }

// kick starts the writer if something is queued that nobody is writing.
func (o *outbox) kick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) > 0 {
		o.kickLocked()
	}
}

func (o *outbox) kickLocked() {
	if !o.writing {
		o.writing = true
		o.wake()
	}
}

// flush writes what is queued: at once what the connection takes, and the rest by
// the writer.
func (o *outbox) flush(a *attempt) {
	o.mu.Lock()
	if o.writing || len(o.queue) == 0 || o.direct == nil {
		if len(o.queue) > 0 {
			o.kickLocked()
		}
		o.mu.Unlock()
		return
	}
	o.writing = true
	o.mu.Unlock()
	for {
		b, _ := o.take(a.buf)
		if b == nil {
			return
		}
		n, err := o.direct.tryWrite(a, b)
		if err != nil {
			o.kill()
			continue
		}
		if n < len(b) {
			rest := b[n:]
			if a.joined(b) {
				rest = bytes.Clone(rest)
			}
			o.putBack(rest)
			return
		}
	}
}

// putBack queues what the connection has not taken before all else, and has the
// writer go on.
func (o *outbox) putBack(rest []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state != outboxDead {
		o.queue = slices.Insert(o.queue, 0, chunk{b: rest, begun: true})
		o.bytes += int64(len(rest))
	}
	o.wake()
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

// clearLocked forgets what is queued, except for the rest of a frame that has begun:
// without it nothing behind would be understood.
func (o *outbox) clearLocked() {
	if len(o.queue) == 0 || !o.queue[0].begun {
		o.dropLocked(len(o.queue))
		return
	}
	rest := o.queue[0]
	o.dropLocked(len(o.queue))
	o.queueLocked(rest)
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
		o.clearLocked()
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

// queued is how many bytes wait.
func (o *outbox) queued() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
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
	o.state = outboxDead
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
