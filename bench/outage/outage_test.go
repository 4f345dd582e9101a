package outage

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// The load: so many connections post together rate events a second into so many
// sessions, each with one subscriber.
const (
	publishers  = 16
	rate        = 1000
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
		"posted": float64(f.posted), "acked": float64(f.acked), "errors": float64(f.errors),
		"undelivered": float64(f.undelivered), "lost": float64(f.lost), "twice": float64(f.twice),
		"hang-ms": float64(f.hang.Milliseconds()), "recovered-ms": float64(f.recovered.Milliseconds()),
	} {
		b.ReportMetric(v, unit)
	}
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
	var number atomic.Int64
	for range publishers {
		posting.Go(func() { post1(posts, s, l, &number) })
	}
	rest(healthy)
	begin()
	rest(away)
	end()
	back := time.Since(l.began)
	var normal atomic.Int64
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		for s.normal != nil && posts.Err() == nil {
			if s.normal() {
				normal.Store(int64(time.Since(l.began)))
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
	return l.figures(back, time.Duration(normal.Load()))
}

func session(i int) string { return fmt.Sprint("s", i) }

// post1 is one publisher: he keeps his distance whatever the answer takes, but has
// one connection only.
func post1(ctx context.Context, s *server, l *ledger, number *atomic.Int64) {
	tick := time.NewTicker(publishers * time.Second / rate)
	defer tick.Stop()
	pad := strings.Repeat("x", 200)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		n := int(number.Add(1))
		to := session(n % sessions)
		event := fmt.Appendf(nil, `{"type":"bench:event","sessionId":%q,"n":%d,"pad":%q}`, to, n, pad)
		e := l.posting(n, to)
		l.answered(e, s.publish(context.Background(), to, event))
	}
}

func rest(d time.Duration) { <-time.After(d) }
