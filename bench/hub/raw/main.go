//go:build unix

// Command raw is no server but the limit of one: whoever asks for a WebSocket gets
// every body that is posted, in one write call for each socket, and nothing is parsed,
// kept or counted.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"log"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// envelope is about what our server puts around an event.
const envelope = 110

type hub struct {
	mu  sync.Mutex
	fds []int
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	flag.Parse()
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	h := new(hub)
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go h.serve(conn.(*net.TCPConn))
	}
}

// serve answers the requests of one connection.
func (h *hub) serve(conn *net.TCPConn) {
	in := bufio.NewReader(conn)
	var body []byte
	for {
		method, length, err := head(in)
		if err != nil {
			_ = conn.Close()
			return
		}
		if method == "GET" {
			h.join(conn)
			return
		}
		if cap(body) < length {
			body = make([]byte, length)
		}
		if _, err := readFull(in, body[:length]); err != nil {
			return
		}
		h.write(frame(body[:length]))
		if _, err := conn.Write([]byte("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")); err != nil {
			return
		}
	}
}

func readFull(in *bufio.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = in.Read(b[n:])
		n += m
	}
	return n, err
}

func head(in *bufio.Reader) (method string, length int, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", 0, err
		}
		if method == "" {
			method, _, _ = strings.Cut(line, " ")
		}
		if name, value, found := strings.Cut(line, ": "); found && name == "Content-Length" {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return "", 0, err
			}
		}
		if line == "\r\n" {
			return method, length, nil
		}
	}
}

func frame(body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(envelope+len(body)))
	b = append(b, strings.Repeat(" ", envelope)...)
	return append(b, body...)
}

func (h *hub) join(conn *net.TCPConn) {
	if _, err := conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")); err != nil {
		return
	}
	file, err := conn.File()
	if err != nil {
		log.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fds = append(h.fds, int(file.Fd()))
	_ = conn.Close() // its descriptor lives on in the file, which is never closed
	keep = append(keep, file)
}

// keep has the files outlive the collector.
var keep []interface{ Fd() uintptr }

// write gives b to all sockets. They are blocking ones: so nothing is lost.
func (h *hub) write(b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, fd := range h.fds {
		if _, err := syscall.Write(fd, b); err != nil {
			log.Fatal(err)
		}
	}
}
