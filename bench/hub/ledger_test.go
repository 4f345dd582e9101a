//go:build linux

package hub

import (
	"bytes"
	"strconv"
	"time"
)

// An event is told by its mark, wherever a server puts it in a message: the number of
// its stream, its number in there, from 1, and when it was sent.
const (
	markBegin   = '~'
	streamWidth = 3
	numberWidth = 8
	stampWidth  = 19
	markWidth   = 1 + streamWidth + 1 + numberWidth + 1 + stampWidth
)

// appendMark writes ~SSS-NNNNNNNN-TTTTTTTTTTTTTTTTTTT.
func appendMark(b []byte, stream, number int, sent int64) []byte {
	b = append(b, markBegin)
	b = appendPadded(b, int64(stream), streamWidth)
	b = appendPadded(append(b, '-'), int64(number), numberWidth)
	return appendPadded(append(b, '-'), sent, stampWidth)
}

func appendPadded(b []byte, n int64, width int) []byte {
	var digits [20]byte
	d := strconv.AppendInt(digits[:0], n, 10)
	for range width - len(d) {
		b = append(b, '0')
	}
	return append(b, d...)
}

// marks calls on for every mark in b.
func marks(b []byte, on func(stream, number int, sent int64)) {
	for {
		i := bytes.IndexByte(b, markBegin)
		if i < 0 || len(b)-i < markWidth {
			return
		}
		m := b[i+1 : i+markWidth]
		b = b[i+markWidth:]
		on(int(digits(m[:streamWidth])), int(digits(m[streamWidth+1:streamWidth+1+numberWidth])), digits(m[markWidth-1-stampWidth:]))
	}
}

func digits(b []byte) (n int64) {
	for _, c := range b {
		n = n*10 + int64(c-'0')
	}
	return n
}

// seen is what one connection got of one stream.
type seen struct {
	last              int
	missing           map[int]bool
	twice, disordered int
}

func (s *seen) take(number int) {
	switch {
	case number == s.last+1:
		s.last = number
	case number > s.last:
		if s.missing == nil {
			s.missing = make(map[int]bool)
		}
		for n := s.last + 1; n < number; n++ {
			s.missing[n] = true
		}
		s.last = number
	case s.missing[number]:
		delete(s.missing, number)
		s.disordered++
	default:
		s.twice++
	}
}

// lost is how many of the first sent numbers never came.
func (s *seen) lost(sent int) int { return max(sent-s.last, 0) + len(s.missing) }

// delays counts durations to 10 µs, up to 20 s. It is not for concurrent use.
type delays struct {
	counts [2_000_000]uint32
	total  int
}

const delayStep = 10 * time.Microsecond

func (d *delays) add(delay time.Duration) {
	d.counts[min(max(int(delay/delayStep), 0), len(d.counts)-1)]++
	d.total++
}

func (d *delays) merge(other *delays) {
	for i, n := range other.counts {
		d.counts[i] += n
	}
	d.total += other.total
}

// quantile is at least the share q of all of them. It is 0 without any.
func (d *delays) quantile(q float64) time.Duration {
	before := 0
	for i, n := range d.counts {
		if before += int(n); n > 0 && float64(before) >= q*float64(d.total) {
			return time.Duration(i+1) * delayStep
		}
	}
	return 0
}
