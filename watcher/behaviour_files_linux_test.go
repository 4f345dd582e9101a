package watcher

import (
	"fmt"
	"os"
	"time"
)

var ofFiles = []behaviour{
	{number: 1, what: "files are added: one, nine in a directory, 33 in nine", play: func(s *stage) {
		u := s.watch()
		s.write("one.txt", "x")
		u.expect("created one.txt")
		want := []string{"created nine/"}
		s.mkdir("nine")
		for i := range 9 {
			rel := fmt.Sprintf("nine/f%d", i)
			s.write(rel, "x")
			want = append(want, "created "+rel)
		}
		u.expectInAnyOrder(want...)
		want = nil
		for d := range 9 {
			dir := fmt.Sprintf("many%d", d)
			s.mkdir(dir)
			want = append(want, "created "+dir+"/")
			for f := range 33 {
				rel := fmt.Sprintf("%s/f%d", dir, f)
				s.write(rel, "x")
				want = append(want, "created "+rel)
			}
		}
		u.expectInAnyOrder(want...)
		u.settles()
	}},
	{number: 3, what: "a file is appended to: modified once per window", play: func(s *stage) {
		s.write("log", "1\n")
		u := s.watch()
		for range 3 {
			s.grow("log", "one line\n")
			u.expect("modified log")
		}
		for range 20 {
			s.grow("log", "one of many lines\n")
		}
		u.expect("modified log")
		u.settles()
	}},
	{number: 5, what: "a file is renamed", play: func(s *stage) {
		s.write("old.go", "x")
		s.mkdir("d")
		u := s.watch()
		s.rename("old.go", "new.go")
		u.expect("deleted old.go", "created new.go")
		s.rename("new.go", "d/newer.go")
		u.expectInAnyOrder("deleted new.go", "created d/newer.go")
		s.write("d/newer.go", "content")
		u.expect("modified d/newer.go")
		u.settles()
	}},
	{number: 6, what: "a file is deleted and added again, slowly", play: func(s *stage) {
		s.write("f", "x")
		u := s.watch()
		for range 2 {
			s.remove("f")
			u.expect("deleted f")
			s.write("f", "x")
			u.expect("created f")
		}
		u.settles()
	}},
	{number: 7, what: "a file is deleted and added again at once, as editors do", play: func(s *stage) {
		for _, f := range []string{"again", "vim", "emacs", "sublime"} {
			s.write(f, "before")
		}
		u := s.watch(func(c *Config, _ *hooks) { c.Ignore = []string{"*~", "#*#", ".#*"} })
		s.remove("again")
		s.write("again", "after it")
		u.expect("modified again")

		s.write("4913", "")
		s.remove("4913")
		s.rename("vim", "vim~")
		s.write("vim", "after it")
		s.remove("vim~")
		u.expect("modified vim")

		s.write("#emacs#", "after it")
		s.rename("emacs", "emacs~")
		s.write("emacs", "after it")
		s.remove("#emacs#")
		u.expect("modified emacs")

		s.write(".sublime.tmp", "after it")
		s.rename(".sublime.tmp", "sublime")
		u.expect("modified sublime")
		u.settles()
	}},
	{number: 8, what: "a file is moved away and modified there", play: func(s *stage) {
		s.write("f", "x")
		u := s.watch()
		must(s, os.Rename(s.at("f"), s.out("f")))
		u.expect("deleted f")
		write(s, s.out("f"), "elsewhere")
		u.settles()
	}},
	{number: 21, what: "a file that was there before is modified", play: func(s *stage) {
		s.mkdir("d")
		s.write("d/f", "x")
		u := s.watch()
		s.write("d/f", "other")
		u.expect("modified d/f")
		u.settles()
	}},
	{number: 31, what: "a file is renamed over another", play: func(s *stage) {
		s.write("source", "source")
		s.write("target", "target of it")
		u := s.watch()
		s.rename("source", "target")
		u.expect("deleted source", "modified target")
		s.write("target", "once more")
		u.expect("modified target")
		u.settles()
	}},
	{number: 38, what: "modes, owners and times alone are no change", play: func(s *stage) {
		s.mkdir("d")
		s.write("d/f", "x")
		u := s.watch()
		for i := range 3 {
			must(s, os.Chmod(s.at("d/f"), 0o600+os.FileMode(i)))
			must(s, os.Chmod(s.at("d"), 0o700+os.FileMode(i)))
			then := time.Now().Add(-time.Hour * time.Duration(i+1))
			must(s, os.Chtimes(s.at("d/f"), then, then))
			must(s, os.Chtimes(s.at("d"), then, then))
			must(s, os.Chown(s.at("d/f"), os.Getuid(), os.Getgid()))
			u.nothing()
		}
		s.write("d/f", "x") // the same content written is a change
		u.expect("modified d/f")
		u.settles()
	}, unpolled: "a time that was set looks like a write"},
	{number: 39, what: "a write through a hard link from outside is not seen", play: func(s *stage) {
		s.write("f", "x")
		u := s.watch()
		must(s, os.Link(s.at("f"), s.out("f")))
		write(s, s.out("f"), "from outside")
		u.nothing()
		must(s, os.Link(s.at("f"), s.at("g"))) // a second name in the tree is an entry
		u.expect("created g")
		u.nothing()
		u.agrees()
		u.end()
	}, unpolled: "a comparison does see it"},
}
