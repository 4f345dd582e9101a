package watcher

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

const (
	stableFor  = 100 * time.Millisecond // how long size and mtime must hold
	stablePoll = 50 * time.Millisecond
	gonePoll   = time.Second // while a file that is to be reported is gone
)

// outcome is what a path's changes come to.
type outcome struct {
	path   string
	change string
	isDir  bool
}

// pending is a path with changes that have not left yet.
type pending struct {
	was      kind // when the last event left
	now      kind
	replaced bool // deleted and created in between
	first    time.Time
	last     time.Time
	known    meta // what the snapshot has

	// The last look at a file that is to be reported as written.
	look    meta
	sampled time.Time // when
	held    time.Time // since when size and mtime have held
}

// leavesDeletion reports whether p comes to a deletion, followed by a creation
// or not.
func (p *pending) leavesDeletion() bool {
	return p.was != kindNone && (p.was != p.now || p.replaced && p.was == kindDir)
}

// leavesCreation is the same for a creation.
func (p *pending) leavesCreation() bool {
	return p.now != kindNone && (p.was != p.now || p.replaced && p.now == kindDir)
}

// nextSample is when to look at the file again; zero if it was stable when it
// was last looked at.
func (p *pending) nextSample() time.Time {
	if p.sampled.Sub(p.held) >= stableFor {
		return time.Time{}
	}
	return p.sampled.Add(stablePoll)
}

// written reports whether p is an event about content, which must be stable.
func (p *pending) written() bool { return p.now == kindFile }

// coalescer merges the changes of each path until they may leave.
type coalescer struct {
	debounce, maxWait time.Duration

	// open lets files be looked at; it is called once for a number of them.
	open func() (statter, error)

	wake chan struct{}

	mu      sync.Mutex
	waiting map[string]*pending

	// told has the files that were other than the snapshot knew when their event
	// left, until it knows: what it then finds is no news.
	told map[string]meta
}

// statter looks at the files of relative paths until it is closed.
type statter interface {
	stat(rel string) (meta, error)
	close()
}

// glance opens the files when the first one is looked at. Where that fails they
// are not there.
type glance struct {
	open  func() (statter, error)
	files statter
	err   error
}

func (g *glance) stat(rel string) (meta, error) {
	if g.files == nil && g.err == nil {
		files, err := g.open()
		if err != nil {
			g.err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		} else {
			g.files = files
		}
	}
	if g.err != nil {
		return meta{}, g.err
	}
	return g.files.stat(rel)
}

func (g *glance) close() {
	if g.files != nil {
		g.files.close()
	}
}

func newCoalescer(debounce, maxWait time.Duration, open func() (statter, error)) *coalescer {
	return &coalescer{
		debounce: debounce,
		maxWait:  maxWait,
		open:     open,
		wake:     make(chan struct{}, 1),
		waiting:  map[string]*pending{},
		told:     map[string]meta{},
	}
}

func (c *coalescer) add(now time.Time, changes []change) {
	if len(changes) == 0 {
		return
	}
	c.mu.Lock()
	for _, ch := range changes {
		c.merge(now, ch)
	}
	c.mu.Unlock()
	wakeUp(c.wake)
}

func (c *coalescer) merge(now time.Time, ch change) {
	p := c.waiting[ch.path]
	told, ok := c.told[ch.path]
	delete(c.told, ch.path)
	if p == nil && ok && ch.was == kindFile && told.settled && told.sameContent(ch.meta) {
		return
	}
	if p == nil {
		p = &pending{was: ch.was, first: now}
		c.waiting[ch.path] = p
	}
	if ch.was == kindNone && p.was != kindNone {
		p.replaced = true
	}
	p.now, p.last, p.known = ch.now, now, ch.meta
	if p.was == kindNone && p.now == kindNone {
		delete(c.waiting, ch.path)
	}
}

// collect takes what may leave now, in the order in which it must, and says
// when to ask again; the zero time means after the next change.
func (c *coalescer) collect(now time.Time) (out []outcome, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := &glance{open: c.open}
	defer files.close()
	due := map[string]*pending{}
	for rel, p := range c.waiting {
		at := c.dueAt(files, rel, p, now)
		if !at.After(now) {
			due[rel] = p
			continue
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if len(due) == 0 {
		return nil, next
	}
	c.addAncestors(due)
	split := c.splitBelow(due)
	for rel, p := range due {
		delete(c.waiting, rel)
		if p.written() && p.look.kind == kindFile && !p.look.sameContent(p.known) {
			c.told[rel] = p.look
		}
	}
	return outcomes(due, split), next
}

// dueAt is when p may leave, as far as one can tell now.
func (c *coalescer) dueAt(files *glance, rel string, p *pending, now time.Time) time.Time {
	limit := p.first.Add(c.maxWait)
	due := p.last.Add(c.debounce)
	if due.After(limit) {
		due = limit
	}
	if !p.written() {
		return due
	}
	if begin := due.Add(-stableFor); now.Before(begin) {
		return begin
	}
	next, there := sample(files, rel, p, now)
	switch {
	case !there && now.Before(limit):
		return now.Add(stablePoll)
	case !there:
		return now.Add(gonePoll) // the snapshot will hear of it and settle this
	case !now.Before(limit), next.IsZero():
		return due
	case next.After(limit):
		return limit
	default:
		return next
	}
}

// sample looks at the file if the last look is old enough. It returns when to
// look again, the zero time once the file is stable.
func sample(files *glance, rel string, p *pending, now time.Time) (next time.Time, there bool) {
	if !p.sampled.IsZero() && now.Sub(p.sampled) < stablePoll {
		return p.nextSample(), true
	}
	m, err := files.stat(rel)
	if isVanished(err) || err == nil && m.kind != kindFile {
		p.sampled = time.Time{}
		return time.Time{}, false
	}
	if p.sampled.IsZero() || m.size != p.look.size || m.mtime != p.look.mtime {
		p.held = now
	}
	p.look, p.sampled = m, now
	return p.nextSample(), true
}

// addAncestors makes directories due that must be reported before something
// within them.
func (c *coalescer) addAncestors(due map[string]*pending) {
	var above []string
	for rel, p := range due {
		if p.now == kindNone {
			continue
		}
		for dir := dirOf(rel); dir != ""; dir = dirOf(dir) {
			if a := c.waiting[dir]; a != nil && a.now == kindDir && a.leavesCreation() {
				above = append(above, dir)
			}
		}
	}
	for _, dir := range above {
		due[dir] = c.waiting[dir]
	}
}

// splitBelow returns what lies beneath directories whose deletion is due and
// was reported before: it must be reported as deleted first. What is there
// again stays open, as a creation.
func (c *coalescer) splitBelow(due map[string]*pending) map[string]kind {
	deleted := map[string]bool{}
	for rel, p := range due {
		if p.was == kindDir && p.leavesDeletion() {
			deleted[rel] = true
		}
	}
	split := map[string]kind{}
	if len(deleted) == 0 {
		return split
	}
	for rel, p := range c.waiting {
		if p.was == kindNone || !hasAncestor(rel, deleted) {
			continue
		}
		split[rel] = p.was
		p.was, p.replaced = kindNone, false
		if p.now == kindNone {
			delete(c.waiting, rel)
			delete(due, rel)
		}
	}
	return split
}

func hasAncestor(rel string, dirs map[string]bool) bool {
	for dir := dirOf(rel); dir != ""; dir = dirOf(dir) {
		if dirs[dir] {
			return true
		}
	}
	return false
}

// outcomes puts deletions, deepest first, before the rest, highest first.
// split holds deletions besides those of due.
func outcomes(due map[string]*pending, split map[string]kind) []outcome {
	var gone, there []outcome
	for rel, was := range split {
		gone = append(gone, outcome{rel, Deleted, was == kindDir})
	}
	for rel, p := range due {
		if p.leavesDeletion() {
			gone = append(gone, outcome{rel, Deleted, p.was == kindDir})
		}
		switch {
		case p.leavesCreation():
			there = append(there, outcome{rel, Created, p.now == kindDir})
		case p.now != kindNone && p.now != kindDir:
			there = append(there, outcome{rel, Modified, false})
		}
	}
	slices.SortFunc(gone, func(a, b outcome) int {
		return cmp.Or(level(b.path)-level(a.path), cmp.Compare(a.path, b.path))
	})
	slices.SortFunc(there, func(a, b outcome) int {
		return cmp.Or(level(a.path)-level(b.path), cmp.Compare(a.path, b.path))
	})
	return append(gone, there...)
}
