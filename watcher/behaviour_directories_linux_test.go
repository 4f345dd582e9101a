package watcher

import (
	"fmt"
	"os"
	"strings"
)

var ofDirectories = []behaviour{
	{number: 2, what: "a directory is added", play: func(s *stage) {
		u := s.watch()
		s.mkdir("d")
		u.expect("created d/")
		s.write("d/f", "x")
		u.expect("created d/f")
		u.settles()
	}},
	{number: 4, what: "a file, a directory and nested directories are removed", play: func(s *stage) {
		s.write("f", "x")
		s.mkdir("empty")
		s.mkdir("a/b/c")
		for _, rel := range []string{"a/1", "a/b/2", "a/b/c/3"} {
			s.write(rel, "x")
		}
		u := s.watch()
		s.remove("f")
		u.expect("deleted f")
		s.remove("empty")
		u.expect("deleted empty/")
		s.remove("a")
		u.expectInAnyOrder("deleted a/b/c/3", "deleted a/b/2", "deleted a/b/c/", "deleted a/1", "deleted a/b/", "deleted a/")
		u.settles()
	}},
	{number: 10, what: "a file in a new directory, nine levels at once", play: func(s *stage) {
		u := s.watch()
		s.mkdir("new")
		s.write("new/f", "x")
		u.expect("created new/", "created new/f")
		var want []string
		for i := range 60 {
			rel := fmt.Sprintf("m%d", i)
			want = append(want, "created "+rel+"/")
			for l := range 8 {
				rel += fmt.Sprintf("/l%d", l)
				want = append(want, "created "+rel+"/")
			}
			s.mkdir(rel)
			s.write(rel+"/f", "x")
			want = append(want, "created "+rel+"/f")
		}
		u.expectInAnyOrder(want...) // each one after its directory
		s.write("m7/l0/l1/l2/l3/g", "x")
		u.expect("created m7/l0/l1/l2/l3/g")
		u.settles()
	}},
	{number: 11, what: "a directory is removed and added again, repeatedly", play: func(s *stage) {
		u := s.watch()
		for i := range 3 {
			name := fmt.Sprintf("d/e/f%d", i)
			s.mkdir("d/e")
			s.write(name, "x")
			s.remove("d")
			s.mkdir("d/e")
			s.write(name, "x")
			u.expect("created d/", "created d/e/", "created "+name)
			s.write(name, "later")
			u.expect("modified " + name)
			s.remove("d")
			u.expect("deleted "+name, "deleted d/e/", "deleted d/")
		}
		u.settles()
	}},
	{number: 12, what: "a directory becomes a file, and a file a directory", play: func(s *stage) {
		s.mkdir("d")
		s.write("d/f", "x")
		s.write("f", "x")
		u := s.watch()
		s.remove("d")
		s.write("d", "a file now")
		u.expect("deleted d/f", "deleted d/", "created d")
		s.remove("f")
		s.mkdir("f")
		s.write("f/g", "x")
		u.expect("deleted f", "created f/", "created f/g")
		u.settles()
	}},
	{number: 13, what: "a directory with content is renamed twice and written in", play: func(s *stage) {
		created := s.plant("one", 2, 1)
		u := s.watch()
		s.rename("one", "two")
		s.rename("two", "three")
		want := gone(created)
		for _, l := range created {
			want = append(want, "created three"+l[len("created one"):])
		}
		u.expectInAnyOrder(want...)
		s.write("three/d1/f0.txt", "new")
		u.expect("modified three/d1/f0.txt")
		s.write("three/d0/g", "new")
		u.expect("created three/d0/g")

		// Two directories that change places keep nothing of each other.
		s.mkdir("four")
		s.write("four/own", "x")
		u.expect("created four/", "created four/own")
		s.rename("four", "between")
		s.rename("three", "four")
		s.rename("between", "three")
		u.marks("swapped")
		s.write("three/own", "of the new one")
		u.expect("modified three/own")
		s.write("four/d0/g", "of the other")
		u.expect("modified four/d0/g")
		u.settles()
	}},
	{number: 14, what: "a directory with content is moved in", play: func(s *stage) {
		created := plant(s, s.out("moved"), "moved", 10, 30)
		u := s.watch()
		must(s, os.Rename(s.out("moved"), s.at("moved")))
		u.expectInAnyOrder(created...)
		s.write("moved/d3/late", "x")
		u.expect("created moved/d3/late")
		u.expectInAnyOrder(s.plant("copied", 10, 30)...)
		u.settles()
	}},
	{number: 15, what: "a directory is moved out and changed there", play: func(s *stage) {
		created := s.plant("moved", 10, 3)
		u := s.watch()
		s.watches(u, 12)
		must(s, os.Rename(s.at("moved"), s.out("moved")))
		u.expectInAnyOrder(gone(created)...)
		write(s, s.out("moved/d3/later"), "x")
		write(s, s.out("moved/d4/f0.txt"), "changed there")
		must(s, os.RemoveAll(s.out("moved/d5")))
		u.nothing()
		s.watches(u, 1)
		must(s, os.RemoveAll(s.out("moved")))
		u.settles()
	}},
	{number: 32, what: "a child and then its parent are removed", play: func(s *stage) {
		s.mkdir("d/e")
		s.write("d/e/f", "x")
		u := s.watch()
		s.remove("d/e/f")
		s.remove("d/e")
		s.remove("d")
		u.expect("deleted d/e/f", "deleted d/e/", "deleted d/")
		u.settles()
	}},
	{number: 40, what: "another branch of 5,000 files is checked out", play: func(s *stage) {
		checkOut := branch(s)
		u := s.watch()
		changed := checkOut()
		got := map[string]int{}
		for _, line := range u.marks("end") {
			_, rel, _ := strings.Cut(line, " ")
			got[rel]++
		}
		for rel, n := range got {
			if most := changed[rel]; n > most {
				s.Errorf("%d events of %s, want %d at most", n, rel, most)
			}
		}
		for rel := range changed {
			if got[rel] == 0 {
				s.Errorf("no event of %s", rel)
			}
		}
		u.settles()
	}},
	{number: 44, what: "the inode number of a removed directory is used again", play: func(s *stage) {
		s.mkdir("d")
		u := s.watch()
		reused := 0
		for i := range 20 {
			before := s.inode("d")
			s.remove("d")
			s.mkdir("d")
			if s.inode("d") == before {
				reused++
			}
			if i%5 > 0 {
				continue // changes that are not waited for
			}
			name := fmt.Sprintf("d/f%d", i)
			s.write(name, "x")
			for line := ""; line != "created "+name; {
				line = u.line(u.next())
			}
		}
		s.Logf("%d of 20 directories had the number of the one before", reused)
		s.mkdir("d/e")
		for line := ""; line != "created d/e/"; {
			line = u.line(u.next())
		}
		s.write("d/e/late", "x")
		u.expect("created d/e/late")
		u.settles()
	}},
}

// branch makes a work tree. What it returns changes it as git does when it
// checks out another branch, and says how many events there may be of each path.
func branch(s *stage) func() map[string]int {
	const dirs, files = 50, 100
	dir := func(d int) string { return fmt.Sprintf("src/p%d", d) }
	name := func(d, f int) string { return fmt.Sprintf("%s/f%d.go", dir(d), f) }
	for d := range dirs {
		s.mkdir(dir(d))
		for f := range files {
			s.write(name(d, f), "the old branch")
		}
	}
	return func() map[string]int {
		changed := map[string]int{}
		for d := range dirs {
			for f := range files {
				switch {
				case d < 5 || f%10 == 0: // not on the new branch
					s.remove(name(d, f))
					changed[name(d, f)] = 1
				case f%3 == 0: // different there: git removes it and makes it anew
					s.remove(name(d, f))
					s.write(name(d, f), "the new branch, longer")
					changed[name(d, f)] = 2 // one, unless the machine stood still in between
				}
			}
			if d < 5 {
				s.remove(dir(d))
				changed[dir(d)+"/"] = 1
			}
		}
		for d := dirs; d < dirs+5; d++ {
			s.mkdir(dir(d))
			changed[dir(d)+"/"] = 1
			for f := range files {
				s.write(name(d, f), "the new branch")
				changed[name(d, f)] = 1
			}
		}
		return changed
	}
}
