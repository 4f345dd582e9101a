package resilience

import (
	"fmt"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// plan is how long the parts of a run last.
type plan struct {
	healthy, outage, after time.Duration
	own                    int // events by which Redis' own speed is measured
}

var (
	full  = plan{healthy: 4 * time.Second, outage: 10 * time.Second, after: 2 * time.Second, own: 40_000}
	small = plan{healthy: 300 * time.Millisecond, outage: 2500 * time.Millisecond, own: 2000}
)

// load is who publishes: so many at once, each at this distance whatever the answer
// takes, or, with none, as fast as he is answered.
type load struct {
	publishers int
	every      time.Duration
}

var (
	fast  = load{publishers: 64}
	paced = load{publishers: 2000, every: 400 * time.Millisecond} // 5,000 events/s
	few   = load{publishers: 50, every: 50 * time.Millisecond}
)

// outage is a way in which Redis goes, and comes back with its data.
type outage struct {
	name      string
	begin     func(*redistest.Server)
	end       func(*redistest.Server)
	restarted bool
}

var outages = []outage{
	{name: "killed", begin: (*redistest.Server).Kill, end: (*redistest.Server).Restart, restarted: true},
	{name: "frozen", begin: (*redistest.Server).Freeze, end: (*redistest.Server).Thaw},
}

// BenchmarkOutage is for -benchtime=1x: each run has one outage.
func BenchmarkOutage(b *testing.B) {
	for _, o := range outages {
		for _, l := range []struct {
			name string
			load load
		}{{"paced", paced}, {"full", fast}} {
			b.Run(fmt.Sprintf("%s/%s", o.name, l.name), func(b *testing.B) {
				for b.Loop() {
					conduct(b, o, l.load, full).report(b)
				}
			})
		}
	}
}

// TestOutage is the same in short, for what must hold at any length.
func TestOutage(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			f := conduct(t, o, few, small)
			if f.errors+f.lost+f.disordered > 0 {
				t.Errorf("%d errors, %d events lost, %d out of order", f.errors, f.lost, f.disordered)
			}
			if f.mostPending == 0 || f.degraded.rate == 0 || len(f.samples) == 0 {
				t.Errorf("nothing was pending: %+v", f)
			}
		})
	}
}

// conduct makes one run and answers what it has shown.
func conduct(tb testing.TB, o outage, l load, p plan) figures {
	tb.Helper()
	redis := startRedis(tb)
	own := ownSpeed(tb, redis, p.own)
	n := startNode(tb, redis, tb.TempDir())
	r := newRecorder(n, l)
	sampling := r.sample()
	r.publish(tb, n, l)
	rest(p.healthy)

	r.struck = r.now()
	o.begin(redis)
	rest(p.outage)
	if !o.restarted {
		r.back = r.now()
	}
	o.end(redis)
	if o.restarted {
		awaitLoaded(tb, redis)
		r.back = r.now()
	}
	r.awaitNormal(tb, n)
	rest(p.after)

	r.stop()
	sampling.Wait()
	f := r.figures()
	f.own = own
	f.lost, f.disordered = readBack(tb, redis, r.counts())
	return f
}

// rest lets the load go on.
func rest(d time.Duration) { <-time.After(d) }
