package lifeline_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	metricName = regexp.MustCompile(`caddy_lifeline_[a-z_]+[a-z]`)
	series     = regexp.MustCompile(`(caddy_lifeline_[a-z_]+[a-z])\{`)
)

// documentedMetrics are those of docs/metrics.md, as Prometheus names their series.
func documentedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	known := make(map[string]bool)
	for line := range strings.Lines(readFile(t, "docs/metrics.md")) {
		name := series.FindStringSubmatch(line)
		switch {
		case name == nil || !strings.HasPrefix(line, "| `"):
		case strings.Contains(line, "| histogram |"):
			known[name[1]+"_bucket"] = true
		default:
			known[name[1]] = true
		}
	}
	return known
}

// TestGrafana reads the dashboard and the alert rules: they use metrics that there
// are, all of them, and docs/operations.md has a word on each alert.
func TestGrafana(t *testing.T) {
	known, used := documentedMetrics(t), make(map[string]bool)
	look := func(where, expr string) {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s has no metric: %s", where, expr)
		}
		for _, name := range names {
			used[name] = true
			if !known[name] {
				t.Errorf("%s: there is no %s", where, name)
			}
		}
		if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
			t.Errorf("%s is not balanced: %s", where, expr)
		}
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, W int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, "examples/grafana/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	ids := make(map[int]bool)
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || len(p.Targets) == 0 {
			t.Errorf("panel %q", p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			look(p.Title, target.Expr)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !used[name] {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
	alerts := alertRules(t)
	operations := readFile(t, "docs/operations.md")
	for name, expr := range alerts {
		look(name, expr)
		if !strings.Contains(operations, "| `"+name+"` |") {
			t.Errorf("docs/operations.md says nothing on %s", name)
		}
	}
	for _, name := range regexp.MustCompile("\\| `(Lifeline[A-Za-z]+)` \\|").FindAllStringSubmatch(operations, -1) {
		if alerts[name[1]] == "" {
			t.Errorf("docs/operations.md has an alert %s", name[1])
		}
	}
}

// alertRules are the expressions of examples/grafana/alerts.yaml by name.
func alertRules(t *testing.T) map[string]string {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr string
				For         string
				Labels      struct{ Severity string }
				Annotations struct{ Summary string }
			}
		}
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "examples/grafana/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, g := range file.Groups {
		if g.Name != "lifeline" {
			t.Errorf("group %q", g.Name)
		}
		for _, r := range g.Rules {
			if found[r.Alert] != "" || r.Annotations.Summary == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels.Severity) {
				t.Errorf("alert %q", r.Alert)
			}
			found[r.Alert] = r.Expr
		}
	}
	return found
}
