package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// hubsPlot draws for each fault what was acknowledged of the events due at a time, and
// how long the longest answer took, of both servers.
func hubsPlot(f figures, seen map[string][]sample) string {
	const panels = 4
	var b strings.Builder
	x := outageLeft
	for _, key := range [][2]string{{"own", "Lifeline"}, {"peer", "centrifuge"}} {
		fmt.Fprintf(&b, "<rect class=\"%s\" x=\"%d\" y=\"9\" width=\"10\" height=\"10\"/><text class=\"ink key\" x=\"%d\" y=\"18\">%s</text>\n",
			key[0], x, x+15, key[1])
		x += 100
	}
	var end time.Duration
	for _, run := range hubsRuns {
		end = max(end, seen[run.name][len(seen[run.name])-1].At)
	}
	for i := 0; i < len(hubsRuns); i += 2 {
		ours, peer := hubsRuns[i].name, hubsRuns[i+1].name
		fault := strings.Split(ours, "/")[1]
		p := timePlot{end: end, span: f.span(ours)}
		for k, of := range []struct {
			title  string
			values func(*timePlot) []float64
		}{
			{"acknowledged, of those due in a second", (*timePlot).rates},
			{"longest answer, ms", func(p *timePlot) []float64 {
				return p.values(func(s sample) float64 { return float64(s.Longest.Microseconds()) / 1e3 })
			}},
		} {
			runs := []timePlot{{seen: seen[ours]}, {seen: seen[peer]}}
			values := [][]float64{of.values(&runs[0]), of.values(&runs[1])}
			height := p.axes(i+k, fmt.Sprintf("Redis %s: %s", fault, of.title), axisEnd(slices.Concat(values[0], values[1])))
			for r, class := range []string{"own", "peer"} {
				p.seen = runs[r].seen
				fmt.Fprintf(&p.svg, "<polyline class=\"%s line\" points=\"%s\"/>\n", class, p.points(values[r], height))
			}
		}
		b.WriteString(p.svg.String())
	}
	bottom := panelTop + (panels-1)*panelStep + panelHeight
	p := timePlot{end: end}
	p.seconds(bottom)
	b.WriteString(p.svg.String())
	return fmt.Sprintf(outageFrame, bottom+28, "Lifeline and centrifuge through an outage of Redis", b.String())
}
