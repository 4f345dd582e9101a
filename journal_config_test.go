package lifeline

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// validateJournals is `caddy validate` of JSON: the hubs by name, each with a journal
// before Redis.
func validateJournals(hubs map[string]string) error {
	var list []string
	for name, journal := range hubs {
		list = append(list, fmt.Sprintf(`%q:{"storage":{"driver":"redis","url":"redis://localhost"},"journal":%s}`, name, journal))
	}
	config := []byte(`{"apps":{"lifeline":{"hubs":{` + strings.Join(list, ",") + `}}}}`)
	cfg := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(config, cfg); err != nil {
		return err
	}
	return caddy.Validate(cfg)
}

func TestJournalInJSON(t *testing.T) {
	const excluded = "journal: off and another setting exclude each other"
	for journal, want := range map[string]string{
		`null`:                                   "",
		`{}`:                                     "",
		`{"off":true}`:                           "",
		`{"dir":"x","max_size":1,"retain":"1h"}`: "",
		`{"max_size":-1}`:                        "hub x: journal: max_size -1 is negative",
		`{"retain":-1000000000}`:                 "hub x: journal: retain -1s is negative",
		`{"off":true,"dir":"x"}`:                 excluded,
		`{"off":true,"max_size":1}`:              excluded,
		`{"off":true,"retain":1}`:                excluded,
		`{"size":1}`:                             "size",
	} {
		err := validateJournals(map[string]string{"x": journal})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", journal, err, want)
		}
	}
}

// TestOneJournalForEachHub: two hubs with one directory would send each other's
// events to the wrong place.
func TestOneJournalForEachHub(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	dir := t.TempDir()
	at := func(dir string) string { return fmt.Sprintf(`{"dir":%q}`, dir) }
	for name, c := range map[string]struct {
		hubs map[string]string
		dir  string // that two hubs, b and c, share; "": none
	}{
		"defaults":             {map[string]string{"b": `{}`, "c": `{}`}, ""},
		"own directories":      {map[string]string{"b": at(dir + "/b"), "c": at(dir + "/c")}, ""},
		"one directory":        {map[string]string{"a": at(dir + "/a"), "b": at(dir), "c": at(dir)}, dir},
		"written differently":  {map[string]string{"b": at(dir + "/x/.."), "c": at(dir)}, dir},
		"another's default":    {map[string]string{"b": `{}`, "c": at(defaultJournal("b"))}, defaultJournal("b")},
		"another's, since off": {map[string]string{"b": `{"off":true}`, "c": at(defaultJournal("b"))}, defaultJournal("b")},
	} {
		err := validateJournals(c.hubs)
		if c.dir == "" && err != nil || c.dir != "" &&
			(err == nil || !strings.Contains(err.Error(), "hubs b and c have one journal directory, "+c.dir+";")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJournalSettingsArrive: every option and its default reach package resilient.
func TestJournalSettingsArrive(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	t.Setenv("HERE", "/var/lib/hub")
	wd, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]string)
	for journal, want := range map[string]struct {
		dir    string
		size   int64
		retain time.Duration
	}{
		`null`:         {dir: "/data/caddy/lifeline/x/journal"},
		`{"off":true}`: {},
		`{"dir":"j"}`:  {dir: wd + "/j"},
		`{"dir":"{env.HERE}","max_size":1000,"retain":"90s"}`: {"/var/lib/hub", 1000, 90 * time.Second},
		`{"dir":"/var/lib/hub","max_size":1000}`:              {"/var/lib/hub", 1000, 0},
	} {
		h := &Hub{info: (&RedisStorage{URL: "redis://localhost"}).Describe("x")}
		if err := json.Unmarshal([]byte(journal), &h.Journal); err != nil {
			t.Fatal(err)
		}
		if err := h.provisionJournal("x"); err != nil {
			t.Fatal(err)
		}
		got := h.journaled(nil, zap.NewNop())
		if got.Dir != want.dir || got.MaxBytes != want.size || got.Retain != want.retain {
			t.Errorf("%s: %q, %d bytes, %s", journal, got.Dir, got.MaxBytes, got.Retain)
		}
		key, _ := h.storageKeys()
		if other, twice := keys[key]; twice {
			t.Errorf("%s and %s are taken for the same", journal, other)
		}
		keys[key] = journal
	}
}
