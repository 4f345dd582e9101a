package events

import (
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

// ingest answers POST /api/events: one event.
func (s *Site) ingest(w http.ResponseWriter, r *http.Request, g Grant) {
	if problem := checkContent(r.Header); problem != nil {
		writeError(w, http.StatusUnsupportedMediaType, *problem)
		return
	}
	body, status, problem := readBody(w, r, s.Hub.Limits().MaxMessage)
	if problem == nil {
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

// checkContent: JSON, in UTF-8, not compressed.
func checkContent(h http.Header) *apiError {
	const want = "one JSON object with Content-Type application/json is expected"
	value := h.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(value)
	switch charset := params["charset"]; {
	case value == "":
		return unsupported(want+", there is none", "Content-Type")
	case err != nil:
		return unsupported(want+", it is malformed", "Content-Type")
	case kind != "application/json":
		return unsupported(fmt.Sprintf("%s, not %.100s", want, kind), "Content-Type")
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return unsupported(want+" and no charset but utf-8", "Content-Type")
	}
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return unsupported("a compressed body is not taken", "Content-Encoding")
	}
	return nil
}

func unsupported(message, field string) *apiError {
	return &apiError{Error: "unsupported media type", Message: message, Field: field}
}

// readBody reads the whole body, of at most limit bytes. The problem, if there
// is one, belongs to the status.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, status int, problem *apiError) {
	if r.ContentLength > limit { // before the client is asked to send it
		return nil, http.StatusRequestEntityTooLarge, tooLarge(limit)
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		// The length is a claim: what it may reserve ahead of the bytes is bounded.
		b.Grow(int(min(r.ContentLength, 64<<10)) + bytes.MinRead)
	}
	_, err := io.Copy(&b, http.MaxBytesReader(w, r.Body, limit))
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig): // the site may have set a lower limit before us
		return nil, http.StatusRequestEntityTooLarge, tooLarge(tooBig.Limit)
	case err != nil:
		return nil, http.StatusBadRequest, &apiError{
			Error: "incomplete body", Message: "the body ended before it was complete",
		}
	}
	return b.Bytes(), 0, nil
}

func tooLarge(limit int64) *apiError {
	return &apiError{
		Error:   "event too large",
		Message: fmt.Sprintf("an event may be at most %d bytes long", limit),
		Details: map[string]int64{"limit": limit},
	}
}
