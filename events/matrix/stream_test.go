package matrix

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/actionflows/lifeline/internal/faultmatrix"
)

// message is one of a WebSocket's.
type message struct {
	Type      string
	SessionID string `json:"sessionId"`
	Cursor    string
	Gap       bool
	Degraded  bool
	Pending   bool
	Code      string
	Payload   json.RawMessage
}

// followSocket follows a session on a WebSocket.
func followSocket(ctx context.Context, addr, log, cursor string, take func(faultmatrix.Reply)) error {
	conn, buffered, _, err := ws.Dial(ctx, "ws://"+addr+"/ws")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	rw := struct {
		io.Reader
		io.Writer
	}{conn, conn}
	if buffered != nil {
		rw.Reader = io.MultiReader(io.LimitReader(buffered, int64(buffered.Buffered())), conn)
	}
	rw.Reader = bufio.NewReader(rw.Reader)
	subscribe := fmt.Sprintf(`{"type":"subscribe","sessionId":%q,"since":%q}`, log, cursor)
	if err := wsutil.WriteClientText(conn, []byte(subscribe)); err != nil {
		return err
	}
	for {
		raw, err := wsutil.ReadServerText(rw)
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("%s: %w", raw, err)
		}
		if m.Type == "error" {
			return fmt.Errorf("refused: %s", raw)
		}
		if m.Type == "status" {
			page, err := status(m.Payload)
			if err != nil {
				return err
			}
			take(page)
			continue
		}
		if m.SessionID != log || m.Cursor == "" {
			continue
		}
		page := faultmatrix.Reply{Cursor: m.Cursor, Gap: m.Gap || m.Type == "epoch", Epoch: epochOf(m.Cursor)}
		switch m.Type {
		case "subscription_confirmed":
			page.Cursor = cursor // the events since then follow
			page.Confirms, page.Degraded = true, m.Degraded
		case "event":
			var e struct{ ID string }
			if err := json.Unmarshal(m.Payload, &e); err != nil {
				return fmt.Errorf("%s: %w", raw, err)
			}
			page.Entries = []faultmatrix.Event{{ID: e.ID, Pending: m.Pending}}
		}
		take(page)
	}
}

// followStream follows a session by Server-Sent Events.
func followStream(ctx context.Context, addr, log, cursor string, take func(faultmatrix.Reply)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/events/stream/"+url.PathEscape(log), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Last-Event-ID", cursor)
	resp, err := streaming.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("refused: %s", resp.Status)
	}
	var id, kind, data string
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if data == "" {
				continue
			}
			page, err := block(kind, id, data)
			if err != nil {
				return fmt.Errorf("%s: %w", data, err)
			}
			take(page)
			kind, data = "", ""
		}
	}
}

// block is what a block of a stream says.
func block(kind, id, data string) (faultmatrix.Reply, error) {
	if kind == "lifeline.status" {
		return status([]byte(data))
	}
	var e struct{ ID, Cursor string }
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return faultmatrix.Reply{}, err
	}
	page := faultmatrix.Reply{Cursor: id, Unmarked: true}
	switch kind {
	case "":
		page.Entries = []faultmatrix.Event{{ID: e.ID}}
	case "lifeline.gap", "lifeline.epoch":
		page.Gap, page.Cursor = true, e.Cursor
	default:
		return page, fmt.Errorf("an event %q in a stream", kind)
	}
	page.Epoch = epochOf(page.Cursor)
	return page, nil
}

// status is what clients are told of the node's state.
func status(payload []byte) (faultmatrix.Reply, error) {
	var s struct{ Degraded *bool }
	err := json.Unmarshal(payload, &s)
	if err == nil && s.Degraded == nil {
		err = fmt.Errorf("a status does not say whether it is degraded: %s", payload)
	}
	return faultmatrix.Reply{Status: s.Degraded}, err
}

// streaming has no time limit: its answers do not end.
var streaming = &http.Client{Transport: client.Transport}
