package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// Directories watches the directories of sessions that clients create. The hub
// knows nothing of files: it says which session is to be watched, until when, and
// tells the client what came of it. All methods are safe for concurrent use; those
// that name a session are called with the session's lock, one at a time.
type Directories interface {
	// Look decides whether a directory may be watched. It reads the file system,
	// which may take long, and is called without a lock.
	Look(cwd string) (Place, *NotWatched)
	// Begin has a session's directory watched until End. It does not wait: ready
	// is closed when what changes from then on becomes events. One that is
	// watched already goes on.
	Begin(session string, at Place) (ready <-chan struct{}, no *NotWatched)
	// End ends that, also of what was watched before this process: when it
	// returns no event of it comes any more. It answers where it was, if it was.
	End(session string) (was Place, watched bool)
	// Watched reports whether a session's directory is watched.
	Watched(session string) bool
}

// Place is a directory that may be watched.
type Place struct {
	Dir  string // absolute, and without symbolic links
	Root string // the one that it must stay beneath, the same
}

// NotWatched says why the directory of a session is not watched. It tells nothing
// about places that clients have no business with, not even whether they exist.
type NotWatched struct {
	Reason  string // a word for programs, see docs/watcher.md
	Message string // for people
}

// The reasons that the hub itself has or needs to know.
const (
	// NotWatchedEnded: the session has a final status.
	NotWatchedEnded = "ended"
	// NotWatchedElsewhere: this server does not watch it, though it might.
	NotWatchedElsewhere = "not_here"
	// NotWatchedFull: as many are watched as may be.
	NotWatchedFull = "full"
)

// maxCwd is how long the directory of a session may be, in bytes: no system takes
// a longer path.
const maxCwd = 4096

// checkCwd refuses what is a path on no system. A client may be on another one
// than the hub, so nothing else is asked of it.
func checkCwd(cwd string) error {
	switch {
	case len(cwd) > maxCwd:
		return &storage.FieldError{Field: "cwd", Problem: fmt.Sprintf("must be at most %d bytes long", maxCwd)}
	case strings.ContainsRune(cwd, 0):
		return &storage.FieldError{Field: "cwd", Problem: "must not contain a NUL character"}
	}
	return nil
}

// look is the decision about the directory of a session that a client has named.
type look struct {
	place Place
	no    *NotWatched
	named bool // there is one
}

func (h *Hub) look(cwd string) (l look) {
	if h.cfg.Directories == nil || cwd == "" {
		return l
	}
	l.named = true
	l.place, l.no = h.cfg.Directories.Look(cwd)
	return l
}

// beginWatch is called with the session's lock. ready is nil where nothing begins.
func (h *Hub) beginWatch(s storage.Session, l look) (ready <-chan struct{}, no *NotWatched) {
	switch {
	case !l.named || l.no != nil:
		return nil, l.no
	case storage.FinalStatus(s.Status):
		return nil, &NotWatched{NotWatchedEnded, "the session has ended"}
	}
	ready, no = h.cfg.Directories.Begin(s.ID, l.place)
	if no != nil && no.Reason == NotWatchedFull {
		h.meet(LimitWatched)
	}
	return ready, no
}

// watchState is why the directory of a session that has a record is not watched,
// or nil.
func (h *Hub) watchState(s storage.Session, l look) *NotWatched {
	switch {
	case h.cfg.Directories.Watched(s.ID):
		return nil
	case l.no != nil:
		return l.no
	case storage.FinalStatus(s.Status):
		return &NotWatched{NotWatchedEnded, "the session has ended"}
	}
	return &NotWatched{NotWatchedElsewhere, "this server does not watch the directory of this session"}
}

// endWatch is called with the session's lock. resume begins the watch again, if
// there was one, for when what ended the session has failed.
func (h *Hub) endWatch(session string) (resume func()) {
	if h.cfg.Directories == nil {
		return func() {}
	}
	place, watched := h.cfg.Directories.End(session)
	return func() {
		if watched {
			_, _ = h.cfg.Directories.Begin(session, place)
		}
	}
}

// RefreshWatch has the directory of a session watched as its record says: begun
// where it is not watched and the session goes on, ended with it. over: the session
// has ended, or has no record any more. no says why it is not watched.
func (h *Hub) RefreshWatch(ctx context.Context, session string) (over bool, no *NotWatched, err error) {
	over, _, no, err = h.refreshWatch(ctx, session)
	return over, no, err
}

// refreshWatch is RefreshWatch. ready is nil where nothing begins.
func (h *Hub) refreshWatch(ctx context.Context, session string) (over bool, ready <-chan struct{}, no *NotWatched, err error) {
	s, err := h.store().SessionRecord(ctx, session)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return false, nil, nil, err //nolint:wrapcheck // says itself what it is about
	}
	l := h.look(s.Cwd) // before the lock
	unlock, err := h.owners.lock(ctx, session)
	if err != nil {
		return false, nil, nil, err
	}
	defer unlock()
	s, err = h.store().SessionRecord(ctx, session)
	switch {
	case errors.Is(err, storage.ErrNotFound), err == nil && storage.FinalStatus(s.Status):
		h.endWatch(session)
		return true, nil, nil, nil
	case err != nil:
		return false, nil, nil, err //nolint:wrapcheck // see above
	case h.cfg.Directories == nil || h.cfg.Directories.Watched(session):
		return false, nil, nil, nil
	}
	ready, no = h.beginWatch(s, l)
	return false, ready, no, nil
}

// EnsureSession writes the record of a session that has none.
func (h *Hub) EnsureSession(ctx context.Context, s storage.Session) error {
	unlock, err := h.owners.lock(ctx, s.ID)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = h.store().SessionRecord(ctx, s.ID)
	if !errors.Is(err, storage.ErrNotFound) {
		return err //nolint:wrapcheck // says itself what it is about
	}
	_, err = h.setSession(ctx, s)
	return err
}

// memberWatcher is what the answer to the creation of a session says about its
// directory. It is no part of the record.
const memberWatcher = "watcher"

type watcherAnswer struct {
	Watching bool   `json:"watching"`
	Reason   string `json:"reason,omitempty"`
	Message  string `json:"message,omitempty"`
}

// tellWatch adds to the answer whether the directory is watched.
func tellWatch(s storage.Session, l look, no *NotWatched) storage.Session {
	if !l.named {
		return s
	}
	a := watcherAnswer{Watching: no == nil}
	if no != nil {
		a.Reason, a.Message = no.Reason, no.Message
	}
	extra := maps.Clone(s.Extra)
	if extra == nil {
		extra = make(storage.Extra, 1)
	}
	extra[memberWatcher] = json.RawMessage(appendJSON(nil, a))
	s.Extra = extra
	return s
}
