package redis

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// TestDocumentedMarks: docs/storage.md tells what a server has in the hashes with
// the marks.
func TestDocumentedMarks(t *testing.T) {
	s := redistest.Start(t)
	d := open(t, s)
	a := addition("a")
	a.Link = storage.Link{Producer: storage.NewProducer(), Number: 1}
	do(t, d, entry("a"), a)
	for range markWrites + 1 {
		beat(t, d)
	}
	for row, key := range map[string]string{
		"`afw:{pNN}:g`": d.keys.marks("p02"),
		"`afw:{c:…}:g`": d.keys.marks(collectionPartition(testCollection)),
	} {
		cells := documented(t, row)
		if kind := s.MustDo("TYPE", key); kind != cells[1] {
			t.Errorf("%s is a %v, documented is a %s", key, kind, cells[1])
		}
		if ttl := s.MustDo("PTTL", key); ttl != int64(-1) || cells[3] != "for ever" {
			t.Errorf("%s lives for %v, documented is %s", key, ttl, cells[3])
		}
		fields := s.MustDo("HGETALL", key).(map[any]any)
		var kinds []string
		for name, value := range fields {
			kind, of, _ := strings.Cut(name.(string), ":")
			switch kind {
			case "d":
				kind = "`d:<driver>`"
				if writes, err := parseMark(value); err != nil || len(writes) != markWrites || of != d.marks.driver {
					t.Errorf("%s is %v", name, value)
				}
			case "p":
				kind = "`p:<producer>`"
			default:
				kind = "`" + kind + "`"
			}
			kinds = append(kinds, kind)
		}
		slices.Sort(kinds)
		want := []string{}
		for _, kind := range []string{"`d:<driver>`", "`p:<producer>`", "`us`"} {
			if strings.Contains(cells[2], kind) {
				want = append(want, kind)
			}
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("%s has the fields %v, documented are %v", key, kinds, want)
		}
	}
}

// documented answers the cells of the row of docs/storage.md that begins so.
func documented(t *testing.T, key string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/storage.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) == 4 && cells[0] == key {
			return cells
		}
	}
	t.Fatalf("docs/storage.md has no row of %s", key)
	return nil
}
