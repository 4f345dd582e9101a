// Package breaker compares the circuit breaker of Lifeline with those of other
// libraries: what a call costs, and which of the thirteen rules of docs/breaker.md
// each keeps. All of it is in the tests; `make bench SUBJECT=breaker` runs them and
// writes the tables of docs/breaker.md.
package breaker
