package lifeline

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/watcher"
)

// status is what operators are shown of a watcher.
func (w *watched) status() watcher.Status {
	if running := w.ready(); running != nil {
		return running.Status()
	}
	return watcher.Status{Session: w.settings.Session, Root: w.settings.Dir, State: watcher.StateStarting}
}

// shown is what the readers of a session are shown: the name of the directory, and
// not where it is.
func (w *watched) shown() watcher.Status {
	st := w.status()
	st.LastError = w.withoutPaths(st.LastError)
	st.Root = filepath.Base(w.settings.Dir)
	return st
}

// withoutPaths is an error text for readers who are not to know where the directory
// is: its paths are relative.
func (w *watched) withoutPaths(text string) string {
	for _, dir := range []string{w.settings.Dir, resolve(w.settings.Dir), w.place.Root} {
		if dir != "" && dir != "/" {
			text = strings.ReplaceAll(text, dir, ".")
		}
	}
	return text
}

// health answers the state of every watcher for the health page.
func (ws *watchers) health() (states []events.WatcherState) {
	for _, w := range ws.list() {
		if state, err := json.Marshal(w.shown()); err == nil {
			states = append(states, events.WatcherState{Session: w.settings.Session, State: state})
		}
	}
	return states
}

// statuses are those of all watchers, for operators.
func (ws *watchers) statuses() []watcher.Status {
	list := ws.list()
	all := make([]watcher.Status, 0, len(list))
	for _, w := range list {
		all = append(all, w.status())
	}
	return all
}
