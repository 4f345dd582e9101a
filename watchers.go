package lifeline

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/watcher"
)

// watchers are the watched directories of a hub.
type watchers struct {
	rt *runtime

	applying sync.Mutex // held while watchers start and stop, which takes a while
	mu       sync.Mutex // guards running
	running  map[string]*watched

	restarts atomic.Uint64 // starts after a failure, of watchers that are gone as well
}

// watched is one directory, by its session.
type watched struct {
	settings Watch
	watcher  *watcher.Watcher
}

// status is what readers may know of the watcher.
func (w *watched) status() watcher.Status {
	st := w.watcher.Status()
	if w.settings.AbsolutePathsOff {
		st.LastError = withoutRoot(st.LastError, st.Root)
		st.Root = ""
	}
	return st
}

func newWatchers(rt *runtime) *watchers {
	return &watchers{rt: rt, running: make(map[string]*watched)}
}

// apply starts, stops and restarts watchers so that they are those of list;
// unchanged ones go on undisturbed. Each start waits for the first scan, for at
// most 5 s, and they wait together.
func (ws *watchers) apply(list []*Watch) {
	ws.applying.Lock()
	defer ws.applying.Unlock()
	sessions := make([]string, len(list))
	for i, w := range list {
		sessions[i] = w.Session
	}
	ws.rt.hub.Load().FollowSteps(sessions)
	var pending sync.WaitGroup
	for _, w := range ws.takeUnwanted(list) {
		pending.Go(w.watcher.Stop)
	}
	pending.Wait()
	for _, next := range list {
		if !ws.has(next.Session) {
			pending.Go(func() { ws.start(*next) })
		}
	}
	pending.Wait()
}

// takeUnwanted removes what is not in list, or has other settings there.
func (ws *watchers) takeUnwanted(list []*Watch) (unwanted []*watched) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for session, w := range ws.running {
		same := func(next *Watch) bool { return reflect.DeepEqual(*next, w.settings) }
		if !slices.ContainsFunc(list, same) {
			unwanted = append(unwanted, w)
			delete(ws.running, session)
		}
	}
	return unwanted
}

func (ws *watchers) has(session string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.running[session] != nil
}

func (ws *watchers) start(settings Watch) {
	cfg := settings.config()
	cfg.Logger = ws.rt.logger // it names its source and session itself
	cfg.Sink = ws.publish
	cfg.OnState = ws.tellState(settings.AbsolutePathsOff)
	w, err := watcher.Start(cfg)
	if err != nil { // Provision has checked the settings
		ws.rt.logger.Error("watcher settings", sourceWatcher, zapSession(settings.Session), zap.Error(err))
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.running[settings.Session] = &watched{settings: settings, watcher: w}
}

// tellState answers a hook that makes events of what a reader of the session
// should know: that changes are no longer seen, may be late, or are seen again.
func (ws *watchers) tellState(noPaths bool) func(watcher.Status) {
	lost := false    // failed or degraded, and said so
	started := false // at least once
	return func(st watcher.Status) {
		var kind string
		switch {
		case st.State == watcher.StateStarting:
			if started {
				ws.restarts.Add(1)
			}
			started = true
			return
		case st.State == watcher.StateFailed:
			kind, lost = "watcher:failed", true
		case st.State == watcher.StateDegraded:
			kind, lost = "watcher:degraded", true
		case st.State == watcher.StateWatching && lost:
			kind, lost = "watcher:recovered", false
		default:
			return
		}
		if noPaths {
			st.LastError = withoutRoot(st.LastError, st.Root)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := ws.publishState(ctx, kind, st); err != nil {
			ws.rt.logger.Error("event about the watcher", sourceWatcher, zap.String("type", kind), zap.Error(err))
		}
	}
}

// withoutRoot is an error text whose paths are relative, for readers who are not
// to know where the directory is.
func withoutRoot(text, root string) string { return strings.ReplaceAll(text, root, ".") }

func (ws *watchers) publishState(ctx context.Context, kind string, st watcher.Status) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make event id: %w", err)
	}
	e := struct {
		ID        string `json:"id"`
		Type      string `json:"type"`
		SessionID string `json:"sessionId"`
		Timestamp string `json:"timestamp"`
		Attempts  int    `json:"attempts"`
		Error     string `json:"error,omitempty"`
	}{id.String(), kind, st.Session, time.Now().UTC().Format(time.RFC3339Nano), st.Attempts, st.LastError}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode watcher event: %w", err)
	}
	_, err = ws.rt.hub.Load().Publish(ctx, events.Event{
		Session: st.Session, ID: e.ID, Type: kind, Data: data, Source: events.SourceWatcher,
	})
	return err
}

// publish is the sink of every watcher.
func (ws *watchers) publish(ctx context.Context, e watcher.Event) error {
	hub := ws.rt.hub.Load()
	e.StepNumber = hub.ActiveStep(e.SessionID)
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode file event: %w", err)
	}
	_, err = hub.Publish(ctx, events.Event{
		Session: e.SessionID, ID: e.ID, Type: e.Type, Data: data, Source: events.SourceWatcher,
	})
	return err
}

// json answers the state of every watcher, by session.
func (ws *watchers) json() []json.RawMessage {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	list := make([]watcher.Status, 0, len(ws.running))
	for _, w := range ws.running {
		list = append(list, w.status())
	}
	slices.SortFunc(list, func(a, b watcher.Status) int {
		return strings.Compare(a.Session, b.Session)
	})
	return marshalAll(list)
}

// watches is the number of directories that are watched for all sessions.
func (ws *watchers) watches() (n int) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.running {
		n += w.watcher.Status().Watches
	}
	return n
}

// stop ends all watchers; afterwards none publishes any more.
func (ws *watchers) stop() {
	ws.apply(nil)
}
