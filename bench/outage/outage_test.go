package outage

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// The load: rate events a second into so many sessions, each with one subscriber. It
// keeps its schedule whatever the answers do: each event has a request of its own, but
// where as many as inFlight are unanswered it is not sent, and counts as refused.
const (
	rate        = 1000
	inFlight    = 8192
	sessions    = 20
	historySize = 100_000
)

// The parts of a run; settle bounds how long deliveries may still come.
const (
	healthy = 3 * time.Second
	away    = 10 * time.Second
	after   = 8 * time.Second
	settle  = 20 * time.Second
)

var faults = []struct {
	name       string
	begin, end func(*redistest.Server)
}{
	{"killed", (*redistest.Server).Kill, (*redistest.Server).Restart}, // and comes back empty
	{"frozen", (*redistest.Server).Freeze, (*redistest.Server).Thaw},
}

// BenchmarkOutage is for -benchtime=1x: each run has one outage.
func BenchmarkOutage(b *testing.B) {
	for _, fault := range faults {
		for _, peer := range []struct {
			name  string
			start func(testing.TB, *redistest.Server) *server
		}{
			{"ours", func(tb testing.TB, r *redistest.Server) *server { return startOurs(tb, r.URL()) }},
			{"centrifuge", func(tb testing.TB, r *redistest.Server) *server { return startCentrifuge(tb, r.Addr()) }},
		} {
			b.Run(fault.name+"/"+peer.name, func(b *testing.B) {
				for b.Loop() {
					redis := redistest.Start(b, "--save", "", "--appendonly", "no")
					s := peer.start(b, redis)
					report(b, conduct(b, s, func() { fault.begin(redis) }, func() { fault.end(redis) }))
				}
			})
		}
	}
}

func report(b *testing.B, f figures) {
	b.Helper()
	for unit, v := range map[string]float64{
		"due": float64(f.due), "acked": float64(f.acked), "errors": float64(f.errors), "unsent": float64(f.unsent),
		"undelivered": float64(f.undelivered), "lost": float64(f.lost), "twice": float64(f.twice),
		"hang-ms": float64(f.hang.Milliseconds()), "recovered-ms": float64(f.recovered.Milliseconds()),
		"behind-ms": float64(f.behind.Milliseconds()),
		"struck-ms": float64(f.struck.Milliseconds()), "back-ms": float64(f.back.Milliseconds()),
	} {
		b.ReportMetric(v, unit)
	}
	text, err := json.Marshal(f.samples)
	if err != nil {
		b.Fatal(err)
	}
	b.Attr("samples", string(text))
}

// conduct makes one run.
func conduct(tb testing.TB, s *server, begin, end func()) figures {
	tb.Helper()
	l := newLedger()
	ctx, stop := context.WithCancel(context.Background())
	var followers, posting sync.WaitGroup
	for i := range sessions {
		live := make(chan struct{})
		followers.Go(func() { s.follow(ctx, session(i), live, l.deliver) })
		<-live
	}
	posts, stopPosts := context.WithCancel(context.Background())
	l.begin()
	posting.Go(func() { load(posts, s, l) })
	rest(healthy)
	struck := l.now()
	begin()
	rest(away)
	end()
	back := l.now()
	var normal atomic.Int64
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		for s.normal != nil && posts.Err() == nil {
			if s.normal() {
				normal.Store(int64(l.now()))
				return
			}
			rest(5 * time.Millisecond)
		}
	}()
	rest(after)
	stopPosts()
	posting.Wait()
	<-watching
	for deadline := time.Now().Add(settle); !l.allDelivered() && time.Now().Before(deadline); {
		rest(10 * time.Millisecond)
	}
	stop()
	followers.Wait()
	for i := range sessions {
		events, err := s.history(session(i))
		if err != nil {
			tb.Fatal(err)
		}
		for _, e := range events {
			l.keep(e)
		}
	}
	return l.figures(struck, back, time.Duration(normal.Load()))
}

func session(i int) string { return fmt.Sprint("s", i) }

// load posts what is due until ctx is done, and returns when all is answered.
func load(ctx context.Context, s *server, l *ledger) {
	var requests sync.WaitGroup
	defer requests.Wait()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	slots := make(chan struct{}, inFlight)
	next := 1
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for due := dueAt(next); due <= l.now(); due = dueAt(next) {
			n := next
			next++
			e := l.posting(n, due)
			select {
			case slots <- struct{}{}:
				requests.Go(func() {
					l.answered(e, s.post(n))
					<-slots
				})
			default:
				l.notSent(e)
			}
		}
	}
}

// dueAt is when the nth event is.
func dueAt(n int) time.Duration { return time.Duration(n) * time.Second / rate }

var pad = strings.Repeat("x", 200)

// post posts the nth event.
func (s *server) post(n int) error {
	to := session(n % sessions)
	event := fmt.Appendf(nil, `{"type":"bench:event","sessionId":%q,"n":%d,"pad":%q}`, to, n, pad)
	return s.publish(context.Background(), to, event)
}

func rest(d time.Duration) { <-time.After(d) }
