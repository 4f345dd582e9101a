package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// reportOutage writes the section hubs of docs/resilience.md, and its plot.
func reportOutage() error {
	fmt.Fprintln(os.Stderr, "outage: two servers lose Redis for 10 s, six times each, about six minutes with their builds")
	found, out, cpu, err := measure("./outage", "-test.v", "-test.benchtime=1x", "-test.count=3", "-test.timeout=15m")
	if err != nil {
		return err
	}
	seen := make(map[string][]sample)
	texts := attributes(out)
	for _, run := range hubsRuns {
		text := texts["Benchmark"+run.name+" samples"]
		var samples []sample
		if err := json.Unmarshal([]byte(text), &samples); err != nil {
			return fmt.Errorf("the samples of %s cannot be read: %w: %.100q", run.name, err, text)
		}
		if len(samples) == 0 {
			return fmt.Errorf("%s has no samples", run.name)
		}
		seen[run.name] = samples
	}
	if err := os.WriteFile(docs+"resilience-hubs.svg", []byte(hubsPlot(found, seen)), 0o644); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return rewrite(docs+"resilience.md", map[string]string{"hubs": hubsSection(found, machine(cpu))})
}

const hubsHead = "Measured by `make bench SUBJECT=outage` in one run, on %s, everything on the same machine: Lifeline with\n" +
	"`storage redis` and its journal, as built by `make build`, and a small server on the library\n" +
	"[centrifuge](https://github.com/centrifugal/centrifuge) v0.40.1 with its Redis broker and a history. 1,000 events/s\n" +
	"go into 20 sessions, each of which has one WebSocket subscriber, who resumes from what he has seen last. After 3 s\n" +
	"Redis is killed, and comes back empty 10 s later, or it is frozen for 10 s. The schedule is kept whatever the\n" +
	"answers do: each event has a request of its own, and its answer takes from when it was due. While 8,192 requests are\n" +
	"unanswered none is sent, which counts as refused. No event is posted again. Numbers of events are sums of three rounds,\n" +
	"other figures those of the worst, and the plot shows the last.\n\n"

const hubsFoot = "\nA ratio is Lifeline's figure divided by that of centrifuge. Recovery is the time from Redis' return until the last\n" +
	"answer or delivery that took more than 200 ms or did not come, and until Lifeline's health page says `ok`. To be: no error,\n" +
	"no answer later than 500 ms, nothing lost, a median recovery within 0.4 s: %s.\n"

// hubsRuns are the columns: those of a fault beside each other, ours first.
var hubsRuns = []column{
	{"Outage/killed/ours", "Lifeline, killed"},
	{"Outage/killed/centrifuge", "centrifuge, killed"},
	{"Outage/frozen/ours", "Lifeline, frozen"},
	{"Outage/frozen/centrifuge", "centrifuge, frozen"},
}

var hubsRows = []struct {
	title, unit string
	of          func(f figures, run, unit string) float64
	suffix      string
}{
	{"events due", "due", figures.sum, ""},
	{"refused", "errors", figures.sum, ""},
	{"of these never sent", "unsent", figures.sum, ""},
	{"acknowledged", "acked", figures.sum, ""},
	{"acknowledged and never delivered", "undelivered", figures.sum, ""},
	{"acknowledged and not in the history afterwards", "lost", figures.sum, ""},
	{"delivered twice", "twice", figures.sum, ""},
	{"longest answer", "hang-ms", figures.most, " ms"},
	{"recovery, median", "recovered-ms", figures.value, " ms"},
	{"recovery, longest", "recovered-ms", figures.most, " ms"},
	{"the load was behind its schedule, at most", "behind-ms", figures.most, " ms"},
}

// sum is that of all rounds.
func (f figures) sum(name, unit string) (all float64) {
	for _, v := range f[name][unit] {
		all += v
	}
	return all
}

// most is the highest of all rounds.
func (f figures) most(name, unit string) (highest float64) {
	for _, v := range f[name][unit] {
		highest = max(highest, v)
	}
	return highest
}

func hubsSection(f figures, machine string) string {
	met := true
	for _, run := range []string{hubsRuns[0].name, hubsRuns[2].name} {
		recovered, measured := f.median(run, "recovered-ms")
		met = met && measured && recovered <= 400 && f.most(run, "hang-ms") <= 500 &&
			f.sum(run, "errors")+f.sum(run, "undelivered")+f.sum(run, "lost")+f.sum(run, "twice") == 0
	}
	return fmt.Sprintf(hubsHead, machine) + hubsTable(f) + fmt.Sprintf(hubsFoot, verdict(met)) +
		"\n![Acknowledged events and longest answer over time, Lifeline and centrifuge, Redis killed and frozen for 10 s](resilience-hubs.svg)\n"
}

// hubsTable has behind each peer the ratio to it.
func hubsTable(f figures) string {
	rows := [][]string{{""}}
	for i, run := range hubsRuns {
		if rows[0] = append(rows[0], run.title); i%2 == 1 {
			rows[0] = append(rows[0], "ratio")
		}
	}
	for _, m := range hubsRows {
		cells, ours := []string{m.title}, 0.0
		for i, run := range hubsRuns {
			value := m.of(f, run.name, m.unit)
			cells = append(cells, thousands(value)+m.suffix)
			if i%2 == 1 {
				cells = append(cells, ratio(ours, value))
			}
			ours = value
		}
		rows = append(rows, cells)
	}
	return table(rows)
}

// ratio is ours divided by a peer's, of which there may be nothing.
func ratio(ours, peer float64) string {
	if peer == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ours/peer)
}
