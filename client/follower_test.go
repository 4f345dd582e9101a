package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is what becomes of attempts, by transport, one after the other; the last entry
// goes on for ever.
type script map[Transport][]outcome

// outcome is what becomes of one: it fails, or succeeds and lasts for some time.
type outcome struct {
	fails error
	lasts time.Duration
	then  error // the end of what has lasted; nil: the one below
}

var errBroken = errors.New("broken")

func (o outcome) serve(ctx context.Context) error {
	if !pause(ctx, o.lasts) {
		return ctx.Err()
	}
	if o.then != nil {
		return o.then
	}
	return errBroken
}

func (outcome) close() {}

// scripted follows by a script for some time, and answers what was done when: attempts
// by their transport, statuses by their name.
func scripted(t *testing.T, o Options, sc script, length time.Duration) (log []string, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex // guards log and attempts
		note := func(what any) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprintf("%v %v", time.Since(begin).Round(time.Second), what))
		}
		c := &Client{options: o.withDefaults()}
		f := newFollower(c, Subscription{Sessions: []string{"s"}, OnStatus: func(s Status) { note(s) }})
		attempts := make(map[Transport]int)
		f.open = func(_ context.Context, tr Transport) (link, error) {
			note(tr)
			mu.Lock()
			defer mu.Unlock()
			n := min(attempts[tr], len(sc[tr])-1)
			attempts[tr]++
			return sc[tr][n], sc[tr][n].fails
		}
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		ended := make(chan error)
		go func() { ended <- f.run(ctx) }()
		for {
			select {
			case n := <-f.out:
				n.tell()
				continue
			case err = <-ended:
			}
			return
		}
	})
	return log, err
}

// seconds are when something happened.
func seconds(t *testing.T, log []string, what string) (at []time.Duration) {
	t.Helper()
	for _, line := range log {
		var d, did string
		if _, err := fmt.Sscan(line, &d, &did); err != nil {
			t.Fatal(err)
		}
		if did == what {
			when, err := time.ParseDuration(d)
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, when)
		}
	}
	return at
}

func only(log []string, what ...string) (found []string) {
	for _, line := range log {
		var d, did string
		_, _ = fmt.Sscan(line, &d, &did)
		if slices.Contains(what, did) {
			found = append(found, did)
		}
	}
	return found
}

var (
	fails = []outcome{{fails: errBroken}}
	lasts = []outcome{{lasts: 100 * time.Hour}}
)

// TestFallsBackAfterThreeFailures, with the defaults: at 0, after 1.5 to 3 s, after 1.5 to 3
// s more, and then by the next transport at once.
func TestFallsBackAfterThreeFailures(t *testing.T) {
	log, err := scripted(t, Options{}, script{WebSocket: fails, SSE: lasts}, 10*time.Minute)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v", err)
	}
	tries := seconds(t, log, "websocket")
	between(t, tries[0], 0, 0)
	between(t, tries[1]-tries[0], 1500*time.Millisecond, 3*time.Second)
	between(t, tries[2]-tries[1], 3*time.Second, 6*time.Second)
	if at := seconds(t, log, "streaming"); !slices.Equal(at, tries[2:3]) {
		t.Errorf("streaming at %v", at)
	}
	// And it goes on being tried, ever more rarely, at last every 15 to 30 s.
	for i := 6; i < len(tries); i++ {
		between(t, tries[i]-tries[i-1], 15*time.Second, 30*time.Second)
	}
	if n := len(tries); n < 20 || n > 45 {
		t.Errorf("%d attempts in 10 minutes", n)
	}
	if got := only(log, "connecting", "disconnected", "streaming", "polling"); !slices.Equal(got, []string{
		"connecting", "disconnected", "connecting", "disconnected", "connecting", "streaming",
	}) {
		t.Errorf("statuses %v", got)
	}
}

func between(t *testing.T, d, low, high time.Duration) {
	t.Helper()
	if d < low-time.Second || d > high+time.Second { // the log rounds
		t.Errorf("%s, want %s to %s", d, low, high)
	}
}

func TestComesBack(t *testing.T) {
	no := outcome{fails: errBroken}
	log, _ := scripted(t, Options{}, script{
		WebSocket: {no, no, no, no, no, {lasts: time.Hour}, no, {lasts: 100 * time.Hour}}, SSE: lasts,
	}, 3*time.Hour)
	if got := only(log, "connected", "streaming", "polling"); !slices.Equal(got, []string{"streaming", "connected", "connected"}) {
		t.Errorf("log %v", log)
	}
}

// TestClimbsStepByStep: from polls to a stream, from there to a WebSocket; and a stream
// that breaks goes over to polls at once.
func TestClimbsStepByStep(t *testing.T) {
	no, short := outcome{fails: errBroken}, outcome{lasts: 10 * time.Minute}
	log, _ := scripted(t, Options{}, script{
		WebSocket: append(slices.Repeat([]outcome{no}, 150), lasts[0]),
		SSE:       {no, short, no, {lasts: 100 * time.Hour}}, Poll: lasts,
	}, 10*time.Hour)
	if got := only(log, "connected", "streaming", "polling"); !slices.Equal(got, []string{"polling", "streaming", "polling", "streaming", "connected"}) {
		t.Errorf("log %v", log)
	}
}

// TestNoWorseTransport: who has one way tries it for ever, and the two of whom none works
// take turns.
func TestNoWorseTransport(t *testing.T) {
	log, _ := scripted(t, Options{Transports: []Transport{WebSocket}}, script{WebSocket: fails}, time.Hour)
	if n := len(seconds(t, log, "websocket")); n < 120 || n > 250 {
		t.Errorf("%d attempts in an hour", n)
	}
	log, _ = scripted(t, Options{Transports: []Transport{SSE, WebSocket}}, script{WebSocket: fails, SSE: fails}, time.Hour)
	ws, sse := len(seconds(t, log, "websocket")), len(seconds(t, log, "sse"))
	if ws < 120 || ws > 250 || ws-sse > 3 || ws < sse {
		t.Errorf("%d and %d attempts in an hour", ws, sse)
	}
}

func TestWaitsAsLongAsTheHubAsks(t *testing.T) {
	for name, first := range map[string]outcome{
		"refused": {fails: &Error{Status: http.StatusServiceUnavailable, RetryAfter: time.Minute}},
		"closed":  {lasts: time.Second, then: &Error{Code: "closed with 1001", RetryAfter: time.Minute}},
	} {
		log, _ := scripted(t, Options{}, script{WebSocket: {first, lasts[0]}}, time.Hour)
		if at := seconds(t, log, "websocket"); len(at) != 2 || at[1] < time.Minute || at[1] > 65*time.Second {
			t.Errorf("%s: %v", name, at)
		}
	}
}

// TestRefusedForGood, at whichever level: nothing is tried any more.
func TestRefusedForGood(t *testing.T) {
	refused := outcome{fails: &Error{Status: http.StatusUnauthorized, Code: "unauthorized"}}
	no := outcome{fails: errBroken}
	for name, sc := range map[string]script{
		"at first":        {WebSocket: {refused}},
		"later":           {WebSocket: {{lasts: time.Minute}, refused}},
		"while streaming": {WebSocket: {no, no, no, no, refused}, SSE: lasts},
		"the stream":      {WebSocket: fails, SSE: {refused}},
		"the polls":       {WebSocket: fails, SSE: fails, Poll: {{lasts: time.Minute, then: refused.fails}}},
	} {
		log, err := scripted(t, Options{}, sc, time.Hour)
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusUnauthorized {
			t.Errorf("%s: it ended with %v: %v", name, err, log)
		}
	}
}
