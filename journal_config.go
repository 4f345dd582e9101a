package lifeline

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Journal is the setting of the journal in front of a remote storage; zero values
// are its defaults.
type Journal struct {
	// Keep it in memory, 64 MiB at most: what waits while the storage is away is
	// lost with the process. Not together with another setting. Default: off only
	// if this says so.
	Off bool `json:"off,omitempty"`
	// The directory; relative ones are against the working directory. Two hubs
	// cannot share one. Default: lifeline/<hub>/journal in Caddy's data directory.
	Dir string `json:"dir,omitempty"`
	// The most bytes it holds, stored and waiting, estimated: data, ids and 512
	// bytes for each event. Stored ones give way first; when the rest is full,
	// events are refused. Default: 1 GiB.
	MaxSize int64 `json:"max_size,omitempty"`
	// How long stored events are kept for a storage that comes back without them,
	// as far as max_size allows. Default: 1h.
	Retain caddy.Duration `json:"retain,omitempty"`
}

// provisionJournal gives a hub before a remote storage its journal, off or in a directory,
// and refuses the setting where there is none.
func (h *Hub) provisionJournal(hub string) error {
	if !h.info.Remote {
		if h.Journal != nil {
			return fmt.Errorf("journal: the %s storage has none; it stands only in front of a remote storage", h.info.Driver)
		}
		return nil
	}
	if h.Journal == nil {
		h.Journal = new(Journal)
	}
	return h.Journal.provision(hub)
}

func (j *Journal) provision(hub string) (err error) {
	switch {
	case j.Off && *j != Journal{Off: true}:
		return errors.New("journal: off and another setting exclude each other; a directory of that name is ./off")
	case j.MaxSize < 0:
		return fmt.Errorf("journal: max_size %d is negative", j.MaxSize)
	case j.Retain < 0:
		return fmt.Errorf("journal: retain %s is negative", time.Duration(j.Retain))
	case j.Off:
		return nil
	case j.Dir == "":
		j.Dir = defaultJournal(hub)
		return nil
	}
	if j.Dir, err = expand("journal", j.Dir); err != nil {
		return err
	}
	if j.Dir, err = filepath.Abs(j.Dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func defaultJournal(hub string) string {
	return filepath.Join(caddy.AppDataDir(), "lifeline", hub, "journal")
}

// lastJournal is where a hub's journal lies, or lay before it was turned off.
func (h *Hub) lastJournal(hub string) string {
	if h.Journal.Off {
		return defaultJournal(hub)
	}
	return h.Journal.Dir
}

// checkJournal refuses a hub whose journal lies where another hub has its own.
func (a *App) checkJournal(name string, h *Hub) error {
	if !h.info.Remote {
		return nil
	}
	dir := h.lastJournal(name)
	for other := range a.held {
		o := a.Hubs[other]
		if other == name || !o.info.Remote || o.lastJournal(other) != dir {
			continue
		}
		both := []string{name, other}
		slices.Sort(both)
		return fmt.Errorf("hubs %s and %s have one journal directory, %s; give each its own", both[0], both[1], dir)
	}
	return nil
}
