package watcher

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// check holds an event to the form that every event has, and to what the events
// before it have said.
func (u *watched) check(ev Event) {
	u.t.Helper()
	rel := ev.RelativePath
	want := Event{
		ID: ev.ID, Type: "file:" + ev.ChangeType, SessionID: u.cfg.Session, Timestamp: ev.Timestamp,
		Path:         strings.ToValidUTF8(u.dir+"/"+rel, "\uFFFD"),
		RelativePath: path.Clean(rel),
		ChangeType:   ev.ChangeType,
		IsDirectory:  ev.IsDirectory,
	}
	want.Directory = path.Dir(want.Path)
	if name := path.Base(rel); !ev.IsDirectory && strings.LastIndexByte(name, '.') > 0 {
		want.Extension = path.Ext(name)
	}
	if ev != want {
		u.t.Errorf("event %+v\nwant %+v", ev, want)
	}
	u.checkOrder(ev)
	u.apply(ev)
	u.last = ev
	u.told[rel] = ev.Timestamp
}

// checkOrder wants ids and stamps to grow and, with equal stamps, deletions
// children first before the rest parents first.
func (u *watched) checkOrder(ev Event) {
	u.t.Helper()
	before := u.last
	if ev.ID <= before.ID || ev.Timestamp < before.Timestamp {
		u.t.Errorf("%s (%s %s) came after %s (%s %s)", u.line(ev), ev.ID, ev.Timestamp, u.line(before), before.ID, before.Timestamp)
	}
	if ev.Timestamp != before.Timestamp {
		return
	}
	gone, goneBefore := ev.ChangeType == Deleted, before.ChangeType == Deleted
	deeper := level(ev.RelativePath) - level(before.RelativePath)
	if gone && !goneBefore || gone && deeper > 0 || !gone && !goneBefore && deeper < 0 {
		u.t.Errorf("%s came after %s, both at %s", u.line(ev), u.line(before), ev.Timestamp)
	}
}

// apply takes an event into the model, where it must make sense.
func (u *watched) apply(ev Event) {
	u.t.Helper()
	key := ev.RelativePath
	if ev.IsDirectory {
		key += "/"
	}
	switch ev.ChangeType {
	case Created:
		if above := path.Dir(ev.RelativePath); u.model[key] || above != "." && !u.model[above+"/"] {
			u.t.Errorf("created %s: there already, or without its directory; seen %v", key, tail(u.seen))
		}
		u.model[key] = true
	case Modified:
		if !u.model[key] {
			u.t.Errorf("modified %s, which nobody created; seen %v", key, tail(u.seen))
		}
	case Deleted:
		if !u.model[key] {
			u.t.Errorf("deleted %s, which nobody created; seen %v", key, tail(u.seen))
		}
		delete(u.model, key)
		if !ev.IsDirectory {
			return
		}
		for p := range u.model {
			if p != key && strings.HasPrefix(p, key) {
				u.t.Errorf("deleted %s before %s; seen %v", key, p, tail(u.seen))
			}
		}
	}
}

// settles wants no further event, and what the events have said and the snapshot
// holds to be what a fresh walk finds. It stops the watcher.
func (u *watched) settles() {
	u.t.Helper()
	u.nothing()
	u.adds()
}

// adds is settles for those who have taken every event.
func (u *watched) adds() {
	u.t.Helper()
	u.agrees()
	want := u.visible()
	u.end()
	if u.Watcher == nil {
		return
	}
	if got := u.known(); !slices.Equal(got, want) {
		u.t.Errorf("snapshot differs from the tree: %s", difference(got, want))
	}
	u.knowsFiles()
}

// agrees wants the events to add up to what a fresh walk finds.
func (u *watched) agrees() {
	u.t.Helper()
	want := u.visible()
	for i := range want {
		want[i] = strings.ToValidUTF8(want[i], "\uFFFD")
	}
	var got []string
	for p := range u.model {
		got = append(got, p)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		u.t.Errorf("events do not add up to the tree: %s", difference(got, want))
	}
}

// knowsFiles wants the snapshot of a stopped watcher to hold what each file is.
func (u *watched) knowsFiles() {
	u.t.Helper()
	for _, rel := range u.visible() {
		info, err := os.Lstat(filepath.Join(u.dir, rel))
		must(u.t, err)
		_, n := u.snap.lookup(strings.TrimSuffix(rel, "/"))
		now := metaOf(info)
		if n == nil || n.meta.kind != now.kind || n.meta.id != now.id || now.kind != kindDir && n.meta.size != now.size {
			u.t.Errorf("the snapshot has %+v for %q, which is %+v", n, rel, now)
		}
	}
}

// visible lists what a fresh walk finds of what is to be reported, as events
// would name it.
func (u *watched) visible() []string {
	ignored := newIgnorer(u.cfg.Ignore, u.cfg.NoDefaultIgnore)
	var all []string
	root, err := filepath.EvalSymlinks(u.dir)
	if err != nil {
		return nil
	}
	must(u.t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		skip := error(nil)
		if d.IsDir() {
			skip = fs.SkipDir
		}
		if ignored.match(rel, d.IsDir()) || level(rel) > u.cfg.depth() {
			return skip
		}
		if d.IsDir() {
			rel += "/"
		}
		all = append(all, rel)
		return nil
	}))
	slices.Sort(all)
	return all
}

// known lists what the snapshot of a stopped watcher holds.
func (u *watched) known() []string {
	var all []string
	var visit func(rel string, n *node)
	visit = func(rel string, n *node) {
		for name, child := range n.children {
			at := rel + name
			if child.meta.kind == kindDir {
				at += "/"
			}
			all = append(all, at)
			visit(rel+name+"/", child)
		}
	}
	visit("", u.snap.root)
	slices.Sort(all)
	return all
}

func difference(got, want []string) string {
	count := map[string]int{}
	for _, p := range got {
		count[p]++
	}
	for _, p := range want {
		count[p]--
	}
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(count)) {
		if n := count[p]; n != 0 {
			fmt.Fprintf(&b, " %+d %q", n, strings.ReplaceAll(p, longName, "nnn"))
		}
	}
	return b.String()
}
