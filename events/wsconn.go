package events

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// wsConn is one WebSocket client. A goroutine reads while there is something to read,
// another one writes while the socket takes no more.
type wsConn struct {
	hub    *Hub
	sock   socket
	raw    syscall.RawConn // of sock, where it can be written to without waiting
	source lazyReader      // from raw
	parked atomic.Bool     // nobody reads: see rest
	spot   int             // where it is parked, or was last
	done   func()          // called at the end
	reader frameReader
	may    atomic.Pointer[Grant] // see grant
	id     string
	opened time.Time
	enc    encoding // of what it shares with others
	out    outbox
	// What follows exists once it is needed. ctx ends with the connection.
	ctx     context.Context //nolint:containedctx // its subscriptions are the connection's
	cancel  context.CancelFunc
	replays chan struct{} // holds one place

	received atomic.Int64 // when the last frame came, ns since 1970
	sent     atomic.Int64 // when the last write ended
	bucket   bucket       // the reader's
	// When the next pong message and protocol ping are due; the sweep's.
	nextPong, nextPing time.Time

	mu      sync.Mutex // guards what follows; taken before any lock of a topic
	subs    map[string]*subscriber
	born    uint64 // the number of the last broadcast before the connection
	visited uint64 // of the last one that the connection was visited for
}

func newWSConn(h *Hub, sock socket, early []byte, g Grant) *wsConn {
	l := h.Limits()
	c := &wsConn{
		hub: h, sock: sock, id: newClientID(),
		bucket: bucket{tokens: float64(l.MessageRate)},
	}
	c.grant(g)
	c.out = outbox{
		maxBytes: l.MaxQueueBytes, maxFrames: l.MaxQueueFrames,
		wake: func() { go c.write() },
		full: func() {
			h.meet(LimitQueue)
			h.log.Debug("slow consumer", zap.String("client", c.id))
			c.end(closeSlow, "slow consumer", true)
		},
	}
	if c.raw = rawSocket(sock); c.raw != nil {
		c.out.direct = c
		c.source.init(c.raw, early)
		c.reader.src, c.reader.silent = &c.source, c.silent
	} else {
		c.reader.src = buffered(sock, early)
	}
	c.reader.control = c.control
	c.reader.touch = func() { c.received.Store(h.now().UnixNano()) }
	now := h.now()
	c.opened = now
	c.received.Store(now.UnixNano())
	c.sent.Store(now.UnixNano())
	c.nextPong, c.nextPing = now.Add(h.times.pong), now.Add(h.times.ping)
	return c
}

func newClientID() string {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

func (c *wsConn) identity() Peer { return c.granted().Peer }

func (c *wsConn) granted() Grant { return *c.may.Load() }

func (c *wsConn) grant(g Grant) { c.may.Store(&g) }

// serve reads until the connection ends, cleans up and calls done. It returns early
// when the client is silent; it goes on once something has come.
func (c *wsConn) serve() {
	err := c.readMessages()
	if errors.Is(err, errSilent) {
		c.rest()
		return
	}
	c.cleanUp(err)
	c.hub.connections.remove(c)
	c.done()
}

// silent reports whether the goroutine may leave: nothing has come, and nothing else
// is waited for.
func (c *wsConn) silent() bool { return c.out.isOpen() && c.source.silent() }

// rest leaves the connection without a goroutine until something comes, or it is to
// end: whoever ends it unparks it after that, so that either he or this sees the other.
func (c *wsConn) rest() {
	c.parked.Store(true)
	if c.out.isOpen() && c.hub.parking.park(c.hub, c) {
		if !c.out.isOpen() {
			c.unpark()
		}
		return
	}
	if c.parked.CompareAndSwap(true, false) {
		go c.await()
	}
}

// unpark has a goroutine read again.
func (c *wsConn) unpark() {
	if c.parked.CompareAndSwap(true, false) {
		go c.serve()
	}
}

// await goes on once there is something to read.
func (c *wsConn) await() {
	c.source.await()
	c.serve()
}

// cleanUp ends the connection after err.
func (c *wsConn) cleanUp(err error) {
	if c.cancel != nil {
		c.cancel()
	}
	c.unsubscribeAll()
	if closing, ok := errors.AsType[*closeError](err); ok {
		c.end(closing.code, closing.reason, false)
		if !closing.byPeer {
			// What the client still sends must be read: closing a connection with
			// unread bytes resets it, and the close frame would be lost.
			_, _ = io.Copy(io.Discard, c.reader.src)
		}
		c.out.wait() // not for long: end has set a deadline
	}
	c.abort()
	c.out.wait()
	c.hub.parking.forget(c)
}

// context is that of the connection's subscriptions and calls. Only its reader
// may ask.
func (c *wsConn) context() context.Context {
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(c.hub.ctx)
	}
	return c.ctx
}

func (c *wsConn) readMessages() error {
	for {
		message, err := c.reader.next(c.hub.Limits().MaxMessage)
		if closing, ok := errors.AsType[*closeError](err); ok && closing.code == closeTooBig && !closing.byPeer {
			c.hub.meet(LimitMessage)
		}
		if err != nil {
			return err
		}
		if err := c.spend(); err != nil {
			return err
		}
		if !c.out.isOpen() {
			continue // closing: only the peer's close frame matters
		}
		c.handle(message)
	}
}

// spend counts a message against the client's rate.
func (c *wsConn) spend() error {
	if c.bucket.take(c.hub.now(), c.hub.Limits().MessageRate) {
		return nil
	}
	c.hub.meet(LimitMessageRate)
	return &closeError{code: closeLimit, reason: retryReason(1)}
}

func (c *wsConn) control(op byte, payload []byte) error {
	if op != opPing {
		return nil
	}
	if err := c.spend(); err != nil {
		return err
	}
	c.out.push(frameOf(opPong, payload))
	return nil
}

// end sends a close frame as the last one and gives the peer a moment to answer.
func (c *wsConn) end(code int, reason string, discard bool) {
	if !c.out.finish(closeFrame(code, reason), discard) {
		return
	}
	grace := c.hub.times.closing
	if code == closeSlow {
		grace = c.hub.times.slow // it may still have much to read before this
	}
	_ = c.sock.SetDeadline(time.Now().Add(grace))
	c.unpark()
}

// abort ends the connection at once; the reader cleans up.
func (c *wsConn) abort() {
	c.out.kill()
	_ = c.sock.Close()
	c.unpark()
}

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, maxJoin); return &b }}

// write sends what is queued until nothing is left.
func (c *wsConn) write() {
	buf := writeBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool's only type
	defer writeBuffers.Put(buf)
	for {
		b, _ := c.out.take(*buf)
		if b == nil {
			return
		}
		if _, err := c.sock.Write(b); err != nil {
			c.abort()
			continue
		}
		c.sent.Store(c.hub.now().UnixNano())
	}
}

// tryWrite implements direct.
func (c *wsConn) tryWrite(a *attempt, b []byte) (int, error) {
	n, err := a.write(c.raw, b)
	if err != nil {
		c.abort()
		return n, err
	}
	c.sent.Store(c.hub.now().UnixNano())
	return n, nil
}

// sweep sends what is due by the clock, and drops a peer that is gone.
func (c *wsConn) sweep(now time.Time) {
	t := c.hub.times
	if now.Sub(time.Unix(0, c.received.Load())) >= t.dead {
		c.abort()
		return
	}
	if !now.Before(c.nextPong) {
		c.nextPong = now.Add(t.pong)
		if now.Sub(time.Unix(0, c.sent.Load())) >= t.idle {
			c.out.push(barePong)
		}
	}
	if !now.Before(c.nextPing) {
		c.nextPing = now.Add(t.ping)
		c.out.push(pingFrame)
	}
}

var (
	barePong  = frameOf(opText, []byte(`{"type":"pong"}`))
	pingFrame = frameOf(opPing, nil)
)

// lifecycle gives the client a lifecycle event, unless it gets it as subscriber.
func (c *wsConn) lifecycle(number uint64, session string, d *delivery, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visited = number
	s := c.subs[session]
	if s == nil {
		c.out.push(frame)
		c.hub.meter(session).delivered[viaWebSocket].Add(1)
		return
	}
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	s.lifecycle(d)
}

// passed notes a lifecycle event that is not for the client.
func (c *wsConn) passed(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.visited = number
}

// reconnectRate is how many clients a second should come again after the hub has
// closed; minSpread and maxSpread bound over how long they are spread for that.
const (
	reconnectRate = 1000
	minSpread     = time.Second
	maxSpread     = 30 * time.Second
)

// awayReason is the reason of a close with closeGoingAway: when one of so many clients
// should come again, drawn by lot, in milliseconds.
func awayReason(clients int) string {
	spread := min(max(time.Duration(clients)*time.Second/reconnectRate, minSpread), maxSpread)
	lot := rand.N(spread) //nolint:gosec // it only spreads
	return retryReason(lot.Truncate(time.Millisecond).Seconds())
}

// retryReason is the reason of a close after which the client should wait.
func retryReason(seconds float64) string {
	b, err := json.Marshal(struct {
		RetryAfter float64 `json:"retryAfter"`
	}{seconds})
	if err != nil {
		panic(err) // a number always encodes
	}
	return string(b)
}

// bucket bounds a rate: as many at once as come in a second.
type bucket struct {
	tokens float64
	last   time.Time
}

func (b *bucket) take(now time.Time, perSecond int) bool {
	rate := float64(perSecond)
	if !b.last.IsZero() {
		b.tokens += now.Sub(b.last).Seconds() * rate
	}
	b.last = now
	b.tokens = min(b.tokens, rate)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
