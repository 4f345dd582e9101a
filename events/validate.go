package events

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Bounds of what an event names.
const (
	maxSessionID = 200 // bytes
	maxEventID   = 200 // bytes
	maxType      = 100 // characters
)

// The keys of an event that the hub reads.
const (
	keyType = iota
	keySession
	keyTimestamp
	keyID
	keyEventID
	keyCount
)

var keyNames = [keyCount]string{"type", "sessionId", "timestamp", "id", "eventId"}

// eventTime is how the hub writes a missing timestamp: as JavaScript does.
const eventTime = "2006-01-02T15:04:05.000Z"

// ValidSessionID reports what is wrong with a session id: it must be 1–200 bytes
// of valid UTF-8 without control characters, and none of the words that paths
// use. The error reads on after the name of what holds the id: "is empty".
func ValidSessionID(s string) error { return validSessionID(s) }

func validSessionID(s string) error {
	if err := validID(s, maxSessionID); err != nil {
		return err
	}
	switch s {
	case ".", "..", "poll", "stream":
		return fmt.Errorf("%q is reserved", s)
	}
	return nil
}

func validID(s string, limit int) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > limit:
		return fmt.Errorf("is %d bytes long, at most %d are allowed", len(s), limit)
	case !utf8.ValidString(s):
		return errors.New("is not valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("contains a control character")
	}
	return nil
}

// validType: namespace:name, both of at least one character, without white space
// and control characters; the name may contain further colons.
func validType(s string) error {
	namespace, name, ok := strings.Cut(s, ":")
	switch n := utf8.RuneCountInString(s); {
	case n > maxType:
		return fmt.Errorf("is %d characters long, at most %d are allowed", n, maxType)
	case !ok || namespace == "" || name == "":
		return errors.New("is not of the form namespace:name")
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return errors.New("contains white space or a control character")
	}
	return nil
}

// parseEvent reads the one event that body must be. The result's Data is body as
// it was received, without surrounding white space, line breaks turned into
// spaces, and with the id or timestamp that it lacked directly after the opening
// brace. It may keep and change body. An error says what is wrong and where, and
// belongs to status 400.
func parseEvent(body []byte, now time.Time) (Event, *apiError) {
	found, object, err := scanEvent(body)
	if err != nil {
		return Event{}, err
	}
	var e Event
	if e.Type, err = found.field(keyType, true, validType); err != nil {
		return Event{}, err
	}
	if e.Session, err = found.field(keySession, true, validSessionID); err != nil {
		return Event{}, err
	}
	if _, err = found.field(keyTimestamp, false, validTimestamp); err != nil {
		return Event{}, err
	}
	id := keyID
	if found[keyID] == nil { // where both are given, id wins
		id = keyEventID
	}
	if e.ID, err = found.field(id, false, validEventID); err != nil {
		return Event{}, err
	}
	var missing []byte
	if found[id] == nil {
		e.ID = newEventID()
		missing = fmt.Appendf(missing, `"id":"%s",`, e.ID)
	}
	if found[keyTimestamp] == nil {
		missing = fmt.Appendf(missing, `"timestamp":"%s",`, now.UTC().Format(eventTime))
	}
	e.Data = oneLine(object)
	if missing != nil {
		e.Data = insertMembers(e.Data, missing)
	}
	return e, nil
}

// newEventID draws an id: unique, and increasing with time (UUID version 7).
func newEventID() string { return uuid.Must(uuid.NewV7()).String() }

func validEventID(s string) error { return validID(s, maxEventID) }

func validTimestamp(s string) error {
	_, err := time.Parse(time.RFC3339, s)
	// Beyond RFC 3339 it takes an hour of one digit, and a decimal comma.
	if err != nil || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
		return errors.New("is not an RFC 3339 time, such as 2026-02-10T04:15:00.000Z")
	}
	return nil
}

// members are the values of the keys that the hub reads, as they stand in the
// JSON text; nil: not there.
type members [keyCount][]byte

// field is the value of one key. It must be a string that valid accepts.
func (m *members) field(key int, required bool, valid func(string) error) (string, *apiError) {
	name, raw := keyNames[key], m[key]
	if raw == nil {
		if required {
			return "", fieldError(name, "is missing")
		}
		return "", nil
	}
	if raw[0] != '"' {
		return "", fieldError(name, "must be a string, not "+kindOf(raw[0]))
	}
	s, ok := unquote(raw)
	if !ok {
		return "", fieldError(name, `contains half of a \u surrogate pair`)
	}
	if err := valid(s); err != nil {
		return "", fieldError(name, err.Error())
	}
	return s, nil
}

func fieldError(field, what string) *apiError {
	return &apiError{Error: "invalid event", Message: field + " " + what, Field: field}
}

// scanEvent checks that body is one JSON object in UTF-8 and finds the keys the
// hub reads; object is the part of body without surrounding white space.
func scanEvent(body []byte) (found members, object []byte, problem *apiError) {
	if !utf8.Valid(body) {
		return found, nil, jsonError(&syntaxError{invalidUTF8At(body), "not valid UTF-8"})
	}
	s := scanner{data: body}
	s.space()
	if s.pos == len(body) {
		return found, nil, jsonError(&syntaxError{s.pos, "one JSON object is expected, found nothing"})
	}
	if c := body[s.pos]; c != '{' {
		return found, nil, jsonError(&syntaxError{s.pos, "one JSON object is expected, found " + kindOf(c)})
	}
	start := s.pos
	err := s.object(1, func(key, value []byte) {
		k := keyIndex(key)
		if k < 0 {
			return
		}
		if found[k] != nil && problem == nil {
			problem = fieldError(keyNames[k], "is given twice")
		}
		found[k] = value
	})
	if err != nil {
		return found, nil, jsonError(err)
	}
	object = body[start:s.pos]
	if s.space(); s.pos < len(body) {
		return found, nil, jsonError(&syntaxError{s.pos, "one JSON object is expected, found more after it"})
	}
	return found, object, problem
}

// keyIndex is which of the keys that the hub reads a quoted one is, however it
// is escaped; -1: none.
func keyIndex(quoted []byte) int {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		s, _ := unquote(quoted)
		name = []byte(s)
	}
	for i, known := range keyNames {
		if string(name) == known {
			return i
		}
	}
	return -1
}

func jsonError(e *syntaxError) *apiError {
	return &apiError{
		Error:   "invalid JSON",
		Message: fmt.Sprintf("%s at byte %d", e.what, e.offset),
		Details: map[string]int{"offset": e.offset},
	}
}

func invalidUTF8At(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// oneLine turns line breaks into spaces, in place. In valid JSON they stand
// between tokens only; within a string they are escaped.
func oneLine(object []byte) []byte {
	for i, c := range object {
		if c == '\n' || c == '\r' {
			object[i] = ' '
		}
	}
	return object
}

// insertMembers puts members, each with its comma, after the opening brace of an
// object that is not empty.
func insertMembers(object, members []byte) []byte {
	out := make([]byte, 0, len(object)+len(members))
	out = append(out, '{')
	out = append(out, members...)
	return append(out, object[1:]...)
}
