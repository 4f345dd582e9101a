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
	Results   []answer
	Status    json.RawMessage
	Cursor    string
	Timestamp string
	Gap       bool
	HasMore   bool
	Degraded  bool
	Events    []struct{ ID string }
	Inputs    []struct{ Input struct{ Text string } }
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

// request is the method, path, content type and body for q. Events are posted
// alone, in an array and on lines, each always in the same way.
func request(q faultmatrix.Request) (method, path, kind, body string) {
	const jsonType = "application/json"
	session := url.PathEscape(q.Name)
	switch q.Do {
	case faultmatrix.DoPublish:
		event := fmt.Sprintf(`{"type":"matrix:event","sessionId":%q,"id":%q,"text":%q}`, q.Name, q.ID, q.Body)
		h := fnv.New32a()
		_, _ = h.Write([]byte(q.ID))
		switch h.Sum32() % 3 {
		case 0:
			return http.MethodPost, "/api/events", jsonType, "[" + event + "]"
		case 1:
			return http.MethodPost, "/api/events", "application/x-ndjson", event + "\n"
		}
		return http.MethodPost, "/api/events", jsonType, event
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
		return http.MethodGet, fmt.Sprintf("/api/sessions/%s/input?limit=%d", session, q.Limit), "", ""
	case faultmatrix.DoStatus:
		return http.MethodGet, "/api/health/circuit-breakers", "", ""
	}
	panic(fmt.Sprintf("the matrix asks for %q", q.Do))
}

// reply reads an answer. One of 503 must say when to try again; any other of 5xx is
// an error for good.
func reply(q faultmatrix.Request, resp *http.Response, raw []byte) (r faultmatrix.Reply) {
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		r.Error = fmt.Sprintf("%s: %s", resp.Status, raw)
		return r
	}
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound && (q.Do == faultmatrix.DoWindowed || q.Do == faultmatrix.DoDelete):
		return r
	case status >= http.StatusBadRequest:
		r.Error = fmt.Sprintf("%s: %s", resp.Status, bytes.TrimSpace(raw))
		r.Later = (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && resp.Header.Get("Retry-After") != ""
		return r
	}
	event := a
	if len(a.Results) > 0 {
		event = a.Results[0]
	}
	if q.Do == faultmatrix.DoPublish && event.EventID != q.ID {
		r.Error = fmt.Sprintf("%s acknowledges another event: %s", resp.Status, raw)
		return r
	}
	r.Pending, r.Duplicate = event.Pending, event.Duplicate
	r.Volatile = event.Durable != nil && !*event.Durable
	r.Cursor, r.Timestamp, r.Gap, r.HasMore, r.Number = a.Cursor, a.Timestamp, a.Gap, a.HasMore, a.AutoDelay
	r.Epoch, r.Unmarked, r.Degraded = epochOf(a.Cursor), true, a.Degraded
	for _, e := range a.Events {
		r.Entries = append(r.Entries, faultmatrix.Event{ID: e.ID})
	}
	for _, i := range a.Inputs {
		r.Items = append(r.Items, i.Input.Text)
	}
	if q.Do == faultmatrix.DoStatus {
		r.Degraded, r.Waiting, r.Reasons = string(a.Status) != `"ok"`, a.Storage.Pending, a.Storage.Reasons
	}
	return r
}

// epochOf is the part of a cursor that changes when the session begins a new life.
func epochOf(cursor string) string {
	if parts := strings.Split(cursor, "."); len(parts) > 2 && parts[0] == "v1" {
		return parts[1]
	}
	return ""
}
