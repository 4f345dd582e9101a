package main

import (
	"fmt"
	"os"
	"strings"
)

// rewrite puts texts into the marked sections of a page, by name.
func rewrite(page string, texts map[string]string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	text := string(old)
	for name, body := range texts {
		if text, err = section(text, name, body); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// section replaces what stands between the marks <!-- name --> and <!-- /name -->.
func section(page, name, body string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	if strings.Count(page, begin) != 1 || strings.Count(page, end) != 1 {
		return "", fmt.Errorf("it must have one section %s…%s", strings.TrimSpace(begin), end)
	}
	head, rest, _ := strings.Cut(page, begin)
	_, tail, found := strings.Cut(rest, end)
	if !found {
		return "", fmt.Errorf("%s stands before %s", end, strings.TrimSpace(begin))
	}
	return head + begin + strings.TrimSpace(body) + "\n" + end + tail, nil
}

// table is a Markdown table. Its first row is the head.
func table(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

// column is a run of a benchmark, and how a table names it; row is what is told of
// each run.
type (
	column struct{ name, title string }
	row    struct {
		title string
		cell  func(f figures, run string) string
	}
)

// compared is a table of runs beside each other.
func compared(f figures, runs []column, measures []row) string {
	rows := [][]string{{""}}
	for _, run := range runs {
		rows[0] = append(rows[0], run.title)
	}
	for _, m := range measures {
		cells := []string{m.title}
		for _, run := range runs {
			cells = append(cells, m.cell(f, run.name))
		}
		rows = append(rows, cells)
	}
	return table(rows)
}
