package events

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/actionflows/lifeline/storage"
)

// maxTypes bounds how many types one filter names.
const maxTypes = 50

// typeFilter lets events through by their type: one of those it names, or of a
// namespace that it names as "namespace:*". The empty filter lets all through.
type typeFilter []string

// parseTypes reads what stands in the parameter types, which may be given several
// times, with commas between types.
func parseTypes(values []string) (typeFilter, *apiError) {
	if len(values) == 0 {
		return nil, nil
	}
	f, err := newTypeFilter(strings.Split(strings.Join(values, ","), ","))
	if err != nil {
		return nil, badParameter("types", err.Error())
	}
	return f, nil
}

// newTypeFilter is the filter that these names make. The error goes on after "types".
func newTypeFilter(names []string) (typeFilter, error) {
	for _, name := range names {
		if err := validType(name); err != nil {
			return nil, fmt.Errorf("%.120q %w", name, err)
		}
	}
	if len(names) > maxTypes {
		return nil, fmt.Errorf("names %d types, at most %d are allowed", len(names), maxTypes)
	}
	return names, nil
}

func (f typeFilter) takes(kind string) bool {
	if len(f) == 0 {
		return true
	}
	return slices.ContainsFunc(f, func(name string) bool {
		namespace, all := strings.CutSuffix(name, "*")
		return name == kind || all && strings.HasSuffix(namespace, ":") && strings.HasPrefix(kind, namespace)
	})
}

// typeOf is the type of a stored event.
func typeOf(data []byte) (kind string) {
	s := scanner{data: data}
	if s.space(); s.peek() != '{' {
		return ""
	}
	_ = s.object(1, func(key, value []byte) {
		if keyIndex(key) == keyType && value[0] == '"' { // storage may hold what others wrote
			kind, _ = unquote(value)
		}
	})
	return kind
}

// filterPages is how many pages one request reads for its types; then the answer
// says that there may be more.
const filterPages = 10

// filtered is a page with the events of some types only. Its cursor passes those
// that were left out.
type filtered struct {
	storage.LogPage
	oldest *storage.Cursor // the first entry that was looked at; nil: there is none
}

// reading reads one page of a session's events.
type reading func(ctx context.Context, session string, q storage.LogQuery) (storage.LogPage, error)

// page reads a page with the events that f lets through.
func (read reading) page(ctx context.Context, session string, q storage.LogQuery, f typeFilter) (filtered, error) {
	if len(f) == 0 {
		page, err := read(ctx, session, q)
		p := filtered{LogPage: page}
		p.looked(page)
		return p, err
	}
	limit := q.Limit
	q.Limit = storage.MaxPage
	if q.After != nil {
		return read.forward(ctx, session, q, limit, f)
	}
	return read.back(ctx, session, q, limit, f)
}

func (p *filtered) looked(page storage.LogPage) {
	if len(page.Entries) > 0 {
		p.oldest = &page.Entries[0].Cursor
	}
}

// forward reads on until there are limit events.
func (read reading) forward(ctx context.Context, session string, q storage.LogQuery, limit int, f typeFilter) (p filtered, err error) {
	for n := range filterPages {
		page, err := read(ctx, session, q)
		if err != nil {
			return p, err
		}
		before := p.LogPage
		if p.LogPage = page; n == 0 {
			p.looked(page)
		}
		p.Entries = before.Entries
		p.Gap, p.Degraded = before.Gap || page.Gap, before.Degraded || page.Degraded
		for i, e := range page.Entries {
			if !f.takes(typeOf(e.Data)) {
				continue
			}
			if p.Entries = append(p.Entries, e); len(p.Entries) == limit {
				last := i == len(page.Entries)-1
				p.HasMore = !last || page.HasMore
				if !last {
					p.Cursor = e.Cursor
				}
				return p, nil
			}
		}
		if !page.HasMore {
			break
		}
		q.After = &page.Cursor
	}
	return p, nil
}

// back reads older pages until there are limit events.
func (read reading) back(ctx context.Context, session string, q storage.LogQuery, limit int, f typeFilter) (p filtered, err error) {
	var found []storage.LogEntry // the newest first
	for n := range filterPages {
		page, err := read(ctx, session, q)
		if err != nil {
			return p, err
		}
		if n == 0 {
			p.LogPage = page
		}
		p.HasMore, p.Degraded = page.HasMore, p.Degraded || page.Degraded
		p.looked(page)
		for i, e := range slices.Backward(page.Entries) {
			if !f.takes(typeOf(e.Data)) {
				continue
			}
			if found = append(found, e); len(found) == limit {
				p.HasMore = page.HasMore || i > 0
				p.oldest = &page.Entries[i].Cursor
				break
			}
		}
		if len(found) == limit || !page.HasMore || p.oldest == nil {
			break
		}
		q = storage.LogQuery{Before: p.oldest, Limit: storage.MaxPage}
	}
	slices.Reverse(found)
	p.Entries = found
	return p, nil
}
