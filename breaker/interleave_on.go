//go:build interleave

package breaker

import (
	"math/rand/v2"
	"runtime"
)

// interleave lets other goroutines run between the look at the word and its
// compare-and-swap, half of the time.
func interleave() {
	for rand.Uint32()&1 == 0 {
		runtime.Gosched()
	}
}
