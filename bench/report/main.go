// Command report measures a subject beside its peers and writes what it finds into
// the marked sections of docs/. It runs in bench/:
//
//	go run ./report [subject...]
//
// Without a subject it does all of them.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// docs is where the pages are, seen from bench/.
const docs = "../docs/"

// subjects are what can be measured.
var subjects = map[string]func() error{
	"breaker":    reportBreaker,
	"hub":        reportHub,
	"outage":     reportOutage,
	"resilience": reportResilience,
	"storage":    reportStorage,
	"watch":      reportWatch,
}

func main() {
	wanted := os.Args[1:]
	if len(wanted) == 0 {
		wanted = slices.Sorted(maps.Keys(subjects))
	}
	for _, name := range wanted {
		report := subjects[name]
		if report == nil {
			all := strings.Join(slices.Sorted(maps.Keys(subjects)), ", ")
			fmt.Fprintf(os.Stderr, "There is no subject %q; there are: %s.\n", name, all)
			os.Exit(2)
		}
		if err := report(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
	}
}
