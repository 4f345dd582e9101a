package events

import (
	"io"
	"syscall"
)

// attempt writes to sockets what they take at once, one after the other. It keeps
// what a write needs, so that none allocates. Not safe for concurrent use.
type attempt struct {
	buf []byte // for joining
	b   []byte
	n   int
	err error
	run func(fd uintptr) bool // of the method once
}

func newAttempt() *attempt {
	a := &attempt{buf: make([]byte, 0, maxJoin)}
	a.run = a.once
	return a
}

// write answers how much of b the socket has taken; less than all without an error
// means that it takes no more at present.
func (a *attempt) write(raw syscall.RawConn, b []byte) (int, error) {
	a.b, a.n, a.err = b, 0, nil
	err := raw.Write(a.run)
	a.b = nil
	if err == nil {
		err = a.err
	}
	return a.n, err
}

// joined reports whether b was joined in buf, which the next write needs again.
func (a *attempt) joined(b []byte) bool { return &b[0] == &a.buf[:1][0] }

// once tries a single time; true: whatever came of it, do not wait.
func (a *attempt) once(fd uintptr) bool {
	for {
		n, err := tryWrite(fd, a.b)
		switch {
		case err == syscall.EINTR: //nolint:errorlint // what the system call answers
			continue
		case err == syscall.EAGAIN: //nolint:errorlint // see above
		case err != nil:
			a.err = err
		case n == 0 && len(a.b) > 0:
			a.err = io.ErrUnexpectedEOF
		default:
			a.n = n
		}
		return true
	}
}
