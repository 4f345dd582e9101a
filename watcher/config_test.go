package watcher

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestValidate(t *testing.T) {
	negative := -1
	for want, change := range map[string]func(*Config){
		"session: must not be empty":                     func(c *Config) { c.Session = "" },
		`dir: "rel/path" is not an absolute path`:        func(c *Config) { c.Dir = "rel/path" },
		`ignore: "a[" is not a valid glob`:               func(c *Config) { c.Ignore = []string{"a["} },
		`ignore: "!a" negates`:                           func(c *Config) { c.Ignore = []string{"!a"} },
		`ignore: "/" matches nothing`:                    func(c *Config) { c.Ignore = []string{"/"} },
		"beneath: \"rel\" is not an absolute path":       func(c *Config) { c.Beneath = "rel" },
		"poll: -1s is negative":                          func(c *Config) { c.Poll = -time.Second },
		"debounce: -1s is negative":                      func(c *Config) { c.Debounce = -time.Second },
		"max_wait: -1s is negative":                      func(c *Config) { c.MaxWait = -time.Second },
		"max_wait: 100ms is shorter than debounce 300ms": func(c *Config) { c.MaxWait = 100 * time.Millisecond },
		"depth: -1 is negative":                          func(c *Config) { c.Depth = &negative },
		"retry attempts: -1 is negative":                 func(c *Config) { c.RetryAttempts = &negative },
		"retry initial: -1s is negative":                 func(c *Config) { c.RetryInitial = -time.Second },
		"sink: must not be nil":                          func(c *Config) { c.Sink = nil },
	} {
		cfg := Config{Session: "s", Dir: "/tmp", Sink: func(context.Context, Event) error { return nil }}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := Start(cfg); err == nil {
			t.Errorf("started in spite of %q", want)
		}
	}
}

func TestIgnorer(t *testing.T) {
	ig := newIgnorer([]string{"out/", "/top/*.log", "**/deep/x", "a/*/b/", `\!bang`}, false)
	for rel, want := range map[string]bool{
		"node_modules/": true, "a/b/.git/": true, "x.pyc": true, "a/.env": true, ".env.local": true,
		"dist/": true, "dist": true, "dist2/": false, "xdist/": false, ".envrc": false, "a.pycx": false,
		"out/": true, "q/out/": true, "out": false,
		"top/a.log": true, "top/q/a.log": false, "q/top/a.log": false,
		"deep/x": true, "q/r/deep/x/": true, "deep/xy": false,
		"a/q/b/": true, "a/q/b": false, "a/b/": false, "!bang": true,
	} {
		if got := ig.match(strings.TrimSuffix(rel, "/"), strings.HasSuffix(rel, "/")); got != want {
			t.Errorf("%s: %t, want %t", rel, got, want)
		}
	}
	if newIgnorer(nil, true).match("node_modules", true) {
		t.Error("the default patterns are still there")
	}
}

func TestEventForm(t *testing.T) {
	m := newEventMaker(Config{Session: "s1", Dir: "/srv/p/"})
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.FixedZone("x", 3600))
	ev, err := m.event(outcome{"src/main.go", Created, false}, now)
	must(t, err)
	got, err := json.Marshal(ev)
	must(t, err)
	want := `{"id":"` + ev.ID + `","type":"file:created","sessionId":"s1","timestamp":"2026-01-02T02:04:05.000678Z",` +
		`"path":"/srv/p/src/main.go","relativePath":"src/main.go","stepNumber":null,"directory":"/srv/p/src",` +
		`"extension":".go","changeType":"created","isDirectory":false}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}

	before := ev
	for range 1000 {
		after, err := m.event(outcome{"d.x", Deleted, true}, now.Add(-time.Hour))
		must(t, err)
		if after.ID <= before.ID || after.Timestamp < before.Timestamp {
			t.Fatalf("%s %s came after %s %s", after.ID, after.Timestamp, before.ID, before.Timestamp)
		}
		before = after
	}
	if before.Extension != "" || !before.IsDirectory {
		t.Errorf("directory %+v", before)
	}

	m = newEventMaker(Config{Session: "s1", Dir: "/srv/p", NoAbsolutePaths: true})
	for rel, directory := range map[string]string{"a/b/.env": "a/b", "top": "."} {
		ev, err = m.event(outcome{rel, Modified, false}, now)
		must(t, err)
		if ev.Path != "" || ev.Directory != directory || ev.Extension != "" {
			t.Errorf("event %+v", ev)
		}
	}
	ev, err = m.event(outcome{"bad\xff\xfe.txt", Created, false}, now)
	must(t, err)
	if got, err = json.Marshal(ev); err != nil || !utf8.Valid(got) || ev.RelativePath != "bad\uFFFD.txt" {
		t.Errorf("event %s, %v", got, err)
	}
}

func TestStatusForm(t *testing.T) {
	got, err := json.Marshal(Status{Session: "s", Root: "/r", State: StateWatching})
	must(t, err)
	want := `{"session":"s","root":"/r","state":"watching","attempts":0,"maxAttempts":0,"entries":0,"watches":0,"unwatched":0,"watchLimit":0,` +
		`"lastEvent":null,"lastError":"","overflows":0,"rescans":0}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}
