package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/actionflows/lifeline/storage"
)

// apiError is the body of every answer that is not a success.
type apiError struct {
	Error   string `json:"error"`
	Message string `json:"message,omitempty"`
	// Field names the field or parameter that is wrong.
	Field string `json:"field,omitempty"`
	// RetryAfter is in seconds, the same as the header Retry-After.
	RetryAfter *int `json:"retryAfter,omitempty"`
	Details    any  `json:"details,omitempty"`
}

// writeError answers with e. A RetryAfter becomes the header too; 429 and 503
// without one get 1 second, since clients must never retry at once.
func writeError(w http.ResponseWriter, status int, e apiError) {
	retry := e.RetryAfter
	if retry == nil && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) {
		retry = retryAfter(0)
		e.RetryAfter = retry
	}
	if retry != nil {
		w.Header().Set("Retry-After", strconv.Itoa(*retry))
	}
	writeJSON(w, status, e)
}

func writeNotAllowed(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	writeError(w, http.StatusMethodNotAllowed, apiError{
		Error: "method not allowed", Message: "this path takes " + allow,
	})
}

// retryAfter is d in whole seconds, rounded up, at least 1.
func retryAfter(d time.Duration) *int {
	s := max(1, int(math.Ceil(d.Seconds())))
	return &s
}

// writeJSON answers with v; see appendJSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b := appendJSON(nil, v)
	dynamic(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone; there is nobody to tell
}

// appendJSON appends v on one line, <, > and & as they are: the content type is
// JSON, and nosniff keeps browsers to it. v must be of types that always encode,
// anything else is a mistake of ours.
func appendJSON(b []byte, v any) []byte {
	e := jsonEncoders.Get().(*jsonEncoder) //nolint:forcetypeassert // the pool's only type
	if err := e.encoder.Encode(v); err != nil {
		panic(fmt.Sprintf("events: encode %T: %v", v, err))
	}
	b = append(b, bytes.TrimSuffix(e.buf.Bytes(), []byte{'\n'})...)
	if e.buf.Reset(); e.buf.Cap() <= maxJoin {
		jsonEncoders.Put(e)
	}
	return b
}

type jsonEncoder struct {
	buf     bytes.Buffer
	encoder *json.Encoder
}

var jsonEncoders = sync.Pool{New: func() any {
	e := new(jsonEncoder)
	e.encoder = json.NewEncoder(&e.buf)
	e.encoder.SetEscapeHTML(false)
	return e
}}

// dynamic sets what every JSON answer of the hub carries.
func dynamic(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// writeStorageError answers for an operation on storage that failed with err.
func (s *Site) writeStorageError(w http.ResponseWriter, r *http.Request, err error) {
	status, e := s.storageError(r, err)
	writeError(w, status, e)
}

// storageError is the answer for an operation on storage that failed with err.
// Only what is unexpected is logged: an outage is storage's to report.
func (s *Site) storageError(r *http.Request, err error) (status int, e apiError) {
	unavailable, isUnavailable := errors.AsType[*storage.UnavailableError](err)
	full, isFull := errors.AsType[*storage.TooManyLogsError](err)
	switch {
	case r.Context().Err() != nil:
		// Nobody waits for this any more. Still a status of its own: without one
		// net/http would answer 200, and what listens on behalf of the client
		// (a proxy, a log) would take the event for acknowledged.
		return http.StatusServiceUnavailable, apiError{Error: "request cancelled", RetryAfter: retryAfter(0)}
	case isUnavailable:
		return http.StatusServiceUnavailable, apiError{
			Error: "storage unavailable", Message: unavailable.Reason,
			RetryAfter: retryAfter(unavailable.RetryAfter),
		}
	case isFull:
		return http.StatusServiceUnavailable, apiError{
			Error: "too many sessions", Message: full.Error() + "; post to one that is there, or create the session first",
			RetryAfter: retryAfter(logsRetry),
		}
	case errors.Is(err, storage.ErrPoison):
		return http.StatusServiceUnavailable, apiError{
			Error: "session unavailable", Message: "this session's log cannot be written; others can",
			RetryAfter: retryAfter(poisonRetry),
		}
	case errors.Is(err, storage.ErrClosed):
		return http.StatusServiceUnavailable, apiError{
			Error: "storage unavailable", Message: "the hub is shutting down", RetryAfter: retryAfter(0),
		}
	}
	msg := "storage operation failed"
	if errors.Is(err, context.DeadlineExceeded) {
		msg = "storage operation took too long"
	}
	s.logger().Error(msg, zap.Error(err))
	return http.StatusInternalServerError, apiError{Error: "internal error"}
}

// logsRetry: sessions that are forgotten make room, which takes a while.
const logsRetry = time.Minute

// poisonRetry: a log that cannot be written needs an operator, not haste.
const poisonRetry = 30 * time.Second
