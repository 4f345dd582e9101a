//go:build unix

package events

import (
	"net"
	"syscall"
)

// rawSocket is the connection for writing without waiting; nil: it has to be
// written to by a goroutine that waits.
func rawSocket(s socket) syscall.RawConn {
	switch conn := s.(type) {
	case *net.TCPConn:
		raw, _ := conn.SyscallConn() // fails for an invalid connection only
		return raw
	case *net.UnixConn:
		raw, _ := conn.SyscallConn()
		return raw
	}
	return nil
}

func tryWrite(fd uintptr, b []byte) (int, error) { return syscall.Write(int(fd), b) }

func tryRead(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
