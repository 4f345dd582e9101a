package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/actionflows/lifeline/storage"
)

// maxComposite bounds a composite id, in bytes: maxSeveral sessions of the longest
// ids, all of it escaped, with the longest cursors, fit.
const maxComposite = 64 << 10

// composite says how far the reader of several sessions has come, as base64url of a
// JSON object session → cursor.
//
// Each member is padded with white space to whole groups of three bytes, so that it
// is encoded by itself: an event changes one member, and the others stand there
// already. The zero value is of no use; it is not safe for concurrent use.
type composite struct {
	text    []byte   // encoded
	ends    []int    // of each member in text
	names   [][]byte // the sessions as JSON
	scratch []byte
}

// compositeEnd is the end of the object, encoded; it is a group by itself.
var compositeEnd = base64.RawURLEncoding.EncodeToString([]byte("}  "))

// newComposite begins with the sessions' cursors, in their order.
func newComposite(sessions []string, cursors []storage.Cursor) *composite {
	c := &composite{ends: make([]int, len(sessions)), names: make([][]byte, len(sessions))}
	for i, session := range sessions {
		c.names[i] = appendJSON(nil, session)
		c.text = c.appendMember(c.text, i, []byte(cursors[i].String()))
		c.ends[i] = len(c.text)
	}
	c.text = append(c.text, compositeEnd...)
	return c
}

// appendMember appends the member of session i, encoded.
func (c *composite) appendMember(b []byte, i int, cursor []byte) []byte {
	m := append(c.scratch[:0], ',')
	if i == 0 {
		m[0] = '{'
	}
	m = append(m, c.names[i]...)
	m = append(m, ':', '"') // a cursor has nothing to escape
	m = append(m, cursor...)
	m = append(m, '"')
	for len(m)%3 != 0 {
		m = append(m, ' ')
	}
	c.scratch = m
	return base64.RawURLEncoding.AppendEncode(b, m)
}

// set moves session i to cursor.
func (c *composite) set(i int, cursor []byte) {
	start := 0
	if i > 0 {
		start = c.ends[i-1]
	}
	// Encoded behind the text, then moved to its place, which is nearly always as
	// large as before.
	whole := len(c.text)
	c.text = c.appendMember(c.text, i, cursor)
	size := len(c.text) - whole
	if grown := size - (c.ends[i] - start); grown == 0 {
		copy(c.text[start:], c.text[whole:])
		c.text = c.text[:whole]
	} else {
		member := bytes.Clone(c.text[whole:])
		c.text = slices.Replace(c.text[:whole], start, c.ends[i], member...)
		for k := i; k < len(c.ends); k++ {
			c.ends[k] += grown
		}
	}
}

var errComposite = errors.New("no id of a stream of several sessions")

// parseComposite reads what composite wrote, in any order and with any white space.
// The error wraps [errComposite].
func parseComposite(s string) (map[string]storage.Cursor, error) {
	if len(s) > maxComposite {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", errComposite, len(s), maxComposite)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64url", errComposite)
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%w: it is not UTF-8", errComposite)
	}
	return parseCursors(b)
}

// parseCursors reads a JSON object session → cursor.
func parseCursors(b []byte) (map[string]storage.Cursor, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%w: it is no JSON object", errComposite)
	}
	cursors := make(map[string]storage.Cursor)
	for d.More() {
		session, cursor, err := parseMember(d)
		if err != nil {
			return nil, err
		}
		if _, ok := cursors[session]; ok {
			return nil, fmt.Errorf("%w: session %q stands in it twice", errComposite, session)
		}
		if len(cursors) == maxSeveral {
			return nil, fmt.Errorf("%w: it has more than %d sessions", errComposite, maxSeveral)
		}
		cursors[session] = cursor
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%w: its JSON is not complete", errComposite)
	}
	if len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return nil, fmt.Errorf("%w: something follows the JSON object", errComposite)
	}
	return cursors, nil
}

func parseMember(d *json.Decoder) (session string, c storage.Cursor, err error) {
	name, err := d.Token()
	if err != nil {
		return "", c, fmt.Errorf("%w: it is no JSON object", errComposite)
	}
	value, err := d.Token()
	if err != nil {
		return "", c, fmt.Errorf("%w: its JSON is not complete", errComposite)
	}
	session, _ = name.(string)
	if err := validSessionID(session); err != nil {
		return "", c, fmt.Errorf("%w: session %.120q %w", errComposite, session, err)
	}
	text, ok := value.(string)
	if !ok {
		return "", c, fmt.Errorf("%w: the cursor of session %q is no string", errComposite, session)
	}
	if c, err = storage.ParseCursor(text); err != nil {
		return "", c, fmt.Errorf("%w: the cursor of session %q is %w", errComposite, session, err)
	}
	return session, c, nil
}
