package storage

import (
	"errors"
	"fmt"
	"time"
)

// Errors that drivers answer; test for them with errors.Is.
var (
	// ErrClosed: the driver was closed.
	ErrClosed = errors.New("storage is closed")
	// ErrNotFound: there is no such document.
	ErrNotFound = errors.New("not found")
	// ErrGap: the log has not taken the producer's previous number.
	ErrGap = errors.New("the producer's previous entry is missing in the log")
	// ErrGone: the log was deleted after the entry was accepted.
	ErrGone = errors.New("the log was deleted after the entry was accepted")
	// ErrFull: the queue has as many items as it may.
	ErrFull = errors.New("the queue is full")
	// ErrPoison: this entry or log can never be written (wrong type of a key, a
	// script error); others can.
	ErrPoison = errors.New("the log cannot be written")
)

// UnavailableError says that storage cannot take or answer something now, and
// when to try again. It is the only error for which a caller should retry.
type UnavailableError struct {
	Reason     string        // for people, without addresses or secrets
	RetryAfter time.Duration // 0: unknown
	Err        error         // the cause, may be nil
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return "storage unavailable: " + e.Reason
	}
	return fmt.Sprintf("storage unavailable: %s: %v", e.Reason, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }
