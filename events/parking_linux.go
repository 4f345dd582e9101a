package events

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// parking is where silent WebSockets wait for their clients, without a goroutine and
// a stack for each: all are in one epoll instance, which itself is in the runtime's,
// so that not even a thread waits. A socket is in there for one message only; reading
// it brings its goroutine back. Safe for concurrent use.
type parking struct {
	file *os.File // the epoll instance
	raw  syscall.RawConn
	fd   int

	mu     sync.Mutex // guards what follows
	spots  []spot     // by file descriptor
	number int32      // of the last one that was parked
}

// spot tells whose descriptor it is now: a number is used again for the next
// connection as soon as the last one is closed.
type spot struct {
	conn   *wsConn
	number int32
}

func newParking() (*parking, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating an epoll instance: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("an epoll instance that does not block: %w", err)
	}
	p := &parking{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("watching an epoll instance: %w", err)
	}
	return p, nil
}

// close ends run. Nothing is parked any more.
func (p *parking) close() { _ = p.file.Close() }

// run wakes connections until close.
func (p *parking) run() {
	events := make([]syscall.EpollEvent, 128)
	_ = p.raw.Read(func(fd uintptr) bool {
		for {
			n, err := syscall.EpollWait(int(fd), events, 0)
			if err == syscall.EINTR { //nolint:errorlint // what the system call answers
				continue
			}
			if n <= 0 || err != nil {
				return false
			}
			for _, e := range events[:n] {
				p.ready(e.Fd, e.Pad)
			}
			// When many speak at once, the first are read before the next are woken:
			// else each would have a stack at the same time.
			runtime.Gosched()
		}
	})
}

func (p *parking) ready(fd, number int32) {
	p.mu.Lock()
	s := p.spots[fd]
	if s.number == number {
		p.spots[fd] = spot{}
	}
	p.mu.Unlock()
	if s.conn != nil && s.number == number {
		s.conn.unpark()
	}
}

// park has c unparked once it has something to read; false: it cannot be waited for
// here.
func (p *parking) park(c *wsConn) (parked bool) {
	err := c.raw.Control(func(fd uintptr) { parked = p.watch(int(fd), c) })
	return err == nil && parked
}

func (p *parking) watch(fd int, c *wsConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fd >= len(p.spots) {
		p.spots = append(p.spots, make([]spot, fd+1-len(p.spots))...) // append leaves room for more
	}
	p.number++
	p.spots[fd] = spot{c, p.number}
	c.spot = fd
	e := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT,
		Fd:     int32(fd), Pad: p.number, //nolint:gosec // a descriptor is an int32
	}
	err := syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_MOD, fd, &e)
	if err == syscall.ENOENT { //nolint:errorlint // what the system call answers
		err = syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &e)
	}
	if err != nil {
		p.spots[fd] = spot{}
	}
	return err == nil
}

// forget lets go of a connection that has ended.
func (p *parking) forget(c *wsConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.spot < len(p.spots) && p.spots[c.spot].conn == c {
		p.spots[c.spot] = spot{}
	}
}
