package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// FieldError says what is wrong with what the caller gave; nothing was changed.
// Over HTTP it is a 400.
type FieldError struct {
	Field   string // as in JSON, with points between levels; "": the record as a whole
	Problem string // reads on after the field's name
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + " " + e.Problem
}

// Limits of what a record may hold.
const (
	// MaxID is how many bytes an id has at most: of a session, user, project,
	// chain or any other record.
	MaxID = 200
	// MaxName is how many bytes a short text has at most: a status, type, label.
	MaxName = 1000
	// MaxRecord is how many bytes of JSON a session, chain, dossier, history entry
	// or input has at most, MaxSmallRecord any other record.
	MaxRecord      = 1 << 20
	MaxSmallRecord = 64 << 10
	// MaxDepth is how deep objects and arrays of a record or input are nested at
	// most. The JSON decoders of most clients, and of Go, give up somewhere above:
	// a list with a single deeper record could be read by nobody.
	MaxDepth = 1000
)

// newID draws an id: unique, and increasing with time (UUID version 7).
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func checkID(field, id string) error {
	return firstError(checkPresent(field, id), checkOptionalID(field, id))
}

func checkOptionalID(field, id string) error { return checkString(field, id, MaxID) }

// checkString accepts valid UTF-8 of at most limit bytes without control characters.
func checkString(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return &FieldError{field, fmt.Sprintf("is %d bytes long, at most %d are allowed", len(s), limit)}
	case !utf8.ValidString(s):
		return &FieldError{field, "is not valid UTF-8"}
	case strings.ContainsFunc(s, unicode.IsControl):
		return &FieldError{field, "contains a control character"}
	}
	return nil
}

func checkPresent(field, s string) error {
	if s == "" {
		return &FieldError{field, "is missing"}
	}
	return nil
}

func checkName(field, s string) error {
	return firstError(checkPresent(field, s), checkString(field, s, MaxName))
}

func checkOneOf(field, s string, allowed ...string) error {
	if slices.Contains(allowed, s) {
		return nil
	}
	if s == "" {
		return &FieldError{field, "is missing"}
	}
	return &FieldError{field, "must be one of " + strings.Join(allowed, ", ")}
}

// checkOptional is checkOneOf for what may be left out.
func checkOptional(field, s string, allowed ...string) error {
	if s == "" {
		return nil
	}
	return checkOneOf(field, s, allowed...)
}

// checkTime accepts what JSON and an index can hold.
func checkTime(field string, t time.Time) error {
	if t.IsZero() {
		return nil
	}
	if year := t.UTC().Year(); year < 1970 || year > 9999 {
		return &FieldError{field, "must be between the years 1970 and 9999"}
	}
	return nil
}

// firstError is the first of several checks that failed, in their order.
func firstError(checks ...error) error {
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

// encode writes a record of at most limit bytes.
func encode(record any, limit int) ([]byte, error) {
	b, err := json.Marshal(record)
	if err != nil {
		if wrong, ok := errors.AsType[*FieldError](err); ok {
			return nil, wrong
		}
		return nil, &FieldError{Problem: "the record cannot be written as JSON: " + err.Error()}
	}
	if len(b) > limit {
		return nil, &FieldError{Problem: fmt.Sprintf("the record has %d bytes, at most %d are allowed", len(b), limit)}
	}
	if tooDeep(b) {
		return nil, &FieldError{Problem: "the record " + deeper}
	}
	return b, nil
}

var deeper = fmt.Sprintf("is nested deeper than %d levels", MaxDepth)

// tooDeep looks at valid JSON.
func tooDeep(b []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
