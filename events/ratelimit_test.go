package events

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	pollerA = newPollClient("user a", netip.MustParseAddr("192.0.2.1"))
	pollerB = newPollClient("user b", netip.MustParseAddr("192.0.2.1"))
	slow    = Rate{N: 1, Per: 5 * time.Second}
)

func TestPollRateInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPollLimiter()
		take := func(c pollClient, session string, rate Rate, wait time.Duration, want error) {
			t.Helper()
			if got, err := l.take(c, session, rate); !errors.Is(err, want) || got != wait {
				t.Fatalf("wait %v, %v; want %v, %v", got, err, wait, want)
			}
		}
		take(pollerA, "s", slow, 0, nil)
		take(pollerA, "s", slow, 5*time.Second, errPollRate)
		take(pollerA, "other", slow, 0, nil)
		take(pollerB, "s", slow, 0, nil)
		time.Sleep(5*time.Second - 1)
		take(pollerA, "s", slow, 1, errPollRate) // a refusal costs nothing
		time.Sleep(time.Nanosecond)
		take(pollerA, "s", slow, 0, nil)

		// Three at once, and then one every 2 s.
		three := Rate{N: 3, Per: 6 * time.Second}
		for range 3 {
			take(pollerA, "three", three, 0, nil)
		}
		take(pollerA, "three", three, 2*time.Second, errPollRate)
		time.Sleep(2 * time.Second)
		take(pollerA, "three", three, 0, nil)
		take(pollerA, "three", three, 2*time.Second, errPollRate)
	})
}

// Time in which nobody polls is not saved up, even where the entry is still there.
func TestPollRateAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPollLimiter()
		for i := range 20 {
			if _, err := l.take(pollerA, fmt.Sprint(i), slow); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if _, err := l.take(pollerA, "19", slow); err != nil {
			t.Error(err)
		}
		if _, err := l.take(pollerA, "19", slow); !errors.Is(err, errPollRate) {
			t.Error(err)
		}
	})
}

func TestPollGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPollLimiter()
		two := Rate{N: 2, Per: time.Second}
		for range 3 {
			if _, err := l.take(pollerA, "s", slow); err != nil {
				t.Fatal(err)
			}
			l.giveBack(pollerA, "s", slow)
		}
		if l.count != 0 || len(l.clients) != 0 || l.first != nil || l.last != nil {
			t.Errorf("%d entries are kept for an unknown session", l.count)
		}
		l.giveBack(pollerA, "never taken", slow)
		_, _ = l.take(pollerA, "s", two)
		_, _ = l.take(pollerA, "s", two)
		l.giveBack(pollerA, "s", two)
		if l.count != 1 {
			t.Errorf("%d entries, the first poll still counts", l.count)
		}
	})
}

func TestPollSessionsPerClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPollLimiter()
		for i := range maxClientPolls {
			if _, err := l.take(pollerA, fmt.Sprint(i), slow); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				time.Sleep(time.Second)
			}
		}
		if wait, err := l.take(pollerA, "more", slow); !errors.Is(err, errPollSessions) || wait != 4*time.Second {
			t.Errorf("%v, %v", wait, err)
		}
		if _, err := l.take(pollerB, "more", slow); err != nil {
			t.Errorf("another client: %v", err)
		}
		time.Sleep(4 * time.Second) // the first one's is free again
		if _, err := l.take(pollerA, "more", slow); err != nil {
			t.Error(err)
		}
		if n := len(l.clients[pollerA]); n != maxClientPolls {
			t.Errorf("%d entries", n)
		}
		time.Sleep(time.Minute)
		_, _ = l.take(pollerB, "x", slow)
		for i := range 2 * maxClientPolls {
			_, _ = l.take(pollerB, fmt.Sprint(i%10), slow)
		}
		if l.clients[pollerA] != nil {
			t.Errorf("%d dead entries are kept", len(l.clients[pollerA]))
		}
	})
}

func TestPollTableFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewPollLimiter()
		l.max = 100
		client := func(i int) pollClient {
			return newPollClient("", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		}
		for i := range 100 {
			if _, err := l.take(client(i), "s", slow); err != nil {
				t.Fatal(err)
			}
		}
		if wait, err := l.take(client(100), "s", slow); !errors.Is(err, errPollsFull) || wait != 5*time.Second {
			t.Errorf("%v, %v", wait, err)
		}
		if l.count != 100 || len(l.clients) != 100 {
			t.Errorf("%d entries of %d clients", l.count, len(l.clients))
		}
		// Who has an entry is served by the rate, full or not.
		if _, err := l.take(client(1), "s", slow); !errors.Is(err, errPollRate) {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		for i := range 100 {
			if _, err := l.take(client(1000+i), "s", slow); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		if l.count > 100 {
			t.Errorf("%d entries", l.count)
		}
	})
}

func TestPollClient(t *testing.T) {
	ip := netip.MustParseAddr
	same := [][2]pollClient{
		{newPollClient("", ip("192.0.2.1")), newPollClient("", ip("::ffff:192.0.2.1"))},
		{newPollClient("", ip("2001:db8::1")), newPollClient("", ip("2001:db8::ffff:2"))},
		{newPollClient("", ip("fe80::1%eth0")), newPollClient("", ip("fe80::1"))},
		{newPollClient("", netip.Addr{}), newPollClient("", netip.Addr{})}, // unix socket
	}
	for _, p := range same {
		if p[0] != p[1] {
			t.Errorf("%v and %v differ", p[0], p[1])
		}
	}
	differ := [][2]pollClient{
		{newPollClient("", ip("192.0.2.1")), newPollClient("", ip("192.0.2.2"))},
		{newPollClient("", ip("2001:db8::1")), newPollClient("", ip("2001:db8:0:1::1"))},
		{newPollClient("a", ip("192.0.2.1")), newPollClient("b", ip("192.0.2.1"))},
		{newPollClient("a", ip("192.0.2.1")), newPollClient("", ip("192.0.2.1"))},
	}
	for _, p := range differ {
		if p[0] == p[1] {
			t.Errorf("%v and %v are one", p[0], p[1])
		}
	}
}

// The table's list and maps stay one thing under concurrent use.
func TestPollLimiterConcurrent(t *testing.T) {
	l := NewPollLimiter()
	l.max, l.perClient = 50, 5
	fast := Rate{N: 1, Per: time.Microsecond}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			c := newPollClient(fmt.Sprint(g%4), netip.Addr{})
			for i := range 2000 {
				session := fmt.Sprint(i % 9)
				if _, err := l.take(c, session, fast); err == nil && i%3 == 0 {
					l.giveBack(c, session, fast)
				}
			}
		})
	}
	wg.Wait()
	listed, mapped := 0, 0
	for e := l.first; e != nil; e = e.next {
		listed++
	}
	for _, own := range l.clients {
		mapped += len(own)
	}
	if listed != l.count || mapped != l.count {
		t.Errorf("%d listed, %d in maps, %d counted", listed, mapped, l.count)
	}
}
