package watcher

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

var ofNames = []behaviour{
	{number: 18, what: "names that look like globs are literal", play: func(s *stage) {
		root := s.at("[a]{b,c}*")
		must(s, os.Mkdir(root, 0o755))
		u := s.watchAt(root)
		var made, changed []string
		for _, name := range []string{"[a]", "{x}", "*", "?", "!x", "...", `back\slash`, "a b\n", "ü", strings.Repeat("n", 255)} {
			must(s, os.Mkdir(root+"/"+name, 0o755))
			write(s, root+"/"+name+"/f", "x")
			made = append(made, "created "+name+"/", "created "+name+"/f")
			changed = append(changed, "modified "+name+"/f")
		}
		write(s, root+"/bad\xff\xfename", "x")
		u.expectInAnyOrder(append(made, "created bad\uFFFDname")...)
		for _, line := range changed {
			write(s, root+"/"+strings.TrimPrefix(line, "modified "), "changed")
		}
		u.expectInAnyOrder(changed...)
		must(s, os.Remove(root+"/*/f"))
		u.expect("deleted */f")
		u.settles()
	}},
	{number: 19, what: "symbolic links are entries and are not followed", play: func(s *stage) {
		write(s, s.out("f"), "x")
		u := s.watch()
		s.mkdir("d")
		for link, target := range map[string]string{
			"file": s.out("f"), "dir": s.outside, "d/loop": s.dir, "self": "self", "dangling": "nowhere",
		} {
			must(s, os.Symlink(target, s.at(link)))
		}
		u.expectInAnyOrder("created d/", "created file", "created dir", "created d/loop", "created self", "created dangling")
		write(s, s.out("f"), "behind a link")
		write(s, s.out("g"), "behind a link")
		u.nothing()
		must(s, os.Symlink("elsewhere", s.out("new")))
		must(s, os.Rename(s.out("new"), s.at("dangling")))
		u.expect("modified dangling")
		s.remove("dir")
		u.expect("deleted dir")
		s.mkdir("dir")
		u.expect("created dir/")
		s.remove("d/loop")
		u.expect("deleted d/loop")
		s.watches(u, 3)
		u.settles()

		must(s, os.Symlink(s.dir, s.out("root"))) // the root itself may be given by one
		u = s.watchAt(s.out("root"))
		s.write("through", "x")
		u.expect("created through")
		u.settles()
	}},
	{number: 22, what: "depth 0, 1, 10 and 11", play: func(s *stage) {
		depths := []int{0, 1, 10, 11}
		var all []*watched
		for _, depth := range depths {
			all = append(all, s.watch(func(c *Config, _ *hooks) {
				if depth != DefaultDepth {
					c.Depth = &depth
				}
			}))
		}
		at, want := "", []string(nil)
		for l := range 13 {
			at += fmt.Sprintf("/l%d", l)
			want = append(want, "created "+at[1:]+"/")
		}
		s.mkdir(at)
		s.write(at+"/f", "x")
		for i, depth := range depths {
			all[i].expect(want[:depth+1]...)
		}
		s.write("mark", "x")
		for i, depth := range depths {
			all[i].expect("created mark") // and nothing else before
			if u := all[i]; u.Watcher != nil && u.cfg.Poll == 0 && u.Status().Watches != depth+1 {
				s.Errorf("%d watches with depth %d", u.Status().Watches, depth)
			}
		}
		s.remove("l0")
		lines := gone(want)
		slices.Reverse(lines)
		for i, depth := range depths {
			all[i].expect(lines[len(lines)-depth-1:]...)
		}
		s.write("end", "x")
		for _, u := range all {
			u.expect("created end")
			u.adds()
		}
	}},
	{number: 23, what: "what is ignored gives no event and takes no watch", play: func(s *stage) {
		s.mkdir("node_modules/x/y")
		s.mkdir(".git/objects")
		u := s.watch(func(c *Config, _ *hooks) { c.Ignore = []string{"*~", "*.sw?", "#*#", ".#*"} })
		s.watches(u, 1)
		s.write("node_modules/x/f", "x")
		s.mkdir("a/.git/refs")
		s.write("a/.git/refs/head", "x")
		for _, name := range []string{"a/file~", "a/.file.swp", "a/#file#", "a/.#file"} {
			s.write(name, "x")
		}
		s.write("a/file", "x")
		u.expect("created a/", "created a/file")
		s.remove("node_modules")
		s.remove("a/.git")
		u.nothing()
		s.watches(u, 2)
		u.settles()

		for _, everything := range []string{"*", "**", "**/*"} { // the root and all in it
			u = s.watch(func(c *Config, _ *hooks) { c.Ignore = []string{everything} })
			s.watches(u, 0)
			s.mkdir("b/" + everything)
			s.remove("b")
			u.end()
			if len(u.events) > 0 {
				s.Errorf("%s: %v", everything, u.line(<-u.events))
			}
		}
		must(s, os.Mkdir(s.out("dist"), 0o755)) // a name is no reason to ignore what was asked for
		u = s.watchAt(s.out("dist"))
		write(s, s.out("dist/f"), "x")
		u.expect("created f")
		u.settles()
	}},
	{number: 24, what: "ignored names are whole segments", play: func(s *stage) {
		u := s.watch(func(c *Config, _ *hooks) { c.Ignore = []string{"out/", "top/*.log"} })
		for _, dir := range []string{"dist", "dist2", "xdist", "a/dist/b", "out", "a/out/x", "top", "q/top"} {
			s.mkdir(dir)
			s.write(dir+"/f.log", "x")
		}
		s.write("build", "x")
		s.write("a.out", "x")
		s.remove("out")
		s.write("out", "a file")
		u.expectInAnyOrder("created dist2/", "created dist2/f.log", "created xdist/", "created xdist/f.log",
			"created a/", "created top/", "created q/", "created q/top/", "created q/top/f.log", "created a.out", "created out")
		u.settles()

		u = s.watch(func(c *Config, _ *hooks) { c.NoDefaultIgnore, c.Ignore = true, []string{"build/"} })
		s.write("build", "a file is no directory")
		s.write("dist/f.log", "no default")
		u.expectInAnyOrder("modified build", "modified dist/f.log")
		s.remove("build")
		u.expect("deleted build")
		s.mkdir("build/x")
		u.settles()
	}},
	{number: 25, what: "*.pyc, .env and .env.* at any depth; no negation", play: func(s *stage) {
		u := s.watch()
		s.mkdir("a/b/c")
		var want []string
		for _, dir := range []string{"", "a/", "a/b/c/"} {
			if dir != "" {
				s.mkdir(dir)
			}
			for _, name := range []string{"m.pyc", ".env", ".env.local", ".env.d", "__pycache__"} {
				s.write(dir+name, "x")
			}
			for _, name := range []string{"m.py", ".envrc", "x.env", "pyc", "m.pycx"} {
				s.write(dir+name, "x")
				want = append(want, "created "+dir+name)
			}
		}
		u.expectInAnyOrder(append(want, "created a/", "created a/b/", "created a/b/c/")...)
		u.settles()
		cfg := Config{
			Session: "s", Dir: s.dir, Ignore: []string{"!keep.pyc"},
			Sink: func(context.Context, Event) error { return nil },
		}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "negates, which is not supported") {
			s.Errorf("a pattern that negates: %v", err)
		}
	}},
}
