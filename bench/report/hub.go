package main

import (
	"fmt"
	"os"
	"strings"
)

// hubRounds is odd: what else the machine does then disturbs one round and not the
// median.
const hubRounds = 3

// reportHub writes the sections of docs/performance.md, and its plot.
func reportHub() error {
	fmt.Fprintln(os.Stderr, "hub: ours and three peers under the same load, 20 minutes")
	t, remove, err := compile("./hub")
	if err != nil {
		return err
	}
	defer remove()
	found := make(figures)
	var cpu string
	run := func(pattern string) error {
		out, err := t.run("-test.run=^$", "-test.bench="+pattern, "-test.benchtime=1x", "-test.timeout=30m")
		if err != nil {
			return err
		}
		cpu, err = found.add(out)
		return err
	}
	for round := range hubRounds {
		fmt.Fprintf(os.Stderr, "hub: round %d of %d\n", round+1, hubRounds)
		if err := run("FanOut|Spread|Ingest|CatchUp|Poll"); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "hub: 10,000 idle connections, six times")
	if err := run("Idle"); err != nil {
		return err
	}
	if err := os.WriteFile(docs+"performance.svg", []byte(hubPlot(found)), 0o644); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return rewrite(docs+"performance.md", map[string]string{
		"hub":    hubSection(found, machine(cpu)),
		"limits": limitsSection(found),
		"idle":   idleSection(found),
	})
}

// servers are the columns, ours first, by their names in bench/hub; raw is the limit.
var servers = []column{
	{"ours", "Lifeline"}, {"centrifuge", "centrifuge"}, {"nchan", "Nchan"}, {"node", "Node ws"}, {"raw", "limit"},
}

// comparison is a figure of a work, and what ours is to be.
type comparison struct {
	work, title, unit string
	// scale is what the unit is divided by.
	scale float64
	// least and most are what ours must reach; 0: no such bound.
	least, most float64
}

const (
	unitCPU   = "cpu-s/M"
	unitP99   = "p99-ms"
	unitRate  = "deliveries/s"
	unitPosts = "events/s"
)

var hubMeasures = []comparison{
	{"FanOut/20", "1 × 1,000 at 20 events/s: 99 % are there within, ms", unitP99, 1, 0, 12},
	{"FanOut/100", "1 × 1,000 at 100 events/s: the same, ms", unitP99, 1, 0, 35},
	{"FanOut/100", "– CPU s per million deliveries", unitCPU, 1, 0, 8},
	{"FanOut/one", "1 × 1,000, one publisher at full speed: deliveries/s", unitRate, 1, 200_000, 0},
	{"FanOut/full", "1 × 1,000, 16 publishers at full speed: deliveries/s", unitRate, 1, 200_000, 0},
	{"FanOut/full", "– CPU s per million deliveries", unitCPU, 1, 0, 5},
	{"Spread/2000", "1,000 × 1 at 2,000 events/s: 99 % are there within, ms", unitP99, 1, 0, 3},
	{"Spread/full", "1,000 × 1, 64 publishers at full speed: events/s", unitPosts, 1, 20_000, 0},
	{"Spread/full", "– CPU s per million events", unitCPU, 1, 0, 60},
	{"Ingest/memory", "ingest, 64 connections, memory: events/s", unitPosts, 1, 22_000, 0},
	{"Ingest/memory", "– CPU s per million events", unitCPU, 1, 0, 50},
	{"Ingest/disk", "ingest, durable on disk: events/s", unitPosts, 1, 15_000, 0},
	{"Ingest/disk", "– CPU s per million events", unitCPU, 1, 0, 70},
	{"Ingest/redis", "ingest, Redis (ours: and the journal): events/s", unitPosts, 1, 20_000, 0},
	{"Ingest/redis", "– CPU s per million events", unitCPU, 1, 0, 70},
	{"Idle/plain", "idle: KiB per WebSocket", "B/conn", 1024, 0, 5},
	{"CatchUp", "catch-up, 100 × 1,000 events: events/s", unitRate, 1, 600_000, 0},
	{"CatchUp", "– CPU s per million events", unitCPU, 1, 0, 1},
	{"Poll", "polls of ten new events: polls/s", unitRate, 1, 20_000, 0},
	{"Poll", "– CPU s per million polls", unitCPU, 1, 0, 60},
}

func (m comparison) of(f figures, server string) (value float64, ok bool) {
	value, ok = f.median(m.work+"/"+server, m.unit)
	return value / m.scale, ok
}

// bound is what ours is to be, and whether it is.
func (m comparison) bound(ours float64, ok bool) string {
	switch {
	case m.least > 0:
		return "≥ " + amount(m.least) + mark(ok && ours >= m.least)
	default:
		return "≤ " + amount(m.most) + mark(ok && ours <= m.most)
	}
}

func mark(met bool) string {
	if met {
		return " ✓"
	}
	return " ✗"
}

// best is how many times better ours is than the best peer.
func (m comparison) best(f figures, ours float64) string {
	best := 0.0
	for _, peer := range servers[1:4] {
		if v, ok := m.of(f, peer.name); ok && v > 0 {
			ratio := v / ours
			if m.least > 0 {
				ratio = ours / v
			}
			if best == 0 || ratio < best {
				best = ratio
			}
		}
	}
	if best == 0 || ours == 0 {
		return ""
	}
	return ratioOf(best)
}

func ratioOf(x float64) string { return amount(x) + " ×" }

// amount is a figure of any size.
func amount(x float64) string {
	if x >= 1000 {
		return thousands(x)
	}
	return strings.TrimSuffix(small(x), ".0")
}

const hubHead = "Measured by `make bench SUBJECT=hub` in one run, on %s, everything on the same machine and its generator on the same\n" +
	"cores; medians of %d rounds. The last columns say how many times better Lifeline is than the best peer, and what\n" +
	"it is to be.\n\n"

func hubSection(f figures, machine string) string {
	head := []string{""}
	for _, s := range servers {
		head = append(head, s.title)
	}
	rows := [][]string{append(head, "to the best peer", "to be")}
	for _, m := range hubMeasures {
		cells := []string{m.title}
		for _, s := range servers {
			cell := ""
			if v, ok := m.of(f, s.name); ok {
				cell = amount(v)
			}
			cells = append(cells, cell)
		}
		ours, ok := m.of(f, "ours")
		rows = append(rows, append(cells, m.best(f, ours), m.bound(ours, ok)))
	}
	return fmt.Sprintf(hubHead, machine, hubRounds) + table(rows) + "\n" + damage(f) +
		"\n![CPU time per million by server, from the table above, on a logarithmic axis](performance.svg)\n"
}

// damage tells what the subscribers missed, by server.
func damage(f figures) string {
	var told []string
	for _, s := range servers[:4] {
		total := 0.0
		for name, units := range f {
			if strings.HasSuffix(name, "/"+s.name) {
				for _, unit := range []string{"lost", "twice", "disordered"} {
					for _, n := range units[unit] {
						total += n
					}
				}
			}
		}
		told = append(told, fmt.Sprintf("%s %s", s.title, amount(total)))
	}
	return "Events of the fan-out that were lost, came twice or out of order, in all rounds: " + strings.Join(told, ", ") + ".\n"
}

// limitsSection compares with writing the same bytes to the same sockets.
func limitsSection(f figures) string {
	cpu := f.ratio("FanOut/100/raw", "FanOut/100/ours", unitCPU)
	joined := f.ratio("FanOut/full/ours", "FanOut/full/raw", unitRate)
	return table([][]string{
		{"", "measured", "to be"},
		{"one event in a write, as a share of the limit: raw CPU per delivery ÷ ours at 100 events/s", fmt.Sprintf("%.0f %%", 100*cpu), "≥ 70 %" + mark(cpu >= 0.7)},
		{"many events in a write: our deliveries/s ÷ raw at full speed", ratioOf(joined), "≥ 5 ×" + mark(joined >= 5)},
	})
}

// ratio is a ÷ b; 0 if one of them was not measured.
func (f figures) ratio(a, b, unit string) float64 {
	x, okX := f.median(a, unit)
	y, okY := f.median(b, unit)
	if !okX || !okY || y == 0 {
		return 0
	}
	return x / y
}

func idleSection(f figures) string {
	rows := [][]string{{"10,000 silent subscribers", "KiB each", "CPU of one core"}}
	for _, r := range []column{
		{"Idle/plain/ours", "Lifeline"},
		{"Idle/logged/ours", "Lifeline, with an access log"},
		{"Idle/tls/ours", "Lifeline, TLS"},
		{"Idle/plain/centrifuge", "centrifuge"},
		{"Idle/plain/nchan", "Nchan"},
		{"Idle/plain/node", "Node ws"},
	} {
		rows = append(rows, []string{r.title, amount(f.value(r.name, "B/conn") / 1024), fmt.Sprintf("%.1f %%", f.value(r.name, "cpu-%"))})
	}
	return table(rows)
}

// hubPlot draws the CPU time of the commonest works. The axis is logarithmic.
func hubPlot(f figures) string {
	p := barPlot{least: 0.1, most: 300}
	for _, m := range hubMeasures {
		if m.unit != unitCPU {
			continue
		}
		bars := 0
		for i, s := range servers {
			if v, ok := m.of(f, s.name); ok {
				if bars == 0 {
					p.head(hubPlotTitles[m.work])
				}
				p.bar(s.title, v, i == 0)
				bars++
			}
		}
	}
	return p.svg("CPU seconds per million by work and server, on a logarithmic axis; the figures are in the table of docs/performance.md")
}

var hubPlotTitles = map[string]string{
	"FanOut/100":    "1 × 1,000 at 100 events/s: CPU s per million deliveries",
	"FanOut/full":   "1 × 1,000 at full speed: CPU s per million deliveries",
	"Spread/full":   "1,000 × 1 at full speed: CPU s per million events",
	"Ingest/memory": "ingest in memory: CPU s per million events",
	"Ingest/disk":   "ingest on disk: CPU s per million events",
	"Ingest/redis":  "ingest with Redis: CPU s per million events",
	"CatchUp":       "catch-up: CPU s per million events",
	"Poll":          "polls: CPU s per million polls",
}
