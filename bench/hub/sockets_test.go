//go:build linux

package hub

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// sockets are WebSocket clients, all read by one goroutine over epoll: a goroutine
// for each would cost the generator more than some of the servers take to send.
type sockets struct {
	epoll int
	addr  *net.TCPAddr
	// of is by file descriptor. It is written before the socket is known to epoll.
	of       []*socket
	all      []*socket
	up       atomic.Int64 // have shaken hands
	warm     atomic.Int64 // have got an event of the warm-up
	got      atomic.Int64 // events, not of the warm-up
	bytes    atomic.Int64
	delays   *delays
	stopping atomic.Bool
	failed   atomic.Pointer[error]
	done     chan struct{}
}

// warmStream is the stream of events that only tell that a connection is live.
const warmStream = 999

type socket struct {
	fd   int
	up   bool
	warm bool
	rest []byte // of the stream, an unfinished head or frame
	seen []seen // by stream
}

// maxFD is more than the descriptors that a process here may have.
const maxFD = 1 << 16

// dial is n clients of addr that are not connected yet. Each gets events of so many
// streams.
func dial(tb testing.TB, addr string, n, streams int) *sockets {
	tb.Helper()
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		tb.Fatal(err)
	}
	to, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		tb.Fatal(err)
	}
	g := &sockets{epoll: epoll, addr: to, of: make([]*socket, maxFD), delays: new(delays), done: make(chan struct{})}
	for range n {
		g.all = append(g.all, &socket{fd: -1, seen: make([]seen, streams)})
	}
	go g.read()
	tb.Cleanup(g.close)
	return g
}

// connect connects one client.
func (g *sockets) connect(s *socket) (err error) {
	if s.fd, err = connect(g.addr); err != nil {
		return err
	}
	g.of[s.fd] = s
	return syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_ADD, s.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(s.fd)})
}

func connect(to *net.TCPAddr) (fd int, err error) {
	if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err == nil {
		if err = syscall.SetNonblock(fd, true); err == nil {
			return fd, syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		}
	}
	_ = syscall.Close(fd)
	return 0, err
}

// close ends the connections and the goroutine.
func (g *sockets) close() {
	if g.stopping.Swap(true) {
		return
	}
	<-g.done
	for _, s := range g.all {
		if s.fd >= 0 {
			_ = syscall.Close(s.fd)
		}
	}
	_ = syscall.Close(g.epoll)
}

func (g *sockets) read() {
	defer close(g.done)
	events, buffer := make([]syscall.EpollEvent, 512), make([]byte, 1<<20)
	for !g.stopping.Load() {
		n, err := syscall.EpollWait(g.epoll, events, 50)
		if err != nil && err != syscall.EINTR {
			g.fail(err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			s := g.of[e.Fd]
			if err := g.readOne(s, buffer); err != nil {
				g.fail(fmt.Errorf("client %d: %w", s.fd, err))
				_ = syscall.EpollCtl(g.epoll, syscall.EPOLL_CTL_DEL, s.fd, nil)
			}
		}
	}
}

func (g *sockets) fail(err error) { g.failed.CompareAndSwap(nil, &err) }

func (g *sockets) readOne(s *socket, buffer []byte) error {
	kept := copy(buffer, s.rest)
	n, err := syscall.Read(s.fd, buffer[kept:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return nil
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("the server closed the connection")
	}
	if err != nil {
		return err
	}
	g.bytes.Add(int64(n))
	b := buffer[:kept+n]
	if !s.up {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			s.rest = append(s.rest[:0], b...)
			return nil
		}
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
			return fmt.Errorf("no upgrade: %.200q", b)
		}
		s.up = true
		g.up.Add(1)
		b = b[end+4:]
	}
	rest, err := g.frames(s, b, time.Now().UnixNano())
	s.rest = append(s.rest[:0], rest...)
	return err
}

// frames takes the whole frames of b and gives back what is left.
func (g *sockets) frames(s *socket, b []byte, now int64) (rest []byte, err error) {
	got := 0
	defer func() { g.got.Add(int64(got)) }()
	for {
		payload, size := frame(b)
		if size == 0 {
			return b, nil
		}
		switch ws.OpCode(b[0] & 0xf) {
		case ws.OpPing:
			err = s.write(clientFrame(ws.OpPong, payload))
		case ws.OpClose:
			err = fmt.Errorf("the server says goodbye: %q", payload)
		default:
			got += g.message(s, payload, now)
			if string(payload) == "{}" { // centrifuge's ping
				err = s.write(clientFrame(ws.OpText, payload))
			}
		}
		if err != nil {
			return nil, err
		}
		b = b[size:]
	}
}

// frame is the first frame of b; size is 0 if it is not all there.
func frame(b []byte) (payload []byte, size int) {
	if len(b) < 2 {
		return nil, 0
	}
	head, n := 2, int(b[1])
	switch {
	case n == 126 && len(b) >= 4:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case n == 127 && len(b) >= 10:
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	case n >= 126:
		return nil, 0
	}
	if len(b) < head+n {
		return nil, 0
	}
	return b[head : head+n], head + n
}

func (g *sockets) message(s *socket, payload []byte, now int64) (got int) {
	marks(payload, func(stream, number int, sent int64) {
		if stream == warmStream {
			if !s.warm {
				s.warm = true
				g.warm.Add(1)
			}
			return
		}
		s.seen[stream].take(number)
		g.delays.add(time.Duration(now - sent))
		got++
	})
	return got
}

// write fails if the kernel does not take it at once: clients say little.
func (s *socket) write(b []byte) error {
	n, err := syscall.Write(s.fd, b)
	if err == nil && n < len(b) {
		err = fmt.Errorf("%d of %d bytes were written", n, len(b))
	}
	return err
}

// clientFrame is masked with zeros, which is as good here.
func clientFrame(op ws.OpCode, payload []byte) []byte {
	b, _ := ws.CompileFrame(ws.MaskFrameWith(ws.NewFrame(op, true, payload), [4]byte{}))
	return b
}

// say has every client send what texts gives for it.
func (g *sockets) say(tb testing.TB, texts func(client int) []string) {
	tb.Helper()
	for i, s := range g.all {
		for _, text := range texts(i) {
			if err := s.write(clientFrame(ws.OpText, []byte(text))); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// connectAll connects all clients, for those that ask for a WebSocket later.
func (g *sockets) connectAll(tb testing.TB) {
	tb.Helper()
	for i, s := range g.all {
		if err := g.connect(s); err != nil {
			tb.Fatalf("connecting client %d: %v", i, err)
		}
	}
}

// write has all clients send b.
func (g *sockets) write(tb testing.TB, b []byte) {
	tb.Helper()
	for i, s := range g.all {
		if err := s.write(b); err != nil {
			tb.Fatalf("writing as client %d: %v", i, err)
		}
	}
}

// handshakes is how many are under way at once: a backlog of 10,000 is another test.
const handshakes = 100

// open connects all clients to a WebSocket at path(client).
func (g *sockets) open(tb testing.TB, path func(client int) string) {
	tb.Helper()
	for i, s := range g.all {
		err := g.connect(s)
		if err == nil {
			err = s.write(handshake(g.addr.String(), path(i)))
		}
		if err != nil {
			tb.Fatalf("connecting client %d: %v", i, err)
		}
		g.await(tb, "handshakes", &g.up, int64(i-handshakes))
	}
	g.await(tb, "handshakes", &g.up, int64(len(g.all)))
}

func handshake(host, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, host)
}

const patience = 30 * time.Second

// await waits until a count is reached, or fails.
func (g *sockets) await(tb testing.TB, what string, count *atomic.Int64, want int64) {
	tb.Helper()
	for deadline := time.Now().Add(patience); count.Load() < want; time.Sleep(200 * time.Microsecond) {
		g.check(tb)
		if time.Now().After(deadline) {
			tb.Fatalf("%s: %d of %d after %v", what, count.Load(), want, patience)
		}
	}
	g.check(tb)
}

func (g *sockets) check(tb testing.TB) {
	tb.Helper()
	if err := g.failed.Load(); err != nil {
		tb.Fatal(*err)
	}
}
