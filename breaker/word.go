package breaker

// word is the state of a breaker in 64 bits, so that one atomic load sees all
// of it and one compare-and-swap changes all of it:
//
//	| generation: 36 bits | long: 1 bit | payload: 24 bits | phase: 3 bits |
//
// The payload is the number of consecutive failures while closed; while
// half-open its lower half is the number of probes in flight and its upper half
// the number of successful probes; otherwise it is zero. With the adaptive rule
// the payload while closed is
//
//	| score: 14 bits | spread: 1 bit | consecutive failures: 9 bits |
//
// Long is set for good where every call takes the long way, so that the short way
// has one thing to look at. The generation grows with every change of phase and
// wraps after 69 billion of them.
type word uint64

// phase is the state of the machine: the three public states and the two holds.
type phase uint8

const (
	closed phase = iota
	open
	halfOpen
	forcedOpen
	disabled
)

const (
	phaseBits   = 3
	payloadBits = 24
	probeBits   = payloadBits / 2
	runBits     = 9
	scoreBits   = payloadBits - runBits - 1

	maxFailures = 1<<payloadBits - 1
	maxProbes   = 1<<probeBits - 1
	maxRun      = 1<<runBits - 1
	maxScore    = 1<<scoreBits - 1

	phaseMask   word = 1<<phaseBits - 1
	payloadMask word = maxFailures << phaseBits

	oneFailure    word = 1 << phaseBits
	oneProbe      word = 1 << phaseBits
	oneSuccess    word = oneProbe << probeBits
	spreadBit     word = 1 << (phaseBits + runBits)
	longBit       word = 1 << (phaseBits + payloadBits)
	oneGeneration word = longBit << 1
)

func (w word) phase() phase       { return phase(w & phaseMask) }
func (w word) generation() uint64 { return uint64(w >> (phaseBits + payloadBits + 1)) }

// idle reports whether the phase is closed, nothing is counted, and calls may
// take the short way.
func (w word) idle() bool { return w&(phaseMask|payloadMask|longBit) == 0 }

// epoch is the word without its payload: what a result must match to count.
func (w word) epoch() word { return w &^ payloadMask }

func (w word) failures() int  { return int(w & payloadMask >> phaseBits) }
func (w word) probes() int    { return int(w >> phaseBits & maxProbes) }
func (w word) successes() int { return int(w >> (phaseBits + probeBits) & maxProbes) }

// run is the number of consecutive failures, with the adaptive rule.
func (w word) run() int { return int(w >> phaseBits & maxRun) }

// spread reports whether a call has failed that was admitted after the first
// failure of this score.
func (w word) spread() bool { return w&spreadBit != 0 }

func (w word) score() int { return int(w >> (phaseBits + runBits + 1) & maxScore) }

// scored is the word with the payload of the adaptive rule. Numbers too large for
// their bits are the largest.
func (w word) scored(score, run int, spread bool) word {
	w = w.epoch() | word(min(run, maxRun))<<phaseBits | word(min(score, maxScore))<<(phaseBits+runBits+1)
	if spread {
		w |= spreadBit
	}
	return w
}

// next is the first word of the following generation, in phase p.
func (w word) next(p phase) word {
	return (w&^(phaseMask|payloadMask) + oneGeneration) | word(p)
}

// state is the phase as callers see it.
func (p phase) state() State {
	switch p {
	case open, forcedOpen:
		return Open
	case halfOpen:
		return HalfOpen
	default:
		return Closed
	}
}
