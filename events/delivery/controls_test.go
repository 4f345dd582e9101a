package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// control is a mistake that one could make in the package events, and the kind of
// program in which it shows. `make mutants` makes each of them.
type control struct {
	name  string
	kind  string
	file  string
	edits []edit
}

// edit replaces old, which occurs once in the file, by new.
type edit struct{ old, new string }

var controls = []control{
	{"what was pending comes again when it is stored", "server cut off", "topic.go", []edit{
		{"		silent = t.own[d.link.Producer] >= d.link.Number\n", ""},
		{"		t.cursor = t.cursor.With(d.link)\n", "		_ = d\n"},
	}},
	{"registered only after the reading", "healthy", "join.go", []edit{{
		"	s.cursor, s.seen, s.degraded = page.Cursor, maps.Clone(seen), page.Degraded\n",
		"	s.cursor, s.seen, s.degraded, kept = t.cursor, maps.Clone(seen), page.Degraded, nil\n",
	}}},
	{"a hole in the numbers is not filled", "healthy", "topic.go", []edit{{
		"	case d.pos.Seq == c.Pos.Seq+1:\n", "	default:\n",
	}}},
	{"a poll of several sessions goes on in all where it is in one", "healthy", "poll.go", []edit{{
		"		ps.queries[i].After = after\n", "		ps.queries[i].After = since[0]\n",
	}}},
	{"a stream of several sessions takes a replay for one of the first", "healthy", "several_stream.go", []edit{{
		"	c.part = s.index\n	return s.out.pushWait(ctx, c)\n", "	return s.out.pushWait(ctx, c)\n",
	}}},
	{"who left out a page of a replay is told its end before he has it", "healthy", "join.go", []edit{
		{"		case last:\n", "		case i == 0:\n"},
		{"appendPassed(c.b, s.enc, s.topic.quoted, e.Cursor.String())", "appendPassed(c.b, s.enc, s.topic.quoted, entries[len(entries)-1].Cursor.String())"},
	}},
	{"types count in a replay and not live", "healthy", "filter.go", []edit{{
		"	if s.wants(s.types, d) {\n", "	if s.wants(nil, d) {\n",
	}}},
	{"a poll that has its limit of a type passes what it has not looked at", "healthy", "types.go", []edit{{
		"					p.Cursor = e.Cursor\n", "",
	}}},
}

// Each mistake can be made, or its control proves nothing.
func TestControlsCanBeMade(t *testing.T) {
	for _, c := range controls {
		if _, problem := c.broken(); problem != "" {
			t.Errorf("%s: %s", c.name, problem)
		}
		kindNamed(t, c.kind)
	}
}

// broken is the file with the mistake, or why it cannot be made.
func (c control) broken() (text, problem string) {
	source, err := os.ReadFile(filepath.Join("..", c.file))
	if err != nil {
		return "", err.Error()
	}
	text = string(source)
	for _, e := range c.edits {
		if strings.Count(text, e.old) != 1 {
			return "", "not exactly once in " + c.file + ": " + e.old
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text, ""
}

func kindNamed(t *testing.T, name string) kind {
	t.Helper()
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	t.Fatalf("no programs are called %q", name)
	return kind{}
}
