package watcher

import (
	"errors"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// DefaultIgnore returns the patterns that are ignored unless
// Config.NoDefaultIgnore is set.
func DefaultIgnore() []string {
	return []string{
		"node_modules", ".git", "__pycache__", "*.pyc", ".env", ".env.*",
		"dist", "build", ".next", "coverage", ".vscode", ".idea",
	}
}

// ignorer decides which entries do not exist for a watcher. It is asked from
// the root downwards, so what lies beneath an ignored directory never reaches
// it.
type ignorer struct {
	names map[string]bool // whole names; true: directories only
	globs []glob
	all   bool // everything is ignored, the root as well
}

type glob struct {
	pattern string
	byPath  bool // compared with the relative path, not the name alone
	dirOnly bool
}

func newIgnorer(patterns []string, noDefaults bool) *ignorer {
	ig := &ignorer{names: map[string]bool{}}
	if !noDefaults {
		for _, p := range DefaultIgnore() {
			ig.add(p)
		}
	}
	for _, p := range patterns {
		ig.add(p)
	}
	return ig
}

func (ig *ignorer) add(pattern string) {
	p := strings.TrimSuffix(pattern, "/")
	if pattern == "*" || pattern == "**" || pattern == "**/*" {
		ig.all = true
	}
	g := glob{
		pattern: strings.TrimPrefix(p, "/"),
		byPath:  strings.Contains(p, "/"),
		dirOnly: p != pattern,
	}
	if g.byPath || strings.ContainsAny(p, `*?[]{}\`) {
		ig.globs = append(ig.globs, g)
		return
	}
	if dirOnly, known := ig.names[p]; known && !dirOnly {
		return
	}
	ig.names[p] = g.dirOnly
}

// match reports whether the entry at rel, a path with forward slashes relative
// to the root, is ignored.
func (ig *ignorer) match(rel string, isDir bool) bool {
	name := path.Base(rel)
	if dirOnly, ok := ig.names[name]; ok && (isDir || !dirOnly) {
		return true
	}
	for _, g := range ig.globs {
		if g.dirOnly && !isDir {
			continue
		}
		subject := name
		if g.byPath {
			subject = rel
		}
		if doublestar.MatchUnvalidated(g.pattern, subject) {
			return true
		}
	}
	return false
}

func validatePattern(pattern string) error {
	trimmed := strings.Trim(pattern, "/")
	if trimmed == "" {
		return errors.New("matches nothing")
	}
	if strings.HasPrefix(trimmed, "!") {
		return errors.New(`negates, which is not supported (write \! for a name that begins with an exclamation mark)`)
	}
	if !doublestar.ValidatePattern(trimmed) {
		return errors.New("is not a valid glob")
	}
	return nil
}
