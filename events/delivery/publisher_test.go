package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// publisher posts numbered events to one server and the session that is told by its
// name, each until it is acknowledged.
type publisher struct {
	t       testing.TB
	node    *node
	name    string
	acked   atomic.Int64  // events 1 to acked are acknowledged
	pause   time.Duration // after each
	pending func()        // called when an event was acknowledged from the journal alone; nil: nobody cares
}

// run posts until ctx ends, or most events are acknowledged.
func (p *publisher) run(ctx context.Context, most int64) {
	for n := p.acked.Load() + 1; n <= most && ctx.Err() == nil; n++ {
		body := fmt.Sprintf(`{"type":%q,"sessionId":%q,"id":"%s-%d"}`, typeOf(n), sessionOf(p.name), p.name, n)
		if !p.post(ctx, body) {
			return
		}
		p.acked.Store(n)
		if p.pause > 0 {
			rest(ctx, p.pause)
		}
	}
}

// post posts one event, again and again while the server cannot take it. It answers
// false when that will not be.
func (p *publisher) post(ctx context.Context, body string) bool {
	for began := time.Now(); ; rest(ctx, 10*time.Millisecond) {
		status, answer, err := p.try(body)
		switch {
		case status == http.StatusCreated || status == http.StatusOK:
			if p.pending != nil && answer.Pending {
				p.pending()
			}
			return true
		case status != http.StatusServiceUnavailable && err == nil, time.Since(began) > patience:
			p.t.Errorf("post %s: %d, %v", body, status, err)
			return false
		case ctx.Err() != nil && err != nil:
			return false
		}
	}
}

type postAnswer struct{ Pending bool }

// try is not bound to a context: an event that was begun is brought to its end.
func (p *publisher) try(body string) (status int, a postAnswer, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.node.url+"/api/events", strings.NewReader(body))
	if err != nil {
		return 0, a, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(clientHeader, "192.0.2.254")
	resp, err := p.node.client.Do(req)
	if err != nil {
		return 0, a, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	return resp.StatusCode, a, err
}

// origin says who published an event, and which of his it is.
func origin(id string) (publisher string, n int64) {
	name, number, _ := strings.Cut(id, "-")
	if _, err := fmt.Sscan(number, &n); err != nil {
		return id, 0
	}
	return name, n
}
