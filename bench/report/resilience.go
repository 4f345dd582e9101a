package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// reportResilience writes the sections outage and entry of docs/resilience.md, and
// its plot.
func reportResilience() error {
	fmt.Fprintln(os.Stderr, "resilience: Redis goes away four times for 10 s, under two minutes in all")
	found, out, cpu, err := measure("./resilience", "-test.v", "-test.benchtime=1x", "-test.timeout=10m")
	if err != nil {
		return err
	}
	const shown = "Outage/killed/paced"
	var seen []sample
	text := attributes(out)["Benchmark"+shown+" samples"]
	if err := json.Unmarshal([]byte(text), &seen); err != nil {
		return fmt.Errorf("the samples of %s cannot be read: %w: %.100q", shown, err, text)
	}
	if len(seen) == 0 {
		return fmt.Errorf("%s has no samples", shown)
	}
	if err := os.WriteFile(docs+"resilience.svg", []byte(outagePlot(seen, found.span(shown))), 0o644); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return rewrite(docs+"resilience.md", map[string]string{
		"outage": outageSection(found, machine(cpu)),
		"entry":  entrySection(found),
	})
}

// sample is one of bench/resilience: what was seen in 50 ms.
type sample struct {
	At      time.Duration
	Acked   int
	Pending int
	State   int
	Longest time.Duration
}

// span is when Redis went and was back, since the run began.
func (f figures) span(run string) (s [2]time.Duration) {
	for i, unit := range []string{"struck-ms", "back-ms"} {
		s[i] = time.Duration(f.value(run, unit) * float64(time.Millisecond))
	}
	return s
}

// outageRuns are the columns of the table.
var outageRuns = []column{
	{"Outage/killed/paced", "killed, 5,000 events/s"},
	{"Outage/killed/full", "killed, full speed"},
	{"Outage/frozen/paced", "frozen, 5,000 events/s"},
	{"Outage/frozen/full", "frozen, full speed"},
}

const outageHead = "Measured by `make bench SUBJECT=resilience` in one run, on %s, Redis on the same\n" +
	"machine, appending to a file, as the journal does on the same disk. Events of 300 bytes go into 64\n" +
	"sessions; Redis is killed and started again with its data, or frozen, for 10 s. At 5,000 events/s\n" +
	"there are 2,000 publishers with an event every 400 ms each; at full speed 64, of whom each sends the\n" +
	"next event when he has the answer. Rates are events/s, then the 99th percentile of the time to the\n" +
	"acknowledgement.\n\n"

const outageFoot = "\nRedis is back when it answers a command other than with an error. Its own speed is what it takes from\n" +
	"the driver alone before the run, one batch of 512 events of one session after the other. Such batches\n" +
	"cost it much less than the small ones of many sessions in which events come while all is well: so what has\n" +
	"waited is soon done. The drain counts what waited and what came on top, from when the breaker closed\n" +
	"until nothing waited; times of the breaker are exact to 50 ms. The dips in the rate are publishers\n" +
	"who wait 250 ms for Redis before the journal alone is enough; the peaks behind them are these events. At\n" +
	"full speed a publisher sends four events a second while what waited is stored. No error, nothing lost or\n" +
	"out of order, and every acknowledgement within 500 ms: %s.\n"

func outageSection(f figures, machine string) string {
	met := true
	for _, run := range outageRuns {
		longest, measured := f.median(run.name, "longest-ms")
		met = met && measured && longest < 500 &&
			f.value(run.name, "errors")+f.value(run.name, "lost")+f.value(run.name, "disordered") == 0
	}
	return fmt.Sprintf(outageHead, machine) + compared(f, outageRuns, outageRows) + fmt.Sprintf(outageFoot, verdict(met)) +
		"\n![Acknowledged rate, longest acknowledgement, pending events and state over time, Redis killed for 10 s at 5,000 events/s](resilience.svg)\n"
}

// outageRows are the rows of the table.
var outageRows = []row{
	{"before: acknowledged", speed("healthy")},
	{"Redis away: acknowledged, by the journal alone", speed("degraded")},
	{"catching up: acknowledged", speed("catch-up")},
	{"longest acknowledgement of all", millis("longest-ms")},
	{"outage begins → breaker open", millis("opened-ms")},
	{"waiting at most, events", count("pending")},
	{"Redis back → breaker closed", millis("closed-ms")},
	{"Redis back → nothing waits, state normal", millis("recovered-ms")},
	{"drain, events/s", count("drain-events/s")},
	{"Redis' own speed, events/s", count("own-events/s")},
	{"events acknowledged", count("acked")},
	{"errors; lost; out of order", func(f figures, run string) string {
		return fmt.Sprintf("%.0f; %.0f; %.0f", f.value(run, "errors"), f.value(run, "lost"), f.value(run, "disordered"))
	}},
}

func speed(phase string) func(figures, string) string {
	return func(f figures, run string) string {
		return fmt.Sprintf("%s; %s ms", thousands(f.value(run, phase+"-events/s")), small(f.value(run, phase+"-p99-ms")))
	}
}

func millis(unit string) func(figures, string) string {
	return func(f figures, run string) string { return thousands(f.value(run, unit)) + " ms" }
}

func count(unit string) func(figures, string) string {
	return func(f figures, run string) string { return thousands(f.value(run, unit)) }
}

func entrySection(f figures) string {
	return table([][]string{
		{"What an event of 300 bytes takes in the journal", "bytes"},
		{"as `max_size` counts it, with an id of 24 bytes", "836"},
		{"of the file", small(f.value("Entry", "file-B/entry"))},
		{"of memory, while its data is kept there", small(f.value("Entry", "hot-B/entry"))},
		{"of memory, when only the file has its data: waiting", small(f.value("Entry", "cold-B/entry"))},
		{"the same: stored in Redis, and kept for a Redis that loses it", small(f.value("Entry", "stored-B/entry"))},
	})
}
