package main

import (
	"fmt"
	"os"
	"strings"
)

// storageRounds is small, because each fills a million events into each driver.
const storageRounds = 3

// reportStorage writes the sections append and read of docs/storage.md.
func reportStorage() error {
	t, remove, err := compile("./storage")
	if err != nil {
		return err
	}
	defer remove()
	found := make(figures)
	var cpu string
	for round := range storageRounds {
		fmt.Fprintf(os.Stderr, "storage: round %d of %d, about a minute\n", round+1, storageRounds)
		out, err := t.run("-test.run=^$", "-test.bench=.", "-test.benchtime=1s", "-test.timeout=10m")
		if err != nil {
			return err
		}
		if cpu, err = found.add(out); err != nil {
			return err
		}
	}
	return rewrite(docs+"storage.md", map[string]string{
		"append": appendSection(found, machine(cpu)),
		"read":   readSection(found),
	})
}

// stores are the rows of the table of appends, each behind its physical limit.
var stores = []struct{ name, title string }{
	{"bare_map", "*bare map*"},
	{"memory", "memory"},
	{"bare_fsync", "*bare grouped fsync*"},
	{"disk", "disk"},
	{"raw_XADD", "*raw pipelined XADD*"},
	{"redis", "Redis, driver alone"},
	{"redis+journal", "Redis behind the journal"},
	{"redis,_journal_off", "Redis, `journal off`"},
	{"journal_only", "the journal alone, Redis away"},
}

const storageHead = "Measured by `make bench SUBJECT=storage` in one run, medians of %d rounds, on %s, Redis on\n" +
	"the same machine. Events of 300 bytes go into 64 sessions that are full, so that each trims\n" +
	"another. The rows in italics are the limit of what the next one stands on: they keep the bytes\n" +
	"and know nothing of positions, duplicates and chains. The journal alone trims nothing: its events\n" +
	"wait. A cell is events/s, then the median and the\n" +
	"99th percentile of the time to the acknowledgement in milliseconds.\n\n"

func appendSection(f figures, machine string) string {
	rows := [][]string{{"", "1 caller", "64 callers", "256 callers", "CPU µs/event", "Redis CPU", "allocations", "round trips/event"}}
	for _, s := range stores {
		row := []string{s.title}
		for _, callers := range []string{"1", "64", "256"} {
			name := "Append/" + s.name + "/" + callers
			row = append(row, fmt.Sprintf("%s; %s, %s", thousands(f.value(name, "events/s")),
				small(f.value(name, "p50-ms")), small(f.value(name, "p99-ms"))))
		}
		at64 := "Append/" + s.name + "/64"
		row = append(row, small(f.value(at64, "cpu-µs/event")), f.optional(at64, "redis-cpu-µs/event"),
			small(f.value(at64, "allocs/op")), f.optional(at64, "trips/event"))
		rows = append(rows, row)
	}
	return fmt.Sprintf(storageHead, storageRounds, machine) + table(rows) +
		"\nCPU, allocations and round trips are per event with 64 callers; the CPU is that of this process,\n" +
		"the callers included, and beside it that of redis-server. The targets are 15,000 events/s on disk\n" +
		"and 20,000 with Redis at 64 callers (p99 at most 15 ms), and 35,000 with Redis at 256; while Redis is\n" +
		"away the journal alone shall not be slower than with it: " +
		verdict(f.value("Append/disk/64", "events/s") >= 15_000 &&
			f.value("Append/redis+journal/64", "events/s") >= 20_000 &&
			f.value("Append/redis+journal/64", "p99-ms") <= 15 &&
			f.value("Append/redis+journal/256", "events/s") >= 35_000 &&
			f.value("Append/journal_only/64", "events/s") >= f.value("Append/redis+journal/64", "events/s")) + ".\n"
}

func readSection(f figures) string {
	micros := func(name string) string { return small(f.value(name, "ns/op")/1e3) + " µs" }
	rows := [][]string{
		{"100 events after a cursor, out of 1,000,000", "", "Target"},
		{"memory", micros("Read/memory"), ""},
		{"disk", micros("Read/disk"), "100 µs"},
		{"Redis", micros("Read/redis"), "500 µs"},
		{"*raw XRANGE*", micros("Read/raw_XRANGE"), ""},
		{"opening a file of 1,000,000 events, closed properly", micros("Open/clean"), ""},
		{"the same after a crash, checked", small(f.value("Open/dirty", "ns/op")/1e6) + " ms", ""},
	}
	sizes := [][]string{
		{"What an event of 300 bytes takes", "bytes"},
		{"memory", small(f.value("Read/memory", "B/event"))},
		{"disk", small(f.value("Open/clean", "B/event"))},
		{"Redis", small(f.value("Read/redis", "B/event"))},
	}
	return table(rows) + "\n" + table(sizes)
}

// value is the median of a figure, 0 if there is none.
func (f figures) value(name, unit string) float64 {
	v, _ := f.median(name, unit)
	return v
}

// optional is a figure, or nothing.
func (f figures) optional(name, unit string) string {
	v, ok := f.median(name, unit)
	if !ok {
		return ""
	}
	return small(v)
}

// small writes a figure that may be far below one.
func small(x float64) string {
	if x < 1 {
		return fmt.Sprintf("%.2g", x)
	}
	return figure(x)
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not all met in this run"
}

// thousands writes a number to three digits, with commas.
func thousands(v float64) string {
	unit := 1.0
	for v/unit >= 1000 {
		unit *= 10
	}
	digits := fmt.Sprintf("%.0f", float64(int(v/unit+0.5))*unit)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
