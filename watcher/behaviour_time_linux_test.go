package watcher

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

var ofTime = []behaviour{
	{number: 27, what: "a file is written in chunks: one event, with its final size", play: func(s *stage) {
		u := s.watch()
		s.write("f", "chunk")
		for range 8 {
			time.Sleep(3 * stableFor / 2)
			s.grow("f", "chunk")
		}
		u.expect("created f")
		if info, err := os.Stat(s.at("f")); err != nil || info.Size() != 9*int64(len("chunk")) {
			s.Errorf("came before the end: %v, %v", info, err)
		}
		u.settles()
	}},
	{number: 28, what: "a file is deleted before it is stable", play: func(s *stage) {
		s.write("old", "x")
		u := s.watch()
		s.write("short", "x")
		s.grow("short", "x")
		s.remove("short")
		u.nothing()
		s.write("old", "updated")
		s.remove("old")
		u.expect("deleted old")
		u.settles()
	}},
	{number: 29, what: "what is created and removed within the window is nothing", play: func(s *stage) {
		u := s.watch()
		for i := range 20 {
			s.write("f", fmt.Sprint(i))
			s.mkdir("d/e")
			s.write("d/e/f", "x")
			s.remove("f")
			s.remove("d")
		}
		u.settles()
	}},
	{number: 30, what: "created, modified and renamed within the window", play: func(s *stage) {
		u := s.watch()
		s.write("old", "x")
		s.grow("old", "more")
		s.rename("old", "new")
		u.expect("created new")
		s.mkdir("d")
		s.write("d/old", "x")
		s.grow("d/old", "more")
		s.rename("d/old", "d/new")
		s.rename("d", "e")
		u.expect("created e/", "created e/new")
		u.settles()
	}},
	{number: 33, what: "a file that is written without end is reported from time to time", play: func(s *stage) {
		u := s.watch(hurried)
		var written atomic.Int64
		stop := writeWithoutEnd(s, "log", &written)
		u.expect("created log", "modified log", "modified log")
		if n := written.Load(); n < 20 {
			s.Errorf("three events of %d writes", n)
		}
		stop()
		for _, line := range u.marks("end") {
			if line != "modified log" {
				s.Errorf("unexpected: %s", line)
			}
		}
		s.grow("log", "the end\n")
		u.expect("modified log")
		u.settles()
	}},
	{number: 34, what: "events leave in the order of their ids, stamps and depth", play: func(s *stage) {
		u := s.watch()
		var want []string
		for i := range 5 { // check holds each one to those before
			created := s.plant(fmt.Sprintf("t%d/u/v", i), 3, 3)
			created = append(created, fmt.Sprintf("created t%d/", i), fmt.Sprintf("created t%d/u/", i))
			want = append(want, gone(created)...)
			u.expectInAnyOrder(created...)
		}
		for i := range 5 {
			s.remove(fmt.Sprintf("t%d", i))
		}
		u.expectInAnyOrder(want...)
		u.settles()
	}},
}

// writeWithoutEnd writes a file until it is told to stop.
func writeWithoutEnd(s *stage, rel string, written *atomic.Int64) (stop func()) {
	s.Helper()
	f, err := os.Create(s.at(rel))
	must(s, err)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _ = f.Close() }()
		tick := time.NewTicker(stablePoll / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_, _ = f.WriteString("line\n")
				written.Add(1)
			}
		}
	}()
	var once atomic.Bool
	stop = func() {
		if once.CompareAndSwap(false, true) {
			close(done)
			<-ended
		}
	}
	s.Cleanup(stop)
	return stop
}
