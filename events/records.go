package events

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/actionflows/lifeline/storage"
)

// recordOp is what can be done by one method with the records at one path below
// /api/records/. recordOps has them all; routing, the header Allow and the tests
// follow from it.
type recordOp struct {
	method string
	path   string // ":id" stands for any id
	do     func(*call) (int, any, error)
}

// recordPaths are the operations by path and method, recordAllow what the header
// Allow says of each path.
var recordPaths, recordAllow = indexRecords()

func indexRecords() (paths map[string]map[string]func(*call) (int, any, error), allow map[string]string) {
	paths = make(map[string]map[string]func(*call) (int, any, error))
	for _, op := range recordOps() {
		if paths[op.path] == nil {
			paths[op.path] = make(map[string]func(*call) (int, any, error))
		}
		paths[op.path][op.method] = op.do
	}
	allow = make(map[string]string)
	for path, methods := range paths {
		if get := methods[http.MethodGet]; get != nil {
			methods[http.MethodHead] = get
		}
		var names []string
		for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
			if methods[m] != nil {
				names = append(names, m)
			}
		}
		allow[path] = strings.Join(append(names, http.MethodOptions), ", ")
	}
	return paths, allow
}

// matchRecords reads what follows /api/records.
func (rt route) matchRecords(rest []string) (route, bool) {
	for i, segment := range rest {
		if segment == "" || i != 1 && strings.Contains(segment, "/") {
			return route{}, false // only an id may have a slash
		}
	}
	rt.kind, rt.record = routeRecords, strings.Join(rest, "/")
	if len(rest) > 1 && rt.record != pathMetrics {
		rt.id = rest[1]
		rt.record = strings.Join(append([]string{rest[0], ":id"}, rest[2:]...), "/")
	}
	_, ok := recordPaths[rt.record]
	return rt, ok
}

// records serves a path below /api/records/.
func (c *call) records() (int, any, error) { return recordPaths[c.route.record][c.r.Method](c) }

// added has T written and answers it as it was written. prepare, which may be nil,
// sets or refuses what the client may not say himself.
func added[T any](limit int64, prepare func(*call, *T) error, write func(*storage.Store, context.Context, T) (T, error)) func(*call) (int, any, error) {
	return written(http.StatusCreated, limit, nil, prepare, write)
}

// put is added for the record whose id stands in the path.
func put[T any](limit int64, id func(*T) *string, prepare func(*call, *T) error, write func(*storage.Store, context.Context, T) (T, error)) func(*call) (int, any, error) {
	return written(http.StatusOK, limit, id, prepare, write)
}

func written[T any](status int, limit int64, id func(*T) *string, prepare func(*call, *T) error, write func(*storage.Store, context.Context, T) (T, error)) func(*call) (int, any, error) {
	return func(c *call) (int, any, error) {
		record, err := decodeBody[T](c, limit)
		if err != nil {
			return 0, nil, err
		}
		if id != nil {
			*id(&record) = c.route.id
		}
		if prepare != nil {
			if err := prepare(c, &record); err != nil {
				return 0, nil, err
			}
		}
		record, err = write(c.store(), c.ctx(), record)
		return status, record, err
	}
}

// got answers the record whose id stands in the path. may, which may be nil,
// decides whether the client may have it.
func got[T any](read func(*storage.Store, context.Context, string) (T, error), may func(*call, *T) error) func(*call) (int, any, error) {
	return func(c *call) (int, any, error) {
		record, err := read(c.store(), c.ctx(), c.route.id)
		if err == nil && may != nil {
			err = may(c, &record)
		}
		return http.StatusOK, record, err
	}
}

// removed removes the record whose id stands in the path; before, which may be nil,
// decides whether the client may.
func removed(before func(*call, string) error, remove func(*storage.Store, context.Context, string) (bool, error)) func(*call) (int, any, error) {
	return func(c *call) (int, any, error) {
		if before != nil {
			if err := before(c, c.route.id); err != nil {
				return 0, nil, err
			}
		}
		existed, err := remove(c.store(), c.ctx(), c.route.id)
		if err == nil && !existed {
			err = storage.ErrNotFound
		}
		return http.StatusOK, removal{Success: true, ID: c.route.id}, err
	}
}

// listed answers a list under the name of its kind.
func listed[T any](name string, list func(*call) (storage.Page[T], error)) func(*call) (int, any, error) {
	return func(c *call) (int, any, error) {
		page, err := list(c)
		body := map[string]any{name: page.Items, "count": len(page.Items)}
		if page.Next != "" {
			body["next"] = page.Next
		}
		return http.StatusOK, body, err
	}
}

// whole is a list that has no pages.
func whole[T any](items []T, err error) (storage.Page[T], error) {
	if items == nil {
		items = []T{}
	}
	return storage.Page[T]{Items: items}, err
}

// parameters reads what several lists have in common, and keeps the first thing
// that is wrong.
type parameters struct {
	query query
	err   error
}

func (p *parameters) text(name string) string { return p.query.values.Get(name) }

func (p *parameters) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parameters) paging() storage.Paging {
	paging, err := p.query.paging()
	p.fail(err)
	return paging
}

// limit is how many at most; 0 where it is not given.
func (p *parameters) limit() int {
	n, problem := p.query.number("limit", 0, storage.MaxPage)
	p.fail(badRequest(problem))
	return n
}

// time is a time; the zero one where it is not given.
func (p *parameters) time(name string) time.Time {
	s := p.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || validTimestamp(s) != nil {
		p.fail(badRequest(badParameter(name, "is not an RFC 3339 time, such as 2026-02-10T04:15:00.000Z")))
	}
	return t
}

// share is a number from 0 to 1; 0 where it is not given.
func (p *parameters) share(name string) float64 {
	s := p.text(name)
	if s == "" {
		return 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1) { // also when it is not a number
		p.fail(badRequest(badParameter(name, "must be a number from 0 to 1")))
	}
	return f
}
