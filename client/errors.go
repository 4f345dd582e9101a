package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is what the hub, or a proxy in front of it, answered instead of serving.
type Error struct {
	// Status is the HTTP status; of a WebSocket, that of which its close code or the
	// code of its message is the twin, and 0 where it has none.
	Status int
	// Code is the member error of the hub's answer, or the code of its message. Empty:
	// somebody else has answered.
	Code string
	// Message is for people, Field names what is wrong, Session what it is about.
	Message, Field, Session string
	// RetryAfter is how long the hub asks to wait, up to an hour.
	RetryAfter time.Duration

	passing bool // there is another way, whatever the status
}

// maxRetryAfter bounds how long one waits because an answer says so.
const maxRetryAfter = time.Hour

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("the hub refuses")
	if e.Session != "" {
		fmt.Fprintf(&b, " session %q", e.Session)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d", e.Status)
	}
	for _, text := range []string{e.Code, e.Message} {
		if text != "" {
			b.WriteString(": " + text)
		}
	}
	if e.Field != "" {
		fmt.Fprintf(&b, " (%s)", e.Field)
	}
	return b.String()
}

// Permanent reports whether trying again cannot help: a redirect, or a status from 400
// to 499 that does not ask to wait.
func (e *Error) Permanent() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return !e.passing && e.Status >= 300 && e.Status < 500
}

func isPermanent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Permanent()
}

// retryAfter is how long the hub asks to wait, 0 where it does not.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// maxRefusal is how much is read of an answer that is no success.
const maxRefusal = 64 << 10

// refusal is the error that an answer stands for; its body is read.
func refusal(resp *http.Response) *Error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what there is of it tells more than nothing
	var body struct {
		Error, Message, Field string
		Details               struct{ SessionID string }
	}
	_ = json.Unmarshal(raw, &body) // others than the hub answer in other forms
	e := &Error{
		Status: resp.StatusCode, Code: body.Error, Message: body.Message, Field: body.Field,
		Session: body.Details.SessionID, RetryAfter: waitOf(resp.Header.Get("Retry-After")),
	}
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		e.Message = "it is at " + to + " now; use that address"
	}
	if e.Code == "" && e.Message == "" {
		e.Message = http.StatusText(e.Status)
	}
	return e
}

// waitOf reads seconds, as Retry-After has them.
func waitOf(seconds string) time.Duration {
	s, err := strconv.ParseFloat(strings.TrimSpace(seconds), 64)
	if err != nil || !(s > 0) {
		return 0
	}
	return time.Duration(min(s, maxRetryAfter.Seconds()) * float64(time.Second))
}
