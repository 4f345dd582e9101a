package events

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/actionflows/lifeline/storage"
	"github.com/actionflows/lifeline/storage/memory"
)

// benchHub is a hub over memory that keeps little.
func benchHub(b *testing.B) *Hub {
	b.Helper()
	d := memory.New(memory.Options{})
	b.Cleanup(func() { _ = d.Close() })
	h := New(Config{Backend: memoryBackend{&storage.Store{
		Driver: d, History: storage.History{MaxLen: 100}, Census: storage.NewCensus(d),
	}}})
	b.Cleanup(h.Close)
	return h
}

// BenchmarkPublish: publishers to many sessions that nobody follows.
func BenchmarkPublish(b *testing.B) {
	h := benchHub(b)
	var publishers atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		p := publishers.Add(1)
		for i := 0; pb.Next(); i++ {
			session := fmt.Sprint("s", i%100)
			ev := Event{Session: session, ID: fmt.Sprint(p, "-", i), Type: "a:b", Data: eventData(session, "x")}
			if _, err := h.Publish(b.Context(), ev); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFanOut: one publisher to a session that 1,000 WebSockets follow.
func BenchmarkFanOut(b *testing.B) {
	h := benchHub(b)
	for range 1000 {
		c := newWSConn(h, discard{}, nil, Grant{All: true, Read: true})
		c.follow(testSession, nil, nil)
		b.Cleanup(c.unsubscribeAll)
	}
	b.ReportAllocs()
	for i := range b.N {
		ev := Event{Session: testSession, ID: fmt.Sprint(i), Type: "a:b", Data: eventData(testSession, "x")}
		if _, err := h.Publish(b.Context(), ev); err != nil {
			b.Fatal(err)
		}
	}
}
