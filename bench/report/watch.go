package main

import (
	"fmt"
	"os"
)

// reportWatch writes the section watch of docs/watcher.md.
func reportWatch() error {
	fmt.Fprintln(os.Stderr, "watch: three watchers under nine scenarios and a tree of 50,000 entries, about ten minutes")
	found, _, cpu, err := measure("./watch", "-test.benchtime=1x", "-test.timeout=40m")
	if err != nil {
		return err
	}
	return rewrite(docs+"watcher.md", map[string]string{"watch": watchSection(found, machine(cpu))})
}

const watchHead = "Measured by `make bench SUBJECT=watch` in one run, on %s, beside\n" +
	"[chokidar](https://github.com/paulmillr/chokidar) 5.0.0 on Node with `awaitWriteFinish` of 100 ms and links not\n" +
	"followed, and beside plain fsnotify with a walk for each new directory. All have the same ignored names, the\n" +
	"same depth and a debounce of 300 ms. Each scenario is done at once; the events that come are compared with the\n" +
	"difference of the tree before and after. A cell is events missing, then events invented: about other paths, of another kind,\n" +
	"or told twice.\n\n"

const watchDelays = "\nFrom a change until its event leaves, beyond the debounce of 300 ms, for 500 files that are changed one after the other\n" +
	"in 10 s, and what a tree of 50,078 entries costs:\n\n"

const watchFoot = "\nCPU is that of the whole process until it is ready, and in 20 s in which nothing happens, in steps of 10 ms; the times\n" +
	"are by the clock, and longer where other work shares the machine. Memory is what the process has more than with an empty\n" +
	"directory. To be: nothing missing and nothing invented, a first scan in less than 1 s, at\n" +
	"most 250 B of heap for each entry, no more than one such step when idle: %s.\n"

// watchers are the columns.
var watchers = []column{{"ours", "Lifeline"}, {"chokidar", "chokidar"}, {"plain", "plain fsnotify"}}

// watchScenarios are those of bench/watch.
var watchScenarios = []struct{ name, title string }{
	{"nested", "`mkdir -p a/b/c` and a file in it at once, 200 times"},
	{"copied", "a tree of 5,000 files is copied in"},
	{"moved_in", "such a tree is moved in, and out again"},
	{"renamed", "a directory of 1,000 files is renamed, then written in"},
	{"root_again", "the root is removed and made again, then written in"},
	{"again", "50 directories are removed and made again, then written in"},
	{"saved", "200 files are saved by way of another file"},
	{"overflow", "30,000 files while the process gets no CPU: the kernel's queue overflows"},
	{"deleted", "a tree of 5,000 files is removed"},
}

// watchCosts are the rows of the other table, each of one benchmark.
var watchCosts = []row{
	{"delay, median", of("Delay", millis("p50-ms"))},
	{"delay, 99th percentile", of("Delay", millis("p99-ms"))},
	{"changes without an event", of("Delay", count("missing"))},
	{"first scan", of("Tree", millis("scan-ms"))},
	{"CPU until ready", of("Tree", millis("cpu-ms"))},
	{"CPU in 20 s of rest", of("Tree", millis("idle-cpu-ms"))},
	{"memory", of("Tree", func(f figures, run string) string {
		return fmt.Sprintf("%.0f MiB", f.value(run, "resident-B")/(1<<20))
	})},
	{"heap for each entry", of("Tree", func(f figures, run string) string {
		if v := f.value(run, "heap-B/entry"); v > 0 {
			return fmt.Sprintf("%.0f B", v)
		}
		return "–"
	})},
}

// of is a cell about a run of another benchmark.
func of(benchmark string, cell func(figures, string) string) func(figures, string) string {
	return func(f figures, run string) string { return cell(f, benchmark+"/"+run) }
}

func watchSection(f figures, machine string) string {
	events := make([]row, len(watchScenarios))
	met := true
	for i, s := range watchScenarios {
		events[i] = row{s.title, func(f figures, run string) string {
			run = "Scenario/" + s.name + "/" + run
			return fmt.Sprintf("%.0f, %.0f", f.value(run, "missing"), f.value(run, "invented"))
		}}
		ours := "Scenario/" + s.name + "/ours"
		_, measured := f.median(ours, "missing")
		met = met && measured && f.value(ours, "missing")+f.value(ours, "invented") == 0
	}
	met = met && f.value("Tree/ours", "scan-ms") < 1000 && f.value("Tree/ours", "heap-B/entry") <= 250 &&
		f.value("Tree/ours", "idle-cpu-ms") <= 10
	return fmt.Sprintf(watchHead, machine) + compared(f, watchers, events) + watchDelays +
		compared(f, watchers, watchCosts) + fmt.Sprintf(watchFoot, verdict(met))
}
