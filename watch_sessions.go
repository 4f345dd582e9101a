package lifeline

import (
	"fmt"

	"github.com/actionflows/lifeline/events"
)

// Look implements events.Directories.
func (ws *watchers) Look(cwd string) (events.Place, *events.NotWatched) {
	ws.mu.Lock()
	places := ws.places
	ws.mu.Unlock()
	return places.look(cwd)
}

// Begin implements events.Directories.
func (ws *watchers) Begin(session string, at events.Place) (ready <-chan struct{}, no *events.NotWatched) {
	if no := ws.admit(session, at); no != nil {
		return nil, no
	}
	if !ws.kept.add(session, maxWatchedSessions) {
		return nil, &events.NotWatched{
			Reason:  events.NotWatchedFull,
			Message: fmt.Sprintf("%d sessions are watched, which is as many as may be; end or delete one", maxWatchedSessions),
		}
	}
	w := ws.begin(Watch{Session: session, Dir: at.Dir, Ignore: []string{".ssh"}}, at)
	if w == nil {
		return nil, &events.NotWatched{Reason: events.NotWatchedElsewhere, Message: "the hub is shutting down"}
	}
	return w.started, nil
}

// admit answers why a client's session cannot be watched just now.
func (ws *watchers) admit(session string, at events.Place) *events.NotWatched {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.running[session]; w != nil && !w.ofClient() && resolve(w.settings.Dir) != at.Dir {
		return &events.NotWatched{Reason: "configured", Message: "the configuration has this session watch another directory"}
	}
	if place, no := ws.places.hold(at.Dir); no != nil { // the configuration may have changed since Look
		return no
	} else if place != at {
		return outsideRoots
	}
	return nil
}

// End implements events.Directories. What a watch line has begun goes on.
func (ws *watchers) End(session string) (was events.Place, watched bool) {
	ws.kept.remove(session)
	ws.mu.Lock()
	w := ws.running[session]
	ws.mu.Unlock()
	if w == nil || !w.ofClient() || !ws.take(w) {
		return events.Place{}, false
	}
	w.stop()
	return w.place, true
}

// Watched implements events.Directories.
func (ws *watchers) Watched(session string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.running[session] != nil
}

var _ events.Directories = (*watchers)(nil)
