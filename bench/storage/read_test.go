package storage

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/actionflows/lifeline/internal/redistest"
	"github.com/actionflows/lifeline/storage"
)

// million is how long the log is that is read from and opened.
const million = 1_000_000

// fillMillion makes one log of a million events and answers a cursor in every
// thousandth place.
func fillMillion(b *testing.B, d storage.Driver) []storage.Cursor {
	b.Helper()
	var cursors []storage.Cursor
	for range million / 1000 {
		ops := make([]storage.Op, 1000)
		for i := range ops {
			ops[i] = &storage.Append{Log: "e:million", ID: newID(), Data: bytes.Clone(event)}
		}
		results, err := d.Apply(context.Background(), ops)
		if err != nil || results[0].Err != nil {
			b.Fatal(err, results[0].Err)
		}
		cursors = append(cursors, results[0].Cursor)
	}
	return cursors
}

func readFrom(b *testing.B, d storage.Driver, cursors []storage.Cursor) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		c := cursors[rand.IntN(len(cursors)-1)]
		page, err := d.ReadLog(context.Background(), "e:million", storage.LogQuery{After: &c, Limit: 100})
		if err != nil || len(page.Entries) != 100 {
			b.Fatal(len(page.Entries), err)
		}
	}
}

// BenchmarkRead reads 100 events after a cursor somewhere in a million.
func BenchmarkRead(b *testing.B) {
	r := redistest.Start(b)
	for _, s := range []struct {
		name   string
		driver storage.Driver
		size   func() float64 // of what it keeps, in bytes
	}{
		{"memory", newMemory(b), heap},
		{"disk", newDisk(b, b.TempDir()), nil}, // see BenchmarkOpen
		{"redis", newRedis(b, r), func() float64 { return redisMemory(b, r) }},
	} {
		before := 0.0
		if s.size != nil {
			before = s.size()
		}
		cursors := fillMillion(b, s.driver)
		b.Run(s.name, func(b *testing.B) {
			readFrom(b, s.driver, cursors)
			if s.size != nil {
				b.ReportMetric((s.size()-before)/million, "B/event")
			}
		})
	}
	c := newClient(b, r)
	keys := c.Keys(context.Background(), "*:e:million").Val()
	if len(keys) != 1 {
		b.Fatal(keys)
	}
	b.Run("raw XRANGE", func(b *testing.B) {
		for b.Loop() {
			if got, err := c.XRangeN(context.Background(), keys[0], "-", "+", 100).Result(); err != nil || len(got) != 100 {
				b.Fatal(len(got), err)
			}
		}
	})
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func redisMemory(b *testing.B, r *redistest.Server) float64 {
	b.Helper()
	n, err := strconv.ParseFloat(info(r, "memory", "used_memory"), 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkOpen opens a file of a million events, closed properly and not.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	d := newDisk(b, dir)
	fillMillion(b, d)
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	file, err := os.Stat(filepath.Join(dir, "lifeline.db"))
	if err != nil {
		b.Fatal(err)
	}
	open := func(b *testing.B, before func()) {
		b.Helper()
		for b.Loop() {
			b.StopTimer()
			before()
			b.StartTimer()
			d := newDisk(b, dir)
			b.StopTimer()
			if err := d.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(file.Size())/million, "B/event")
	}
	b.Run("clean", func(b *testing.B) { open(b, func() {}) })
	b.Run("dirty", func(b *testing.B) {
		open(b, func() { // the mark that a killed process leaves
			if err := os.WriteFile(filepath.Join(dir, "lifeline.db.open"), []byte("1"), 0o600); err != nil {
				b.Fatal(err)
			}
		})
	})
}
