package storage

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/actionflows/lifeline/internal/redistest"
)

// bareMap keeps as many events of each session as the drivers, and nothing else.
func bareMap() subject {
	var mu sync.Mutex
	kept := make(map[int][][]byte)
	return subject{name: "bare map", append: func(_ context.Context, session int, _ string, data []byte) error {
		mu.Lock()
		defer mu.Unlock()
		events := append(kept[session], data)
		if len(events) > history+history/4 {
			events = append([][]byte(nil), events[len(events)-history:]...)
		}
		kept[session] = events
		return nil
	}}
}

// group is natural batching and nothing else: what queues while commit runs goes
// into the next one.
type group struct{ queue chan request }

type request struct {
	session int
	data    []byte
	done    chan error
}

func newGroup(b *testing.B, commit func([]request) error) *group {
	b.Helper()
	g := &group{queue: make(chan request, 1024)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for first := range g.queue {
			batch := []request{first}
			for more := true; more && len(batch) < 1024; {
				select {
				case r, ok := <-g.queue:
					if more = ok; ok {
						batch = append(batch, r)
					}
				default:
					more = false
				}
			}
			err := commit(batch)
			for _, r := range batch {
				r.done <- err
			}
		}
	}()
	b.Cleanup(func() {
		close(g.queue)
		<-ended
	})
	return g
}

func (g *group) append(_ context.Context, session int, _ string, data []byte) error {
	r := request{session, data, make(chan error, 1)}
	g.queue <- r
	return <-r.done
}

// bareSync writes events into one file and syncs it, as many as there are at once.
func bareSync(b *testing.B) subject {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "events"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	var buf []byte
	g := newGroup(b, func(batch []request) error {
		buf = buf[:0]
		for _, r := range batch {
			buf = append(buf, r.data...)
		}
		if _, err := f.Write(buf); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.Fd()))
	})
	return subject{name: "bare fsync", append: g.append}
}

func newClient(b *testing.B, r *redistest.Server) *goredis.Client {
	b.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: r.Addr(), DisableIdentity: true})
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// rawXADD pipelines XADD with trimming, without positions, ids or chains.
func rawXADD(b *testing.B, r *redistest.Server) subject {
	b.Helper()
	c := newClient(b, r)
	g := newGroup(b, func(batch []request) error {
		ctx := context.Background()
		pipe := c.Pipeline()
		for _, r := range batch {
			pipe.XAdd(ctx, &goredis.XAddArgs{
				Stream: "raw:" + sessionName(r.session), MaxLen: history, Approx: true,
				Values: []any{"d", r.data},
			})
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	return subject{name: "raw XADD", append: g.append, redis: r}
}
