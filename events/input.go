package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/actionflows/lifeline/storage"
)

const (
	// maxInputWaits is how many requests for input are held at a time.
	maxInputWaits = 1_000
	// inputInterval is how often a held request looks for input by itself: what
	// another node has taken in may not have been told here.
	inputInterval = time.Second
)

type inputAccepted struct {
	Success   bool   `json:"success"`
	SessionID string `json:"sessionId"`
	ID        string `json:"id"`
}

type inputList struct {
	SessionID string          `json:"sessionId"`
	Count     int             `json:"count"`
	Inputs    []storage.Input `json:"inputs"`
}

// input serves /api/sessions/:id/input.
func (c *call) input() (int, any, error) {
	session := c.route.session
	if c.r.Method != http.MethodPost {
		return c.takeInput(session)
	}
	value, err := c.body(storage.MaxRecord)
	if err != nil {
		return 0, nil, err
	}
	id, err := c.hub.pushInput(c.ctx(), session, value)
	return http.StatusCreated, inputAccepted{true, session, id}, err
}

// pushInput puts any JSON value into a session's queue, for whoever takes it first.
func (h *Hub) pushInput(ctx context.Context, session string, value json.RawMessage) (id string, err error) {
	id, err = h.store().PushInput(ctx, session, "", value)
	if errors.Is(err, storage.ErrFull) {
		h.meet(LimitInputs)
	}
	if err != nil {
		return "", err //nolint:wrapcheck // says itself what it is about
	}
	h.arrivals.tell(session)
	h.tell(peerMessage{Type: peerInput, SessionID: session})
	return id, nil
}

// takeInput answers what waits in a session and takes it away. With wait it is
// held until there is something, or the time is over.
func (c *call) takeInput(session string) (int, any, error) {
	most, problem := c.query.number("limit", storage.MaxInputs, storage.MaxInputs)
	if problem != nil {
		return 0, nil, badRequest(problem)
	}
	wait, problem := c.query.wait()
	if problem != nil {
		return 0, nil, badRequest(problem)
	}
	inputs, err := c.store().TakeInput(c.ctx(), session, most)
	if err == nil && len(inputs) == 0 && wait > 0 {
		inputs, err = c.awaitInput(session, most, wait)
	}
	if inputs == nil {
		inputs = []storage.Input{}
	}
	return http.StatusOK, inputList{session, len(inputs), inputs}, err
}

func (c *call) awaitInput(session string, most int, wait time.Duration) ([]storage.Input, error) {
	if !c.hub.arrivals.enter(session) {
		c.hub.meet(LimitInputWaits)
		return nil, &refusedError{http.StatusServiceUnavailable, apiError{
			Error:      "too many requests wait",
			Message:    fmt.Sprintf("%d requests for input are held, as many as may be; ask again without wait, or in a moment", maxInputWaits),
			RetryAfter: retryAfter(busyRetry * time.Second),
		}}
	}
	defer c.hub.arrivals.leave(session)
	waiting, held, release := c.hub.hold(c.ctx(), c.grant, 0)
	defer release()
	over := time.NewTimer(wait)
	defer over.Stop()
	look := time.NewTicker(inputInterval)
	defer look.Stop()
	for {
		// First the signal, then the queue: what arrives in between is signalled.
		arrived := c.hub.arrivals.next(session)
		if err := c.hub.stillMay(waiting, held, session, useWrite); err != nil {
			return nil, err
		}
		inputs, err := c.store().TakeInput(c.ctx(), session, most)
		if err != nil || len(inputs) > 0 {
			return inputs, err //nolint:wrapcheck // says itself what it is about
		}
		select {
		case <-arrived:
		case <-look.C:
		case <-over.C:
			return nil, nil
		case <-c.hub.ctx.Done():
			return nil, nil // the client comes again, to whoever serves then
		case <-waiting.Done():
			return nil, context.Cause(waiting)
		}
	}
}

// arrivals wakes those who wait for input.
type arrivals struct {
	mu       sync.Mutex // guards what follows
	waiting  int
	sessions map[string]*arrival
}

type arrival struct {
	waiting int
	signal  chan struct{} // closed at the next arrival
}

// enter makes room for one who waits, until leave; false: there are too many.
func (a *arrivals) enter(session string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting >= maxInputWaits {
		return false
	}
	if a.sessions == nil {
		a.sessions = make(map[string]*arrival)
	}
	if a.sessions[session] == nil {
		a.sessions[session] = &arrival{signal: make(chan struct{})}
	}
	a.waiting++
	a.sessions[session].waiting++
	return true
}

func (a *arrivals) leave(session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	if s := a.sessions[session]; s.waiting > 1 {
		s.waiting--
		return
	}
	delete(a.sessions, session)
}

// next is closed when something arrives. Who calls it has entered.
func (a *arrivals) next(session string) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[session].signal
}

// tell wakes all who wait in a session.
func (a *arrivals) tell(session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[session]; s != nil {
		close(s.signal)
		s.signal = make(chan struct{})
	}
}
