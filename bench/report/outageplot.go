package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The plot of an outage, in pixels.
const (
	outageLeft   = 70
	outageWidth  = 660
	panelHeight  = 90
	panelStep    = 140
	panelTop     = 54
	bandHeight   = 22
	smoothedOver = 4 // samples, for the rate
)

// outagePlot draws what was seen over time; span is when Redis went and was back.
func outagePlot(seen []sample, span [2]time.Duration) string {
	p := timePlot{seen: seen, end: seen[len(seen)-1].At, span: span}
	bottom := panelTop + 3*panelStep
	for i, name := range []string{"Redis killed", "Redis back"} {
		fmt.Fprintf(&p.svg, "<text class=\"ink middle\" x=\"%.1f\" y=\"18\">%s</text>\n", p.x(span[i]), name)
	}
	p.panel(0, "acknowledged per second", "rate", p.rates())
	p.panel(1, "longest acknowledgement, ms", "slow", p.values(func(s sample) float64 { return float64(s.Longest.Microseconds()) / 1e3 }))
	p.panel(2, "events that wait for Redis", "pending", p.values(func(s sample) float64 { return float64(s.Pending) }))
	p.band(bottom)
	p.seconds(bottom + bandHeight)
	return fmt.Sprintf(outageFrame, bottom+bandHeight+28, "Publishing through an outage of Redis", p.svg.String())
}

// seconds writes the time below everything.
func (p *timePlot) seconds(bottom int) {
	for second := time.Duration(0); second <= p.end; second += 2 * time.Second {
		fmt.Fprintf(&p.svg, "<text class=\"ink middle\" x=\"%.1f\" y=\"%d\">%.0f s</text>\n", p.x(second), bottom+18, second.Seconds())
	}
}

type timePlot struct {
	seen []sample
	end  time.Duration
	span [2]time.Duration
	svg  strings.Builder
}

func (p *timePlot) x(at time.Duration) float64 {
	return outageLeft + outageWidth*at.Seconds()/p.end.Seconds()
}

// marks draws when Redis went and was back, from one height to another: not through
// the titles.
func (p *timePlot) marks(top, bottom int) {
	for _, at := range p.span {
		fmt.Fprintf(&p.svg, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", p.x(at), p.x(at), top, bottom)
	}
}

// rates are the acknowledged events per second, averaged over a few samples.
func (p *timePlot) rates() []float64 {
	rates := make([]float64, len(p.seen))
	for i := range p.seen {
		acked, begin := 0, time.Duration(0)
		for k := max(i-smoothedOver+1, 0); k <= i; k++ {
			acked += p.seen[k].Acked
		}
		if i >= smoothedOver {
			begin = p.seen[i-smoothedOver].At
		}
		rates[i] = float64(acked) / (p.seen[i].At - begin).Seconds()
	}
	return rates
}

func (p *timePlot) values(of func(sample) float64) []float64 {
	values := make([]float64, len(p.seen))
	for i, s := range p.seen {
		values[i] = of(s)
	}
	return values
}

// panel draws one line over time, with the area below it.
func (p *timePlot) panel(number int, title, class string, values []float64) {
	y := p.axes(number, title, axisEnd(values))
	points := p.points(values, y)
	last := p.x(p.seen[len(p.seen)-1].At)
	fmt.Fprintf(&p.svg, "<polygon class=\"%s area\" points=\"%.1f,%.0f %s %.1f,%.0f\"/><polyline class=\"%s line\" points=\"%s\"/>\n",
		class, p.x(p.seen[0].At), y(0), points, last, y(0), class, points)
}

// axes draws a panel without its lines, up to a value; it answers the height of values.
func (p *timePlot) axes(number int, title string, top float64) (y func(v float64) float64) {
	bottom := panelTop + number*panelStep + panelHeight
	y = func(v float64) float64 { return float64(bottom) - panelHeight*v/top }
	fmt.Fprintf(&p.svg, "<text class=\"ink head\" x=\"%d\" y=\"%d\">%s</text>\n", outageLeft, bottom-panelHeight-12, title)
	for _, v := range []float64{0, top / 2, top} {
		fmt.Fprintf(&p.svg, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"+
			"<text class=\"ink name\" x=\"%d\" y=\"%.1f\">%s</text>\n",
			outageLeft, outageLeft+outageWidth, y(v), y(v), outageLeft-8, y(v)+4, thousands(v))
	}
	p.marks(bottom-panelHeight, bottom)
	return y
}

// points are those of a line.
func (p *timePlot) points(values []float64, y func(v float64) float64) string {
	var b strings.Builder
	for i, v := range values {
		fmt.Fprintf(&b, " %.1f,%.1f", p.x(p.seen[i].At), y(v))
	}
	return strings.TrimSpace(b.String())
}

// axisEnd is a round number that no value is above: 1, 2, 4, 6, 8 or 10 with zeros.
func axisEnd(values []float64) float64 {
	most := 1.0
	for _, v := range values {
		most = max(most, v)
	}
	zeros := math.Pow(10, math.Floor(math.Log10(most)))
	for _, step := range []float64{1, 2, 4, 6, 8} {
		if most <= step*zeros {
			return step * zeros
		}
	}
	return 10 * zeros
}

// states are those of bench/resilience, by their numbers: class and title.
var states = [][2]string{
	{"normal", "normal"},
	{"waiting", "breaker closed, events wait"},
	{"half-open", "breaker half-open"},
	{"open", "breaker open"},
}

// band draws the states one after the other, and what their colours mean.
func (p *timePlot) band(top int) {
	fmt.Fprintf(&p.svg, "<text class=\"ink head\" x=\"%d\" y=\"%d\">state</text>\n", outageLeft, top-10)
	begin := time.Duration(0)
	used := map[int]bool{}
	for i, s := range p.seen {
		if i+1 < len(p.seen) && p.seen[i+1].State == s.State {
			continue
		}
		fmt.Fprintf(&p.svg, "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>\n",
			states[s.State][0], p.x(begin), top, p.x(s.At)-p.x(begin), bandHeight)
		begin, used[s.State] = s.At, true
	}
	x := outageLeft + 60
	for i, state := range states {
		if !used[i] {
			continue
		}
		fmt.Fprintf(&p.svg, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"10\" height=\"10\"/>"+
			"<text class=\"ink key\" x=\"%d\" y=\"%d\">%s</text>\n", state[0], x, top-19, x+15, top-10, state[1])
		x += 35 + letterWidth*len(state[1])
	}
}

const letterWidth = 6 // at most, of a key

const outageFrame = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 %d" role="img" aria-labelledby="t" font-family="system-ui, sans-serif" font-size="13">
<title id="t">%s; the figures are in the table of docs/resilience.md</title>
<style>
  svg { background: #fff } .ink { fill: #1f2328 } .head { font-weight: 600 } .name { text-anchor: end; font-size: 11px } .middle { text-anchor: middle; font-size: 11px }
  .key { font-size: 11px }
  .grid { stroke: #d1d9e0; stroke-width: 1 } .mark { stroke: #59636e; stroke-width: 1; stroke-dasharray: 4 3 }
  .line { fill: none; stroke-width: 1.5; stroke-linejoin: round } .area { stroke: none; fill-opacity: 0.15 }
  .rate.line { stroke: #1a7f37 } .rate.area { fill: #1a7f37 } .slow.line { stroke: #8250df } .slow.area { fill: #8250df }
  .own { fill: #1a7f37 } .own.line { stroke: #1a7f37; fill: none } .peer { fill: #8250df } .peer.line { stroke: #8250df; fill: none }
  .pending.line { stroke: #0969da } .pending.area { fill: #0969da }
  .normal { fill: #1a7f37 } .waiting { fill: #9a6700 } .half-open { fill: #bc4c00 } .open { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 } .ink { fill: #e6edf3 } .grid { stroke: #3d444d } .mark { stroke: #9198a1 }
    .rate.line { stroke: #3fb950 } .rate.area { fill: #3fb950 } .slow.line { stroke: #ab7df8 } .slow.area { fill: #ab7df8 }
    .own { fill: #3fb950 } .own.line { stroke: #3fb950 } .peer { fill: #ab7df8 } .peer.line { stroke: #ab7df8 }
    .pending.line { stroke: #4493f8 } .pending.area { fill: #4493f8 }
    .normal { fill: #238636 } .waiting { fill: #845306 } .half-open { fill: #bd561d } .open { fill: #da3633 }
  }
</style>
%s</svg>
`
