package events

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"go.uber.org/zap"
)

// A WebSocket that says nothing has no buffer, and no goroutine where it can be parked,
// or one that waits with the smallest stack there is: both come when there is something
// to read. Waiting with the goroutine that has read messages would keep its larger
// stack for ever.

// inputBuffer is the room for what a socket has sent.
const inputBuffer = 4 << 10

var inputBuffers = sync.Pool{New: func() any { b := make([]byte, inputBuffer); return &b }}

// errSilent says that the client has sent nothing more, between two messages.
var errSilent = errors.New("nothing to read at present")

// lazyReader reads from a socket with a buffer that it has only while something is
// in it. The zero value needs init. Not safe for concurrent use.
type lazyReader struct {
	raw  syscall.RawConn
	room *[]byte // where rest lies, to be given back; nil: nowhere
	rest []byte  // read and not used yet
	once func(fd uintptr) bool
	wait bool // once waits
	err  error
}

// init prepares for reading from raw what comes behind early.
func (l *lazyReader) init(raw syscall.RawConn, early []byte) {
	l.raw, l.rest, l.once = raw, early, l.readOnce
}

// Read implements io.Reader.
func (l *lazyReader) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		l.wait = true
		if err := l.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	if l.rest = l.rest[n:]; len(l.rest) == 0 {
		l.release()
	}
	return n, nil
}

// silent reports whether nothing has come. An error is for Read to find again.
func (l *lazyReader) silent() bool {
	if len(l.rest) > 0 {
		return false
	}
	l.wait = false
	return l.fill() == nil && len(l.rest) == 0
}

func (l *lazyReader) fill() error {
	l.err = nil
	if err := l.raw.Read(l.once); err != nil {
		l.release()
		return err //nolint:wrapcheck // the connection's
	}
	return l.err
}

// readOnce reads what is there; true: do not wait for more.
func (l *lazyReader) readOnce(fd uintptr) bool {
	if l.room == nil {
		l.room = inputBuffers.Get().(*[]byte) //nolint:forcetypeassert // the pool's only type
	}
	n, err := tryRead(fd, *l.room)
	switch {
	case err == syscall.EAGAIN: //nolint:errorlint // what the system call answers
		l.release()
		return !l.wait
	case err == syscall.EINTR: //nolint:errorlint // see above
		return l.readOnce(fd)
	case err != nil:
		l.err = err
	case n == 0:
		l.err = io.EOF
	default:
		l.rest = (*l.room)[:n]
		return true
	}
	l.release()
	return true
}

func (l *lazyReader) release() {
	if l.room != nil {
		inputBuffers.Put(l.room)
	}
	l.room, l.rest = nil, nil
}

// await returns when something has come, or reading ends with an error, which Read
// then finds again. It has to read: whether there is something to read already,
// nobody but the system knows.
func (l *lazyReader) await() {
	l.wait = true
	_ = l.fill()
}

// parkingLot is a hub's parking, opened for its first silent WebSocket. The zero value
// is ready for use, and safe for concurrent use.
type parkingLot struct {
	once sync.Once
	lot  atomic.Pointer[parking] // nil: not opened, or the system has none
}

// park has c unparked once it has something to read; false: it cannot be waited for
// without a goroutine.
func (l *parkingLot) park(h *Hub, c *wsConn) bool {
	l.once.Do(func() {
		p, err := newParking()
		if err != nil {
			h.log.Debug("every silent WebSocket takes a goroutine", zap.Error(err))
			return
		}
		if !h.tasks.run(p.run) {
			p.close()
			return
		}
		l.lot.Store(p)
	})
	p := l.lot.Load()
	return p != nil && p.park(c)
}

// forget lets go of a connection that has ended.
func (l *parkingLot) forget(c *wsConn) {
	if p := l.lot.Load(); p != nil {
		p.forget(c)
	}
}

// close lets nobody wait any longer; whoever does is unparked by his own end.
func (l *parkingLot) close() {
	l.once.Do(func() {})
	if p := l.lot.Load(); p != nil {
		p.close()
	}
}
