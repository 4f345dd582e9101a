package redistest_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/actionflows/lifeline/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerLivesThroughItsFaults(t *testing.T) {
	s := redistest.Start(t)
	ctx := t.Context()
	s.MustDo("SET", "k", "v")

	s.Freeze()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := s.Do(short, "GET", "k"); err == nil {
		t.Error("a frozen server answered")
	}
	s.Thaw()
	if v := s.MustDo("GET", "k"); v != "v" {
		t.Errorf("after thawing k is %v", v)
	}

	addr := s.Addr()
	s.Kill()
	if _, err := s.Do(ctx, "PING"); err == nil {
		t.Error("a killed server answered")
	}
	s.Restart()
	if n := s.MustDo("DBSIZE"); n != int64(0) {
		t.Errorf("restarted with %v keys, want none", n)
	}
	if s.Addr() != addr {
		t.Errorf("restarted on %s, was on %s", s.Addr(), addr)
	}
}

func TestStartWithArguments(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "secret")
	if _, err := s.Do(t.Context(), "GET", "k"); err == nil {
		t.Error("--requirepass had no effect")
	}
}

func TestClusterSpreadsItsSlots(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	owners := map[*redistest.Server]bool{}
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		s := c.Owner(key)
		s.MustDo("SET", key, "v")
		owners[s] = true
	}
	if len(owners) != 3 {
		t.Errorf("six keys are on %d nodes", len(owners))
	}
}

func TestSentinelsReplaceADeadMaster(t *testing.T) {
	c := redistest.StartSentinels(t, "")
	dead := c.Master()
	dead.MustDo("SET", "k", "v")
	if err := dead.Replicate(); err != nil {
		t.Fatal(err)
	}
	dead.Kill()
	alive := c.Other(dead)
	c.AwaitMaster(alive)
	alive.AwaitRole("master")
	if v := alive.MustDo("GET", "k"); v != "v" {
		t.Errorf("after the failover k is %v", v)
	}
	dead.Restart()
	dead.AwaitRole("slave")
}
