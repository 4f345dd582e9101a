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

// journalHub is a Caddyfile whose hub, before Redis, has the option journal on line 4.
func journalHub(option string) string {
	return "{\n lifeline {\n storage redis redis://localhost\n" + option + "\n}\n}\n"
}

// TestJournalOptions: what is refused of the option journal, with the line where it
// is found; line 0 is for what Provision finds, which knows of no file.
func TestJournalOptions(t *testing.T) {
	t.Setenv("JOURNAL", "somewhere")
	for option, c := range map[string]struct {
		want string // "": accepted
		line int
	}{
		"":              {},
		"journal":       {},
		"journal {\n}":  {},
		"journal off":   {},
		"journal ./off": {},
		"journal dir {\nmax_size 1GiB\nretain 1h\n}": {},
		"journal {env.JOURNAL}":                      {},

		"journal off\njournal off":             {"journal is set on line 4 already", 5},
		"journal a b":                          {`one value too many: "b"`, 4},
		"journal off dir":                      {`one value too many: "dir"`, 4},
		"journal dir off":                      {`one value too many: "off"`, 4},
		"journal off {\nmax_size 1GiB\n}":      {"journal off takes no block", 5},
		"journal off {\n}":                     {"journal off takes no block", 5},
		"journal {\nsize 1GiB\n}":              {`unknown option "size" of journal`, 5},
		"journal {\nmax_size\n}":               {"max_size takes one value", 5},
		"journal {\nmax_size 1GiB 2GiB\n}":     {`one value too many: "2GiB"`, 5},
		"journal {\nmax_size lots\n}":          {`max_size: "lots" is not a size such as 64MiB`, 5},
		"journal {\nmax_size 0\n}":             {`max_size: "0" is not a size`, 5},
		"journal {\nmax_size 1\nmax_size 1\n}": {"max_size is set on line 5 already", 6},
		"journal {\nretain\n}":                 {"retain takes one value", 5},
		"journal {\nretain 1h 2h\n}":           {`one value too many: "2h"`, 5},
		"journal {\nretain soon\n}":            {`retain: "soon" is not a duration such as 30s`, 5},
		"journal {\nretain 0s\n}":              {`retain: "0s" is not a duration`, 5},
		"journal {\nretain 1h\nretain 1h\n}":   {"retain is set on line 5 already", 6},
		"journal {env.NOT_SET_ANYWHERE}":       {"journal: evaluated placeholder {env.NOT_SET_ANYWHERE} is empty", 0},
	} {
		problem := ""
		if err := adaptAndValidate(journalHub(option)); err != nil {
			problem = err.Error()
		}
		switch {
		case c.want == "" && problem != "":
			t.Errorf("%q: refused: %s", option, problem)
		case !strings.Contains(problem, c.want), c.line > 0 && !strings.Contains(problem, fmt.Sprintf("Caddyfile:%d", c.line)):
			t.Errorf("%q: want %s and line %d in %q", option, c.want, c.line, problem)
		}
	}
	for _, storage := range []string{"disk", "memory"} {
		err := adaptAndValidate("{\n lifeline {\n storage " + storage + "\n journal DIR\n}\n}\n")
		if err == nil || !strings.Contains(err.Error(), "hub default: journal: the "+storage+" storage has none") {
			t.Errorf("%s: %v", storage, err)
		}
	}
}

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
		if other, twice := keys[h.storageKey()]; twice {
			t.Errorf("%s and %s are taken for the same", journal, other)
		}
		keys[h.storageKey()] = journal
	}
}
