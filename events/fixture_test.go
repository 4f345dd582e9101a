package events

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/actionflows/lifeline/breaker"
)

// httpFixture is one line of testdata/http.jsonl: a request as an existing
// client makes it, and what it must be able to read.
type httpFixture struct {
	Request string          `json:"request"`
	In      json.RawMessage `json:"in"`
	Status  int             `json:"status"`
	Out     json.RawMessage `json:"out"`
}

func readHTTPFixtures(t *testing.T) []httpFixture {
	t.Helper()
	f, err := os.Open("testdata/http.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var fixtures []httpFixture
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var fx httpFixture
		if err := json.Unmarshal(lines.Bytes(), &fx); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		fixtures = append(fixtures, fx)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return fixtures
}

func TestHTTPFixtures(t *testing.T) {
	s := newTestSite(t, func(_ *Site, b *siteBackend, _ *Config) {
		br, err := breaker.New(breaker.Config{Name: "memory"})
		if err != nil {
			t.Fatal(err)
		}
		b.stats = []breaker.Stats{br.Stats()}
	})
	fixtures := readHTTPFixtures(t)
	// What the hub has drawn stands in later requests and answers.
	var session, command string
	drawn := strings.NewReplacer()
	for _, fx := range fixtures {
		method, path, _ := strings.Cut(drawn.Replace(fx.Request), " ")
		a := s.do(method, path, string(fx.In))
		if a.status != fx.Status {
			t.Errorf("%s: %d %s, want %d", fx.Request, a.status, a.body, fx.Status)
			continue
		}
		body := a.json(t)
		if v, ok := body["id"].(string); ok {
			session = v
		}
		if v, ok := body["commandId"].(string); ok {
			command = v
		}
		drawn = strings.NewReplacer("<id>", session, "<commandId>", command)
		var want any
		if err := json.Unmarshal([]byte(drawn.Replace(string(fx.Out))), &want); err != nil {
			t.Fatal(err)
		}
		if err := matches(want, body); err != nil {
			t.Errorf("%s: %s: %v", fx.Request, a.body, err)
		}
	}
	if len(fixtures) != 17 {
		t.Errorf("%d fixtures", len(fixtures))
	}
}

// matches reports where got lacks what want has. "<kind>" stands for any value
// of that kind, and further members may be there.
func matches(want, got any) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%v is no object", got)
		}
		for k, v := range w {
			if _, ok := g[k]; !ok {
				return fmt.Errorf("%s is missing", k)
			}
			if err := matches(v, g[k]); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) < len(w) {
			return fmt.Errorf("%v is no list of %d", got, len(w))
		}
		for i := range w {
			if err := matches(w[i], g[i]); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	case string:
		if strings.HasPrefix(w, "<") {
			return matchesKind(w, got)
		}
	}
	if want != got {
		return fmt.Errorf("%v, want %v", got, want)
	}
	return nil
}

func matchesKind(kind string, got any) error {
	ok := false
	switch kind {
	case "<string>":
		_, ok = got.(string)
	case "<number>":
		_, ok = got.(float64)
	case "<array>":
		_, ok = got.([]any)
	case "<time>":
		s, _ := got.(string)
		_, err := time.Parse(time.RFC3339Nano, s)
		ok = err == nil
	}
	if !ok {
		return fmt.Errorf("%v is no %s", got, kind)
	}
	return nil
}
