package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// snapshot is what the tree beneath a root looked like when it was last looked
// at.
type snapshot struct {
	root    *node
	entries int
}

// node is one entry of a snapshot.
type node struct {
	meta     meta
	children map[string]*node // of a directory that was read
}

func newSnapshot() *snapshot {
	return &snapshot{root: &node{meta: meta{kind: kindDir}}}
}

// lookup returns the node at rel and the one of its directory; nil where the
// snapshot has none.
func (s *snapshot) lookup(rel string) (parent, n *node) {
	parent = s.root
	if dir := path.Dir(rel); dir != "." {
		for name := range strings.SplitSeq(dir, "/") {
			if parent = parent.children[name]; parent == nil {
				return nil, nil
			}
		}
	}
	return parent, parent.children[path.Base(rel)]
}

// change is one step from one state of the snapshot to the next.
type change struct {
	path string
	was  kind // kindNone: created
	now  kind // kindNone: deleted
	meta meta // what it is now
}

// scanner brings a snapshot up to date and says what changed.
type scanner struct {
	root   string // resolved
	tree   *tree  // opened for the look that is going on
	depth  int
	ignore *ignorer
	snap   *snapshot

	watch   func(dir string, id fileID, since uint64) error
	unwatch func(dir string)
	readDir func(rel string) (fileID, []entry, error)
	report  func(change)

	// blind are the directories that could not be watched or read; they are
	// looked at again from time to time.
	blind map[string]error
}

// pass says how thorough a scan is.
type pass struct {
	deep  bool   // known directories are scanned as well, at any depth
	since uint64 // watches established up to this position are not to be trusted
}

// errVanished says that a directory was gone when it was to be read.
var errVanished = errors.New("the directory vanished")

func (s *scanner) abs(rel string) string {
	return filepath.Join(s.root, filepath.FromSlash(rel))
}

// scan watches the directory n at rel, reads it and compares it with the
// snapshot, in this order, so that nothing falls between.
func (s *scanner) scan(ctx context.Context, rel string, n *node, p pass) error {
	if err := ctx.Err(); err != nil || s.ignore.all {
		return err
	}
	want := n.meta.id
	if rel == "" {
		want = s.tree.id
	}
	watchErr := s.watch(s.abs(rel), want, p.since)
	id, entries, err := want, []entry(nil), watchErr
	if watchErr == nil || isLocal(watchErr) {
		id, entries, err = s.readDir(rel)
	}
	switch {
	case err == nil && id != want:
		return errVanished // replaced since it was looked at
	case isVanished(err):
		return errVanished
	case err != nil && (rel == "" || !isLocal(err)):
		return fmt.Errorf("scan: %w", err)
	}
	s.setBlind(rel, errors.Join(watchErr, err))
	if err != nil {
		return nil // unreadable: what was known stays
	}
	s.dropMissing(rel, n, entries)
	for _, e := range entries {
		if err := s.compare(ctx, path.Join(rel, e.name), n, e.meta, 0, p); err != nil {
			return err
		}
	}
	return nil
}

// dropMissing drops the children of n that entries do not list.
func (s *scanner) dropMissing(rel string, n *node, entries []entry) {
	if len(n.children) == 0 {
		return
	}
	there := make(map[string]struct{}, len(entries))
	for _, e := range entries {
		there[e.name] = struct{}{}
	}
	for name := range n.children {
		if _, ok := there[name]; !ok {
			s.drop(path.Join(rel, name), n)
		}
	}
}

// examine looks at the entry at rel, whose directory is parent, and compares it
// with the snapshot, given the hints about it.
func (s *scanner) examine(ctx context.Context, rel string, parent *node, hints op, p pass) error {
	now, err := s.tree.stat(rel)
	switch {
	case isVanished(err):
		s.drop(rel, parent)
		return nil
	case isLocal(err):
		s.setBlind(dirOf(rel), err) // what was known stays
		return nil
	case err != nil:
		return fmt.Errorf("scan: %w", err)
	}
	return s.compare(ctx, rel, parent, now, hints, p)
}

// compare compares what an entry is now with the snapshot.
func (s *scanner) compare(ctx context.Context, rel string, parent *node, now meta, hints op, p pass) error {
	if s.ignore.match(rel, now.kind == kindDir) {
		s.drop(rel, parent) // it may have been of another type before
		return nil
	}
	name := path.Base(rel)
	known := parent.children[name]
	if known != nil && replaced(known.meta, now) {
		s.drop(rel, parent)
		known = nil
	}
	if known == nil {
		return s.add(ctx, rel, parent, now, p)
	}
	before := known.meta
	known.meta = now
	if now.kind == kindDir {
		return s.reexamine(ctx, rel, parent, known, hints, p)
	}
	if before.differs(now, hints) {
		s.report(change{path: rel, was: now.kind, now: now.kind, meta: now})
	}
	return nil
}

// replaced reports whether an entry is a different thing than before, rather
// than the same with new content.
func replaced(before, now meta) bool {
	if before.kind != now.kind {
		return true
	}
	return now.kind == kindDir && before.id != now.id
}

// add takes a new entry into the snapshot.
func (s *scanner) add(ctx context.Context, rel string, parent *node, now meta, p pass) error {
	n := &node{meta: now}
	if parent.children == nil {
		parent.children = map[string]*node{}
	}
	parent.children[path.Base(rel)] = n
	s.snap.entries++
	s.report(change{path: rel, now: now.kind, meta: now})
	if now.kind != kindDir || !s.within(rel) {
		return nil
	}
	return s.descend(ctx, rel, parent, n, p)
}

// reexamine looks again into a known directory, as far as somebody asks for it.
func (s *scanner) reexamine(ctx context.Context, rel string, parent, n *node, hints op, p pass) error {
	_, blind := s.blind[rel]
	if !s.within(rel) || !p.deep && !blind && hints&opReread == 0 {
		return nil
	}
	return s.descend(ctx, rel, parent, n, p)
}

func (s *scanner) descend(ctx context.Context, rel string, parent, n *node, p pass) error {
	err := s.scan(ctx, rel, n, p)
	if errors.Is(err, errVanished) {
		s.drop(rel, parent)
		return nil
	}
	return err
}

// within reports whether the content of the directory at rel is within the
// depth.
func (s *scanner) within(rel string) bool { return level(rel) < s.depth }

// drop removes the entry at rel and all beneath it, children first.
func (s *scanner) drop(rel string, parent *node) {
	name := path.Base(rel)
	n := parent.children[name]
	if n == nil {
		return
	}
	s.dropChildren(rel, n)
	delete(parent.children, name)
	s.snap.entries--
	if n.meta.kind == kindDir {
		delete(s.blind, rel)
		s.unwatch(s.abs(rel))
	}
	s.report(change{path: rel, was: n.meta.kind})
}

func (s *scanner) dropChildren(rel string, n *node) {
	for name := range n.children {
		s.drop(path.Join(rel, name), n)
	}
}

// blindness is why some directories are blind; nil: none is.
func (s *scanner) blindness() error {
	for _, err := range s.blind {
		if errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%w: the user's limit of watches is reached (raise fs.inotify.max_user_watches, or use poll); "+
				"%d directories are compared every %s", err, len(s.blind), checkInterval)
		}
	}
	for _, err := range s.blind {
		return err
	}
	return nil
}

func (s *scanner) setBlind(rel string, err error) {
	if err == nil {
		delete(s.blind, rel)
		return
	}
	s.blind[rel] = err
}

// dirOf is the directory of rel, the root being empty.
func dirOf(rel string) string {
	if dir := path.Dir(rel); dir != "." {
		return dir
	}
	return ""
}

// level is the number of directories between the root and rel.
func level(rel string) int { return strings.Count(rel, "/") }

func isVanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ESTALE)
}

// isLocal reports whether err concerns one directory and leaves the rest of the
// tree as it was.
func isLocal(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.ENAMETOOLONG) ||
		errors.Is(err, errAliased) || errors.Is(err, errUnsettled)
}
