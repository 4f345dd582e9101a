package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// A post that was not taken is repeated after a pause of firstRetry, which doubles with
// each further failure up to lastRetry; half of it is certain, half drawn by lot.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Receipt is the hub's word that it has taken an event.
type Receipt struct {
	EventID, SessionID string
	// Cursor is what resumes behind it.
	Cursor     string
	ReceivedAt time.Time
	// Duplicate: it had been taken before, perhaps by an attempt whose answer was lost.
	Duplicate bool
	// Pending: it waits for storage, in the hub's journal.
	Pending bool
	// Durable: it survives the end of the hub. Not so while it is pending and the hub's
	// journal is in memory.
	Durable bool
}

// Result is what became of one event of a batch.
type Result struct {
	Receipt

	Err error // nil: it was taken
}

// Publish posts an event, anything that encoding/json makes an object of, with members
// type and sessionId, until the hub has taken it. Without a member id or eventId it gets
// an id, so that it is stored once however often it is posted. It ends when the hub
// refuses for good, with an [*Error] that is permanent, or with ctx; then the error has
// both ctx's and the last failure, and nobody knows whether the event was taken: it may
// be published again under its id.
func (c *Client) Publish(ctx context.Context, event any) (Receipt, error) {
	body, err := encodeEvent(event)
	if err != nil {
		return Receipt{}, err
	}
	var receipt Receipt
	err = c.retry(ctx, func(ctx context.Context) error {
		raw, err := c.post(ctx, body)
		if err != nil {
			return err
		}
		receipt, err = readReceipt(raw)
		return err
	})
	if err != nil {
		return Receipt{}, fmt.Errorf("publish: %w", err)
	}
	return receipt, nil
}

// PublishBatch posts events, at most 1000 with together at most 8 MiB, as Publish
// does; those that the hub could not take at once are posted again without the others,
// and then stand behind them in their session. It answers what became of each, in
// their order, and an error unless all were taken.
func (c *Client) PublishBatch(ctx context.Context, events ...any) ([]Result, error) {
	b := &batch{c: c, bodies: make([][]byte, len(events)), results: make([]Result, len(events))}
	for i, event := range events {
		body, err := encodeEvent(event)
		if err != nil {
			return nil, fmt.Errorf("event %d of %d: %w", i+1, len(events), err)
		}
		b.bodies[i], b.left = body, append(b.left, i)
	}
	if len(events) == 0 {
		return b.results, nil
	}
	if err := c.retry(ctx, b.post); err != nil {
		for _, i := range b.left {
			b.results[i].Err = err
		}
	}
	return b.results, b.err()
}

// batch are events on their way.
type batch struct {
	c       *Client
	bodies  [][]byte
	results []Result
	left    []int // what is not decided
}

// post posts what is left; an error means that some of it still is.
func (b *batch) post(ctx context.Context) error {
	body := []byte{'['}
	for n, i := range b.left {
		if n > 0 {
			body = append(body, ',')
		}
		body = append(body, b.bodies[i]...)
	}
	raw, err := b.c.post(ctx, append(body, ']'))
	refused, _ := errors.AsType[*Error](err)
	var answer struct{ Results []json.RawMessage }
	if len(raw) > 0 && json.Unmarshal(raw, &answer) == nil && len(answer.Results) == len(b.left) {
		return b.sort(answer.Results, refused)
	}
	if err == nil {
		err = fmt.Errorf("the answer has %d results for %d events: this is no hub", len(answer.Results), len(b.left))
	}
	return err
}

// sort takes the results of what was left, and leaves those that may be posted again.
func (b *batch) sort(results []json.RawMessage, refused *Error) error {
	var left []int
	var again error
	for n, i := range b.left {
		var of struct {
			Status                int
			Error, Message, Field string
			RetryAfter            float64
		}
		if err := json.Unmarshal(results[n], &of); err != nil {
			return fmt.Errorf("read a result: %w", err)
		}
		if of.Error == "" {
			b.results[i].Receipt, b.results[i].Err = readReceipt(results[n])
			continue
		}
		e := &Error{Status: of.Status, Code: of.Error, Message: of.Message, Field: of.Field, RetryAfter: waitOf(fmt.Sprint(of.RetryAfter))}
		if refused != nil {
			e.RetryAfter = max(e.RetryAfter, refused.RetryAfter)
		}
		if b.results[i].Err = e; !e.Permanent() {
			left, again = append(left, i), e
		}
	}
	b.left = left
	return again
}

// err is an error unless all were taken.
func (b *batch) err() error {
	var first error
	failed := 0
	for _, r := range b.results {
		if r.Err == nil {
			continue
		}
		if failed++; first == nil {
			first = r.Err
		}
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("publish: %d of %d events were not taken, the first because: %w", failed, len(b.results), first)
}

// retry calls post until it succeeds, fails for good, or ctx ends.
func (c *Client) retry(ctx context.Context, post func(context.Context) error) error {
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeoutCause(ctx, c.options.PublishTimeout, errNoAnswer)
		err := post(attempt)
		if err != nil {
			if cause := context.Cause(attempt); cause != nil && ctx.Err() == nil {
				err = cause
			}
		}
		cancel()
		if err == nil || isPermanent(err) {
			return err
		}
		wait := max(jittered(doubled(firstRetry, n, lastRetry)), retryAfter(err))
		if !pause(ctx, wait) {
			return fmt.Errorf("%w; the last attempt: %w", ctx.Err(), err)
		}
	}
}

// post posts JSON once, and answers the body of the answer. With an error that body
// may be there too: a batch of which nothing was taken has results all the same.
func (c *Client) post(ctx context.Context, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(c.base.Scheme, "/api/events", nil), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header = c.header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what was done
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		resp.Body = io.NopCloser(bytes.NewReader(raw))
		return raw, refusal(resp)
	}
	return raw, nil
}

// readReceipt reads the answer about one event.
func readReceipt(raw []byte) (Receipt, error) {
	a := struct {
		Receipt
		Durable *bool
	}{}
	if err := json.Unmarshal(raw, &a); err != nil {
		return Receipt{}, fmt.Errorf("read the answer: %w", err)
	}
	if a.EventID == "" {
		return Receipt{}, fmt.Errorf("the answer names no event: this is no hub")
	}
	a.Receipt.Durable = a.Durable == nil || *a.Durable
	return a.Receipt, nil
}

// encodeEvent is the event as JSON, with an id.
func encodeEvent(event any) ([]byte, error) {
	raw, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("publish: encode the event: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, fmt.Errorf("publish: the event is %T, which is not an object in JSON", event)
	}
	if members["id"] != nil || members["eventId"] != nil {
		return raw, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("publish: make an id: %w", err)
	}
	head := `{"id":"` + id.String() + `"`
	if len(members) > 0 {
		head += ","
	}
	return append([]byte(head), raw[1:]...), nil
}
