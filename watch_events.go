package lifeline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/actionflows/lifeline/events"
	"github.com/actionflows/lifeline/watcher"
)

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

// stateTeller makes events of what a reader of the session should know: that
// changes are no longer seen, may be late, or are seen again. The watcher calls it
// for one state after the other.
type stateTeller struct {
	ws       *watchers
	watched  *watched
	started  bool // at least once
	troubled bool // degraded, or failed, and said so
	failed   bool // the latter
}

func (t *stateTeller) tell(st watcher.Status) {
	switch st.State {
	case watcher.StateStarting:
		if t.started {
			t.ws.restarts.Add(1)
		}
		t.started = true
	case watcher.StateFailed:
		t.troubled, t.failed = true, true
		t.event("watcher:failed", st)
		t.emit(eventWatcherFailed, st)
	case watcher.StateDegraded:
		t.troubled = true
		t.event("watcher:degraded", st)
	case watcher.StateWatching:
		t.working(st)
	default: // retrying is no reader's concern yet, stopped nobody's any more
	}
}

// rescanned is told of comparisons that made up for lost hints.
func (t *stateTeller) rescanned(st watcher.Status) { t.event("watcher:rescanned", st) }

func (t *stateTeller) working(st watcher.Status) {
	if t.troubled {
		t.event("watcher:recovered", st)
	}
	if t.failed {
		t.emit(eventWatcherRecovered, st)
	}
	t.troubled, t.failed = false, false
}

// event publishes it in the session.
func (t *stateTeller) event(kind string, st watcher.Status) {
	switch {
	case kind == "watcher:rescanned" || kind == "watcher:recovered":
		st.LastError = "" // it is over
	case t.watched.settings.AbsolutePathsOff:
		st.LastError = t.watched.withoutPaths(st.LastError)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := t.publish(ctx, kind, st); err != nil {
		t.ws.rt.logger.Error("event about the watcher", sourceWatcher,
			zapSession(st.Session), zap.String("type", kind), zap.Error(err))
	}
}

func (t *stateTeller) publish(ctx context.Context, kind string, st watcher.Status) error {
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
	_, err = t.ws.rt.hub.Load().Publish(ctx, events.Event{
		Session: st.Session, ID: e.ID, Type: kind, Data: data, Source: events.SourceWatcher,
	})
	return err
}

// emit tells Caddy's events app.
func (t *stateTeller) emit(name string, st watcher.Status) {
	data := map[string]any{"hub": t.ws.rt.name, "session": st.Session, "root": st.Root, "attempts": st.Attempts}
	if st.LastError != "" {
		data["error"] = st.LastError
	}
	t.ws.rt.telemetry.emitter.add(name, data)
}
