package redistest

import (
	"context"
	"net"
	"time"
)

// dial never fails as far as the pool can see: a failure becomes a connection
// whose every use answers it. The pool would otherwise stop dialling after a few
// failures and look again only a second later.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		near, far := net.Pipe()
		_ = far.Close()
		return failed{Conn: near, err: err}, nil
	}
	return conn, nil
}

type failed struct {
	net.Conn
	err error
}

func (f failed) Read([]byte) (int, error)         { return 0, f.err }
func (f failed) Write([]byte) (int, error)        { return 0, f.err }
func (f failed) SetReadDeadline(time.Time) error  { return f.err }
func (f failed) SetWriteDeadline(time.Time) error { return f.err }
