package lifeline_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// source is an EventSource on several sessions: what it has got counts block by
// block, and it goes on with the id of the last one.
type source struct {
	url    string
	lastID string
	ids    map[string][]string // of the events, by session
	count  int
	longID int // bytes of the longest id
}

// read takes blocks until there are enough, or the server ends the stream.
func (s *source) read(ctx context.Context, enough func(blocks int) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return err
	}
	if s.lastID != "" {
		req.Header.Set("Last-Event-ID", s.lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("stream: %s", resp.Status)
	}
	in, id, data, status := bufio.NewReader(resp.Body), s.lastID, "", false
	for blocks := 0; !enough(blocks); {
		line, err := in.ReadString('\n')
		if err != nil {
			return ctx.Err() // ended by the server: come again
		}
		switch field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); field {
		case "id":
			id = value
		case "event":
			if status = value == "lifeline.status"; !status { // storage may be slow for a moment
				return fmt.Errorf("event %s", value)
			}
		case "data":
			data = value
		case "":
			blocks++
			s.lastID, s.longID = id, max(s.longID, len(id))
			if data == "" || status {
				data, status = "", false
				continue
			}
			var e struct{ ID, SessionID string }
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return fmt.Errorf("%q: %w", data, err)
			}
			s.ids[e.SessionID] = append(s.ids[e.SessionID], e.ID)
			s.count++
			data = ""
		}
	}
	return nil
}

// One stream of several sessions, which loses its connection in the middle of
// publishing at full speed over and over, shows each event once and in order.
func TestStreamOfSeveralSessionsReconnects(t *testing.T) {
	for _, driver := range []string{"memory", "redis"} {
		t.Run(driver, func(t *testing.T) {
			s := start(t, driverCaddyfile(t, driver))
			const publishers, each = 4, 150
			sessions := []string{"one", "two/2", "drei ü"}
			q := url.Values{"session": sessions}
			src := &source{url: s.url + "/api/events/stream?" + q.Encode(), ids: make(map[string][]string)}
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			if err := src.read(ctx, func(blocks int) bool { return blocks == 1 }); err != nil {
				t.Fatal(err) // from here on it misses nothing
			}
			var wg sync.WaitGroup
			for _, session := range sessions {
				wg.Go(func() { s.publishers(session, publishers, each) })
			}
			connections := 0
			for whole := len(sessions) * publishers * each; src.count < whole; connections++ {
				drop := 1 + rand.IntN(80) //nolint:gosec // any number will do
				if err := src.read(ctx, func(blocks int) bool { return blocks >= drop || src.count >= whole }); err != nil {
					t.Fatalf("%d of %d events: %v", src.count, whole, err)
				}
			}
			wg.Wait()
			for _, session := range sessions {
				if got, want := src.ids[session], s.history(session); !slices.Equal(got, want) {
					t.Errorf("%s: %d events, want the history's %d in its order", session, len(got), len(want))
				}
			}
			if connections < 10 || src.longID > 1000 {
				t.Errorf("%d connections, ids of up to %d bytes", connections, src.longID)
			}
			pollBehind(t, s, sessions, src)
		})
	}
}

// pollBehind polls the sessions of a stream from its last id on.
func pollBehind(t *testing.T, s *server, sessions []string, src *source) {
	t.Helper()
	q := url.Values{"session": sessions, "since": {src.lastID}, "wait": {"20"}}
	poll := func() (found map[string]struct{ Events []json.RawMessage }) {
		a := s.get("/api/events/poll?" + q.Encode())
		var page struct {
			Sessions map[string]struct{ Events []json.RawMessage }
		}
		if err := json.Unmarshal([]byte(a.raw), &page); err != nil || a.status != http.StatusOK {
			t.Fatalf("poll: %s", a)
		}
		return page.Sessions
	}
	if a := s.post(stepEvent(sessions[1], "behind", 1)); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	found := poll()
	if len(found) != len(sessions) || len(found[sessions[1]].Events) != 1 || eventID(found[sessions[1]].Events[0]) != "behind" || len(found[sessions[0]].Events) != 0 {
		t.Errorf("behind the stream: %v", found)
	}
}
