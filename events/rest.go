package events

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// call is one request to a route of sessions, input, commands or records, from a
// client who may make it. What it does answers a status and a body, or an error
// that answer turns into one.
type call struct {
	site  *Site
	hub   *Hub
	w     http.ResponseWriter
	r     *http.Request
	grant Grant
	route route
	query query
}

func (c *call) ctx() context.Context { return c.r.Context() }

func (c *call) store() *storage.Store { return c.hub.store() }

// handle answers the call with what do says.
func (c *call) handle(do func(*call) (int, any, error)) {
	status, body, err := do(c)
	if err != nil {
		c.site.writeFailure(c.w, c.r, err)
		return
	}
	writeJSON(c.w, status, body)
}

// refusedError is an answer that is no success and says itself what is wrong.
type refusedError struct {
	status  int
	problem apiError
}

func (e *refusedError) Error() string { return e.problem.Error + ": " + e.problem.Message }

func badRequest(problem *apiError) error {
	if problem == nil {
		return nil
	}
	return &refusedError{http.StatusBadRequest, *problem}
}

// fullRetry is when to try again to put an input where too many wait.
const fullRetry = 5 * time.Second

// writeFailure answers for err: what the client has done wrong by its own status,
// the rest as failures of storage.
func (s *Site) writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	status, e := s.failure(r, err)
	writeError(w, status, e)
}

// failure is the answer for what failed with err.
func (s *Site) failure(r *http.Request, err error) (status int, e apiError) {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.status, refused.problem
	}
	if wrong, ok := errors.AsType[*storage.FieldError](err); ok {
		return http.StatusBadRequest, apiError{Error: "invalid request", Message: wrong.Error(), Field: wrong.Field}
	}
	switch {
	case errors.Is(err, errOtherUser), errors.Is(err, errReadOnly):
		return http.StatusForbidden, apiError{Error: "forbidden", Message: refusalText(err)}
	case errors.Is(err, storage.ErrNotFound):
		return http.StatusNotFound, apiError{Error: "not found", Message: "there is no such record"}
	case errors.Is(err, storage.ErrFull):
		return http.StatusTooManyRequests, apiError{
			Error:      "too many inputs",
			Message:    fmt.Sprintf("%d inputs wait in this session, which is as many as may", storage.MaxInputs),
			RetryAfter: retryAfter(fullRetry),
		}
	}
	return s.storageError(r, err)
}

func refusalText(err error) string {
	if errors.Is(err, errReadOnly) {
		return errReadOnly.Error()
	}
	return errOtherUser.Error()
}

// body reads a JSON body of at most limit bytes.
func (c *call) body(limit int64) ([]byte, error) {
	if lines, problem := checkContent(c.r.Header); problem != nil || lines {
		if problem == nil {
			problem = unsupported("JSON with Content-Type application/json is expected here", "Content-Type")
		}
		return nil, &refusedError{http.StatusUnsupportedMediaType, *problem}
	}
	body, status, problem := readBody(c.w, c.r, limit, "the body")
	switch {
	case problem == nil:
		return body, nil
	case status == http.StatusRequestEntityTooLarge:
		problem.Error = "body too large"
		problem.Message = fmt.Sprintf("the body may be at most %v bytes long here", problem.Details.(map[string]int64)["limit"])
	}
	return nil, &refusedError{status, *problem}
}

// decodeBody reads a body that is one JSON object, as a record.
func decodeBody[T any](c *call, limit int64) (T, error) {
	body, err := c.body(limit)
	if err != nil {
		var none T
		return none, err
	}
	return storage.Decode[T](body) //nolint:wrapcheck // says itself what is wrong
}

// parseParameters reads the query of a call. Every parameter is given once, but
// for those of which several are meant.
func parseParameters(raw string) (query, *apiError) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, malformedQuery()
	}
	for name, given := range values {
		if len(given) > 1 && !slices.Contains([]string{"tag"}, name) {
			return query{}, badParameter(name, "is given twice")
		}
	}
	return query{values}, nil
}

// paging is the part of a list that after and limit ask for.
func (q query) paging() (storage.Paging, error) {
	limit, problem := q.number("limit", storage.DefaultPage, storage.MaxPage)
	return storage.Paging{After: q.values.Get("after"), Limit: limit}, badRequest(problem)
}

// maxWait is how long a request may be held.
const maxWait = 30 * time.Second

// wait is how long to hold the request: seconds, or a duration such as 30s.
func (q query) wait() (time.Duration, *apiError) {
	s := q.values.Get("wait")
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if seconds, notNumber := strconv.Atoi(s); notNumber == nil && seconds <= int(maxWait/time.Second) {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d < 0 || d > maxWait {
		return 0, badParameter("wait", "must be from 0 to 30 seconds, such as 30 or 30s")
	}
	return d, nil
}
