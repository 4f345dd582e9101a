package lifeline

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/actionflows/lifeline/events"
)

// Why a client's directory is not watched; docs/watcher.md says what to do.
var (
	noWatchRoot = &events.NotWatched{
		Reason:  "no_watch_root",
		Message: "this hub watches no directories of clients; its configuration has no watch_root",
	}
	outsideRoots = &events.NotWatched{
		Reason:  "outside",
		Message: "the directory is not beneath a watch_root of this hub",
	}
	neverWatched = &events.NotWatched{
		Reason:  "refused",
		Message: "this directory is never watched: system directories, .ssh and the server's own data are not for clients",
	}
	missingDir = &events.NotWatched{
		Reason:  "missing",
		Message: "the directory does not exist, or cannot be reached",
	}
	notDirectory = &events.NotWatched{
		Reason:  "not_a_directory",
		Message: "this is a file, not a directory",
	}
)

// systemDirs are refused with all that is in them.
var systemDirs = []string{"/proc", "/sys", "/dev", "/etc", "/boot"}

// places decides which directories clients may have watched.
type places struct {
	roots []string // those of watch_root, absolute
	// own are directories of the server itself, without links. Watching what it
	// writes events to would make an event of each event.
	own []string
}

func newPlaces(roots, own []string) *places {
	p := &places{roots: roots}
	for _, dir := range own {
		p.own = append(p.own, resolve(dir))
	}
	return p
}

// resolve is a path without symbolic links as far as it exists.
func resolve(path string) string {
	if dir, err := filepath.EvalSymlinks(path); err == nil {
		return dir
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolve(parent), filepath.Base(path))
}

// isBeneath reports whether a path is a directory or in it; both have no links.
func isBeneath(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// look decides about the directory that a client has named. Where it is not beneath
// a watch_root, the answer is the same whatever is there.
func (p *places) look(cwd string) (events.Place, *events.NotWatched) {
	if len(p.roots) == 0 {
		return events.Place{}, noWatchRoot
	}
	if !filepath.IsAbs(cwd) {
		return events.Place{}, outsideRoots
	}
	dir, err := filepath.EvalSymlinks(cwd)
	if err != nil {
		return events.Place{}, p.unresolved(cwd)
	}
	place, no := p.hold(dir)
	if no != nil {
		return place, no
	}
	if info, err := os.Stat(dir); err != nil {
		return events.Place{}, missingDir
	} else if !info.IsDir() {
		return events.Place{}, notDirectory
	}
	return place, nil
}

// hold decides about a directory without links.
func (p *places) hold(dir string) (events.Place, *events.NotWatched) {
	if len(p.roots) == 0 {
		return events.Place{}, noWatchRoot
	}
	place := events.Place{Dir: dir}
	for _, root := range p.roots {
		root, err := filepath.EvalSymlinks(root)
		if err == nil && isBeneath(dir, root) && len(root) > len(place.Root) {
			place.Root = root
		}
	}
	switch {
	case place.Root == "":
		return events.Place{}, outsideRoots
	case p.refuses(dir):
		return events.Place{}, neverWatched
	}
	return place, nil
}

// refuses reports whether a directory is one of those that are never watched.
func (p *places) refuses(dir string) bool {
	if filepath.Dir(dir) == dir {
		return true
	}
	in := func(other string) bool { return isBeneath(dir, other) }
	isSystem := func(other string) bool { return isBeneath(dir, resolve(other)) }
	isSSH := func(name string) bool { return strings.EqualFold(name, ".ssh") }
	return slices.ContainsFunc(systemDirs, isSystem) || slices.ContainsFunc(p.own, in) ||
		slices.ContainsFunc(strings.Split(dir, string(filepath.Separator)), isSSH)
}

// unresolved says about a path that leads nowhere that it does so only where the
// last directory on the way is beneath a watch_root, and nothing but a plain name
// is missing in it: a link may lead where a client has no business.
func (p *places) unresolved(path string) *events.NotWatched {
	for path = filepath.Clean(path); ; {
		parent := filepath.Dir(path)
		if dir, err := filepath.EvalSymlinks(parent); err == nil {
			if _, no := p.hold(dir); no != nil {
				return no
			}
			if _, err := os.Lstat(filepath.Join(dir, filepath.Base(path))); err == nil {
				return outsideRoots
			}
			return missingDir
		}
		if parent == path {
			return outsideRoots
		}
		path = parent
	}
}

// ownBeneath are globs for the server's own directories beneath dir.
func (p *places) ownBeneath(dir string) (globs []string) {
	dir = resolve(dir)
	for _, own := range p.own {
		if rel, err := filepath.Rel(dir, own); err == nil && rel != "." && filepath.IsLocal(rel) {
			globs = append(globs, "/"+escapeGlob.Replace(filepath.ToSlash(rel)))
		}
	}
	return globs
}

// escapeGlob has a name mean itself in a glob.
var escapeGlob = strings.NewReplacer(
	`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, "{", `\{`, "}", `\}`, "!", `\!`,
)
