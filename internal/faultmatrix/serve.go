package faultmatrix

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// serve answers requests, each in a goroutine of its own, until the end of in.
func (n *node) serve(in io.Reader, out io.Writer, addr string) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	var mu sync.Mutex
	encoder := json.NewEncoder(out)
	send := func(r reply) {
		mu.Lock()
		defer mu.Unlock()
		_ = encoder.Encode(r) // the test is gone: in ends as well
	}
	var running sync.WaitGroup
	defer running.Wait()
	send(reply{Addr: addr}) // ready
	hasty := newHasty(n)
	defer hasty.close()
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		var q request
		if err := json.Unmarshal(line, &q); err != nil {
			return fmt.Errorf("request %q: %w", line, err)
		}
		if n.config.Broken == BrokenHasty && q.Do == DoPublish {
			send(hasty.promise(q))
			continue
		}
		running.Go(func() { send(n.answer(q)) })
	}
}

func (n *node) answer(q request) reply {
	r := reply{N: q.N}
	start := time.Now()
	err := n.do(context.Background(), q, &r)
	r.took(start)
	r.fail(err)
	return r
}

func (n *node) do(ctx context.Context, q request, r *reply) error {
	switch q.Do {
	case DoPublish:
		return n.publish(ctx, q, r)
	case DoRead:
		return n.read(ctx, q, r)
	case DoDelete:
		_, err := n.store.DeleteSession(ctx, q.Name)
		return err
	case DoWindow:
		return n.store.SetWindowConfig(ctx, storage.SessionWindowConfig{
			SessionID: q.Name, AutoArchiveDelaySeconds: &q.Number,
		})
	case DoWindowed:
		w, err := n.store.GetWindowConfig(ctx, q.Name)
		if err == nil && w.AutoArchiveDelaySeconds != nil {
			r.Number = *w.AutoArchiveDelaySeconds
		}
		return notThere(err)
	case DoFollow:
		_, err := n.store.Follow(ctx, q.Name, q.ID)
		return err
	case DoUnfollow:
		_, err := n.store.Unfollow(ctx, q.Name, q.ID)
		return err
	case DoCount:
		return n.store.TrackFrequency(ctx, q.Name, storage.FrequencyScope{})
	case DoPush:
		_, err := n.store.PushInput(ctx, q.Name, q.ID, inputOf(q.ID))
		return err
	case DoTake:
		items, err := n.store.TakeInput(ctx, q.Name, q.Limit)
		for _, i := range items {
			r.Items = append(r.Items, i.ID)
		}
		return err
	case DoCommand:
		_, err := n.store.QueueCommand(ctx, storage.CommandPayload{
			SessionID: q.Name, Command: storage.Command{Type: "pause", Reason: q.ID},
		})
		return err
	case DoCommands:
		commands, err := n.store.ListCommands(ctx, q.Name)
		for _, c := range commands {
			r.Commands = append(r.Commands, Command{ID: c.CommandID, Says: c.Command.Reason})
		}
		return err
	case DoAck:
		_, err := n.store.AcknowledgeCommand(ctx, q.ID)
		return err
	case DoStatus:
		s := n.storage.Status()
		r.Degraded, r.Waiting, r.Reasons = s.Degraded, s.Pending, s.Reasons
		return nil
	case DoDisk:
		return n.disk.do(q.Name)
	}
	return fmt.Errorf("unknown request %q", q.Do)
}

// notThere leaves a document that is not there at number 0.
func notThere(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

func (n *node) publish(ctx context.Context, q request, r *reply) error {
	if q.Batch == nil {
		result, err := n.store.AddEvent(ctx, q.Name, q.ID, []byte(q.Body))
		r.accept(result)
		return err
	}
	news := make([]storage.NewEvent, len(q.Batch))
	for i, item := range q.Batch {
		news[i] = storage.NewEvent{Session: q.Name, ID: item.ID, Data: []byte(item.Body)}
	}
	for _, result := range n.store.AddEvents(ctx, news) {
		var one reply
		one.accept(result)
		one.fail(result.Err)
		r.Results = append(r.Results, one)
	}
	return nil
}

// accept notes how an event was taken.
func (r *reply) accept(result storage.Result) {
	r.Pending, r.Volatile, r.Duplicate = result.Pending, result.Volatile, result.Duplicate
	if !r.Pending {
		r.Received = result.Cursor.Pos.Micros
	}
}

func (n *node) read(ctx context.Context, q request, r *reply) error {
	c, err := storage.ParseCursor(q.Cursor)
	if err != nil {
		return err
	}
	page, err := n.store.ReadEvents(ctx, q.Name, storage.LogQuery{After: &c, Limit: q.Limit})
	if err != nil {
		return err
	}
	page = page.Onward()
	for _, e := range page.Entries {
		r.Entries = append(r.Entries, event{ID: original(e.ID), Link: link(e.Link), Pending: e.Pending})
	}
	r.Cursor, r.Timestamp = page.Cursor.String(), page.Cursor.Timestamp()
	r.Gap, r.HasMore, r.Degraded = page.Gap, page.HasMore, page.Degraded
	r.Epoch = EpochOf(page.Cursor)
	return nil
}

// EpochOf is the epoch of a cursor in words, or "" while it names none.
func EpochOf(c storage.Cursor) string {
	if c.Epoch == 0 {
		return ""
	}
	return c.Epoch.String()
}

func link(l storage.Link) string {
	if l.Number == 0 {
		return ""
	}
	return fmt.Sprint(l.Producer, ".", l.Number)
}

// original is the id under which an entry was published: a broken node stores it
// under others, see controls_test.go.
func original(id string) string {
	id, _, _ = strings.Cut(id, attemptMark)
	return id
}
