package main

import (
	"fmt"
	"strings"
)

// ruleNames are the rules of docs/breaker.md in a few words.
var ruleNames = []string{
	"a panic or Goexit is a failure",
	"a hung probe never wedges it",
	"stale results are void",
	"half-open admits exactly `Probes`",
	"a cancel is no failure, a deadline is",
	"a cancelled probe frees its slot",
	"consecutive means consecutive",
	"`State` is true without traffic",
	"hooks in order, without a lock",
	"the second `Done` does nothing",
	"a count does not decay",
	"settings are validated",
	"commands are idempotent and void what is in flight",
}

// peersSection tells who keeps which rule, by the verdicts of TestRules.
func peersSection(verdicts map[string]string, versions string) string {
	rows := [][]string{append([]string{"", "Rule"}, libraries...)}
	why := make(map[string][]string)
	for i, name := range ruleNames {
		row := []string{fmt.Sprint(i + 1), name}
		for _, library := range libraries {
			verdict, reason, _ := strings.Cut(verdicts[fmt.Sprintf("TestRules/%s/%d verdict", library, i+1)], ": ")
			row = append(row, cellOf(verdict))
			if reason != "" {
				why[library] = append(why[library], fmt.Sprintf("  - %d: %s\n", i+1, reason))
			}
		}
		rows = append(rows, row)
	}
	var reasons strings.Builder
	for _, library := range libraries {
		if len(why[library]) > 0 {
			fmt.Fprintf(&reasons, "- %s\n%s", library, strings.Join(why[library], ""))
		}
	}
	return fmt.Sprintf(peersText, versions, table(rows), reasons.String())
}

func cellOf(verdict string) string {
	switch verdict {
	case "kept":
		return "yes"
	case "broken":
		return "**no**"
	case "n/a":
		return "n/a"
	default:
		return "?" // the test did not say
	}
}

const peersText = `Each rule is run against each library by the tests in ` + "`bench/breaker`" + `, most of them on a fake
clock, with the configuration that serves the rules best. Compared are:

%s

%s
What breaks, or why a rule cannot be asked:

%s`
