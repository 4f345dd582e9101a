//go:build !interleave

package breaker

// interleave is called before each compare-and-swap of the word. The build of the
// linearizability test lets other goroutines run there; this one does nothing.
func interleave() {}
