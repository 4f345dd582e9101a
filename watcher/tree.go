package watcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Why a root cannot be used.
var (
	errRootGone = errors.New("the watched directory does not exist or was replaced")

	// ErrNotBeneath is wrapped by the error of a watcher whose directory, once
	// its links are resolved, is not beneath Config.Beneath.
	ErrNotBeneath = errors.New("the directory is not beneath the one that it must be beneath")
)

// tree is the root, opened for one look. What is in it is reached relative to
// it, so that no link leads a look elsewhere, whenever it is made. A tree is
// closed after the look: an open directory keeps its file system from being
// unmounted.
type tree struct {
	root *os.Root
	id   fileID

	dir *os.Root // the directory at at, opened last; nil: none
	at  string
}

// entry is one entry of a directory.
type entry struct {
	name string
	meta meta
}

// resolveRoot returns dir without links, which must be beneath the directory
// beneath if there is one.
func resolveRoot(dir, beneath string) (string, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if isVanished(err) {
		return "", fmt.Errorf("%w: %s", errRootGone, dir)
	}
	if err != nil {
		return "", fmt.Errorf("root: %w", err)
	}
	if beneath == "" {
		return resolved, nil
	}
	above, err := filepath.EvalSymlinks(beneath)
	if err != nil {
		return "", fmt.Errorf("root: %w", err)
	}
	if rel, err := filepath.Rel(above, resolved); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%w: %s, beneath %s", ErrNotBeneath, dir, beneath) // not what it leads to: a client may read this
	}
	return resolved, nil
}

// openTree opens the directory at root, which is resolved. An error wraps
// errRootGone where it is not there, or where a link has taken its place or
// that of a directory above it. With beneath it is reached from there, step by
// step, through directories only.
func openTree(root, beneath string) (*tree, error) {
	resolved, err := filepath.EvalSymlinks(root)
	switch {
	case isVanished(err):
		return nil, fmt.Errorf("%w: %s", errRootGone, root)
	case err != nil:
		return nil, fmt.Errorf("root: %w", err)
	case resolved != root:
		return nil, fmt.Errorf("%w: a link leads from %s elsewhere", errRootGone, root)
	}
	r, err := openRoot(root, beneath)
	if isVanished(err) {
		return nil, fmt.Errorf("%w: %w", errRootGone, err)
	}
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	info, err := r.Stat(".")
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("root: %w", err)
	}
	return &tree{root: r, id: metaOf(info).id}, nil
}

func openRoot(root, beneath string) (*os.Root, error) {
	if beneath == "" {
		return os.OpenRoot(root)
	}
	above, err := filepath.EvalSymlinks(beneath)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(above, root)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, fmt.Errorf("%w: %s, beneath %s", ErrNotBeneath, root, beneath)
	}
	at, err := os.OpenRoot(above)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(rel, string(filepath.Separator)) {
		next, err := openStep(at, name)
		_ = at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// openStep opens the directory name in at. A link is no directory, even one that
// leads to a place within at.
func openStep(at *os.Root, name string) (*os.Root, error) {
	next, err := at.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	opened, err := next.Stat(".")
	if err == nil {
		var there fs.FileInfo
		if there, err = at.Lstat(name); err == nil && !os.SameFile(opened, there) {
			err = fmt.Errorf("%s is a link or was replaced: %w", name, fs.ErrNotExist)
		}
	}
	if err != nil {
		_ = next.Close()
		return nil, err
	}
	return next, nil
}

func (t *tree) close() {
	t.closeDir()
	_ = t.root.Close()
}

func (t *tree) closeDir() {
	if t.dir != nil {
		_ = t.dir.Close()
		t.dir = nil
	}
}

// open opens the directory at rel, the root being empty, until another one is
// opened. It is not there where something else than directories leads to it.
func (t *tree) open(rel string) (*os.Root, error) {
	if rel == "" {
		return t.root, nil
	}
	if t.dir != nil && t.at == rel {
		return t.dir, nil
	}
	t.closeDir()
	dir, err := t.root.OpenRoot(filepath.FromSlash(rel)) // opens directories only, and so never waits for a pipe
	if err != nil {
		if !isVanished(err) && t.barred(rel) {
			err = &fs.PathError{Op: "open", Path: rel, Err: fs.ErrNotExist}
		}
		return nil, err
	}
	t.dir, t.at = dir, rel
	return dir, nil
}

// stat looks at the entry at rel.
func (t *tree) stat(rel string) (meta, error) {
	dir, err := t.open(dirOf(rel))
	if err != nil {
		return meta{}, err
	}
	began := fileClock()
	info, err := dir.Lstat(path.Base(rel))
	if err != nil {
		return meta{}, err
	}
	return metaOf(info).at(began), nil
}

// barred reports whether rel or something above it is no directory.
func (t *tree) barred(rel string) bool {
	for i := range len(rel) + 1 {
		if i < len(rel) && rel[i] != '/' {
			continue
		}
		if info, err := t.root.Lstat(filepath.FromSlash(rel[:i])); err != nil || !info.IsDir() {
			return err == nil || isVanished(err)
		}
	}
	return false
}

// read lists the directory at rel, the root being empty, and says which
// directory that was. Entries that vanish meanwhile are left out.
func (t *tree) read(rel string) (id fileID, entries []entry, err error) {
	t.closeDir() // it may have been opened before it was replaced
	dir, err := t.open(rel)
	if err != nil {
		return fileID{}, nil, err
	}
	file, err := dir.Open(".")
	if err != nil {
		return fileID{}, nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fileID{}, nil, err
	}
	began := fileClock()
	list, err := file.ReadDir(-1)
	if err != nil {
		return fileID{}, nil, err
	}
	entries = make([]entry, 0, len(list))
	for _, e := range list {
		info, err := e.Info() // of the moment of reading, as the directory was opened in a root
		if isVanished(err) {
			continue
		}
		if err != nil {
			return fileID{}, nil, err
		}
		entries = append(entries, entry{e.Name(), metaOf(info).at(began)})
	}
	return metaOf(info).id, entries, nil
}
