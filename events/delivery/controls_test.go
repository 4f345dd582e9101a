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
