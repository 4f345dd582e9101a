package watcher

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Change types of events.
const (
	Created  = "created"
	Modified = "modified"
	Deleted  = "deleted"
)

// timestampLayout is RFC 3339 in UTC with microseconds.
const timestampLayout = "2006-01-02T15:04:05.000000Z"

// Event is one change of one entry. Paths have forward slashes; bytes of names
// that are not UTF-8 are replaced by U+FFFD, so that an event is always valid
// JSON.
type Event struct {
	// ID is a UUID of version 7; ids grow within a process.
	ID string `json:"id"`

	// Type is "file:" and the change type.
	Type string `json:"type"`

	SessionID string `json:"sessionId"`

	// Timestamp is when the event left the watcher, in UTC with microseconds.
	Timestamp string `json:"timestamp"`

	// Path is absolute; empty with Config.NoAbsolutePaths.
	Path string `json:"path,omitempty"`

	// RelativePath is relative to the root.
	RelativePath string `json:"relativePath"`

	// StepNumber is null; a Sink that knows the steps of the session sets it.
	StepNumber *int `json:"stepNumber"`

	// Directory is the directory that contains the entry: absolute, or relative
	// to the root ("." for the root) with Config.NoAbsolutePaths.
	Directory string `json:"directory"`

	// Extension is that of the name with its dot, such as ".go". It is empty
	// for directories and for names whose only dot comes first.
	Extension string `json:"extension"`

	// ChangeType is Created, Modified or Deleted.
	ChangeType string `json:"changeType"`

	IsDirectory bool `json:"isDirectory"`
}

// Sink receives the events of a watcher, in order and from one goroutine. It
// must return when ctx is done, as Stop waits for it.
//
// An event that it refuses with an error is offered again after 100, 200, 400,
// 800 and 1600 ms. If it is refused even then, it is dropped with an error log
// and the next one follows. Meanwhile changes are merged per path, so a slow or
// failing sink costs memory for distinct paths only.
type Sink func(ctx context.Context, ev Event) error

// eventMaker gives outcomes of the coalescer their form as events.
type eventMaker struct {
	session    string
	dir        string // absolute, with forward slashes
	noAbsolute bool
	last       time.Time
}

func newEventMaker(c Config) *eventMaker {
	return &eventMaker{
		session:    c.Session,
		dir:        filepath.ToSlash(filepath.Clean(c.Dir)),
		noAbsolute: c.NoAbsolutePaths,
	}
}

// event makes an event of o, stamped now or, where the clock went back, like
// the event before it.
func (m *eventMaker) event(o outcome, now time.Time) (Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Event{}, fmt.Errorf("event id: %w", err)
	}
	if now.After(m.last) {
		m.last = now
	}
	rel := strings.ToValidUTF8(o.path, "\uFFFD")
	ev := Event{
		ID:           id.String(),
		Type:         "file:" + o.change,
		SessionID:    m.session,
		Timestamp:    m.last.UTC().Format(timestampLayout),
		RelativePath: rel,
		Directory:    path.Dir(rel),
		ChangeType:   o.change,
		IsDirectory:  o.isDir,
	}
	if !o.isDir {
		ev.Extension = extension(rel)
	}
	if !m.noAbsolute {
		ev.Path = strings.ToValidUTF8(path.Join(m.dir, rel), "\uFFFD")
		ev.Directory = path.Dir(ev.Path)
	}
	return ev, nil
}

func extension(rel string) string {
	name := path.Base(rel)
	if strings.LastIndexByte(name, '.') <= 0 {
		return ""
	}
	return path.Ext(name)
}
