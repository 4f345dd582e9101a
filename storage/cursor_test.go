package storage

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEpochAndProducerText(t *testing.T) {
	for range 100 {
		e, p := NewEpoch(), NewProducer()
		if e == 0 || e >= 1<<idBits || p == 0 || p >= 1<<idBits {
			t.Fatalf("drew %x and %x", uint64(e), uint64(p))
		}
		if got, err := ParseEpoch(e.String()); err != nil || got != e {
			t.Fatalf("%s: %s, %v", e, got, err)
		}
		if got, err := ParseProducer(p.String()); err != nil || got != p {
			t.Fatalf("%s: %s, %v", p, got, err)
		}
	}
	for s, want := range map[string]Epoch{"0": 0, "000000000001": 1, "ffffffffffff": 1<<48 - 1} {
		if got, err := ParseEpoch(s); err != nil || got != want || want.String() != s {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "1", "00", "000000000000", "FFFFFFFFFFFF", "0x0000000001", "+00000000001", "fffffffffffff", "00000000000g", "0000000_0001"} {
		if got, err := ParseEpoch(s); err == nil {
			t.Errorf("%q was read as %d", s, got)
		}
	}
}

func TestNextMicros(t *testing.T) {
	for _, tt := range []struct{ clock, last, floor, want int64 }{
		{100, 0, 0, 100},
		{100, 100, 0, 101},
		{100, 500, 0, 501}, // the clock stepped back: positions creep
		{100, 0, 500, 501},
		{100, 600, 500, 601},
		{100, 99, 99, 100},
	} {
		if got := NextMicros(tt.clock, tt.last, tt.floor); got != tt.want {
			t.Errorf("clock %d, last %d, floor %d: %d, want %d", tt.clock, tt.last, tt.floor, got, tt.want)
		}
	}
}

// randomCursor is one as a hub may hand out.
func randomCursor(r *rand.Rand) Cursor {
	c := Cursor{
		Epoch: Epoch(r.Uint64N(1<<idBits-1) + 1),
		Pos:   Position{Micros: r.Int64N(253402300800e6), Seq: r.Uint64() >> r.IntN(64)},
	}
	for range r.IntN(MaxParts + 1) {
		c.Parts = append(c.Parts, Link{Producer(r.Uint64N(1<<idBits-1) + 1), r.Uint64()>>r.IntN(64) | 1})
	}
	return c
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func TestCursorRoundTrip(t *testing.T) {
	r := seeded(t)
	for range 5000 {
		c := randomCursor(r)
		got, err := ParseCursor(c.String())
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%s: %+v, %v", c, got, err)
		}
		if got.IsTimestamp() {
			t.Fatalf("%s counts as a timestamp", c)
		}
	}
}

func TestTimestampRoundTrip(t *testing.T) {
	r := seeded(t)
	for range 5000 {
		c := randomCursor(r)
		s := c.Timestamp()
		got, err := ParseCursor(s)
		if err != nil || got.Pos.Micros != c.Pos.Micros || !reflect.DeepEqual(got.Parts, c.Parts) {
			t.Fatalf("%s as %s: %+v, %v", c, s, got, err)
		}
		if !got.IsTimestamp() || got.Epoch != 0 || got.Pos.Seq != 0 {
			t.Fatalf("%s was read as %+v", s, got)
		}
		if again := got.Timestamp(); again != s {
			t.Fatalf("%s became %s", s, again)
		}
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			t.Fatal(err)
		}
	}
}

// However short a timestamp is cut, it claims no more than was seen.
func TestTimestampTruncated(t *testing.T) {
	r := seeded(t)
	for range 300 {
		c := randomCursor(r)
		full := c.Timestamp()
		dot := strings.IndexByte(full, '.')
		for end := dot; end < len(full); end++ {
			if end == dot+1 {
				continue // a point without digits is no time
			}
			cut := full[:end] + "Z"
			got, err := ParseCursor(cut)
			if err != nil {
				t.Fatalf("%s: %v", cut, err)
			}
			if got.Pos.Micros > c.Pos.Micros || len(got.Parts) > len(c.Parts) {
				t.Fatalf("%s claims %s, seen was %s", cut, got, c)
			}
			for i, p := range got.Parts {
				if p != c.Parts[i] {
					t.Fatalf("%s claims %s, seen was %s", cut, got, c)
				}
			}
			if end-dot-1 < positionDigits && len(got.Parts) > 0 {
				t.Fatalf("%s has parts", cut)
			}
		}
	}
}

func TestParseTimes(t *testing.T) {
	for s, want := range map[string]int64{
		"1970-01-01T00:00:00Z":                0,
		"1970-01-01T00:00:01.5Z":              1_500_000,
		"1970-01-01T00:00:00.000001Z":         1,
		"1970-01-01T00:00:00.000001999Z":      1, // nanoseconds are cut off
		"1970-01-01T01:00:00+01:00":           0,
		"1970-01-01T01:00:00 01:00":           0, // an unescaped + in a query
		"1970-01-01T00:00:00.25-01:00":        3_600_250_000,
		"1969-12-31T23:59:59.9Z":              0,
		"1970-01-01T00:00:00.9+14:00":         0, // before 1970 in UTC
		"1969-12-31T23:30:00-01:00":           1_800_000_000,
		"0001-01-01T00:00:00Z":                0,
		"2026-01-02T03:04:05.123456789Z":      1767323045123456,
		"2026-01-02T03:04:05.1234567890123Z":  1767323045123456,
		"2026-01-02T03:04:05.12345600000000Z": 1767323045123456,
	} {
		c, err := ParseCursor(s)
		if err != nil || c.Pos.Micros != want || !c.IsTimestamp() || len(c.Parts) != 0 {
			t.Errorf("%s: %+v, %v; want %d", s, c, err, want)
		}
	}
}

func TestParseCursorRefuses(t *testing.T) {
	const epoch = "00000000002a"
	for _, s := range []string{
		"", "garbage", "0", "12", "v1", "v1.", "v2." + epoch + ".5-1", "V1." + epoch + ".5-1",
		"v1." + epoch, "v1." + epoch + ".", "v1." + epoch + ".5", "v1." + epoch + ".5-", "v1." + epoch + ".-1",
		"v1." + epoch + ".5-1 ", " v1." + epoch + ".5-1", "v1." + epoch + ".05-1", "v1." + epoch + ".5-01",
		"v1." + epoch + ".+5-1", "v1." + epoch + ".5-+1", "v1." + epoch + ".5--1", "v1." + epoch + ".9223372036854775808-1",
		"v1." + epoch + ".5-18446744073709551616", "v1.2a.5-1", "v1.00000000002A.5-1", "v1.000000000000.5-1",
		"v1." + epoch + ".5-1~", "v1." + epoch + ".5-1~" + epoch, "v1." + epoch + ".5-1~" + epoch + ".",
		"v1." + epoch + ".5-1~" + epoch + ".0", "v1." + epoch + ".5-1~0.1", "v1." + epoch + ".5-1~" + epoch + ".01",
		"v1." + epoch + ".5-1~00000000002A.1", "v1." + epoch + ".5-1~" + epoch + ".1~" + epoch + ".2",
		"v1." + epoch + ".5-1" + strings.Repeat("~000000000001.1", 9),
		"2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05.Z", "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z",
		"03:04:05Z", "2026-01-02T03:04:05.12", "2026-01-02T03:04:05.1.2Z", strings.Repeat("x", 10_000),
	} {
		c, err := ParseCursor(s)
		if !errors.Is(err, ErrCursor) {
			t.Errorf("%q was read as %+v, %v", s, c, err)
			continue
		}
		if len(err.Error()) > 400 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
}

func TestTimestampPartsOnce(t *testing.T) {
	part := "000000000000042" + "01" + "7"
	c, err := ParseCursor("2026-01-02T03:04:05.123456" + part + part + "Z")
	if err != nil || len(c.Parts) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{
		"v1.00000000002a.5-1", "v1.0.0-0", "v1.0.5-3", "v1.00000000002a.5-1~000000000001.7~000000000002.9",
		"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+02:00", "2026-01-02T03:04:05.123456 02:00",
		"2026-01-02T03:04:05.123456000000000000042017Z", "1969-12-31T23:00:00-14:00", "1970-01-01T00:00:00+14:00", "",
		"2026-01-02T03:04:05.123456000000000000042017000000000000042018Z", "2026-01-02T03:04:05,5Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		text := c.String()
		again, err := ParseCursor(text)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%q is %+v, and its text %s is %+v, %v", s, c, text, again, err)
		}
		if strings.HasPrefix(s, "v1.") && text != s {
			t.Fatalf("%q has a second spelling, %q", s, text)
		}
	})
}

func TestParts(t *testing.T) {
	link := func(p, n uint64) Link { return Link{Producer(p), n} }
	base := Cursor{Epoch: 1, Pos: Position{5, 1}}
	c := base.With(link(1, 3)).With(link(2, 1)).With(link(1, 5)).With(link(1, 4)).With(Link{})
	if want := []Link{link(1, 5), link(2, 1)}; !reflect.DeepEqual(c.Parts, want) {
		t.Fatalf("parts are %v", c.Parts)
	}
	if len(base.Parts) != 0 {
		t.Fatal("With changed its receiver")
	}
	for l, want := range map[Link]bool{link(1, 5): true, link(1, 6): false, link(2, 1): true, link(3, 1): false, {}: false} {
		if c.Saw(l) != want {
			t.Errorf("Saw(%v) is %v", l, !want)
		}
	}
	before := append([]Link(nil), c.Parts...)
	passed := c.Pass(2, Position{9, 4}, link(1, 4))
	if len(passed.Parts) != 2 || passed.Epoch != 2 || passed.Pos != (Position{9, 4}) {
		t.Fatalf("passed is %+v", passed)
	}
	if passed = c.Pass(2, Position{9, 4}, link(1, 5)); !reflect.DeepEqual(passed.Parts, []Link{link(2, 1)}) {
		t.Fatalf("passed is %+v", passed)
	}
	if !reflect.DeepEqual(c.Parts, before) {
		t.Fatal("Pass changed its receiver")
	}
	if got := c.settle(map[Producer]uint64{1: 4, 2: 1}); !reflect.DeepEqual(got.Parts, []Link{link(1, 5)}) {
		t.Fatalf("settled is %+v", got)
	}
	// A ninth part is not added; one of the eight still grows.
	full := base
	for p := uint64(1); p <= MaxParts+1; p++ {
		full = full.With(link(p, 1))
	}
	if len(full.Parts) != MaxParts || full.Saw(link(MaxParts+1, 1)) {
		t.Fatalf("parts are %v", full.Parts)
	}
	if full = full.With(link(3, 9)); !full.Saw(link(3, 9)) {
		t.Fatalf("parts are %v", full.Parts)
	}
}
