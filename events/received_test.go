package events

import (
	"testing"
	"time"
)

func TestAppendReceivedIsTheLayout(t *testing.T) {
	for _, at := range []time.Time{
		{},
		time.UnixMicro(0), time.UnixMicro(1), time.UnixMicro(1_770_696_900_123_456),
		time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", 3600)),
		time.Date(2028, 2, 29, 10, 11, 12, 13_000_000, time.UTC), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		want := "x" + at.UTC().Format(receivedTime)
		if got := string(appendReceived([]byte("x"), at)); got != want {
			t.Errorf("%v is written %s, not %s", at, got, want)
		}
	}
}

func BenchmarkReceived(b *testing.B) {
	at, room := time.UnixMicro(1_770_696_900_123_456), make([]byte, 0, 64)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			room = appendReceived(room[:0], at)
		}
	})
	b.Run("AppendFormat", func(b *testing.B) {
		for b.Loop() {
			room = at.UTC().AppendFormat(room[:0], receivedTime)
		}
	})
}
