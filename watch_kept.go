package lifeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// keptSessions are the clients' sessions that this server watches until they end.
// They stand in a file, so that it does so again after a restart: storage may be
// shared with servers that do not have these directories, or have them too.
type keptSessions struct {
	file string
	log  *zap.Logger

	mu       sync.Mutex // guards what follows, and the file
	sessions map[string]bool
}

// keptFile is what the file holds.
type keptFile struct {
	Sessions []string `json:"sessions"`
}

// openKept reads the file of a hub. One that cannot be read is as if it were empty,
// and says so.
func openKept(hub string, log *zap.Logger) *keptSessions {
	k := &keptSessions{
		file: filepath.Join(caddy.AppDataDir(), "lifeline", hub, "watched-sessions.json"),
		log:  log, sessions: make(map[string]bool),
	}
	var list keptFile
	text, err := os.ReadFile(k.file)
	if errors.Is(err, fs.ErrNotExist) {
		return k
	}
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		log.Error("the sessions that were watched before are not known", zap.String("file", k.file), zap.Error(err))
	}
	for _, session := range list.Sessions[:min(len(list.Sessions), maxWatchedSessions)] {
		k.sessions[session] = true
	}
	return k
}

// list answers the sessions in order.
func (k *keptSessions) list() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.sessions))
}

// add reports whether there is room for a session.
func (k *keptSessions) add(session string, limit int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sessions[session] {
		return true
	}
	if len(k.sessions) >= limit {
		return false
	}
	k.sessions[session] = true
	k.save()
	return true
}

func (k *keptSessions) remove(session string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sessions[session] {
		delete(k.sessions, session)
		k.save()
	}
}

// save is called with mu held. A failure costs only what a restart finds again.
func (k *keptSessions) save() {
	if err := k.write(); err != nil {
		k.log.Error("watched sessions will not all be watched again after a restart",
			zap.String("file", k.file), zap.Error(err))
	}
}

func (k *keptSessions) write() error {
	text, err := json.Marshal(keptFile{slices.Sorted(maps.Keys(k.sessions))})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(k.file), 0o700); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	next := k.file + ".next"
	if err := writeSynced(next, text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := os.Rename(next, k.file); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	return nil
}

// writeSynced writes a file whose content is on the disk when it returns.
func writeSynced(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
