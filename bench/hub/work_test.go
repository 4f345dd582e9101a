//go:build linux

package hub

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/actionflows/lifeline/internal/redistest"
)

// BenchmarkIngest has 64 connections post as fast as they are acknowledged, each into
// its own session, and nobody listen.
func BenchmarkIngest(b *testing.B) {
	redis := func(start func(tb testing.TB, addr string) *server) func(testing.TB) *server {
		return func(tb testing.TB) *server { return start(tb, redistest.Start(tb).Addr()) }
	}
	for _, c := range []struct {
		name    string
		servers []starter
	}{
		{"memory", append([]starter{{"raw", respond}}, hubs...)},
		{"disk", []starter{{"ours", func(tb testing.TB) *server { return startOurs(tb, setup{storage: "disk"}) }}}},
		{"redis", []starter{
			{"ours", redis(func(tb testing.TB, addr string) *server {
				return startOurs(tb, setup{storage: "redis redis://" + addr})
			})},
			{"centrifuge", redis(startCentrifuge)},
		}},
	} {
		b.Run(c.name, func(b *testing.B) { each(b, c.servers, measureIngest) })
	}
}

func measureIngest(b *testing.B, s *server) {
	l := load{publishers: 64, sessions: 64}
	pubs := l.newPublishers(b, s)
	cpu, begun := s.cpu(b), time.Now()
	l.publish(b, pubs)
	elapsed, cpu := time.Since(begun), s.cpu(b)-cpu
	published := 0
	for _, p := range pubs {
		published += p.posted()
	}
	report(b, published, published, elapsed, cpu)
	reportAcks(b, pubs)
}

// idleClients is how many follow a session in which nothing happens.
const idleClients = 10_000

// BenchmarkIdle tells what a silent subscriber holds in memory.
func BenchmarkIdle(b *testing.B) {
	b.Run("plain", func(b *testing.B) { each(b, hubs, measureIdle) })
	b.Run("logged", func(b *testing.B) {
		each(b, []starter{{"ours", func(tb testing.TB) *server { return startOurs(tb, setup{site: "\tlog {\n\t\toutput discard\n\t}\n"}) }}}, measureIdle)
	})
	b.Run("tls", func(b *testing.B) {
		each(b, []starter{{"ours", func(tb testing.TB) *server { return startOurs(tb, setup{site: "\ttls internal\n", scheme: "https"}) }}}, measureIdleTLS)
	})
}

// settled is how long a server is given to forget how the connections came about.
const settled = 10 * time.Second

func measureIdle(b *testing.B, s *server) {
	const sessions = 100
	before := s.memory(b)
	g := dial(b, s.addr, idleClients, 1)
	g.follow(b, s, sessions)
	g.warmUp(b, s, sessions)
	s.reportIdle(b, before)
	g.check(b)
}

func (s *server) reportIdle(b *testing.B, before int) {
	time.Sleep(settled)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(s.memory(b)-before)/idleClients, "B/conn")
	cpu := s.cpu(b)
	time.Sleep(settled)
	b.ReportMetric((s.cpu(b)-cpu).Seconds()/settled.Seconds()*100, "cpu-%")
}

func measureIdleTLS(b *testing.B, s *server) {
	before := s.memory(b)
	conns := make([]*tls.Conn, idleClients)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	s.awaitCertificate(b)
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < idleClients; i = next.Add(1) - 1 {
				var err error
				if conns[i], err = s.followTLS(sessionName(int(i) % 100)); err != nil {
					errs <- fmt.Errorf("client %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		b.Fatal(err)
	default:
	}
	s.reportIdle(b, before)
}

// awaitCertificate waits until the server has the one that it makes for itself.
func (s *server) awaitCertificate(b *testing.B) {
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		conn, err := s.followTLS(sessionName(0))
		if conn != nil {
			_ = conn.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

// followTLS is a subscriber of ours over TLS, once his subscription is confirmed.
func (s *server) followTLS(session string) (*tls.Conn, error) {
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true}) // nosec: it is our own server
	if err != nil {
		return nil, err
	}
	request := handshake(s.addr, "/ws")
	for _, text := range s.follow(session) {
		request = append(request, clientFrame(1, []byte(text))...)
	}
	if _, err := conn.Write(request); err != nil {
		return conn, err
	}
	var got []byte
	for buffer := make([]byte, 2048); !bytes.Contains(got, []byte("subscription_confirmed")); {
		n, err := conn.Read(buffer)
		if err != nil {
			return conn, fmt.Errorf("%w after %.200q", err, got)
		}
		got = append(got, buffer[:n]...)
	}
	return conn, nil
}

// The rounds of a catch-up.
const (
	catchUpClients = 100
	catchUpEvents  = 1000
	catchUpRounds  = 20
)

// BenchmarkCatchUp has 100 new clients get the 1,000 events of a session at once, over
// and over; what is measured begins when all are connected.
func BenchmarkCatchUp(b *testing.B) { each(b, hubs, measureCatchUp) }

func measureCatchUp(b *testing.B, s *server) {
	const session = "history"
	p := newPublisher(b, s, 0, session)
	first := p.must(b, 1)
	p.must(b, catchUpEvents-1)
	path, before, ask := s.replay(session, first)
	var elapsed, cpu time.Duration
	for range catchUpRounds {
		g := dial(b, s.addr, catchUpClients, 1)
		if ask != nil {
			g.open(b, func(int) string { return path })
			g.say(b, func(int) []string { return before })
		} else {
			g.connectAll(b)
		}
		begun, spent := time.Now(), s.cpu(b)
		if ask == nil {
			g.write(b, handshake(s.addr, path))
		}
		g.say(b, func(int) []string { return ask })
		g.await(b, "events", &g.got, catchUpClients*catchUpEvents)
		elapsed += time.Since(begun)
		cpu += s.cpu(b) - spent
		g.close()
		g.mustBeWhole(b)
	}
	report(b, 0, catchUpRounds*catchUpClients*catchUpEvents, elapsed, cpu)
}

// must posts n events and gives the first answer.
func (p *publisher) must(b *testing.B, n int) (first []byte) {
	for range n {
		answer, err := p.post()
		if err != nil {
			b.Fatal(err)
		}
		if first == nil {
			first = bytes.Clone(answer)
		}
	}
	return first
}

func (g *sockets) mustBeWhole(b *testing.B) {
	for _, s := range g.all {
		if n := &s.seen[0]; n.lost(catchUpEvents)+n.twice+n.disordered != 0 {
			b.Fatalf("a client lost %d events, and got %d twice and %d out of order", n.lost(catchUpEvents), n.twice, n.disordered)
		}
	}
}

// BenchmarkPoll has 64 connections poll, each a session with ten new events.
func BenchmarkPoll(b *testing.B) {
	var servers []starter
	for _, s := range hubs {
		if s.name != "nchan" { // a poll of it gives one event
			servers = append(servers, s)
		}
	}
	each(b, servers, measurePoll)
}

func measurePoll(b *testing.B, s *server) {
	const clients, newEvents = 64, 10
	requests := make([][]byte, clients)
	callers := make([]*caller, clients)
	for i := range clients {
		p := newPublisher(b, s, 0, sessionName(i))
		first := p.must(b, 1)
		p.must(b, newEvents)
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", s.pollPath(sessionName(i), first), s.addr)
		callers[i] = p.caller
	}
	var polls atomic.Int64
	all := new(delays)
	var mu sync.Mutex
	errs := make([]error, clients)
	cpu, begun := s.cpu(b), time.Now()
	var wg sync.WaitGroup
	for i, c := range callers {
		wg.Go(func() {
			own := new(delays)
			for time.Since(begun) < runTime && errs[i] == nil {
				asked := time.Now()
				errs[i] = c.poll(requests[i], newEvents)
				own.add(time.Since(asked))
				polls.Add(1)
			}
			mu.Lock()
			defer mu.Unlock()
			all.merge(own)
		})
	}
	wg.Wait()
	elapsed, cpu := time.Since(begun), s.cpu(b)-cpu
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	report(b, 0, int(polls.Load()), elapsed, cpu)
	b.ReportMetric(ms(all.quantile(0.99)), "p99-ms")
}

func (c *caller) poll(request []byte, want int) error {
	body, err := c.call(request)
	if err != nil {
		return err
	}
	got := 0
	marks(body, func(int, int, int64) { got++ })
	if got != want {
		return fmt.Errorf("a poll has %d events, not %d: %.300q", got, want, body)
	}
	return nil
}
