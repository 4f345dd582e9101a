package events

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Bounds of a batch.
const (
	maxBatch       = 8 << 20 // bytes
	maxBatchEvents = 1000
)

// batchAnswer is the answer to a batch.
type batchAnswer struct {
	Success  bool          `json:"success"` // all were accepted
	Accepted int           `json:"accepted"`
	Results  []batchResult `json:"results"` // in the order of the input
}

// batchResult is what became of one event: what it would have been answered alone.
type batchResult struct {
	Status int `json:"status"`
	*accepted
	*apiError
}

// splitLines answers the lines that have something on them.
func splitLines(body []byte) (events [][]byte) {
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			events = append(events, line)
		}
	}
	return events
}

// splitArray answers the elements of the one JSON array that body must be.
func splitArray(body []byte) (events [][]byte, problem *apiError) {
	s := scanner{data: body}
	s.space()
	s.pos++ // the bracket
	s.space()
	done := s.peek() == ']'
	if done {
		s.pos++
	}
	for !done {
		start := s.pos
		err := s.value(1)
		if err == nil {
			events = append(events, body[start:s.pos:s.pos])
			done, err = s.next(']')
		}
		if err != nil {
			return nil, jsonError(err)
		}
	}
	if s.space(); s.pos < len(body) {
		return nil, jsonError(&syntaxError{s.pos, "one JSON array is expected, found more after it"})
	}
	return events, nil
}

func (s *Site) ingestArray(w http.ResponseWriter, r *http.Request, body []byte, g Grant) {
	events, problem := splitArray(body)
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	s.ingestBatch(w, r, events, g)
}

// ingestBatch publishes events, each on its own, in their order.
func (s *Site) ingestBatch(w http.ResponseWriter, r *http.Request, raw [][]byte, g Grant) {
	switch {
	case len(raw) == 0:
		writeError(w, http.StatusBadRequest, apiError{Error: "empty batch", Message: "at least one event is expected"})
		return
	case len(raw) > maxBatchEvents:
		s.Hub.meet(LimitBatchEvents)
		writeError(w, http.StatusRequestEntityTooLarge, apiError{
			Error:   "batch too large",
			Message: fmt.Sprintf("a batch may have at most %d events, this one has %d", maxBatchEvents, len(raw)),
			Details: map[string]int{"limit": maxBatchEvents},
		})
		return
	}
	results := make([]batchResult, len(raw))
	events, places := s.parseBatch(raw, results)
	events, places = s.authorizeBatch(r, g, events, places, results)
	pending := false
	for i, result := range s.Hub.PublishAll(r.Context(), events) {
		at := &results[places[i]]
		if result.Err != nil {
			status, e := s.failure(r, result.Err)
			at.Status, at.apiError = status, &e
			continue
		}
		pending = pending || result.Pending
		status, a := acceptance(events[i], result)
		at.Status, at.accepted = status, &a
	}
	if pending {
		w.Header().Set("Lifeline-Degraded", "true")
	}
	writeBatch(w, results)
}

// parseBatch answers the events that are valid, and the place of each in the batch;
// the results of the others are set.
func (s *Site) parseBatch(raw [][]byte, results []batchResult) (events []Event, places []int) {
	limit, now := s.Hub.Limits().MaxMessage, time.Now()
	for i, body := range raw {
		if int64(len(body)) > limit {
			s.Hub.meet(LimitMessage)
			results[i] = batchResult{Status: http.StatusRequestEntityTooLarge, apiError: tooLarge(limit, "an event")}
			continue
		}
		e, problem := parseEvent(body, now)
		if problem != nil {
			results[i] = batchResult{Status: http.StatusBadRequest, apiError: problem}
			continue
		}
		events, places = append(events, e), append(places, i)
	}
	return events, places
}

// authorizeBatch leaves the events of sessions to which they may be added; the
// results of the others are set.
func (s *Site) authorizeBatch(r *http.Request, g Grant, events []Event, places []int, results []batchResult) ([]Event, []int) {
	refused := map[string]error{} // by session; nil: not refused
	kept := 0
	for i, e := range events {
		err, known := refused[e.Session]
		if !known {
			err = s.Hub.authorize(r.Context(), g, e.Session, useAdd)
			refused[e.Session] = err
		}
		if err != nil {
			status, problem := s.failure(r, err)
			results[places[i]] = batchResult{Status: status, apiError: &problem}
			continue
		}
		events[kept], places[kept] = e, places[i]
		kept++
	}
	return events[:kept], places[:kept]
}

// writeBatch answers 201 when all were accepted, or 202 when one of them would not
// outlive the process; 207 when some were; and when none was, 503 if it was not
// their fault, and else what is wrong with the first.
func writeBatch(w http.ResponseWriter, results []batchResult) {
	answer := batchAnswer{Results: results}
	status, refused, retry := http.StatusCreated, 0, 0
	for _, r := range results {
		switch {
		case r.accepted != nil:
			answer.Accepted++
			if r.Status == http.StatusAccepted {
				status = http.StatusAccepted
			}
			continue
		case refused == 0 || r.Status >= http.StatusInternalServerError:
			refused = r.Status
		}
		if r.RetryAfter != nil {
			retry = max(retry, *r.RetryAfter)
		}
	}
	answer.Success = answer.Accepted == len(results)
	switch {
	case answer.Success:
	case answer.Accepted > 0:
		status = http.StatusMultiStatus
	default:
		status = refused
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	writeJSON(w, status, answer)
}
