package events

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// accepted is the answer to an event that storage has taken.
type accepted struct {
	Success    bool   `json:"success"`
	EventID    string `json:"eventId"`
	SessionID  string `json:"sessionId"`
	Cursor     string `json:"cursor"`
	ReceivedAt string `json:"receivedAt"`
	Pending    bool   `json:"pending,omitempty"`
	Duplicate  bool   `json:"duplicate,omitempty"`
	Durable    *bool  `json:"durable,omitempty"` // only ever false
}

// ingest answers POST /api/events: one event, a JSON array or lines of them.
func (s *Site) ingest(w http.ResponseWriter, r *http.Request, g Grant) {
	lines, problem := checkContent(r.Header)
	if problem != nil {
		writeError(w, http.StatusUnsupportedMediaType, *problem)
		return
	}
	limit, what := s.Hub.Limits().MaxMessage, "an event"
	switch most := max(limit, maxBatch); {
	case r.ContentLength > most: // the client is not asked to send it
		limit, what = most, "a body"
	case lines, (r.ContentLength < 0 || r.ContentLength > limit) && beginsArray(r):
		limit, what = most, "a batch"
	}
	body, status, problem := readBody(w, r, limit, what)
	switch {
	case status == http.StatusRequestEntityTooLarge && what == "an event":
		s.Hub.meet(LimitMessage)
	case problem != nil && status == http.StatusRequestEntityTooLarge:
		s.Hub.meet(LimitBatchSize)
	case problem != nil:
	case lines:
		s.ingestBatch(w, r, splitLines(body), g)
		return
	case isArray(body):
		s.ingestArray(w, r, body, g)
		return
	default:
		status = http.StatusBadRequest
		var e Event
		if e, problem = parseEvent(body, time.Now()); problem == nil {
			s.publish(w, r, e, g)
			return
		}
	}
	writeError(w, status, *problem)
}

func (s *Site) publish(w http.ResponseWriter, r *http.Request, e Event, g Grant) {
	if err := s.Hub.authorize(r.Context(), g, e.Session, useAdd); err != nil {
		s.writeFailure(w, r, err)
		return
	}
	result, err := s.Hub.Publish(r.Context(), e)
	if err != nil {
		s.writeStorageError(w, r, err)
		return
	}
	if result.Pending { // the hub is told of it only later
		w.Header().Set("Lifeline-Degraded", "true")
	}
	status, a := acceptance(e, result)
	writeJSON(w, status, a)
}

// acceptance says how an event was taken: 201, 202 while it would not outlive
// the process, and 200 when its id was there already.
func acceptance(e Event, result storage.Result) (status int, a accepted) {
	a = accepted{
		Success: true, EventID: e.ID, SessionID: e.Session,
		Cursor:     result.Cursor.String(),
		ReceivedAt: result.ReceivedAt.UTC().Format(receivedTime),
		Pending:    result.Pending,
		Duplicate:  result.Duplicate,
	}
	status = http.StatusCreated
	if result.Pending && result.Volatile {
		durable := false
		a.Durable = &durable
		status = http.StatusAccepted
	}
	if result.Duplicate {
		status = http.StatusOK
	}
	return status, a
}

// checkContent: JSON, or lines of JSON, in UTF-8, not compressed.
func checkContent(h http.Header) (lines bool, problem *apiError) {
	const want = "JSON with Content-Type application/json, or application/x-ndjson, is expected"
	value := h.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(value)
	switch charset := params["charset"]; {
	case value == "":
		return false, unsupported(want+", there is none", "Content-Type")
	case err != nil:
		return false, unsupported(want+", it is malformed", "Content-Type")
	case kind != "application/json" && kind != "application/x-ndjson":
		return false, unsupported(fmt.Sprintf("%s, not %.100s", want, kind), "Content-Type")
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return false, unsupported(want+" and no charset but utf-8", "Content-Type")
	}
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return false, unsupported("a compressed body is not taken", "Content-Encoding")
	}
	return kind == "application/x-ndjson", nil
}

func unsupported(message, field string) *apiError {
	return &apiError{Error: "unsupported media type", Message: message, Field: field}
}

// beginsArray reports whether the body that is yet to be read is meant as a JSON array;
// nothing of it is lost.
func beginsArray(r *http.Request) bool {
	const most = 512 // of white space
	body := bufio.NewReaderSize(r.Body, most)
	r.Body = struct {
		io.Reader
		io.Closer
	}{body, r.Body}
	for n := 1; n <= most; n++ {
		begin, err := body.Peek(n)
		if err != nil {
			return false
		}
		s := scanner{data: begin, pos: n - 1}
		if s.space(); s.pos < n {
			return begin[n-1] == '['
		}
	}
	return false
}

func isArray(body []byte) bool {
	s := scanner{data: body}
	s.space()
	return s.pos < len(body) && body[s.pos] == '['
}

// readBody reads the whole body, of at most limit bytes. The problem, if there
// is one, belongs to the status.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, what string) (body []byte, status int, problem *apiError) {
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge, tooLarge(limit, what)
	}
	body, err := readAll(w, r, limit)
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig) && tooBig.Limit < limit: // the site has set a lower limit before us
		return nil, http.StatusRequestEntityTooLarge, tooLarge(tooBig.Limit, "a body")
	case tooBig != nil:
		return nil, http.StatusRequestEntityTooLarge, tooLarge(tooBig.Limit, what)
	case err != nil:
		return nil, http.StatusBadRequest, &apiError{
			Error: "incomplete body", Message: "the body ended before it was complete",
		}
	}
	return body, 0, nil
}

func readAll(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	// The length is a claim: what it may reserve ahead of the bytes is bounded.
	const most = 64 << 10
	if n := r.ContentLength; 0 < n && n <= min(most, limit) {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err //nolint:wrapcheck // readBody tells what it means
	}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), most)) + bytes.MinRead)
	_, err := io.Copy(&b, http.MaxBytesReader(w, r.Body, limit))
	return b.Bytes(), err //nolint:wrapcheck // see above
}

func tooLarge(limit int64, what string) *apiError {
	option := ""
	if what == "an event" {
		option = ", as max_message says"
	}
	return &apiError{
		Error:   strings.TrimPrefix(strings.TrimPrefix(what, "an "), "a ") + " too large",
		Message: fmt.Sprintf("%s may be at most %d bytes long%s", what, limit, option),
		Details: map[string]int64{"limit": limit},
	}
}
