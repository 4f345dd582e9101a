package lifeline

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// optionTable is every option with its default, a block's own behind it, each with one
// dash more: the first two columns of docs/caddyfile.md.
const optionTable = `
hub
storage disk [<dir>] { … } | this one; <Caddy data>/lifeline/<hub>
– max_size <size> | 10GiB
storage memory { … } |
– max_size <size> | 256MiB
storage redis <url> { … } |
– cluster [<addr…>] | off
– sentinel <master> <addr…> | off
– sentinel_password <password> | none
– username <name> | from the URL
– password <password> | from the URL
– db <number> | from the URL, or 0
– key_prefix <prefix> | afw:
– tls { … } | the system's authorities
– – ca <file> | the system's
– – cert <file> | none
– – key <file> | none
– – server_name <name> | the host
– timeout <duration> | 300ms
– pool <connections> | 16
history <count> [<age>] | 1000 24h
journal [<dir>] { … } | on, with Redis; <Caddy data>/lifeline/<hub>/journal
journal off |
– max_size <size> | 1GiB
– retain <duration> | 1h
breaker { … } | on
breaker off |
– failure_threshold <n> | 5
– reset_timeout <duration> | 30s
– backoff <factor> <max> | 1 10m
– probes <n> | 1
– probe_successes <n> | 1
– probe_timeout <duration> | reset_timeout
– probe_every <duration> | 5s with Redis
– adaptive | off
– rate <share> <window> <min calls> | off
– slow <over> <share> <window> <min calls> | off
watch <session> <dir> { … } | none
– ignore <glob…> |
– ignore_default off | on
– debounce <duration> | 300ms
– max_wait <duration> | 2s
– depth <levels> | 10
– retry <attempts> <initial> | 3 1s
– poll [<every>] | off; 2s
– absolute_paths off | on
watch_root <dir…> | none
max_connections <n> | 10000
max_per_ip <n> | 1000
max_subscriptions <n> | 256
max_message <size> | 1MiB
message_rate <n> | 50
max_queue <size> [<frames>] | 1MiB 1024
max_replays <n> | 64
max_polls <n> | 5000
max_sessions <n> | 100000
max_logs <n> | 100000
lifecycle_broadcast off | on
reload_close_delay <duration> | they stay open
site
api_key <key…> | none
user <placeholder> | none
anonymous read [write] | nobody
origins <origin…> | own origin
routes <events ws sessions commands records health client> | all
poll_rate <n> <interval> | 1 5s
compression | off
breaker_admin <user…> | nobody
dashboard | off
`

// optionRow is one row of a table.
type optionRow struct{ path, syntax, byDefault string }

// optionRows reads rows: "syntax | default", beneath a line with the block's name.
func optionRows(t *testing.T, lines []string) (rows []optionRow) {
	t.Helper()
	var path []string
	for _, line := range lines {
		syntax, byDefault, found := strings.Cut(line, "|")
		if !found {
			path = []string{strings.TrimSpace(line)}
			continue
		}
		depth := 1
		for syntax = strings.TrimSpace(syntax); strings.HasPrefix(syntax, "– "); depth++ {
			syntax = strings.TrimPrefix(syntax, "– ")
		}
		if depth > len(path) {
			t.Fatalf("%q stands deeper than in its block", line)
		}
		words := strings.Fields(syntax)
		word := words[0]
		if word == "storage" {
			word += " " + words[1]
		}
		path = append(path[:depth:depth], word)
		rows = append(rows, optionRow{strings.Join(path, "/"), syntax, strings.TrimSpace(byDefault)})
	}
	return rows
}

// tableRows are those of the table above.
func tableRows(t *testing.T) []optionRow {
	return optionRows(t, strings.Split(strings.TrimSpace(optionTable), "\n"))
}

// documentedRows are those of the tables in docs/caddyfile.md.
func documentedRows(t *testing.T) []optionRow {
	t.Helper()
	text, err := os.ReadFile("docs/caddyfile.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "## The hub"):
			lines = append(lines, "hub")
		case strings.HasPrefix(line, "## The site"):
			lines = append(lines, "site")
		case strings.HasPrefix(line, "### Routes"):
			return optionRows(t, lines)
		case strings.HasPrefix(line, "| –"), strings.HasPrefix(line, "| `"):
			cells := strings.Split(strings.ReplaceAll(line, "`", ""), "|")
			lines = append(lines, cells[1]+"|"+cells[2])
		}
	}
	return optionRows(t, lines)
}

// parsedOptions are the words that the parser knows, by block.
func parsedOptions() (paths []string) {
	add := func(block string, words ...string) {
		for _, word := range words {
			paths = append(paths, block+"/"+word)
		}
	}
	add("hub", slices.DeleteFunc(slices.Collect(maps.Keys(hubOptions)), func(word string) bool { return word == "storage" })...)
	for _, m := range caddy.GetModules("lifeline.storage") {
		add("hub", "storage "+m.ID.Name())
	}
	add("hub/storage disk", slices.Collect(maps.Keys(diskOptions))...)
	add("hub/storage memory", slices.Collect(maps.Keys(memoryOptions))...)
	add("hub/storage redis", slices.Collect(maps.Keys(redisOptions))...)
	add("hub/storage redis/tls", slices.Collect(maps.Keys(tlsOptions))...)
	add("hub/journal", slices.Collect(maps.Keys(journalOptions))...)
	add("hub/breaker", slices.Collect(maps.Keys(breakerOptions))...)
	add("hub/watch", slices.Collect(maps.Keys(watchOptions))...)
	add("site", slices.Collect(maps.Keys(siteOptions))...)
	slices.Sort(paths)
	return paths
}

// TestOptionTable compares the table, the parser, the documentation and the fixtures:
// what is not in all four does not exist.
func TestOptionTable(t *testing.T) {
	rows, documented := tableRows(t), documentedRows(t)
	for i := range max(len(rows), len(documented)) {
		if i >= len(rows) || i >= len(documented) || rows[i] != documented[i] {
			t.Fatalf("row %d differs; docs/caddyfile.md from there on: %+v\nthe table: %+v", i+1,
				documented[min(i, len(documented)):min(i+2, len(documented))], rows[min(i, len(rows)):min(i+2, len(rows))])
		}
	}
	var paths []string
	for _, r := range rows {
		paths = append(paths, r.path)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if parsed := parsedOptions(); !slices.Equal(paths, parsed) {
		t.Errorf("the table has %q\nthe parser has %q", paths, parsed)
	}
	fixtures := slices.Sorted(maps.Keys(readFixtures(t)))
	if !slices.Equal(fixtures, paths) {
		t.Errorf("testdata/options has %q\nthe table has %q", fixtures, paths)
	}
}

// fixture is one case of a file in testdata/options: options as they stand in the
// block of the hub or of the site, and what becomes of them, JSON or an error.
type fixture struct{ kind, options, want string }

const fixtureDir = "testdata/options"

// readFixtures reads all files, by the path of their option.
func readFixtures(t *testing.T) map[string][]fixture {
	t.Helper()
	all := make(map[string][]fixture)
	err := filepath.WalkDir(fixtureDir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, _ := strings.CutPrefix(filepath.ToSlash(strings.TrimSuffix(file, ".caddyfiletest")), fixtureDir+"/")
		name = strings.ReplaceAll(name, "storage_", "storage ")
		for part := range strings.SplitSeq(strings.TrimPrefix("\n"+string(text), "\n### "), "\n### ") {
			kind, rest, _ := strings.Cut(part, "\n")
			options, want, _ := strings.Cut(rest, "\n---\n")
			all[name] = append(all[name], fixture{kind, options, strings.TrimSpace(want)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// caddyfile is the Caddyfile of a fixture: its first line is the third, or the second
// of a site's.
func (f fixture) caddyfile(name string) string {
	if strings.HasPrefix(name, "site/") {
		return "http://localhost:1 {\nlifeline {\n" + f.options + "\n}\n}\n"
	}
	return "{\nlifeline {\n" + f.options + "\n}\n}\n"
}

// adapt answers the JSON of the hub or the handler, or the error.
func (f fixture) adapt(name string) (config []byte, got string) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(f.caddyfile(name)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, "error: " + err.Error()
	}
	var all struct {
		Apps struct {
			Lifeline struct{ Hubs map[string]json.RawMessage }
			HTTP     struct {
				Servers map[string]struct {
					Routes []struct {
						Handle []struct {
							Routes []struct{ Handle []json.RawMessage }
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, err.Error()
	}
	ours := all.Apps.Lifeline.Hubs[DefaultHub]
	for _, server := range all.Apps.HTTP.Servers {
		ours = server.Routes[0].Handle[0].Routes[0].Handle[0]
	}
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(ours, &fields); err != nil {
		return nil, err.Error()
	}
	delete(fields, "defined_at")
	delete(fields, "handler")
	out, err := json.Marshal(fields)
	if err != nil {
		return nil, err.Error()
	}
	return config, string(out)
}

var update = flag.Bool("update", false, "write what the fixtures in "+fixtureDir+" should say, to be read before it is committed")

// TestOptionFixtures adapts every option with a value, a second time, with too few and
// too many values, bad values, and unknown words in its block. What is taken must also
// be valid for Caddy.
func TestOptionFixtures(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", "a")
	t.Setenv("SENTINEL_PASSWORD", "b")
	t.Setenv("LIFELINE_KEY", "c")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for name, cases := range readFixtures(t) {
		var written strings.Builder
		for i, c := range cases {
			config, got := c.adapt(name)
			fmt.Fprintf(&written, "%s### %s\n%s\n---\n%s\n", strings.Repeat("\n", min(i, 1)), c.kind, c.options, got)
			refused := strings.HasPrefix(got, "error: ")
			switch {
			case got != c.want && !*update:
				t.Errorf("%s, %s:\n%s\ngot  %s\nwant %s", name, c.kind, c.options, got, c.want)
			case refused == (c.kind == "value" || c.kind == "repeated"):
				t.Errorf("%s, %s: %s", name, c.kind, got)
			case refused && !strings.Contains(got, "at Caddyfile:"):
				t.Errorf("%s, %s: names no line: %s", name, c.kind, got)
			}
			if !refused {
				if err := validate(config); err != nil {
					t.Errorf("%s, %s: adapted, and not valid: %v", name, c.kind, err)
				}
			}
		}
		checkKinds(t, name, cases)
		if *update {
			file := filepath.Join(fixtureDir, strings.ReplaceAll(name, "storage ", "storage_")+".caddyfiletest")
			if err := os.WriteFile(file, []byte(written.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkKinds: each option is tried with a value, twice, with a wrong number of values
// and a bad value; a block also with an unknown word. An option without a value has no
// bad one.
func checkKinds(t *testing.T, name string, cases []fixture) {
	t.Helper()
	var syntax []string
	block := false
	for _, r := range tableRows(t) {
		if r.path == name {
			syntax = append(syntax, r.syntax)
			block = block || strings.Contains(r.syntax, "{") && name != "hub/storage redis/cluster"
		}
	}
	has := func(kinds ...string) bool {
		return slices.ContainsFunc(cases, func(c fixture) bool { return slices.Contains(kinds, c.kind) })
	}
	flagOnly := len(syntax) == 1 && !strings.ContainsAny(syntax[0], " ")
	switch {
	case !has("value"), !has("duplicate", "repeated"), !has("too few values", "too many values", "block"),
		!flagOnly && !has("bad value"), block && !has("unknown word"):
		t.Errorf("%s (%s): the fixtures are not complete", name, syntax)
	}
}
