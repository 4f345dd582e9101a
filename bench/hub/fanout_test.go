//go:build linux

package hub

import (
	"cmp"
	"fmt"
	"sync"
	"testing"
	"time"
)

// runTime is how long a server is loaded.
const runTime = 4 * time.Second

type starter struct {
	name  string
	start func(testing.TB) *server
}

var (
	rawLimit = starter{"raw", raw}
	hubs     = []starter{{"ours", ours}, {"centrifuge", centrifuge}, {"nchan", nchan}, {"node", node}}
)

// load is publishers and subscribers at work.
type load struct {
	subscribers, sessions, publishers int
	// rate is how many events are posted per second by all; 0: as many as are
	// acknowledged.
	rate int
}

// BenchmarkFanOut has one session with 1,000 subscribers.
func BenchmarkFanOut(b *testing.B) {
	for _, c := range []struct {
		name string
		load load
	}{
		{"20", load{1000, 1, 4, 20}},
		{"100", load{1000, 1, 4, 100}},
		{"one", load{1000, 1, 1, 0}},
		{"full", load{1000, 1, 16, 0}},
	} {
		b.Run(c.name, func(b *testing.B) { each(b, append([]starter{rawLimit}, hubs...), c.load.measure) })
	}
}

// BenchmarkSpread has 1,000 sessions with one subscriber each, of whom each gets his
// events from one of 64 publishers.
func BenchmarkSpread(b *testing.B) {
	b.Run("2000", func(b *testing.B) { each(b, hubs, load{1000, 1000, 64, 2000}.measure) })
	b.Run("full", func(b *testing.B) { each(b, hubs, load{1000, 1000, 64, 0}.measure) })
}

// each measures servers, one after the other.
func each(b *testing.B, servers []starter, measure func(*testing.B, *server)) {
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				measure(b, s.start(b))
			}
		})
	}
}

func sessionName(i int) string { return fmt.Sprintf("s%d", i) }

func (l load) measure(b *testing.B, s *server) {
	pubs := l.newPublishers(b, s)
	streams := 1
	if l.sessions == 1 {
		streams = l.publishers
	}
	g := dial(b, s.addr, l.subscribers, streams)
	g.follow(b, s, l.sessions)
	g.warmUp(b, s, l.sessions)

	cpu, begun, bytes := s.cpu(b), time.Now(), g.bytes.Load()
	l.publish(b, pubs)
	published := 0
	for _, p := range pubs {
		published += p.posted()
	}
	deliveries := published * l.subscribers / l.sessions
	g.await(b, "deliveries", &g.got, int64(deliveries))
	elapsed, cpu := time.Since(begun), s.cpu(b)-cpu
	bytes = g.bytes.Load() - bytes
	g.close()

	report(b, published, deliveries, elapsed, cpu)
	b.ReportMetric(ms(g.delays.quantile(0.5)), "p50-ms")
	b.ReportMetric(ms(g.delays.quantile(0.99)), "p99-ms")
	b.ReportMetric(float64(bytes)/float64(deliveries), "B/delivery")
	reportAcks(b, pubs)
	g.reportDamage(b, pubs)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func report(b *testing.B, published, deliveries int, elapsed, cpu time.Duration) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(published)/elapsed.Seconds(), "events/s")
	b.ReportMetric(float64(deliveries)/elapsed.Seconds(), "deliveries/s")
	b.ReportMetric(cpu.Seconds()/float64(deliveries)*1e6, "cpu-s/M")
}

func reportAcks(b *testing.B, pubs []*publisher) {
	acks := new(delays)
	for _, p := range pubs {
		acks.merge(p.acks)
	}
	b.ReportMetric(ms(acks.quantile(0.99)), "ack-p99-ms")
}

func (l load) newPublishers(b *testing.B, s *server) []*publisher {
	pubs := make([]*publisher, l.publishers)
	for i := range pubs {
		if l.sessions == 1 {
			pubs[i] = newPublisher(b, s, i, sessionName(0))
			continue
		}
		var own []string
		for session := i; session < l.sessions; session += l.publishers {
			own = append(own, sessionName(session))
		}
		pubs[i] = newPublisher(b, s, 0, own...)
	}
	return pubs
}

// publish has all publishers post for the time of a run.
func (l load) publish(b *testing.B, pubs []*publisher) {
	var every time.Duration
	if l.rate > 0 {
		every = time.Duration(l.publishers) * time.Second / time.Duration(l.rate)
	}
	until := time.Now().Add(runTime)
	errs := make([]error, len(pubs))
	var wg sync.WaitGroup
	for i, p := range pubs {
		wg.Go(func() { errs[i] = p.run(until, every, every*time.Duration(i)/time.Duration(len(pubs))) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// follow has client i follow the session i modulo sessions.
func (g *sockets) follow(b *testing.B, s *server, sessions int) {
	g.open(b, func(i int) string { return s.wsPath(sessionName(i % sessions)) })
	g.say(b, func(i int) []string { return s.follow(sessionName(i % sessions)) })
}

// warmUp posts to all sessions until each client has seen that it is live.
func (g *sockets) warmUp(b *testing.B, s *server, sessions int) {
	names := make([]string, sessions)
	for i := range names {
		names[i] = sessionName(i)
	}
	p := newPublisher(b, s, warmStream, names...)
	for deadline := time.Now().Add(patience); g.warm.Load() < int64(len(g.all)); {
		g.check(b)
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d clients got an event in %v", g.warm.Load(), len(g.all), patience)
		}
		for range sessions {
			if _, err := p.post(); err != nil {
				b.Fatal(err)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// reportDamage tells what the clients missed, got twice or out of order.
func (g *sockets) reportDamage(b *testing.B, pubs []*publisher) {
	lost, twice, disordered := 0, 0, 0
	for i, s := range g.all {
		for stream := range s.seen {
			var sent int
			if len(s.seen) > 1 || len(pubs) == 1 {
				sent = pubs[stream].posted()
			} else {
				sent = pubs[i%len(pubs)].sent[i/len(pubs)]
			}
			lost += s.seen[stream].lost(sent)
			twice += s.seen[stream].twice
			disordered += s.seen[stream].disordered
		}
	}
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(twice), "twice")
	b.ReportMetric(float64(disordered), "disordered")
	if total := cmp.Or(lost, twice, disordered); total != 0 {
		b.Logf("lost %d, twice %d, out of order %d", lost, twice, disordered)
	}
}
