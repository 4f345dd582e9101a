package watcher

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	flushInterval = 25 * time.Millisecond
	checkInterval = 2 * time.Second
)

var errHintsLost = errors.New("notifications were lost; the whole tree is compared")

// run is one life of a watcher, from its start to its failure.
type run struct {
	w       *Watcher
	backend backend // nil until it is open
	scanner *scanner
	rootID  fileID
	changes []change
}

// run watches until ctx is done or something fails. It calls ready after the
// scan. The snapshot and what is left of it belong to the watcher.
func (w *Watcher) run(ctx context.Context, ready func()) error {
	r := &run{w: w}
	defer r.handOver()
	if err := r.findRoot(); err != nil {
		return err
	}
	b, err := w.openBackend()
	if err != nil {
		return err
	}
	defer b.release()
	r.backend = b
	w.setLimit(b.limit())
	if err := r.firstScan(ctx); err != nil {
		return err
	}
	r.handOver()
	r.count()
	ready()
	r.publish()
	return r.loop(ctx)
}

// findRoot sees whether the root is there. What was known of a root that is not
// is reported as deleted, and what it will hold when it appears is new.
func (r *run) findRoot() error {
	t, err := r.w.findTree()
	if errors.Is(err, errRootGone) {
		r.loseRoot()
	}
	if err != nil {
		return err
	}
	r.rootID = t.id
	t.close()
	return nil
}

// look opens the root, which must still be what it was, for what do does with
// the scanner.
func (r *run) look(do func() error) error {
	t, err := r.w.findTree()
	if err == nil && t.id != r.rootID {
		t.close()
		err = fmt.Errorf("%w: %s", errRootGone, r.w.root)
	}
	if err != nil {
		return r.rootLost(err)
	}
	defer t.close()
	r.scanner.tree = t
	return do()
}

func (r *run) loseRoot() {
	w := r.w
	if w.snap == nil {
		w.snap = newSnapshot()
	}
	r.scanner = r.newScanner(w.snap)
	r.scanner.dropChildren("", w.snap.root)
}

func (r *run) newScanner(snap *snapshot) *scanner {
	w := r.w
	return &scanner{
		root:    w.root,
		depth:   w.cfg.depth(),
		ignore:  w.ignore,
		snap:    snap,
		watch:   r.watch,
		unwatch: r.unwatch,
		readDir: r.readDir,
		report:  r.record,
		blind:   map[string]error{},
	}
}

func (r *run) record(c change) { r.changes = append(r.changes, c) }

func (r *run) watch(dir string, id fileID, since uint64) error {
	if err := r.w.hooks.addWatch(dir); err != nil {
		return err
	}
	return r.backend.watch(dir, id, since)
}

func (r *run) readDir(rel string) (fileID, []entry, error) {
	if err := r.w.hooks.readDir(r.scanner.abs(rel)); err != nil {
		return fileID{}, nil, err
	}
	return r.scanner.tree.read(rel)
}

func (r *run) unwatch(dir string) {
	if r.backend != nil {
		r.backend.unwatch(dir)
	}
}

// firstScan compares the tree with the snapshot or, where there is none yet,
// takes one without reporting anything.
func (r *run) firstScan(ctx context.Context) error {
	w := r.w
	if parent := filepath.Dir(w.root); parent != w.root {
		// It may not be ours to watch; the root is checked from time to time
		// anyway.
		_ = r.backend.watch(parent, fileID{}, 0)
	}
	snap, first := w.snap, w.snap == nil
	if first {
		snap = newSnapshot()
	}
	r.scanner = r.newScanner(snap)
	if first {
		r.scanner.report = func(change) {}
	}
	if err := r.look(func() error { return r.scan(ctx, 0) }); err != nil {
		return err
	}
	w.snap = snap
	r.scanner.report = r.record
	return nil
}

// scan compares the whole tree with the snapshot.
func (r *run) scan(ctx context.Context, since uint64) error {
	err := r.scanner.scan(ctx, "", r.scanner.snap.root, pass{deep: true, since: since})
	if errors.Is(err, errVanished) {
		err = fmt.Errorf("%w: %s", errRootGone, r.w.root)
	}
	return r.rootLost(err)
}

// rootLost reports the content of a root that is gone as deleted.
func (r *run) rootLost(err error) error {
	if errors.Is(err, errRootGone) && r.w.snap != nil {
		r.scanner.dropChildren("", r.scanner.snap.root)
	}
	return err
}

// loop flushes hints and looks after what hints cannot tell.
func (r *run) loop(ctx context.Context) error {
	flush := time.NewTimer(flushInterval)
	flush.Stop()
	check := time.NewTicker(checkInterval)
	defer flush.Stop()
	defer check.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.backend.hinted():
			flush.Reset(flushInterval)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-flush.C:
			}
			err = r.look(func() error { return r.flush(ctx) })
		case <-check.C:
			err = r.look(func() error { return r.check(ctx) })
		}
		r.publish()
		if err != nil {
			return err
		}
	}
}

// flush brings the snapshot up to date with the hints that were collected:
// vanished paths first, so that what was renamed loses the watches of its old
// path before it gets those of the new one.
func (r *run) flush(ctx context.Context) error {
	h := r.backend.take()
	if h.err != nil {
		return h.err
	}
	r.w.countOverflows(h.overflows)
	if h.lost > 0 {
		return r.rescan(ctx)
	}
	paths := r.beneathRoot(h.dirty)
	for _, rel := range paths {
		r.dropVanished(rel)
	}
	for _, rel := range paths {
		if err := r.examine(ctx, rel, h.dirty[r.scanner.abs(rel)]); err != nil {
			return err
		}
	}
	return r.examineRoot(ctx, h.dirty[r.w.root])
}

// examineRoot follows hints about the root, which has the identity it had: the
// numbers may be used again for a new directory, or the hint may be an old one.
func (r *run) examineRoot(ctx context.Context, h hint) error {
	switch {
	case h.ops&(opCreate|opRemove) != 0:
		return r.scan(ctx, h.seq)
	case h.ops&opReread != 0:
		return r.shallow(ctx, "", r.scanner.snap.root)
	default:
		return nil
	}
}

// beneathRoot returns the dirty paths relative to the root, parents first.
func (r *run) beneathRoot(dirty map[string]hint) []string {
	paths := make([]string, 0, len(dirty))
	for name := range dirty {
		if rel, ok := relativeTo(r.w.root, name); ok {
			paths = append(paths, rel)
		}
	}
	slices.Sort(paths)
	return paths
}

// relativeTo returns the path of name beneath root with forward slashes.
func relativeTo(root, name string) (string, bool) {
	if !strings.HasSuffix(root, string(filepath.Separator)) {
		root += string(filepath.Separator)
	}
	rel, ok := strings.CutPrefix(name, root)
	return filepath.ToSlash(rel), ok && rel != ""
}

func (r *run) dropVanished(rel string) {
	parent, n := r.scanner.snap.lookup(rel)
	if n == nil {
		return
	}
	now, err := r.scanner.tree.stat(rel)
	if isVanished(err) || err == nil && replaced(n.meta, now) {
		r.scanner.drop(rel, parent)
	}
}

func (r *run) examine(ctx context.Context, rel string, h hint) error {
	parent, _ := r.scanner.snap.lookup(rel)
	if parent == nil || parent.meta.kind != kindDir || level(rel) > r.w.cfg.depth() {
		return nil
	}
	p := pass{}
	if h.ops&opCreate != 0 {
		// Even where the numbers are the same it may be another directory than
		// the one that is watched: they are used again.
		p = pass{deep: true, since: h.seq}
	}
	return r.scanner.examine(ctx, rel, parent, h.ops, p)
}

// rescan makes up for lost hints.
func (r *run) rescan(ctx context.Context) error {
	r.w.setDegraded(errHintsLost)
	err := r.scan(ctx, r.backend.position())
	if err == nil {
		r.w.countRescan()
	}
	return err
}

// check looks at the directories that are not watched, and at the watches. It is
// called even where there are none: the root may go without a hint.
func (r *run) check(ctx context.Context) error {
	r.backend.audit()
	if len(r.scanner.blind) > 0 {
		r.w.setLimit(r.backend.limit()) // somebody may have raised it
	}
	for rel := range r.scanner.blind {
		_, n := r.scanner.snap.lookup(rel)
		if rel == "" {
			n = r.scanner.snap.root
		}
		if n == nil {
			delete(r.scanner.blind, rel)
			continue
		}
		if err := r.shallow(ctx, rel, n); err != nil {
			return err
		}
	}
	return nil
}

// shallow scans one directory.
func (r *run) shallow(ctx context.Context, rel string, n *node) error {
	err := r.scanner.scan(ctx, rel, n, pass{})
	if !errors.Is(err, errVanished) {
		return err
	}
	if rel == "" {
		return r.rootLost(fmt.Errorf("%w: %s", errRootGone, r.w.root))
	}
	if parent, n := r.scanner.snap.lookup(rel); n != nil {
		r.scanner.drop(rel, parent)
	}
	return nil
}

// publish hands changes on and brings the status up to date.
func (r *run) publish() {
	r.handOver()
	r.count()
	r.w.setDegraded(r.scanner.blindness())
}

// handOver gives what was found so far to the coalescer.
func (r *run) handOver() {
	r.w.coalescer.add(time.Now(), r.changes)
	r.changes = nil
	if r.w.snap != nil {
		r.w.setEntries(r.w.snap.entries)
	}
}

// count says how many directories are watched.
func (r *run) count() {
	r.w.setWatches(r.backend.watches(filepath.Dir(r.w.root)), len(r.scanner.blind))
}

// hooks are the places where tests make things fail.
type hooks struct {
	addWatch  func(dir string) error
	readDir   func(dir string) error
	notifiers *notifiers
}
