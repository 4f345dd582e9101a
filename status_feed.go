package lifeline

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/internal/sse"
)

const (
	// maxStatusReaders is how many streams of a hub's status may be open for each
	// audience.
	maxStatusReaders = 32
	// maxTicks is how many seconds may wait for a reader; then its stream ends, and it
	// comes again.
	maxTicks = 4
	// statusWrite is how long one write to a reader may take.
	statusWrite = maxTicks * time.Second
	// statusEnd is the same once the stream is to end.
	statusEnd = time.Second
)

// statusFeed says what a hub is doing. It keeps the last two minutes, from the hub's
// start on, and tells its readers each second of what is new. A second costs about
// 0.1 ms, and while there are readers about 0.5 ms more for the text that all of an
// audience share: see BenchmarkStatusTick.
type statusFeed struct {
	rt    *runtime
	hub   *events.Hub
	since time.Time
	end   context.CancelFunc // of the goroutine
	ended chan struct{}      // closed when it has

	mu      sync.Mutex // guards what follows
	closed  bool       // nobody is let in any more
	history *history
	readers [audiences]map[*statusReader]struct{}
	server  *http.Server // whose shutdown ends its readers; see endWith
}

// statusReader is one stream.
type statusReader struct {
	ticks  chan []byte // bodies, shared with others
	server *http.Server
	end    context.CancelFunc
}

// newStatusFeed begins to sample a hub that runs, until close.
func newStatusFeed(rt *runtime, hub *events.Hub) *statusFeed {
	ctx, end := context.WithCancel(context.Background())
	s := &statusFeed{rt: rt, hub: hub, since: time.Now(), end: end, ended: make(chan struct{}), history: newHistory()}
	for to := range s.readers {
		s.readers[to] = make(map[*statusReader]struct{})
	}
	go func() {
		defer close(s.ended)
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			select {
			case <-second.C:
				s.tick()
			case <-ctx.Done():
				return
			}
		}
	}()
	return s
}

// close ends the sampling and every stream.
func (s *statusFeed) close() {
	s.endReaders()
	s.end()
	<-s.ended
}

// endReaders ends every stream, and lets nobody in any more.
func (s *statusFeed) endReaders() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, readers := range s.readers {
		for r := range readers {
			r.end()
		}
	}
}

// tick samples a second and tells the readers.
func (s *statusFeed) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.sample(s.hub.Stats(), s.rt.status(), s.rt.opened().storage.CircuitBreakerStats())
	for to, readers := range s.readers {
		if len(readers) == 0 {
			continue
		}
		body := s.encode(s.history.last(1), statusFor(to))
		for r := range readers {
			select {
			case r.ticks <- body:
			default:
				r.end()
			}
		}
	}
}

// now answers the whole status as JSON.
func (s *statusFeed) now(to statusFor) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encode(s.history.last(historySeconds), to)
}

// join makes a reader known, and answers the status before its first tick; nil: there
// are as many as may be, or the hub has ended.
func (s *statusFeed) join(r *statusReader, to statusFor) (body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if len(s.readers[to]) >= maxStatusReaders {
		s.hub.Meet(events.LimitStatusReaders)
		return nil
	}
	s.readers[to][r] = struct{}{}
	return s.encode(s.history.last(historySeconds), to)
}

func (s *statusFeed) leave(r *statusReader, to statusFor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers[to], r)
}

// serve sends the status as Server-Sent Events: first all as `status`, then each second
// a `tick`, until ctx ends or may says that its client may not read it any more. It
// answers false, and has written nothing, when there are as many readers as may be.
func (s *statusFeed) serve(ctx context.Context, w http.ResponseWriter, to statusFor, server *http.Server, may func() (m statusMay, read bool)) bool {
	ctx, end := context.WithCancel(ctx)
	defer end()
	r := &statusReader{ticks: make(chan []byte, maxTicks), server: server, end: end}
	body := s.join(r, to)
	if body == nil {
		return false
	}
	defer s.leave(r, to)
	out := sse.New(w, statusWrite)
	defer out.Leave()
	defer context.AfterFunc(ctx, func() { out.End(time.Now().Add(statusEnd)) })()
	out.Start()
	for head := "retry: 3000\nevent: status\ndata: "; ; head = "event: tick\ndata: " {
		m, read := may()
		if !read || out.Write(append(append([]byte(head), m.with(body)...), "\n\n"...)) != nil {
			return true
		}
		select {
		case body = <-r.ticks:
		case <-ctx.Done():
			return true
		}
	}
}

// endWith ends the readers of an HTTP server when that shuts down, which at a reload
// waits for them otherwise. Caddy replaces the admin endpoint's at each reload.
func (s *statusFeed) endWith(server *http.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == server {
		return
	}
	s.server = server
	server.RegisterOnShutdown(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, readers := range s.readers {
			for r := range readers {
				if r.server == server {
					r.end()
				}
			}
		}
	})
}
