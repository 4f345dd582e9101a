package lifeline

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/watcher"
)

// maxWatchedSessions is how many sessions of clients a hub watches at the same
// time. Watch lines are the operator's, and not counted.
const maxWatchedSessions = 128

// watchers are the watched directories of a hub: those of watch lines, and those of
// sessions that clients have created (watch_sessions.go).
type watchers struct {
	rt   *runtime
	kept *keptSessions

	applying sync.Mutex // held while a configuration is applied, which takes a while
	mu       sync.Mutex // guards what follows
	running  map[string]*watched
	places   *places
	stopped  bool

	keeper   *watchKeeper
	restarts atomic.Uint64 // starts after a failure, of watchers that are gone as well
}

// watched is one directory, by its session.
type watched struct {
	settings Watch
	place    events.Place // of a client's session; zero: of a watch line
	// started is closed when watcher is set, or cannot be.
	started chan struct{}
	watcher *watcher.Watcher
}

func (w *watched) ofClient() bool { return w.place != events.Place{} }

// stop returns when no event comes any more.
func (w *watched) stop() {
	<-w.started
	if w.watcher != nil {
		w.watcher.Stop()
	}
}

// ready answers the watcher, or nil where it is not made yet.
func (w *watched) ready() *watcher.Watcher {
	select {
	case <-w.started:
		return w.watcher
	default:
		return nil
	}
}

func newWatchers(rt *runtime, h *Hub) *watchers {
	ws := &watchers{rt: rt, running: make(map[string]*watched)}
	ws.kept = openKept(rt.name, rt.logger.With(sourceWatcher))
	ws.keeper = newWatchKeeper(ws)
	ws.places = newPlaces(h.WatchRoots, h.ownDirs(rt.name))
	return ws
}

// apply starts, stops and restarts watchers so that they are those of a
// configuration, and of the clients' sessions that it lets be watched; unchanged
// ones go on undisturbed. Each start waits for the first scan, for at most 5 s, and
// they wait together. The sessions of watch lines get their records.
func (ws *watchers) apply(h *Hub) {
	ws.applying.Lock()
	defer ws.applying.Unlock()
	places := newPlaces(h.WatchRoots, h.ownDirs(ws.rt.name))
	ws.warnOfMissing(places)
	ws.mu.Lock()
	ws.places = places
	before := make([]*watched, 0, len(ws.running))
	for _, w := range ws.running {
		before = append(before, w)
	}
	ws.mu.Unlock()
	var pending sync.WaitGroup
	for _, w := range before {
		if !w.remains(h.Watches, places) {
			pending.Go(func() {
				w.stop()
				ws.take(w) // not before: whoever ends the session meanwhile waits for the stop too
			})
		}
	}
	pending.Wait()
	for _, next := range h.Watches {
		if w := ws.begin(*next, events.Place{}); w != nil {
			pending.Go(func() { <-w.started })
		}
	}
	pending.Wait()
	ws.keeper.apply(h.Watches)
}

// remains reports whether a configuration leaves a watch as it is.
func (w *watched) remains(lines []*Watch, places *places) bool {
	for _, line := range lines {
		if line.Session == w.settings.Session {
			return !w.ofClient() && line.same(&w.settings)
		}
	}
	if !w.ofClient() {
		return false
	}
	place, no := places.hold(w.place.Dir)
	return no == nil && place == w.place
}

// warnOfMissing tells of each watch_root that is not there.
func (ws *watchers) warnOfMissing(p *places) {
	for _, root := range p.roots {
		if _, err := filepath.EvalSymlinks(root); err != nil {
			ws.rt.logger.Warn("nothing beneath this watch_root is watched as long as it cannot be reached",
				sourceWatcher, zapDir(root), zap.Error(err))
		}
	}
}

// take removes a watch, unless it is not there any longer.
func (ws *watchers) take(w *watched) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.running[w.settings.Session] != w {
		return false
	}
	delete(ws.running, w.settings.Session)
	ws.followSteps()
	return true
}

// begin starts a watch, unless the session has one, and answers it; nil: the hub is
// ending. It does not wait.
func (ws *watchers) begin(settings Watch, at events.Place) *watched {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.stopped {
		return nil
	}
	if w := ws.running[settings.Session]; w != nil {
		return w
	}
	w := &watched{settings: settings, place: at, started: make(chan struct{})}
	ws.running[settings.Session] = w
	ws.followSteps()
	own := ws.places.ownBeneath(settings.Dir)
	go func() { // whoever takes it out of running waits for it
		defer close(w.started)
		ws.start(w, own)
	}()
	return w
}

// followSteps is called with mu held.
func (ws *watchers) followSteps() {
	sessions := make([]string, 0, len(ws.running))
	for session := range ws.running {
		sessions = append(sessions, session)
	}
	ws.rt.hub.Load().FollowSteps(sessions)
}

func (ws *watchers) start(w *watched, ignore []string) {
	cfg := w.settings.config()
	cfg.Ignore = slices.Concat(cfg.Ignore, ignore)
	cfg.Beneath = w.place.Root
	cfg.Logger = ws.rt.logger // it names its source and session itself
	cfg.Sink = ws.publish
	teller := &stateTeller{ws: ws, watched: w}
	cfg.OnState, cfg.OnRescan = teller.tell, teller.rescanned
	var err error
	if w.watcher, err = watcher.Start(cfg); err != nil { // Provision has checked the settings
		ws.rt.logger.Error("watcher settings", sourceWatcher, zapSession(w.settings.Session), zap.Error(err))
	}
}

// list answers the watches by session.
func (ws *watchers) list() []*watched {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	list := make([]*watched, 0, len(ws.running))
	for _, w := range ws.running {
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b *watched) int {
		return strings.Compare(a.settings.Session, b.settings.Session)
	})
	return list
}

// watches is the number of directories that are watched for all sessions.
func (ws *watchers) watches() (n int) {
	for _, w := range ws.list() {
		if w := w.ready(); w != nil {
			n += w.Status().Watches
		}
	}
	return n
}

// stop ends all watchers; afterwards none publishes any more. What is watched for
// clients is again when the hub comes back.
func (ws *watchers) stop() {
	ws.keeper.stop()
	ws.mu.Lock()
	ws.stopped = true
	ws.mu.Unlock()
	var pending sync.WaitGroup
	for _, w := range ws.list() {
		if ws.take(w) {
			pending.Go(w.stop)
		}
	}
	pending.Wait()
}
