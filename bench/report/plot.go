package main

import (
	"fmt"
	"math"
	"strings"
)

// A plot of bars, in pixels.
const (
	plotLeft  = 130 // where the bars begin
	plotWidth = 560 // of the longest bar
	barHeight = 16
	barStep   = 21
)

// barPlot draws groups of bars below each other, on a logarithmic axis from least to
// most: the longest bar would otherwise leave no room for the others.
type barPlot struct {
	least, most float64
	y           int
	out         strings.Builder
}

// head begins a group.
func (p *barPlot) head(title string) {
	p.y += 30
	fmt.Fprintf(&p.out, "<text class=\"ink head\" x=\"%d\" y=\"%d\">%s</text>\n", plotLeft, p.y, title)
	p.y += 10
}

// bar is one bar with its name before and its figure behind it.
func (p *barPlot) bar(name string, value float64, own bool) {
	class := "peer"
	if own {
		class = "own"
	}
	width := plotWidth * math.Log(min(max(value, p.least), p.most)/p.least) / math.Log(p.most/p.least)
	text := p.y + barHeight - 3
	fmt.Fprintf(&p.out, "<text class=\"ink name\" x=\"%d\" y=\"%d\">%s</text>"+
		"<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\"/>"+
		"<text class=\"ink\" x=\"%.0f\" y=\"%d\">%s</text>\n",
		plotLeft-10, text, name, class, plotLeft, p.y, width, barHeight, plotLeft+width+8, text, figure(value))
	p.y += barStep
}

// svg is the whole picture; title is for those who do not see it.
func (p *barPlot) svg(title string) string {
	return fmt.Sprintf(plotFrame, p.y+40, title, p.out.String(), plotLeft, p.y+24)
}

// costPlot draws the costs of the three commonest paths of a breaker, in ns.
func costPlot(f figures) string {
	p := barPlot{least: 1, most: 1000}
	for _, path := range []path{paths[0], paths[2], paths[8]} {
		what := "added to the call"
		if path.bare == "" {
			what = "in all"
		}
		p.head(fmt.Sprintf("%s: ns %s", path.title, what))
		for i, library := range libraries {
			if ns, ok := path.cost(f, library); ok {
				p.bar(library, ns, i == 0)
			}
		}
	}
	return p.svg("What a call costs, by library, on a logarithmic axis; the figures are in the table of docs/breaker.md")
}

const plotFrame = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 %d" role="img" aria-labelledby="t" font-family="system-ui, sans-serif" font-size="13">
<title id="t">%s</title>
<style>
  svg { background: #fff } .ink { fill: #1f2328 } .head { font-weight: 600 } .name { text-anchor: end }
  .own { fill: #1a7f37 } .peer { fill: #8c959f }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 } .ink { fill: #e6edf3 } .own { fill: #3fb950 } .peer { fill: #6e7681 }
  }
</style>
%s<text class="ink" x="%d" y="%d">The axis is logarithmic.</text>
</svg>
`
