package storage

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A timestamp is a cursor for clients that know only times. The first six
// fraction digits are the position. Behind them stands, for each part, the
// producer in 15 digits, the length of the number in 2, and the number. A reader
// that cuts the fraction short leaves an incomplete part, which is dropped: it
// may see entries again and loses none.
const (
	positionDigits = 6
	producerDigits = 15 // 2^48 has 15
	lengthDigits   = 2
	layout         = "2006-01-02T15:04:05.000000"
)

// Timestamp is the cursor written as an RFC 3339 time in UTC. Sent back verbatim
// it is as good as the cursor, except that it names no epoch.
func (c Cursor) Timestamp() string {
	b := []byte(c.Pos.Time().Format(layout))
	for _, p := range c.Parts {
		b = fmt.Appendf(b, "%0*d", producerDigits, uint64(p.Producer))
		n := strconv.FormatUint(p.Number, 10)
		b = fmt.Appendf(b, "%0*d%s", lengthDigits, len(n), n)
	}
	return string(append(b, 'Z'))
}

func parseTimestamp(s string) (Cursor, error) {
	// In a query an unescaped + of the zone arrives as a space.
	s = strings.Replace(s, " ", "+", 1)
	whole, fraction := s, ""
	if dot := strings.IndexByte(s, '.'); dot >= 0 {
		end := dot + 1
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		if end == dot+1 {
			return Cursor{}, ErrCursor
		}
		whole, fraction = s[:dot]+s[end:], s[dot+1:end]
	}
	t, err := time.Parse(time.RFC3339, whole)
	if err != nil || t.Nanosecond() != 0 { // a second fraction, behind a comma or a point
		return Cursor{}, ErrCursor
	}
	if t.Unix() < 0 {
		t, fraction = time.Unix(0, 0), ""
	}
	micros := fraction[:min(len(fraction), positionDigits)]
	us, err := strconv.ParseInt(micros+"000000"[len(micros):], 10, 64)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	c := MicrosCursor(t.UnixMicro() + us)
	if len(fraction) > positionDigits {
		c.Parts = timestampParts(fraction[positionDigits:])
	}
	return c, nil
}

// timestampParts reads as many whole parts as there are. Digits that are no
// parts, such as the nanoseconds of an ordinary time, are left alone.
func timestampParts(digits string) []Link {
	var parts []Link
	for len(parts) < MaxParts {
		producer, rest, ok := cutDigits(digits, producerDigits)
		if !ok || producer == 0 || producer >= 1<<idBits {
			return parts
		}
		length, rest, ok := cutDigits(rest, lengthDigits)
		if !ok || length == 0 || length > 20 {
			return parts
		}
		number, rest, ok := cutDigits(rest, int(length)) //nolint:gosec // at most 20
		if !ok || number == 0 || (Cursor{Parts: parts}).number(Producer(producer)) != 0 {
			return parts
		}
		parts = append(parts, Link{Producer(producer), number})
		digits = rest
	}
	return parts
}

func cutDigits(s string, n int) (v uint64, rest string, ok bool) {
	if len(s) < n {
		return 0, s, false
	}
	v, err := strconv.ParseUint(s[:n], 10, 64)
	return v, s[n:], err == nil
}
