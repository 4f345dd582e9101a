package client

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// streamSign is how often the hub sends a sign of life in a stream.
const streamSign = 15 * time.Second

// stream is a stream of Server-Sent Events that the hub has begun.
type stream struct {
	f    *follower
	resp *http.Response
	life context.Context // that of the request; its cause is why it has ended
	end  context.CancelCauseFunc
}

func openStream(ctx context.Context, c *Client, f *follower) (link, error) {
	path, query := f.sessions.request("stream", f.sessions.ids)
	life, end := context.WithCancelCause(context.WithoutCancel(ctx)) // ctx is that of opening
	stop := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	resp, err := c.get(life, f.http, path, query)
	if err == nil {
		err = notStream(resp)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		end(nil)
		if resp != nil {
			_ = resp.Body.Close()
		}
		return nil, err
	}
	return &stream{f: f, resp: resp, life: life, end: end}, nil
}

// notStream is what an answer is instead.
func notStream(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return fmt.Errorf("the answer is %q, not a stream", kind)
	}
	return nil
}

// serve implements link.
func (s *stream) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.close)()
	s.f.storageIs(ctx, s.resp.Header.Get("Lifeline-Degraded") == "true")
	o := s.f.options
	silence := max(o.HeartbeatInterval, streamSign) + o.HeartbeatTimeout
	watch := time.AfterFunc(silence, func() { s.end(errSilent) })
	defer watch.Stop()
	in := bufio.NewReader(s.resp.Body)
	var b block
	for {
		watch.Reset(silence)
		line, err := in.ReadString('\n')
		watch.Stop() // who is slow is not the hub
		if err != nil {
			return fmt.Errorf("sse: read: %w", because(s.life, err))
		}
		if !b.add(strings.TrimRight(line, "\r\n")) {
			continue
		}
		if err := s.take(ctx, b); err != nil {
			return fmt.Errorf("sse: %w", err)
		}
		b = block{}
	}
}

// block is what stands between two empty lines.
type block struct{ id, name, data string }

// add adds a line; true: the block is complete.
func (b *block) add(line string) bool {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch {
	case line == "":
		return true
	case field == "id":
		b.id = value
	case field == "event":
		b.name = value
	case field == "data" && b.data == "":
		b.data = value
	case field == "data":
		b.data += "\n" + value
	}
	return false
}

// take acts on a block. An error ends the connection.
func (s *stream) take(ctx context.Context, b block) error {
	cursors, err := s.cursors(b.id)
	if err != nil {
		return err
	}
	switch b.name {
	case "":
		if b.data == "" {
			break
		}
		e, err := newEvent(json.RawMessage(b.data))
		if err != nil {
			return err
		}
		e.Cursor = cursors[e.Session]
		if err := s.f.deliver(ctx, e); err != nil {
			return err
		}
	case "lifeline.gap", "lifeline.epoch":
		var at struct{ SessionID, Cursor string }
		if err := json.Unmarshal([]byte(b.data), &at); err != nil {
			return fmt.Errorf("read %s: %w", b.name, err)
		}
		why := map[string]Reset{"lifeline.gap": Gap, "lifeline.epoch": Epoch}[b.name]
		return s.f.reset(ctx, at.SessionID, why, at.Cursor)
	case "lifeline.status":
		var state Storage
		if err := json.Unmarshal([]byte(b.data), &state); err != nil {
			return fmt.Errorf("read the state of storage: %w", err)
		}
		s.f.storage(ctx, state)
	}
	for id, cursor := range cursors {
		s.f.sessions.move(id, cursor)
	}
	return nil
}

// cursors are those in an id, by session: of one session it is its cursor, of several
// an object of theirs.
func (s *stream) cursors(id string) (map[string]string, error) {
	if id == "" {
		return nil, nil
	}
	if ids := s.f.sessions.ids; len(ids) == 1 {
		return map[string]string{ids[0]: id}, nil
	}
	var cursors map[string]string
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err == nil {
		err = json.Unmarshal(raw, &cursors)
	}
	if err != nil {
		return nil, fmt.Errorf("read the id of a stream: %w", err)
	}
	return cursors, nil
}

// close implements link.
func (s *stream) close() {
	s.end(nil)
	_ = s.resp.Body.Close()
}
