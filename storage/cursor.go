package storage

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Epoch names one life of a log: 48 random bits, drawn again whenever entries
// may have been lost. 0 names none, and stands for the current one in a cursor.
type Epoch uint64

// Producer names one run of a publishing node: 48 random bits; 0 is none.
type Producer uint64

const idBits = 48

// NewEpoch draws an epoch.
func NewEpoch() Epoch { return Epoch(random48()) }

// NewProducer draws a producer.
func NewProducer() Producer { return Producer(random48()) }

func random48() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[2:]) // never fails since Go 1.24
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return v
		}
	}
}

// String is twelve hex digits, or "0" for none.
func (e Epoch) String() string { return string(append48(nil, uint64(e))) }

// String is twelve hex digits, or "0" for none.
func (p Producer) String() string { return string(append48(nil, uint64(p))) }

func append48(b []byte, v uint64) []byte {
	if v == 0 {
		return append(b, '0')
	}
	const digits = "0123456789abcdef"
	for shift := idBits - 4; shift >= 0; shift -= 4 {
		b = append(b, digits[v>>shift&0xf])
	}
	return b
}

// ParseEpoch reads what [Epoch.String] wrote.
func ParseEpoch(s string) (Epoch, error) {
	v, err := parse48(s)
	return Epoch(v), err
}

// ParseProducer reads what [Producer.String] wrote.
func ParseProducer(s string) (Producer, error) {
	v, err := parse48(s)
	return Producer(v), err
}

func parse48(s string) (uint64, error) {
	if s == "0" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 16, idBits)
	// Upper-case digits would be a second spelling.
	if err != nil || v == 0 || s != string(append48(nil, v)) {
		return 0, fmt.Errorf("%q is not twelve hex digits", s)
	}
	return v, nil
}

// Position is the place of an entry in its log. Micros is the time at which it
// was received, in µs since 1970, made unique and strictly increasing within the
// log. Seq counts the entries without holes from 1 on, and serves only to see
// gaps. A new epoch of a living log goes on counting: its older entries are read
// under the new epoch too, and one count over all of them tells what was trimmed.
type Position struct {
	Micros int64
	Seq    uint64
}

// NextMicros is the rule by which every sequencer places an entry: its clock in
// µs, but above last and above floor.
func NextMicros(clock, last, floor int64) int64 { return max(clock, last+1, floor+1) }

// Time is the position as the time at which the entry was received.
func (p Position) Time() time.Time { return time.UnixMicro(p.Micros).UTC() }

func (p Position) String() string { return string(p.append(nil)) }

func (p Position) append(b []byte) []byte {
	b = append(strconv.AppendInt(b, p.Micros, 10), '-')
	return strconv.AppendUint(b, p.Seq, 10)
}

// Link is the place of an entry in its producer's chain for one log: numbers are
// dense from 1 on. The zero Link is in no chain.
type Link struct {
	Producer Producer
	Number   uint64
}

// MaxParts is how many ~ parts a cursor carries at most.
const MaxParts = 8

// Cursor says how far a reader of one log has come, opaquely to users:
//
//	v1.<epoch>.<µs>-<seq>(~<producer>.<number>){0,8}
//
// Pos never passes what the reader has seen without a hole. Each part says that
// of this producer he has also seen all entries up to that number, while they
// had no position yet. A Cursor is a value; its methods never change Parts.
type Cursor struct {
	Epoch Epoch
	Pos   Position
	Parts []Link
	// timestamp: it was read from a plain time, so Pos.Seq is unknown.
	timestamp bool
}

// ErrCursor is wrapped by every error of the parsers below.
var ErrCursor = errors.New("neither a cursor nor an RFC 3339 time")

// MicrosCursor is the cursor for "received after that time", in any epoch.
func MicrosCursor(micros int64) Cursor {
	return Cursor{Pos: Position{Micros: micros}, timestamp: true}
}

// IsTimestamp reports whether the cursor names a time rather than an entry: no
// epoch, no sequence number.
func (c Cursor) IsTimestamp() bool { return c.timestamp }

func (c Cursor) String() string {
	room := [64]byte{} // enough for one without parts
	b := append48(append(room[:0], "v1."...), uint64(c.Epoch))
	b = c.Pos.append(append(b, '.'))
	for _, p := range c.Parts {
		b = append48(append(b, '~'), uint64(p.Producer))
		b = strconv.AppendUint(append(b, '.'), p.Number, 10)
	}
	return string(b)
}

// ParseCursor reads a cursor in either of its two forms: what [Cursor.String]
// wrote, or an RFC 3339 time such as [Cursor.Timestamp] writes. The error wraps
// [ErrCursor] and quotes at most 80 bytes of s.
func ParseCursor(s string) (Cursor, error) {
	var c Cursor
	var err error
	if rest, ok := strings.CutPrefix(s, "v1."); ok {
		c, err = parseCanonical(rest)
	} else {
		c, err = parseTimestamp(s)
	}
	if err != nil {
		return Cursor{}, fmt.Errorf("%q: %w", s[:min(len(s), 80)], err)
	}
	return c, nil
}

func parseCanonical(s string) (Cursor, error) {
	head, parts, hasParts := strings.Cut(s, "~")
	epoch, pos, ok := strings.Cut(head, ".")
	if !ok {
		return Cursor{}, ErrCursor
	}
	var c Cursor
	var err error
	if c.Epoch, err = ParseEpoch(epoch); err != nil {
		return Cursor{}, fmt.Errorf("%w: epoch %w", ErrCursor, err)
	}
	micros, seq, ok := strings.Cut(pos, "-")
	if !ok {
		return Cursor{}, ErrCursor
	}
	m, err := parseDigits(micros, 63)
	if err != nil {
		return Cursor{}, fmt.Errorf("%w: position %w", ErrCursor, err)
	}
	c.Pos.Micros = int64(m) //nolint:gosec // 63 bits
	if c.Pos.Seq, err = parseDigits(seq, 64); err != nil {
		return Cursor{}, fmt.Errorf("%w: sequence %w", ErrCursor, err)
	}
	// Without epoch and sequence number a cursor names a moment, not an entry.
	c.timestamp = c.Epoch == 0 && c.Pos.Seq == 0
	if !hasParts {
		return c, nil
	}
	return parseParts(c, parts)
}

func parseParts(c Cursor, s string) (Cursor, error) {
	for part := range strings.SplitSeq(s, "~") {
		producer, number, ok := strings.Cut(part, ".")
		if !ok || len(c.Parts) == MaxParts {
			return Cursor{}, fmt.Errorf("%w: part %q", ErrCursor, part)
		}
		p, err := ParseProducer(producer)
		if err != nil {
			return Cursor{}, fmt.Errorf("%w: producer %w", ErrCursor, err)
		}
		n, err := parseDigits(number, 64)
		if err != nil || n == 0 || p == 0 || c.number(p) != 0 {
			return Cursor{}, fmt.Errorf("%w: part %q", ErrCursor, part)
		}
		c.Parts = append(c.Parts, Link{p, n})
	}
	return c, nil
}

// parseDigits is ParseUint without signs, leading zeros and the like, so that
// every cursor has one spelling.
func parseDigits(s string, bits int) (uint64, error) {
	if len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("%q has a leading zero", s)
	}
	v, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of %d bits", s, bits)
	}
	return v, nil
}

// With is the cursor after its holder has also seen a pending entry. A ninth
// part is not added: its holder may see that entry again.
func (c Cursor) With(l Link) Cursor {
	if l.Producer == 0 || c.number(l.Producer) >= l.Number {
		return c
	}
	parts := make([]Link, 0, len(c.Parts)+1)
	found := false
	for _, p := range c.Parts {
		if p.Producer == l.Producer {
			p, found = l, true
		}
		parts = append(parts, p)
	}
	if !found && len(parts) < MaxParts {
		parts = append(parts, l)
	}
	c.Parts = parts
	return c
}

// Saw reports whether the parts cover the entry: its holder got it while it was
// pending.
func (c Cursor) Saw(l Link) bool {
	return l.Number != 0 && c.number(l.Producer) >= l.Number
}

func (c Cursor) number(p Producer) uint64 {
	for _, part := range c.Parts {
		if part.Producer == p {
			return part.Number
		}
	}
	return 0
}

// Pass is the cursor after its holder has passed an entry that stands in the
// log; parts that this entry makes superfluous are dropped.
func (c Cursor) Pass(epoch Epoch, pos Position, l Link) Cursor {
	c.Epoch, c.Pos, c.timestamp = epoch, pos, false
	return c.drop(func(p Link) bool { return p.Producer == l.Producer && l.Number >= p.Number })
}

// settle drops the parts whose entries the log has, for a reader at its head.
func (c Cursor) settle(last map[Producer]uint64) Cursor {
	return c.drop(func(p Link) bool { return last[p.Producer] >= p.Number })
}

func (c Cursor) drop(superfluous func(Link) bool) Cursor {
	for i, p := range c.Parts {
		if !superfluous(p) {
			continue
		}
		kept := append([]Link(nil), c.Parts[:i]...)
		for _, q := range c.Parts[i+1:] {
			if !superfluous(q) {
				kept = append(kept, q)
			}
		}
		c.Parts = kept
		break
	}
	return c
}
