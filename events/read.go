package events

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// query is the parsed query of a read.
type query struct{ values url.Values }

// parameters are those of a route. What would change the answer if the route took
// it is refused.
func (rt route) parameters(raw string) (query, *apiError) {
	q, problem := parseQuery(raw)
	if problem != nil {
		return q, problem
	}
	var others []string
	switch rt.kind {
	case routePoll:
	case routeRead, routeStream:
		others = []string{"wait"}
	default:
		others = []string{"wait", "types"}
	}
	return q, q.without(others...)
}

// without refuses what the route would have to understand.
func (q query) without(names ...string) *apiError {
	for _, name := range names {
		if q.values.Has(name) {
			return &apiError{Error: fmt.Sprintf("unknown parameter %q", name), Field: name}
		}
	}
	return nil
}

// onceOnly are the parameters of reads that are given once.
var onceOnly = []string{"since", "before", "limit", "seconds", "wait"}

// parseQuery refuses what would change the answer if it were understood. Other
// parameters that we do not know are ignored: existing clients send their own,
// against caches for one.
func parseQuery(raw string) (query, *apiError) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, malformedQuery()
	}
	for _, name := range onceOnly {
		if len(values[name]) > 1 {
			return query{}, badParameter(name, "is given twice")
		}
	}
	return query{values}, nil
}

// malformedQuery does not repeat the error: it quotes the query, where a key may
// stand.
func malformedQuery() *apiError {
	return &apiError{Error: "malformed query", Message: "it contains a semicolon or a % that starts no escape"}
}

func badParameter(name, what string) *apiError {
	return &apiError{Error: "invalid parameter", Message: name + " " + what, Field: name}
}

// number is a whole number from 1 to limit, or def where it is not given.
func (q query) number(name string, def, limit int) (int, *apiError) {
	s := q.values.Get(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > limit {
		return 0, badParameter(name, fmt.Sprintf("must be a whole number from 1 to %d", limit))
	}
	return n, nil
}

// cursor is a cursor or time; nil where it is not given.
func (q query) cursor(name string) (*storage.Cursor, *apiError) {
	s := q.values.Get(name)
	if s == "" {
		return nil, nil //nolint:nilnil // there is none, and nothing is wrong
	}
	c, err := storage.ParseCursor(s)
	if err != nil {
		return nil, badParameter(name, "is "+err.Error())
	}
	return &c, nil
}

// page is the part of a log that since, before and limit ask for.
func (q query) page(limit int) (storage.LogQuery, *apiError) {
	var lq storage.LogQuery
	var problem *apiError
	if lq.After, problem = q.cursor("since"); problem != nil {
		return lq, problem
	}
	if lq.Before, problem = q.cursor("before"); problem != nil {
		return lq, problem
	}
	if lq.After != nil && lq.Before != nil {
		return lq, badParameter("before", "cannot be given together with since")
	}
	lq.Limit, problem = q.number("limit", limit, storage.MaxPage)
	return lq, problem
}

// receivedTime is how a position is written as a time.
const receivedTime = "2006-01-02T15:04:05.000000Z"

// appendReceived appends t as receivedTime has it, in a fifth of the time that
// [time.Time.AppendFormat] takes, which was a sixth of that of a replay.
func appendReceived(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 1000 || year > 9999 {
		return t.AppendFormat(b, receivedTime)
	}
	hour, minute, second := t.Clock()
	b = strconv.AppendInt(b, int64(year), 10)
	b = append2(append(b, '-'), int(month))
	b = append2(append(b, '-'), day)
	b = append2(append(b, 'T'), hour)
	b = append2(append(b, ':'), minute)
	b = append2(append(b, ':'), second)
	micros := t.Nanosecond() / 1000
	b = append2(append(b, '.'), micros/10_000)
	b = append2(b, micros/100%100)
	b = append2(b, micros%100)
	return append(b, 'Z')
}

func append2(b []byte, v int) []byte { return append(b, byte('0'+v/10), byte('0'+v%10)) }

// Defaults and bounds of GET /api/events/:sessionId/recent.
const (
	recentLimit   = 50
	recentSeconds = 60
	maxSeconds    = 366 * 24 * 3600
)

type pageHead struct {
	SessionID  string `json:"sessionId"`
	Count      int    `json:"count"`
	CutoffTime string `json:"cutoffTime,omitempty"`
}

type pageTail struct {
	Timestamp   string `json:"timestamp,omitempty"`
	PollingMode bool   `json:"pollingMode,omitempty"`
	Cursor      string `json:"cursor"`
	HasMore     bool   `json:"hasMore"`
	Before      string `json:"before,omitempty"` // pages back to older events
	Gap         bool   `json:"gap,omitempty"`
	Degraded    bool   `json:"degraded,omitempty"`
}

// degradedTail is all that follows the recent events, while storage is degraded.
type degradedTail struct {
	Degraded bool `json:"degraded"`
}

// read answers GET /api/events/:sessionId.
func (s *Site) read(w http.ResponseWriter, r *http.Request, session string, q query) {
	lq, problem := q.page(storage.DefaultPage)
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	types, problem := parseTypes(q.values["types"])
	if problem != nil {
		writeError(w, http.StatusBadRequest, *problem)
		return
	}
	page, err := reading(s.Hub.Read).page(r.Context(), session, lq, types)
	if err != nil {
		s.writeStorageError(w, r, err)
		return
	}
	tail := pageTail{
		Cursor: page.Cursor.String(), HasMore: page.HasMore,
		Gap: page.Gap, Degraded: page.Degraded,
	}
	if lq.After == nil && page.HasMore && !page.Degraded && page.oldest != nil {
		tail.Before = page.oldest.String()
	}
	s.writePage(w, r, pageHead{SessionID: session}, page.LogPage, tail)
}

// recent answers GET /api/events/:sessionId/recent: what was received in the
// last seconds, the newest limit of it.
func (s *Site) recent(w http.ResponseWriter, r *http.Request, session string, q query) {
	limit, problem := q.number("limit", recentLimit, storage.MaxPage)
	if problem == nil {
		var seconds int
		if seconds, problem = q.number("seconds", recentSeconds, maxSeconds); problem == nil {
			s.recentSince(w, r, session, limit, time.Now().Add(-time.Duration(seconds)*time.Second))
			return
		}
	}
	writeError(w, http.StatusBadRequest, *problem)
}

func (s *Site) recentSince(w http.ResponseWriter, r *http.Request, session string, limit int, cutoff time.Time) {
	page, err := s.Hub.Read(r.Context(), session, storage.LogQuery{Limit: limit})
	if err != nil {
		s.writeStorageError(w, r, err)
		return
	}
	for len(page.Entries) > 0 && page.Entries[0].Received.Before(cutoff) {
		page.Entries = page.Entries[1:]
	}
	head := pageHead{SessionID: session, CutoffTime: cutoff.UTC().Format(receivedTime)}
	if page.Degraded {
		s.writePage(w, r, head, page, degradedTail{true})
		return
	}
	s.writePage(w, r, head, page, nil)
}

// writePage answers with the members of head, the events as they are stored, and
// the members of tail, if it is not nil. The events are not copied together
// first: a page may hold a thousand of a megabyte.
func (s *Site) writePage(w http.ResponseWriter, r *http.Request, head pageHead, page storage.LogPage, tail any) {
	if page.Degraded {
		w.Header().Set("Lifeline-Degraded", "true")
	}
	writeTexts(w, r, newPageText(head, page.Entries, tail))
}

// pageText is a page, or something between pages, as it is written.
type pageText struct {
	start   []byte
	entries []storage.LogEntry
	end     []byte
}

func newPageText(head pageHead, entries []storage.LogEntry, tail any) pageText {
	head.Count = len(entries)
	start := appendJSON(nil, head)
	p := pageText{append(start[:len(start)-1], `,"events":[`...), entries, []byte("]}")}
	if tail != nil {
		end := appendJSON([]byte("],"), tail)
		p.end = append(end[:2], end[3:]...) // without its opening brace
	}
	return p
}

// writeTexts answers with texts, one after the other.
func writeTexts(w http.ResponseWriter, r *http.Request, texts ...pageText) {
	size := 0
	for _, p := range texts {
		size += len(p.start) + len(p.end) + max(0, len(p.entries)-1)
		for _, e := range p.entries {
			size += len(e.Data)
		}
	}
	dynamic(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	out := joiner{w: w}
	for _, p := range texts {
		out.write(p.start)
		for i, e := range p.entries {
			if i > 0 {
				out.write([]byte{','})
			}
			out.write(e.Data)
		}
		out.write(p.end)
	}
	out.flush()
}

// joiner writes in pieces of a worthwhile size. What it is given it only reads:
// events are shared with storage.
type joiner struct {
	w   http.ResponseWriter
	buf []byte
	err error
}

const joinSize = 32 << 10 // bytes

func (j *joiner) write(b []byte) {
	if len(j.buf)+len(b) > joinSize {
		j.flush()
	}
	if len(b) > joinSize {
		j.send(b)
		return
	}
	j.buf = append(j.buf, b...)
}

func (j *joiner) flush() {
	j.send(j.buf)
	j.buf = j.buf[:0]
}

// send writes b. Once that has failed the client is gone, and the rest goes
// nowhere.
func (j *joiner) send(b []byte) {
	if j.err == nil {
		_, j.err = j.w.Write(b)
	}
}
