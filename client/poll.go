package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// hold is how long the hub is asked to hold a poll; it does so for 30s at most.
	hold = 25 * time.Second
	// heldFor: an answer that took longer was held.
	heldFor = time.Second
	// pollEvents are asked for of one session, and pollEventsAll of several together.
	pollEvents, pollEventsAll = 500, 5000
)

// poller polls. It is always open, and goes on through failures by itself, because
// there is nothing worse to fall back to.
type poller struct {
	c *Client
	f *follower
}

// page is what a poll answers about a session.
type page struct {
	Events       []json.RawMessage
	Cursor       string
	HasMore, Gap bool
}

// serve implements link.
func (p *poller) serve(ctx context.Context) error {
	for {
		again, err := p.round(ctx)
		var wait time.Duration
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case isPermanent(err):
			return fmt.Errorf("poll: %w", err)
		case err != nil:
			p.f.report(ctx, fmt.Errorf("poll: %w", err))
			wait = max(p.f.options.PollInterval, retryAfter(err))
		case !again:
			wait = p.f.options.PollInterval
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
	}
}

// round polls once. again: the next can follow at once.
func (p *poller) round(ctx context.Context) (again bool, err error) {
	if fresh := p.f.sessions.fresh(); len(fresh) > 0 {
		return true, p.begin(ctx, fresh)
	}
	ids := p.f.sessions.ids
	began := time.Now()
	pages, err := p.ask(ctx, ids, url.Values{
		"wait":  {strconv.Itoa(int(hold.Seconds()))},
		"limit": {strconv.Itoa(min(pollEvents, pollEventsAll/len(ids)))},
	})
	if err != nil {
		return false, err
	}
	again = time.Since(began) > heldFor
	for _, id := range ids {
		at := pages[id]
		again = again || at.HasMore || len(at.Events) > 0
		if err := p.take(ctx, id, at); err != nil {
			return false, err
		}
	}
	return again, nil
}

// begin gets a position for sessions that have none.
func (p *poller) begin(ctx context.Context, fresh []string) error {
	pages, err := p.ask(ctx, fresh, url.Values{"limit": {"1"}})
	for id, at := range pages {
		p.f.sessions.move(id, at.Cursor)
	}
	return err
}

// take hands out the events of a session.
func (p *poller) take(ctx context.Context, id string, at page) error {
	if at.Gap {
		if err := p.f.reset(ctx, id, Gap, ""); err != nil {
			return err
		}
	}
	for i, data := range at.Events {
		e, err := newEvent(data)
		if err != nil {
			return err
		}
		if e.Session = id; i == len(at.Events)-1 {
			e.Cursor = at.Cursor
		}
		if err := p.f.deliver(ctx, e); err != nil {
			return err
		}
	}
	p.f.sessions.move(id, at.Cursor)
	return nil
}

// ask answers a page for each of some sessions.
func (p *poller) ask(ctx context.Context, ids []string, more url.Values) (map[string]page, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, hold+p.f.options.ConnectTimeout, errNoAnswer)
	defer cancel()
	path, query := p.f.sessions.request("poll", ids)
	for name := range more {
		query.Set(name, more.Get(name))
	}
	resp, err := p.c.get(ctx, p.f.http, path, query)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	p.f.storageIs(ctx, resp.Header.Get("Lifeline-Degraded") == "true")
	var answer struct {
		page
		Sessions map[string]page
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read the answer: %w", because(ctx, err))
	}
	if len(ids) == 1 {
		answer.Sessions = map[string]page{ids[0]: answer.page}
	}
	for _, id := range ids {
		if answer.Sessions[id].Cursor == "" {
			return nil, fmt.Errorf("the answer has no cursor of session %q: this is no hub", id)
		}
	}
	return answer.Sessions, nil
}

// close implements link.
func (p *poller) close() {}

// get makes a request of the hub.
func (c *Client) get(ctx context.Context, by *http.Client, path string, query url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address(c.base.Scheme, path, query), nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header = c.header.Clone()
	return by.Do(req) //nolint:wrapcheck // says what was done
}
