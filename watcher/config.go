package watcher

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// What a zero Config means.
const (
	DefaultDebounce      = 300 * time.Millisecond
	DefaultMaxWait       = 2 * time.Second
	DefaultDepth         = 10
	DefaultRetryAttempts = 3
	DefaultRetryInitial  = time.Second
)

// Config says what to watch and where the events go.
type Config struct {
	// Session is the id of the session that the events belong to.
	Session string

	// Dir is the directory, as an absolute path.
	Dir string

	// Beneath is the directory that Dir must be beneath once its links are
	// resolved, or be itself, as an absolute path; empty where Dir is trusted.
	// At the start and at every later look Dir is reached from there, through
	// directories only, so that a link that takes the place of one is not
	// followed. Where it is elsewhere the watcher fails with ErrNotBeneath.
	Beneath string

	// Ignore holds doublestar patterns in addition to the default ones. A
	// pattern without a slash is compared with the name of an entry at any
	// depth, one with a slash with the path relative to Dir. A slash at the end
	// restricts a pattern to directories. What lies beneath an ignored
	// directory is ignored with it.
	Ignore []string

	// NoDefaultIgnore drops the patterns of DefaultIgnore.
	NoDefaultIgnore bool

	// Debounce is how long a path must be quiet before its event leaves, and
	// MaxWait how long an event is held back at most. Zero means the defaults.
	Debounce, MaxWait time.Duration

	// Poll is how often the tree is compared with what is known of it, for file
	// systems that do not tell of changes (NFS, SMB, FUSE): an event leaves up to
	// Poll later. Zero means that the kernel's notifications are used.
	Poll time.Duration

	// Depth is the number of directories between Dir and the deepest entry
	// that is reported. Nil means DefaultDepth.
	Depth *int

	// RetryAttempts is how often a failed watcher is started again before it is
	// given up. Nil means DefaultRetryAttempts.
	RetryAttempts *int

	// RetryInitial is the delay of the first attempt; each further one doubles
	// it. Zero means DefaultRetryInitial.
	RetryInitial time.Duration

	// NoAbsolutePaths leaves Path out of events and makes Directory relative
	// to Dir.
	NoAbsolutePaths bool

	// Sink receives the events.
	Sink Sink

	// Logger may be nil.
	Logger *zap.Logger

	// OnState is told of every change of state, one at a time and in order,
	// never under a lock. It may be nil. It must not call Stop, which waits
	// for it.
	OnState func(Status)

	// OnRescan is told of every comparison of the whole tree that made up for
	// lost hints, in order with and under the conditions of OnState.
	OnRescan func(Status)
}

// Validate reports every value that cannot be used, by the name of its field.
func (c Config) Validate() error {
	var errs []error
	if c.Session == "" {
		errs = append(errs, errors.New("session: must not be empty"))
	}
	if !filepath.IsAbs(c.Dir) {
		errs = append(errs, fmt.Errorf("dir: %q is not an absolute path", c.Dir))
	}
	if c.Beneath != "" && !filepath.IsAbs(c.Beneath) {
		errs = append(errs, fmt.Errorf("beneath: %q is not an absolute path", c.Beneath))
	}
	for _, pattern := range c.Ignore {
		if err := validatePattern(pattern); err != nil {
			errs = append(errs, fmt.Errorf("ignore: %q %w", pattern, err))
		}
	}
	if c.Debounce < 0 {
		errs = append(errs, fmt.Errorf("debounce: %s is negative", c.Debounce))
	}
	if c.MaxWait < 0 {
		errs = append(errs, fmt.Errorf("max_wait: %s is negative", c.MaxWait))
	}
	if c.debounce() > c.maxWait() {
		errs = append(errs, fmt.Errorf("max_wait: %s is shorter than debounce %s", c.maxWait(), c.debounce()))
	}
	if c.Poll < 0 {
		errs = append(errs, fmt.Errorf("poll: %s is negative", c.Poll))
	}
	if c.depth() < 0 {
		errs = append(errs, fmt.Errorf("depth: %d is negative", *c.Depth))
	}
	if c.retryAttempts() < 0 {
		errs = append(errs, fmt.Errorf("retry attempts: %d is negative", *c.RetryAttempts))
	}
	if c.RetryInitial < 0 {
		errs = append(errs, fmt.Errorf("retry initial: %s is negative", c.RetryInitial))
	}
	if c.Sink == nil {
		errs = append(errs, errors.New("sink: must not be nil"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("watcher: %w", err)
	}
	return nil
}

func (c Config) debounce() time.Duration     { return orDuration(c.Debounce, DefaultDebounce) }
func (c Config) maxWait() time.Duration      { return orDuration(c.MaxWait, DefaultMaxWait) }
func (c Config) retryInitial() time.Duration { return orDuration(c.RetryInitial, DefaultRetryInitial) }
func (c Config) depth() int                  { return orInt(c.Depth, DefaultDepth) }
func (c Config) retryAttempts() int          { return orInt(c.RetryAttempts, DefaultRetryAttempts) }

func orDuration(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

func orInt(n *int, fallback int) int {
	if n == nil {
		return fallback
	}
	return *n
}
