// Package resilience takes Redis away from a node under load and measures what
// becomes of its publishers: the acknowledged rate, how long an acknowledgement took,
// how long recovery takes, and, by reading everything back, that nothing was lost.
// `make bench SUBJECT=resilience` runs it and writes docs/resilience.md.
package resilience
