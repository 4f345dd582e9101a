package outage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// pause is how long a follower waits before he connects again.
const pause = 100 * time.Millisecond

// again calls visit until ctx is done, whenever it has ended.
func again(ctx context.Context, visit func(ctx context.Context) error) {
	for ctx.Err() == nil {
		_ = visit(ctx)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// dialed is a WebSocket that ends with ctx.
func dialed(ctx context.Context, target string) (net.Conn, *bytes.Buffer, func(), error) {
	conn, early, _, err := ws.Dial(ctx, target)
	if err != nil {
		return nil, nil, nil, err
	}
	rest := new(bytes.Buffer)
	if early != nil {
		b, _ := early.Peek(early.Buffered())
		rest.Write(b)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, rest, func() { stop(); _ = conn.Close() }, nil
}

type readWriter struct {
	r interface{ Read(p []byte) (int, error) }
	net.Conn
}

func (rw readWriter) Read(p []byte) (int, error) { return rw.r.Read(p) }

// early reads what came with the handshake before the rest.
type early struct {
	first *bytes.Buffer
	then  net.Conn
}

func (e early) Read(p []byte) (int, error) {
	if e.first.Len() > 0 {
		return e.first.Read(p)
	}
	return e.then.Read(p)
}

func open(ctx context.Context, target string) (readWriter, func(), error) {
	conn, first, end, err := dialed(ctx, target)
	if err != nil {
		return readWriter{}, nil, err
	}
	return readWriter{early{first, conn}, conn}, end, nil
}

func say(conn readWriter, format string, args ...any) error {
	return wsutil.WriteClientText(conn, fmt.Appendf(nil, format, args...))
}

// followOurs subscribes with the last cursor.
func (s *server) followOurs(ctx context.Context, session string, live chan<- struct{}, on func([]byte)) {
	cursor := ""
	var once sync.Once
	again(ctx, func(ctx context.Context) error {
		conn, end, err := open(ctx, "ws://"+s.addr+"/ws")
		if err != nil {
			return err
		}
		defer end()
		if err := say(conn, `{"type":"subscribe","sessionId":%q,"since":%q}`, session, cursor); err != nil {
			return err
		}
		for {
			b, err := wsutil.ReadServerText(conn)
			if err != nil {
				return err
			}
			var m struct {
				Type, SessionID, Cursor string
				Payload                 json.RawMessage
			}
			if err := json.Unmarshal(b, &m); err != nil {
				return err
			}
			if m.SessionID != session {
				continue
			}
			if m.Cursor != "" {
				cursor = m.Cursor
			}
			switch m.Type {
			case "event":
				on(m.Payload)
			case "subscription_confirmed":
				once.Do(func() { close(live) })
			}
		}
	})
}

// centrifugePush is what its JSON protocol sends.
type centrifugePush struct {
	Subscribe *struct {
		Offset       uint64
		Epoch        string
		Publications []centrifugePublication
	}
	Error *struct{ Message string }
	Push  *struct {
		Pub         *centrifugePublication
		Unsubscribe *struct{ Code uint32 }
	}
}

type centrifugePublication struct {
	Data   json.RawMessage
	Offset uint64
}

var errUnsubscribed = errors.New("unsubscribed")

// followCentrifuge recovers from the last offset, as its own clients do.
func (s *server) followCentrifuge(ctx context.Context, session string, live chan<- struct{}, on func([]byte)) {
	f := &centrifugeFollower{session: session, live: live, on: on}
	again(ctx, func(ctx context.Context) error {
		conn, end, err := open(ctx, "ws://"+s.addr+"/connection/websocket")
		if err != nil {
			return err
		}
		defer end()
		return f.visit(conn)
	})
}

type centrifugeFollower struct {
	session string
	live    chan<- struct{}
	on      func([]byte)
	once    sync.Once
	offset  uint64
	epoch   string
}

func (f *centrifugeFollower) visit(conn readWriter) error {
	recover := ""
	if f.epoch != "" {
		recover = fmt.Sprintf(`,"recover":true,"offset":%d,"epoch":%q`, f.offset, f.epoch)
	}
	if err := say(conn, `{"id":1,"connect":{}}`); err != nil {
		return err
	}
	if err := say(conn, `{"id":2,"subscribe":{"channel":%q%s}}`, f.session, recover); err != nil {
		return err
	}
	for {
		b, err := wsutil.ReadServerText(conn)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(b) {
			if line = bytes.TrimSpace(line); string(line) == "{}" { // its ping
				if err := say(conn, "{}"); err != nil {
					return err
				}
				continue
			}
			if err := f.take(line); err != nil {
				return err
			}
		}
	}
}

func (f *centrifugeFollower) take(line []byte) error {
	var m centrifugePush
	if err := json.Unmarshal(line, &m); err != nil {
		return err
	}
	switch {
	case m.Error != nil:
		return errors.New(m.Error.Message)
	case m.Subscribe != nil:
		for _, p := range m.Subscribe.Publications {
			f.on(p.Data)
		}
		f.offset, f.epoch = m.Subscribe.Offset, m.Subscribe.Epoch
		f.once.Do(func() { close(f.live) })
	case m.Push != nil && m.Push.Pub != nil:
		f.on(m.Push.Pub.Data)
		f.offset = m.Push.Pub.Offset
	case m.Push != nil && m.Push.Unsubscribe != nil:
		return errUnsubscribed
	}
	return nil
}
