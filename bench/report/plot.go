package main

import (
	"fmt"
	"math"
	"strings"
)

// The plot, in pixels.
const (
	plotLeft  = 130 // where the bars begin
	plotWidth = 560 // of the longest bar
	barHeight = 16
	barStep   = 21
	mostNanos = 1000 // where the axis ends; it begins at 1
)

// costPlot draws the costs of the three commonest paths. The axis is logarithmic:
// the longest bar would otherwise leave no room for the others.
func costPlot(f figures) string {
	var b strings.Builder
	y := 30
	for _, p := range []path{paths[0], paths[2], paths[8]} {
		what := "added to the call"
		if p.bare == "" {
			what = "in all"
		}
		fmt.Fprintf(&b, "<text class=\"ink head\" x=\"%d\" y=\"%d\">%s: ns %s</text>\n", plotLeft, y, p.title, what)
		y += 10
		for i, library := range libraries {
			if ns, ok := p.cost(f, library); ok {
				b.WriteString(bar(y, library, ns, i == 0))
				y += barStep
			}
		}
		y += 30
	}
	return fmt.Sprintf(plotFrame, y+10, b.String(), plotLeft, y-6)
}

// bar is one bar with its name before and its figure behind it.
func bar(y int, name string, ns float64, own bool) string {
	class := "peer"
	if own {
		class = "own"
	}
	width := plotWidth * math.Log(min(max(ns, 1), mostNanos)) / math.Log(mostNanos)
	text := y + barHeight - 3
	return fmt.Sprintf("<text class=\"ink name\" x=\"%d\" y=\"%d\">%s</text>"+
		"<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\"/>"+
		"<text class=\"ink\" x=\"%.0f\" y=\"%d\">%s</text>\n",
		plotLeft-10, text, name, class, plotLeft, y, width, barHeight, plotLeft+width+8, text, figure(ns))
}

const plotFrame = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 %d" role="img" aria-labelledby="t" font-family="system-ui, sans-serif" font-size="13">
<title id="t">What a call costs, by library, on a logarithmic axis; the figures are in the table of docs/breaker.md</title>
<style>
  .ink { fill: #1f2328 } .head { font-weight: 600 } .name { text-anchor: end }
  .own { fill: #1a7f37 } .peer { fill: #8c959f }
  @media (prefers-color-scheme: dark) {
    .ink { fill: #e6edf3 } .own { fill: #3fb950 } .peer { fill: #6e7681 }
  }
</style>
%s<text class="ink" x="%d" y="%d">The axis is logarithmic.</text>
</svg>
`
