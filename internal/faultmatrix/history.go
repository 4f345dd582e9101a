package faultmatrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// truth reads what Redis holds, past the nodes and their proxies.
type truth struct{ store *storage.Store }

// placed is an event in the history.
type placed struct {
	id     string
	micros int64
}

// history are a session's events, oldest first.
func (t truth) history(ctx context.Context, log string) ([]placed, error) {
	var events []placed
	at := storage.MicrosCursor(0)
	for {
		page, err := t.store.ReadEvents(ctx, log, storage.LogQuery{After: &at, Limit: storage.MaxPage})
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			events = append(events, placed{original(e.ID), e.Pos.Micros})
		}
		if !page.HasMore {
			return events, nil
		}
		at = page.Cursor
	}
}

func (t truth) document(ctx context.Context, name string) (float64, error) {
	w, err := t.store.GetWindowConfig(ctx, name)
	if errors.Is(err, storage.ErrNotFound) || err == nil && w.AutoArchiveDelaySeconds == nil {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return *w.AutoArchiveDelaySeconds, nil
}

func (t truth) counted(ctx context.Context) (int, error) {
	f, err := t.store.GetFrequency(ctx, action, storage.FrequencyScope{})
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	return int(f.Count), err
}

// commands are those that wait.
func (t truth) commands(ctx context.Context) ([]Command, error) {
	list, err := t.store.ListCommands(ctx, commanded)
	waiting := make([]Command, len(list))
	for i, c := range list {
		waiting[i] = Command{ID: c.CommandID, Says: c.Command.Reason}
	}
	return waiting, err
}

// epoch is the one in which a session is.
func (t truth) epoch(ctx context.Context, log string) (string, error) {
	page, err := t.store.ReadEvents(ctx, log, storage.LogQuery{Limit: 1})
	return EpochOf(page.Cursor), err
}

// inputOf is an input that says which one it is: over HTTP its id is the hub's.
func inputOf(id string) json.RawMessage { return fmt.Appendf(nil, `{"text":%q}`, id) }

// drain takes what input is left.
func (t truth) drain(ctx context.Context) ([]string, error) {
	items, err := t.store.TakeInput(ctx, inputQueue, 0)
	ids := make([]string, len(items))
	for i, item := range items {
		var input struct{ Text string }
		if err := json.Unmarshal(item.Input, &input); err != nil {
			return nil, fmt.Errorf("input %s: %w", item.ID, err)
		}
		ids[i] = input.Text
	}
	return ids, err
}

// found is all of it.
type found struct {
	events    map[string][]placed
	epochs    map[string]string // by session
	documents map[string]float64
	counted   int
	left      []string // input
	commands  []Command
}

// read reads everything, with errors tried again until ctx ends: a server that was
// just started may be busy.
func (t truth) read(ctx context.Context, logs, documents []string) (found, error) {
	f := found{events: make(map[string][]placed), epochs: make(map[string]string), documents: make(map[string]float64)}
	var err error
	for _, log := range logs {
		if f.events[log], err = t.history(ctx, log); err != nil {
			return f, fmt.Errorf("read %s: %w", log, err)
		}
		if f.epochs[log], err = t.epoch(ctx, log); err != nil {
			return f, fmt.Errorf("read the epoch of %s: %w", log, err)
		}
	}
	for _, d := range documents {
		if f.documents[d], err = t.document(ctx, d); err != nil {
			return f, fmt.Errorf("read %s: %w", d, err)
		}
	}
	if f.counted, err = t.counted(ctx); err != nil {
		return f, fmt.Errorf("read counters: %w", err)
	}
	if f.commands, err = t.commands(ctx); err != nil {
		return f, fmt.Errorf("read commands: %w", err)
	}
	if f.left, err = t.drain(ctx); err != nil {
		return f, fmt.Errorf("read input: %w", err)
	}
	return f, nil
}

// missing is how many acknowledged events somebody has not got yet, who has some.
func (b *book) missing(log string, has func(id string) bool, excused func(string, *published) bool) int {
	n := 0
	b.locked(func() {
		for id, p := range b.events[log] {
			if !has(id) && !p.acked.IsZero() && !excused(log, p) {
				n++
			}
		}
	})
	return n
}

// verdict is what a run has shown.
type verdict struct {
	acked, pending int
	damage
	longest  time.Duration // acknowledgement
	recovery time.Duration // from the fault's end to a normal state
	problems []string
}

// damage counts what must not be.
type damage struct {
	lost       int // it was acknowledged or seen, and is not there
	missed     int // it is there, and a reader did not see it
	duplicated int // it is there, counted, handed out or seen more than once
	reordered  int // it stands or was seen behind a later one of its writer
	untold     int // it was the case and not said, or said and not the case
}

func (d damage) any() bool { return d != damage{} }

// of is how much damage there is of the kind that a control names.
func (d damage) of(kind string) int {
	switch kind {
	case Lost:
		return d.lost
	case Missed:
		return d.missed
	case Duplicated:
		return d.duplicated
	case Reordered:
		return d.reordered
	case Untold:
		return d.untold
	}
	panic(fmt.Sprintf("no damage is called %q", kind))
}

func (v *verdict) problem(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

const tableHead = "fault                          | acknowledged | pending | lost | missed | dup | reord | untold | longest ack | normal after"

func (v *verdict) row(name string) string {
	return fmt.Sprintf("%-30s | %12d | %7d | %4d | %6d | %3d | %5d | %6d | %11v | %v", name, v.acked, v.pending, v.lost,
		v.missed, v.duplicated, v.reordered, v.untold, v.longest.Round(time.Millisecond), v.recovery.Round(time.Millisecond))
}
