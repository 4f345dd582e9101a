package main

import (
	"fmt"
	"os"
)

// reportOutage writes the section hubs of docs/resilience.md.
func reportOutage() error {
	fmt.Fprintln(os.Stderr, "outage: two servers lose Redis twice for 10 s, about three minutes with their builds")
	found, _, cpu, err := measure("./outage", "-test.benchtime=1x", "-test.timeout=15m")
	if err != nil {
		return err
	}
	return rewrite(docs+"resilience.md", map[string]string{"hubs": hubsSection(found, machine(cpu))})
}

const hubsHead = "Measured by `make bench SUBJECT=outage` in one run, on %s, everything on the same machine: Lifeline with\n" +
	"`storage redis` and its journal, as built by `make build`, and a small server on the library\n" +
	"[centrifuge](https://github.com/centrifugal/centrifuge) v0.40.1 with its Redis broker and a history. 16 connections\n" +
	"post 1,000 events/s together into 20 sessions, each of which has one WebSocket subscriber, who resumes from what\n" +
	"he has seen last. After 3 s Redis is killed, and comes back empty 10 s later, or it is frozen for 10 s.\n" +
	"No publisher posts an event again.\n\n"

const hubsFoot = "\nRecovery is the time from Redis' return until the last answer or delivery that took more than 200 ms or did\n" +
	"not come, and until Lifeline's health page says `ok`. To be: no error, no answer later than 500 ms, nothing lost, recovery within 0.4 s: %s.\n"

// hubsRuns are the columns.
var hubsRuns = []column{
	{"Outage/killed/ours", "Lifeline, killed"},
	{"Outage/killed/centrifuge", "centrifuge, killed"},
	{"Outage/frozen/ours", "Lifeline, frozen"},
	{"Outage/frozen/centrifuge", "centrifuge, frozen"},
}

var hubsRows = []row{
	{"events posted", count("posted")},
	{"refused", count("errors")},
	{"acknowledged", count("acked")},
	{"acknowledged and never delivered", count("undelivered")},
	{"acknowledged and not in the history afterwards", count("lost")},
	{"delivered twice", count("twice")},
	{"longest answer", millis("hang-ms")},
	{"recovery", millis("recovered-ms")},
}

func hubsSection(f figures, machine string) string {
	met := true
	for _, run := range []string{hubsRuns[0].name, hubsRuns[2].name} {
		recovered, measured := f.median(run, "recovered-ms")
		met = met && measured && recovered <= 400 && f.value(run, "hang-ms") <= 500 &&
			f.value(run, "errors")+f.value(run, "undelivered")+f.value(run, "lost")+f.value(run, "twice") == 0
	}
	return fmt.Sprintf(hubsHead, machine) + compared(f, hubsRuns, hubsRows) + fmt.Sprintf(hubsFoot, verdict(met))
}
