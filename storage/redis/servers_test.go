package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/actionflows/lifeline/storage"
)

// unconnected makes clients that nobody uses.
func unconnected(addr string) *goredis.Client {
	o := goredis.Options{Addr: addr}
	tune(&o, DefaultTimeout)
	return goredis.NewClient(&o)
}

func TestServersAreLookedForInMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, answer := 0, error(nil)
		s := found(t.Context(), func(context.Context, *servers) ([]slots, error) {
			looks++
			return []slots{{0, lastSlot, "h:1"}}, answer
		}, nil, unconnected)
		defer func() { _ = s.close() }()
		// As long as none is known, everybody who needs one looks.
		answer = errors.New("down")
		for range 3 {
			if _, err := s.of(t.Context(), "k"); !errors.Is(err, answer) {
				t.Errorf("answered %v", err)
			}
		}
		if looks != 3 {
			t.Errorf("%d looks, want 3", looks)
		}
		answer = nil
		if n, err := s.of(t.Context(), "k"); err != nil || n.addr != "h:1" {
			t.Errorf("answered %v, %v", n, err)
		}
		// Then it is at most one in a while, however much fails.
		looks = 0
		for range 10 {
			time.Sleep(lookEvery)
			for range 20 {
				s.failed()
				synctest.Wait()
			}
		}
		if looks != 10 {
			t.Errorf("%d looks in ten times %v", looks, lookEvery)
		}
		// One that fails changes nothing.
		answer = errors.New("down")
		time.Sleep(lookEvery)
		s.failed()
		synctest.Wait()
		if n, err := s.of(t.Context(), "k"); err != nil || n.addr != "h:1" {
			t.Errorf("answered %v, %v", n, err)
		}
	})
}

func TestLookThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := found(t.Context(), func(ctx context.Context, _ *servers) ([]slots, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil, unconnected)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.of(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller's end: %v", err)
		}
		start := time.Now()
		if _, err := s.all(t.Context()); err == nil || time.Since(start) > dialTimeout {
			t.Errorf("answered %v after %v", err, time.Since(start))
		}
		if _, err := s.of(ctx, "k"); err == nil {
			t.Error("a server out of nowhere")
		}
		if err := s.close(); err != nil { // ends the look
			t.Error(err)
		}
		if _, err := s.of(t.Context(), "k"); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestServersOfSlots(t *testing.T) {
	at := slotOf("k")
	table := []slots{{at + 1, lastSlot, "h:3"}, {0, at - 1, "h:1"}, {at, at, "h:2"}}
	s := found(t.Context(), func(context.Context, *servers) ([]slots, error) { return table, nil }, []string{"h:7", "h:8", "h:9"}, unconnected)
	defer func() { _ = s.close() }()
	if n := len(s.candidates()); n != 3 {
		t.Errorf("at first %d are asked, want the three of the option", n)
	}
	if n, err := s.of(t.Context(), "k"); err != nil || n.addr != "h:2" {
		t.Errorf("answered %v, %v", n, err)
	}
	asked := map[string]bool{}
	for range 200 {
		list := s.candidates()
		if len(list) != 3 {
			t.Fatalf("%d are asked", len(list))
		}
		for _, n := range list {
			asked[n.addr] = true
		}
	}
	if len(asked) != 6 {
		t.Errorf("asked are %v, want all that are known or to begin with", asked)
	}
	s.adopt([]slots{{0, at - 1, "h:1"}, {at + 1, lastSlot, "h:1"}}) // nobody has it
	var u *storage.UnavailableError
	if _, err := s.of(t.Context(), "k"); !errors.As(err, &u) || u.Reason != replies["CLUSTERDOWN"] {
		t.Errorf("answered %v", err)
	}
	if len(s.nodes) > 1 {
		t.Errorf("clients of %d servers that left are kept", len(s.nodes))
	}
}

func TestHashSlots(t *testing.T) {
	for key, want := range map[string]int{ // by CLUSTER KEYSLOT
		"123456789": 12739, "": 0, "afw:{p00}:g": 11214, "p00": 11214,
		"a{}b": 13694, "a{b": 13340, "{b}{c}": 3300, "b": 3300,
	} {
		if got := slotOf(key); got != want {
			t.Errorf("slot of %q is %d, want %d", key, got, want)
		}
	}
}

func TestReachable(t *testing.T) {
	for _, tt := range [][3]string{
		{"10.0.0.1:7", "10.0.0.2:8", "10.0.0.1:7"},
		{":7", "10.0.0.2:8", "10.0.0.2:7"},
		{"127.0.0.1:7", "10.0.0.2:8", "10.0.0.2:7"},
		{"127.0.0.1:7", "localhost:8", "127.0.0.1:7"},
		{"10.0.0.1:0", "10.0.0.2:8", "10.0.0.1:8"},
		{"[::1]:7", "[fd00::1]:8", "[fd00::1]:7"},
		{"odd", "10.0.0.2:8", "odd"},
	} {
		if got := reachable(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%s as told by %s is %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestLogOfTheLibrary(t *testing.T) {
	var others bytes.Buffer
	r := relay{log.New(&others, "redis: ", log.Lshortfile)}
	core, logs := observer.New(zap.DebugLevel)
	d := &Driver{log: zap.New(core)}
	r.Printf(d.logged(t.Context()), "of %s", "ours")
	if all := logs.All(); len(all) != 1 || all[0].Message != "go-redis: of ours" || all[0].Level != zap.DebugLevel || others.Len() > 0 {
		t.Errorf("logged %v and %q", all, &others)
	}
	r.Printf(t.Context(), "of %s", "others")
	if logs.Len() != 1 || !strings.HasSuffix(strings.TrimSpace(others.String()), "of others") || !strings.HasPrefix(others.String(), "redis: ") {
		t.Errorf("logged %d and %q", logs.Len(), &others)
	}
}

// TestEveryLookIsLogged guards that what runs for the driver alone is ours too.
func TestEveryLookIsLogged(t *testing.T) {
	core, _ := observer.New(zap.DebugLevel)
	own := zap.New(core)
	for _, o := range []Options{
		{URL: "redis://h"},
		{URL: "redis://h", Cluster: &Cluster{}},
		{URL: "redis://", Sentinel: &Sentinel{Master: "m", Addrs: []string{"h"}}},
	} {
		o.Logger = own
		d := openWith(t, o)
		for _, s := range []*servers{d.write, d.read} {
			if s.ctx.Value(loggerKey{}) != own {
				t.Error(fmt.Sprint(o), "looks with somebody else's logger")
			}
		}
	}
}
