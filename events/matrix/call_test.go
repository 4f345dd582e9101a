package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/actionflows/lifeline/internal/faultmatrix"
	"github.com/actionflows/lifeline/storage"
)

// transport is shared by all; a node that is frozen for 3 s answers after that.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// answer is what the routes answer, as far as the matrix asks.
type answer struct {
	Error     string
	EventID   string `json:"eventId"`
	Pending   bool
	Durable   *bool
	Duplicate bool
	Received  time.Time `json:"receivedAt"`
	Success   bool
	Accepted  int
	Results   []answer
	Status    json.RawMessage
	Cursor    string
	Timestamp string
	Gap       bool
	HasMore   bool
	Degraded  bool
	Events    []struct{ ID string }
	Inputs    []struct{ Input struct{ Text string } }
	Commands  []struct {
		CommandID string `json:"commandId"`
		Command   struct{ Reason string }
	}
	AutoDelay float64 `json:"autoArchiveDelaySeconds"`
	Storage   struct {
		Pending int
		Reasons []string
	}
}

// call makes a request of the matrix one over HTTP.
func call(ctx context.Context, addr string, q faultmatrix.Request) (faultmatrix.Reply, error) {
	method, path, kind, body := request(q)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return faultmatrix.Reply{}, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := client.Do(req)
	if err != nil {
		return faultmatrix.Reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return faultmatrix.Reply{}, err
	}
	return reply(q, resp, raw), nil
}

// request is the method, path, content type and body for q.
func request(q faultmatrix.Request) (method, path, kind, body string) {
	const jsonType = "application/json"
	session := url.PathEscape(q.Name)
	switch q.Do {
	case faultmatrix.DoPublish:
		kind, body = post(q)
		return http.MethodPost, "/api/events", kind, body
	case faultmatrix.DoRead:
		since := fmt.Sprintf("%s?since=%s&limit=%d", session, url.QueryEscape(q.Cursor), q.Limit)
		switch {
		case q.Form != faultmatrix.Canonical:
			return http.MethodGet, "/api/events/poll/" + since, "", ""
		case q.Roams:
			return http.MethodGet, "/api/events/poll/" + since + "&wait=300ms", "", ""
		}
		return http.MethodGet, "/api/events/" + since, "", ""
	case faultmatrix.DoDelete:
		return http.MethodDelete, "/api/sessions/" + session, "", ""
	case faultmatrix.DoWindow:
		return http.MethodPut, "/api/records/windows/" + session, jsonType,
			fmt.Sprintf(`{"autoArchiveDelaySeconds":%v}`, q.Number)
	case faultmatrix.DoWindowed:
		return http.MethodGet, "/api/records/windows/" + session, "", ""
	case faultmatrix.DoCount:
		return http.MethodPost, "/api/records/frequencies/" + session + "/track", "", ""
	case faultmatrix.DoPush:
		return http.MethodPost, "/api/sessions/" + session + "/input", jsonType, fmt.Sprintf(`{"text":%q}`, q.ID)
	case faultmatrix.DoTake:
		path = fmt.Sprintf("/api/sessions/%s/input?limit=%d", session, q.Limit)
		if q.Wait > 0 {
			path += "&wait=" + q.Wait.String()
		}
		return http.MethodGet, path, "", ""
	case faultmatrix.DoCommand:
		return http.MethodPost, "/api/sessions/" + session + "/commands", jsonType, fmt.Sprintf(`{"type":"pause","reason":%q}`, q.ID)
	case faultmatrix.DoCommands:
		return http.MethodGet, "/api/commands/" + session + "/commands", "", ""
	case faultmatrix.DoAck:
		return http.MethodPost, "/api/commands/" + url.PathEscape(q.ID) + "/ack", "", ""
	case faultmatrix.DoStatus:
		return http.MethodGet, "/api/health/circuit-breakers", "", ""
	}
	panic(fmt.Sprintf("the matrix asks for %q", q.Do))
}

// post is the content type and body of one event, or of a batch. An event goes alone,
// in an array or on a line, a batch in an array or on lines, each always in the same
// way.
func post(q faultmatrix.Request) (kind, body string) {
	const jsonType, linesType = "application/json", "application/x-ndjson"
	items := q.Batch
	if items == nil {
		items = []faultmatrix.Item{{ID: q.ID, Body: q.Body}}
	}
	events := make([]string, len(items))
	for i, item := range items {
		events[i] = fmt.Sprintf(`{"type":"matrix:event","sessionId":%q,"id":%q,"text":%q}`, q.Name, item.ID, item.Body)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(items[0].ID))
	switch way := h.Sum32() % 3; {
	case way == 0:
		return jsonType, "[" + strings.Join(events, ", ") + "]"
	case way == 1 || q.Batch != nil:
		return linesType, strings.Join(events, "\n") + "\n"
	}
	return jsonType, events[0]
}

// reply reads an answer. One of 503 must say when to try again; any other of 5xx is
// an error for good.
func reply(q faultmatrix.Request, resp *http.Response, raw []byte) (r faultmatrix.Reply) {
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return wrong("%s: %v: %s", resp.Status, err, raw)
	}
	later := resp.Header.Get("Retry-After") != ""
	if q.Do == faultmatrix.DoPublish {
		return posted(q, resp, a, raw)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound && absentIsFine[q.Do]:
		return r
	case status >= http.StatusBadRequest:
		return refused(resp.StatusCode, later, raw)
	}
	r.Cursor, r.Timestamp, r.Gap, r.HasMore, r.Number = a.Cursor, a.Timestamp, a.Gap, a.HasMore, a.AutoDelay
	r.Epoch, r.Unmarked, r.Degraded = epochOf(a.Cursor), true, a.Degraded
	degraded := resp.Header.Get("Lifeline-Degraded") == "true"
	if a.Degraded && !degraded {
		return wrong("an answer is degraded and its header does not say so: %s", raw)
	}
	for _, c := range a.Commands {
		r.Commands = append(r.Commands, faultmatrix.Command{ID: c.CommandID, Says: c.Command.Reason})
	}
	for _, e := range a.Events {
		r.Entries = append(r.Entries, faultmatrix.Event{ID: e.ID})
	}
	for _, i := range a.Inputs {
		r.Items = append(r.Items, i.Input.Text)
	}
	switch q.Do {
	case faultmatrix.DoStatus:
		r.Degraded, r.Waiting, r.Reasons = string(a.Status) != `"ok"`, a.Storage.Pending, a.Storage.Reasons
	case faultmatrix.DoTake:
		r.Degraded = degraded
	}
	return r
}

// absentIsFine: what is not there has no number, and need not be removed.
var absentIsFine = map[string]bool{faultmatrix.DoWindowed: true, faultmatrix.DoDelete: true, faultmatrix.DoAck: true}

// refused is an answer of that status which takes nothing.
func refused(status int, later bool, raw []byte) faultmatrix.Reply {
	return faultmatrix.Reply{
		Error: fmt.Sprintf("%d: %s", status, brief(raw)),
		Later: later && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests),
	}
}

// brief is the beginning of an answer.
func brief(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	return string(raw[:min(len(raw), 500)])
}

// epochOf is the epoch of a cursor.
func epochOf(cursor string) string {
	c, err := storage.ParseCursor(cursor)
	if err != nil {
		return ""
	}
	return faultmatrix.EpochOf(c)
}
