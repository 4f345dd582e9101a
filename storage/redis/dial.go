package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// connector makes clients of servers, with everything but the address as in o.
// They dial by d.dial. The pool of go-redis stops dialling after as many failures
// as it has connections, and from then on answers the old error until it has
// looked again, once a second, from a goroutine that outlives Close. So it never
// gets to see a failure: it gets a connection whose every use answers the error.
func (d *Driver) connector(o goredis.Options, secure *tls.Config) func(addr string) *goredis.Client {
	return func(addr string) *goredis.Client {
		o := o // go-redis completes and keeps it
		tune(&o, d.timeout)
		o.Addr = addr
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := d.dial(ctx, network, addr, secure)
			if err != nil {
				near, far := net.Pipe()
				_ = far.Close()
				return failedConn{Conn: near, err: &dialError{err}}, nil
			}
			return conn, nil
		}
		return goredis.NewClient(&o)
	}
}

// dial gives up after dialTimeout, and when the driver is closed and nobody waits
// for it any more.
func (d *Driver) dial(ctx context.Context, network, addr string, t *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer context.AfterFunc(d.dialing, cancel)()
	var plain net.Dialer
	if t == nil {
		return plain.DialContext(ctx, network, addr)
	}
	secure := tls.Dialer{NetDialer: &plain, Config: t}
	return secure.DialContext(ctx, network, addr)
}

// failedConn is a connection that never came about.
type failedConn struct {
	net.Conn
	err error
}

func (c failedConn) Read([]byte) (int, error)         { return 0, c.err }
func (c failedConn) Write([]byte) (int, error)        { return 0, c.err }
func (c failedConn) SetDeadline(time.Time) error      { return c.err }
func (c failedConn) SetReadDeadline(time.Time) error  { return c.err }
func (c failedConn) SetWriteDeadline(time.Time) error { return c.err }

// dialError marks a failure to connect. It has no Unwrap because go-redis would
// unwrap it, and the mark would be gone.
type dialError struct{ err error }

func (e *dialError) Error() string        { return e.err.Error() }
func (e *dialError) Is(target error) bool { return errors.Is(e.err, target) }
