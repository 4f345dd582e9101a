package storage

import "time"

// Storage is every operation on what the hub keeps. All methods are safe for
// concurrent use and return promptly once ctx is done. What they answer when
// something is wrong:
//
//   - a [FieldError]: the caller's input; nothing was changed
//   - an error that wraps [ErrNotFound]: there is no such record
//   - an [UnavailableError]: try again later
//
// The connections of clients are no part of it: they belong to a node, and the hub
// knows them (events.Hub.Clients).
type Storage interface {
	Sessions
	Events
	Chains
	Commands
	Inputs
	Windows
	Frequencies
	Bookmarks
	Patterns
	Harmony
	Dossiers
	Suggestions
	PubSub
}

// Store is the typed operations over a driver. It holds nothing but its
// settings and is safe for concurrent use.
type Store struct {
	Driver  Driver
	History History
	// MaxSessions is how many sessions have a record; 0: DefaultMaxSessions.
	MaxSessions int
	// Census bounds how many sessions have events and no record; nil: nothing does.
	Census *Census
}

var _ Storage = (*Store)(nil)

// The collections, and the indexes of their documents.
const (
	collSessions    = "sessions"
	collChains      = "chains"
	collCommands    = "commands"
	collFollows     = "follows"
	collWindows     = "windows"
	collFrequencies = "frequencies"
	collBookmarks   = "bookmarks"
	collPatterns    = "patterns"
	collDossiers    = "dossiers"
	collSuggestions = "suggestions"

	indexSession  = "session"
	indexUser     = "user"
	indexStatus   = "status"
	indexActive   = "active" // sessions with a user and without a final status, all with the value ""
	indexCategory = "category"
	indexProject  = "project"
)

// retention is how long records last that are about a session but are kept apart
// from it, and daily counts: sessions come and go, and without an end these would
// grow for ever.
const retention = 90 * 24 * time.Hour
