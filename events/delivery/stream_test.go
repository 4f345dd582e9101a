package delivery

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// resumption is how a stream of several sessions is told where they go on.
type resumption int

const (
	bySession resumption = iota // since[<session>] for each
	byHeader                    // the id of such a stream as Last-Event-ID
	bySince                     // the same as since
	resumptions
)

// stream is an EventSource that knows of control events.
func (v visit) stream(ctx context.Context) error {
	q, header := url.Values{}, http.Header{clientHeader: {v.who}}
	v.begin(q, header)
	resp, err := v.node.get(ctx, v.target("/api/events/stream", q), header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return fmt.Errorf("%d, %s", resp.StatusCode, kind)
	}
	source := newEventSource(resp.Body, "")
	source.empty = func() { _ = v.moved(source.lastEventID) } // where it begins
	for {
		m, err := source.next()
		if err == nil {
			err = v.dispatched(m)
		}
		if err != nil {
			return err
		}
	}
}

// begin says where a stream goes on: cursors stand in the id of a stream, times, which
// never do, in the query.
func (v visit) begin(q url.Values, header http.Header) {
	times := v
	times.at = make(map[string]string)
	cursors := make(map[string]string)
	for session, at := range v.at {
		if strings.HasPrefix(at, "v1.") {
			cursors[session] = at
		} else {
			times.at[session] = at
		}
	}
	switch {
	case len(v.sessions) == 1 && len(cursors) == 1:
		header.Set("Last-Event-ID", cursors[v.sessions[0]])
	case len(v.sessions) == 1 || v.resume == bySession || len(cursors) == 0:
		times = v
	case v.resume == byHeader:
		header.Set("Last-Event-ID", streamID(cursors))
	default:
		q.Set("since", streamID(cursors))
	}
	times.since(q)
}

// streamID is the id of a stream of several sessions, as docs/protocol.md has it.
func streamID(cursors map[string]string) string {
	b, err := json.Marshal(cursors)
	if err != nil {
		return err.Error()
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// cursors are those in the id of a stream, by session.
func (v visit) cursors(id string) (cursors map[string]string, err error) {
	if len(v.sessions) == 1 || id == "" {
		return map[string]string{v.sessions[0]: id}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err == nil {
		err = json.Unmarshal(b, &cursors)
	}
	if err == nil && len(cursors) != len(v.sessions) {
		err = fmt.Errorf("it is about %d sessions", len(cursors))
	}
	if err != nil {
		return nil, fmt.Errorf("the id %q of a stream: %w", id, err)
	}
	return cursors, nil
}

// moved takes an id: all sessions of a stream are where it says.
func (v visit) moved(id string) error {
	cursors, err := v.cursors(id)
	if err != nil {
		return err
	}
	for session, cursor := range cursors {
		if err := v.tell(sight{session: session, cursor: cursor}); err != nil {
			return err
		}
	}
	return nil
}

func (v visit) dispatched(m message) error {
	s := sight{session: v.sessions[0]}
	switch m.event {
	case "message":
		var event struct{ SessionID string }
		_ = json.Unmarshal([]byte(m.data), &event) // idOf says when it is none
		s.session, s.id = event.SessionID, idOf([]byte(m.data))
	case "lifeline.gap", "lifeline.epoch":
		var notice struct{ SessionID string }
		if err := json.Unmarshal([]byte(m.data), &notice); err != nil {
			return fmt.Errorf("%s %s: %w", m.event, m.data, err)
		}
		s.session, s.again, s.epoch = notice.SessionID, true, m.event == "lifeline.epoch"
	default:
		return nil
	}
	cursors, err := v.cursors(m.lastEventID)
	if err != nil {
		return err
	}
	s.cursor = cursors[s.session]
	if err := v.tell(s); err != nil || len(v.sessions) == 1 {
		return err
	}
	return v.moved(m.lastEventID)
}
